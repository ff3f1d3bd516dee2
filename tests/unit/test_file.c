/* file_write() and file_pwrite() with a write() that is interrupted, takes less than it was given, takes nothing, or fails. */
#undef _FORTIFY_SOURCE /* it would define some of these functions */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops/file.h"

/* What the calls of a descriptor say, one after the other: a negative errno, or how many bytes are taken at most; then all. */
static struct {
        int fd;
        const int *says;
        size_t left, calls;
} script = { .fd = -1 };

static bool next_call(int fd, size_t *len)
{
        if (fd != script.fd)
                return true;
        script.calls++;
        if (script.left == 0)
                return true;
        int says = *script.says++;
        script.left--;
        if (says < 0) {
                errno = -says;
                return false;
        }
        if (*len > (size_t) says)
                *len = (size_t) says;
        return true;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
        return next_call(fd, &len) ? syscall(SYS_write, fd, bytes, len) : -1;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
        return next_call(fd, &len) ? syscall(SYS_pwrite64, fd, bytes, len, offset) : -1;
}

static const char TEXT[] = "all of these bytes";
#define LEN (sizeof(TEXT) - 1)

/* Each with a file that has five bytes, and its position behind them. */
static int setup(void **state)
{
        (void) state;
        int fd = memfd_create("test_file", MFD_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "12345", 5), 5);
        script.calls = 0;
        script.fd = fd;
        return 0;
}

static int teardown(void **state)
{
        (void) state;
        (void) close(script.fd);
        script.fd = -1;
        return 0;
}

static void expect_content(const char *expected)
{
        char found[64] = "";
        assert_int_equal(file_pread(script.fd, found, sizeof(found) - 1, 0), strlen(expected));
        assert_string_equal(found, expected);
}

#define SAY(...)                                                                                                                   \
        do {                                                                                                                       \
                static const int says[] = { __VA_ARGS__ };                                                                         \
                script.says = says;                                                                                                \
                script.left = sizeof(says) / sizeof(says[0]);                                                                      \
        } while (0)

static void writes_all(void **state)
{
        (void) state;
        assert_int_equal(file_write(script.fd, TEXT, LEN), 0);
        assert_int_equal(script.calls, 1);
        expect_content("12345all of these bytes");
        assert_int_equal(file_pwrite(script.fd, "X", 1, 3), 0);
        expect_content("123X5all of these bytes");
}

static void goes_on_when_cut_short_or_interrupted(void **state)
{
        (void) state;
        SAY(3, -EINTR, 1, -EINTR, -EINTR, 7);
        assert_int_equal(file_write(script.fd, TEXT, LEN), 0);
        assert_int_equal(script.calls, 7);
        expect_content("12345all of these bytes");
        SAY(-EINTR, 2, 5);
        assert_int_equal(file_pwrite(script.fd, "ALL OF THESE BYTES", LEN, 5), 0);
        expect_content("12345ALL OF THESE BYTES");
}

static void says_what_failed(void **state)
{
        (void) state;
        SAY(3, -ENOSPC);
        assert_int_equal(file_write(script.fd, TEXT, LEN), -ENOSPC);
        assert_int_equal(script.calls, 2);
        expect_content("12345all");
        SAY(-EDQUOT);
        assert_int_equal(file_pwrite(script.fd, TEXT, LEN, 0), -EDQUOT);
        expect_content("12345all");
}

/* Else it would go on for ever. */
static void gives_up_when_nothing_is_taken(void **state)
{
        (void) state;
        SAY(0);
        assert_int_equal(file_write(script.fd, TEXT, LEN), -EIO);
        SAY(4, 0);
        assert_int_equal(file_pwrite(script.fd, TEXT, LEN, 0), -EIO);
        assert_int_equal(script.calls, 3);
}

static void makes_no_call_for_nothing(void **state)
{
        (void) state;
        assert_int_equal(file_write(script.fd, NULL, 0), 0);
        assert_int_equal(file_pwrite(script.fd, NULL, 0, 9), 0);
        assert_int_equal(script.calls, 0);
        expect_content("12345");
}

static void offsets_may_be_large(void **state)
{
        (void) state;
        const uint64_t offset = (UINT64_C(1) << 32) + 3;
        SAY(4);
        assert_int_equal(file_pwrite(script.fd, TEXT, LEN, offset), 0);
        char found[LEN];
        assert_int_equal(file_pread(script.fd, found, LEN, offset), LEN);
        assert_memory_equal(found, TEXT, LEN);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(writes_all, setup, teardown),
                cmocka_unit_test_setup_teardown(goes_on_when_cut_short_or_interrupted, setup, teardown),
                cmocka_unit_test_setup_teardown(says_what_failed, setup, teardown),
                cmocka_unit_test_setup_teardown(gives_up_when_nothing_is_taken, setup, teardown),
                cmocka_unit_test_setup_teardown(makes_no_call_for_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(offsets_may_be_large, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
