#include "tests/unit/meter_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#define CACHE_NAME "wal-cache"

/* The bench. */

static void on_begin(struct meter_bench *b)
{
        b->begins++;
        if (b->at_begin != NULL)
                b->at_begin(b);
}

/* sqlite3_sql() knows none for the statement in a sqlite3_blob. */
static int on_event(unsigned what, void *context, void *stmt, void *unused)
{
        struct meter_bench *b = context;
        const char *sql = sqlite3_sql(stmt);
        (void) unused;
        if (what == SQLITE_TRACE_STMT && sql != NULL && strcmp(sql, "BEGIN") == 0)
                on_begin(b);
        if (what == SQLITE_TRACE_ROW && sql != NULL && strstr(sql, "FROM embeddings_queue") != NULL)
                b->rows_read++;
        return 0;
}

static void close_all(struct meter_bench *b)
{
        b->index = wal_index_put(b->index);
        b->source = wal_source_free(b->source);
        b->db = db_close(b->db);
}

void bench_anew(struct meter_bench *b)
{
        struct wal_store *store = NULL;
        close_all(b);
        b->db = sql_dir_open(&b->dir);
        assert_int_equal(wal_source_new(b->db, &b->source, &b->e), 0);
        assert_int_equal(b->cached ? wal_store_open(b->dir.fd, CACHE_NAME, 1, &store, &b->e) : wal_store_new(&store, &b->e), 0);
        assert_int_equal(wal_index_new(store, NULL, 0, &b->index, &b->e), 0);
        (void) sqlite3_trace_v2(db_handle(b->db), SQLITE_TRACE_ROW | SQLITE_TRACE_STMT, on_event, b);
}

void bench_make(struct meter_bench *b)
{
        *b = (struct meter_bench){ 0 };
        sql_dir_make(&b->dir);
        b->writer = sql_dir_writer(&b->dir, 10000);
        bench_sql(b, "PRAGMA synchronous=OFF");
        bench_anew(b);
}

void bench_remove(struct meter_bench *b)
{
        close_all(b);
        assert_int_equal(sqlite3_close(b->writer), SQLITE_OK);
        sql_dir_remove(&b->dir);
}

void bench_sql(struct meter_bench *b, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        char *sql = sqlite3_vmprintf(format, args);
        va_end(args);
        assert_non_null(sql);
        char *message = NULL;
        if (sqlite3_exec(b->writer, sql, NULL, NULL, &message) != SQLITE_OK)
                fail_msg("%s: %s", message, sql);
        sqlite3_free(sql);
}

const char *bench_topic(unsigned collection)
{
        static char topics[8][96];
        static unsigned next;
        char uuid[37], *topic = topics[next++ % 8];
        (void) snprintf(topic, sizeof(topics[0]), "persistent://default/default/%s", test_uuid(collection, uuid));
        return topic;
}

void bench_append(struct meter_bench *b, unsigned collection, unsigned count)
{
        bench_sql(b,
                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u) "
                  "INSERT INTO embeddings_queue (created_at, operation, topic, id, vector, encoding, metadata) "
                  "SELECT datetime('now', i || ' minutes'), 0, %Q, 'id' || abs(random() %% 1000), randomblob(16), 'FLOAT32', "
                  "'{\"n\": ' || i || '}' FROM n",
                  count, bench_topic(collection));
}

int bench_measure(struct meter_bench *b)
{
        return wal_meter(b->db, b->source, b->index, &b->progress, &b->e);
}

/* The truth. */

struct truth_topic {
        struct wal_topic topic;
        uint64_t first_unit, last_unit; /* of the first row, of the last one */
        UT_hash_handle hh;
};

struct truth {
        struct wal_unit *units;
        size_t count, room;
        struct truth_topic *topics;
        uint64_t rows, bytes;
        int64_t created; /* of the last row */
};

static struct wal_value take_value(sqlite3_value *value)
{
        static const enum wal_class classes[] = { [SQLITE_INTEGER] = WAL_INTEGER,
                                                  [SQLITE_FLOAT] = WAL_REAL,
                                                  [SQLITE_TEXT] = WAL_TEXT,
                                                  [SQLITE_BLOB] = WAL_BLOB,
                                                  [SQLITE_NULL] = WAL_NULL };
        struct wal_value ret = { .class = classes[sqlite3_value_type(value)] };
        if (ret.class == WAL_INTEGER)
                ret.integer = sqlite3_value_int64(value);
        if (ret.class == WAL_REAL)
                ret.real = sqlite3_value_double(value);
        if (ret.class == WAL_TEXT || ret.class == WAL_BLOB) {
                ret.bytes = sqlite3_value_blob(value);
                ret.bytes = ret.bytes == NULL ? "" : ret.bytes;
                ret.len = (uint64_t) sqlite3_value_bytes(value);
        }
        return ret;
}

static struct wal_row take_row(sqlite3_stmt *stmt)
{
        struct wal_row row = { .seq_id = sqlite3_column_int64(stmt, 0) };
        for (int i = 0; i < WAL_COLUMNS; i++)
                row.columns[i] = take_value(sqlite3_column_value(stmt, i + 1));
        return row;
}

static uint64_t add_unit(struct truth *t, const struct wal_unit *unit)
{
        if (t->count == t->room) {
                t->room = t->room == 0 ? 64 : t->room * 2;
                t->units = reallocarray(t->units, t->room, sizeof(*t->units));
                assert_non_null(t->units);
        }
        t->units[t->count++] = *unit;
        return unit->length;
}

static uint64_t add_pieces(struct truth *t, const struct wal_row *row, uint64_t key)
{
        struct wal_row layout = *row;
        uint64_t bytes = 0;
        uint32_t total = wal_row_pieces(row);
        for (int i = 0; i < WAL_COLUMNS; i++)
                layout.columns[i].bytes = NULL;
        for (uint32_t i = 0; i < total; i++) {
                struct wal_piece piece;
                assert_true(wal_row_piece(&layout, i, &piece));
                const struct wal_value *value = &row->columns[piece.column];
                struct wal_input input = { .bytes = value->bytes, .len = value->len };
                bytes += add_unit(t, &(struct wal_unit){ .seq_id = row->seq_id,
                                                         .key = key,
                                                         .hash = wal_piece_hash(&layout, &piece, &input),
                                                         .length = (uint32_t) wal_piece_length(&layout, &piece, &input),
                                                         .piece = WAL_UNIT_LARGE | i | (i + 1 == total ? WAL_UNIT_LAST : 0) });
        }
        return bytes;
}

static struct truth_topic *truth_topic(struct truth *t, const struct wal_row *row)
{
        uint64_t key = wal_row_key(row);
        struct truth_topic *topic = NULL;
        HASH_FIND(hh, t->topics, &key, sizeof(key), topic);
        if (topic != NULL)
                return topic;
        topic = calloc(1, sizeof(*topic));
        assert_non_null(topic);
        topic->topic = (struct wal_topic){ .key = key, .first_seq = row->seq_id };
        topic->first_unit = t->count;
        HASH_ADD(hh, t->topics, topic.key, sizeof(key), topic);
        return topic;
}

static void add_row(struct truth *t, const struct wal_row *row)
{
        struct truth_topic *topic = truth_topic(t, row);
        uint64_t key = topic->topic.key, bytes;
        topic->last_unit = t->count;
        if (wal_row_is_large(row))
                bytes = add_pieces(t, row, key);
        else
                bytes = add_unit(t, &(struct wal_unit){ .seq_id = row->seq_id,
                                                        .key = key,
                                                        .hash = wal_row_hash(row),
                                                        .length = (uint32_t) wal_row_length(row) });
        t->created = topic->topic.created = wal_row_created(row);
        topic->topic.last_seq = row->seq_id;
        topic->topic.rows++;
        topic->topic.bytes += bytes;
        t->rows++;
        t->bytes += bytes;
}

static void truth_read(struct meter_bench *b, struct truth *t)
{
        sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(b->writer,
                                    "SELECT seq_id, created_at, operation, topic, id, vector, encoding, metadata"
                                    " FROM embeddings_queue ORDER BY seq_id",
                                    -1, &stmt, NULL);
        assert_int_equal(rc, SQLITE_OK);
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
                struct wal_row row = take_row(stmt);
                add_row(t, &row);
        }
        assert_int_equal(rc, SQLITE_DONE);
        (void) sqlite3_finalize(stmt);
}

static void truth_clear(struct truth *t)
{
        struct truth_topic *topic, *next;
        HASH_ITER(hh, t->topics, topic, next)
        {
                HASH_DEL(t->topics, topic);
                free(topic);
        }
        free(t->units);
}

/* Comparing. */

/* fail_msg() does not say to a compiler that it never returns. */
_Noreturn static void fail_here(const char *what)
{
        fail_msg("%s", what);
        abort();
}

static void compare_unit(const struct wal_unit *a, const struct wal_unit *b)
{
        assert_true(a->seq_id == b->seq_id);
        assert_true(a->key == b->key);
        assert_int_equal(a->piece, b->piece);
        assert_int_equal(a->length, b->length);
        assert_true(a->hash == b->hash);
}

/* All units of the stream are those of `truth` with the key, or all of them. */
static void compare_units(struct meter_bench *b, struct wal_stream *stream, const struct truth *t, const uint64_t *key)
{
        struct wal_unit units[100];
        uint64_t offset = 0, first;
        size_t at = 0, count = 1;
        for (;;) {
                assert_int_equal(wal_stream_units(stream, offset, UINT64_MAX, units, 100, &count, &first, &b->e), 0);
                if (count == 0)
                        break;
                assert_true(first == offset);
                for (size_t i = 0; i < count; i++, at++) {
                        while (key != NULL && at < t->count && t->units[at].key != *key)
                                at++;
                        if (t->units == NULL || at >= t->count)
                                fail_here("more units than there are");
                        compare_unit(&units[i], &t->units[at]);
                        offset += units[i].length;
                }
        }
        while (key != NULL && at < t->count && t->units[at].key != *key)
                at++;
        assert_true(at == t->count);
}

static void compare_root(struct meter_bench *b, const struct truth *t)
{
        CLEANUP(wal_stream_put)
        struct wal_stream *stream = NULL;
        assert_int_equal(wal_index_root(b->index, &stream, &b->e), 0);
        struct wal_stat stat = wal_stream_stat(stream);
        assert_int_equal(stat.rows, t->rows);
        assert_int_equal(stat.size, t->bytes);
        assert_true(stat.first_seq == (t->count > 0 ? t->units[0].seq_id : 0));
        assert_true(stat.last_seq == (t->count > 0 ? t->units[t->count - 1].seq_id : 0));
        assert_true(stat.mtime_sec == t->created);
        struct wal_totals totals = wal_index_totals(b->index);
        assert_int_equal(totals.rows, t->rows);
        assert_int_equal(totals.bytes, t->bytes);
        compare_units(b, stream, t, NULL);
}

static void compare_topic(struct meter_bench *b, const struct truth *t, const struct wal_topic *topic)
{
        struct truth_topic *truth = NULL;
        struct wal_unit unit;
        HASH_FIND(hh, t->topics, &topic->key, sizeof(topic->key), truth);
        if (truth == NULL)
                fail_here("a collection that there is not");
        assert_int_equal(topic->rows, truth->topic.rows);
        assert_int_equal(topic->bytes, truth->topic.bytes);
        assert_true(topic->first_seq == truth->topic.first_seq);
        assert_true(topic->last_seq == truth->topic.last_seq);
        assert_true(topic->created == truth->topic.created);
        assert_int_equal(wal_index_row(b->index, topic->key, 0, &unit, &b->e), 0);
        compare_unit(&unit, &t->units[truth->first_unit]);
        assert_int_equal(wal_index_row(b->index, topic->key, topic->rows - 1, &unit, &b->e), 0);
        compare_unit(&unit, &t->units[truth->last_unit]);
}

/* A stream of each of many collections would be a walk over all units each time. */
#define STREAMS_MAX 12

static void compare_topics(struct meter_bench *b, const struct truth *t)
{
        CLEANUP(free)
        struct wal_topic *topics = NULL;
        size_t count = 0;
        assert_int_equal(wal_index_topics(b->index, &topics, &count, &b->e), 0);
        assert_int_equal(count, HASH_COUNT(t->topics));
        for (size_t i = 0; i < count; i++) {
                CLEANUP(wal_stream_put)
                struct wal_stream *stream = NULL;
                compare_topic(b, t, &topics[i]);
                assert_int_equal(wal_index_stream(b->index, topics[i].key, &stream, &b->e), 0);
                assert_int_equal(wal_stream_stat(stream).size, topics[i].bytes);
                if (i < STREAMS_MAX)
                        compare_units(b, stream, t, &topics[i].key);
        }
}

void bench_compare(struct meter_bench *b)
{
        struct truth t = { 0 };
        truth_read(b, &t);
        compare_root(b, &t);
        compare_topics(b, &t);
        truth_clear(&t);
}

void bench_check(struct meter_bench *b)
{
        int r = bench_measure(b);
        if (r != 0)
                fail_msg("wal_meter: %d %s", r, b->e.text);
        bench_compare(b);
}
