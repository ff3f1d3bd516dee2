/*
 * Every invariant that a vector segment's files must keep (FORMAT 11, I2 to I4), as findings: what an operation asks of its own output before it makes it
 * valid, and what the tree shows of any segment.
 *
 * Unlike ops/index_audit.h it does not stop at the first thing: each kind of finding is counted, with the first of its elements.
 */
#ifndef OPS_HNSW_CHECK_H
#define OPS_HNSW_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"
#include "ops/index_summary.h"

enum hnsw_finding_kind {
        HNSW_HEADER,     /* header.bin is missing, torn, or contradicts itself */
        HNSW_SIZE,       /* a file is shorter than the count says, or link_lists.bin does not end with its last entry */
        HNSW_LEVEL,      /* the highest level is not the header's, or the entry point does not have it */
        HNSW_LINK_RANGE, /* a link to an element that is not there */
        HNSW_LINK_SELF,
        HNSW_LINK_TWICE,
        HNSW_LINK_LEVEL,    /* a link of an upper level to an element that is not on it */
        HNSW_LABEL_TWICE,   /* a label that two records have */
        HNSW_LABEL_RANGE,   /* a label of 0, or above total_elements_added */
        HNSW_LABEL_ORPHAN,  /* a live record whose label the pickle lacks */
        HNSW_LABEL_MISSING, /* a label of the pickle that no live record has */
        HNSW_PICKLE,        /* index_metadata.pickle is missing, torn, or contradicts itself or the header (dimensionality) */
        HNSW_VECTOR,        /* a live vector with a number that is none, or infinite */
        HNSW_UNREACHABLE,   /* live elements that no path of links on level 0 leads to from where searches come down */
        HNSW_FINDING_KINDS
};

struct hnsw_finding {
        uint64_t count;     /* 0: nothing of the kind */
        uint64_t element;   /* the first one's internal id (or label, for the kinds of labels); UINT64_MAX: none in particular */
        struct error first; /* a sentence on the first one */
};

struct hnsw_check {
        struct index_stamps stamps;
        enum index_stage stage;
        uint64_t elements, live, deleted;
        bool complete; /* false: what is wrong kept some checks from being made */
        bool is_fatal; /* some finding is one with which Chroma fails, crashes or answers wrongly: all but UNREACHABLE and VECTOR */
        struct hnsw_finding findings[HNSW_FINDING_KINDS];
};

/* "label_orphan" …, for JSON. */
const char *hnsw_finding_name(enum hnsw_finding_kind kind);

/* Reads and checks the segment in an open directory. 0 with the findings in *ret; -EAGAIN when the files change meanwhile; -EINTR; -ENOMEM with the figure; -EIO. */
int hnsw_check(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context, struct hnsw_check *ret,
               struct error *e);

#endif
