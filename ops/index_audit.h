/*
 * The whole index of a vector segment, read and checked: raw labels, links and lengths. The ids that have a vector in it: ops/index_ids.h.
 *
 * - One pass over data_level0.bin and link_lists.bin, at the speed of reading them, with pread.
 * - Consistent: the stamps of the files before and after the pass are equal, or the result is -EAGAIN.
 */
#ifndef OPS_INDEX_AUDIT_H
#define OPS_INDEX_AUDIT_H

#include "ops/db.h"
#include "ops/error.h"
#include "ops/index_summary.h"
#include "ops/labels.h"

struct index_audit {
        struct index_stamps stamps;
        bool has_labels;
        struct label_counts labels; /* when has_labels */
        struct error damage;        /* the first thing wrong in records, links or lengths; code 0 when nothing is */
};

/* Reads everything. *ret_audit's result is complete except where damage says why not. An index that was never persisted has no labels and
   no damage. `cancelled` (may be NULL) is asked again and again meanwhile: true ends the reading.
   0, -EAGAIN (the files changed meanwhile, or look damaged and are young, see INDEX_QUIET_NS: try again later), -ENOMEM, -EINTR. */
int index_audit_read(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context, struct index_audit *ret_audit,
                     struct error *e);

/* The same, and hands over what index_summary_read_all() gave. The caller frees *ret_metadata, which is NULL without a readable pickle. */
int index_audit_read_all(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context,
                         struct index_audit *ret_audit, struct index_summary *ret_summary, struct index_metadata **ret_metadata,
                         struct error *e);
void index_audit_clear(struct index_audit *audit);

#endif
