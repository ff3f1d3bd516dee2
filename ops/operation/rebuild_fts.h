/*
 * rebuild-fts: the full-text index is built again from the documents, in one transaction (FORMAT 2, FTS).
 *
 * - One row per live embedding that has a document: what was stale goes, what was missing comes.
 * - The tokenizer is the one in force unless another is asked for (tokenizer_spec.h); a directory keeps the form of its table
 *   (fts_table.h).
 * - The index is compared with its content before the COMMIT.
 * - result: {documents, rows_before, rows_after, stale_removed, missing_added: null where the table was missing, tokenizer_before,
 *   tokenizer, form: "current" | "old", changes_contains: a sentence, or null}
 */
#ifndef OPS_OPERATION_REBUILD_FTS_H
#define OPS_OPERATION_REBUILD_FTS_H

#include "ops/operation/operation.h"

extern const struct operation_type operation_rebuild_fts;

#endif
