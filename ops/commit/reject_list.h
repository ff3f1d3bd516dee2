/*
 * What a list of rejected rows is made of (reject.h).
 */
#ifndef OPS_COMMIT_REJECT_LIST_H
#define OPS_COMMIT_REJECT_LIST_H

#include "ops/commit/reject.h"

struct commit_rejects {
        int64_t *seq_ids;
        size_t count, allocated;
        char *why[REJECTS_WHY_MAX];
};

#endif
