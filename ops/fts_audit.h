/*
 * The full-text index against the documents (FORMAT 2, FTS): one row per embedding that has a document, with the embedding's id as its
 * rowid, and no other row.
 */
#ifndef OPS_FTS_AUDIT_H
#define OPS_FTS_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/db.h"
#include "ops/error.h"

enum fts_form {
        FTS_CURRENT, /* embedding_fulltext_search, as every Chroma from 0.4.6 on makes it */
        FTS_OLD,     /* embedding_fulltext of 0.4.0 to 0.4.5: rows are not compared */
        FTS_MISSING, /* the table or one of its shadow tables is not there */
};

struct fts_audit {
        enum fts_form form;
        uint64_t stale;   /* rows whose rowid is no embedding, or one that has no document */
        uint64_t missing; /* documents without a row */
        bool exact;       /* nobody committed while it was counted */
};

/* Counts in pieces, by rowid; documents and their text are not compared. */
int fts_audit_read(struct db *db, const struct catalog *catalog, struct fts_audit *ret, struct error *e);

/* The tokenizer in the statement that made the table ("trigram", "unicode61 remove_diacritics 2"): NUL-terminated in buffer; "" when the
   statement names none. */
void fts_tokenizer(const struct text *sql, char *buffer, size_t size);

#endif
