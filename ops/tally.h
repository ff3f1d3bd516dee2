/*
 * How many rows of the write-ahead log a collection has, and how many of them each of its segments has not applied.
 */
#ifndef OPS_TALLY_H
#define OPS_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/error.h"
#include "ops/wal/index.h"

struct tally_positions { /* of one collection */
        bool has_vector, has_metadata;
        uint64_t vector, metadata;
};

struct tally { /* of one collection */
        uint64_t entries;
        uint64_t vector_gap, metadata_gap; /* rows above the position; all rows when there is none */
};

/* Counts, in what was measured of the log. */
int tally_read(struct wal_index *index, const struct collection *collection, const struct tally_positions *positions,
               struct tally *ret, struct error *e);

struct tally_orphans { /* rows that belong to no collection of the catalog */
        uint64_t rows;
        bool has_last; /* the row with the highest seq_id is one of them: it always stays (operation/orphan_rows.h) */
};

int tally_orphans(struct wal_index *index, const struct catalog *catalog, struct tally_orphans *ret, struct error *e);

#endif
