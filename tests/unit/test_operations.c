/* One operation at a time: who begins, who waits, who is refused, and how one is cancelled. */
#include "fs/operations.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const struct operation_start tidying = { .operation = "tidy", .entry = "", .hidden = true };
static const struct operation_start cleaning = { .operation = "clean", .entry = "docs" };

static int set_up(void **state)
{
        struct operations *operations = NULL;
        int dirfd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(dirfd >= 0);
        assert_int_equal(operations_new(dirfd, &operations, NULL), 0);
        (void) close(dirfd);
        *state = operations;
        return 0;
}

static int tear_down(void **state)
{
        (void) operations_free(*state);
        return 0;
}

struct writer {
        pthread_t thread;
        struct operations *operations;
        atomic_bool waits, gives_up;
        bool cancels; /* instead of beginning */
        int result;
};

static bool has_given_up(void *context)
{
        struct writer *writer = context;
        atomic_store(&writer->waits, true);
        return atomic_load(&writer->gives_up);
}

static void *write_to_control(void *context)
{
        struct writer *writer = context;
        writer->result = writer->cancels ? operations_cancel(writer->operations, has_given_up, writer)
                                         : operations_begin(writer->operations, &cleaning, has_given_up, writer, NULL);
        return NULL;
}

static void start(struct writer *writer, struct operations *operations)
{
        writer->operations = operations;
        assert_int_equal(pthread_create(&writer->thread, NULL, write_to_control, writer), 0);
        while (!atomic_load(&writer->waits))
                (void) usleep(1000);
}

static int finish(struct writer *writer)
{
        assert_int_equal(pthread_join(writer->thread, NULL), 0);
        return writer->result;
}

static bool never(void *context)
{
        (void) context;
        return false;
}

static void one_runs_at_a_time(void **state)
{
        struct error e;
        assert_int_equal(operations_begin(*state, &cleaning, never, NULL, NULL), 0);
        assert_int_equal(operations_begin(*state, &cleaning, never, NULL, &e), -EBUSY);
        assert_non_null(strstr(e.text, "clean (of collections/docs) runs in this mount"));
        operations_end(*state, NULL);
        assert_int_equal(operations_begin(*state, &cleaning, never, NULL, NULL), 0);
        operations_end(*state, NULL);
}

static void one_waits_for_what_tidies(void **state)
{
        struct writer first = { 0 };
        assert_int_equal(operations_begin(*state, &tidying, never, NULL, NULL), 0);
        assert_null(operations_running(*state));
        start(&first, *state);
        assert_int_equal(operations_begin(*state, &cleaning, never, NULL, NULL), -EBUSY);
        operations_end(*state, NULL);
        assert_int_equal(finish(&first), 0);
        operations_end(*state, NULL);
}

static void who_waits_may_give_up(void **state)
{
        struct writer first = { 0 }, second = { 0 };
        assert_int_equal(operations_begin(*state, &tidying, never, NULL, NULL), 0);
        start(&first, *state);
        atomic_store(&first.gives_up, true);
        assert_int_equal(finish(&first), -ECANCELED);
        start(&second, *state);
        operations_end(*state, NULL);
        assert_int_equal(finish(&second), 0);
        operations_end(*state, NULL);
}

static void a_cancel_waits_for_the_end(void **state)
{
        struct writer canceller = { .cancels = true };
        assert_int_equal(operations_cancel(*state, never, NULL), 0);
        assert_int_equal(operations_begin(*state, &cleaning, never, NULL, NULL), 0);
        assert_false(operations_is_cancelled(*state));
        start(&canceller, *state);
        assert_true(operations_is_cancelled(*state));
        operations_end(*state, NULL);
        assert_int_equal(finish(&canceller), 0);
        assert_int_equal(operations_begin(*state, &cleaning, never, NULL, NULL), 0);
        assert_false(operations_is_cancelled(*state));
        operations_end(*state, NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(one_runs_at_a_time, set_up, tear_down),
                cmocka_unit_test_setup_teardown(one_waits_for_what_tidies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(who_waits_may_give_up, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_cancel_waits_for_the_end, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
