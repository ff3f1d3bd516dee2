/*
 * Carries a plan of a clean out: one transaction, then VACUUM.
 */
#ifndef OPS_OPERATION_CLEAN_WRITE_H
#define OPS_OPERATION_CLEAN_WRITE_H

#include "ops/operation/clean_plan.h"

struct clean_vacuum {
        bool done;
        char reason[512]; /* why not */
};

/* Deletes the rows, puts the sentinel, and, with `vacuum`, gives the room back. -ESTALE: the directory is no longer what was planned on, and nothing was
   changed. A VACUUM that fails is no failure: *ret has the reason. */
int clean_write(struct operation *op, struct clean_plan *plan, bool vacuum, struct clean_vacuum *ret);

#endif
