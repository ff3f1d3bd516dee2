#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/cleanup.h"
#include "ops/operation/dir_lock.h"

struct place {
        char path[64];
        int fd;
};

static int setup(void **state)
{
        static struct place p;
        (void) strcpy(p.path, "/tmp/chromafs-lock-XXXXXX");
        assert_non_null(mkdtemp(p.path));
        p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(p.fd >= 0);
        *state = &p;
        return 0;
}

static int teardown(void **state)
{
        struct place *p = *state;
        (void) close(p->fd);
        return rmdir(p->path);
}

static int must_lock(int fd)
{
        struct error e = { 0 };
        int lock = dir_lock(fd, &e);
        if (lock < 0)
                fail_msg("%s", e.text);
        return lock;
}

static void one_at_a_time(void **state)
{
        const struct place *p = *state;
        struct error e = { 0 };
        int lock = must_lock(p->fd);
        assert_int_not_equal(lock, p->fd);
        assert_true((fcntl(lock, F_GETFD) & FD_CLOEXEC) != 0);
        assert_int_equal(dir_lock(p->fd, &e), -EBUSY);
        assert_int_equal(e.code, -EBUSY);
        assert_non_null(strstr(e.text, "another operation"));
        assert_int_equal(dir_lock(p->fd, NULL), -EBUSY);
        (void) close(lock);
        (void) close(must_lock(p->fd));
}

/* Two directories have nothing to do with each other; one that was renamed is the same. */
static void other_directories(void **state)
{
        const struct place *p = *state;
        char name[96];
        (void) snprintf(name, sizeof(name), "%s/other", p->path);
        assert_int_equal(mkdir(name, 0700), 0);
        int other = open(name, O_RDONLY | O_DIRECTORY);
        int lock = must_lock(p->fd), second = must_lock(other);
        assert_int_equal(renameat(p->fd, "other", p->fd, "moved"), 0);
        int moved = openat(p->fd, "moved", O_RDONLY | O_DIRECTORY);
        assert_int_equal(dir_lock(moved, NULL), -EBUSY);
        (void) close(second);
        (void) close(must_lock(moved));
        (void) close(moved);
        (void) close(other);
        (void) close(lock);
        assert_int_equal(unlinkat(p->fd, "moved", AT_REMOVEDIR), 0);
}

/* A child that holds the lock until its standard input ends. */
static pid_t holder(const struct place *p, const char *name, int *ret_end)
{
        int ready[2], end[2];
        char byte = 0;
        assert_int_equal(pipe(ready), 0);
        assert_int_equal(pipe(end), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) close(end[1]);
                (void) prctl(PR_SET_NAME, name);
                bool good = dir_lock(p->fd, NULL) >= 0 && write(ready[1], "x", 1) == 1;
                _exit(good && read(end[0], &byte, 1) == 0 ? 0 : 1);
        }
        (void) close(ready[1]);
        (void) close(end[0]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void) close(ready[0]);
        *ret_end = end[1];
        return pid;
}

/* /proc/locks has the directory of this file system under the device that stat(2) says: else there is no name to expect. */
static bool is_named(const struct place *p)
{
        struct stat st;
        char line[256], inode[32];
        bool found = false;
        int lock = must_lock(p->fd);
        FILE *locks = fopen("/proc/locks", "re");
        assert_int_equal(fstat(p->fd, &st), 0);
        (void) snprintf(inode, sizeof(inode), "%02x:%02x:%lu ", major(st.st_dev), minor(st.st_dev), (unsigned long) st.st_ino);
        while (locks != NULL && fgets(line, sizeof(line), locks) != NULL)
                found = found || strstr(line, inode) != NULL;
        if (locks != NULL)
                (void) fclose(locks);
        (void) close(lock);
        return found;
}

static void check_name(const struct place *p, const char *name, const char *shown)
{
        struct error e = { 0 };
        char expected[96];
        int end = -1, status = -1;
        bool named = is_named(p);
        pid_t pid = holder(p, name, &end);
        assert_int_equal(dir_lock(p->fd, &e), -EBUSY);
        (void) snprintf(expected, sizeof(expected), ": pid %d (%s);", pid, shown);
        if (named && strstr(e.text, expected) == NULL)
                fail_msg("'%s' does not say %s", e.text, expected);
        (void) close(end);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        (void) close(must_lock(p->fd)); /* gone with the process */
}

static void names_the_holder(void **state)
{
        check_name(*state, "holder of it", "holder of it");
        check_name(*state, "\x1b[2J\xff", "?[2J?");
}

/* A child of the holder has the lock too: it must not outlive a lock that it doesn't know of. What is exec'ed does not. */
static void ends_with_the_last(void **state)
{
        const struct place *p = *state;
        int end[2], status = -1;
        char byte = 0;
        assert_int_equal(pipe(end), 0);
        int lock = must_lock(p->fd);
        pid_t pid = fork();
        if (pid == 0) {
                (void) close(end[1]);
                _exit(read(end[0], &byte, 1) == 0 ? 0 : 1);
        }
        (void) close(lock);
        assert_int_equal(dir_lock(p->fd, NULL), -EBUSY);
        (void) close(end[0]);
        (void) close(end[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        (void) close(must_lock(p->fd));
}

static void no_directory(void **state)
{
        (void) state;
        struct error e = { 0 };
        assert_int_equal(dir_lock(-1, &e), -EBADF);
        assert_int_equal(e.code, -EBADF);
        int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        assert_int_equal(dir_lock(file, &e), -ENOTDIR);
        (void) close(file);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(one_at_a_time, setup, teardown),
                cmocka_unit_test_setup_teardown(other_directories, setup, teardown),
                cmocka_unit_test_setup_teardown(names_the_holder, setup, teardown),
                cmocka_unit_test_setup_teardown(ends_with_the_last, setup, teardown),
                cmocka_unit_test(no_directory),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
