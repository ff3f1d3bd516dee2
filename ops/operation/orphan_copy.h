/*
 * The copy of rows that are going to be deleted: a SQLite database of its own, from which they can be put back.
 *
 * - It has the tables that the rows come from, with the same columns in the same order, but without types, keys and indexes: every
 *   value keeps its storage class and its bytes. Rowids are kept; where a column is the rowid (embeddings.id,
 *   embeddings_queue.seq_id) it is so here, and of a full-text table it is one more column. To put rows back: ATTACH it and INSERT
 *   INTO main.<table> SELECT * FROM <table> (full-text: INSERT INTO main.embedding_fulltext_search(rowid, string_value) SELECT …).
 * - It is made in the stage, so that one that a crash cuts off is tidied away, and moves to the trash when it is whole, checked and
 *   synced.
 * - Its files are found through the stage's descriptor, never by a path that someone else could change.
 */
#ifndef OPS_OPERATION_ORPHAN_COPY_H
#define OPS_OPERATION_ORPHAN_COPY_H

#include "ops/cleanup.h"
#include "ops/error.h"
#include "ops/operation/orphan_rows.h"
#include "ops/operation/state_dir.h"

#define ORPHAN_COPY_FILE "rows.sqlite3"

struct orphan_copy;

/* Makes an empty one in the stage, in place of one that is there. *ret is the caller's; the operation must outlive it, and its
   cancel is heard: -ECANCELED. */
int orphan_copy_new(struct operation *op, struct orphan_copy **ret);

/* An orphan_row_fn; the context is the copy. */
int orphan_copy_take(void *copy, enum orphan_table table, sqlite3_stmt *row, struct error *e);

/* Closes it, reads the file back and checks that it has exactly the rows that were taken and as many as `rows` has, and syncs it.
   -EIO when not. */
int orphan_copy_seal(struct orphan_copy *copy, const struct orphan_rows *rows, struct error *e);

/* Moves the sealed file there. */
int orphan_copy_move(struct orphan_copy *copy, struct trash *trash, struct error *e);

/* What is still in the stage is removed. Takes NULL, returns NULL. */
struct orphan_copy *orphan_copy_free(struct orphan_copy *copy);
DEFINE_CLEANUP(struct orphan_copy *, orphan_copy_free)

#endif
