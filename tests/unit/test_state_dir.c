#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/operation/state_dir.h"
#include "tests/unit/sql_dir.h"

#define USER 54321
#define GROUP 43210

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

static struct stat stat_of(const struct sql_dir *d, const char *path)
{
        struct stat st;
        assert_int_equal(fstatat(d->fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
        return st;
}

static bool exists(const struct sql_dir *d, const char *path)
{
        struct stat st;
        return fstatat(d->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void make_dir(const struct sql_dir *d, const char *path, mode_t mode)
{
        assert_int_equal(mkdirat(d->fd, path, 0700), 0);
        assert_int_equal(fchmodat(d->fd, path, mode, 0), 0);
}

static void open_it(const struct sql_dir *d)
{
        CLEANUP(state_dir_free)
        struct state_dir *s = NULL;
        struct error e = { 0 };
        if (state_dir_open(d->fd, &s, &e) < 0)
                fail_msg("%s", e.text);
        assert_int_equal(e.code, 0);
        assert_true(state_dir_fd(s) >= 0 && state_dir_stage_fd(s) >= 0 && state_dir_trash_fd(s) >= 0 &&
                    state_dir_persist_fd(s) >= 0);
}

static int try_open(const struct sql_dir *d, struct error *e)
{
        CLEANUP(state_dir_free)
        struct state_dir *s = NULL;
        return state_dir_open(d->fd, &s, e);
}

/* Both ways in refuse it, with a sentence that names it. */
static void refused(const struct sql_dir *d, const char *named)
{
        struct error e = { 0 }, e2 = { 0 };
        struct state_dir *s = NULL;
        assert_int_equal(try_open(d, &e), -EPERM);
        assert_non_null(strstr(e.text, named));
        assert_int_equal(state_dir_look(d->fd, &s, &e2), -EPERM);
        assert_null(s);
        assert_string_equal(e.text, e2.text);
}

/* Runs in a child, as USER when `uid` is set: cmocka's asserts jump, so it exits with 0 or a line number. */
static void in_child(const struct sql_dir *d, bool as_user, int (*fn)(const struct sql_dir *d))
{
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                if (as_user && (setgroups(0, NULL) < 0 || setgid(USER) < 0 || setuid(USER) < 0))
                        _exit(255);
                _exit(fn(d));
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

#define CHECK(condition)                                                                                                           \
        do {                                                                                                                       \
                if (!(condition))                                                                                                  \
                        return __LINE__ % 255 + 1;                                                                                 \
        } while (0)

static void need_root(void)
{
        if (geteuid() != 0)
                skip();
}

static void made(void **state)
{
        static const char *const paths[] = { STATE_DIR, STATE_DIR "/stage", STATE_DIR "/trash" };
        const mode_t umasks[] = { 0, 077, geteuid() == 0 ? 0777 : 027 }; /* nobody else could use what 0777 makes */
        const struct sql_dir *d = *state;
        for (size_t u = 0; u < 3; u++) {
                mode_t before = umask(umasks[u]);
                open_it(d);
                open_it(d);
                (void) umask(before);
                for (size_t i = 0; i < 3; i++) {
                        struct stat st = stat_of(d, paths[i]);
                        assert_true(S_ISDIR(st.st_mode));
                        assert_int_equal(st.st_mode & 07777, 0700);
                }
                assert_int_equal(tree_remove(d->fd, STATE_DIR, NULL), 0);
        }
}

static void looked_at(void **state)
{
        const struct sql_dir *d = *state;
        struct state_dir *s = NULL;
        struct error e = { 0 };
        assert_int_equal(state_dir_look(d->fd, &s, &e), 0);
        assert_null(s);
        assert_false(exists(d, STATE_DIR));
        make_dir(d, STATE_DIR, 0700);
        assert_int_equal(state_dir_look(d->fd, &s, &e), 0);
        assert_true(state_dir_fd(s) >= 0);
        assert_int_equal(state_dir_stage_fd(s), -1);
        assert_int_equal(state_dir_trash_fd(s), -1);
        assert_false(exists(d, STATE_DIR "/stage"));
        s = state_dir_free(s);
        open_it(d); /* what a crash between the three left is completed */
        assert_int_equal(state_dir_look(d->fd, &s, &e), 0);
        assert_true(state_dir_stage_fd(s) >= 0 && state_dir_trash_fd(s) >= 0);
        assert_null(state_dir_free(s));
        assert_int_equal(e.code, 0);
}

static void not_a_directory(void **state)
{
        static const char *const paths[] = { STATE_DIR, STATE_DIR "/stage", STATE_DIR "/trash" };
        const struct sql_dir *d = *state;
        for (size_t i = 0; i < 3; i++) {
                if (i > 0)
                        open_it(d);
                if (i > 0)
                        assert_int_equal(unlinkat(d->fd, paths[i], AT_REMOVEDIR), 0);
                make_dir(d, "elsewhere", 0700);
                char target[128];
                (void) snprintf(target, sizeof(target), "%s/elsewhere", d->path);
                assert_int_equal(symlinkat(target, d->fd, paths[i]), 0);
                refused(d, paths[i]);
                assert_int_equal(unlinkat(d->fd, "elsewhere", AT_REMOVEDIR), 0); /* still empty */
                assert_int_equal(unlinkat(d->fd, paths[i], 0), 0);
                assert_int_equal(symlinkat(".", d->fd, paths[i]), 0);
                refused(d, paths[i]);
                assert_int_equal(unlinkat(d->fd, paths[i], 0), 0);
                assert_int_equal(mkfifoat(d->fd, paths[i], 0600), 0);
                refused(d, paths[i]);
                assert_int_equal(unlinkat(d->fd, paths[i], 0), 0);
                assert_int_equal(close(openat(d->fd, paths[i], O_WRONLY | O_CREAT, 0600)), 0);
                refused(d, paths[i]);
                assert_int_equal(unlinkat(d->fd, paths[i], 0), 0);
        }
}

static void open_to_others(void **state)
{
        static const mode_t modes[] = { 0720, 0702, 0777, 01777 };
        const struct sql_dir *d = *state;
        open_it(d);
        for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
                assert_int_equal(fchmodat(d->fd, STATE_DIR "/trash", modes[i], 0), 0);
                refused(d, STATE_DIR "/trash");
                assert_int_equal(fchmodat(d->fd, STATE_DIR "/trash", 0700, 0), 0);
                assert_int_equal(fchmodat(d->fd, STATE_DIR, modes[i], 0), 0);
                refused(d, STATE_DIR " ");
                assert_int_equal(stat_of(d, STATE_DIR).st_mode & 07777, modes[i]);
                assert_int_equal(fchmodat(d->fd, STATE_DIR, 0700, 0), 0);
        }
        open_it(d);
}

static void another_owner(void **state)
{
        need_root();
        const struct sql_dir *d = *state;
        open_it(d);
        assert_int_equal(fchownat(d->fd, STATE_DIR "/stage", USER, GROUP, 0), 0);
        refused(d, STATE_DIR "/stage");
        assert_int_equal(fchownat(d->fd, DB_FILE, USER, GROUP, 0), 0);
        open_it(d); /* now that one is the database's */
        assert_int_equal(fchownat(d->fd, DB_FILE, 0, 0, 0), 0);
        refused(d, STATE_DIR "/stage");
        assert_int_equal(fchown(d->fd, USER, GROUP), 0);
        open_it(d); /* or the directory's */
}

static int on_another_file_system(const struct sql_dir *outside)
{
        char path[128];
        struct sql_dir here = *outside, *d = &here;
        CHECK(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        d->fd = open(d->path, O_RDONLY | O_DIRECTORY); /* that from before leads to the other namespace */
        static const char *const places[] = { STATE_DIR "/stage", STATE_DIR };
        for (int i = 0; i < 2; i++) {
                struct error e = { 0 };
                (void) snprintf(path, sizeof(path), "%s/%s", d->path, places[i]);
                CHECK(mount("tmpfs", path, "tmpfs", 0, "mode=0700") == 0);
                CHECK(try_open(d, &e) == -EPERM && strstr(e.text, "another file system") != NULL);
                CHECK(umount(path) == 0);
                CHECK(mount(path, path, NULL, MS_BIND, NULL) == 0); /* the same device: still a mount */
                CHECK(try_open(d, &e) == -EPERM);
                CHECK(umount(path) == 0);
        }
        return try_open(d, NULL) == 0 ? 0 : 254;
}

static void another_file_system(void **state)
{
        need_root();
        open_it(*state);
        in_child(*state, false, on_another_file_system);
}

static int is_opened(const struct sql_dir *d)
{
        return try_open(d, NULL) == 0 ? 0 : 254;
}

/* Root works in a user's directory, and the user works on. */
static void of_a_user(void **state)
{
        need_root();
        static const char *const paths[] = { STATE_DIR, STATE_DIR "/stage", STATE_DIR "/trash" };
        const struct sql_dir *d = *state;
        assert_int_equal(fchown(d->fd, USER, USER), 0);
        assert_int_equal(fchmod(d->fd, 02755), 0); /* its group would be inherited */
        assert_int_equal(fchownat(d->fd, DB_FILE, USER, GROUP, 0), 0);
        open_it(d);
        for (size_t i = 0; i < 3; i++) {
                struct stat st = stat_of(d, paths[i]);
                assert_int_equal(st.st_uid, USER);
                assert_int_equal(st.st_gid, GROUP);
                assert_int_equal(st.st_mode & 07777, 0700);
        }
        in_child(d, true, is_opened);
        assert_int_equal(tree_remove(d->fd, STATE_DIR, NULL), 0);
        in_child(d, true, is_opened); /* GROUP is not the user's: no failure, since 0700 gives it nothing */
        assert_int_equal(stat_of(d, STATE_DIR).st_uid, USER);
}

/* Root was killed before it gave away what it had made. */
static void left_by_root(void **state)
{
        need_root();
        const struct sql_dir *d = *state;
        assert_int_equal(fchown(d->fd, USER, USER), 0);
        assert_int_equal(fchownat(d->fd, DB_FILE, USER, USER, 0), 0);
        make_dir(d, STATE_DIR, 0700);
        open_it(d);
        assert_int_equal(stat_of(d, STATE_DIR).st_uid, USER);
        assert_int_equal(tree_remove(d->fd, STATE_DIR, NULL), 0);
        make_dir(d, STATE_DIR, 0700); /* something of root's that someone renamed: not given away */
        make_dir(d, STATE_DIR "/secret", 0700);
        open_it(d);
        assert_int_equal(stat_of(d, STATE_DIR).st_uid, 0);
        assert_int_equal(stat_of(d, STATE_DIR "/secret").st_uid, 0);
}

static int cannot_make(const struct sql_dir *d)
{
        struct error e = { 0 };
        CHECK(try_open(d, &e) == -EACCES && strstr(e.text, STATE_DIR) != NULL);
        return exists(d, STATE_DIR) ? 254 : 0;
}

/* The user may write here, but could not give what it makes to the owner of the database: nothing is left. */
static int cannot_give(const struct sql_dir *d)
{
        struct error e = { 0 };
        CHECK(try_open(d, &e) == -EPERM && strstr(e.text, "user 7") != NULL);
        return exists(d, STATE_DIR) ? 254 : 0;
}

static void not_permitted(void **state)
{
        need_root();
        const struct sql_dir *d = *state;
        assert_int_equal(fchmod(d->fd, 0755), 0);
        in_child(d, true, cannot_make);
        assert_int_equal(fchownat(d->fd, DB_FILE, 7, 7, 0), 0);
        assert_int_equal(fchown(d->fd, USER, USER), 0);
        in_child(d, true, cannot_give);
}

static int own_for_group(const struct sql_dir *d)
{
        CLEANUP(state_dir_free)
        struct state_dir *s = NULL;
        struct error e = { 0 };
        CHECK(state_dir_open(d->fd, &s, NULL) == 0);
        int fd = openat(state_dir_fd(s), "file", O_RDWR | O_CREAT, 0600);
        CHECK(fd >= 0 && state_dir_own(s, fd, &e) == 0 && e.code == 0);
        CHECK(fchmod(fd, 0640) == 0 && state_dir_own(s, fd, &e) == -EPERM);
        CHECK(strstr(e.text, "group 43210") != NULL);
        return 0;
}

static void owned(void **state)
{
        need_root();
        const struct sql_dir *d = *state;
        assert_int_equal(fchown(d->fd, USER, USER), 0);
        assert_int_equal(fchownat(d->fd, DB_FILE, USER, GROUP, 0), 0);
        in_child(d, true, own_for_group);
        CLEANUP(state_dir_free)
        struct state_dir *s = NULL;
        assert_int_equal(state_dir_open(d->fd, &s, NULL), 0);
        int fd = openat(state_dir_fd(s), "file", O_RDWR);
        assert_int_equal(state_dir_own(s, fd, NULL), 0);
        assert_int_equal(stat_of(d, STATE_DIR "/file").st_gid, GROUP);
        assert_int_equal(close(fd), 0);
}

static void without_database(void **state)
{
        const struct sql_dir *d = *state;
        struct error e = { 0 };
        assert_int_equal(renameat(d->fd, DB_FILE, d->fd, "moved"), 0);
        assert_int_equal(try_open(d, &e), -ENOENT);
        assert_int_equal(symlinkat("moved", d->fd, DB_FILE), 0);
        assert_int_equal(try_open(d, &e), -EPERM);
        assert_non_null(strstr(e.text, DB_FILE));
        assert_false(exists(d, STATE_DIR));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
                TEST(made),           TEST(looked_at),        TEST(not_a_directory),
                TEST(open_to_others), TEST(another_owner),    TEST(another_file_system),
                TEST(of_a_user),      TEST(left_by_root),     TEST(not_permitted),
                TEST(owned),          TEST(without_database),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
