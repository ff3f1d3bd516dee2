/*
 * The records of a collection: how many, as Chroma's count() answers, and which of them have no vector anywhere (FORMAT I8).
 *
 * The metadata segment has the records up to its own position in the WAL. Chroma 1.x writes the rows above that into it when someone reads
 * the collection next; they are counted as if it had. That takes some 40 bytes of memory for each id among these rows.
 *
 * A record has a vector when its id is in the index, or when a row of the WAL above the vector segment's position will put it there
 * (ADD or UPSERT with a vector). One that is only in the WAL has it there. One that was added without a vector, which Python Chroma allows, is not counted while its WAL row is still there to say so.
 */
#ifndef OPS_RECORD_AUDIT_H
#define OPS_RECORD_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/db.h"
#include "ops/error.h"
#include "ops/id_set.h"
#include "ops/text.h"

#define VECTORLESS_SHOWN 100
#define VECTORLESS_BYTES_MAX (1 << 20)

struct record_audit {
        uint64_t records;
        uint64_t without_vector;
        struct text first[VECTORLESS_SHOWN]; /* the first of them, in the order of ids, VECTORLESS_BYTES_MAX together at most */
        size_t first_count;
        bool exact; /* nobody committed while it was counted */
};

/* Counts the collection's records against `indexed`, the ids that have a vector in the index, to which those of the WAL above
   `position` (when has_position, else all) are added. */
int record_audit_read(struct db *db, const struct collection *collection, bool has_position, uint64_t position,
                      struct id_set *indexed, struct record_audit *ret, struct error *e);
void record_audit_clear(struct record_audit *audit);

#endif
