/*
 * The write-ahead log applied to both segments of each collection: what Chroma does at its next persist, done now, and atomically (FORMAT 7).
 *
 * The unit is the collection: planned and staged without a lock, checked, and switched in with one transaction. A commit of the directory that ends early keeps the collections that
 * were done, and lists them. With nothing to do no byte changes.
 */
#ifndef OPS_COMMIT_COMMIT_H
#define OPS_COMMIT_COMMIT_H

#include "ops/operation/operation.h"

extern const struct operation_type operation_commit;

#endif
