/* The last outcome of each control: of this mount's own runs, and of a history that grows, is cut, and is a stranger's. */
#include "fs/outcomes.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "ops/operation/tidy.h"

struct place {
        char path[64];
        int dirfd;
        struct outcomes *outcomes;
};

/* A directory with a history of its own. */
static int set_up(void **state)
{
        struct place *p = calloc(1, sizeof(*p));
        assert_non_null(p);
        (void) snprintf(p->path, sizeof(p->path), "/tmp/chromafs-unit-XXXXXX");
        assert_non_null(mkdtemp(p->path));
        p->dirfd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(p->dirfd >= 0);
        assert_int_equal(close(openat(p->dirfd, DB_FILE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
        assert_int_equal(mkdirat(p->dirfd, STATE_DIR, 0700), 0);
        assert_int_equal(outcomes_new(p->dirfd, &p->outcomes, NULL), 0);
        *state = p;
        return 0;
}

static int tear_down(void **state)
{
        struct place *p = *state;
        (void) outcomes_free(p->outcomes);
        (void) tree_remove(p->dirfd, STATE_DIR, NULL);
        (void) unlinkat(p->dirfd, DB_FILE, 0);
        (void) close(p->dirfd);
        (void) rmdir(p->path);
        free(p);
        return 0;
}

static void write_history(const struct place *p, int flags, const char *text)
{
        int fd = openat(p->dirfd, STATE_DIR "/history.jsonl", O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
        (void) close(fd);
}

static void add(const struct place *p, const char *text)
{
        struct json_object *o = json_tokener_parse(text);
        assert_non_null(o);
        outcomes_add(p->outcomes, o);
        (void) json_object_put(o);
}

/* The member `n` of an outcome; -1: there is none. */
static int n_of(const struct place *p, const char *operation, const char *id)
{
        struct json_object *o = outcomes_last(p->outcomes, operation, id);
        int n = o != NULL ? json_object_get_int(json_object_object_get(o, "n")) : -1;
        (void) json_object_put(o);
        return n;
}

#define LINE(operation, collection, started, n)                                                                                    \
        "{\"operation\":\"" operation "\",\"collection\":" collection ",\"started\":\"" started "\",\"n\":" #n "}"

static void each_control_has_its_own(void **state)
{
        const struct place *p = *state;
        assert_int_equal(n_of(p, NULL, NULL), -1);
        add(p, LINE("clean", "null", "2026-01-01T00:00:00Z", 1));
        add(p, LINE("clean", "\"a\"", "2026-01-01T00:00:01Z", 2));
        add(p, LINE("backup", "null", "2026-01-01T00:00:01Z", 3));
        assert_int_equal(n_of(p, "clean", NULL), 1);
        assert_int_equal(n_of(p, "clean", "a"), 2);
        assert_int_equal(n_of(p, "clean", "b"), -1);
        assert_int_equal(n_of(p, "backup", NULL), 3);
        assert_int_equal(n_of(p, NULL, NULL), 3);
        add(p, LINE("clean", "null", "2026-01-01T00:00:02Z", 4));
        assert_int_equal(n_of(p, "clean", NULL), 4);
        assert_int_equal(n_of(p, NULL, NULL), 4);
}

static void the_history_is_read_as_it_grows(void **state)
{
        const struct place *p = *state;
        write_history(p, O_APPEND, LINE("clean", "null", "2026-01-01T00:00:00Z", 1) "\n");
        assert_int_equal(n_of(p, NULL, NULL), 1);
        write_history(p, O_APPEND, LINE("clean", "\"a\"", "2026-01-01T00:00:01Z", 2) "\n");
        assert_int_equal(n_of(p, NULL, NULL), 2);
        assert_int_equal(n_of(p, "clean", NULL), 1);
        write_history(p, O_TRUNC, LINE("backup", "null", "2026-01-01T00:00:03Z", 3) "\n");
        assert_int_equal(n_of(p, NULL, NULL), 3);
        assert_int_equal(n_of(p, "backup", NULL), 3);
}

/* A dry run is in no history, and came last. */
static void what_came_last_in_a_second_stays_last(void **state)
{
        const struct place *p = *state;
        write_history(p, O_APPEND, LINE("clean", "null", "2026-01-01T00:00:00Z", 1) "\n");
        add(p, LINE("clean", "null", "2026-01-01T00:00:00Z", 1));
        add(p, LINE("clean", "null", "2026-01-01T00:00:00Z", 2));
        assert_int_equal(n_of(p, "clean", NULL), 2);
        assert_int_equal(n_of(p, NULL, NULL), 2);
        write_history(p, O_APPEND, LINE("clean", "null", "2025-01-01T00:00:00Z", 3) "\n");
        assert_int_equal(n_of(p, "clean", NULL), 2);
}

/* The clock was wrong once: what runs now is the last one all the same, here and in another mount. */
static void a_clock_that_was_wrong_hides_nothing(void **state)
{
        const struct place *p = *state;
        write_history(p, O_APPEND, LINE("clean", "null", "2099-01-01T00:00:00Z", 1) "\n");
        assert_int_equal(n_of(p, NULL, NULL), 1);
        add(p, LINE("clean", "null", "2026-01-01T00:00:00Z", 2));
        assert_int_equal(n_of(p, "clean", NULL), 2);
        assert_int_equal(n_of(p, NULL, NULL), 2);
        write_history(p, O_APPEND, LINE("clean", "null", "2026-01-01T00:00:00Z", 2) "\n");
        write_history(p, O_APPEND, LINE("backup", "null", "2026-01-01T00:00:01Z", 3) "\n");
        assert_int_equal(n_of(p, "clean", NULL), 2);
        assert_int_equal(n_of(p, NULL, NULL), 3);
        struct outcomes *other = NULL;
        assert_int_equal(outcomes_new(p->dirfd, &other, NULL), 0);
        const struct place second = { .outcomes = other };
        assert_int_equal(n_of(&second, "clean", NULL), 2);
        assert_int_equal(n_of(&second, NULL, NULL), 3);
        (void) outcomes_free(other);
}

static void a_strange_history_does_no_harm(void **state)
{
        const struct place *p = *state;
        write_history(
                p, O_APPEND,
                "\n[]\nnull\n{}\n{\"operation\":[],\"collection\":{\"id\":7},\"started\":{}}\nno json\n{\"operation\":\"clean\"}\n"
                "{\"operation\":\"clean\",\"started\":\"2026\",\"n\":5}\n{\"operation\":\"cle");
        assert_int_equal(n_of(p, "clean", NULL), 5);
        assert_int_equal(n_of(p, NULL, NULL), 5);
        assert_int_equal(n_of(p, "", NULL), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(each_control_has_its_own, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_history_is_read_as_it_grows, set_up, tear_down),
                cmocka_unit_test_setup_teardown(what_came_last_in_a_second_stays_last, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_clock_that_was_wrong_hides_nothing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_strange_history_does_no_harm, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
