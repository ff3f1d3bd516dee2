/*
 * Labels of a vector segment's index: those that its records carry against those that its pickle knows.
 *
 * One pass over data_level0.bin; memory is 16 bytes an element at most.
 */
#ifndef OPS_LABELS_H
#define OPS_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"
#include "ops/hnsw_file.h"
#include "ops/pickle.h"

struct label_counts {
        uint64_t total;     /* records in the index, deleted ones included */
        uint64_t active;    /* records not marked deleted */
        uint64_t deleted;   /* records marked deleted */
        uint64_t allocated; /* capacity of the index in elements */
        uint64_t *orphans;  /* labels of active records that the pickle does not know, ascending */
        size_t orphan_count;
        uint64_t *missing; /* labels of the pickle that no active record has, ascending */
        size_t missing_count;
};

/* Counts the labels of the open data_level0.bin against `metadata` (NULL: no pickle, so every active label is an orphan). A label that
   two records carry is -EILSEQ. `cancelled` (may be NULL) is asked every few thousand records: true ends it with -EINTR. The caller clears *ret with label_counts_clear. */
int label_counts_read(int level0_fd, const struct hnsw_header *header, const struct index_metadata *metadata,
                      db_cancel_fn *cancelled, void *context, struct label_counts *ret, struct error *e);
void label_counts_clear(struct label_counts *counts);

/* chops' fragmentation: (total_elements_added - live ids) / total_elements_added * 100, in percent; 0.0 when nothing was ever added. */
double index_fragmentation(const struct index_metadata *metadata);

#endif
