/*
 * Parts of a line. The fixed text of a column stands before its value; the first column's has seq_id before it, the last one's the end of the line behind it; quotes
 * stand where a string begins and ends: a column in one piece has both.
 */
#include "ops/wal/row_part.h"

#include <math.h>
#include <string.h>

#include "ops/json.h"
#include "ops/wal/base64.h"
#include "ops/wal/escape.h"

/* The longest: INT64_MIN, and the longest of json_format_double(). */
#define NUMBER_SIZE 32

/* Written from the end on; returns the first character. */
static char *format_integer(int64_t integer, char *end)
{
        uint64_t rest = integer < 0 ? 0 - (uint64_t) integer : (uint64_t) integer;
        do {
                *--end = (char) ('0' + rest % 10);
                rest /= 10;
        } while (rest > 0);
        if (integer < 0)
                *--end = '-';
        return end;
}

static char *write_bytes(const char *bytes, size_t len, char *ret)
{
        memcpy(ret, bytes, len);
        return ret + len;
}

static char *write_integer(int64_t integer, char *ret)
{
        char digits[NUMBER_SIZE], *end = digits + sizeof digits, *begin = format_integer(integer, end);
        return write_bytes(begin, (size_t) (end - begin), ret);
}

static size_t integer_length(int64_t integer)
{
        uint64_t rest = integer < 0 ? 0 - (uint64_t) integer : (uint64_t) integer;
        size_t length = integer < 0 ? 2 : 1;
        for (; rest >= 10; rest /= 10)
                length++;
        return length;
}

/* Python's json has names of its own for what repr() calls nan and inf. */
static const char *real_name(double real, char buffer[NUMBER_SIZE])
{
        if (isnan(real))
                return "NaN";
        if (isinf(real))
                return real < 0 ? "-Infinity" : "Infinity";
        return json_format_double(real, buffer);
}

/* What stands before a column's value. Of the first one: between seq_id and it. */
#define BEFORE(name) ", \"" name "\": "
static const struct {
        char text[24];
        size_t len;
} before[WAL_COLUMNS] = {
        [WAL_CREATED_AT] = { BEFORE("created_at"), sizeof BEFORE("created_at") - 1 },
        [WAL_OPERATION] = { BEFORE("operation"), sizeof BEFORE("operation") - 1 },
        [WAL_TOPIC] = { BEFORE("topic"), sizeof BEFORE("topic") - 1 },
        [WAL_ID] = { BEFORE("id"), sizeof BEFORE("id") - 1 },
        [WAL_VECTOR] = { BEFORE("vector"), sizeof BEFORE("vector") - 1 },
        [WAL_ENCODING] = { BEFORE("encoding"), sizeof BEFORE("encoding") - 1 },
        [WAL_METADATA] = { BEFORE("metadata"), sizeof BEFORE("metadata") - 1 },
};
static const char row_begin[] = "{\"seq_id\": ";
static const char row_end[] = "}\n";

static size_t value_length(const struct row_part *part)
{
        const struct wal_value *value = &part->row->columns[part->column];
        size_t quotes = (size_t) part->first + (size_t) part->last;
        char buffer[NUMBER_SIZE];
        switch (value->class) {
        case WAL_INTEGER:
                return integer_length(value->integer);
        case WAL_REAL:
                return strlen(real_name(value->real, buffer));
        case WAL_TEXT:
                return quotes + escape_length(part->bytes, part->len);
        case WAL_BLOB:
                return quotes + base64_length(part->len);
        case WAL_NULL:
                break;
        }
        return strlen("null");
}

size_t row_part_length(const struct row_part *part)
{
        size_t length = value_length(part);
        if (part->first)
                length += before[part->column].len;
        if (part->first && part->column == 0)
                length += strlen(row_begin) + integer_length(part->row->seq_id);
        if (part->last && part->column == WAL_COLUMNS - 1)
                length += strlen(row_end);
        return length;
}

/* A text or a blob; the quotes at both ends of the column are here. */
static char *write_string(const struct row_part *part, enum wal_class class, char *ret)
{
        if (part->first)
                *ret++ = '"';
        ret = class == WAL_TEXT ? escape_text(part->bytes, part->len, ret) : base64_encode(part->bytes, part->len, ret);
        if (part->last)
                *ret++ = '"';
        return ret;
}

static char *write_value(const struct row_part *part, char *ret)
{
        const struct wal_value *value = &part->row->columns[part->column];
        char buffer[NUMBER_SIZE];
        const char *name = "null";
        switch (value->class) {
        case WAL_INTEGER:
                return write_integer(value->integer, ret);
        case WAL_TEXT:
        case WAL_BLOB:
                return write_string(part, value->class, ret);
        case WAL_REAL:
                name = real_name(value->real, buffer);
                break;
        case WAL_NULL:
                break;
        }
        return write_bytes(name, strlen(name), ret);
}

char *row_part_render(const struct row_part *part, char *ret)
{
        if (part->first && part->column == 0) {
                ret = write_bytes(row_begin, strlen(row_begin), ret);
                ret = write_integer(part->row->seq_id, ret);
        }
        if (part->first)
                ret = write_bytes(before[part->column].text, before[part->column].len, ret);
        ret = write_value(part, ret);
        if (part->last && part->column == WAL_COLUMNS - 1)
                ret = write_bytes(row_end, strlen(row_end), ret);
        return ret;
}
