#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/json.h"
#include "ops/operation/history.h"
#include "tests/unit/sql_dir.h"

#define HISTORY_PATH STATE_DIR "/" HISTORY_FILE

struct place {
        struct sql_dir dir;
        struct state_dir *state;
};

static int setup(void **state)
{
        static struct place p;
        struct error e = { 0 };
        sql_dir_make(&p.dir);
        if (state_dir_open(p.dir.fd, &p.state, &e) < 0)
                fail_msg("%s", e.text);
        *state = &p;
        return 0;
}

static int teardown(void **state)
{
        struct place *p = *state;
        p->state = state_dir_free(p->state);
        sql_dir_remove(&p->dir);
        return 0;
}

static struct json_object *outcome_of(int number, const char *result)
{
        struct json_object *outcome = json_object_new_object();
        assert_int_equal(json_add(outcome, "number", json_object_new_int(number)), 0);
        assert_int_equal(json_add(outcome, "result", json_string(result)), 0);
        assert_int_equal(json_add(outcome, "after", NULL), 0);
        return outcome;
}

static int try_add(const struct place *p, int number, const char *result, struct error *e)
{
        struct json_object *outcome = outcome_of(number, result);
        int r = history_add(p->state, outcome, e);
        json_object_put(outcome);
        return r;
}

static void add(const struct place *p, int number, const char *result)
{
        struct error e = { 0 };
        if (try_add(p, number, result, &e) < 0)
                fail_msg("%s", e.text);
}

/* What is read must be `expected`. */
static void check(const struct place *p, const char *expected)
{
        struct text t = { 0 };
        struct error e = { 0 };
        if (history_read(p->dir.fd, &t, &e) < 0)
                fail_msg("%s", e.text);
        assert_int_equal(t.len, strlen(t.bytes));
        assert_string_equal(t.bytes, expected);
        free(t.bytes);
}

static void write_file(const struct place *p, const char *bytes, size_t len, int flags)
{
        int fd = openat(p->dir.fd, HISTORY_PATH, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, len), len);
        (void) close(fd);
}

static uint64_t size_of_file(const struct place *p)
{
        return file_stamp_at(p->dir.fd, HISTORY_PATH).size;
}

static void nothing(void **state)
{
        const struct place *p = *state;
        check(p, "");
        struct sql_dir bare;
        sql_dir_make(&bare);
        struct text t = { 0 };
        assert_int_equal(history_read(bare.fd, &t, NULL), 0);
        assert_string_equal(t.bytes, "");
        free(t.bytes);
        assert_false(file_stamp_at(bare.fd, STATE_DIR).present);
        sql_dir_remove(&bare);
}

static void lines(void **state)
{
        const struct place *p = *state;
        add(p, 1, "a/b");
        check(p, "{\"number\":1,\"result\":\"a/b\",\"after\":null}\n");
        add(p, 2, "new\nline \xff ä");
        check(p, "{\"number\":1,\"result\":\"a/b\",\"after\":null}\n"
                 "{\"number\":2,\"result\":\"new\\nline \\udcff ä\",\"after\":null}\n");
        struct file_stamp stamp = file_stamp_at(p->dir.fd, HISTORY_PATH);
        assert_int_equal(stamp.mode & 07777, 0600);
        assert_int_equal(faccessat(state_dir_stage_fd(p->state), "tmp.history", F_OK, 0), -1);
}

/* Whatever the umask: the owner must be able to go on with it, and chromafs too. */
static void umasked(void **state)
{
        const struct place *p = *state;
        mode_t before = umask(0777);
        add(p, 1, "x");
        (void) umask(before);
        assert_int_equal(file_stamp_at(p->dir.fd, HISTORY_PATH).mode & 07777, 0600);
}

static void torn_line(void **state)
{
        const struct place *p = *state;
        add(p, 1, "x");
        write_file(p, "{\"number\":2,\"res", 16, O_APPEND);
        check(p, "{\"number\":1,\"result\":\"x\",\"after\":null}\n");
        add(p, 3, "y");
        check(p, "{\"number\":1,\"result\":\"x\",\"after\":null}\n{\"number\":3,\"result\":\"y\",\"after\":null}\n");
}

static void foreign_lines(void **state)
{
        const struct place *p = *state;
        static const char bytes[] =
                "{\"a\":1}\n\n[1]\nnull\n7\n{\"a\":}\n{\"b\":\"\xff\"}\n{\"c\":\"\0\"}\n{\"d\":2} {}\n\0\n{\"e\":3}\n{\"f\":4}";
        write_file(p, bytes, sizeof(bytes) - 1, 0);
        check(p, "{\"a\":1}\n{\"e\":3}\n");
        add(p, 5, "z"); /* which makes the last line a whole one */
        check(p, "{\"a\":1}\n{\"e\":3}\n{\"f\":4}\n{\"number\":5,\"result\":\"z\",\"after\":null}\n");
}

static void deep_line(void **state)
{
        const struct place *p = *state;
        static char bytes[4096];
        memset(bytes, '[', sizeof(bytes) - 1);
        bytes[sizeof(bytes) - 1] = '\n';
        write_file(p, bytes, sizeof(bytes), 0);
        check(p, "");
}

/* A result of 5 MiB is left out; the line is not. */
static void long_line(void **state)
{
        const struct place *p = *state;
        char *result = malloc((5u << 20) + 1);
        assert_non_null(result);
        memset(result, 'x', 5u << 20);
        result[5u << 20] = '\0';
        add(p, 1, result);
        check(p, "{\"number\":1,\"result\":null,\"after\":null}\n");
        free(result);
}

/* Lines of 1 MiB, until the older half goes: the newest stay, all whole. */
static void grows(void **state)
{
        const struct place *p = *state;
        static char result[(1u << 20) + 1];
        memset(result, 'r', sizeof(result) - 1);
        int shortened = 0;
        uint64_t before = 0;
        for (int i = 0; i < 30; i++) {
                add(p, i, result);
                uint64_t now = size_of_file(p);
                shortened += now < before;
                before = now;
                assert_true(now <= HISTORY_SIZE_MAX);
        }
        assert_true(shortened == 2);
        struct text t = { 0 };
        assert_int_equal(history_read(p->dir.fd, &t, NULL), 0);
        assert_int_equal(t.len, before);
        int next = -1;
        for (const char *line = t.bytes; *line != '\0'; line = strchr(line, '\n') + 1) {
                int number = (int) strtol(line + strlen("{\"number\":"), NULL, 10);
                assert_true(next == -1 ? number > 0 : number == next);
                next = number + 1;
        }
        assert_int_equal(next, 30);
        free(t.bytes);
        assert_int_equal(file_stamp_at(p->dir.fd, HISTORY_PATH).mode & 07777, 0600);
        assert_int_equal(faccessat(state_dir_stage_fd(p->state), "tmp.history", F_OK, 0), -1);
}

/* Whoever has the file open reads on in the old one; and what a crash left in the stage is in nobody's way. */
static void shortened_aside(void **state)
{
        const struct place *p = *state;
        static char bytes[HISTORY_SIZE_MAX];
        memset(bytes, '\n', sizeof(bytes));
        memcpy(bytes + sizeof(bytes) - 8, "{\"z\":9}\n", 8);
        write_file(p, bytes, sizeof(bytes), 0);
        int old = openat(p->dir.fd, HISTORY_PATH, O_RDONLY | O_CLOEXEC);
        int left = openat(state_dir_stage_fd(p->state), "tmp.history", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(left, "garbage", 7), 7);
        (void) close(left);
        add(p, 1, "x");
        struct stat st;
        assert_int_equal(fstat(old, &st), 0);
        assert_int_equal(st.st_size, HISTORY_SIZE_MAX);
        (void) close(old);
        assert_true(size_of_file(p) < HISTORY_SIZE_MAX);
        check(p, "{\"z\":9}\n{\"number\":1,\"result\":\"x\",\"after\":null}\n");
}

/* A file of a terabyte, of holes: neither read nor copied as a whole. */
static void huge_file(void **state)
{
        const struct place *p = *state;
        write_file(p, "{\"a\":1}\n", 8, 0);
        int fd = openat(p->dir.fd, HISTORY_PATH, O_RDWR | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, (off_t) 1 << 40), 0);
        (void) close(fd);
        check(p, "");
        add(p, 1, "x");
        assert_true(size_of_file(p) < HISTORY_SIZE_MAX);
        check(p, "{\"number\":1,\"result\":\"x\",\"after\":null}\n");
}

static void check_refused(const struct place *p, int read_code)
{
        struct text t = { 0 };
        struct error e = { 0 };
        assert_int_equal(try_add(p, 1, "x", &e), -EPERM);
        assert_non_null(strstr(e.text, HISTORY_FILE));
        assert_int_equal(history_read(p->dir.fd, &t, &e), read_code);
        assert_int_equal(e.code, read_code);
        assert_null(t.bytes);
        assert_int_equal(unlinkat(p->dir.fd, HISTORY_PATH, 0), 0);
}

static void not_ours(void **state)
{
        const struct place *p = *state;
        write_file(p, "", 0, 0);
        assert_int_equal(renameat(p->dir.fd, HISTORY_PATH, p->dir.fd, "victim"), 0);
        assert_int_equal(symlinkat("../victim", p->dir.fd, HISTORY_PATH), 0);
        check_refused(p, -ELOOP);
        assert_int_equal(symlinkat("nowhere", p->dir.fd, HISTORY_PATH), 0);
        check_refused(p, -ELOOP);
        assert_int_equal(linkat(p->dir.fd, "victim", p->dir.fd, HISTORY_PATH, 0), 0);
        check_refused(p, -EPERM);
        assert_int_equal(mkfifoat(p->dir.fd, HISTORY_PATH, 0600), 0);
        check_refused(p, -EILSEQ);
        assert_int_equal(file_stamp_at(p->dir.fd, "victim").size, 0);
        if (geteuid() != 0)
                return;
        add(p, 1, "x");
        assert_int_equal(fchownat(p->dir.fd, HISTORY_PATH, 12345, 12345, 0), 0);
        assert_int_equal(try_add(p, 1, "x", NULL), 0 - EPERM);
        assert_int_equal(unlinkat(p->dir.fd, HISTORY_PATH, 0), 0);
}

static void is_directory(void **state)
{
        const struct place *p = *state;
        struct text t = { 0 };
        assert_int_equal(mkdirat(p->dir.fd, HISTORY_PATH, 0700), 0);
        assert_true(try_add(p, 1, "x", NULL) < 0);
        assert_true(history_read(p->dir.fd, &t, NULL) < 0);
}

/* A disk that gets full in the middle of a line: nothing of it stays. */
static void no_room(void **state)
{
        const struct place *p = *state;
        struct error e = { 0 };
        static char result[2000];
        memset(result, 'r', sizeof(result) - 1);
        add(p, 1, "x");
        uint64_t before = size_of_file(p);
        (void) signal(SIGXFSZ, SIG_IGN);
        struct rlimit old, limit;
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
        limit = old;
        limit.rlim_cur = 1000;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        int r = try_add(p, 2, result, &e);
        uint64_t after = size_of_file(p);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        (void) signal(SIGXFSZ, SIG_DFL);
        assert_int_equal(r, -EFBIG);
        assert_int_equal(e.code, -EFBIG);
        assert_int_equal(after, before);
        add(p, 3, "y");
        check(p, "{\"number\":1,\"result\":\"x\",\"after\":null}\n{\"number\":3,\"result\":\"y\",\"after\":null}\n");
}

/* Root works on a user's directory: the file is the user's. */
static void for_its_owner(void **state)
{
        const struct place *p = *state;
        if (geteuid() != 0)
                skip();
        assert_int_equal(fchownat(p->dir.fd, DB_FILE, 12345, 12346, 0), 0);
        CLEANUP(state_dir_free)
        struct state_dir *other = NULL;
        assert_int_equal(state_dir_open(p->dir.fd, &other, NULL), 0);
        struct json_object *outcome = outcome_of(1, "x");
        assert_int_equal(history_add(other, outcome, NULL), 0);
        assert_int_equal(history_add(other, outcome, NULL), 0);
        json_object_put(outcome);
        struct file_stamp stamp = file_stamp_at(p->dir.fd, HISTORY_PATH);
        assert_int_equal(stamp.uid, 12345);
        assert_int_equal(stamp.gid, 12346);
}

/* The owner of the directory has put a file of root's here: root neither writes to it nor shows it, nor makes a copy that the owner can read. */
static void of_root(void **state)
{
        const struct place *p = *state;
        struct error e = { 0 };
        struct text t = { 0 };
        if (geteuid() != 0)
                skip();
        add(p, 1, "secret");
        assert_int_equal(fchown(p->dir.fd, 12345, 12345), 0);
        assert_int_equal(fchownat(p->dir.fd, DB_FILE, 12345, 12345, 0), 0);
        assert_int_equal(fchown(state_dir_fd(p->state), 12345, 12345), 0);
        uint64_t size = size_of_file(p);
        assert_int_equal(try_add(p, 2, "x", &e), -EPERM);
        assert_int_equal(history_read(p->dir.fd, &t, &e), -EPERM);
        assert_true(size_of_file(p) == size);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(lines, setup, teardown),
                cmocka_unit_test_setup_teardown(umasked, setup, teardown),
                cmocka_unit_test_setup_teardown(of_root, setup, teardown),
                cmocka_unit_test_setup_teardown(torn_line, setup, teardown),
                cmocka_unit_test_setup_teardown(foreign_lines, setup, teardown),
                cmocka_unit_test_setup_teardown(deep_line, setup, teardown),
                cmocka_unit_test_setup_teardown(long_line, setup, teardown),
                cmocka_unit_test_setup_teardown(grows, setup, teardown),
                cmocka_unit_test_setup_teardown(shortened_aside, setup, teardown),
                cmocka_unit_test_setup_teardown(huge_file, setup, teardown),
                cmocka_unit_test_setup_teardown(not_ours, setup, teardown),
                cmocka_unit_test_setup_teardown(is_directory, setup, teardown),
                cmocka_unit_test_setup_teardown(no_room, setup, teardown),
                cmocka_unit_test_setup_teardown(for_its_owner, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
