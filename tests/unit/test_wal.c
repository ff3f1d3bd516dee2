/* The log as a whole: measured by its thread, kept in a cache, read through open files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/clock.h"
#include "ops/wal/file.h"
#include "ops/wal/row.h"
#include "ops/wal/wal.h"
#include "tests/unit/sql_dir.h"

struct state {
        struct sql_dir d;
        struct wal *wal;
        uint64_t moment;
};

static int setup(void **state)
{
        static struct state s;
        s = (struct state){ 0 };
        sql_dir_make(&s.d);
        *state = &s;
        return 0;
}

static int teardown(void **state)
{
        struct state *s = *state;
        s->wal = wal_free(s->wal);
        sql_dir_remove(&s->d);
        return 0;
}

static char ids[3][37];

static void log_rows(const struct state *s, unsigned collection, long long from, long long to)
{
        sql_dir_exec(
                &s->d,
                "WITH RECURSIVE n(i) AS (SELECT %lld UNION ALL SELECT i + 1 FROM n WHERE i < %lld) INSERT INTO embeddings_queue"
                " (seq_id, created_at, operation, topic, id, vector, encoding, metadata) SELECT i, '2026-01-02 03:04:05', 0,"
                " 'persistent://default/default/%s', 'id ' || i, zeroblob(i %% 700), 'FLOAT32',"
                " '{\"text\": \"' || hex(zeroblob(i %% 300)) || '\"}' FROM n",
                from, to, test_uuid(collection, ids[collection]));
}

static void start(struct state *s, int cache_fd)
{
        const struct wal_place place = { .dirfd = cache_fd, .name = "log", .subject = 7 };
        assert_int_equal(wal_new(s->d.fd, &place, false, &s->wal, NULL), 0);
}

static struct wal_index *index_now(struct state *s)
{
        struct wal_index *index = NULL;
        struct error e = { 0 };
        bool current = false;
        if (wal_current(s->wal, ++s->moment, INT64_MAX, NULL, NULL, &index, &current, &e) < 0)
                fail_msg("%s", e.text);
        assert_true(current);
        return index;
}

static struct wal_file *open_root(struct state *s)
{
        CLEANUP(wal_index_put)
        struct wal_index *index = index_now(s);
        CLEANUP(wal_stream_put)
        struct wal_stream *stream = NULL;
        struct wal_file *file = NULL;
        assert_int_equal(wal_index_root(index, &stream, NULL), 0);
        assert_int_equal(wal_file_open(s->wal, stream, &file, NULL), 0);
        return file;
}

/* Reads to the end in steps of `step`; the caller frees. */
static char *read_all(struct wal_file *file, size_t step, size_t *ret_len)
{
        size_t len = 0, room = 1 << 20;
        char *all = malloc(room + 1);
        for (;;) {
                struct wal_read read;
                struct error e = { 0 };
                if (wal_file_read(file, len, step, NULL, NULL, &read, &e) < 0)
                        fail_msg("at %zu: %s", len, e.text);
                if (read.len == 0)
                        break;
                while (room < len + read.len)
                        room *= 2;
                char *larger = realloc(all, room + 1);
                assert_non_null(larger);
                all = larger;
                for (int i = 0; i < read.count; i++) {
                        memcpy(all + len, read.pieces[i].iov_base, read.pieces[i].iov_len);
                        len += read.pieces[i].iov_len;
                }
                wal_read_clear(&read);
                wal_file_ahead(file);
        }
        all[len] = '\0';
        *ret_len = len;
        return all;
}

static size_t lines_of(const char *bytes, size_t len)
{
        size_t lines = 0;
        for (size_t i = 0; i < len; i++)
                lines += bytes[i] == '\n';
        return lines;
}

static void steps_of_any_size_give_the_same(void **state)
{
        static const size_t steps[] = { 4096, 131072, 1 << 20, 16 << 20, 997 };
        struct state *s = *state;
        log_rows(s, 1, 1, 5000);
        start(s, -1);
        struct wal_file *file = open_root(s);
        size_t len = 0, other = 0;
        char *all = read_all(file, 65536, &len);
        assert_int_equal(lines_of(all, len), 5000);
        assert_int_equal(wal_measured(s->wal) * 1000, 1000);
        for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
                char *again = read_all(file, steps[i], &other);
                assert_int_equal(len, other);
                assert_memory_equal(all, again, len);
                free(again);
        }
        (void) wal_file_put(file);
        free(all);
}

static void appended_rows_stand_behind(void **state)
{
        struct state *s = *state;
        size_t len = 0, more = 0;
        start(s, -1);
        struct wal_file *file = open_root(s);
        free(read_all(file, 4096, &len));
        assert_int_equal(len, 0);
        log_rows(s, 1, 1, 300);
        (void) wal_index_put(index_now(s));
        free(read_all(file, 4096, &len));
        log_rows(s, 2, 301, 600);
        (void) wal_index_put(index_now(s));
        char *all = read_all(file, 4096, &more);
        assert_int_equal(lines_of(all, more), 600);
        assert_true(more > len);
        free(all);
        (void) wal_file_put(file);
}

static void a_row_that_has_left_is_stale(void **state)
{
        struct state *s = *state;
        struct wal_read read;
        log_rows(s, 1, 1, 300);
        log_rows(s, 2, 301, 600);
        start(s, -1);
        struct wal_file *before = open_root(s), *untouched = open_root(s);
        size_t len = 0, less = 0;
        char *all = read_all(before, 65536, &len);
        sql_dir_exec(&s->d, "DELETE FROM embeddings_queue WHERE seq_id <= 300");
        assert_int_equal(wal_file_read(untouched, 0, 4096, NULL, NULL, &read, NULL), -ESTALE);
        struct wal_file *after = open_root(s);
        char *rest = read_all(after, 65536, &less);
        assert_int_equal(lines_of(rest, less), 300);
        assert_memory_equal(all + len - less, rest, less);
        assert_int_equal(wal_file_read(untouched, len - less, 4096, NULL, NULL, &read, NULL), 0);
        assert_memory_equal(read.pieces[0].iov_base, rest, read.pieces[0].iov_len);
        wal_read_clear(&read);
        (void) wal_file_put(before);
        (void) wal_file_put(untouched);
        (void) wal_file_put(after);
        free(all);
        free(rest);
}

/* 0 or the failure of reading it from the beginning to the end. */
static int try_all(struct wal_file *file)
{
        struct wal_read read;
        for (uint64_t offset = 0;;) {
                int r = wal_file_read(file, offset, 4096, NULL, NULL, &read, NULL);
                if (r < 0 || read.len == 0)
                        return r;
                offset += read.len;
                wal_read_clear(&read);
        }
}

static void a_changed_row_has_all_measured_anew(void **state)
{
        struct state *s = *state;
        size_t len = 0;
        log_rows(s, 1, 1, 300);
        start(s, -1);
        struct wal_file *old = open_root(s);
        sql_dir_exec(&s->d, "UPDATE embeddings_queue SET metadata = 'changed' WHERE seq_id = 150");
        (void) wal_index_put(index_now(s)); /* neither the first nor the last row: not noticed yet */
        assert_int_equal(try_all(old), -ESTALE);
        struct wal_file *file = open_root(s);
        char *all = read_all(file, 4096, &len);
        assert_int_equal(lines_of(all, len), 300);
        assert_non_null(strstr(all, "changed"));
        free(all);
        (void) wal_file_put(file);
        log_rows(s, 1, 301, 310);
        (void) wal_index_put(index_now(s));
        assert_int_equal(try_all(old), -ESTALE); /* never an end without a word */
        (void) wal_file_put(old);
}

static void hidden_collections_are_not_in_the_root(void **state)
{
        struct state *s = *state;
        size_t len = 0;
        log_rows(s, 1, 1, 300);
        log_rows(s, 2, 301, 500);
        start(s, -1);
        uint64_t key = wal_collection_key(ids[1], 36);
        (void) wal_index_put(index_now(s));
        assert_int_equal(wal_hide(s->wal, &key, 1, NULL), 0);
        struct wal_file *file = open_root(s);
        char *all = read_all(file, 65536, &len);
        assert_int_equal(lines_of(all, len), 200);
        free(all);
        (void) wal_file_put(file);
        assert_int_equal(wal_hide(s->wal, NULL, 0, NULL), 0);
        file = open_root(s);
        all = read_all(file, 65536, &len);
        assert_int_equal(lines_of(all, len), 500);
        free(all);
        (void) wal_file_put(file);
}

static bool at_once(void *context)
{
        (void) context;
        return true;
}

static void a_lock_is_waited_for_until_cancelled(void **state)
{
        struct state *s = *state;
        struct wal_index *index = NULL;
        bool current = true;
        log_rows(s, 1, 1, 3);
        sqlite3 *writer = sql_dir_writer(&s->d, 100);
        assert_int_equal(sqlite3_exec(writer, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
        start(s, -1);
        assert_int_equal(wal_current(s->wal, 1, clock_ms() + 100, NULL, NULL, &index, &current, NULL), 0);
        assert_null(index);
        assert_false(current);
        assert_int_equal(wal_current(s->wal, 1, INT64_MAX, at_once, NULL, &index, &current, NULL), -EINTR);
        assert_int_equal(sqlite3_exec(writer, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        (void) sqlite3_close(writer);
        (void) wal_index_put(index_now(s));
}

static void the_cache_is_used_again(void **state)
{
        struct state *s = *state;
        size_t len = 0, again = 0;
        int fd = open(s->d.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        log_rows(s, 1, 1, 3000);
        start(s, fd);
        struct wal_file *file = open_root(s);
        char *all = read_all(file, 65536, &len);
        (void) wal_file_put(file);
        s->wal = wal_free(s->wal);
        assert_int_equal(faccessat(fd, "log", R_OK, 0), 0);
        log_rows(s, 2, 3001, 3100);
        s->moment = 0;
        start(s, fd);
        file = open_root(s);
        char *more = read_all(file, 65536, &again);
        assert_int_equal(lines_of(more, again), 3100);
        assert_memory_equal(all, more, len);
        (void) wal_file_put(file);
        free(all);
        free(more);
        (void) close(fd);
}

/* Both work, the second one without the cache. */
static void two_share_a_cache(void **state)
{
        struct state *s = *state;
        int fd = open(s->d.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        log_rows(s, 1, 1, 1000);
        start(s, fd);
        (void) wal_index_put(index_now(s));
        struct wal *first = s->wal;
        start(s, fd);
        struct wal_index *index = index_now(s);
        assert_int_equal(wal_index_totals(index).rows, 1000);
        (void) wal_index_put(index);
        (void) wal_free(first);
        (void) close(fd);
}

struct reader {
        struct wal_file *file;
        const char *all;
        size_t len;
        unsigned seed;
        int wrong;
};

static void *read_anywhere(void *context)
{
        struct reader *r = context;
        for (int i = 0; i < 300; i++) {
                size_t offset = (size_t) rand_r(&r->seed) % r->len, size = (size_t) rand_r(&r->seed) % 200000 + 1;
                struct wal_read read;
                if (wal_file_read(r->file, offset, size, NULL, NULL, &read, NULL) < 0) {
                        r->wrong++;
                        continue;
                }
                for (int p = 0, at = 0; p < read.count; at += (int) read.pieces[p].iov_len, p++)
                        r->wrong += memcmp(read.pieces[p].iov_base, r->all + offset + at, read.pieces[p].iov_len) != 0;
                wal_read_clear(&read);
                wal_file_ahead(r->file);
        }
        return NULL;
}

static void threads_share_a_file(void **state)
{
        struct state *s = *state;
        struct reader readers[4];
        pthread_t threads[4];
        size_t len = 0;
        log_rows(s, 1, 1, 5000);
        start(s, -1);
        struct wal_file *file = open_root(s);
        char *all = read_all(file, 65536, &len);
        for (unsigned i = 0; i < 4; i++) {
                readers[i] = (struct reader){ .file = file, .all = all, .len = len, .seed = i };
                assert_int_equal(pthread_create(&threads[i], NULL, read_anywhere, &readers[i]), 0);
        }
        for (unsigned i = 0; i < 4; i++) {
                (void) pthread_join(threads[i], NULL);
                assert_int_equal(readers[i].wrong, 0);
        }
        (void) wal_file_put(file);
        free(all);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(steps_of_any_size_give_the_same, setup, teardown),
                cmocka_unit_test_setup_teardown(appended_rows_stand_behind, setup, teardown),
                cmocka_unit_test_setup_teardown(a_row_that_has_left_is_stale, setup, teardown),
                cmocka_unit_test_setup_teardown(a_changed_row_has_all_measured_anew, setup, teardown),
                cmocka_unit_test_setup_teardown(hidden_collections_are_not_in_the_root, setup, teardown),
                cmocka_unit_test_setup_teardown(a_lock_is_waited_for_until_cancelled, setup, teardown),
                cmocka_unit_test_setup_teardown(the_cache_is_used_again, setup, teardown),
                cmocka_unit_test_setup_teardown(two_share_a_cache, setup, teardown),
                cmocka_unit_test_setup_teardown(threads_share_a_file, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
