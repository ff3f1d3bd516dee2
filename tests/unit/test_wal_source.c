#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/wal/source.h"
#include "tests/unit/fixture.h"
#include "tests/unit/sql_dir.h"

#define COLUMNS "created_at, operation, topic, id, vector, encoding, metadata"

static int setup(void **state)
{
        static struct sql_dir d;
        sql_dir_make(&d);
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        sql_dir_remove(*state);
        return 0;
}

/* The same table, with columns that convert nothing. */
static void make_loose(const struct sql_dir *d)
{
        sql_dir_exec(d, "DROP TABLE embeddings_queue; CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, " COLUMNS ")");
}

struct reading {
        struct db *db;
        struct wal_source *source;
        struct error e;
};

static struct reading open_reading(struct db *db)
{
        struct reading r = { .db = db };
        assert_int_equal(wal_source_new(r.db, &r.source, &r.e), 0);
        return r;
}

static void begin(struct reading *r)
{
        if (db_begin(r->db, &r->e) < 0)
                fail_msg("%s", r->e.text);
}

static void end(struct reading *r)
{
        wal_source_rest(r->source);
        db_end(r->db);
}

static struct reading begin_reading(const struct sql_dir *d)
{
        struct reading r = open_reading(sql_dir_open(d));
        begin(&r);
        return r;
}

static void end_reading(struct reading *r)
{
        end(r);
        r->source = wal_source_free(r->source);
        r->db = db_close(r->db);
}

static int64_t next_seq(struct reading *r)
{
        struct wal_row row;
        int code = wal_source_next(r->source, &row, &r->e);
        if (code < 0)
                fail_msg("%s", r->e.text);
        assert_int_equal(code, 1);
        return row.seq_id;
}

static int64_t seek_seq(struct reading *r, int64_t seq_id)
{
        struct wal_row row;
        int code = wal_source_seek(r->source, seq_id, &row, &r->e);
        if (code < 0)
                fail_msg("%s", r->e.text);
        assert_int_equal(code, 1);
        return row.seq_id;
}

/* Comparison with an ordinary statement. */

static const enum wal_class classes[] = {
        [SQLITE_NULL] = WAL_NULL, [SQLITE_INTEGER] = WAL_INTEGER, [SQLITE_FLOAT] = WAL_REAL,
        [SQLITE_TEXT] = WAL_TEXT, [SQLITE_BLOB] = WAL_BLOB,
};

static void compare_value(const struct wal_value *value, sqlite3_stmt *truth, int column, bool large)
{
        assert_int_equal(value->class, classes[sqlite3_column_type(truth, column)]);
        if (value->class == WAL_INTEGER)
                assert_true(value->integer == sqlite3_column_int64(truth, column));
        if (value->class == WAL_REAL)
                assert_true(value->real == sqlite3_column_double(truth, column));
        if (value->class != WAL_TEXT && value->class != WAL_BLOB)
                return;
        const void *bytes = sqlite3_column_blob(truth, column);
        assert_int_equal(value->len, sqlite3_column_bytes(truth, column));
        if (large)
                assert_null(value->bytes);
        else
                assert_non_null(value->bytes);
        if (!large && value->len > 0)
                assert_memory_equal(value->bytes, bytes, value->len);
}

/* Cuts the column as pieces do, and asks for each cut. */
static void compare_inputs(struct reading *r, const struct wal_row *row, enum wal_column column, const char *truth)
{
        uint64_t len = row->columns[column].len;
        for (uint64_t from = 0; from < len; from += WAL_PIECE_MAX) {
                uint64_t to = len - from < WAL_PIECE_MAX ? len : from + WAL_PIECE_MAX;
                uint64_t low = from < WAL_PIECE_MARGIN ? 0 : from - WAL_PIECE_MARGIN;
                uint64_t high = len - to < WAL_PIECE_MARGIN ? len : to + WAL_PIECE_MARGIN;
                struct wal_piece piece = { .column = column, .from = from, .to = to };
                struct wal_input input = { .len = 0 };
                if (wal_source_input(r->source, row, &piece, &input, &r->e) < 0)
                        fail_msg("%s", r->e.text);
                assert_true(input.offset <= low && input.offset + input.len >= high && input.offset + input.len <= len);
                assert_memory_equal(input.bytes, truth + input.offset, input.len);
        }
}

static void compare_row(struct reading *r, const struct wal_row *row, sqlite3_stmt *truth)
{
        bool large = false;
        assert_true(row->seq_id == sqlite3_column_int64(truth, 0));
        for (int i = 0; i < WAL_COLUMNS; i++)
                large |= sqlite3_column_type(truth, 1 + i) >= SQLITE_TEXT && sqlite3_column_type(truth, 1 + i) <= SQLITE_BLOB &&
                         sqlite3_column_bytes(truth, 1 + i) > (int) WAL_PIECE_MAX;
        assert_int_equal(wal_row_is_large(row), large);
        for (int i = 0; i < WAL_COLUMNS; i++)
                compare_value(&row->columns[i], truth, 1 + i, large);
        for (int i = 0; large && i < WAL_COLUMNS; i++)
                if (row->columns[i].len > 0)
                        compare_inputs(r, row, (enum wal_column) i, sqlite3_column_blob(truth, 1 + i));
}

/* Every row of the table, as the source and as plain SQLite give them; returns how many there are. */
static unsigned compare_all(struct reading *r, sqlite3 *plain)
{
        sqlite3_stmt *truth = NULL;
        struct wal_row row;
        unsigned rows = 0;
        const char *sql = "SELECT seq_id, " COLUMNS " FROM embeddings_queue ORDER BY seq_id";
        assert_int_equal(sqlite3_prepare_v2(plain, sql, -1, &truth, NULL), SQLITE_OK);
        int code = wal_source_seek(r->source, INT64_MIN, &row, &r->e);
        for (; code > 0; code = wal_source_next(r->source, &row, &r->e), rows++) {
                assert_int_equal(sqlite3_step(truth), SQLITE_ROW);
                compare_row(r, &row, truth);
        }
        if (code < 0)
                fail_msg("%s", r->e.text);
        assert_int_equal(sqlite3_step(truth), SQLITE_DONE);
        assert_int_equal(sqlite3_finalize(truth), SQLITE_OK);
        return rows;
}

static unsigned compare_dir(const struct sql_dir *d)
{
        struct reading r = begin_reading(d);
        sqlite3 *plain = sql_dir_writer(d, 1000);
        unsigned rows = compare_all(&r, plain);
        end_reading(&r);
        assert_int_equal(sqlite3_close(plain), SQLITE_OK);
        return rows;
}

/* Values. */

static void every_class_in_every_column(void **state)
{
        static const char *const values[] = { "NULL",
                                              "-9223372036854775808",
                                              "1e308 * 10",
                                              "'text'",
                                              "x'00ff'",
                                              "''",
                                              "x''",
                                              "7",
                                              "0.5",
                                              "CAST(x'c3c328ff' AS TEXT)",
                                              "CAST(x'61006200' AS TEXT)" };
        unsigned n = sizeof values / sizeof values[0];
        make_loose(*state);
        for (unsigned i = 0; i < n; i++)
                sql_dir_exec(*state, "INSERT INTO embeddings_queue VALUES (%u, %s, %s, %s, %s, %s, %s, %s)", i + 1, values[i],
                             values[(i + 1) % n], values[(i + 2) % n], values[(i + 3) % n], values[(i + 4) % n],
                             values[(i + 5) % n], values[(i + 6) % n]);
        assert_int_equal(compare_dir(*state), n);
}

static void no_rows(void **state)
{
        struct wal_row row;
        struct reading r = begin_reading(*state);
        assert_int_equal(wal_source_next(r.source, &row, &r.e), 0);
        assert_int_equal(wal_source_seek(r.source, INT64_MIN, &row, &r.e), 0);
        assert_int_equal(wal_source_seek(r.source, INT64_MAX, &row, &r.e), 0);
        assert_int_equal(wal_source_next(r.source, &row, &r.e), 0);
        end_reading(&r);
}

static void log_seq(const struct sql_dir *d, int64_t seq_id)
{
        sql_dir_exec(d, "INSERT INTO embeddings_queue (seq_id, operation, topic, id) VALUES (%lld, 0, 'a/b', 'x')",
                     (long long) seq_id);
}

static void the_least_and_the_greatest_seq_id(void **state)
{
        struct wal_row row;
        static const int64_t seqs[] = { INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX };
        size_t n = sizeof seqs / sizeof seqs[0];
        for (size_t i = 0; i < n; i++)
                log_seq(*state, seqs[i]);
        struct reading r = begin_reading(*state);
        for (size_t i = 0; i < n; i++)
                assert_true(next_seq(&r) == seqs[i]);
        assert_int_equal(wal_source_next(r.source, &row, &r.e), 0);
        assert_int_equal(wal_source_next(r.source, &row, &r.e), 0);
        for (size_t i = n; i-- > 0;)
                assert_true(seek_seq(&r, seqs[i]) == seqs[i]);
        assert_true(next_seq(&r) == seqs[1]);
        assert_true(seek_seq(&r, 2) == INT64_MAX - 1);
        assert_true(next_seq(&r) == INT64_MAX);
        assert_int_equal(wal_source_next(r.source, &row, &r.e), 0);
        end_reading(&r);
        assert_int_equal(compare_dir(*state), n);
}

/* Large rows. */

static void insert_sized(const struct sql_dir *d, unsigned column, unsigned size, bool text)
{
        static const char *const others[] = { "NULL", "-5", "0.25", "'text'", "x'0102'", "''", "'more'" };
        char values[512] = "";
        size_t len = 0;
        for (unsigned i = 0; i < WAL_COLUMNS; i++)
                if (i != column)
                        len += (size_t) snprintf(values + len, sizeof values - len, ", %s", others[i]);
                else if (text)
                        len += (size_t) snprintf(
                                values + len, sizeof values - len,
                                ", CAST(substr(CAST(replace(hex(zeroblob(%u)), '00', x'e282ac') AS BLOB), 1, %u) AS TEXT)",
                                size / 3 + 1, size);
                else
                        len += (size_t) snprintf(values + len, sizeof values - len, ", randomblob(%u)", size);
        sql_dir_exec(d, "INSERT INTO embeddings_queue VALUES (NULL%s)", values);
}

static void a_value_of_the_limit_and_one_beyond_it(void **state)
{
        make_loose(*state);
        for (unsigned column = 0; column < WAL_COLUMNS; column++)
                for (unsigned i = 0; i < 4; i++)
                        insert_sized(*state, column, WAL_PIECE_MAX + i / 2, i % 2);
        assert_int_equal(compare_dir(*state), WAL_COLUMNS * 4);
}

static void large_values_in_every_column(void **state)
{
        make_loose(*state);
        sql_dir_exec(*state, "PRAGMA page_size=1024; VACUUM");
        for (unsigned column = 0; column < WAL_COLUMNS; column++) {
                insert_sized(*state, column, 300000, true);
                insert_sized(*state, column, column == WAL_METADATA ? 5000000 : 2 * WAL_PIECE_MAX + 1, false);
        }
        sql_dir_exec(*state, "INSERT INTO embeddings_queue SELECT NULL, b, b, b, b, b, b, b FROM (SELECT randomblob(200000) AS b)");
        assert_int_equal(compare_dir(*state), WAL_COLUMNS * 2 + 1);
}

static void rows_around_large_ones(void **state)
{
        make_loose(*state);
        for (unsigned i = 0; i < 12; i++)
                insert_sized(*state, i % WAL_COLUMNS, i % 3 == 0 ? 10 : WAL_PIECE_MAX + 5, i % 2);
        assert_int_equal(compare_dir(*state), 12);
        struct reading r = begin_reading(*state);
        for (int64_t seq = 12; seq > 0; seq--) {
                assert_true(seek_seq(&r, seq) == seq);
                assert_true(seq == 12 || next_seq(&r) == seq + 1);
        }
        end_reading(&r);
}

static void input_of_no_bytes_and_of_no_piece(void **state)
{
        struct wal_row row;
        struct wal_input input;
        make_loose(*state);
        insert_sized(*state, WAL_METADATA, 300000, true);
        struct reading r = begin_reading(*state);
        assert_int_equal(wal_source_seek(r.source, 1, &row, &r.e), 1);
        struct wal_piece none = { .column = WAL_CREATED_AT };
        assert_int_equal(wal_source_input(r.source, &row, &none, &input, &r.e), 0);
        assert_int_equal(input.len, 0);
        static const struct wal_piece bad[] = {
                { .column = WAL_METADATA, .from = 0, .to = WAL_PIECE_MAX + 1 },
                { .column = WAL_METADATA, .from = 299999, .to = 300001 },
                { .column = WAL_CREATED_AT, .from = 0, .to = 1 },
                { .column = WAL_METADATA, .from = UINT64_MAX - 1, .to = UINT64_MAX },
        };
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                assert_int_equal(wal_source_input(r.source, &row, &bad[i], &input, &r.e), -EINVAL);
        end_reading(&r);
}

static void key_and_time_of_large_rows(void **state)
{
        struct wal_row small, large;
        uint64_t key = 0;
        int64_t created = 0;
        make_loose(*state);
        sql_dir_exec(*state, "INSERT INTO embeddings_queue (created_at, topic, metadata) VALUES"
                             " ('2026-11-22 15:33:09', 'persistent://default/default/abc', NULL),"
                             " ('2026-11-22 15:33:09', 'persistent://default/default/abc', zeroblob(300000)),"
                             " (zeroblob(300000), zeroblob(300000) , NULL),"
                             " (printf('2026-11-22 15:33:09.%%.*c', 300000, '1'), printf('/%%.*c', 300000, 'x'), NULL),"
                             " (5, CAST(x'2f' || zeroblob(1024) AS TEXT), zeroblob(300000)),"
                             " (5, 7, zeroblob(300000))");
        struct reading r = begin_reading(*state);
        assert_int_equal(wal_source_seek(r.source, 1, &small, &r.e), 1);
        assert_int_equal(wal_source_key(r.source, &small, &key, &r.e), 0);
        uint64_t wanted = wal_collection_key("abc", 3);
        assert_true(key == wanted && key != WAL_KEY_NONE);
        assert_int_equal(wal_source_created(r.source, &small, &created, &r.e), 0);
        assert_int_equal(created, 1795361589);
        assert_int_equal(wal_source_next(r.source, &large, &r.e), 1);
        assert_int_equal(wal_source_key(r.source, &large, &key, &r.e), 0);
        assert_true(key == wanted);
        created = 0;
        assert_int_equal(wal_source_created(r.source, &large, &created, &r.e), 0);
        assert_int_equal(created, 1795361589);
        while (wal_source_next(r.source, &large, &r.e) > 0) {
                key = 1;
                created = 1;
                assert_true(wal_row_is_large(&large));
                assert_int_equal(wal_source_key(r.source, &large, &key, &r.e), 0);
                assert_int_equal(wal_source_created(r.source, &large, &created, &r.e), 0);
                assert_int_equal(created, 0);
                assert_true(key == WAL_KEY_NONE);
        }
        end_reading(&r);
}

/* Statements and transactions. */

/* How often the walk was started. */
static int runs(const struct reading *r)
{
        int sum = 0;
        for (sqlite3_stmt *s = sqlite3_next_stmt(db_handle(r->db), NULL); s != NULL; s = sqlite3_next_stmt(db_handle(r->db), s))
                if (strncmp(sqlite3_sql(s), "SELECT seq_id, created_at", 25) == 0)
                        sum += sqlite3_stmt_status(s, SQLITE_STMTSTATUS_RUN, 0);
        return sum;
}

static void seek_to_the_next_row_goes_on(void **state)
{
        for (int i = 1; i <= 20; i++)
                log_seq(*state, i == 20 ? 25 : i);
        struct reading r = begin_reading(*state);
        assert_true(seek_seq(&r, 1) == 1);
        int before = runs(&r);
        for (int i = 2; i <= 19; i++)
                assert_true((i % 2 != 0 ? seek_seq(&r, i) : next_seq(&r)) == i);
        assert_true(seek_seq(&r, 20) == 25);
        assert_int_equal(runs(&r), before);
        assert_true(seek_seq(&r, 7) == 7);
        assert_int_equal(runs(&r), before + 1);
        assert_true(seek_seq(&r, 7) == 7);
        assert_true(next_seq(&r) == 8);
        end_reading(&r);
}

static void next_goes_on_in_another_transaction(void **state)
{
        struct wal_row row;
        log_seq(*state, 1);
        log_seq(*state, 2);
        struct reading r = begin_reading(*state);
        assert_true(next_seq(&r) == 1);
        end(&r);
        begin(&r);
        assert_true(next_seq(&r) == 2);
        assert_int_equal(wal_source_next(r.source, &row, &r.e), 0);
        end(&r);
        log_seq(*state, 3);
        sql_dir_exec(*state, "CREATE TABLE other (a); CREATE INDEX i ON embeddings_queue (topic)");
        begin(&r);
        assert_true(next_seq(&r) == 3);
        end_reading(&r);
}

static void no_transaction(void **state)
{
        struct wal_row row;
        log_seq(*state, 1);
        struct reading r = begin_reading(*state);
        end(&r);
        assert_int_equal(wal_source_next(r.source, &row, &r.e), -EINVAL);
        begin(&r);
        assert_true(next_seq(&r) == 1);
        end_reading(&r);
}

/* The writer gets its lock at once: nothing of the walk or of an open blob is left, nor is it read again. */
static void rest_leaves_nothing(void **state)
{
        struct wal_row row;
        struct wal_input input;
        make_loose(*state);
        insert_sized(*state, WAL_METADATA, 300000, true);
        log_seq(*state, 2);
        struct reading r = begin_reading(*state);
        assert_int_equal(wal_source_seek(r.source, 1, &row, &r.e), 1);
        struct wal_piece piece = { .column = WAL_METADATA, .from = 0, .to = 10 };
        assert_int_equal(wal_source_input(r.source, &row, &piece, &input, &r.e), 0);
        assert_memory_equal(input.bytes, "\xe2\x82\xac", 3);
        assert_true(next_seq(&r) == 2);
        end(&r);
        sqlite3 *writer = sql_dir_writer(*state, 0);
        assert_int_equal(sqlite3_exec(writer, "UPDATE embeddings_queue SET metadata = printf('%.*c', 300000, 'y') WHERE seq_id = 1",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_close(writer), SQLITE_OK);
        begin(&r);
        assert_int_equal(wal_source_input(r.source, &row, &piece, &input, &r.e), 0);
        assert_memory_equal(input.bytes, "yyy", 3);
        end_reading(&r);
}

static void the_limit_is_put_back(void **state)
{
        struct reading r = begin_reading(*state);
        assert_int_equal(sqlite3_limit(db_handle(r.db), SQLITE_LIMIT_LENGTH, -1), WAL_PIECE_MAX);
        end(&r);
        r.source = wal_source_free(r.source);
        assert_int_equal(sqlite3_limit(db_handle(r.db), SQLITE_LIMIT_LENGTH, -1), DB_LENGTH_MAX);
        r.db = db_close(r.db);
        assert_null(wal_source_free(NULL));
}

static bool always(void *context)
{
        (void) context;
        return true;
}

static void cancelled(void **state)
{
        struct wal_row row;
        int code = 1;
        sql_dir_exec(*state, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
                             " INSERT INTO embeddings_queue (seq_id, operation, topic, id) SELECT i, 0, 't/t', 'id' FROM n");
        struct reading r = begin_reading(*state);
        assert_true(seek_seq(&r, 1) == 1);
        db_set_cancel(r.db, always, NULL);
        while (code > 0)
                code = wal_source_next(r.source, &row, &r.e);
        assert_int_equal(code, -EINTR);
        db_set_cancel(r.db, NULL, NULL);
        assert_true(seek_seq(&r, 1900) == 1900);
        end_reading(&r);
}

/* Schemas. */

static void refused(const struct sql_dir *d, const char *word)
{
        struct wal_row row;
        struct reading r = begin_reading(d);
        int code = wal_source_seek(r.source, 1, &row, &r.e);
        assert_int_equal(code, -EILSEQ);
        if (strstr(r.e.text, word) == NULL)
                fail_msg("'%s' says nothing of '%s'", r.e.text, word);
        assert_int_equal(wal_source_next(r.source, &row, &r.e), -EILSEQ);
        end_reading(&r);
}

static void schemas_that_no_chroma_makes(void **state)
{
#define INSERT "; INSERT INTO embeddings_queue (seq_id, created_at) VALUES (1, 2)"
        static const struct {
                const char *sql, *word;
        } schemas[] = {
                { "SELECT 1", "no table" },
                { "CREATE TABLE other (" COLUMNS
                  ", seq_id INTEGER PRIMARY KEY); CREATE VIEW embeddings_queue AS SELECT * FROM other",
                  "ordinary" },
                { "CREATE VIRTUAL TABLE embeddings_queue USING fts5(seq_id, " COLUMNS ")", "ordinary" },
                { "CREATE TABLE embeddings_queue (seq_id INTEGER, " COLUMNS ")" INSERT, "PRIMARY KEY" },
                { "CREATE TABLE embeddings_queue (seq_id TEXT PRIMARY KEY, " COLUMNS ")" INSERT, "PRIMARY KEY" },
                { "CREATE TABLE embeddings_queue (seq_id INT PRIMARY KEY, " COLUMNS ")" INSERT, "PRIMARY KEY" },
                { "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY DESC, " COLUMNS ")" INSERT, "PRIMARY KEY" },
                { "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, " COLUMNS ") WITHOUT ROWID" INSERT, "PRIMARY KEY" },
                { "CREATE TABLE embeddings_queue (seq_id INTEGER, " COLUMNS ", PRIMARY KEY (seq_id, created_at))" INSERT,
                  "PRIMARY KEY" },
                { "CREATE TABLE embeddings_queue (seq_id, created_at INTEGER PRIMARY KEY, operation, topic, id, vector, encoding, "
                  "metadata)" INSERT,
                  "PRIMARY KEY" },
                { "CREATE TABLE embeddings_queue (seq INTEGER PRIMARY KEY, " COLUMNS ")", "seq_id" },
                { "CREATE TABLE embeddings_queue (rowid, _rowid_, oid, " COLUMNS ")", "seq_id" },
                { "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, created_at, operation, topic, id, vector, encoding)",
                  "metadata" },
                { "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, created_at, operation, topic, id, encoding, "
                  "metadata)",
                  "vector" },
                { "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, created_at, operation, topic, id, vector, encoding,"
                  " metadata AS (zeroblob(1000000000)))" INSERT,
                  "metadata" },
        };
        for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
                sql_dir_exec(*state, "DROP TABLE IF EXISTS embeddings_queue");
                sql_dir_exec(*state, "%s", schemas[i].sql);
                refused(*state, schemas[i].word);
                sql_dir_exec(*state, "DROP VIEW IF EXISTS %s; DROP TABLE IF EXISTS other", i == 1 ? "embeddings_queue" : "v");
        }
}

static void another_encoding(void **state)
{
        char path[128];
        struct sql_dir *d = *state;
        (void) snprintf(path, sizeof path, "%s/" DB_FILE, d->path);
        assert_int_equal(unlink(path), 0);
        sql_dir_exec(d,
                     "PRAGMA encoding='UTF-16le'; CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, " COLUMNS ")" INSERT);
        refused(d, "UTF-16le");
}

static void other_names_for_the_same(void **state)
{
        sql_dir_exec(*state, "DROP TABLE embeddings_queue;"
                             "CREATE TABLE EMBEDDINGS_Queue (metadata, Encoding, extra, Vector, id, TOPIC, operation, created_at,"
                             " \"SEQ_ID\" INTEGER PRIMARY KEY AUTOINCREMENT)");
        sql_dir_exec(
                *state,
                "INSERT INTO embeddings_queue VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9), (zeroblob(300000), 2, 3, 4, 5, 6, 7, 8, 10)");
        assert_int_equal(compare_dir(*state), 2);
}

static void the_schema_changes(void **state)
{
        struct wal_row row;
        log_seq(*state, 1);
        struct reading r = begin_reading(*state);
        assert_true(seek_seq(&r, 1) == 1);
        end(&r);
        sql_dir_exec(*state, "ALTER TABLE embeddings_queue RENAME TO away");
        begin(&r);
        assert_int_equal(wal_source_seek(r.source, 1, &row, &r.e), -EILSEQ);
        assert_int_equal(wal_source_next(r.source, &row, &r.e), -EILSEQ);
        end(&r);
        sql_dir_exec(*state, "CREATE TABLE embeddings_queue (seq_id, " COLUMNS ")" INSERT);
        begin(&r);
        assert_int_equal(wal_source_seek(r.source, 1, &row, &r.e), -EILSEQ);
        end(&r);
        sql_dir_exec(*state, "DROP TABLE embeddings_queue; CREATE TABLE embeddings_queue (metadata, encoding, vector, id, topic,"
                             " operation, created_at, seq_id INTEGER PRIMARY KEY);"
                             "INSERT INTO embeddings_queue (seq_id, metadata) VALUES (5, 'five')");
        begin(&r);
        assert_int_equal(wal_source_seek(r.source, 1, &row, &r.e), 1);
        assert_true(row.seq_id == 5);
        assert_memory_equal(row.columns[WAL_METADATA].bytes, "five", 4);
        end_reading(&r);
}

/* Longer than the limit for values: it is no value. */
static void a_long_schema(void **state)
{
        log_seq(*state, 1);
        sql_dir_exec(*state, "CREATE TABLE long_one (a DEFAULT '%0*d')", (int) WAL_PIECE_MAX + 1000, 0);
        struct reading r = begin_reading(*state);
        assert_true(seek_seq(&r, 1) == 1);
        end(&r);
        sql_dir_exec(*state, "CREATE TABLE longer_one (a DEFAULT '%0*d')", (int) WAL_PIECE_MAX + 2000, 0);
        begin(&r);
        assert_true(seek_seq(&r, 1) == 1);
        end_reading(&r);
}

static void a_default_that_is_too_long(void **state)
{
        struct wal_row row;
        log_seq(*state, 1);
        sql_dir_exec(*state, "ALTER TABLE embeddings_queue DROP COLUMN metadata;"
                             "ALTER TABLE embeddings_queue ADD COLUMN metadata DEFAULT 'short'");
        assert_int_equal(compare_dir(*state), 1);
        sql_dir_exec(*state, "ALTER TABLE embeddings_queue DROP COLUMN metadata");
        sql_dir_exec(*state, "ALTER TABLE embeddings_queue ADD COLUMN metadata DEFAULT '%0*d'", (int) WAL_PIECE_MAX + 1, 0);
        sql_dir_exec(*state, "INSERT INTO embeddings_queue (seq_id, operation, topic, id, metadata) VALUES (2, 0, 't', 'i', 'm')");
        struct reading r = begin_reading(*state);
        assert_int_equal(wal_source_seek(r.source, 1, &row, &r.e), -EILSEQ);
        assert_int_equal(wal_source_next(r.source, &row, &r.e), -EILSEQ); /* it is not passed over */
        assert_true(seek_seq(&r, 2) == 2);
        end_reading(&r);
}

/* Damage. */

static void read_damaged(const struct sql_dir *d)
{
        struct db *db = NULL;
        struct wal_row row;
        struct wal_input input;
        uint64_t key;
        int64_t created, last = 0;
        if (db_open(d->fd, &db, NULL) < 0)
                return;
        struct reading r = open_reading(db);
        if (db_begin(r.db, NULL) == 0) {
                int code = wal_source_seek(r.source, 1, &row, &r.e);
                for (; code > 0; code = wal_source_next(r.source, &row, &r.e)) {
                        assert_true(row.seq_id > last);
                        last = row.seq_id;
                        (void) wal_source_key(r.source, &row, &key, NULL);
                        (void) wal_source_created(r.source, &row, &created, NULL);
                        for (int i = 0; wal_row_is_large(&row) && i < WAL_COLUMNS; i++) {
                                uint64_t len = row.columns[i].len, from = len > WAL_PIECE_MAX ? len - WAL_PIECE_MAX : 0;
                                struct wal_piece piece = { .column = (enum wal_column) i, .from = from, .to = len };
                                (void) wal_source_input(r.source, &row, &piece, &input, NULL);
                        }
                }
                assert_true(code == 0 || code == -EILSEQ || code == -EIO);
                wal_source_rest(r.source);
                db_end(r.db);
        }
        r.source = wal_source_free(r.source);
        r.db = db_close(r.db);
}

/* Rows 100, 101 and 2, as no b-tree has them. */
static void rows_out_of_order(void **state)
{
        char path[128];
        static unsigned char bytes[65536];
        struct wal_row row;
        const struct sql_dir *d = *state;
        for (int i = 100; i <= 102; i++)
                log_seq(d, i);
        (void) snprintf(path, sizeof path, "%s/" DB_FILE, d->path);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        ssize_t len = pread(fd, bytes, sizeof bytes, 0);
        assert_true(len > 0);
        /* A rowid, and behind it the size of the header of eight columns, and NULL in place of the first. */
        const unsigned char *at = memmem(bytes, (size_t) len, "\x66\x09\x00", 3);
        assert_non_null(at);
        assert_int_equal(pwrite(fd, "\x02", 1, at - bytes), 1);
        (void) close(fd);
        struct reading r = begin_reading(d);
        assert_true(next_seq(&r) == 100);
        assert_true(next_seq(&r) == 101);
        assert_int_equal(wal_source_next(r.source, &row, &r.e), -EILSEQ);
        assert_int_equal(wal_source_seek(r.source, 102, &row, &r.e) <= 0, 1);
        end_reading(&r);
}

static void damaged_files(void **state)
{
        const struct sql_dir *d = *state;
        make_loose(d);
        sql_dir_exec(d, "PRAGMA page_size=512; VACUUM");
        for (unsigned i = 0; i < 14; i++)
                insert_sized(d, i % WAL_COLUMNS, i % 4 == 0 ? WAL_PIECE_MAX + 1000 : 700, i % 2);
        int fd = openat(d->fd, DB_FILE, O_RDWR | O_CLOEXEC);
        off_t size = lseek(fd, 0, SEEK_END);
        assert_true(fd >= 0 && size > 4096);
        srandom(7);
        for (int i = 0; i < 400; i++) {
                unsigned char before[4], after[4];
                /* The first bytes of a page matter most: a header, or the number of the next page of a chain. */
                off_t page = random() % (size / 512), at = page * 512 + (i % 4 == 0 ? random() % 508 : random() % 12);
                if (at < 100)
                        at = 100;
                assert_int_equal(pread(fd, before, 4, at), 4);
                for (int k = 0; k < 4; k++)
                        after[k] =
                                (unsigned char) (i % 2 == 0 ? random() : before[k] ^ (random() % 4 == 0 ? 1 << random() % 8 : 0));
                assert_int_equal(pwrite(fd, after, 4, at), 4);
                read_damaged(d);
                assert_int_equal(pwrite(fd, before, 4, at), 4);
        }
        (void) close(fd);
        assert_int_equal(compare_dir(d), 14);
}

/* Fixtures. */

static unsigned fixture_rows;

static void compare_fixture(const struct fixture *f)
{
        char path[64];
        sqlite3 *plain = NULL;
        struct reading r = open_reading(f->db);
        (void) snprintf(path, sizeof path, "/proc/self/fd/%d/" DB_FILE, f->fd);
        assert_int_equal(sqlite3_open_v2(path, &plain, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        begin(&r);
        fixture_rows += compare_all(&r, plain);
        end(&r);
        assert_null(wal_source_free(r.source));
        assert_int_equal(sqlite3_close(plain), SQLITE_OK);
}

static void fixtures(void **state)
{
        (void) state;
        fixture_rows = 0;
        each_fixture(compare_fixture);
        assert_true(fixture_rows > 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(every_class_in_every_column, setup, teardown),
                cmocka_unit_test_setup_teardown(no_rows, setup, teardown),
                cmocka_unit_test_setup_teardown(the_least_and_the_greatest_seq_id, setup, teardown),
                cmocka_unit_test_setup_teardown(a_value_of_the_limit_and_one_beyond_it, setup, teardown),
                cmocka_unit_test_setup_teardown(large_values_in_every_column, setup, teardown),
                cmocka_unit_test_setup_teardown(rows_around_large_ones, setup, teardown),
                cmocka_unit_test_setup_teardown(input_of_no_bytes_and_of_no_piece, setup, teardown),
                cmocka_unit_test_setup_teardown(key_and_time_of_large_rows, setup, teardown),
                cmocka_unit_test_setup_teardown(seek_to_the_next_row_goes_on, setup, teardown),
                cmocka_unit_test_setup_teardown(next_goes_on_in_another_transaction, setup, teardown),
                cmocka_unit_test_setup_teardown(no_transaction, setup, teardown),
                cmocka_unit_test_setup_teardown(rest_leaves_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(the_limit_is_put_back, setup, teardown),
                cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
                cmocka_unit_test_setup_teardown(schemas_that_no_chroma_makes, setup, teardown),
                cmocka_unit_test_setup_teardown(another_encoding, setup, teardown),
                cmocka_unit_test_setup_teardown(other_names_for_the_same, setup, teardown),
                cmocka_unit_test_setup_teardown(the_schema_changes, setup, teardown),
                cmocka_unit_test_setup_teardown(a_long_schema, setup, teardown),
                cmocka_unit_test_setup_teardown(a_default_that_is_too_long, setup, teardown),
                cmocka_unit_test_setup_teardown(rows_out_of_order, setup, teardown),
                cmocka_unit_test_setup_teardown(damaged_files, setup, teardown),
                cmocka_unit_test(fixtures),
        };
        return cmocka_run_group_tests_name("wal source", tests, NULL, NULL);
}
