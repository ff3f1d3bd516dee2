/*
 * A row of the write-ahead log (table embeddings_queue, FORMAT 3) and the line of wal.jsonl that it becomes.
 *
 * - The line is what Python's json.dumps makes, with its defaults, of the columns in table order: `{"seq_id": 1, "created_at": "…",
 *   "operation": 0, "topic": "…", "id": "…", "vector": "<base64>", "encoding": "FLOAT32", "metadata": "{…}"}` and a newline; the format of
 *   chops' export.
 * - NULL is null, integers are integers, reals are Python's repr (Infinity, -Infinity, NaN), text is a string, a blob is a string of base64,
 *   whatever column it stands in. A byte of a text that is no UTF-8 is \udcNN, as Python's surrogateescape has it.
 * - A row with a value longer than WAL_PIECE_MAX is large: its line is made in pieces, each of at most WAL_PIECE_MAX stored bytes of one column, so
 *   that no memory grows with the longest row. Pieces are numbered from 0, and depend on nothing but the row's layout (the classes and
 *   lengths of its values).
 * - The hash is of what is stored, not of the line: the line is a function of it.
 */
#ifndef OPS_WAL_ROW_H
#define OPS_WAL_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wal_column { WAL_CREATED_AT, WAL_OPERATION, WAL_TOPIC, WAL_ID, WAL_VECTOR, WAL_ENCODING, WAL_METADATA, WAL_COLUMNS };
enum wal_class { WAL_NULL, WAL_INTEGER, WAL_REAL, WAL_TEXT, WAL_BLOB };

struct wal_value {
        enum wal_class class;
        int64_t integer;
        double real;
        const char *bytes; /* of a text or blob; NULL in a large row */
        uint64_t len;      /* of it, in bytes */
};

struct wal_row {
        int64_t seq_id;
        struct wal_value columns[WAL_COLUMNS];
};

#define WAL_PIECE_MAX (192u << 10) /* stored bytes; a multiple of 3, so that base64 of pieces is base64 of the whole */
#define WAL_PIECE_MARGIN 3         /* bytes on either side of a piece that its ends depend on: a character may straddle them */
#define WAL_LENGTH_MAX (16u << 20) /* no line of a row that is not large, and no piece, is longer than this */

/* Whether the row must be made in pieces. */
bool wal_row_is_large(const struct wal_row *row);

/* Of rows that are not large: the hash of what is stored, the length of the line in bytes, and the line itself. The buffer has room for
   exactly that length. */
uint64_t wal_row_hash(const struct wal_row *row);
size_t wal_row_length(const struct wal_row *row);
char *wal_row_render(const struct wal_row *row, char *buffer); /* what is behind the last character */

/* No line of the row is longer: quicker to know than its length. */
uint64_t wal_row_bound(const struct wal_row *row);

/* Of large rows. */
struct wal_piece {
        uint32_t number;
        enum wal_column column;
        uint64_t from,
                to; /* stored bytes of the column, nominally: its ends move back to the beginning of a character that they would cut. 0, 0 for a
                               column that is neither text nor blob */
        bool first, last; /* of the column */
};

/* What is stored around a piece: at least its bytes and WAL_PIECE_MARGIN more on either side, as far as there are any. */
struct wal_input {
        const char *bytes;
        uint64_t offset; /* of the first of them in the column */
        size_t len;
};

uint32_t wal_row_pieces(const struct wal_row *layout); /* how many there are, at least WAL_COLUMNS */
bool wal_row_piece(const struct wal_row *layout, uint32_t number, struct wal_piece *ret); /* false: there is no such piece */

/* The same as above for one piece; the hash is of its nominal bytes and WAL_PIECE_MARGIN on either side (all that its part of the line depends on), of its number,
   of the layout and of the values that are no text and no blob. `input` may be NULL for a piece of no bytes, and must hold what is said above. */
uint64_t wal_piece_hash(const struct wal_row *layout, const struct wal_piece *piece, const struct wal_input *input);
size_t wal_piece_length(const struct wal_row *layout, const struct wal_piece *piece, const struct wal_input *input);
void wal_piece_render(const struct wal_row *layout, const struct wal_piece *piece, const struct wal_input *input, char *buffer);

/* Which collection a row belongs to: a hash of the collection id, which is what stands behind the last '/' of a topic that is text (FORMAT
   3); WAL_KEY_NONE for a topic that is no text or has no '/', and for a topic too long to be one (1,024 bytes). */
#define WAL_KEY_NONE 0
uint64_t wal_row_key(const struct wal_row *row);
uint64_t wal_collection_key(const char *id, size_t len);

/* created_at as seconds since 1970 (UTC); 0 when it is earlier, or is no text of the form `YYYY-MM-DD HH:MM:SS` (or with a T), with or without a fraction, of a real moment. */
int64_t wal_row_created(const struct wal_row *row);

#endif
