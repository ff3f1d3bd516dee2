#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ops/operation/file_copy.h"

#define PART (1u << 20) /* as in file_copy.c */

static char directory[64];

static int setup(void **state)
{
        (void) state;
        (void) snprintf(directory, sizeof(directory), "/tmp/chromafs-copy-XXXXXX");
        return mkdtemp(directory) == NULL;
}

static int teardown(void **state)
{
        (void) state;
        static const char *const names[] = { "from", "to" };
        for (size_t i = 0; i < 2; i++) {
                char path[128];
                (void) snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
                (void) unlink(path);
        }
        return rmdir(directory);
}

static int make(const char *name)
{
        char path[128];
        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        (void) unlink(path);
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        return fd;
}

static void fill(int fd, uint64_t at, size_t len)
{
        unsigned char *bytes = malloc(len + 1);
        assert_non_null(bytes);
        uint32_t n = (uint32_t) (at + len);
        for (size_t i = 0; i < len; i++)
                bytes[i] = (unsigned char) ((n = n * 1664525u + 1013904223u) >> 24);
        assert_int_equal(pwrite(fd, bytes, len, (off_t) at), (ssize_t) len);
        free(bytes);
}

static void assert_same_bytes(int a, int b)
{
        static unsigned char x[1 << 16], y[1 << 16];
        struct stat s, t;
        assert_int_equal(fstat(a, &s), 0);
        assert_int_equal(fstat(b, &t), 0);
        assert_int_equal(s.st_size, t.st_size);
        for (off_t at = 0; at < s.st_size; at += (off_t) sizeof(x)) {
                ssize_t n = pread(a, x, sizeof(x), at);
                assert_true(n > 0);
                assert_int_equal(pread(b, y, sizeof(y), at), n);
                assert_memory_equal(x, y, (size_t) n);
        }
}

static int64_t blocks_of(int fd)
{
        struct stat st;
        assert_int_equal(fsync(fd), 0);
        assert_int_equal(fstat(fd, &st), 0);
        return st.st_blocks;
}

static void copies_and_hashes(void **state)
{
        (void) state;
        static const size_t sizes[] = { 0, 1, 4095, 4096, PART - 1, PART, PART + 1, 3 * PART + 17 };
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
                int from = make("from"), to = make("to");
                struct file_copy copy = { .bytes = 99 };
                uint8_t hash[SHA256_SIZE], again[SHA256_SIZE];
                fill(from, 0, sizes[i]);
                assert_int_equal(file_copy_hashed(from, to, NULL, NULL, &copy, NULL), 0);
                assert_int_equal(copy.bytes, sizes[i]);
                assert_same_bytes(from, to);
                assert_int_equal(file_sha256(from, NULL, NULL, hash, NULL), 0);
                assert_int_equal(file_sha256(to, NULL, NULL, again, NULL), 0);
                assert_memory_equal(hash, again, SHA256_SIZE);
                if (!copy.reflinked)
                        assert_memory_equal(hash, copy.sha256, SHA256_SIZE);
                (void) close(from);
                (void) close(to);
        }
}

static void known_hashes(void **state)
{
        (void) state;
        static const struct {
                const char *text, *hash;
        } known[] = {
                { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
                { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        };
        for (size_t i = 0; i < 2; i++) {
                int fd = make("from");
                uint8_t hash[SHA256_SIZE];
                char hex[2 * SHA256_SIZE + 1];
                assert_int_equal(write(fd, known[i].text, strlen(known[i].text)), (ssize_t) strlen(known[i].text));
                assert_int_equal(file_sha256(fd, NULL, NULL, hash, NULL), 0);
                for (size_t j = 0; j < SHA256_SIZE; j++)
                        (void) snprintf(hex + 2 * j, 3, "%02x", hash[j]);
                assert_string_equal(hex, known[i].hash);
                (void) close(fd);
        }
}

/* Holes in front, between and at the end; data in pieces. */
static void holes_stay_holes(void **state)
{
        (void) state;
        int from = make("from"), to = make("to");
        struct file_copy copy;
        uint8_t hash[SHA256_SIZE];
        fill(from, 8 * PART, 5000);
        fill(from, 20 * PART, 3 * PART);
        assert_int_equal(ftruncate(from, 40 * PART + 1), 0);
        assert_int_equal(file_copy_hashed(from, to, NULL, NULL, &copy, NULL), 0);
        assert_int_equal(copy.bytes, 40 * PART + 1);
        assert_same_bytes(from, to);
        assert_true(blocks_of(to) <= blocks_of(from) + 64);
        if (!copy.reflinked) {
                assert_int_equal(file_sha256(from, NULL, NULL, hash, NULL), 0);
                assert_memory_equal(hash, copy.sha256, SHA256_SIZE);
        }
        (void) close(from);
        (void) close(to);
}

struct asked {
        unsigned count, yes_at;
};

static bool ask(void *context)
{
        struct asked *asked = context;
        return ++asked->count >= asked->yes_at;
}

static void hears_a_cancel(void **state)
{
        (void) state;
        int from = make("from");
        fill(from, 0, 8 * PART);
        for (unsigned at = 1; at <= 3; at++) {
                struct asked hashed = { 0, at }, sum = { 0, at };
                struct file_copy copy;
                uint8_t hash[SHA256_SIZE] = { 1 };
                int to = make("to");
                bool reflinks = file_reflink(from, to) == 0;
                (void) close(to);
                to = make("to");
                if (!reflinks || at == 1)
                        assert_int_equal(file_copy_hashed(from, to, ask, &hashed, &copy, NULL), -ECANCELED);
                assert_int_equal(file_sha256(from, ask, &sum, hash, NULL), -ECANCELED);
                assert_int_equal(hash[0], 1);
                (void) close(to);
        }
        struct asked now = { 0, 1 };
        assert_int_equal(file_sync(from, ask, &now, NULL), -ECANCELED);
        assert_int_equal(file_sync(from, NULL, NULL, NULL), 0);
        (void) close(from);
}

/* Often enough: every MiB. */
static void asks_again_and_again(void **state)
{
        (void) state;
        int from = make("from"), to = make("to");
        struct asked asked = { 0, 1000 };
        struct file_copy copy;
        fill(from, 0, 8 * PART);
        assert_int_equal(file_copy_hashed(from, to, ask, &asked, &copy, NULL), 0);
        assert_true(asked.count >= 8 || copy.reflinked);
        (void) close(from);
        (void) close(to);
}

static void no_regular_file(void **state)
{
        (void) state;
        int to = make("to"), dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), pair[2];
        struct file_copy copy;
        struct error e = { 0 };
        assert_int_equal(file_copy_hashed(dir, to, NULL, NULL, &copy, &e), -EILSEQ);
        assert_true(e.text[0] != '\0');
        assert_int_equal(pipe(pair), 0);
        assert_int_equal(file_copy_hashed(pair[0], to, NULL, NULL, &copy, &e), -EILSEQ);
        (void) close(pair[0]);
        (void) close(pair[1]);
        (void) close(dir);
        (void) close(to);
}

static void unwritable_copy(void **state)
{
        (void) state;
        int from = make("from"), to = make("to");
        char path[128];
        struct file_copy copy;
        struct error e = { 0 };
        fill(from, 0, 100);
        (void) close(to);
        (void) snprintf(path, sizeof(path), "%s/to", directory);
        to = open(path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(file_copy_hashed(from, to, NULL, NULL, &copy, &e), -EBADF);
        assert_non_null(strstr(e.text, "copy"));
        (void) close(to);
        (void) close(from);
}

/* Attributes. */

static unsigned mode_of(int fd)
{
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        return st.st_mode & 07777;
}

static void modes(void **state)
{
        (void) state;
        static const mode_t known[] = { 0600, 0644, 0440, 0, 0777, 02750, 04711 };
        for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
                int from = make("from"), to = make("to");
                assert_int_equal(fchmod(from, known[i]), 0);
                assert_int_equal(file_copy_attributes(from, to, true, NULL), 0);
                assert_int_equal(mode_of(to), known[i]);
                (void) close(from);
                (void) close(to);
        }
}

/* As the kernel has it: version 2; owner, a named user, group, mask, others. */
static const unsigned char acl[] = {
        2, 0, 0,    0,    1,    0,    6,    0, 0xff, 0xff, 0xff, 0xff, 2,    0,    4,    0, 57, 48, 0,    0,    4,    0,
        4, 0, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 4,    0,    0xff, 0xff, 0xff, 0xff, 0x20, 0, 0,  0,  0xff, 0xff, 0xff, 0xff,
};

static void extended_attributes(void **state)
{
        (void) state;
        int from = make("from"), to = make("to");
        char value[64];
        if (fsetxattr(from, "user.origin", "here\0there", 10, 0) < 0)
                skip();
        assert_int_equal(fsetxattr(from, "user.empty", "", 0, 0), 0);
        assert_int_equal(fsetxattr(to, "user.origin", "elsewhere", 9, 0), 0);
        assert_int_equal(fsetxattr(to, "user.extra", "x", 1, 0), 0);
        assert_int_equal(file_copy_attributes(from, to, true, NULL), 0);
        assert_int_equal(fgetxattr(to, "user.origin", value, sizeof(value)), 10);
        assert_memory_equal(value, "here\0there", 10);
        assert_int_equal(fgetxattr(to, "user.empty", value, sizeof(value)), 0);
        assert_int_equal(fgetxattr(to, "user.extra", value, sizeof(value)), -1);
        (void) close(from);
        (void) close(to);
}

static void access_lists(void **state)
{
        (void) state;
        int from = make("from"), to = make("to");
        char value[256];
        if (fsetxattr(from, "system.posix_acl_access", acl, sizeof(acl), 0) < 0)
                skip();
        unsigned mode = mode_of(from);
        assert_int_equal(file_copy_attributes(from, to, true, NULL), 0);
        assert_int_equal(fgetxattr(to, "system.posix_acl_access", value, sizeof(value)), sizeof(acl));
        assert_memory_equal(value, acl, sizeof(acl));
        assert_int_equal(mode_of(to), mode);
        /* The other way: a list that `to` has from its directory goes. */
        int plain = make("from");
        assert_int_equal(fchmod(plain, 0640), 0);
        assert_int_equal(file_copy_attributes(plain, to, true, NULL), 0);
        assert_int_equal(fgetxattr(to, "system.posix_acl_access", value, sizeof(value)), -1);
        assert_int_equal(mode_of(to), 0640);
        (void) close(plain);
        (void) close(from);
        (void) close(to);
}

static void owners(void **state)
{
        (void) state;
        if (geteuid() != 0)
                skip();
        int from = make("from"), to = make("to");
        struct stat st;
        assert_int_equal(fchown(from, 12345, 23456), 0);
        assert_int_equal(fchmod(from, 04755), 0);
        assert_int_equal(file_copy_attributes(from, to, true, NULL), 0);
        assert_int_equal(fstat(to, &st), 0);
        assert_int_equal(st.st_uid, 12345);
        assert_int_equal(st.st_gid, 23456);
        assert_int_equal(st.st_mode & 07777, 04755);
        (void) close(from);
        (void) close(to);
}

/* Nothing is opened to anyone before the owner is right. */
static void owner_refused(void **state)
{
        (void) state;
        if (geteuid() != 0)
                skip();
        int from = make("from"), to = make("to");
        assert_int_equal(fchmod(from, 0666), 0);
        assert_int_equal(fchown(to, 12345, 12345), 0);
        pid_t pid = fork();
        if (pid == 0) {
                struct error e = { 0 };
                if (setgid(12345) < 0 || setuid(12345) < 0)
                        _exit(2);
                _exit(file_copy_attributes(from, to, false, &e) == -EPERM && strstr(e.text, "owner") != NULL ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(mode_of(to), 0600);
        (void) close(from);
        (void) close(to);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(copies_and_hashes, setup, teardown),
                cmocka_unit_test_setup_teardown(known_hashes, setup, teardown),
                cmocka_unit_test_setup_teardown(holes_stay_holes, setup, teardown),
                cmocka_unit_test_setup_teardown(hears_a_cancel, setup, teardown),
                cmocka_unit_test_setup_teardown(asks_again_and_again, setup, teardown),
                cmocka_unit_test_setup_teardown(no_regular_file, setup, teardown),
                cmocka_unit_test_setup_teardown(unwritable_copy, setup, teardown),
                cmocka_unit_test_setup_teardown(modes, setup, teardown),
                cmocka_unit_test_setup_teardown(extended_attributes, setup, teardown),
                cmocka_unit_test_setup_teardown(access_lists, setup, teardown),
                cmocka_unit_test_setup_teardown(owners, setup, teardown),
                cmocka_unit_test_setup_teardown(owner_refused, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
