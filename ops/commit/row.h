/*
 * A row of the write-ahead log as a commit applies it (FORMAT 3 and 7): decoded and checked, or rejected with the reason.
 *
 * - Everything is checked here, before either segment is touched: what passes can be applied to both.
 * - A row that is rejected is one that Chroma can't apply either: it ignores it, or can't open the collection any more.
 * - Python Chroma (before 1.0) applies some rows in part, and says nothing: a vector of a wrong length leaves the record without a vector, metadata that SQLite can't hold
 *   leave it without metadata. Such a row is `incomplete`: what Chroma applies is in it, and the row is to be kept like a rejected one.
 * - A row without a vector, or with one that no segment takes, is metadata only, in 1.x too, where Chroma can't open the collection any more after an ADD or UPSERT of that kind.
 *   There an UPSERT without a vector and without metadata is rejected.
 *
 * What real Chroma makes of metadata (0.4.24, 0.6.3, 1.0.20 and 1.5.9 were asked): see row_json.h.
 */
#ifndef OPS_COMMIT_ROW_H
#define OPS_COMMIT_ROW_H

#include <sqlite3.h>
#include <stdbool.h>

#include "ops/error.h"
#include "ops/text.h"
#include "ops/version.h"

enum commit_operation { COMMIT_ADD, COMMIT_UPDATE, COMMIT_UPSERT, COMMIT_DELETE };

enum commit_value_type { COMMIT_NULL, COMMIT_STRING, COMMIT_INT, COMMIT_FLOAT, COMMIT_BOOL, COMMIT_ARRAY };

struct commit_value { /* of a metadata key; a null takes the key away */
        struct text key;
        enum commit_value_type type;
        struct text string;
        int64_t integer; /* of a bool too: 0 or 1 */
        double real;
        struct commit_value
                *items; /* of an array, which is never empty: all of one type, which is none of null and array; keys are "" */
        size_t item_count;
};

struct commit_row {
        int64_t seq_id;
        enum commit_operation operation;
        struct text id;
        const void *vector; /* 4 * dimension bytes, unaligned, of the statement: valid until it is stepped; NULL: none */
        struct commit_value *
                values; /* metadata, "chroma:document" and "chroma:uri" among them, in the order of the JSON; each key once (the last of two counts) */
        size_t value_count;
        bool incomplete; /* part of it can't be applied, *why says which: it is to be kept as well as applied */
        uint64_t hash;   /* of all that is stored in the row: wal_row_hash() where that can be had */
        char *strings;   /* what holds id, keys and strings */
};

struct commit_row_rules {
        struct chroma_version version;
        bool has_dimension;
        uint32_t dimension; /* of the collection; without one a row with a vector gives it: see commit_row_dimension() */

        /* Up to where a segment has applied the log. What it has applied can't be a reason to reject a row, nor what it would refuse today: Python wrote and applied NaN,
           which 1.x can't read. Up to metadata_position a row has no values; a bad vector up to vector_position is none. */
        int64_t metadata_position, vector_position;
};

/* The columns that commit_row_decode() wants, for "SELECT <these> FROM embeddings_queue …". The last one is what Chroma 1.x asks of a row that it shall see (R10). */
#define COMMIT_ROW_COLUMNS                                                                                                         \
        "seq_id, created_at, operation, topic, id, vector, encoding, metadata, CAST(strftime('%s', created_at) AS INTEGER) <= "    \
        "9223372036"

/* Decodes the statement's row. 0 (*why counts when it is incomplete), 1 when it is rejected (*why has the reason; ret has seq_id, id if it is text in UTF-8, and hash), -ENOMEM. The caller clears *ret in all three
   cases. `rules` may change from row to row: a collection's dimension is known after its first vector. */
int commit_row_decode(sqlite3_stmt *stmt, const struct commit_row_rules *rules, struct commit_row *ret, struct error *why,
                      struct error *e);
void commit_row_clear(struct commit_row *row);

/* The dimension that a row's vector has by itself (its bytes / 4), 0 without one: what a collection without a dimension gets from its first vector. */
uint32_t commit_row_dimension(sqlite3_stmt *stmt);

#endif
