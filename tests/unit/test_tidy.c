#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/operation/plain_dir.h"
#include "ops/operation/tidy.h"
#include "tests/unit/sql_dir.h"

#define STAGE STATE_DIR "/stage"
#define TRASH STATE_DIR "/trash"

static int setup(void **state)
{
        static struct sql_dir d;
        sql_dir_make(&d);
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        sql_dir_remove(*state);
        return 0;
}

static struct state_dir *open_it(const struct sql_dir *d)
{
        struct state_dir *s = NULL;
        struct error e = { 0 };
        if (state_dir_open(d->fd, &s, &e) < 0)
                fail_msg("%s", e.text);
        return s;
}

static bool exists(int fd, const char *path)
{
        struct stat st;
        return fstatat(fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put(const struct sql_dir *d, const char *path, const char *content)
{
        int fd = openat(d->fd, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, strlen(content)), strlen(content));
        assert_int_equal(close(fd), 0);
}

static void make_dir(const struct sql_dir *d, const char *path)
{
        assert_int_equal(mkdirat(d->fd, path, 0700), 0);
}

/* The only folder of the trash; "" when there is none. */
static void find_folder(const struct state_dir *s, char name[64])
{
        CLEANUP(closedir)
        DIR *dir = NULL;
        const char *entry = NULL;
        int count = 0;
        name[0] = '\0';
        assert_int_equal(plain_dir_list(state_dir_trash_fd(s), &dir, NULL), 0);
        while (plain_dir_next(dir, &entry, NULL) > 0) {
                (void) snprintf(name, 64, "%s", entry);
                count++;
        }
        assert_true(count <= 1);
}

static void tidied(struct state_dir *s)
{
        struct error e = { 0 };
        if (tidy(s, &e) < 0)
                fail_msg("%s", e.text);
        assert_int_equal(e.code, 0);
        assert_int_equal(plain_dir_holds(state_dir_stage_fd(s), NULL, NULL), 0);
}

static void nothing(void **state)
{
        const struct sql_dir *d = *state;
        char name[64];
        assert_false(tidy_is_needed(d->fd));
        assert_false(exists(d->fd, STATE_DIR));
        CLEANUP(state_dir_free)
        struct state_dir *s = open_it(d);
        assert_false(tidy_is_needed(d->fd));
        tidied(s);
        find_folder(s, name);
        assert_string_equal(name, "");
}

static void losers(void **state)
{
        const struct sql_dir *d = *state;
        char name[64], path[300], json[1000] = "";
        CLEANUP(state_dir_free)
        struct state_dir *s = open_it(d);
        make_dir(d, STAGE "/segment");
        put(d, STAGE "/segment/header.bin", "1");
        put(d, STAGE "/rows", "2");
        put(d, STAGE "/trash.json", "3"); /* even so */
        make_dir(d, "outside");
        put(d, "outside/file", "");
        assert_int_equal(symlinkat("../../outside", d->fd, STAGE "/link"), 0);
        assert_true(tidy_is_needed(d->fd));
        assert_true(exists(d->fd, STAGE "/rows"));
        find_folder(s, name);
        assert_string_equal(name, ""); /* it only looked */
        tidied(s);
        find_folder(s, name);
        assert_string_not_equal(name, "");
        int fd = openat(state_dir_trash_fd(s), name, O_RDONLY | O_DIRECTORY);
        static const char *const there[] = { "segment/header.bin", "rows", "trash.json", "trash.json-2", "link" };
        for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++)
                assert_true(exists(fd, there[i]));
        assert_int_equal(close(fd), 0);
        (void) snprintf(path, sizeof(path), TRASH "/%s/trash.json", name);
        fd = openat(d->fd, path, O_RDONLY);
        assert_true(read(fd, json, sizeof(json) - 1) > 0);
        assert_int_equal(close(fd), 0);
        assert_non_null(strstr(json, "\"operation\": \"tidy\""));
        assert_non_null(strstr(json, "\"keep_days\": 7"));
        assert_true(exists(d->fd, "outside/file"));
        assert_false(tidy_is_needed(d->fd));
        tidied(s); /* and again: nothing new */
        find_folder(s, path);
        assert_string_equal(path, name);
}

static void temporary(void **state)
{
        const struct sql_dir *d = *state;
        char name[64], path[300];
        CLEANUP(state_dir_free)
        struct state_dir *s = open_it(d);
        put(d, STAGE "/tmp.sqlite-0123456789abcdef", "x");
        put(d, STAGE "/tmp.rows", "x");
        assert_int_equal(symlinkat("../../" DB_FILE, d->fd, STAGE "/tmp.link"), 0);
        assert_true(tidy_is_needed(d->fd));
        tidied(s);
        find_folder(s, name);
        assert_string_equal(name, "");
        assert_true(exists(d->fd, DB_FILE));
        make_dir(d, STAGE "/tmp.dir"); /* not a file: kept like others */
        put(d, STAGE "/xtmp.", "x");
        tidied(s);
        find_folder(s, name);
        (void) snprintf(path, sizeof(path), TRASH "/%s/tmp.dir", name);
        assert_true(exists(d->fd, path));
        (void) snprintf(path, sizeof(path), TRASH "/%s/xtmp.", name);
        assert_true(exists(d->fd, path));
}

static void old_trash(void **state)
{
        const struct sql_dir *d = *state;
        CLEANUP(state_dir_free)
        struct state_dir *s = open_it(d);
        make_dir(d, TRASH "/20200101T000000Z");
        make_dir(d, TRASH "/somebody");
        assert_true(tidy_is_needed(d->fd));
        assert_true(exists(d->fd, TRASH "/20200101T000000Z"));
        tidied(s);
        assert_false(exists(d->fd, TRASH "/20200101T000000Z"));
        assert_true(exists(d->fd, TRASH "/somebody"));
        assert_false(tidy_is_needed(d->fd));
}

static void refused(void **state)
{
        const struct sql_dir *d = *state;
        assert_null(state_dir_free(open_it(d)));
        put(d, STAGE "/rows", "2");
        assert_int_equal(fchmodat(d->fd, STATE_DIR, 0777, 0), 0);
        assert_false(tidy_is_needed(d->fd)); /* nothing that we would touch */
        assert_int_equal(fchmodat(d->fd, STATE_DIR, 0700, 0), 0);
        assert_true(tidy_is_needed(d->fd));
}

/* In a child without root's rights: 0, or which step failed. */
static int with_a_fixed_one(const struct sql_dir *d)
{
        struct error e = { 0 };
        struct state_dir *s = NULL;
        if (geteuid() == 0 && (setgid(54321) < 0 || setuid(54321) < 0))
                return 1;
        if (state_dir_open(d->fd, &s, NULL) < 0 || mkdirat(d->fd, STAGE "/fixed", 0500) < 0 ||
            mkdirat(d->fd, STAGE "/other", 0700) < 0)
                return 2;
        if (tidy(s, &e) != -EACCES || strstr(e.text, "fixed") == NULL)
                return 3;
        (void) state_dir_free(s);
        return exists(d->fd, STAGE "/fixed") && !exists(d->fd, STAGE "/other") ? 0 : 4;
}

/* An entry that can't be moved stays where it was, and the others don't wait for it. */
static void stays(void **state)
{
        const struct sql_dir *d = *state;
        int status = 0;
        if (geteuid() == 0) {
                assert_int_equal(fchown(d->fd, 54321, 54321), 0);
                assert_int_equal(fchownat(d->fd, DB_FILE, 54321, 54321, 0), 0);
        }
        pid_t pid = fork();
        if (pid == 0)
                _exit(with_a_fixed_one(d));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(fchmodat(d->fd, STAGE "/fixed", 0700, 0), 0);
}

static void as_operation(void **state)
{
        const struct sql_dir *d = *state;
        CLEANUP(state_dir_free)
        struct state_dir *s = open_it(d);
        put(d, STAGE "/rows", "2");
        struct operation op = { .type = &operation_tidy, .dirfd = d->fd, .result = json_object_new_object() };
        struct json_object *needed = NULL;
        assert_false(operation_tidy.beside_live);
        assert_true(operation_tidy.silent);
        assert_int_equal(operation_tidy.run(&op), 0); /* dry_run */
        assert_true(json_object_object_get_ex(op.result, "needed", &needed));
        assert_true(json_object_get_boolean(needed));
        assert_true(exists(d->fd, STAGE "/rows"));
        op.state = s;
        assert_int_equal(operation_tidy.run(&op), 0);
        assert_false(exists(d->fd, STAGE "/rows"));
        json_object_put(op.result);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
                TEST(nothing), TEST(losers), TEST(temporary), TEST(old_trash), TEST(refused), TEST(stays), TEST(as_operation),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
