/*
 * Every call that hnsw_load(), hnsw_save() and index_metadata_write() make of the C library fails once, or is cut short or interrupted: the first one, the second one … until all have
 * had their turn. The functions of the same name here are found before the C library's.
 */
#undef _FORTIFY_SOURCE /* it would define some of these functions */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "ops/index_summary.h"
#include "ops/hnsw/check.h"
#include "tests/unit/hnsw_dir.h"
#include "tests/unit/malloc_fails.h"

enum mode { FAIL, SHORT, INTERRUPT, TOUCH };

static struct {
        bool armed, hit;
        enum mode mode;
        int left;  /* calls until it happens; every one from then on for SHORT and INTERRUPT */
        int err;   /* with what it fails */
        int dirfd; /* TOUCH: whose header.bin gets another time */
} fault;

static bool due(void)
{
        if (!fault.armed || --fault.left > 0)
                return false;
        if (fault.mode == FAIL && fault.hit)
                return false;
        fault.hit = true;
        return true;
}

static bool fails(void)
{
        if (fault.mode != FAIL || !due())
                return false;
        errno = fault.err;
        return true;
}

/* True: interrupted now; every second time, so that it ends. */
static bool interrupted(void)
{
        static bool every_second;
        if (!fault.armed || fault.mode != INTERRUPT)
                return false;
        every_second = !every_second;
        if (!every_second)
                return false;
        fault.hit = true;
        errno = EINTR;
        return true;
}

static size_t shortened(size_t len)
{
        if (!fault.armed || fault.mode != SHORT || len < 2)
                return len;
        fault.hit = true;
        return len < 1000 ? 1 + len / 2 : 1 + len / 3;
}

#if OWN_ALLOCATOR
static bool allocation_fails(void)
{
        return fails();
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
        return fails() ? MAP_FAILED : (void *) syscall(SYS_mmap, at, len, protection, flags, fd, offset);
}
#endif

int openat(int dirfd, const char *path, int flags, ...)
{
        va_list list;
        va_start(list, flags);
        unsigned mode = va_arg(list, unsigned);
        va_end(list);
        return fails() ? -1 : (int) syscall(SYS_openat, dirfd, path, flags, mode);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
        return fails() || interrupted() ? -1 : syscall(SYS_write, fd, bytes, shortened(len));
}

ssize_t pread(int fd, void *bytes, size_t len, off_t offset)
{
        if (fault.mode == TOUCH && due()) {
                const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
                (void) utimensat(fault.dirfd, "header.bin", times, 0);
        }
        return fails() || interrupted() ? -1 : syscall(SYS_pread64, fd, bytes, shortened(len), offset);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
        return fails() || interrupted() ? -1 : (int) syscall(SYS_fallocate, fd, mode, offset, len);
}

int fsync(int fd)
{
        return fails() || interrupted() ? -1 : (int) syscall(SYS_fsync, fd);
}

int close(int fd)
{
        int r = (int) syscall(SYS_close, fd); /* it is closed, whatever it says */
        return fails() ? -1 : r;
}

int fstat(int fd, struct stat *st)
{
        return fails() ? -1 : (int) syscall(SYS_newfstatat, fd, "", st, AT_EMPTY_PATH);
}

int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
        return fails() ? -1 : (int) syscall(SYS_newfstatat, dirfd, path, st, flags);
}

/* --- the tests --- */

struct scene {
        struct hnsw_dir dir;
        struct hnsw *index;
        struct index_metadata metadata;
        struct index_entry entries[3];
};

static int setup(void **state)
{
        static struct scene s;
        s = (struct scene){ .index = hnsw_small(SPACE_COSINE, 300, 2, 700) };
        for (uint64_t i = 0; i < 3; i++)
                s.entries[i] = (struct index_entry){ .label = 10 * (i + 1), .seq_id = i + 1, .id = &"abc"[i], .id_len = 1 };
        s.metadata = (struct index_metadata){ .total_elements_added = 7000, .count = 3, .entries = s.entries };
        hnsw_dir_make(&s.dir);
        *state = &s;
        return 0;
}

static int teardown(void **state)
{
        struct scene *s = *state;
        hnsw_dir_remove(&s->dir);
        (void) hnsw_free(s->index);
        return 0;
}

static int save(const struct scene *s, struct error *e)
{
        int r = hnsw_save(s->index, &(struct hnsw_save){ .max_elements = 1000, .with_room = true }, s->dir.fd, NULL, NULL, e);
        return r < 0 ? r : index_metadata_write(&s->metadata, PICKLE_INSTANCE, s->dir.fd, NULL, NULL, e);
}

static int load(const struct scene *s, bool in_stage, struct hnsw **ret, struct error *e)
{
        struct hnsw_params params = { .space = SPACE_COSINE, .exact = true, .stage_fd = in_stage ? s->dir.fd : -1 };
        return hnsw_load(s->dir.fd, &params, 100, NULL, NULL, ret, e);
}

static int descriptors(void)
{
        int count = 0;
        for (int fd = 0; fd < 256; fd++)
                count += fcntl(fd, F_GETFD) >= 0;
        return count;
}

static size_t in_use(void)
{
        struct mallinfo2 info = mallinfo2();
        return info.uordblks + info.hblkhd;
}

static void arm(enum mode mode, int left, int err, int dirfd)
{
        fault.mode = mode;
        fault.left = left;
        fault.err = err;
        fault.dirfd = dirfd;
        fault.hit = false;
        fault.armed = true;
}

/* A failure is a code with a sentence; success is all there. */
static void check_saved(const struct scene *s, int r, const struct error *e)
{
        if (r < 0) {
                assert_int_equal(e->code, r);
                assert_true(e->text[0] != '\0');
                return;
        }
        struct hnsw *loaded = hnsw_dir_load(&s->dir, SPACE_COSINE);
        hnsw_assert_same(s->index, loaded);
        (void) hnsw_free(loaded);
}

static int save_failing(const struct scene *s, int err)
{
        int failed = 0;
        for (int n = 1;; n++) {
                struct error e = { 0 };
                int before = descriptors();
                arm(FAIL, n, err, -1);
                int r = save(s, &e);
                fault.armed = false;
                assert_int_equal(descriptors(), before);
                check_saved(s, r, &e);
                hnsw_dir_empty(&s->dir);
                failed += r < 0;
                if (!fault.hit) {
                        assert_int_equal(r, 0);
                        return failed;
                }
        }
}

/* Five files: each with a buffer, an open, room (but the pickle), bytes, a sync and a close at least. */
static void save_fails(void **state)
{
        assert_true(save_failing(*state, ENOSPC) >= 5 * 4 + 4);
        assert_true(save_failing(*state, EIO) >= 5 * 4 + 4);
        /* A file system that can't take room beforehand is no failure. */
        assert_true(save_failing(*state, EOPNOTSUPP) >= 5 * 4);
}

static int load_failing(const struct scene *s, bool in_stage, int err)
{
        int failed = 0;
        for (int n = 1;; n++) {
                struct error e = { 0 };
                struct hnsw *loaded = NULL;
                int before = descriptors();
                size_t memory = in_use();
                arm(FAIL, n, err, -1);
                int r = load(s, in_stage, &loaded, &e);
                fault.armed = false;
                assert_int_equal(r < 0, loaded == NULL);
                if (loaded != NULL)
                        hnsw_assert_same(s->index, loaded);
                else
                        assert_true(e.code == r && e.text[0] != '\0');
                (void) hnsw_free(loaded);
                assert_int_equal(descriptors(), before);
#if OWN_ALLOCATOR
                assert_int_equal(in_use(), memory);
#endif
                (void) memory;
                failed += r < 0;
                if (!fault.hit)
                        return failed;
        }
}

static void load_fails(void **state)
{
        const struct scene *s = *state;
        struct error e;
        struct hnsw *loaded;
        assert_int_equal(save(s, &e), 0);
        assert_int_equal(load(s, false, &loaded, &e), 0); /* whatever the C library makes only once is there now */
        (void) hnsw_free(loaded);
        assert_true(load_failing(s, false, EIO) >= 12);
        assert_true(load_failing(s, false, ENOMEM) >= 12);
        assert_true(load_failing(s, true, ENOSPC) >= 12);
}

/* Whatever fails, the check ends with a failure, or with findings, and gives everything back. */
static int check_failing(int parent, const char *name, int err)
{
        int failed = 0;
        for (int n = 1;; n++) {
                struct error e = { 0 };
                struct hnsw_check check = { 0 };
                int before = descriptors();
                arm(FAIL, n, err, -1);
                int r = hnsw_check_own(parent, name, NULL, NULL, &check, &e);
                fault.armed = false;
                assert_int_equal(descriptors(), before);
                if (r != 0 && e.text[0] == 0)
                        fail_msg("n %d err %d r %d", n, err, r);
                failed += r < 0 || check.is_fatal;
                if (!fault.hit)
                        return failed;
        }
}

static void check_fails(void **state)
{
        const struct scene *s = *state;
        struct error e;
        const char *name = strrchr(s->dir.path, '/') + 1;
        assert_int_equal(save(s, &e), 0);
        int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(parent >= 0);
        assert_true(check_failing(parent, name, EIO) >= 12);
        assert_true(check_failing(parent, name, ENOMEM) >= 12);
        (void) close(parent);
}

/* Below which there are so many free ones. */
static rlim_t limit_of_free(int more)
{
        int fd = 0;
        for (; more > 0 || fcntl(fd, F_GETFD) >= 0; fd++)
                more -= fcntl(fd, F_GETFD) < 0;
        return (rlim_t) fd;
}

/* Room for so many descriptors only: openat2 has no function in the C library. */
static void load_without_descriptors(void **state)
{
        const struct scene *s = *state;
        struct error e = { 0 };
        struct hnsw *loaded = NULL;
        struct rlimit old;
        assert_int_equal(save(s, &e), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        int before = descriptors();
        for (int more = 0; more < 4; more++) {
                struct rlimit limit = { .rlim_cur = limit_of_free(more), .rlim_max = old.rlim_max };
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
                int r = load(s, false, &loaded, &e);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
                assert_int_equal(r, -EMFILE);
                assert_int_equal(descriptors(), before);
        }
}

static void save_in_pieces(void **state)
{
        const struct scene *s = *state;
        for (enum mode mode = SHORT; mode <= INTERRUPT; mode++) {
                struct error e = { 0 };
                arm(mode, 0, 0, -1);
                int r = save(s, &e);
                fault.armed = false;
                assert_int_equal(r, 0);
                assert_true(fault.hit);
                check_saved(s, r, &e);
                hnsw_dir_empty(&s->dir);
        }
}

static void load_in_pieces(void **state)
{
        const struct scene *s = *state;
        struct error e = { 0 };
        assert_int_equal(save(s, &e), 0);
        for (enum mode mode = SHORT; mode <= INTERRUPT; mode++) {
                struct hnsw *loaded = NULL;
                arm(mode, 0, 0, -1);
                int r = load(s, false, &loaded, &e);
                fault.armed = false;
                assert_int_equal(r, 0);
                assert_true(fault.hit);
                hnsw_assert_same(s->index, loaded);
                (void) hnsw_free(loaded);
        }
}

/* Another process writes while it is read, after any of the reads. */
static void changes_meanwhile(void **state)
{
        const struct scene *s = *state;
        struct error e = { 0 };
        int reads = 0;
        for (int n = 1;; n++) {
                struct hnsw *loaded = NULL;
                hnsw_dir_empty(&s->dir);
                assert_int_equal(save(s, &e), 0);
                arm(TOUCH, n, 0, s->dir.fd);
                int r = load(s, false, &loaded, &e);
                fault.armed = false;
                if (!fault.hit) {
                        assert_int_equal(r, 0);
                        (void) hnsw_free(loaded);
                        break;
                }
                assert_int_equal(r, -EAGAIN);
                assert_null(loaded);
                reads++;
        }
        assert_true(reads >= 5);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(save_fails),     TEST(load_fails),     TEST(check_fails),       TEST(load_without_descriptors),
                TEST(save_in_pieces), TEST(load_in_pieces), TEST(changes_meanwhile),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
