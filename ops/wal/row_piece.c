/*
 * Pieces of large rows. A text is cut at the beginning of a character: where that is, only the bytes around the cut say, so that two neighbouring pieces find the same place, and
 * neither needs to be read for the other. A blob is cut at multiples of three bytes, where its base64 has no padding.
 */
#include <assert.h>

#include "ops/wal/escape.h"
#include "ops/wal/row.h"
#include "ops/wal/row_hash.h"
#include "ops/wal/row_part.h"

_Static_assert(WAL_PIECE_MAX % 3 == 0, "base64 of pieces is base64 of the whole");

static uint64_t column_pieces(const struct wal_value *value)
{
        uint64_t len = value_has_bytes(value) ? value->len : 0;
        return len == 0 ? 1 : (len - 1) / WAL_PIECE_MAX + 1;
}

uint32_t wal_row_pieces(const struct wal_row *layout)
{
        uint64_t pieces = 0;
        for (int i = 0; i < WAL_COLUMNS; i++)
                pieces += column_pieces(&layout->columns[i]);
        return pieces < UINT32_MAX ? (uint32_t) pieces : UINT32_MAX;
}

bool wal_row_piece(const struct wal_row *layout, uint32_t number, struct wal_piece *ret)
{
        uint64_t at = number; /* among the pieces of the column */
        int column = 0;
        for (; column < WAL_COLUMNS && at >= column_pieces(&layout->columns[column]); column++)
                at -= column_pieces(&layout->columns[column]);
        if (column == WAL_COLUMNS)
                return false;
        const struct wal_value *value = &layout->columns[column];
        bool last = at + 1 == column_pieces(value);
        uint64_t end = value_has_bytes(value) ? value->len : 0;
        *ret = (struct wal_piece){ .number = number,
                                   .column = (enum wal_column) column,
                                   .from = at * WAL_PIECE_MAX,
                                   .to = last ? end : (at + 1) * WAL_PIECE_MAX,
                                   .first = at == 0,
                                   .last = last };
        return true;
}

struct range {
        const char *bytes;
        size_t len;
};

/* Bytes `from` to `to` of the column. */
static struct range range_of(const struct wal_input *input, uint64_t from, uint64_t to)
{
        if (from == to)
                return (struct range){ "", 0 };
        assert(input != NULL && input->offset <= from && from < to && to - input->offset <= input->len);
        return (struct range){ input->bytes + (from - input->offset), (size_t) (to - from) };
}

static uint64_t boundary(const struct wal_input *input, uint64_t cut)
{
        assert(input->offset <= cut);
        return input->offset + escape_boundary(input->bytes, input->len, (size_t) (cut - input->offset));
}

/* The part of the line that a piece makes: its ends moved to those of characters. */
static struct row_part part_of(const struct wal_row *layout, const struct wal_piece *piece, const struct wal_input *input)
{
        bool text = layout->columns[piece->column].class == WAL_TEXT;
        uint64_t from = text && !piece->first ? boundary(input, piece->from) : piece->from;
        uint64_t to = text && !piece->last ? boundary(input, piece->to) : piece->to;
        struct range range = range_of(input, from, to);
        return (struct row_part){ .row = layout,
                                  .column = piece->column,
                                  .first = piece->first,
                                  .last = piece->last,
                                  .bytes = range.bytes,
                                  .len = range.len };
}

size_t wal_piece_length(const struct wal_row *layout, const struct wal_piece *piece, const struct wal_input *input)
{
        struct row_part part = part_of(layout, piece, input);
        return row_part_length(&part);
}

void wal_piece_render(const struct wal_row *layout, const struct wal_piece *piece, const struct wal_input *input, char *buffer)
{
        struct row_part part = part_of(layout, piece, input);
        row_part_render(&part, buffer);
}

/* The margin is hashed, too: all that the piece's part of the line depends on. */
uint64_t wal_piece_hash(const struct wal_row *layout, const struct wal_piece *piece, const struct wal_input *input)
{
        const struct wal_value *value = &layout->columns[piece->column];
        struct row_digest digest;
        row_digest_init(&digest, layout);
        digest.piece = (uint64_t) piece->number + 1;
        if (value_has_bytes(value) && piece->from < piece->to) {
                uint64_t from = piece->from < WAL_PIECE_MARGIN ? 0 : piece->from - WAL_PIECE_MARGIN;
                uint64_t to = value->len - piece->to < WAL_PIECE_MARGIN ? value->len : piece->to + WAL_PIECE_MARGIN;
                struct range range = range_of(input, from, to);
                digest.columns[piece->column].content = row_hash_bytes(range.bytes, range.len);
        }
        return row_digest_hash(&digest);
}
