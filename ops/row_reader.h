/*
 * Reading rows whose size a stranger chose: one budget for all that a caller keeps of them, and one limit for each value.
 *
 * - The limit of a value is put on the connection while the reader lives (SQLITE_LIMIT_LENGTH), so that SQLite refuses a larger one before
 *   it makes room for it; row_reader_end() puts the connection's own limit back.
 * - What goes beyond the budget is -E2BIG. So is a value beyond its limit, except in a row_scan, which takes it for NULL, notes the first
 *   in `oversized` and goes on.
 */
#ifndef OPS_ROW_READER_H
#define OPS_ROW_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"
#include "ops/text.h"

struct row_reader {
        struct db *db;
        struct error *e;
        int value_max, value_max_before;
        uint64_t used, used_max;
        const char *what; /* is budgeted, for the sentence: "the tables" */
        unsigned oversized_rows;
        char oversized[256]; /* about the first value that a scan took for NULL, "" while there is none */
};

void row_reader_begin(struct row_reader *reader, struct db *db, int value_max, uint64_t used_max, const char *what,
                      struct error *e);
void row_reader_end(struct row_reader *reader);

/* As db_prepare, with the text id (when not NULL) bound to ?1, and db_step. */
int row_prepare(struct row_reader *reader, sqlite3_stmt **ret, const char *sql, const struct text *id);
int row_step(struct row_reader *reader, sqlite3_stmt *row);

/* A column as text that the caller owns, "" for NULL. */
int row_text(struct row_reader *reader, sqlite3_stmt *row, int column, struct text *ret);
int row_text_or_null(struct row_reader *reader, sqlite3_stmt *row, int column, struct text *ret);

/* Charges the budget for what a caller keeps. */
int row_spend(struct row_reader *reader, uint64_t bytes);

/* Makes room for one more item of `size` bytes, zeroed, behind the `count` items of an array; `array` is the address of the pointer to it. */
int row_grow(struct row_reader *reader, void *array, size_t count, size_t size);

/* A walk over some columns of a table in the order of its rowids. The names are literals; "NULL" stands for a column that is not there. */
#define ROW_SCAN_COLUMNS 4
struct row_scan {
        struct row_reader *reader;
        const char *table, *columns[ROW_SCAN_COLUMNS];
        int column_count;
        sqlite3_stmt *rows; /* from `next` on */
        sqlite3_stmt *one;  /* a row that has a value beyond the limit, with NULL instead of it */
        sqlite3_stmt *row;  /* the row to read: one of both; its columns are numbered as above */
        sqlite3_int64 next;
        bool ended; /* no rowid is greater than the last one */
};

/* Begins at rowid `from`; zeroed columns at the end are none. The caller ends it, also when it failed or never began, with CLEANUP(row_scan). */
void row_scan_begin(struct row_scan *scan, struct row_reader *reader, const char *table,
                    const char *const columns[ROW_SCAN_COLUMNS], sqlite3_int64 from);
int row_scan_next(struct row_scan *scan);                               /* 1: scan->row is the next one, 0: there is none */
int row_scan_text(struct row_scan *scan, int column, struct text *ret); /* as row_text */
void row_scan_cleanup(struct row_scan *scan);

#endif
