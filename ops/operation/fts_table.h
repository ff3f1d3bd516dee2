/*
 * The full-text table while it is exchanged for a new one, inside a transaction of write_db.h (FORMAT 2, FTS).
 *
 * - Its two forms: embedding_fulltext_search(string_value) since metadb/3, whose rowid is embeddings.id; before,
 *   embedding_fulltext(id, string_value), with rowids of its own. A directory keeps its form.
 * - Everything here leaves the transaction open; after a failure the caller rolls back.
 */
#ifndef OPS_OPERATION_FTS_TABLE_H
#define OPS_OPERATION_FTS_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/error.h"
#include "ops/operation/write_db.h"
#include "ops/version.h"

struct fts_table {
        const char *name;
        const char *columns; /* with the comma behind them */
        const char *insert;  /* ?1 the embedding's id, ?2 the document */
        bool old;
};

/* The form that a directory of this version has. Static. */
const struct fts_table *fts_table_of(const struct chroma_version *version);

/* Drops it with its shadow tables, whichever of these are missing. -EILSEQ: something else has its name. */
int fts_table_drop(struct write_db *w, const struct fts_table *table, struct error *e);

/* Makes it, empty: with the bytes of Chroma's own statement when the tokenizer is "trigram". "": without a tokenizer, which is
   unicode61. -EILSEQ when something has its name, or SQLite refuses the tokenizer. */
int fts_table_create(struct write_db *w, const struct fts_table *table, const char *tokenizer, struct error *e);

/* Compares index and content, and that there are `rows` of them. */
int fts_table_check(struct write_db *w, const struct fts_table *table, uint64_t rows, struct error *e);

#endif
