/*
 * Inside of ops/index_summary.h: how header, pickle and file sizes fit each other.
 *
 * Faults are noted, and nothing ends at one: who wants the first one has the others ignored. Who counts all of them reads the three other files too, which says more of
 * what they are and of their sizes than index_fit_kinds() and index_fit_sizes() do: these say nothing then.
 */
#ifndef OPS_INDEX_FIT_H
#define OPS_INDEX_FIT_H

#include "ops/index_summary.h"

/* True for failures of ours; all others say something about the index. */
bool index_is_ours(int code);

/* Where the sentence of a fault goes: NULL when there is one already. f->e is not NULL, and its code 0 as long as nothing was noted in it. */
struct error *index_fault(struct hnsw_faults *f, enum hnsw_finding_kind kind);

/* Files that are not there while others are. */
void index_fit_missing(const struct index_summary *s, struct hnsw_faults *f);

/* What is no regular file: the header and the pickle are found out when they are opened, too, but the others are only opened by an audit. */
void index_fit_kinds(const struct index_summary *s, struct hnsw_faults *f);

void index_fit_sizes(const struct index_summary *s, struct hnsw_faults *f);
void index_fit_metadata(const struct index_summary *s, const struct index_metadata *m, struct hnsw_faults *f);

#endif
