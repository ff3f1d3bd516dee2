/*
 * What only one collection has: its metadata, its vector segment's metadata, and its two configuration columns.
 *
 * Chroma sets exactly one value column of a metadata row; the first that is set counts. Its type is the storage class that is really there,
 * since a column's declared type binds nobody who writes a file by hand: text in int_value is a string, and what reads the value for a
 * number then says that it is none.
 */
#include "ops/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/json.h"
#include "ops/row_reader.h"

#define VALUE_MAX ((int) JSON_SIZE_MAX)
#define DETAIL_MAX (16ull << 20)

/* What a row costs besides its values, here and in what is made of it. */
#define ROW_COST 100

/* The value columns, as read_metadata() selects them behind the key. */
enum { COLUMN_KEY, COLUMN_STR, COLUMN_INT, COLUMN_FLOAT, COLUMN_BOOL, COLUMN_END };

static void clear_metadata(struct metadata_value *values, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                free(values[i].key.bytes);
                free(values[i].string.bytes);
        }
        free(values);
}

void collection_detail_clear(struct collection_detail *detail)
{
        clear_metadata(detail->metadata, detail->metadata_count);
        clear_metadata(detail->segment_metadata, detail->segment_metadata_count);
        free(detail->config_json.bytes);
        free(detail->schema_json.bytes);
        *detail = (struct collection_detail){ 0 };
}

static int compare_values(const void *a, const void *b)
{
        const struct metadata_value *x = a, *y = b;
        return text_compare(&x->key, &y->key);
}

static int read_value(struct row_reader *reader, sqlite3_stmt *row, struct metadata_value *value)
{
        int r = row_text(reader, row, COLUMN_KEY, &value->key);
        if (r < 0)
                return r;
        int column = COLUMN_STR;
        while (column < COLUMN_END && sqlite3_column_type(row, column) == SQLITE_NULL)
                column++;
        if (column == COLUMN_END) {
                value->type = VALUE_NULL;
                return 0;
        }
        switch (sqlite3_column_type(row, column)) {
        case SQLITE_INTEGER:
                value->type = column == COLUMN_BOOL ? VALUE_BOOL : VALUE_INT;
                value->integer = sqlite3_column_int64(row, column);
                if (column == COLUMN_BOOL)
                        value->integer = value->integer != 0;
                return 0;
        case SQLITE_FLOAT:
                value->type = VALUE_FLOAT;
                value->real = sqlite3_column_double(row, column);
                return 0;
        default:
                value->type = VALUE_STRING;
                return row_text(reader, row, column, &value->string);
        }
}

static int read_values(struct row_reader *reader, sqlite3_stmt *rows, struct metadata_value **values, size_t *count)
{
        int r;
        while ((r = row_step(reader, rows)) > 0) {
                r = row_spend(reader, ROW_COST);
                if (r == 0)
                        r = row_grow(reader, values, *count, sizeof **values);
                if (r == 0)
                        r = read_value(reader, rows, &(*values)[(*count)++]);
                if (r < 0)
                        return r;
        }
        if (*count > 1)
                qsort(*values, *count, sizeof **values, compare_values);
        return r;
}

/* Reads the rows of `table` whose column `owner` is `id`; no rows where there is no such table, which the catalog reports. */
static int read_metadata(struct row_reader *reader, const char *table, const char *owner, const struct text *id,
                         struct metadata_value **values, size_t *count)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *rows = NULL;
        int r = db_has_table(reader->db, table, reader->e);
        if (r <= 0)
                return r;
        int has_bool = db_has_column(reader->db, table, "bool_value", reader->e);
        if (has_bool < 0)
                return has_bool;
        char sql[160];
        (void) snprintf(sql, sizeof sql, "SELECT key, str_value, int_value, float_value, %s FROM %s WHERE %s = ?1",
                        has_bool > 0 ? "bool_value" : "NULL", table, owner);
        r = row_prepare(reader, &rows, sql, id);
        return r < 0 ? r : read_values(reader, rows, values, count);
}

static int read_configuration(struct row_reader *reader, const struct text *id, struct collection_detail *detail)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *row = NULL;
        int config = db_has_column(reader->db, "collections", "config_json_str", reader->e);
        if (config < 0)
                return config;
        int schema = db_has_column(reader->db, "collections", "schema_str", reader->e);
        if (schema < 0)
                return schema;
        char sql[128];
        (void) snprintf(sql, sizeof sql, "SELECT %s, %s FROM collections WHERE id = ?1", config > 0 ? "config_json_str" : "NULL",
                        schema > 0 ? "schema_str" : "NULL");
        int r = row_prepare(reader, &row, sql, id);
        if (r == 0)
                r = row_step(reader, row);
        if (r <= 0)
                return r;
        r = row_text_or_null(reader, row, 0, &detail->config_json);
        return r < 0 ? r : row_text_or_null(reader, row, 1, &detail->schema_json);
}

static int read_detail(struct row_reader *reader, const struct collection *collection, struct collection_detail *detail)
{
        int r = read_metadata(reader, "collection_metadata", "collection_id", &collection->id, &detail->metadata,
                              &detail->metadata_count);
        if (r == 0 && collection->vector != NULL)
                r = read_metadata(reader, "segment_metadata", "segment_id", &collection->vector->id, &detail->segment_metadata,
                                  &detail->segment_metadata_count);
        return r < 0 ? r : read_configuration(reader, &collection->id, detail);
}

int collection_detail_read(struct db *db, const struct collection *collection, struct collection_detail *ret, struct error *e)
{
        struct collection_detail detail = { 0 };
        struct row_reader reader;
        row_reader_begin(&reader, db, VALUE_MAX, DETAIL_MAX, "the metadata and configuration of the collection", e);
        int r = read_detail(&reader, collection, &detail);
        row_reader_end(&reader);
        if (r < 0)
                collection_detail_clear(&detail);
        else
                *ret = detail;
        return r;
}
