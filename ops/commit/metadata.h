/*
 * The metadata segment: rows of the log applied to SQLite's tables, as Chroma does it (FORMAT 2 and 3), inside a transaction of write_db.h.
 *
 * - embeddings, embedding_metadata, embedding_metadata_array (from 1.5 on), the full-text table in the directory's form, and from 1.3 on the keys in schema_str
 *   (schema.h).
 * - New embeddings.id are above the largest of all four tables, so that nothing stale can stand under them: what stands elsewhere stays for clean-orphans.
 * - seq_id is a blob before metadb/5 (R3) and an integer after; a bool is an integer before metadb/2.
 * - A failure leaves the transaction open, with a part of the row done: the caller rolls back.
 * - Costs grow with the rows and their values, and for releases before 0.4.6 with the documents that are there.
 */
#ifndef OPS_COMMIT_METADATA_H
#define OPS_COMMIT_METADATA_H

#include "ops/catalog.h"
#include "ops/commit/row.h"
#include "ops/operation/write_db.h"

struct commit_counts {
        uint64_t adds, updates, deletes; /* that changed something */
        uint64_t ignored;                /* an ADD of a known id, an UPDATE or DELETE of an unknown one */
};

struct commit_metadata;

/* Begins, inside a transaction. `w`, `catalog` and `collection` must outlive *ret, which is the caller's. -EILSEQ without a metadata segment. */
int commit_metadata_begin(struct write_db *w, const struct catalog *catalog, const struct collection *collection,
                          struct commit_metadata **ret, struct error *e);

/* Applies a row, which must come in the order of seq_id (-EINVAL) and not have been rejected. An array where the release has no table for it is passed over (Python's Chroma does
   so) or -EINVAL (1.0 to 1.4 can't read such a row). -EOVERFLOW: no id is left that this Chroma can read (1.x: 32 bits). -EILSEQ: a table is missing, or not as Chroma makes it. */
int commit_metadata_apply(struct commit_metadata *m, const struct commit_row *row, struct error *e);

/* Writes what was collected (schema_str) and the position, which is not below a row that was applied (-EINVAL). */
int commit_metadata_end(struct commit_metadata *m, int64_t position, struct commit_counts *ret, struct error *e);

struct commit_metadata *commit_metadata_free(struct commit_metadata *m);
DEFINE_CLEANUP(struct commit_metadata *, commit_metadata_free)

/* Writes a position of a segment, in the type that the directory's version has. -EINVAL below 0. */
int commit_set_position(struct write_db *w, const struct chroma_version *version, const char *segment_id, int64_t position,
                        struct error *e);

#endif
