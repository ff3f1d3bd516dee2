#include "tests/unit/store_dir.h"

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
#include <ftw.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ops/file.h"

#define FULL WAL_BLOCK_UNITS

int store_dir_make(void **state)
{
        static struct store_dir dir;
        (void) strcpy(dir.path, "/tmp/chromafs-store-XXXXXX");
        if (mkdtemp(dir.path) == NULL)
                return -1;
        dir.fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = &dir;
        return dir.fd < 0 ? -1 : 0;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void) st;
        (void) flag;
        (void) ftw;
        return remove(path);
}

int store_dir_remove(void **state)
{
        const struct store_dir *dir = *state;
        (void) close(dir->fd);
        return nftw(dir->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

struct byte_buffer store_dir_load(const struct store_dir *dir, const char *name)
{
        struct byte_buffer bytes = { 0 };
        struct stat st;
        CLEANUP(close)
        int fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        bytes_fill(&bytes, 0, (size_t) st.st_size);
        assert_int_equal(file_pread(fd, bytes.data, bytes.len, 0), bytes.len);
        return bytes;
}

/* Cut at the end, not at first: some file systems then hurry to write. */
void store_dir_save(const struct store_dir *dir, const char *name, const void *bytes, size_t len)
{
        CLEANUP(close)
        int fd = openat(dir->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, len), len);
        assert_int_equal(ftruncate(fd, (off_t) len), 0);
}

bool store_dir_has(const struct store_dir *dir, const char *name)
{
        return file_stamp_at(dir->fd, name).present;
}

/* ---- stores ---- */

struct wal_unit test_unit(uint64_t position)
{
        uint64_t x = (position + 1) * 0x9e3779b97f4a7c15u;
        return (struct wal_unit){
                .seq_id = (int64_t) (x ^ 5), .key = x * 3, .hash = ~x, .length = (uint32_t) (x >> 7), .piece = (uint32_t) x
        };
}

static bool unit_equal(const struct wal_unit *a, const struct wal_unit *b)
{
        return a->seq_id == b->seq_id && a->key == b->key && a->hash == b->hash && a->length == b->length && a->piece == b->piece;
}

static void block_fill(uint32_t number, uint32_t count, struct wal_unit *units)
{
        for (uint32_t i = 0; i < count; i++)
                units[i] = test_unit((uint64_t) number * FULL + i);
}

int put_test_block(struct wal_store *store, uint32_t number, uint32_t count)
{
        struct wal_unit units[FULL];
        block_fill(number, count, units);
        return wal_store_write(store, number, units, count, NULL);
}

int get_test_block(const struct wal_store *store, uint32_t number, struct error *e)
{
        struct wal_unit units[FULL];
        uint32_t count = 0;
        int r = wal_store_read(store, number, units, &count, e);
        if (r < 0)
                return r;
        if (count == 0 || count > FULL)
                return -1001;
        for (uint32_t i = 0; i < count; i++) {
                struct wal_unit expected = test_unit((uint64_t) number * FULL + i);
                if (!unit_equal(&units[i], &expected))
                        return -1000;
        }
        return (int) count;
}

int64_t count_test_units(const struct wal_store *store)
{
        int64_t total = 0;
        uint32_t blocks = wal_store_blocks(store);
        for (uint32_t i = 0; i < blocks; i++) {
                int n = get_test_block(store, i, NULL);
                if (n < 0 || (n < FULL && i + 1 < blocks))
                        return n < 0 ? n : -1002;
                total += n;
        }
        return total;
}

int put_test_units(struct wal_store *store, uint64_t from, uint64_t to)
{
        int r = 0;
        while (r == 0 && from < to) {
                uint64_t end = (from / FULL + 1) * FULL;
                end = end < to ? end : to;
                r = put_test_block(store, (uint32_t) (from / FULL), (uint32_t) (end - from / FULL * FULL));
                from = end;
        }
        return r;
}

struct wal_store *store_dir_open(const struct store_dir *dir, uint64_t subject)
{
        struct wal_store *store = NULL;
        struct error e = { 0 };
        if (wal_store_open(dir->fd, STORE_NAME, subject, &store, &e) != 0)
                fail_msg("%s", e.text);
        assert_true(wal_store_is_cached(store));
        return store;
}

struct byte_buffer store_dir_fill(const struct store_dir *dir, uint64_t units)
{
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        assert_int_equal(wal_store_reset(store, NULL), 0);
        assert_int_equal(put_test_units(store, 0, units), 0);
        assert_true(wal_store_is_cached(store));
        (void) wal_store_free(store);
        return store_dir_load(dir, STORE_NAME);
}

void store_dir_expect(const struct store_dir *dir, int64_t units)
{
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        assert_int_equal(count_test_units(store), units);
        assert_int_equal(wal_store_blocks(store), (units + FULL - 1) / FULL);
        uint64_t last = units > 0 ? (uint64_t) (units - 1) % FULL + 1 : 0;
        uint64_t size = units > 0 ? BLOCK_AT((units - 1) / FULL) + 32 + 32 * last : STORE_HEADER;
        assert_int_equal(file_stamp_at(dir->fd, STORE_NAME).size, size);
        assert_int_equal(put_test_units(store, (uint64_t) units, (uint64_t) units + 1), 0);
        (void) wal_store_free(store);
        store = store_dir_open(dir, STORE_SUBJECT);
        assert_int_equal(count_test_units(store), units + 1);
        (void) wal_store_free(store);
}

void store_dir_refuse(const struct store_dir *dir, int code, const char *sentence)
{
        struct wal_store *store = NULL;
        struct error e = { 0 };
        int r = wal_store_open(dir->fd, STORE_NAME, STORE_SUBJECT, &store, &e);
        if (r != code || e.code != code || strstr(e.text, sentence) == NULL || store != NULL)
                fail_msg("%d '%s' where %d '%s' is expected", r, e.text, code, sentence);
}

/* ---- children ---- */

int store_dir_wait(pid_t pid)
{
        int status = -1;
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

/* A limit that the test set is lifted, since counters of coverage are written at exit. */
static int run_child(int (*run)(const struct store_dir *, long), const struct store_dir *dir, long argument)
{
        struct rlimit limit;
        int r = run(dir, argument);
        if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
                return 1;
        limit.rlim_cur = limit.rlim_max;
        return setrlimit(RLIMIT_FSIZE, &limit) < 0 ? 1 : r;
}

void store_dir_child(int (*run)(const struct store_dir *, long), const struct store_dir *dir, long argument)
{
        (void) fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
                exit(run_child(run, dir, argument));
        int status = store_dir_wait(pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                fail_msg("with %ld the child ended with status 0x%x", argument, status);
}
