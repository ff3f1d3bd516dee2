/*
 * Deletes the rows of a plan of a clean, inside a transaction of the caller's.
 */
#ifndef OPS_OPERATION_CLEAN_DELETE_H
#define OPS_OPERATION_CLEAN_DELETE_H

#include "ops/operation/clean_plan.h"

/* -EILSEQ when others are there than were checked; the caller rolls back. */
int clean_delete(struct operation *op, struct write_db *w, struct clean_plan *plan);

#endif
