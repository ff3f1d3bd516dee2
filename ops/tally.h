/*
 * How many rows of the write-ahead log (table embeddings_queue) each collection has, and how many of them each of its segments has not
 * applied: one pass over the table for all collections together (the table has no index on topic).
 */
#ifndef OPS_TALLY_H
#define OPS_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/db.h"
#include "ops/error.h"

struct tally_positions { /* of one collection */
        bool has_vector, has_metadata;
        uint64_t vector, metadata;
};

struct tally_row { /* of one collection */
        uint64_t entries;
        uint64_t vector_gap, metadata_gap; /* rows above the position; all rows when there is none */
};

struct tally {
        struct tally_row *rows; /* in the order of catalog->collections */
        size_t count;
        uint64_t entries;        /* of the whole table */
        uint64_t orphan_entries; /* rows whose topic belongs to no collection */
        bool exact;              /* nobody committed while it was counted */
};

/* Counts. `positions` has catalog->collection_count elements. A topic belongs to the collection whose id is what stands behind its last
   '/' (FORMAT 3). Clears with tally_clear. */
int tally_read(struct db *db, const struct catalog *catalog, const struct tally_positions *positions, struct tally *ret,
               struct error *e);
void tally_clear(struct tally *tally);

#endif
