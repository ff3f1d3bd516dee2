/*
 * What the log says of one record, row by row as Chroma applies them (FORMAT 3 and 7), and whether both segments agree.
 *
 * - The question is not whether the segments are right, but whether something would be lost with the rows that are to go: what they
 *   left behind must be in the segments, unless a row that stays has changed it since.
 * - A row that stays explains a difference only where its segment can have applied it: SQLite's tables are exactly at the metadata
 *   segment's position, the index may be ahead of its own after a crash.
 */
#ifndef OPS_OPERATION_CLEAN_STATE_H
#define OPS_OPERATION_CLEAN_STATE_H

#include <stdbool.h>

#include "ops/operation/clean_ids.h"

enum clean_operation { CLEAN_ADD, CLEAN_UPDATE, CLEAN_UPSERT, CLEAN_DELETE };

struct clean_row {
        int64_t seq_id;
        enum clean_operation operation;
        bool has_vector;
        bool equal;              /* the index has this vector for the id */
        bool goes;               /* it is below the limit: would be deleted */
        bool in_vector_position; /* it is not above the vector segment's position */
        bool in_record_position; /* … the metadata segment's */
};

/* Rows come in the order of their seq_id. One that stays counts only for an id that one that goes has named. */
void clean_state_apply(struct clean_id *id, const struct clean_row *row);

/* The id is in `embeddings`, with this seq_id. After all rows. */
void clean_state_record(struct clean_id *id, int64_t seq_id);

struct clean_fault {
        const char *what; /* the end of a sentence that begins with the row and the record */
        const char *cure; /* the control that mends it, or NULL: none does */
};

/* What is wrong, or NULL. A commit compares vectors with the log, and gives back what the index lacks; it never looks again at records that the metadata segment's position has passed. */
const struct clean_fault *clean_state_fault(const struct clean_id *id);

#endif
