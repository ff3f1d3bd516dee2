/* state_dir: the directory that was just made is exchanged for another one, before it is opened. */
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
#include <sys/syscall.h>
#include <unistd.h>

#include "ops/operation/state_dir.h"
#include "tests/unit/sql_dir.h"

#define PRIVATE "private" /* someone's directory, which may be moved by who owns the one above it */

static const char *exchanged; /* NULL, or the name that is exchanged when it is made */

/* In place of the C library's. */
int mkdirat(int dirfd, const char *name, mode_t mode)
{
        if (syscall(SYS_mkdirat, dirfd, name, mode) < 0)
                return -1;
        if (exchanged != NULL && strcmp(name, exchanged) == 0)
                assert_int_equal(renameat2(dirfd, name, dirfd, PRIVATE, RENAME_EXCHANGE), 0);
        return 0;
}

static void make_private(int dirfd)
{
        assert_int_equal(syscall(SYS_mkdirat, dirfd, PRIVATE, 0755), 0);
        int fd = openat(dirfd, PRIVATE "/key", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        (void) close(fd);
}

static void check(const struct sql_dir *d, int parent, const char *name)
{
        struct state_dir *s = NULL;
        struct error e = { 0 };
        struct stat st;
        make_private(parent);
        exchanged = name;
        int r = state_dir_open(d->fd, &s, &e);
        exchanged = NULL;
        assert_int_equal(r, -EPERM);
        assert_null(s);
        assert_non_null(strstr(e.text, name));
        assert_int_equal(fstatat(parent, name, &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        assert_int_equal(st.st_uid, geteuid()); /* not given to the owner of the database */
        assert_int_equal(faccessat(parent, name, R_OK, 0), 0);
}

static void place_make(struct sql_dir *d)
{
        sql_dir_make(d);
        if (geteuid() == 0) {
                assert_int_equal(fchown(d->fd, 54321, 54321), 0);
                assert_int_equal(fchownat(d->fd, DB_FILE, 54321, 54321, 0), 0);
        }
}

static void test_folder(void **state)
{
        struct sql_dir d;
        (void) state;
        place_make(&d);
        check(&d, d.fd, STATE_DIR);
        sql_dir_remove(&d);
}

static void test_below_it(void **state)
{
        struct sql_dir d;
        (void) state;
        place_make(&d);
        assert_int_equal(mkdirat(d.fd, STATE_DIR, 0700), 0);
        int fd = openat(d.fd, STATE_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        check(&d, fd, "stage");
        (void) close(fd);
        sql_dir_remove(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_folder),
                cmocka_unit_test(test_below_it),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
