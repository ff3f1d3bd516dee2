/* Inside of hnsw_check(): what its files share. */
#ifndef OPS_HNSW_CHECK_PARTS_H
#define OPS_HNSW_CHECK_PARTS_H

#include "ops/hnsw/check.h"
#include "ops/hnsw/check_graph.h"
#include "ops/hnsw_file.h"
#include "ops/labels.h"

struct checking {
        int dir_fd;
        const struct hnsw_header *header;
        const struct index_metadata *metadata; /* may be NULL */
        db_cancel_fn *cancelled;
        void *context;
        struct hnsw_check *check;
        struct hnsw_faults f;
        struct label_lists labels;
        struct check_graph graph;
        uint32_t without_label; /* records in a row, up to the present one */
        uint32_t lists;         /* of upper levels, so far */
};

/* Reads all records, lengths and upper links. *ret_records and *ret_links: all of them were read. 0, or a failure of ours. */
int check_passes(struct checking *c, bool *ret_records, bool *ret_links);

#endif
