/*
 * Rendering: bytes of a stream out of the table.
 */
#ifndef OPS_WAL_READER_H
#define OPS_WAL_READER_H

#include <stdbool.h>

#include "ops/background.h"
#include "ops/db.h"
#include "ops/wal/index.h"
#include "ops/wal/source.h"

struct wal_span { /* counted: result_get(&span->shared) */
        struct result shared;
        uint64_t offset; /* in the stream, of its first byte */
        size_t len;
        char *bytes;
};

/* Renders whole units, from the one that holds `offset` on: at least `want` bytes from `offset` on, fewer only where the stream
   ends, and up to about `most` (>= want) if they can be had; deep in a large value, where each call costs more, up to 4 MiB. Every
   unit is compared with its hash before it is given.
   0 with *ret a reference of the caller's, NULL at or behind the end; -ESTALE when a row among the wanted is not there any more, or
   is another one: then *ret_foreign says whether what is there can't come from Chroma (same seq_id and collection, other content),
   and all should be measured anew. What is not wanted, and can't be had, ends the span. One transaction, below 50 ms but for values
   of hundreds of megabytes. */
int wal_render(struct db *db, struct wal_source *source, struct wal_stream *stream, uint64_t offset, size_t want, size_t most,
               struct wal_span **ret, bool *ret_foreign, struct error *e);

#endif
