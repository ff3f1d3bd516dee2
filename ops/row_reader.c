/*
 * How a scan gets past a value beyond the limit. SQLite has no function that tells the size of a text without loading it before 3.43, and
 * a step that meets a larger one fails as a whole. So the rows are read as if there were none, and only a row that fails is read again:
 * each of its columns alone, which tells those that fail, and then the row once more with NULL in their place. The walk goes on behind it.
 * What a row costs that has no such value is unchanged.
 *
 * NOT INDEXED, so that the walk is in the order of rowids without a sort, whatever indexes a stranger's file has. A column that is called
 * rowid, or a table without rowids, which no Chroma makes, takes this way out: there a value beyond the limit is an error.
 */
#include "ops/row_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ITEMS 16

/* What the allocator adds to each small piece, roughly: a million empty texts are not free. */
#define ALLOCATION_COST 16

/* Rows with a value beyond the limit are read again at some cost, while writers wait: a tenth of a second for all of these. */
#define OVERSIZED_ROWS_MAX 1000

void row_reader_begin(struct row_reader *reader, struct db *db, int value_max, uint64_t used_max, const char *what, struct error *e)
{
        *reader = (struct row_reader){ .db = db, .e = e, .value_max = value_max, .used_max = used_max, .what = what };
        reader->value_max_before = sqlite3_limit(db_handle(db), SQLITE_LIMIT_LENGTH, value_max);
}

void row_reader_end(struct row_reader *reader)
{
        (void) sqlite3_limit(db_handle(reader->db), SQLITE_LIMIT_LENGTH, reader->value_max_before);
}

static int value_too_big(struct row_reader *reader)
{
        return error_set(reader->e, E2BIG, "a value in the database is larger than %d bytes", reader->value_max);
}

static int checked(struct row_reader *reader, int r)
{
        if (r < 0 && sqlite3_errcode(db_handle(reader->db)) == SQLITE_TOOBIG)
                return value_too_big(reader);
        return r;
}

int row_spend(struct row_reader *reader, uint64_t bytes)
{
        if (bytes > reader->used_max - reader->used)
                return error_set(reader->e, E2BIG, "%s are larger than the %llu MiB that are held in memory", reader->what,
                                 (unsigned long long) (reader->used_max >> 20));
        reader->used += bytes;
        return 0;
}

int row_prepare(struct row_reader *reader, sqlite3_stmt **ret, const char *sql, const struct text *id)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int r = checked(reader, db_prepare(reader->db, &stmt, reader->e, sql));
        if (r < 0)
                return r;
        if (id != NULL && sqlite3_bind_text64(stmt, 1, id->bytes, id->len, SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK)
                return checked(reader, db_fail(reader->db, reader->e, "looking up an id"));
        *ret = TAKE(stmt);
        return 0;
}

int row_step(struct row_reader *reader, sqlite3_stmt *row)
{
        return checked(reader, db_step(reader->db, row, reader->e));
}

int row_text_or_null(struct row_reader *reader, sqlite3_stmt *row, int column, struct text *ret)
{
        struct text text = { NULL, 0 };
        int r = checked(reader, db_column_text(row, column, &text, reader->e));
        if (r < 0)
                return r;
        /* A UTF-16 database's text may grow beyond the limit in the conversion. */
        r = text.len > (size_t) reader->value_max ? value_too_big(reader) : row_spend(reader, text.len + ALLOCATION_COST);
        if (r < 0)
                free(text.bytes);
        else
                *ret = text;
        return r;
}

int row_text(struct row_reader *reader, sqlite3_stmt *row, int column, struct text *ret)
{
        struct text text = { NULL, 0 };
        int r = row_text_or_null(reader, row, column, &text);
        if (r < 0)
                return r;
        if (text.bytes == NULL && text_copy(&text, "", 0) < 0)
                return error_set(reader->e, ENOMEM, "no memory");
        *ret = text;
        return 0;
}

int row_grow(struct row_reader *reader, void *array, size_t count, size_t size)
{
        char *items;
        memcpy(&items, array, sizeof items);
        /* Full when the count is 0 or a power of two that is no less than the first room. */
        if (count == 0 || (count >= FIRST_ITEMS && (count & (count - 1)) == 0)) {
                size_t room = count == 0 ? FIRST_ITEMS : 2 * count;
                int r = row_spend(reader, (room - count) * size);
                if (r < 0)
                        return r;
                items = reallocarray(items, room, size);
                if (items == NULL)
                        return error_set(reader->e, ENOMEM, "no memory for %zu rows", room);
                memcpy(array, &items, sizeof items);
        }
        memset(items + count * size, 0, size);
        return 0;
}

/* Scans. */

void row_scan_begin(struct row_scan *scan, struct row_reader *reader, const char *table,
                    const char *const columns[ROW_SCAN_COLUMNS], sqlite3_int64 from)
{
        *scan = (struct row_scan){ .reader = reader, .table = table, .next = from };
        while (scan->column_count < ROW_SCAN_COLUMNS && columns[scan->column_count] != NULL) {
                scan->columns[scan->column_count] = columns[scan->column_count];
                scan->column_count++;
        }
}

void row_scan_cleanup(struct row_scan *scan)
{
        (void) sqlite3_finalize(scan->rows);
        (void) sqlite3_finalize(scan->one);
        scan->rows = scan->one = scan->row = NULL;
}

static int prepare_at(struct row_reader *reader, sqlite3_stmt **ret, const char *sql, sqlite3_int64 key)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int r = db_prepare(reader->db, &stmt, reader->e, sql);
        if (r < 0)
                return r;
        if (sqlite3_bind_int64(stmt, 1, key) != SQLITE_OK)
                return db_fail(reader->db, reader->e, "looking up a row");
        *ret = TAKE(stmt);
        return 0;
}

/* Selects the columns, except those of the set `oversized`, and the rowid behind them. */
static int prepare_columns(struct row_scan *scan, sqlite3_stmt **ret, unsigned oversized, const char *comparison, sqlite3_int64 key)
{
        char sql[256], columns[128] = "";
        size_t len = 0;
        for (int i = 0; i < scan->column_count; i++)
                len += (size_t) snprintf(columns + len, sizeof columns - len, "%s, ",
                                         (oversized & 1u << i) != 0 ? "NULL" : scan->columns[i]);
        (void) snprintf(sql, sizeof sql, "SELECT %srowid FROM %s NOT INDEXED WHERE rowid %s ?1", columns, scan->table, comparison);
        return prepare_at(scan->reader, ret, sql, key);
}

/* The size of a value, from the header of its row; 0 when SQLite does not tell. */
static int size_of(const struct row_scan *scan, int column, sqlite3_int64 key)
{
        sqlite3_blob *blob = NULL;
        int size = 0;
        if (sqlite3_blob_open(db_handle(scan->reader->db), "main", scan->table, scan->columns[column], key, 0, &blob) == SQLITE_OK)
                size = sqlite3_blob_bytes(blob);
        (void) sqlite3_blob_close(blob);
        return size;
}

static void note_oversized(struct row_scan *scan, int column, size_t size)
{
        struct row_reader *reader = scan->reader;
        char bytes[32] = "a value";
        if (reader->oversized[0] != '\0')
                return;
        if (size > 0)
                (void) snprintf(bytes, sizeof bytes, "%zu bytes", size);
        (void) snprintf(reader->oversized, sizeof reader->oversized,
                        "%s.%s has %s in one row, beyond the limit of %d: it is taken for absent", scan->table,
                        scan->columns[column], bytes, reader->value_max);
}

/* 1 when the value is beyond the limit. */
static int is_oversized(struct row_scan *scan, int column, sqlite3_int64 key)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        char sql[128];
        (void) snprintf(sql, sizeof sql, "SELECT %s FROM %s WHERE rowid = ?1", scan->columns[column], scan->table);
        int r = prepare_at(scan->reader, &stmt, sql, key);
        if (r == 0)
                r = db_step(scan->reader->db, stmt, NULL);
        if (r == -E2BIG)
                return 1;
        return r < 0 ? db_fail(scan->reader->db, scan->reader->e, "reading") : 0;
}

/* Reads the row at `key` with NULL for what is beyond the limit. */
static int read_without_oversized(struct row_scan *scan, sqlite3_int64 key)
{
        unsigned oversized = 0;
        for (int i = 0; i < scan->column_count; i++) {
                int r = is_oversized(scan, i, key);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                oversized |= 1u << i;
                note_oversized(scan, i, (size_t) size_of(scan, i, key));
        }
        int r = prepare_columns(scan, &scan->one, oversized, "=", key);
        if (r == 0)
                r = row_step(scan->reader, scan->one);
        scan->row = scan->one;
        return r == 0 ? value_too_big(scan->reader) : r; /* in a file whose rows are out of order */
}

/* The rowid of the row at which a step failed. */
static int find_failed(struct row_scan *scan, sqlite3_int64 *ret)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        char sql[128];
        struct row_reader *reader = scan->reader;
        int r = db_has_column(reader->db, scan->table, "rowid", reader->e);
        if (r < 0)
                return r;
        if (r > 0 || reader->oversized_rows++ == OVERSIZED_ROWS_MAX)
                return value_too_big(reader);
        (void) snprintf(sql, sizeof sql, "SELECT rowid FROM %s WHERE rowid >= ?1 ORDER BY rowid LIMIT 1", scan->table);
        r = prepare_at(reader, &stmt, sql, scan->next);
        if (r == 0)
                r = row_step(reader, stmt);
        if (r > 0)
                *ret = sqlite3_column_int64(stmt, 0);
        return r == 0 ? value_too_big(reader) : r;
}

/* Never goes back, even in a file whose rows are out of order: that a scan ends depends on it. */
static void go_behind(struct row_scan *scan, sqlite3_int64 key)
{
        if (key == INT64_MAX)
                scan->ended = true;
        else if (key >= scan->next)
                scan->next = key + 1;
}

static int step_over(struct row_scan *scan)
{
        sqlite3_int64 key = 0;
        (void) sqlite3_finalize(scan->rows);
        scan->rows = NULL;
        int r = find_failed(scan, &key);
        if (r < 0)
                return r;
        go_behind(scan, key);
        return read_without_oversized(scan, key);
}

int row_scan_next(struct row_scan *scan)
{
        (void) sqlite3_finalize(scan->one);
        scan->one = NULL;
        if (scan->ended)
                return 0;
        int r = scan->rows == NULL ? prepare_columns(scan, &scan->rows, 0, ">=", scan->next) : 0;
        if (r < 0)
                return r;
        r = db_step(scan->reader->db, scan->rows, NULL);
        if (r == -E2BIG)
                return step_over(scan);
        if (r < 0)
                return db_fail(scan->reader->db, scan->reader->e, "reading");
        scan->row = scan->rows;
        if (r > 0)
                go_behind(scan, sqlite3_column_int64(scan->rows, scan->column_count));
        else
                scan->ended = true;
        return r;
}

int row_scan_text(struct row_scan *scan, int column, struct text *ret)
{
        struct text text = { NULL, 0 };
        int r = db_column_text(scan->row, column, &text, scan->reader->e);
        if (r < 0)
                return r;
        /* A UTF-16 database's text may grow beyond the limit in the conversion. */
        if (text.len > (size_t) scan->reader->value_max) {
                note_oversized(scan, column, text.len);
                free(text.bytes);
                text = (struct text){ NULL, 0 };
        }
        r = row_spend(scan->reader, text.len + ALLOCATION_COST);
        if (r == 0 && text.bytes == NULL && text_copy(&text, "", 0) < 0)
                r = error_set(scan->reader->e, ENOMEM, "no memory");
        if (r < 0)
                free(text.bytes);
        else
                *ret = text;
        return r;
}
