#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/wal/reader.h"
#include "tests/unit/fixture.h"
#include "tests/unit/sql_dir.h"

#define COLUMNS "created_at, operation, topic, id, vector, encoding, metadata"

/* Without types, so that every class can stand everywhere. */
static int setup(void **state)
{
        static struct sql_dir d;
        sql_dir_make(&d);
        sql_dir_exec(&d, "DROP TABLE embeddings_queue; CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, " COLUMNS ")");
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        sql_dir_remove(*state);
        return 0;
}

/* What must come out: the rows as plain SQLite gives them, rendered one after the other. */

struct whole {
        char *bytes;
        size_t len;
        uint64_t rows;
};

static char *make_room(struct whole *w, size_t len)
{
        w->bytes = realloc(w->bytes, w->len + len + 1);
        assert_non_null(w->bytes);
        w->len += len;
        return w->bytes + w->len - len;
}

static void plain_row(sqlite3_stmt *stmt, struct wal_row *row)
{
        *row = (struct wal_row){ .seq_id = sqlite3_column_int64(stmt, 0) };
        for (int i = 0; i < WAL_COLUMNS; i++) {
                struct wal_value *value = &row->columns[i];
                int type = sqlite3_column_type(stmt, 1 + i);
                value->class = type == SQLITE_NULL      ? WAL_NULL
                               : type == SQLITE_INTEGER ? WAL_INTEGER
                               : type == SQLITE_FLOAT   ? WAL_REAL
                               : type == SQLITE_TEXT    ? WAL_TEXT
                                                        : WAL_BLOB;
                value->integer = value->class == WAL_INTEGER ? sqlite3_column_int64(stmt, 1 + i) : 0;
                value->real = value->class == WAL_REAL ? sqlite3_column_double(stmt, 1 + i) : 0;
                if (value->class != WAL_TEXT && value->class != WAL_BLOB)
                        continue;
                value->bytes = sqlite3_column_blob(stmt, 1 + i);
                value->len = (uint64_t) sqlite3_column_bytes(stmt, 1 + i);
                value->bytes = value->bytes != NULL ? value->bytes : "";
        }
}

/* The row as the source describes a large one. */
static struct wal_row layout_of(const struct wal_row *row)
{
        struct wal_row layout = *row;
        for (int i = 0; i < WAL_COLUMNS; i++)
                layout.columns[i].bytes = NULL;
        return layout;
}

/* With the whole column as each piece's input. */
static void add_large(struct whole *w, const struct wal_row *row)
{
        struct wal_row layout = layout_of(row);
        struct wal_piece piece;
        for (uint32_t i = 0; wal_row_piece(&layout, i, &piece); i++) {
                const struct wal_value *value = &row->columns[piece.column];
                struct wal_input input = { .bytes = value->bytes != NULL ? value->bytes : "", .len = (size_t) value->len };
                char *to = make_room(w, wal_piece_length(&layout, &piece, &input));
                wal_piece_render(&layout, &piece, &input, to);
        }
}

/* Of one collection, or of all for WAL_KEY_NONE. */
static struct whole whole_of(sqlite3 *plain, uint64_t key)
{
        struct whole w = { .len = 0 };
        struct wal_row row;
        sqlite3_stmt *stmt = NULL;
        const char *sql = "SELECT seq_id, " COLUMNS " FROM embeddings_queue ORDER BY seq_id";
        assert_int_equal(sqlite3_prepare_v2(plain, sql, -1, &stmt, NULL), SQLITE_OK);
        while (sqlite3_step(stmt) == SQLITE_ROW) {
                plain_row(stmt, &row);
                if (key != WAL_KEY_NONE && key != wal_row_key(&row))
                        continue;
                w.rows++;
                if (wal_row_is_large(&row))
                        add_large(&w, &row);
                else
                        wal_row_render(&row, make_room(&w, wal_row_length(&row)));
        }
        assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
        return w;
}

/* A measured log. */

struct log {
        struct db *db;
        struct wal_source *source;
        struct wal_index *index;
        struct wal_stream *stream;
        struct error e;
        bool foreign;
};

static void append(struct log *l, const struct wal_unit *unit)
{
        if (wal_index_append(l->index, unit, 0, &l->e) < 0)
                fail_msg("%s", l->e.text);
}

static void measure_large(struct log *l, const struct wal_row *row, uint64_t key)
{
        struct wal_piece piece;
        struct wal_input input;
        for (uint32_t i = 0; wal_row_piece(row, i, &piece); i++) {
                assert_int_equal(wal_source_input(l->source, row, &piece, &input, &l->e), 0);
                struct wal_unit unit = { .seq_id = row->seq_id, .key = key, .piece = WAL_UNIT_LARGE | i };
                if (i + 1 == wal_row_pieces(row))
                        unit.piece |= WAL_UNIT_LAST;
                unit.hash = wal_piece_hash(row, &piece, &input);
                unit.length = (uint32_t) wal_piece_length(row, &piece, &input);
                append(l, &unit);
        }
}

static void measure(struct log *l)
{
        struct wal_row row;
        uint64_t key = 0;
        assert_int_equal(db_begin(l->db, &l->e), 0);
        int r = wal_source_seek(l->source, INT64_MIN, &row, &l->e);
        for (; r > 0; r = wal_source_next(l->source, &row, &l->e)) {
                assert_int_equal(wal_source_key(l->source, &row, &key, &l->e), 0);
                struct wal_unit unit = { .seq_id = row.seq_id, .key = key };
                if (wal_row_is_large(&row)) {
                        measure_large(l, &row, key);
                        continue;
                }
                unit.hash = wal_row_hash(&row);
                unit.length = (uint32_t) wal_row_length(&row);
                append(l, &unit);
        }
        if (r < 0)
                fail_msg("%s", l->e.text);
        wal_source_rest(l->source);
        db_end(l->db);
}

/* Takes the connection and the store over. */
static struct log measured_into(struct db *db, uint64_t key, struct wal_store *store)
{
        struct log l = { .db = db };
        assert_int_equal(wal_index_new(store, NULL, 0, &l.index, &l.e), 0);
        assert_int_equal(wal_source_new(l.db, &l.source, &l.e), 0);
        measure(&l);
        if (key == WAL_KEY_NONE)
                assert_int_equal(wal_index_root(l.index, &l.stream, &l.e), 0);
        else
                assert_int_equal(wal_index_stream(l.index, key, &l.stream, &l.e), 0);
        return l;
}

static struct log measured(struct db *db, uint64_t key)
{
        struct wal_store *store = NULL;
        assert_int_equal(wal_store_new(&store, NULL), 0);
        return measured_into(db, key, store);
}

static void forget(struct log *l)
{
        l->stream = wal_stream_put(l->stream);
        l->index = wal_index_put(l->index);
        l->source = wal_source_free(l->source);
        l->db = db_close(l->db);
}

static int try_read(struct log *l, uint64_t offset, size_t want, size_t most, struct wal_span **ret)
{
        l->foreign = false;
        int r = wal_render(l->db, l->source, l->stream, offset, want, most, ret, &l->foreign, &l->e);
        assert_true(sqlite3_get_autocommit(db_handle(l->db)));
        assert_int_equal(sqlite3_txn_state(db_handle(l->db), "main"), SQLITE_TXN_NONE);
        for (sqlite3_stmt *s = sqlite3_next_stmt(db_handle(l->db), NULL); s != NULL; s = sqlite3_next_stmt(db_handle(l->db), s))
                assert_non_null(sqlite3_sql(s)); /* else it is that of a sqlite3_blob */
        return r;
}

static void put(struct wal_span *span)
{
        (void) result_put(&span->shared);
}

/* Reads and compares; returns the offset behind the span, or that of the end. */
static uint64_t check_read(struct log *l, const struct whole *w, uint64_t offset, size_t want, size_t most)
{
        struct wal_span *span = NULL;
        if (try_read(l, offset, want, most, &span) < 0)
                fail_msg("%s", l->e.text);
        if (offset >= w->len) {
                assert_null(span);
                return w->len;
        }
        assert_non_null(span);
        uint64_t end = span->offset + span->len, wanted = want < w->len - offset ? offset + want : w->len;
        assert_true(span->offset <= offset && end > offset && end >= wanted && end <= w->len);
        if (memcmp(span->bytes, w->bytes + span->offset, span->len) != 0)
                fail_msg("other bytes than those at %zu", (size_t) span->offset);
        put(span);
        return end;
}

static void check_random(struct log *l, const struct whole *w, int count, size_t most)
{
        for (int i = 0; i < count; i++) {
                uint64_t offset = (uint64_t) random() % (w->len + 10);
                (void) check_read(l, w, offset, (size_t) random() % most, (size_t) random() % most);
        }
}

static void check_sequential(struct log *l, const struct whole *w, size_t want, size_t most)
{
        for (uint64_t at = 0; at < w->len;)
                at = check_read(l, w, at, want, most);
}

static void check_stream(const struct sql_dir *d, uint64_t key)
{
        sqlite3 *plain = sql_dir_writer(d, 1000);
        struct whole w = whole_of(plain, key);
        struct log l = measured(sql_dir_open(d), key);
        assert_int_equal(wal_stream_stat(l.stream).size, w.len);
        assert_int_equal(wal_stream_stat(l.stream).rows, w.rows);
        check_sequential(&l, &w, 1, 1);
        check_sequential(&l, &w, 4096, 1 << 20);
        check_random(&l, &w, 200, 20000);
        check_random(&l, &w, 50, 1 << 20);
        (void) check_read(&l, &w, w.len, 1, 1);
        (void) check_read(&l, &w, UINT64_MAX, SIZE_MAX, SIZE_MAX);
        (void) check_read(&l, &w, 0, SIZE_MAX, 0);
        (void) check_read(&l, &w, 0, 0, 0);
        forget(&l);
        free(w.bytes);
        assert_int_equal(sqlite3_close(plain), SQLITE_OK);
}

/* Rows. */

#define TOPIC_A "'persistent://default/default/a'"
#define TOPIC_B "'persistent://default/default/b'"

static uint64_t key_of(const char *id)
{
        return wal_collection_key(id, strlen(id));
}

/* `count` rows with seq_ids from `first` on, in turn of two collections, with vectors of 8 bytes. */
static void insert_rows(const struct sql_dir *d, long long first, int count)
{
        sql_dir_exec(d,
                     "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %d)"
                     " INSERT INTO embeddings_queue SELECT %lld + i, '2026-11-22 15:33:09', i %% 4,"
                     " iif(i %% 2, " TOPIC_B ", " TOPIC_A "), 'id' || i, randomblob(8), 'FLOAT32', '{\"n\": ' || i || '}' FROM n",
                     count, first);
}

static void insert_large(const struct sql_dir *d, long long seq_id, const char *topic, unsigned size)
{
        sql_dir_exec(
                d,
                "INSERT INTO embeddings_queue VALUES (%lld, '2026-11-22 15:33:09', 0, %s, 'large', randomblob(1536), 'FLOAT32',"
                " 'x' || replace(hex(zeroblob(%u)), '00', CAST(x'e282ac' AS TEXT)))",
                seq_id, topic, size / 3);
}

static void no_rows(void **state)
{
        check_stream(*state, WAL_KEY_NONE);
        check_stream(*state, key_of("a"));
}

static void rows_of_two_collections(void **state)
{
        insert_rows(*state, 1, 3000);
        check_stream(*state, WAL_KEY_NONE);
        check_stream(*state, key_of("a"));
        check_stream(*state, key_of("b"));
        check_stream(*state, key_of("c"));
}

static void every_class_in_every_column(void **state)
{
        static const char *const values[] = { "NULL",
                                              "-9223372036854775808",
                                              "1e308 * 10",
                                              "'text'",
                                              "x'00ff'",
                                              "''",
                                              "x''",
                                              "0.1",
                                              "CAST(x'c3c328ff00' AS TEXT)",
                                              TOPIC_A,
                                              TOPIC_B,
                                              "CAST(x'f09f9880e282ac22' AS TEXT)",
                                              "-0.0" };
        unsigned n = sizeof values / sizeof values[0];
        for (unsigned i = 0; i < n; i++)
                sql_dir_exec(*state, "INSERT INTO embeddings_queue VALUES (%u, %s, %s, %s, %s, %s, %s, %s)", i + 1, values[i],
                             values[(i + 1) % n], values[(i + 2) % n], values[(i + 3) % n], values[(i + 4) % n],
                             values[(i + 5) % n], values[(i + 6) % n]);
        check_stream(*state, WAL_KEY_NONE);
        check_stream(*state, key_of("a"));
}

static void the_least_and_the_greatest_seq_id(void **state)
{
        static const long long seqs[] = { INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX };
        for (size_t i = 0; i < sizeof seqs / sizeof seqs[0]; i++)
                insert_rows(*state, seqs[i], 1);
        check_stream(*state, WAL_KEY_NONE);
}

/* A character of three bytes across each end of a piece, in each of the three ways, and invalid bytes there. */
static void large_rows(void **state)
{
        for (int i = 0; i < 3; i++)
                sql_dir_exec(*state,
                             "INSERT INTO embeddings_queue VALUES (%d, 'now', 0, " TOPIC_A
                             ", 'large', randomblob(300001), 'FLOAT32',"
                             " '%.*s' || replace(hex(zeroblob(200000)), '00', CAST(x'e282ac' AS TEXT)))",
                             i + 1, i, "xx");
        insert_rows(*state, 10, 5);
        insert_large(*state, 20, TOPIC_B, 5000000);
        insert_rows(*state, 21, 5);
        sql_dir_exec(*state, "INSERT INTO embeddings_queue SELECT NULL, b, 1, b, b, 2.5, b, b FROM"
                             " (SELECT CAST(randomblob(500000) AS TEXT) AS b)");
        check_stream(*state, WAL_KEY_NONE);
        check_stream(*state, key_of("a"));
        check_stream(*state, key_of("b"));
}

/* What a span holds. */

static struct wal_unit unit_at(const struct log *l, uint64_t offset, uint64_t *ret_offset)
{
        struct wal_unit unit;
        size_t count = 0;
        assert_int_equal(wal_stream_units(l->stream, offset, 1, &unit, 1, &count, ret_offset, NULL), 0);
        assert_int_equal(count, 1);
        return unit;
}

static uint64_t offset_of_row(const struct log *l, int64_t seq_id)
{
        for (uint64_t at = 0;;) {
                struct wal_unit unit = unit_at(l, at, &at);
                if (unit.seq_id == seq_id)
                        return at;
                at += unit.length;
        }
}

static void whole_units_and_not_much_more(void **state)
{
        insert_rows(*state, 1, 2000);
        struct log l = measured(sql_dir_open(*state), WAL_KEY_NONE);
        uint64_t first, last, size = wal_stream_stat(l.stream).size;
        for (uint64_t at = 0; at < size; at += 1 + size / 50) {
                struct wal_span *span = NULL;
                assert_int_equal(try_read(&l, at, 1000, 8000, &span), 0);
                (void) unit_at(&l, at, &first);
                assert_true(span->offset == first);
                assert_true(span->offset + span->len <= at + 8000);
                struct wal_unit end = unit_at(&l, span->offset + span->len - 1, &last);
                assert_true(last + end.length == span->offset + span->len);
                put(span);
        }
        struct wal_span *span = NULL;
        assert_int_equal(try_read(&l, 5, 1, 0, &span), 0);
        assert_true(span->offset == 0 && span->len == unit_at(&l, 0, &first).length);
        put(span);
        forget(&l);
}

/* Rows that changed since they were measured. */

static void read_gives(struct log *l, uint64_t offset, size_t want, int code, bool foreign)
{
        struct wal_span *span = NULL;
        assert_int_equal(try_read(l, offset, want, want, &span), code);
        assert_int_equal(l->foreign, foreign);
        assert_null(span);
}

/* Reading from the beginning with a little wanted ends before the row. */
static void span_ends_before(struct log *l, uint64_t at)
{
        struct wal_span *span = NULL;
        assert_int_equal(try_read(l, 0, 100, 1 << 20, &span), 0);
        assert_int_equal(span->offset, 0);
        assert_int_equal(span->len, at);
        put(span);
        assert_int_equal(try_read(l, at - 1, 1, 1 << 20, &span), 0);
        assert_int_equal(span->offset + span->len, at);
        put(span);
}

/* Row 7 of ten becomes what `sql` makes of it. */
static void changed(const struct sql_dir *d, const char *sql, bool foreign)
{
        sql_dir_exec(d, "DELETE FROM embeddings_queue");
        insert_rows(d, 1, 6);
        insert_rows(d, 7, 1);
        insert_rows(d, 8, 4);
        struct log l = measured(sql_dir_open(d), WAL_KEY_NONE);
        uint64_t at = offset_of_row(&l, 7), after = offset_of_row(&l, 8), end = wal_stream_stat(l.stream).size;
        sql_dir_exec(d, "%s", sql);
        span_ends_before(&l, at);
        read_gives(&l, at, 1, -ESTALE, foreign);
        read_gives(&l, after - 1, 1, -ESTALE, foreign);
        read_gives(&l, 0, (size_t) at + 1, -ESTALE, foreign);
        read_gives(&l, at - 1, 2, -ESTALE, foreign);
        read_gives(&l, 0, SIZE_MAX, -ESTALE, foreign);
        struct wal_span *span = NULL;
        assert_int_equal(try_read(&l, after, SIZE_MAX, 0, &span), 0);
        assert_true(span->offset == after && span->offset + span->len == end);
        put(span);
        forget(&l);
}

static void rows_that_left(void **state)
{
        changed(*state, "DELETE FROM embeddings_queue WHERE seq_id = 7", false);
        changed(*state, "UPDATE embeddings_queue SET seq_id = 70 WHERE seq_id = 7", false);
        changed(*state, "UPDATE embeddings_queue SET topic = " TOPIC_B " WHERE seq_id = 7", false);
        changed(*state, "UPDATE embeddings_queue SET topic = NULL WHERE seq_id = 7", false);
        changed(*state, "UPDATE embeddings_queue SET topic = " TOPIC_B ", metadata = printf('%.*c', 300000, 'x') WHERE seq_id = 7",
                false);
}

static void rows_with_another_content(void **state)
{
        changed(*state, "UPDATE embeddings_queue SET operation = 3 WHERE seq_id = 7", true);
        changed(*state, "UPDATE embeddings_queue SET created_at = '2026-11-22 15:33:10' WHERE seq_id = 7", true);
        changed(*state, "UPDATE embeddings_queue SET topic = 'persistent://default/default2/a' WHERE seq_id = 7", true);
        changed(*state, "UPDATE embeddings_queue SET id = CAST(id AS BLOB) WHERE seq_id = 7", true);
        changed(*state, "UPDATE embeddings_queue SET vector = randomblob(8) WHERE seq_id = 7", true);
        changed(*state, "UPDATE embeddings_queue SET encoding = NULL WHERE seq_id = 7", true);
        changed(*state, "UPDATE embeddings_queue SET metadata = printf('%.*c', 3000, 'x') WHERE seq_id = 7", true);
        changed(*state, "UPDATE embeddings_queue SET metadata = printf('%.*c', 300000, 'x') WHERE seq_id = 7", true);
}

/* The table's end: rows behind those that left are not there either. */
static void all_rows_left(void **state)
{
        insert_rows(*state, 1, 10);
        struct log l = measured(sql_dir_open(*state), WAL_KEY_NONE);
        uint64_t at = offset_of_row(&l, 6);
        sql_dir_exec(*state, "DELETE FROM embeddings_queue WHERE seq_id > 5");
        span_ends_before(&l, at);
        read_gives(&l, at, 1, -ESTALE, false);
        sql_dir_exec(*state, "DELETE FROM embeddings_queue");
        read_gives(&l, 0, 1, -ESTALE, false);
        forget(&l);
}

static void large_row_with_another_content(void **state)
{
        static const struct {
                const char *set;
                bool from_the_beginning;
        } changes[] = {
                { "metadata = substr(metadata, 1, 99999) || 'yyy' || substr(metadata, 100001)", false },
                { "metadata = metadata || 'y'", true },
                { "operation = 1", true },
                { "metadata = 'small'", true },
                { "metadata = NULL", true },
                { "vector = NULL", true },
        };
        for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
                sql_dir_exec(*state, "DELETE FROM embeddings_queue");
                insert_large(*state, 1, TOPIC_A, 900000);
                struct log l = measured(sql_dir_open(*state), WAL_KEY_NONE);
                uint64_t end = wal_stream_stat(l.stream).size;
                sql_dir_exec(*state, "UPDATE embeddings_queue SET %s", changes[i].set);
                read_gives(&l, 0, SIZE_MAX, -ESTALE, true);
                read_gives(&l, end / 3, 1, -ESTALE, true);
                struct wal_span *span = NULL;
                if (changes[i].from_the_beginning)
                        read_gives(&l, 0, 1, -ESTALE, true);
                else
                        assert_int_equal(try_read(&l, 0, 1, 1, &span), 0);
                if (span != NULL)
                        put(span);
                sql_dir_exec(*state, "DELETE FROM embeddings_queue");
                read_gives(&l, end / 3, 1, -ESTALE, false);
                forget(&l);
        }
}

/* Failures. */

static bool always(void *context)
{
        (void) context;
        return true;
}

static void cancelled(void **state)
{
        struct wal_span *span = NULL;
        insert_rows(*state, 1, 4000);
        struct log l = measured(sql_dir_open(*state), WAL_KEY_NONE);
        db_set_cancel(l.db, always, NULL);
        read_gives(&l, 0, SIZE_MAX, -EINTR, false);
        assert_int_equal(try_read(&l, 0, 1, 1 << 20, &span), 0); /* what was wanted was had by then */
        put(span);
        sqlite3 *writer = sql_dir_writer(*state, 0);
        assert_int_equal(sqlite3_exec(writer, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
        read_gives(&l, 0, 1, -EINTR, false);
        assert_int_equal(sqlite3_close(writer), SQLITE_OK);
        db_set_cancel(l.db, NULL, NULL);
        assert_int_equal(try_read(&l, 0, 1, 1, &span), 0);
        put(span);
        forget(&l);
}

static void table_or_view(void **state)
{
        insert_rows(*state, 1, 4);
        struct log l = measured(sql_dir_open(*state), WAL_KEY_NONE);
        sql_dir_exec(*state, "ALTER TABLE embeddings_queue RENAME TO other");
        read_gives(&l, 0, 1, -EILSEQ, false);
        sql_dir_exec(*state, "CREATE VIEW embeddings_queue AS SELECT * FROM other");
        read_gives(&l, 0, 1, -EILSEQ, false);
        forget(&l);
}

/* The cache's file lost what it had behind its first block. */
static void no_more_units(void **state)
{
        const struct sql_dir *d = *state;
        struct wal_store *store = NULL;
        struct wal_span *span = NULL;
        uint64_t at = 0;
        insert_rows(d, 1, 4 * WAL_BLOCK_UNITS);
        assert_int_equal(wal_store_open(d->fd, "cache", 1, &store, NULL), 0);
        struct log l = measured_into(sql_dir_open(d), WAL_KEY_NONE, store);
        assert_int_equal(wal_index_flush(l.index, &l.e), 0);
        for (int i = 0; i < WAL_BLOCK_UNITS; i++)
                at += unit_at(&l, at, &at).length;
        int fd = openat(d->fd, "cache", O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        off_t size = lseek(fd, 0, SEEK_END);
        assert_int_equal(ftruncate(fd, size / 2), 0);
        (void) close(fd);
        assert_int_equal(try_read(&l, 0, 1, 1 << 20, &span), 0);
        assert_true(span->offset == 0 && span->len >= at);
        put(span);
        span = NULL;
        assert_true(try_read(&l, 0, SIZE_MAX, 0, &span) < 0);
        assert_null(span);
        forget(&l);
}

/* Beside a writer. */

static void write_without_end(const struct sql_dir *d)
{
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        sqlite3 *writer = sql_dir_writer(d, 10000);
        sqlite3_exec(writer, "PRAGMA synchronous=off", NULL, NULL, NULL);
        for (;;) {
                (void) sqlite3_exec(writer,
                                    "INSERT INTO embeddings_queue SELECT NULL, 'now', 0, " TOPIC_A
                                    ", 'new', randomblob(3000), 'FLOAT32', '{}'",
                                    NULL, NULL, NULL);
                (void) usleep(300);
        }
}

static void beside_a_writer(void **state)
{
        insert_rows(*state, 1, 2000);
        insert_large(*state, 2001, TOPIC_A, 1000000);
        sqlite3 *plain = sql_dir_writer(*state, 1000);
        struct whole w = whole_of(plain, key_of("a"));
        assert_int_equal(sqlite3_close(plain), SQLITE_OK);
        struct log l = measured(sql_dir_open(*state), key_of("a"));
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
                write_without_end(*state);
        check_random(&l, &w, 300, 100000);
        check_sequential(&l, &w, 4096, 4096);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        forget(&l);
        free(w.bytes);
}

/* Fixtures. */

static size_t fixture_bytes;

static void check_fixture(const struct fixture *f)
{
        char path[64];
        sqlite3 *plain = NULL;
        struct db *db = NULL;
        (void) snprintf(path, sizeof path, "/proc/self/fd/%d/" DB_FILE, f->fd);
        assert_int_equal(sqlite3_open_v2(path, &plain, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        for (size_t i = 0; i <= f->catalog->collection_count; i++) {
                const struct text *id = i > 0 ? &f->catalog->collections[i - 1].id : NULL;
                uint64_t key = id != NULL ? wal_collection_key(id->bytes, id->len) : WAL_KEY_NONE;
                struct whole w = whole_of(plain, key);
                assert_int_equal(db_open(f->fd, &db, NULL), 0);
                struct log l = measured(db, key);
                assert_int_equal(wal_stream_stat(l.stream).size, w.len);
                check_sequential(&l, &w, 4096, 65536);
                check_random(&l, &w, 20, 10000);
                fixture_bytes += w.len;
                forget(&l);
                free(w.bytes);
        }
        assert_int_equal(sqlite3_close(plain), SQLITE_OK);
}

static void fixtures(void **state)
{
        (void) state;
        fixture_bytes = 0;
        each_fixture(check_fixture);
        assert_true(fixture_bytes > 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(no_rows, setup, teardown),
                cmocka_unit_test_setup_teardown(rows_of_two_collections, setup, teardown),
                cmocka_unit_test_setup_teardown(every_class_in_every_column, setup, teardown),
                cmocka_unit_test_setup_teardown(the_least_and_the_greatest_seq_id, setup, teardown),
                cmocka_unit_test_setup_teardown(large_rows, setup, teardown),
                cmocka_unit_test_setup_teardown(whole_units_and_not_much_more, setup, teardown),
                cmocka_unit_test_setup_teardown(rows_that_left, setup, teardown),
                cmocka_unit_test_setup_teardown(rows_with_another_content, setup, teardown),
                cmocka_unit_test_setup_teardown(all_rows_left, setup, teardown),
                cmocka_unit_test_setup_teardown(large_row_with_another_content, setup, teardown),
                cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
                cmocka_unit_test_setup_teardown(table_or_view, setup, teardown),
                cmocka_unit_test_setup_teardown(no_more_units, setup, teardown),
                cmocka_unit_test_setup_teardown(beside_a_writer, setup, teardown),
                cmocka_unit_test(fixtures),
        };
        return cmocka_run_group_tests_name("wal reader", tests, NULL, NULL);
}
