/*
 * Makes sure that nothing is lost with the rows of a plan: each row that is to go has left what it says in both segments of its collection, or a
 * row that stays has changed it since. Where that is not so, or in doubt, the collection keeps its rows (clean_collection.kept).
 */
#ifndef OPS_OPERATION_CLEAN_CHECK_H
#define OPS_OPERATION_CLEAN_CHECK_H

#include "ops/operation/clean_plan.h"

/* What the indexes of one pass may take together; one collection alone may take more. */
#define CLEAN_MEMORY_MAX (512ull << 20)

/* Counts the rows and checks. -ESTALE when someone commits meanwhile: plan again. `memory_max`: CLEAN_MEMORY_MAX, or less to test. */
int clean_check(struct operation *op, struct db *db, struct clean_plan *plan, uint64_t memory_max);

#endif
