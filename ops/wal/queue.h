/*
 * What the table of the write-ahead log must be like for anyone to read it (FORMAT 3).
 */
#ifndef OPS_WAL_QUEUE_H
#define OPS_WAL_QUEUE_H

#include "ops/db.h"
#include "ops/error.h"

#define WAL_QUEUE "embeddings_queue"

/* That it is a table and no view, with all the columns, in UTF-8, and that seq_id is its rowid: that makes a seek cheap and the
   order certain, and a blob that is opened by rowid is that of the row that was meant. Inside a transaction. 0, -EILSEQ with what
   is wrong, or as db_step. */
int wal_queue_check(struct db *db, struct error *e);

#endif
