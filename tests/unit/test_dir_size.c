#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/dir_size.h"
#include "ops/file.h"
#include "tests/unit/sql_dir.h"

static int setup(void **state)
{
        static struct sql_dir d;
        sql_dir_make(&d);
        assert_int_equal(mkdirat(d.fd, "top", 0755), 0);
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        sql_dir_remove(*state);
        return 0;
}

static void make_file(int dirfd, const char *path, off_t size)
{
        int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, size), 0);
        assert_int_equal(close(fd), 0);
}

static void sums(void **state)
{
        const struct sql_dir *d = *state;
        struct dir_size s;
        assert_int_equal(mkdirat(d->fd, "top/sub", 0755), 0);
        make_file(d->fd, "top/a", 1000);
        make_file(d->fd, "top/sub/b", 234);
        assert_int_equal(linkat(d->fd, "top/a", d->fd, "top/again", 0), 0);
        assert_int_equal(symlinkat("/", d->fd, "top/link"), 0);
        assert_int_equal(symlinkat("a", d->fd, "top/link to a"), 0);
        assert_int_equal(mkfifoat(d->fd, "top/fifo", 0644), 0);
        struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 4000000000, .tv_nsec = 5 } };
        assert_int_equal(utimensat(d->fd, "top/sub/b", times, 0), 0);
        assert_int_equal(dir_size_read(d->fd, "top", &s, NULL), 0);
        assert_int_equal(s.files, 3);
        assert_int_equal(s.apparent, 2234);
        assert_int_equal(s.newest_ns, 4000000000000000005);
        struct stat top, sub;
        assert_int_equal(fstatat(d->fd, "top", &top, 0), 0);
        assert_int_equal(fstatat(d->fd, "top/sub", &sub, 0), 0);
        assert_int_equal(s.allocated, 512 * (uint64_t) (top.st_blocks + sub.st_blocks));
}

static void the_directory_itself(void **state)
{
        const struct sql_dir *d = *state;
        struct dir_size s;
        assert_int_equal(dir_size_read(d->fd, ".", &s, NULL), 0);
        assert_int_equal(s.files, 1);
        struct file_stamp database = file_stamp_at(d->fd, DB_FILE);
        assert_int_equal(s.apparent, database.size);
        assert_true(s.allocated >= database.allocated);
}

static void no_directory(void **state)
{
        const struct sql_dir *d = *state;
        struct dir_size s = { .files = 77 };
        struct error e = { 0 };
        assert_int_equal(symlinkat("top", d->fd, "link"), 0);
        assert_int_equal(dir_size_read(d->fd, "absent", &s, &e), -ENOENT);
        assert_int_equal(dir_size_read(d->fd, "link", &s, &e), -ELOOP);
        assert_int_equal(dir_size_read(d->fd, DB_FILE, &s, &e), -ENOTDIR);
        assert_int_equal(dir_size_read(d->fd, "..", &s, &e), -ELOOP);
        assert_int_equal(s.files, 77);
}

static void depth_has_a_limit(void **state)
{
        const struct sql_dir *d = *state;
        int fd = openat(d->fd, "top", O_RDONLY | O_DIRECTORY);
        for (int i = 0; i < DIR_SIZE_DEPTH + 4; i++) {
                make_file(fd, "f", 1);
                assert_int_equal(mkdirat(fd, "d", 0755), 0);
                int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
                (void) close(fd);
                fd = next;
        }
        (void) close(fd);
        struct dir_size s;
        assert_int_equal(dir_size_read(d->fd, "top", &s, NULL), 0);
        assert_int_equal(s.files, DIR_SIZE_DEPTH + 1);
}

static void sums_do_not_wrap(void **state)
{
        const struct sql_dir *d = *state;
        int fd = openat(d->fd, "top/huge", O_WRONLY | O_CREAT, 0644);
        off_t largest = (off_t) 1 << 43; /* ext4 holds 16 TiB, other file systems more */
        while (largest < LONG_MAX / 2 && ftruncate(fd, largest * 2) == 0)
                largest *= 2;
        assert_int_equal(ftruncate(fd, largest), 0);
        (void) close(fd);
        for (int i = 0; i < 4; i++) {
                char name[32];
                (void) snprintf(name, sizeof(name), "top/huge%d", i);
                assert_int_equal(linkat(d->fd, "top/huge", d->fd, name, 0), 0);
        }
        struct dir_size s;
        uint64_t sum;
        assert_int_equal(dir_size_read(d->fd, "top", &s, NULL), 0);
        assert_int_equal(s.apparent, __builtin_mul_overflow((uint64_t) largest, 5u, &sum) ? UINT64_MAX : sum);
}

static void closed_directory_is_counted_itself(void **state)
{
        const struct sql_dir *d = *state;
        struct dir_size s;
        assert_int_equal(mkdirat(d->fd, "top/closed", 0755), 0);
        make_file(d->fd, "top/closed/f", 10);
        assert_int_equal(fchmodat(d->fd, "top/closed", 0, 0), 0);
        assert_int_equal(dir_size_read(d->fd, "top", &s, NULL), 0);
        assert_int_equal(s.files, geteuid() == 0 ? 1 : 0);
        assert_int_equal(fchmodat(d->fd, "top/closed", 0755, 0), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(sums, setup, teardown),
                cmocka_unit_test_setup_teardown(the_directory_itself, setup, teardown),
                cmocka_unit_test_setup_teardown(no_directory, setup, teardown),
                cmocka_unit_test_setup_teardown(depth_has_a_limit, setup, teardown),
                cmocka_unit_test_setup_teardown(sums_do_not_wrap, setup, teardown),
                cmocka_unit_test_setup_teardown(closed_directory_is_counted_itself, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
