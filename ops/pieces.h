/*
 * Long reading in short transactions: a walk over a table, cut so that no read transaction lasts longer than PIECE_MS, since while one
 * is open every commit of a writer waits.
 *
 * - Between two pieces the connection holds no lock. Whether someone committed meanwhile is told by `exact`.
 * - A writer that never pauses is waited for several times DB_WAIT_MS at each piece, then -EBUSY: a walk is for the background.
 * - A walk ends early with -EINTR when its cancel function says so (db_set_cancel).
 */
#ifndef OPS_PIECES_H
#define OPS_PIECES_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"

#define PIECE_MS 20

struct pieces {
        struct db *db;
        uint64_t data_version; /* at the first piece */
        bool started;
        bool exact; /* nobody committed between the first and the last piece */
};

void pieces_init(struct pieces *p, struct db *db);

/* One row of the walk; the key by which the next piece continues is the function's business (it keeps it in its context and binds it in `bind`). A value
   other than 0 ends the walk and is returned. */
typedef int piece_row_fn(void *context, sqlite3_stmt *stmt);
typedef int piece_bind_fn(void *context, sqlite3_stmt *stmt);

/* Runs `sql`, which must order by its key and select rows above the key that `bind` binds, again and again until it has no more rows.
   Each row must be stepped to without passing over many others: only between rows can a piece end. 0, or the first failure. */
int pieces_walk(struct pieces *p, const char *sql, piece_bind_fn *bind, piece_row_fn *row, void *context, struct error *e);

/* Where a walk along an integer key goes on: at the first key that is not below `next`. All of int64_t are legal keys. */
struct int_key {
        int64_t next;
        bool ended; /* the greatest key there can be was seen */
};

#define INT_KEY_START ((struct int_key){ .next = INT64_MIN })

/* Binds the lower bound of `key >= ?` to a parameter. 0 or a negative errno. */
int int_key_bind(const struct int_key *key, sqlite3_stmt *stmt, int parameter);

/* Takes the key of a row: -EILSEQ when it is no integer or not above the one before, which no honest schema makes, and
   which would make a walk endless. `table` is for the sentence. */
int int_key_take(struct int_key *key, sqlite3_stmt *stmt, int column, const char *table, int64_t *ret, struct error *e);

/* Bytes of a column that holds text or a blob, valid until the next step; false for NULL and numbers. No copy. */
bool column_bytes(sqlite3_stmt *stmt, int column, const char **ret, size_t *ret_len);

#endif
