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
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/unit/store_dir.h"

#define FULL WAL_BLOCK_UNITS

static int limit_file_size(long size)
{
        struct rlimit limit;
        if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || getrlimit(RLIMIT_FSIZE, &limit) < 0)
                return -1;
        limit.rlim_cur = (rlim_t) size;
        return setrlimit(RLIMIT_FSIZE, &limit);
}

/* ---- a disk that is full ---- */

/* No byte behind `limit` can be written: the store goes on in memory, wherever that is. */
static int full_disk(const struct store_dir *dir, long limit)
{
        struct wal_store *store = NULL;
        struct error e = { 0 };
        CHILD_CHECK(limit_file_size(limit) == 0);
        int r = wal_store_open(dir->fd, STORE_NAME, STORE_SUBJECT, &store, &e);
        if (limit < (long) STORE_HEADER) {
                CHILD_CHECK(r == -EFBIG && strstr(e.text, "can't be written") != NULL && !store_dir_has(dir, STORE_NAME));
                return 0;
        }
        CHILD_CHECK(r == 0);
        for (uint64_t units = 0; units < 3 * FULL; units += 17) {
                CHILD_CHECK(put_test_units(store, units, units + 17) == 0);
                CHILD_CHECK(count_test_units(store) == (int64_t) units + 17);
        }
        CHILD_CHECK(wal_store_is_cached(store) == store_dir_has(dir, STORE_NAME));
        CHILD_CHECK(wal_store_is_cached(store) == (limit >= (long) BLOCK_AT(3)));
        CHILD_CHECK(wal_store_reset(store, NULL) == 0 && wal_store_blocks(store) == 0);
        CHILD_CHECK(put_test_units(store, 0, 600) == 0 && count_test_units(store) == 600);
        (void) wal_store_free(store);
        (void) unlinkat(dir->fd, STORE_NAME, 0);
        return 0;
}

static void test_full_disk(void **state)
{
        const struct store_dir *dir = *state;
        const size_t limits[] = { 0,
                                  1,
                                  STORE_HEADER - 1,
                                  STORE_HEADER,
                                  BLOCK - 1,
                                  BLOCK,
                                  BLOCK + 8,
                                  UNIT_AT(0, 0),
                                  UNIT_AT(0, 16) + 3,
                                  UNIT_AT(0, 100),
                                  BLOCK_AT(1) - 1,
                                  BLOCK_AT(1),
                                  BLOCK_AT(1) + 1,
                                  UNIT_AT(1, 77),
                                  BLOCK_AT(2),
                                  UNIT_AT(2, 200),
                                  BLOCK_AT(3) - 1,
                                  BLOCK_AT(3),
                                  BLOCK_AT(9) };
        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
                store_dir_child(full_disk, dir, (long) limits[i]);
}

/* A reset that can't begin the file anew. */
static int full_disk_reset(const struct store_dir *dir, long limit)
{
        struct wal_store *store = NULL;
        CHILD_CHECK(wal_store_open(dir->fd, STORE_NAME, STORE_SUBJECT, &store, NULL) == 0 && put_test_units(store, 0, 300) == 0);
        CHILD_CHECK(limit_file_size(limit) == 0);
        CHILD_CHECK(wal_store_reset(store, NULL) == 0 && wal_store_blocks(store) == 0);
        CHILD_CHECK(!wal_store_is_cached(store) && !store_dir_has(dir, STORE_NAME));
        CHILD_CHECK(put_test_units(store, 0, 300) == 0 && count_test_units(store) == 300);
        (void) wal_store_free(store);
        return 0;
}

static void test_full_disk_reset(void **state)
{
        store_dir_child(full_disk_reset, *state, 0);
        store_dir_child(full_disk_reset, *state, 20);
}

/* The file can't be written, and was cut or replaced by a stranger before. */
static int full_disk_and_stranger(const struct store_dir *dir, long replaced)
{
        struct wal_store *store = NULL;
        CHILD_CHECK(wal_store_open(dir->fd, STORE_NAME, STORE_SUBJECT, &store, NULL) == 0 &&
                    put_test_units(store, 0, 3 * FULL) == 0);
        if (replaced) {
                store_dir_save(dir, "other", "other", 5);
                CHILD_CHECK(renameat(dir->fd, "other", dir->fd, STORE_NAME) == 0);
        } else {
                CLEANUP(close)
                int fd = openat(dir->fd, STORE_NAME, O_RDWR | O_CLOEXEC);
                CHILD_CHECK(ftruncate(fd, (off_t) UNIT_AT(1, 9)) == 0);
        }
        CHILD_CHECK(limit_file_size((long) BLOCK_AT(3)) == 0 && put_test_units(store, 3 * FULL, 3 * FULL + 9) == 0);
        struct error e = { 0 };
        CHILD_CHECK(!wal_store_is_cached(store) && store_dir_has(dir, STORE_NAME) == (replaced != 0) &&
                    wal_store_blocks(store) == 4);
        CHILD_CHECK(get_test_block(store, 0, NULL) == FULL && get_test_block(store, 3, NULL) == 9);
        CHILD_CHECK(get_test_block(store, 1, &e) == (replaced ? FULL : -EIO));
        CHILD_CHECK(replaced || strstr(e.text, "was lost") != NULL);
        CHILD_CHECK(get_test_block(store, 2, NULL) == (replaced ? FULL : -EIO));
        (void) wal_store_free(store);
        return 0;
}

static void test_full_disk_and_stranger(void **state)
{
        const struct store_dir *dir = *state;
        store_dir_child(full_disk_and_stranger, dir, false);
        store_dir_child(full_disk_and_stranger, dir, true);
        struct byte_buffer other = store_dir_load(dir, STORE_NAME);
        assert_int_equal(other.len, 5);
        bytes_clear(&other);
}

/* A disk of a few pages, where this machine lets us have one. */
static int tiny_disk(const struct store_dir *dir, long pages)
{
        char options[64];
        (void) snprintf(options, sizeof(options), "size=%ldk", pages * 4);
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", dir->path, "tmpfs", 0, options) < 0)
                return 0;
        struct store_dir tiny = { .fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
        struct wal_store *store = NULL;
        CHILD_CHECK(wal_store_open(tiny.fd, STORE_NAME, STORE_SUBJECT, &store, NULL) == 0);
        for (uint64_t units = 0; units < 30 * FULL; units += 51)
                CHILD_CHECK(put_test_units(store, units, units + 51) == 0 && count_test_units(store) == (int64_t) units + 51);
        CHILD_CHECK(!wal_store_is_cached(store) && !store_dir_has(&tiny, STORE_NAME));
        (void) wal_store_free(store);
        (void) close(tiny.fd);
        return 0;
}

static void test_tiny_disk(void **state)
{
        for (long pages = 2; pages < 24; pages++)
                store_dir_child(tiny_disk, *state, pages);
}

/* ---- a process that is killed ---- */

/* Writes units for ever, beginning with those behind what is there. */
static void write_until_killed(const struct store_dir *dir, int ready, unsigned step)
{
        struct wal_store *store = NULL;
        if (wal_store_open(dir->fd, STORE_NAME, STORE_SUBJECT, &store, NULL) < 0)
                _exit(1);
        int64_t units = count_test_units(store);
        if (units < 0 || write(ready, "", 1) != 1)
                _exit(1);
        for (uint64_t at = (uint64_t) units; put_test_units(store, at, at + step) == 0; at += step)
                ;
        _exit(1);
}

/* One that is killed after some `us`; what it leaves is a part of what it wrote, and no full block that was there is lost. */
static uint64_t kill_one(const struct store_dir *dir, uint64_t before, unsigned step, useconds_t us)
{
        int ready[2];
        char byte;
        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0)
                write_until_killed(dir, ready[1], step);
        (void) close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void) close(ready[0]);
        (void) usleep(us);
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status = store_dir_wait(pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        int64_t units = count_test_units(store);
        assert_true(units >= (int64_t) (before / FULL * FULL));
        if (units > 200 * FULL) {
                assert_int_equal(wal_store_reset(store, NULL), 0);
                units = 0;
        }
        (void) wal_store_free(store);
        return (uint64_t) units;
}

static void test_killed(void **state)
{
        uint64_t units = 0;
        (void) fflush(NULL);
        for (unsigned i = 0; i < 300; i++)
                units = kill_one(*state, units, i % 7 == 0 ? 255 : 1 + i % 60, i * 37 % 700);
}

/* ---- threads ---- */

struct readers {
        struct wal_store *store;
        _Atomic uint32_t ready; /* blocks that are written, and not written again */
        atomic_bool stop;
        _Atomic uint64_t reads;
        atomic_int failed;
};

static void *read_blocks(void *argument)
{
        struct readers *readers = argument;
        for (uint32_t i = 0; !atomic_load(&readers->stop); i = i * 5 + 3) {
                uint32_t ready = atomic_load(&readers->ready);
                if (ready == 0)
                        continue;
                if (get_test_block(readers->store, i % ready, NULL) != FULL || wal_store_blocks(readers->store) < ready)
                        atomic_store(&readers->failed, 1);
                (void) wal_store_is_cached(readers->store);
                atomic_fetch_add(&readers->reads, 1);
        }
        return NULL;
}

#define THREADS 3

/* Writes while others read; the file is full at `limit`. */
static int beside_readers(const struct store_dir *dir, long limit)
{
        struct readers readers = { 0 };
        pthread_t threads[THREADS];
        CHILD_CHECK(limit_file_size(limit) == 0);
        CHILD_CHECK(wal_store_open(dir->fd, STORE_NAME, STORE_SUBJECT, &readers.store, NULL) == 0);
        for (size_t i = 0; i < THREADS; i++)
                CHILD_CHECK(pthread_create(&threads[i], NULL, read_blocks, &readers) == 0);
        for (uint64_t units = 0; units < 200 * FULL; units += 15) {
                CHILD_CHECK(put_test_units(readers.store, units, units + 15) == 0);
                atomic_store(&readers.ready, (uint32_t) ((units + 15) / FULL));
                if (units % (10 * FULL) == 0) /* let each come to its turn */
                        for (uint64_t reads = atomic_load(&readers.reads); units > FULL && atomic_load(&readers.reads) < reads + 9;)
                                (void) sched_yield();
        }
        atomic_store(&readers.stop, true);
        for (size_t i = 0; i < THREADS; i++)
                CHILD_CHECK(pthread_join(threads[i], NULL) == 0);
        CHILD_CHECK(atomic_load(&readers.failed) == 0 && count_test_units(readers.store) == 200 * FULL);
        CHILD_CHECK(wal_store_is_cached(readers.store) == (limit >= (long) BLOCK_AT(200)));
        (void) wal_store_free(readers.store);
        (void) unlinkat(dir->fd, STORE_NAME, 0);
        return 0;
}

static void test_beside_readers(void **state)
{
        store_dir_child(beside_readers, *state, BLOCK_AT(1000));
        store_dir_child(beside_readers, *state, UNIT_AT(60, 100));
        store_dir_child(beside_readers, *state, BLOCK_AT(150) - 1);
        store_dir_child(beside_readers, *state, UNIT_AT(0, 3));
}

/* Readers of what is emptied at the same time see a block or none, and never bytes of two. */
static void *read_anything(void *argument)
{
        struct readers *readers = argument;
        while (!atomic_load(&readers->stop)) {
                int n = get_test_block(readers->store, 1, NULL);
                if (n != FULL && n != -EILSEQ)
                        atomic_store(&readers->failed, n);
                atomic_fetch_add(&readers->reads, 1);
        }
        return NULL;
}

static int reset_beside_readers(const struct store_dir *dir, long cached)
{
        struct readers readers = { 0 };
        pthread_t thread;
        CHILD_CHECK((cached ? wal_store_open(dir->fd, STORE_NAME, STORE_SUBJECT, &readers.store, NULL)
                            : wal_store_new(&readers.store, NULL)) == 0);
        CHILD_CHECK(pthread_create(&thread, NULL, read_anything, &readers) == 0);
        for (int i = 0; i < 300; i++) {
                uint64_t reads = atomic_load(&readers.reads);
                CHILD_CHECK(put_test_units(readers.store, 0, 3 * FULL) == 0);
                while (atomic_load(&readers.reads) < reads + 2)
                        (void) sched_yield();
                CHILD_CHECK(wal_store_reset(readers.store, NULL) == 0);
        }
        atomic_store(&readers.stop, true);
        CHILD_CHECK(pthread_join(thread, NULL) == 0);
        CHILD_CHECK(atomic_load(&readers.failed) == 0);
        (void) wal_store_free(readers.store);
        return 0;
}

static void test_reset_beside_readers(void **state)
{
        store_dir_child(reset_beside_readers, *state, false);
        store_dir_child(reset_beside_readers, *state, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, store_dir_make, store_dir_remove)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(full_disk), TEST(full_disk_reset), TEST(full_disk_and_stranger), TEST(tiny_disk),
                TEST(killed),    TEST(beside_readers),  TEST(reset_beside_readers),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
