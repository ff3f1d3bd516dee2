#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/operation/clean.h"
#include "tests/unit/clean_dir.h"
#include "tests/unit/schema.h"

#define TOPIC "persistent://default/default/"

void clean_dir_make(struct clean_dir *d, enum clean_format format)
{
        static const int versions[][3] = { { 4, 3, 1 }, { 9, 4, 2 }, { 10, 6, 2 } };
        struct schema s;
        schema_make(&s, versions[format][0], versions[format][1], versions[format][2]);
        /* Whoever has the file open for writing is in the way. */
        assert_int_equal(sqlite3_close(s.sqlite), SQLITE_OK);
        *d = (struct clean_dir){ .sql = { .fd = s.dirfd }, .format = format };
        memcpy(d->sql.path, s.path, sizeof(d->sql.path));
}

void clean_dir_remove(struct clean_dir *d)
{
        assert_int_equal(chdir("/"), 0);
        sql_dir_remove(&d->sql);
}

const float *clean_vector_of(int64_t seq_id)
{
        static float v[INDEX_DIR_DIMENSION];
        for (unsigned i = 0; i < INDEX_DIR_DIMENSION; i++)
                v[i] = (float) seq_id + 0.25f * (float) i;
        return v;
}

static void hex_of(const void *bytes, size_t len, char *hex)
{
        for (size_t i = 0; i < len; i++)
                (void) sprintf(hex + 2 * i, "%02x", ((const unsigned char *) bytes)[i]);
}

/* "NULL", or a vector as SQL. */
static const char *vector_sql(int64_t seq_id, bool vector)
{
        static char sql[8 * INDEX_DIR_DIMENSION + 4] = "x'";
        if (!vector)
                return "NULL";
        hex_of(clean_vector_of(seq_id), 4 * INDEX_DIR_DIMENSION, sql + 2);
        (void) snprintf(sql + 2 + 8 * INDEX_DIR_DIMENSION, 2, "'");
        return sql;
}

static void set_position(const struct clean_dir *d, unsigned segment, int64_t position)
{
        char id[37];
        if (position == CLEAN_NONE)
                return;
        if (d->format == CLEAN_RUST)
                sql_dir_exec(&d->sql, "INSERT INTO max_seq_id VALUES (%Q, %lld)", test_uuid(segment, id), (long long) position);
        else
                sql_dir_exec(&d->sql, "INSERT INTO max_seq_id VALUES (%Q, x'%016llx')", test_uuid(segment, id),
                             (unsigned long long) position);
}

static void make_rows(const struct clean_dir *d, unsigned n)
{
        char id[37], vector[37], metadata[37];
        (void) test_uuid(n, id);
        (void) test_uuid(CLEAN_VECTOR + n, vector);
        (void) test_uuid(CLEAN_METADATA + n, metadata);
        if (d->format == CLEAN_TOPIC_COLUMN)
                sql_dir_exec(&d->sql,
                             "INSERT INTO collections (id, name, topic, database_id) VALUES (%Q, 'c%u', 'persistent://old/one/%q', "
                             "'%s')",
                             id, n, id, "00000000-0000-0000-0000-000000000000");
        else
                sql_dir_exec(&d->sql, "INSERT INTO collections (id, name, database_id) VALUES (%Q, 'c%u', '%s')", id, n,
                             "00000000-0000-0000-0000-000000000000");
        sql_dir_exec(&d->sql,
                     "INSERT INTO segments (id, type, scope, collection) VALUES (%Q, 'v', 'VECTOR', %Q), (%Q, 'm', 'METADATA', %Q)",
                     vector, id, metadata, id);
}

void clean_dir_patch(const struct clean_dir *d, unsigned n, const char *file, uint64_t offset, const void *bytes, size_t len)
{
        char id[37], path[96];
        (void) snprintf(path, sizeof(path), "%s/%s", test_uuid(CLEAN_VECTOR + n, id), file);
        int fd = openat(d->sql.fd, path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, bytes, len, (off_t) offset), (ssize_t) len);
        assert_int_equal(close(fd), 0);
        index_dir_age(d->sql.fd, id, 3600);
}

void clean_dir_index(const struct clean_dir *d, unsigned n, uint64_t element, int64_t seq_id)
{
        clean_dir_patch(d, n, "data_level0.bin", element * INDEX_DIR_RECORD + 8 * INDEX_DIR_M + 4, clean_vector_of(seq_id),
                        4 * INDEX_DIR_DIMENSION);
}

void clean_dir_collection(const struct clean_dir *d, unsigned n, uint64_t count, int64_t vector_position, int64_t record_position)
{
        char id[37];
        make_rows(d, n);
        index_dir_make(d->sql.fd, test_uuid(CLEAN_VECTOR + n, id), &(struct index_dir){ .count = count });
        for (uint64_t i = 0; i < count; i++)
                clean_dir_index(d, n, i, (int64_t) i + 1);
        set_position(d, CLEAN_VECTOR + n, vector_position);
        set_position(d, CLEAN_METADATA + n, record_position);
}

void clean_dir_log(const struct clean_dir *d, int64_t seq_id, int operation, unsigned n, const char *id, bool vector)
{
        char uuid[37];
        sql_dir_exec(&d->sql,
                     "INSERT INTO embeddings_queue (seq_id, operation, topic, id, vector, encoding) VALUES (%lld, %d, '" TOPIC
                     "%s', %Q, %s, %Q)",
                     (long long) seq_id, operation, test_uuid(n, uuid), id, vector_sql(seq_id, vector), vector ? "FLOAT32" : NULL);
}

void clean_dir_record(const struct clean_dir *d, unsigned n, const char *id, int64_t seq_id)
{
        char uuid[37];
        const char *format = d->format == CLEAN_RUST
                                     ? "INSERT INTO embeddings (segment_id, embedding_id, seq_id) VALUES (%Q, %Q, %lld)"
                                     : "INSERT INTO embeddings (segment_id, embedding_id, seq_id) VALUES (%Q, %Q, x'%016llx')";
        sql_dir_exec(&d->sql, format, test_uuid(CLEAN_METADATA + n, uuid), id, (long long) seq_id);
}

void clean_dir_filled(const struct clean_dir *d, unsigned n, uint64_t count, int64_t first, int64_t position)
{
        char id[32];
        clean_dir_collection(d, n, count, position, position);
        for (uint64_t i = 0; i < count; i++) {
                int64_t seq_id = first + (int64_t) i;
                (void) snprintf(id, sizeof(id), "id%llu", (unsigned long long) i + 1);
                clean_dir_log(d, seq_id, 0, n, id, true);
                clean_dir_record(d, n, id, seq_id);
                clean_dir_index(d, n, i, seq_id);
        }
}

int64_t clean_dir_number(const struct clean_dir *d, const char *sql)
{
        sqlite3 *db = sql_dir_writer(&d->sql, 1000);
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
        int64_t n = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : INT64_MIN;
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
        return n;
}

const char *clean_dir_run(const struct clean_dir *d, const char *line, const char *collection_id, const struct operation_sink *sink,
                          int expected, struct json_object **ret_result)
{
        static struct error e;
        struct operation_request request = {
                .type = &operation_clean, .line = line, .line_len = strlen(line), .collection_id = collection_id
        };
        struct json_object *outcome = NULL;
        e = (struct error){ 0 };
        int r = operation_run(d->sql.fd, &request, sink, &outcome, &e);
        if (r != expected)
                fail_msg("\"%s\": %d, not %d: %s", line, r, expected, e.text);
        assert_non_null(outcome);
        if (ret_result != NULL)
                *ret_result = json_object_get(json_object_object_get(outcome, "result"));
        json_object_put(outcome);
        return r == 0 ? NULL : e.text;
}

int64_t result_number(struct json_object *result, const char *key)
{
        struct json_object *value = NULL;
        if (!json_object_object_get_ex(result, key, &value))
                fail_msg("the result has no %s", key);
        return json_object_get_int64(value);
}

struct json_object *result_collection(struct json_object *result, unsigned n)
{
        char id[37];
        struct json_object *all = json_object_object_get(result, "collections");
        (void) test_uuid(n, id);
        for (size_t i = 0; all != NULL && i < json_object_array_length(all); i++) {
                struct json_object *one = json_object_array_get_idx(all, i);
                if (strcmp(json_object_get_string(json_object_object_get(one, "id")), id) == 0)
                        return one;
        }
        return NULL;
}
