/*
 * Measuring: brings an index up to date with the table, in short transactions (PIECE_MS).
 *
 * What is known is not read again: of each collection the first and the last live row are looked up, of the table the first one, and
 * rows behind the last one that is known are read. That is right since rows are immutable, come in ascending order, and leave from the
 * front of their collection or with the whole of it; a row that somebody edits in between is the reader's to notice (ops/wal/reader.h).
 *
 * A value of hundreds of megabytes takes transactions of some tenths of a second: SQLite reaches a place in it only from its beginning.
 */
#ifndef OPS_WAL_METER_H
#define OPS_WAL_METER_H

#include <stdatomic.h>

#include "ops/db.h"
#include "ops/error.h"
#include "ops/wal/index.h"
#include "ops/wal/source.h"

/* May be read by other threads meanwhile. Set anew by a call as soon as there is a row to read: until then it is what it was. */
struct wal_progress {
        _Atomic int64_t from, to, at; /* seq_ids: of the first row to read, of the last one, of the one that was read last */
};

/* Brings the index to a moment after the call. 0, or 1: what is known can't be (a row has another content, a collection's last row has
   left before its first one, …), and all has to be measured anew; the index is as far as it came. -EINTR when the connection's cancel
   function said so, -EBUSY, -EILSEQ, … Flushes the index, too, when that fails or is interrupted. */
int wal_meter(struct db *db, struct wal_source *source, struct wal_index *index, struct wal_progress *progress, struct error *e);

#endif
