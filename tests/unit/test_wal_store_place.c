#include "ops/wal/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "ops/file.h"
#include "tests/unit/store_dir.h"

#define NOBODY 65534u
#define FULL WAL_BLOCK_UNITS

/* Whoever tests as root goes on as nobody, who owns the directory then. */
static int become_nobody(const struct store_dir *dir)
{
        if (geteuid() != 0)
                return 0;
        if (fchown(dir->fd, NOBODY, NOBODY) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
                return -1;
        return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* LeakSanitizer wants to trace it */
}

/* ---- what stands in the place ---- */

static void test_symlink(void **state)
{
        const struct store_dir *dir = *state;
        store_dir_save(dir, "target", "mine", 4);
        const char *targets[] = { "target", "nowhere", ".", "/dev/null" };
        for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
                (void) unlinkat(dir->fd, STORE_NAME, 0);
                assert_int_equal(symlinkat(targets[i], dir->fd, STORE_NAME), 0);
                store_dir_expect(dir, 0);
                assert_int_equal(file_stamp_at(dir->fd, STORE_NAME).mode, S_IFREG | 0600);
        }
        struct byte_buffer target = store_dir_load(dir, "target");
        assert_int_equal(target.len, 4);
        assert_false(store_dir_has(dir, "nowhere"));
        bytes_clear(&target);
}

static void test_hard_link(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer file = store_dir_fill(dir, FULL), other;
        assert_int_equal(linkat(dir->fd, STORE_NAME, dir->fd, "other", 0), 0);
        store_dir_expect(dir, 0);
        other = store_dir_load(dir, "other");
        assert_int_equal(other.len, file.len);
        assert_memory_equal(other.data, file.data, file.len);
        bytes_clear(&file);
        bytes_clear(&other);
}

static void test_foreign_mode(void **state)
{
        const struct store_dir *dir = *state;
        const mode_t modes[] = { 0620, 0602, 0666 };
        for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
                struct byte_buffer file = store_dir_fill(dir, FULL);
                assert_int_equal(fchmodat(dir->fd, STORE_NAME, modes[i], 0), 0);
                store_dir_expect(dir, 0);
                assert_int_equal(file_stamp_at(dir->fd, STORE_NAME).mode, S_IFREG | 0600);
                bytes_clear(&file);
        }
        struct byte_buffer file = store_dir_fill(dir, FULL);
        assert_int_equal(fchmodat(dir->fd, STORE_NAME, 0644, 0), 0); /* who may read it does no harm */
        store_dir_expect(dir, FULL);
        bytes_clear(&file);
}

/* Root makes them; another owner's, with and without the right to open it. */
static int foreign_owner(const struct store_dir *dir, long mode)
{
        store_dir_save(dir, STORE_NAME, "not yours", 9);
        CHILD_CHECK(fchownat(dir->fd, STORE_NAME, 1, 1, 0) == 0 && fchmodat(dir->fd, STORE_NAME, (mode_t) mode, 0) == 0);
        if (mode == 0600)
                CHILD_CHECK(become_nobody(dir) == 0);
        struct wal_store *store = NULL;
        CHILD_CHECK(wal_store_open(dir->fd, STORE_NAME, STORE_SUBJECT, &store, NULL) == 0 && wal_store_blocks(store) == 0);
        struct file_stamp stamp = file_stamp_at(dir->fd, STORE_NAME);
        CHILD_CHECK(stamp.uid == geteuid() && stamp.mode == (S_IFREG | 0600) && stamp.size == STORE_HEADER);
        (void) wal_store_free(store);
        return 0;
}

static void test_foreign_owner(void **state)
{
        const struct store_dir *dir = *state;
        if (geteuid() != 0)
                return;
        store_dir_child(foreign_owner, dir, 0644);
        store_dir_child(foreign_owner, dir, 0600);
}

/* The user's own file, which they can't open: as nobody, since root can. */
static int locked_away(const struct store_dir *dir, long mode)
{
        CHILD_CHECK(become_nobody(dir) == 0);
        store_dir_save(dir, STORE_NAME, "mine", 4);
        CHILD_CHECK(fchmodat(dir->fd, STORE_NAME, (mode_t) mode, 0) == 0);
        store_dir_expect(dir, 0);
        return 0;
}

static void test_locked_away(void **state)
{
        const struct store_dir *dir = *state;
        store_dir_child(locked_away, dir, 0400);
        store_dir_child(locked_away, dir, 0);
}

static void test_directory(void **state)
{
        const struct store_dir *dir = *state;
        assert_int_equal(mkdirat(dir->fd, STORE_NAME, 0700), 0);
        store_dir_refuse(dir, -EISDIR, "can't be opened");
        assert_true(store_dir_has(dir, STORE_NAME));
        assert_int_equal(unlinkat(dir->fd, STORE_NAME, AT_REMOVEDIR), 0);
        struct wal_store *store = NULL;
        assert_int_equal(wal_store_open(-1, STORE_NAME, STORE_SUBJECT, &store, NULL), -EBADF);
        assert_null(store);
}

static void test_fifo(void **state)
{
        const struct store_dir *dir = *state;
        assert_int_equal(mkfifoat(dir->fd, STORE_NAME, 0600), 0);
        (void) alarm(60); /* who blocks there fails */
        store_dir_expect(dir, 0);
        (void) alarm(0);
        assert_int_equal(file_stamp_at(dir->fd, STORE_NAME).mode, S_IFREG | 0600);
}

static void test_socket(void **state)
{
        const struct store_dir *dir = *state;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/" STORE_NAME, dir->path);
        CLEANUP(close)
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        store_dir_expect(dir, 0);
}

static int read_only_directory(const struct store_dir *dir, long with_file)
{
        CHILD_CHECK(become_nobody(dir) == 0);
        struct wal_store *store = NULL;
        if (with_file)
                CHILD_CHECK(wal_store_open(dir->fd, STORE_NAME, STORE_SUBJECT, &store, NULL) == 0 &&
                            put_test_units(store, 0, 300) == 0);
        store = wal_store_free(store);
        CHILD_CHECK(fchmod(dir->fd, 0500) == 0);
        if (with_file)
                store_dir_expect(dir, 300);
        else
                store_dir_refuse(dir, -EACCES, "can't be opened");
        if (with_file && symlinkat("x", dir->fd, "y") < 0) { /* what has to be removed can't be */
                CHILD_CHECK(fchmodat(dir->fd, STORE_NAME, 0666, 0) == 0);
                store_dir_refuse(dir, -EACCES, "can't be opened");
        }
        CHILD_CHECK(fchmod(dir->fd, 0700) == 0);
        return 0;
}

static void test_read_only_directory(void **state)
{
        const struct store_dir *dir = *state;
        store_dir_child(read_only_directory, dir, false);
        store_dir_child(read_only_directory, dir, true);
}

/* ---- two of them ---- */

static void test_second_opener(void **state)
{
        const struct store_dir *dir = *state;
        struct wal_store *first = store_dir_open(dir, STORE_SUBJECT);
        assert_int_equal(put_test_units(first, 0, 10), 0);
        store_dir_refuse(dir, -EBUSY, "in use");
        assert_int_equal(put_test_units(first, 10, 300), 0);
        assert_int_equal(count_test_units(first), 300);
        (void) wal_store_free(first);
        store_dir_expect(dir, 300);
        first = store_dir_open(dir, STORE_SUBJECT); /* a name that was removed is free */
        assert_int_equal(unlinkat(dir->fd, STORE_NAME, 0), 0);
        store_dir_expect(dir, 0);
        assert_int_equal(count_test_units(first), 301);
        assert_true(wal_store_is_cached(first));
        (void) wal_store_free(first);
        assert_true(store_dir_has(dir, STORE_NAME));
}

/* Many processes open the file, and remove it while they have it: whoever has it has it alone, and nobody removes another one's. */
static int contend(const struct store_dir *dir, long seed)
{
        for (int64_t got = 0; got < 200;) {
                struct wal_store *store = NULL;
                int r = wal_store_open(dir->fd, STORE_NAME, STORE_SUBJECT, &store, NULL);
                CHILD_CHECK(r == 0 || r == -EBUSY);
                if (r < 0) {
                        (void) sched_yield();
                        continue;
                }
                CHILD_CHECK(mkdirat(dir->fd, "holder", 0700) == 0);
                int64_t units = 100 * (seed + 1);
                CHILD_CHECK(count_test_units(store) >= 0);
                CHILD_CHECK(wal_store_reset(store, NULL) == 0 && put_test_units(store, 0, (uint64_t) units) == 0);
                (void) sched_yield();
                CHILD_CHECK(count_test_units(store) == units && wal_store_is_cached(store) && store_dir_has(dir, STORE_NAME));
                CHILD_CHECK(unlinkat(dir->fd, "holder", AT_REMOVEDIR) == 0);
                if (++got % 2 == 0)
                        CHILD_CHECK(unlinkat(dir->fd, STORE_NAME, 0) == 0);
                (void) wal_store_free(store);
        }
        return 0;
}

static void test_contention(void **state)
{
        const struct store_dir *dir = *state;
        pid_t pids[4];
        (void) fflush(NULL);
        for (long i = 0; i < 4; i++) {
                pids[i] = fork();
                if (pids[i] == 0)
                        exit(contend(dir, i));
        }
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(store_dir_wait(pids[i]), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, store_dir_make, store_dir_remove)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(symlink), TEST(hard_link), TEST(foreign_mode),        TEST(foreign_owner), TEST(locked_away), TEST(directory),
                TEST(fifo),    TEST(socket),    TEST(read_only_directory), TEST(second_opener), TEST(contention),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
