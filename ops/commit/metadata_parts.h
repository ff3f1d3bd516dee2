/*
 * What the files of the metadata segment share. Statements are prepared at their first use, and once: a directory without a full-text table can take rows without
 * documents.
 */
#ifndef OPS_COMMIT_METADATA_PARTS_H
#define OPS_COMMIT_METADATA_PARTS_H

#include "ops/commit/metadata.h"
#include "ops/commit/schema.h"
#include "ops/operation/fts_table.h"

enum commit_statement {
        COMMIT_FIND_RECORD,
        COMMIT_ADD_RECORD,
        COMMIT_TOUCH_RECORD,
        COMMIT_DELETE_RECORD,
        COMMIT_SET_VALUE,
        COMMIT_REMOVE_VALUE,
        COMMIT_REMOVE_VALUES,
        COMMIT_ADD_ITEM,
        COMMIT_REMOVE_ITEMS,
        COMMIT_REMOVE_ARRAYS,
        COMMIT_ADD_DOCUMENT,
        COMMIT_NOTE_DOCUMENT, /* in the old form of the full-text table, whose rowids are its own */
        COMMIT_REMOVE_DOCUMENT,
        COMMIT_FORGET_DOCUMENT, /* likewise */
        COMMIT_STATEMENT_COUNT
};

struct commit_metadata {
        struct write_db *w;
        const struct collection *collection;
        struct chroma_version version;
        const struct fts_table *fts;
        bool has_arrays;
        int64_t last_id, id_max; /* of embeddings */
        int64_t last_seq_id;
        struct commit_schema *schema; /* NULL: there is none to be kept */
        struct commit_counts counts;
        sqlite3_stmt *statements[COMMIT_STATEMENT_COUNT];
};

/* A parameter of a statement. */
struct commit_cell {
        enum { CELL_NULL, CELL_INT, CELL_REAL, CELL_TEXT, CELL_SEQ_ID } type;
        int64_t integer;
        double real;
        const struct text *text;
};

static inline struct commit_cell cell_int(int64_t integer)
{
        return (struct commit_cell){ .type = CELL_INT, .integer = integer };
}

static inline struct commit_cell cell_text(const struct text *text)
{
        return (struct commit_cell){ .type = CELL_TEXT, .text = text };
}

/* As the directory's version stores it (FORMAT R3). */
static inline struct commit_cell cell_seq_id(int64_t seq_id)
{
        return (struct commit_cell){ .type = CELL_SEQ_ID, .integer = seq_id };
}

int commit_cell_bind(const struct chroma_version *version, sqlite3_stmt *stmt, int parameter, const struct commit_cell *cell);

/* Runs it with ?1, ?2 … 1 when it gave a row, whose first column is then in *ret_number (may be NULL); 0 when it gave none. */
int commit_statement_run(struct commit_metadata *m, enum commit_statement which, const struct commit_cell *cells, size_t count,
                         int64_t *ret_number, struct error *e);
void commit_statements_finalize(struct commit_metadata *m);

/* Finds where new ids begin. In the old form of the full-text table also notes which of its rows are whose, in a temporary table. */
int commit_ids_begin(struct commit_metadata *m, struct error *e);
void commit_ids_end(struct commit_metadata *m);

/* The next id for a record. -EOVERFLOW when this Chroma could not read it. */
int commit_ids_next(struct commit_metadata *m, int64_t *ret, struct error *e);

/* Merges the row's metadata into that of record `id`; a new one has none yet. */
int commit_values_merge(struct commit_metadata *m, int64_t id, bool is_new, const struct commit_row *row, struct error *e);

/* Takes all of it away, the document too. */
int commit_values_remove(struct commit_metadata *m, int64_t id, struct error *e);

#endif
