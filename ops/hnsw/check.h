/*
 * Every invariant that a vector segment's files must keep (FORMAT 11, I2 to I4), as findings: what an operation asks of its own output before it makes it
 * valid, and what the tree shows of any segment.
 *
 * - Unlike ops/index_audit.h it does not stop at the first thing: each kind of finding is counted, with the first of its elements. The checks themselves are the same
 *   ones (ops/hnsw_file.h, ops/index_summary.h, ops/labels.h).
 * - data_level0.bin is read once, link_lists.bin twice. Memory: the links of all levels, and some 30 bytes an element; nothing by a count that no file of that size backs, and
 *   what is never read of a file with holes is never touched.
 * - Reachable is what a search can come to, wherever its query lies: all that links of the highest level lead to from the entry point, then from all of these, by links of the level
 *   below, and so on down to level 0. A descent takes some of these paths and never another one, so what is not reachable is never found by hnswlib's search; what is
 *   may still be missed by it. Deleted elements lead on, as they do there.
 * - An index that was never persisted has nothing that could be wrong.
 */
#ifndef OPS_HNSW_CHECK_H
#define OPS_HNSW_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"
#include "ops/hnsw_faults.h"
#include "ops/index_summary.h"

struct hnsw_check {
        struct index_stamps stamps;
        enum index_stage stage;
        bool has_header;   /* else `elements` is not known */
        bool has_elements; /* all records were read, else `live` and `deleted` are those of as many as could be */
        uint64_t elements, live, deleted;
        bool complete; /* false: what is wrong kept some checks from being made */
        bool is_fatal; /* some finding is one with which Chroma fails, crashes or answers wrongly: all but UNREACHABLE and VECTOR */
        struct hnsw_finding findings[HNSW_FINDING_KINDS];
};

/* "label_orphan" …, for JSON. */
const char *hnsw_finding_name(enum hnsw_finding_kind kind);

/* Whether hnsw_finding.at is a label and not an internal id. */
bool hnsw_finding_is_of_label(enum hnsw_finding_kind kind);

/* Nothing was found, and everything was looked at. */
bool hnsw_check_is_ok(const struct hnsw_check *check);

/* Reads and checks the segment whose directory is in persist_fd. `cancelled` (may be NULL) is asked every some milliseconds. 0 with the findings in *ret, whatever they are. -EAGAIN
   when the files change meanwhile, or when something is wrong and they are young (see INDEX_QUIET_NS); -EINTR; -ENOMEM with the figure; -EMFILE, -ENFILE. */
int hnsw_check(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context, struct hnsw_check *ret,
               struct error *e);

/* The same, and for the output of an operation: young files are judged as others are. */
int hnsw_check_own(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context, struct hnsw_check *ret,
                   struct error *e);

#endif
