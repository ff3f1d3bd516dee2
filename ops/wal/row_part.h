/*
 * What one column adds to the line of a row, or one piece of a column (ops/wal/row.h): the line is its parts, one behind the other.
 */
#ifndef OPS_WAL_ROW_PART_H
#define OPS_WAL_ROW_PART_H

#include "ops/wal/row.h"

struct row_part {
        const struct wal_row *row;
        enum wal_column column;
        bool first, last;  /* of the column */
        const char *bytes; /* of a text or blob: those of this part */
        size_t len;
};

size_t row_part_length(const struct row_part *part);
char *row_part_render(const struct row_part *part, char *ret); /* exactly as many bytes; returns what is behind the last */

static inline bool value_has_bytes(const struct wal_value *value)
{
        return value->class == WAL_TEXT || value->class == WAL_BLOB;
}

#endif
