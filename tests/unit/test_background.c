#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>

#include "ops/background.h"
#include "ops/clock.h"

#define LONG_MS 60000 /* a guard against hanging, not a time that is measured */

struct number { /* a result */
        struct result shared;
        int value;
};

struct script { /* what a job does */
        int value, failure;
        atomic_int *gate; /* it waits until this is not 0; NULL: it does not wait */
        atomic_int *runs, *released;
};

static void number_destroy(struct result *shared)
{
        free(shared);
}

static int run(void *argument, db_cancel_fn *stop, void *context, struct result **ret, struct error *e)
{
        const struct script *script = argument;
        atomic_fetch_add(script->runs, 1);
        while (script->gate != NULL && atomic_load(script->gate) == 0) {
                if (stop(context))
                        return error_set(e, EINTR, "stopped");
                (void) usleep(1000);
        }
        if (script->failure != 0)
                return error_set(e, script->failure, "as the script says");
        struct number *n = calloc(1, sizeof(*n));
        assert_non_null(n);
        result_init(&n->shared, number_destroy);
        n->value = script->value;
        *ret = &n->shared;
        return 0;
}

static void release(void *argument)
{
        const struct script *script = argument;
        atomic_fetch_add(script->released, 1);
}

struct fixture {
        struct background *background;
        atomic_int runs, released;
};

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));
        assert_non_null(f);
        assert_int_equal(background_new(&f->background, NULL), 0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;
        f->background = background_free(f->background);
        free(f);
        return 0;
}

/* Asks; the value, or -1 for nothing yet, or the failure in *ret_code. */
static int ask(struct fixture *f, const char *name, uint64_t state, struct script *script, int patience_ms, bool *ret_current,
               int *ret_code)
{
        script->runs = &f->runs;
        script->released = &f->released;
        struct background_job job = { .name = name, .state = state, .run = run, .argument = script, .release = release };
        struct result *result = NULL;
        *ret_current = false;
        *ret_code = background_ask(f->background, &job, clock_ms() + patience_ms, NULL, NULL, &result, ret_current, NULL);
        if (*ret_code < 0 || result == NULL)
                return -1;
        int value = ((struct number *) result)->value;
        (void) result_put(result);
        return value;
}

static void remembers(void **state)
{
        struct fixture *f = *state;
        struct script first = { .value = 7 }, unused = { .value = 8 }, second = { .value = 9 };
        bool current;
        int code;
        assert_int_equal(ask(f, "a", 1, &first, LONG_MS, &current, &code), 7);
        assert_true(current);
        assert_int_equal(ask(f, "a", 1, &unused, LONG_MS, &current, &code), 7);
        assert_true(current);
        assert_int_equal(f->runs, 1);
        assert_int_equal(ask(f, "a", 2, &second, LONG_MS, &current, &code), 9);
        assert_int_equal(f->runs, 2);
        assert_int_equal(f->released, 3);
}

static void gives_the_older_while_it_waits(void **state)
{
        struct fixture *f = *state;
        atomic_int gate = 0;
        struct script quick = { .value = 1 }, slow = { .value = 2, .gate = &gate }, again = { .value = 3 };
        bool current;
        int code;
        assert_int_equal(ask(f, "a", 1, &quick, LONG_MS, &current, &code), 1);
        assert_int_equal(ask(f, "a", 2, &slow, 10, &current, &code), 1);
        assert_false(current);
        assert_int_equal(ask(f, "b", 1, &again, 10, &current, &code), -1); /* behind it in the queue */
        assert_int_equal(code, 0);
        assert_int_equal(ask(f, "a", 2, &slow, 10, &current, &code), 1); /* it runs already */
        gate = 1;
        assert_int_equal(ask(f, "b", 1, &again, LONG_MS, &current, &code), 3);
        assert_int_equal(ask(f, "a", 2, &slow, LONG_MS, &current, &code), 2);
        assert_true(current);
        assert_int_equal(f->runs, 3);
}

static void remembers_lasting_failures_only(void **state)
{
        struct fixture *f = *state;
        struct script busy = { .failure = EBUSY }, broken = { .failure = EILSEQ }, fine = { .value = 5 };
        bool current;
        int code;
        assert_int_equal(ask(f, "a", 1, &busy, LONG_MS, &current, &code), -1);
        assert_int_equal(code, 0);
        assert_int_equal(ask(f, "a", 1, &fine, LONG_MS, &current, &code), 5);
        assert_int_equal(ask(f, "b", 1, &broken, LONG_MS, &current, &code), -1);
        assert_int_equal(code, -EILSEQ);
        assert_int_equal(ask(f, "b", 1, &fine, LONG_MS, &current, &code), -1);
        assert_int_equal(code, -EILSEQ);
        assert_int_equal(ask(f, "b", 2, &fine, LONG_MS, &current, &code), 5);
}

static bool at_once(void *context)
{
        (void) context;
        return true;
}

static void can_be_cancelled(void **state)
{
        struct fixture *f = *state;
        static atomic_int gate; /* the job outlives this function */
        static struct script slow;
        slow = (struct script){ .value = 2, .gate = &gate, .runs = &f->runs, .released = &f->released };
        struct background_job job = { .name = "a", .state = 1, .run = run, .argument = &slow, .release = release };
        struct result *result = NULL;
        bool current;
        assert_int_equal(background_ask(f->background, &job, clock_ms() + LONG_MS, at_once, NULL, &result, &current, NULL), -EINTR);
        assert_null(result);
        /* and the thread, which still runs the job, ends when it is told to: see teardown */
}

static void forgets_the_oldest(void **state)
{
        struct fixture *f = *state;
        bool current;
        int code;
        struct script script = { .value = 1 };
        assert_int_equal(ask(f, "first", 1, &script, LONG_MS, &current, &code), 1);
        for (int i = 0; i < BACKGROUND_KEEP + 10; i++) {
                char name[32];
                (void) snprintf(name, sizeof(name), "job %d", i);
                assert_int_equal(ask(f, name, 1, &script, LONG_MS, &current, &code), 1);
        }
        int runs = f->runs;
        assert_int_equal(ask(f, "first", 1, &script, LONG_MS, &current, &code), 1);
        assert_int_equal(f->runs, runs + 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(remembers, setup, teardown),
                cmocka_unit_test_setup_teardown(gives_the_older_while_it_waits, setup, teardown),
                cmocka_unit_test_setup_teardown(remembers_lasting_failures_only, setup, teardown),
                cmocka_unit_test_setup_teardown(can_be_cancelled, setup, teardown),
                cmocka_unit_test_setup_teardown(forgets_the_oldest, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
