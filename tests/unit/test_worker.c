/* The daemon's side of a worker that is broken, dies, or is slow. The program executes itself, as the daemon does: the name of the operation says how to behave. */
#include "fs/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/worker_wire.h"
#include "ops/clock.h"

/* --- the worker ------------------------------------------------------------ */

static void say(const char *text)
{
        (void) !write(WORKER_REPORTS, text, strlen(text));
}

static void read_request(void)
{
        uint64_t len = 0;
        (void) !read(WORKER_REQUESTS, &len, sizeof(len));
        for (char c; len > 0 && read(WORKER_REQUESTS, &c, 1) == 1; len--)
                ;
}

static void wait_for_cancel(void)
{
        struct pollfd requests = { .fd = WORKER_REQUESTS, .events = POLLIN };
        (void) poll(&requests, 1, 10000);
}

static void leave_a_child(void)
{
        if (fork() == 0) {
                (void) sleep(5);
                _exit(0);
        }
        (void) raise(SIGKILL);
}

static void be_cancelled(void)
{
        say("{\"phase\":\"waiting\",\"done\":1,\"total\":2}\n");
        wait_for_cancel();
        say("{\"code\":-125,\"sentence\":\"as it was\",\"outcome\":{\"n\":1}}\n");
}

/* What one says and ends with; others do something. */
static const struct {
        const char *name, *says;
        void (*does)(void);
} behaviours[] = {
        { "well", "{\"phase\":\"working\",\"done\":1,\"total\":2}\n{\"code\":0,\"sentence\":\"\",\"outcome\":{\"n\":7}}\n", NULL },
        { "nothing", "", NULL },
        { "half", "{\"code\":0,\"outcome\":{}", NULL },
        { "no object", "[]\n7\nnull\n\nno json\n", NULL },
        { "no code", "{\"outcome\":{}}\n", NULL },
        { "null code", "{\"code\":null,\"outcome\":{}}\n", NULL },
        { "positive code", "{\"code\":5,\"outcome\":{}}\n", NULL },
        { "large code", "{\"code\":-512,\"outcome\":{}}\n", NULL },
        { "null phase", "{\"phase\":null,\"done\":[],\"total\":{}}\n{\"code\":0}\n", NULL },
        { "failure", "{\"code\":-28,\"sentence\":\"no room\",\"outcome\":{\"n\":3}}\n", NULL },
        { "leaves a child", "", leave_a_child },
        { "cancelled", "", be_cancelled },
};

static int behave(const char *name)
{
        for (size_t i = 0; i < sizeof(behaviours) / sizeof(*behaviours); i++)
                if (strcmp(name, behaviours[i].name) == 0) {
                        read_request();
                        say(behaviours[i].says);
                        if (behaviours[i].does != NULL)
                                behaviours[i].does();
                        return 0;
                }
        return 0; /* without having read anything */
}

/* --- the daemon ------------------------------------------------------------ */

struct seen {
        unsigned progress;
        char phase[32];
        bool cancel; /* once it has told of itself */
};

static void note(void *context, const char *phase, uint64_t done, uint64_t total)
{
        struct seen *seen = context;
        seen->progress++;
        assert_true(done == 1 && total == 2);
        (void) snprintf(seen->phase, sizeof(seen->phase), "%s", phase);
}

static bool is_cancelled(void *context)
{
        const struct seen *seen = context;
        return seen->cancel && seen->progress > 0;
}

static int run(const char *behaviour, struct text line, struct seen *seen, int *ret_n, struct error *e)
{
        const struct worker_request request = { .operation = behaviour, .line = line };
        const struct worker_watch watch = { .context = seen, .progress = note, .cancelled = is_cancelled };
        struct json_object *outcome = NULL;
        int dirfd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(dirfd >= 0);
        int r = worker_run(dirfd, &request, &watch, &outcome, e);
        *ret_n = outcome != NULL ? json_object_get_int(json_object_object_get(outcome, "n")) : -1;
        (void) json_object_put(outcome);
        (void) close(dirfd);
        return r;
}

static void what_it_says_comes_back(void **state)
{
        (void) state;
        struct seen seen = { 0 };
        struct error e;
        int n;
        assert_int_equal(run("well", (struct text){ 0 }, &seen, &n, &e), 0);
        assert_int_equal(n, 7);
        assert_int_equal(seen.progress, 1);
        assert_string_equal(seen.phase, "working");
        assert_int_equal(run("failure", (struct text){ 0 }, &seen, &n, &e), -ENOSPC);
        assert_string_equal(e.text, "no room");
        assert_int_equal(n, 3);
}

static void what_is_no_outcome_is_no_success(void **state)
{
        (void) state;
        static const char *const names[] = {
                "nothing", "half", "no object", "no code", "null code", "positive code", "large code"
        };
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
                struct seen seen = { 0 };
                struct error e = { 0 };
                int n;
                assert_int_equal(run(names[i], (struct text){ 0 }, &seen, &n, &e), -EIO);
                assert_int_equal(n, -1);
                assert_true(e.text[0] != '\0');
        }
}

static void a_strange_report_does_no_harm(void **state)
{
        (void) state;
        struct seen seen = { 0 };
        struct error e;
        int n;
        assert_int_equal(run("null phase", (struct text){ 0 }, &seen, &n, &e), 0);
        assert_int_equal(seen.progress, 0);
}

/* One that has not read its request yet, larger than a pipe. */
static void death_at_once_is_seen(void **state)
{
        (void) state;
        struct seen seen = { 0 };
        struct error e;
        int n;
        struct text line = { .bytes = calloc(1, 1 << 20), .len = 1 << 20 };
        assert_int_equal(run("does not read", line, &seen, &n, &e), -EIO);
        free(line.bytes);
}

/* The guard's process can be such a child. */
static void death_is_seen_beside_a_child_that_lives(void **state)
{
        (void) state;
        struct seen seen = { 0 };
        struct error e;
        int n;
        int64_t began = clock_ms();
        assert_int_equal(run("leaves a child", (struct text){ 0 }, &seen, &n, &e), -EIO);
        assert_non_null(strstr(e.text, "signal 9"));
        assert_true(clock_ms() - began < 3000);
}

static void a_cancel_is_heard(void **state)
{
        (void) state;
        struct seen seen = { .cancel = true };
        struct error e;
        int n;
        int64_t began = clock_ms();
        assert_int_equal(run("cancelled", (struct text){ 0 }, &seen, &n, &e), -ECANCELED);
        assert_string_equal(e.text, "as it was");
        assert_int_equal(n, 1);
        assert_true(clock_ms() - began < 3000);
}

int main(int argc, char **argv)
{
        if (argc > 2 && strcmp(argv[1], WORKER_ARGUMENT) == 0)
                return behave(argv[2]);
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_it_says_comes_back),
                cmocka_unit_test(what_is_no_outcome_is_no_success),
                cmocka_unit_test(a_strange_report_does_no_harm),
                cmocka_unit_test(death_at_once_is_seen),
                cmocka_unit_test(death_is_seen_beside_a_child_that_lives),
                cmocka_unit_test(a_cancel_is_heard),
        };
        (void) signal(SIGPIPE, SIG_IGN); /* as libfuse does */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
