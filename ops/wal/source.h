/*
 * Rows of the write-ahead log out of a database connection of their own (its limit for the length of a value is lowered).
 *
 * - Everything happens inside a read transaction (db_begin), else -EINVAL; what a call returns is valid until the next call or the
 *   end of the transaction. Numbers and lengths of a row stay as they are.
 * - A table that is not as Chroma makes it (ops/wal/queue.h) is -EILSEQ; that is looked up once, and again when the schema changes.
 * - Values of a large row are read in pieces through sqlite3_blob.
 */
#ifndef OPS_WAL_SOURCE_H
#define OPS_WAL_SOURCE_H

#include "ops/cleanup.h"
#include "ops/db.h"
#include "ops/error.h"
#include "ops/wal/row.h"

struct wal_source;

/* For a connection, which must outlive it. 0 or -ENOMEM. */
int wal_source_new(struct db *db, struct wal_source **ret, struct error *e);
struct wal_source *wal_source_free(struct wal_source *source); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct wal_source *, wal_source_free)

/* The row with the lowest seq_id from `seq_id` on; 1, 0 when there is none, or a negative errno. In a large row (wal_row_is_large)
   bytes of all columns are NULL. Costs no more than wal_source_next() when that would begin at the same seq_id. */
int wal_source_seek(struct wal_source *source, int64_t seq_id, struct wal_row *ret, struct error *e);

/* The row after the last one that was returned, also in another transaction; from where the last seek was when that found none. */
int wal_source_next(struct wal_source *source, struct wal_row *ret, struct error *e);

/* The stored bytes that a piece of a large row needs; `row` is the last one that was returned. */
int wal_source_input(struct wal_source *source, const struct wal_row *row, const struct wal_piece *piece, struct wal_input *ret,
                     struct error *e);

/* wal_row_key() of any row; a large one's topic is read for it, as far as it can be one. */
int wal_source_key(struct wal_source *source, const struct wal_row *row, uint64_t *ret, struct error *e);

/* wal_row_created() of any row. */
int wal_source_created(struct wal_source *source, const struct wal_row *row, int64_t *ret, struct error *e);

/* To be called before the end of each transaction: an open sqlite3_blob doesn't survive it. */
void wal_source_rest(struct wal_source *source);

#endif
