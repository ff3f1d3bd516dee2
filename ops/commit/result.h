/*
 * What a commit says of itself.
 */
#ifndef OPS_COMMIT_RESULT_H
#define OPS_COMMIT_RESULT_H

#include "ops/commit/collection.h"

#define COMMIT_LISTED_MAX 1000
#define COMMIT_REJECTED_LISTED_MAX 20

struct commit_result { /* grows with each collection */
        uint64_t committed, unchanged, left, rejected, memory, disk;
        double seconds;
        size_t listed;
        struct json_object *left_list, *done_list;
};

int commit_result_init(struct commit_result *result, struct error *e);
void commit_result_clear(struct commit_result *result);

/* Adds a collection; one that had nothing to do is only counted. */
int commit_result_add(struct commit_result *result, const struct commit_outcome *outcome, struct error *e);

/* Fills op->result:
   {committed, unchanged, left, rejected, rejected_file, memory, disk, estimated_seconds, collection_count: n, collections: [{id, name, tenant, database, status, rows, position, records: {adds, updates,
   deletes, ignored}, vectors: {…}, recovered, rejected, rejected_rows: [{seq_id, why}], segment_id, old_segment_id, old_directory, memory, disk, estimated_seconds, reason, cure}]}. Collections are those with something to do,
   COMMIT_LISTED_MAX at most, those that are left first. memory is that of the collection that needs most, disk and estimated_seconds are sums. old_directory: "trash", "stays" (then reason may say why), or null. */
int commit_result_fill(struct operation *op, const struct commit_result *result);

#endif
