/* A switch in a directory that belongs to somebody else, or that can't be tidied. */
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

#include "ops/index_summary.h"
#include "ops/commit/commit.h"
#include "ops/commit/switch.h"
#include "ops/operation/plain_dir.h"
#include "ops/operation/tidy.h"
#include "tests/unit/clean_dir.h"

#define STRANGER 65534

static struct clean_dir d;
static struct operation op;
static struct command *command;
static struct catalog *catalog;
static char old[37];

static int setup(void **state)
{
        (void) state;
        clean_dir_make(&d, CLEAN_RUST);
        clean_dir_filled(&d, 1, 3, 1, 3);
        (void) test_uuid(CLEAN_VECTOR + 1, old);
        assert_int_equal(fchdir(d.sql.fd), 0);
        assert_int_equal(command_parse(operation_commit.options, "", 0, &command, NULL), 0);
        op = (struct operation){ .type = &operation_commit, .command = command, .dirfd = d.sql.fd };
        assert_int_equal(state_dir_open(d.sql.fd, &op.state, NULL), 0);
        struct db *db = sql_dir_open(&d.sql);
        assert_int_equal(catalog_read(db, &catalog, NULL), 0);
        (void) db_close(db);
        return 0;
}

static int teardown(void **state)
{
        (void) state;
        (void) catalog_free(catalog);
        (void) command_free(command);
        (void) state_dir_free(op.state);
        clean_dir_remove(&d);
        return 0;
}

static void succeeds(int r)
{
        if (r < 0)
                fail_msg("%d: %s", r, op.error.text);
}

static void make_file(int dirfd, const char *name)
{
        int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "new", 3), 3);
        assert_int_equal(close(fd), 0);
}

static struct commit_switch *begin(void)
{
        struct commit_switch *s = NULL;
        succeeds(commit_switch_begin(&op, catalog_segment(catalog, old), &s));
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                make_file(commit_switch_fd(s), index_file_names[i]);
        return s;
}

static struct stat stat_of(const char *path)
{
        struct stat st;
        assert_int_equal(fstatat(d.sql.fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
        return st;
}

static const char *in_old(const char *name)
{
        static char path[128];
        (void) snprintf(path, sizeof(path), "%s/%s", old, name);
        return path;
}

/* Other files in the place of those that were made keep their owner and their mode, and the index does not take its place. */
static void refuses(struct commit_switch *s, const char *said)
{
        char id[37];
        memcpy(id, commit_switch_id(s), sizeof(id));
        assert_int_equal(commit_switch_place(s, &op.error), -EPERM);
        assert_non_null(strstr(op.error.text, said));
        (void) commit_switch_free(s);
        assert_int_equal(faccessat(d.sql.fd, id, F_OK, 0), -1);
}

static void test_file_that_was_linked_there(void **state)
{
        (void) state;
        assert_int_equal(fchmodat(d.sql.fd, in_old("header.bin"), 0644, 0), 0);
        make_file(d.sql.fd, "secret");
        struct commit_switch *s = begin();
        assert_int_equal(unlinkat(commit_switch_fd(s), "header.bin", 0), 0);
        assert_int_equal(linkat(d.sql.fd, "secret", commit_switch_fd(s), "header.bin", 0), 0);
        refuses(s, "exchanged");
        assert_int_equal(stat_of("secret").st_mode & 07777, 0600);
}

static void test_file_that_was_moved_there(void **state)
{
        (void) state;
        struct statx born;
        make_file(d.sql.fd, "secret");
        assert_int_equal(statx(d.sql.fd, "secret", 0, STATX_BTIME, &born), 0);
        if ((born.stx_mask & STATX_BTIME) == 0)
                skip();
        int fd = openat(d.sql.fd, "secret", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(usleep(20000), 0); /* the file system's clock ticks */
        struct commit_switch *s = begin();
        assert_int_equal(renameat(d.sql.fd, "secret", commit_switch_fd(s), "header.bin"), 0);
        refuses(s, "exchanged");
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(close(fd), 0);
}

static void test_set_id_bits_are_not_copied(void **state)
{
        (void) state;
        static const mode_t modes[] = { 04755, 02755 };
        for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
                assert_int_equal(fchmodat(d.sql.fd, in_old("length.bin"), modes[i], 0), 0);
                refuses(begin(), "set-id");
        }
}

/* What tidying can't do refuses no operation, and is done when it can be. */

static void leave_the_old_one(void)
{
        struct commit_switch *s = begin();
        struct write_db *w = NULL;
        bool left = false;
        assert_int_equal(fchmodat(d.sql.fd, old, 0555, 0), 0);
        succeeds(commit_switch_place(s, &op.error));
        succeeds(write_db_open(op.state, NULL, NULL, &w, &op.error));
        succeeds(write_db_begin(w, NULL, &op.error));
        succeeds(commit_switch_write(s, w, &op.error));
        succeeds(write_db_commit(w, &op.error));
        (void) write_db_close(w);
        assert_int_equal(commit_switch_end(s, &left, &op.error), -EACCES);
        assert_true(left);
        (void) commit_switch_free(s);
}

static void as_stranger(void)
{
        if (setresgid(STRANGER, STRANGER, STRANGER) < 0 || setresuid(STRANGER, STRANGER, STRANGER) < 0)
                _exit(3);
        (void) state_dir_free(op.state);
        op.state = NULL;
        if (state_dir_open(d.sql.fd, &op.state, NULL) < 0)
                _exit(4);
        leave_the_old_one();
        if (tidy_stage(op.state, NULL) != 0 || faccessat(d.sql.fd, old, F_OK, 0) < 0 || !tidy_is_needed(d.sql.fd))
                _exit(5);
        if (fchmodat(d.sql.fd, old, 0755, 0) < 0 || tidy_stage(op.state, NULL) != 0 || faccessat(d.sql.fd, old, F_OK, 0) == 0)
                _exit(6);
        _exit(tidy_is_needed(d.sql.fd) ? 7 : 0);
}

static void test_directory_that_cannot_be_moved(void **state)
{
        (void) state;
        if (geteuid() != 0)
                skip();
        int status = 0;
        char change[64];
        (void) snprintf(change, sizeof(change), "chown -R %d:%d .", STRANGER, STRANGER);
        assert_int_equal(system(change), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                as_stranger();
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ROW(test_file_that_was_linked_there),
                ROW(test_file_that_was_moved_there),
                ROW(test_set_id_bits_are_not_copied),
                ROW(test_directory_that_cannot_be_moved),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
