/*
 * What can be wrong with the files of a vector segment, and who hears of it: one implementation of each check serves those who stop at the first fault and
 * those who want to know all of them.
 *
 * A check writes `return hnsw_fault_code(f, error_set(hnsw_fault(f, kind, element), EILSEQ, "a sentence", …))` where it can go on behind the fault, and returns error_set()'s code
 * itself where it can't.
 */
#ifndef OPS_HNSW_FAULTS_H
#define OPS_HNSW_FAULTS_H

#include <stddef.h>
#include <stdint.h>

#include "ops/error.h"

enum hnsw_finding_kind {
        HNSW_FILE,          /* a file is missing, can't be read, or is no regular one */
        HNSW_HEADER,        /* header.bin is torn, or contradicts itself */
        HNSW_SIZE,          /* a file is shorter than the counts say, or link_lists.bin does not end with its last entry */
        HNSW_LEVEL,         /* the highest level is not the header's, or the entry point does not have it */
        HNSW_LIST,          /* a list of links claims more of them than it has room for, or has marks without a meaning */
        HNSW_LINK_RANGE,    /* a link to an element that is not there */
        HNSW_LINK_SELF,     /* a link of an element to itself */
        HNSW_LINK_TWICE,    /* a list that has a link twice */
        HNSW_LINK_LEVEL,    /* a link of an upper level to an element that is not on it */
        HNSW_LABEL_TWICE,   /* a label that two records have */
        HNSW_LABEL_RANGE,   /* a label of 0, or above total_elements_added */
        HNSW_LABEL_ORPHAN,  /* a live record whose label the pickle lacks */
        HNSW_LABEL_MISSING, /* a label of the pickle that no live record has */
        HNSW_PICKLE,        /* index_metadata.pickle is torn, or contradicts itself or the header */
        HNSW_VECTOR,        /* a live vector with a number that is none, or infinite */
        HNSW_UNREACHABLE,   /* a live element that no search can come to: see ops/hnsw/check.h */
        HNSW_FINDING_KINDS
};

#define HNSW_NOWHERE UINT64_MAX

struct hnsw_finding {
        uint64_t count;     /* 0: nothing of the kind */
        uint64_t at;        /* the first one's internal id; its label, for HNSW_LABEL_*; HNSW_NOWHERE: none in particular */
        struct error first; /* a sentence on the first one */
};

struct hnsw_faults {
        struct hnsw_finding
                *findings; /* HNSW_FINDING_KINDS of them, which count everything; NULL: the first fault ends the check */
        struct error *e;   /* then the fault goes here; may be NULL */
};

/* Counts a fault and returns where its sentence goes: NULL when its kind has one. */
static inline struct error *hnsw_fault(struct hnsw_faults *f, enum hnsw_finding_kind kind, uint64_t at)
{
        if (f->findings == NULL)
                return f->e;
        struct hnsw_finding *finding = &f->findings[kind];
        if (finding->count++ > 0)
                return NULL;
        finding->at = at;
        return &finding->first;
}

/* The code with which a check that could go on ends: 0 when it is to go on. */
static inline int hnsw_fault_code(const struct hnsw_faults *f, int code)
{
        return f->findings == NULL ? code : 0;
}

#endif
