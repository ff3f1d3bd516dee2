/*
 * What a clean says of itself.
 */
#ifndef OPS_OPERATION_CLEAN_RESULT_H
#define OPS_OPERATION_CLEAN_RESULT_H

#include "ops/operation/clean_write.h"

#define CLEAN_LISTED_MAX 1000

struct clean_outcome {
        uint64_t bytes_before, bytes_after; /* of the database file */
        struct clean_vacuum vacuum;
};

/* Fills op->result:
   {rows_deleted, rows_before, rows_after, bytes_before, bytes_after, sentinel, vacuum: {done, reason}, kept: n, collection_count: n, collections: [{id, name,
   tenant, database, rows_before, rows_deleted, up_to, kept, seq_id, cure}]}. Rows are those of the whole log; collections only those with rows,
   CLEAN_LISTED_MAX at most, those that keep something first. */
int clean_result(struct operation *op, const struct clean_plan *plan, const struct clean_outcome *outcome);

#endif
