/*
 * Rows of chroma.sqlite3 that no collection owns any more: what deleted collections and records leave (FORMAT 2, end; R9; section
 * 3).
 *
 * - A row is an orphan when it looks exactly like one: its owner's id is a UUID (of a segment, of a collection, at the end of a
 *   topic) that no row of `segments` or `collections` knows, or an integer that is no embedding (any more). What refers to
 *   something in another form is odd: it is counted and stays.
 * - A collection is known too while a row of `segments` names it, and a row of `segments` that names no collection is never an
 *   orphan: nothing tells it from what damage has left of a collection.
 * - The row with the highest seq_id of embeddings_queue always stays: Chroma would hand that number out again, and lose what gets
 *   it (R1, I1).
 * - Found once and kept as runs of rowids, so that what is copied and what is deleted are the same rows, as long as nobody commits
 *   in between.
 */
#ifndef OPS_OPERATION_ORPHAN_ROWS_H
#define OPS_OPERATION_ORPHAN_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/db.h"
#include "ops/operation/operation.h"
#include "ops/operation/write_db.h"

/* In the order in which they are deleted. */
enum orphan_table {
        ORPHAN_FULLTEXT,     /* embedding_fulltext_search: rows whose rowid is no embedding */
        ORPHAN_OLD_FULLTEXT, /* embedding_fulltext of 0.4.0 to 0.4.5: rows whose id is none */
        ORPHAN_METADATA_ARRAY,
        ORPHAN_METADATA,
        ORPHAN_EMBEDDINGS,
        ORPHAN_POSITIONS, /* max_seq_id */
        ORPHAN_SEGMENT_METADATA,
        ORPHAN_COLLECTION_METADATA,
        ORPHAN_LOG, /* embeddings_queue */
        ORPHAN_TABLE_COUNT
};

struct orphan_table_type {
        const char *name;    /* the table: rows go from it */
        const char *source;  /* where they are read: of a full-text table its content */
        const char *columns; /* of the source, that a copy has */
        const char *names;   /* of these in the copy; NULL: their own */
        const char *rowid;   /* the column that is the rowid, as the copy has it; NULL: none */
        const char *
                find; /* rowid, whether it is `rowid` too, owner, and for an embedding's rows whether there is one, and its segment */
        int metadb;   /* migration that makes it; 0: every version must have it; -1: may be missing */
        enum orphan_owner { OWNER_SEGMENT, OWNER_COLLECTION, OWNER_TOPIC, OWNER_EMBEDDING } owner;
        const char *odd; /* why its odd rows stay, behind their number */
};

extern const struct orphan_table_type orphan_table_types[ORPHAN_TABLE_COUNT];

#define ORPHAN_RUN_MAX 4096

struct orphan_run { /* all rows there are from `first` to `last` are orphans */
        int64_t first, last;
        uint32_t rows; /* at most ORPHAN_RUN_MAX */
};

struct orphan_list {  /* of one table */
        bool present; /* the table is there */
        struct orphan_run *runs;
        size_t count, capacity;
        uint64_t rows;
        uint64_t bytes; /* of their values: once orphan_rows_measure has been there */
        uint64_t odd;
        bool left; /* not deleted: the full-text table is damaged */
};

struct orphan_rows {
        struct orphan_list lists[ORPHAN_TABLE_COUNT];
        bool keeps_log_row; /* the row with the highest seq_id is an orphan, and stays */
        int64_t log_row;
};

/* Finds them: one walk along each table, in pieces (ops/pieces.h). The caller clears *ret, which must be zeroed, also after a
   failure. -EILSEQ when a table is missing or is not as Chroma makes it, -ECANCELED or -EINTR. Sentences go to op->error, here and
   below. */
int orphan_rows_find(struct operation *op, struct db *db, const struct catalog *catalog, struct orphan_rows *ret);
void orphan_rows_clear(struct orphan_rows *rows);

/* All tables together, but those whose rows are `left`. */
uint64_t orphan_rows_count(const struct orphan_rows *rows);
uint64_t orphan_rows_bytes(const struct orphan_rows *rows);

/* Gets each row: column 0 is the rowid, then the type's `columns`. A negative return ends it. */
typedef int orphan_row_fn(void *context, enum orphan_table table, sqlite3_stmt *row, struct error *e);

/* Reads all of them, by table and rowid. -ESTALE when they are not those that were found. */
int orphan_rows_read(struct operation *op, struct db *db, const struct orphan_rows *rows, const char *phase, orphan_row_fn *take,
                     void *context);

/* Fills in their bytes. */
int orphan_rows_measure(struct operation *op, struct db *db, struct orphan_rows *rows);

/* Deletes them, in a transaction that the caller began. Where the full-text table is damaged its rows stay, and with them those of
   embeddings, so that no new record gets an id that the full-text table still knows (R9): their lists say `left`. -EAGAIN: it is so
   damaged that SQLite has rolled the whole transaction back; begin another one and call again. -EILSEQ when a row is not there. */
int orphan_rows_delete(struct operation *op, struct write_db *w, struct orphan_rows *rows);

/* Whether they are deleted, for one whose COMMIT has failed: outside a transaction. 1, 0, or a negative errno. */
int orphan_rows_are_gone(struct write_db *w, const struct orphan_rows *rows, struct error *e);

#endif
