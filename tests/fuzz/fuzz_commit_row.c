/*
 * A row of the log with any values: what is accepted is whole, each key once, each string in UTF-8 and ended; and what Rust reads of metadata, Python reads too.
 */
#include <math.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ops/commit/row.h"
#include "ops/commit/row_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
        if (!condition)
                abort();
}

static void check_text(const struct text *t)
{
        check(t->bytes != NULL && t->bytes[t->len] == '\0' && utf8_valid(t->bytes, t->len));
}

static void check_value(const struct commit_value *value, enum commit_dialect dialect)
{
        check_text(&value->key);
        if (value->type == COMMIT_STRING)
                check_text(&value->string);
        check(value->type != COMMIT_FLOAT || dialect == DIALECT_PYTHON || isfinite(value->real));
        check(value->type != COMMIT_BOOL || value->integer == 0 || value->integer == 1);
        check((value->type == COMMIT_ARRAY) == (value->item_count > 0) && (value->item_count > 0) == (value->items != NULL));
        if (value->items == NULL)
                return;
        for (size_t i = 0; i < value->item_count; i++) {
                enum commit_value_type type = value->items[i].type;
                check(type == value->items[0].type && type != COMMIT_NULL && type != COMMIT_ARRAY);
                check_value(&value->items[i], dialect);
        }
}

static void check_values(const struct commit_value *values, size_t count, enum commit_dialect dialect)
{
        check(values != NULL || count == 0);
        for (size_t i = 0; values != NULL && i < count; i++) {
                check_value(&values[i], dialect);
                check(values[i].type != COMMIT_ARRAY || dialect == DIALECT_ARRAYS);
                for (size_t j = 0; j < i && j < 64; j++)
                        check(!text_equal(&values[i].key, &values[j].key));
        }
}

/* Whether this dialect reads the text. */
static bool parse(const char *bytes, size_t len, enum commit_dialect dialect, bool *ret_lost)
{
        struct commit_json json = { 0 };
        struct error why = { 0 };
        char *strings = malloc(len + 1);
        check(strings != NULL);
        int r = commit_json_parse(bytes, len, dialect, strings, &json, &why, NULL);
        check(r == 0 || (r == 1 && why.code != 0));
        check(!json.lost || dialect == DIALECT_PYTHON);
        if (r == 0)
                check_values(json.values, json.count, dialect);
        if (r == 0)
                commit_values_free(json.values, json.count);
        free(strings);
        *ret_lost = json.lost;
        return r == 0;
}

static void check_metadata(const char *bytes, size_t len)
{
        bool lost = false;
        bool rust = parse(bytes, len, DIALECT_RUST, &lost), arrays = parse(bytes, len, DIALECT_ARRAYS, &lost);
        bool python = parse(bytes, len, DIALECT_PYTHON, &lost);
        check(!rust || arrays);
        check(!arrays || (python && !lost));
}

static void bind(sqlite3_stmt *stmt, int column, unsigned class, const void *bytes, int len)
{
        if (class % 4 == 0)
                (void) sqlite3_bind_text(stmt, column, bytes, len, SQLITE_TRANSIENT);
        else if (class % 4 == 1)
                (void) sqlite3_bind_blob(stmt, column, bytes, len, SQLITE_TRANSIENT);
        else if (class % 4 == 2)
                (void) sqlite3_bind_int(stmt, column, len);
}

static void check_decode(sqlite3_stmt *stmt, const struct commit_row_rules *rules)
{
        struct commit_row row;
        struct error why = { 0 };
        int r = commit_row_decode(stmt, rules, &row, &why, NULL);
        check(r == 0 || (r == 1 && why.code != 0 && row.values == NULL));
        check_text(&row.id);
        check(row.vector == NULL || (uint64_t) sqlite3_column_bytes(stmt, 5) == 4 * (uint64_t) commit_row_dimension(stmt));
        check(row.vector == NULL || !rules->has_dimension || commit_row_dimension(stmt) == rules->dimension);
        check(!row.incomplete || !rules->version.rust);
        enum commit_dialect dialect = !rules->version.rust        ? DIALECT_PYTHON
                                      : rules->version.metadb < 6 ? DIALECT_RUST
                                                                  : DIALECT_ARRAYS;
        check_values(row.values, row.value_count, dialect);
        check(row.value_count == 0 || rules->metadata_position < 5);
        commit_row_clear(&row);
}

/* Six bytes of choices, then the metadata, of which the id and the vector are parts. */
static void check_row(const uint8_t *head, const char *rest, int len)
{
        static const char *const encodings[] = { "FLOAT32", "INT32", "junk" };
        struct commit_row_rules rules = { .has_dimension = head[0] & 1, .dimension = head[0] >> 1 & 3 };
        chroma_version_of(10, 4 + head[0] / 8 % 3, 2, &rules.version);
        rules.metadata_position = head[0] & 0x40 ? 5 : 0;
        rules.vector_position = head[0] & 0x80 ? 5 : 0;
        sqlite3 *db = NULL;
        sqlite3_stmt *stmt = NULL;
        check(sqlite3_open(":memory:", &db) == SQLITE_OK);
        check(sqlite3_prepare_v2(db, "SELECT 5, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8", -1, &stmt, NULL) == SQLITE_OK);
        (void) sqlite3_bind_int(stmt, 2, head[1] % 8 - 1);
        bind(stmt, 4, head[2], rest, head[3] % 8 < len ? head[3] % 8 : len);
        bind(stmt, 5, head[4], rest, head[5] % 20 < len ? head[5] % 20 : len);
        if (head[4] / 4 % 4 < 3)
                (void) sqlite3_bind_text(stmt, 6, encodings[head[4] / 4 % 4], -1, SQLITE_STATIC);
        bind(stmt, 7, head[2] / 4, rest, len);
        (void) sqlite3_bind_int(stmt, 8, head[2] / 16 % 4 != 0);
        check(sqlite3_step(stmt) == SQLITE_ROW);
        check_decode(stmt, &rules);
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        enum { HEAD = 6 };
        if (size < HEAD || size > 1u << 20)
                return 0;
        size_t len = size - HEAD;
        char *rest = malloc(len > 0 ? len : 1); /* of exactly that size */
        check(rest != NULL);
        memcpy(rest, data + HEAD, len);
        check_metadata(rest, len);
        check_row(data, rest, (int) len);
        free(rest);
        return 0;
}
