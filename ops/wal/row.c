/*
 * Whole rows: their parts, one behind the other (row_part.c). Measuring and rendering use the same parts, so that the length is that of the line.
 */
#include "ops/wal/row.h"

#include "ops/wal/base64.h"
#include "ops/wal/row_part.h"

_Static_assert((uint64_t) WAL_COLUMNS *WAL_PIECE_MAX * 6 + 4096 <= WAL_LENGTH_MAX, "a byte becomes six at most");

bool wal_row_is_large(const struct wal_row *row)
{
        for (int i = 0; i < WAL_COLUMNS; i++)
                if (value_has_bytes(&row->columns[i]) && row->columns[i].len > WAL_PIECE_MAX)
                        return true;
        return false;
}

static struct row_part whole(const struct wal_row *row, int column)
{
        const struct wal_value *value = &row->columns[column];
        return (struct row_part){ .row = row,
                                  .column = (enum wal_column) column,
                                  .first = true,
                                  .last = true,
                                  .bytes = value_has_bytes(value) && value->len > 0 ? value->bytes : "",
                                  .len = value_has_bytes(value) ? (size_t) value->len : 0 };
}

size_t wal_row_length(const struct wal_row *row)
{
        size_t length = 0;
        for (int i = 0; i < WAL_COLUMNS; i++) {
                struct row_part part = whole(row, i);
                length += row_part_length(&part);
        }
        return length;
}

char *wal_row_render(const struct wal_row *row, char *buffer)
{
        for (int i = 0; i < WAL_COLUMNS; i++) {
                struct row_part part = whole(row, i);
                buffer = row_part_render(&part, buffer);
        }
        return buffer;
}

#define FRAME_MAX 512 /* the names of all columns, the numbers, the quotes */

uint64_t wal_row_bound(const struct wal_row *row)
{
        uint64_t bound = FRAME_MAX;
        for (int i = 0; i < WAL_COLUMNS; i++) {
                const struct wal_value *value = &row->columns[i];
                if (value_has_bytes(value))
                        bound += value->class == WAL_TEXT ? 6 * value->len : base64_length((size_t) value->len);
        }
        return bound;
}
