/*
 * Reading rows whose size a stranger chose: one budget for all that a caller keeps of them, and one limit for each value.
 *
 * - The limit of a value is put on the connection while the reader lives (SQLITE_LIMIT_LENGTH), so that SQLite refuses a larger one before
 *   it makes room for it; row_reader_end() puts the connection's own limit back.
 * - What goes beyond either is -E2BIG.
 */
#ifndef OPS_ROW_READER_H
#define OPS_ROW_READER_H

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
};

void row_reader_begin(struct row_reader *reader, struct db *db, int value_max, uint64_t used_max, struct error *e);
void row_reader_end(struct row_reader *reader);

/* As db_prepare, with the text id (when not NULL) bound to ?1, and db_step. */
int row_prepare(struct row_reader *reader, sqlite3_stmt **ret, const char *sql, const struct text *id);
int row_step(struct row_reader *reader, sqlite3_stmt *row);

/* A column as text that the caller owns, "" for NULL. */
int row_text(struct row_reader *reader, sqlite3_stmt *row, int column, struct text *ret);
int row_text_or_null(struct row_reader *reader, sqlite3_stmt *row, int column, struct text *ret);

/* Makes room for one more item of `size` bytes, zeroed, behind the `count` items of an array; `array` is the address of the pointer to it. */
int row_grow(struct row_reader *reader, void *array, size_t count, size_t size);

#endif
