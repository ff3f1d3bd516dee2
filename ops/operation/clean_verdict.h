/*
 * What a clean concludes of one collection, once it has read all of the log and all records.
 */
#ifndef OPS_OPERATION_CLEAN_VERDICT_H
#define OPS_OPERATION_CLEAN_VERDICT_H

#include "ops/operation/clean_plan.h"

/* Keeps the rows of a collection (with item->index) of which some record is not as the log says. 0 or a failure. */
int clean_verdict(struct db *db, struct clean_collection *item, struct error *e);

#endif
