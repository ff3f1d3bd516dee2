/*
 * The ids that have a vector in an index: those of its pickle whose label an active record carries.
 *
 * Reads the pickle alone; which of its labels no record has is known from an audit of the same state of the files.
 */
#ifndef OPS_INDEX_IDS_H
#define OPS_INDEX_IDS_H

#include "ops/error.h"
#include "ops/id_set.h"
#include "ops/index_audit.h"

/* Adds the ids to *ids. `segment_id` is a UUID. 0 without a pickle too (then no id has a vector there); -EAGAIN when the files are no longer
   those of the audit; -EINTR: cancelled (may be NULL). */
int index_ids_read(int persist_fd, const char *segment_id, const struct index_audit *audit, db_cancel_fn *cancelled, void *context,
                   struct id_set *ids, struct error *e);

#endif
