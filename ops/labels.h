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

/* The labels of an index as its records are read: those of live records at the front, of deleted ones at the end of one array. The owner clears it. */
struct label_lists {
        uint64_t *labels;
        size_t active, deleted, total;
};

int label_lists_new(uint64_t total, struct label_lists *ret, struct error *e); /* for `total` records; 0 or -ENOMEM */
void label_lists_clear(struct label_lists *lists);

/* Label 0 is a fault (-EILSEQ), and is not added. */
int label_lists_add(struct label_lists *lists, const struct hnsw_record *record, struct hnsw_faults *f);

/* Both ascending, when all are added. A label that two records have is a fault, and is then in its list once. */
int label_lists_sort(struct label_lists *lists, struct hnsw_faults *f);

/* Tells each label that only the live records have (in_index), or only the pickle (NULL: there is none), ascending. A value other than 0 ends it and is returned. */
typedef int label_difference_fn(void *context, uint64_t label, bool in_index);
int label_lists_compare(const struct label_lists *lists, const struct index_metadata *metadata, label_difference_fn *fn,
                        void *context);

/* Counts the labels of the open data_level0.bin against `metadata` (NULL: no pickle, so every active label is an orphan). A label that
   two records carry is -EILSEQ. `cancelled` (may be NULL) is asked every few thousand records: true ends it with -EINTR. The caller clears *ret with label_counts_clear. */
int label_counts_read(int level0_fd, const struct hnsw_header *header, const struct index_metadata *metadata,
                      db_cancel_fn *cancelled, void *context, struct label_counts *ret, struct error *e);
void label_counts_clear(struct label_counts *counts);

/* chops' fragmentation: (total_elements_added - live ids) / total_elements_added * 100, in percent; 0.0 when nothing was ever added. */
double index_fragmentation(const struct index_metadata *metadata);

#endif
