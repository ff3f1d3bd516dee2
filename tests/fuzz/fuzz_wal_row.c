/*
 * A row of any classes and bytes: its line has the length that was said, is printable ASCII, and holds every byte; every kernel writes the same; and its
 * pieces, of whatever size, are the line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ops/wal/base64.h"
#include "ops/wal/escape.h"
#include "ops/wal/kernels.h"
#include "ops/wal/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
        if (!condition)
                abort();
}

/* An allocation of exactly this size. */
static char *allocate(size_t size)
{
        char *bytes = malloc(size > 0 ? size : 1);
        check(bytes != NULL);
        return bytes;
}

static int digit(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* \uXXXX */
static uint32_t take_unit(const char *text)
{
        uint32_t unit = 0;
        check(text[0] == '\\' && text[1] == 'u');
        for (int i = 2; i < 6; i++) {
                check(digit(text[i]) >= 0);
                unit = unit * 16 + (uint32_t) digit(text[i]);
        }
        return unit;
}

static char *put_utf8(uint32_t c, char *out)
{
        int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        static const uint32_t marks[] = { 0, 0xc0, 0xe0, 0xf0 };
        *out++ = (char) (marks[more] | c >> 6 * more);
        while (more-- > 0)
                *out++ = (char) (0x80 | (c >> 6 * more & 0x3f));
        return out;
}

/* One escape; returns what is behind it. */
static const char *unescape_one(const char *text, const char *end, char **out)
{
        static const char names[] = "\"\"\\\\b\bf\fn\nr\rt\t";
        check(end - text >= 2);
        for (size_t i = 0; i + 1 < sizeof names; i += 2)
                if (names[i] == text[1]) {
                        *(*out)++ = names[i + 1];
                        return text + 2;
                }
        check(end - text >= 6);
        uint32_t c = take_unit(text);
        if (c >= 0xdc80 && c <= 0xdcff) {
                *(*out)++ = (char) (c - 0xdc00);
                return text + 6;
        }
        if (c >= 0xd800 && c <= 0xdbff) {
                check(end - text >= 12);
                uint32_t low = take_unit(text + 6);
                check(low >= 0xdc00 && low <= 0xdfff);
                c = 0x10000 + (c - 0xd800) * 0x400 + (low - 0xdc00);
                text += 6;
        }
        *out = put_utf8(c, *out);
        return text + 6;
}

static void check_unescape(const char *text, size_t length, const char *bytes, size_t len)
{
        char *back = allocate(length), *out = back;
        for (const char *p = text; p < text + length;) {
                check(*p >= ' ' && *p <= '~');
                if (*p == '\\')
                        p = unescape_one(p, text + length, &out);
                else
                        *out++ = *p++;
        }
        check((size_t) (out - back) == len && memcmp(back, bytes, len) == 0);
        free(back);
}

static void check_kernel(enum kernel kernel, const char *bytes, size_t len)
{
        size_t length = escape_length_with(KERNEL_PLAIN, bytes, len);
        char *plain = allocate(length), *text = allocate(length);
        check(escape_text_with(KERNEL_PLAIN, bytes, len, plain) == plain + length);
        check(escape_length_with(kernel, bytes, len) == length);
        check(escape_text_with(kernel, bytes, len, text) == text + length && memcmp(plain, text, length) == 0);
        check_unescape(text, length, bytes, len);
        free(plain);
        free(text);

        length = base64_length(len);
        plain = allocate(length);
        text = allocate(length);
        check(base64_encode_with(KERNEL_PLAIN, bytes, len, plain) == plain + length);
        check(base64_encode_with(kernel, bytes, len, text) == text + length && memcmp(plain, text, length) == 0);
        free(plain);
        free(text);
}

/* Laid out like a large row's piece, with what is stored around it and no more; returns its length. */
static size_t check_piece(const struct wal_row *row, const struct wal_piece *piece, const char *at, size_t left)
{
        const struct wal_value *value = &row->columns[piece->column];
        uint64_t from = piece->from < WAL_PIECE_MARGIN ? 0 : piece->from - WAL_PIECE_MARGIN;
        uint64_t to = piece->to + WAL_PIECE_MARGIN;
        if (value->class != WAL_TEXT && value->class != WAL_BLOB)
                to = 0;
        else if (to > value->len)
                to = value->len;
        char *bytes = allocate((size_t) (to - from));
        if (to > from)
                memcpy(bytes, value->bytes + from, (size_t) (to - from));
        struct wal_input input = { .bytes = bytes, .offset = from, .len = (size_t) (to - from) };
        size_t length = wal_piece_length(row, piece, &input);
        check(length <= left);
        char *rendered = allocate(length);
        wal_piece_render(row, piece, &input, rendered);
        check(memcmp(rendered, at, length) == 0);
        (void) wal_piece_hash(row, piece, &input);
        free(rendered);
        free(bytes);
        return length;
}

/* As if WAL_PIECE_MAX were `size`. */
static void check_pieces(const struct wal_row *row, uint64_t size, const char *line, size_t length)
{
        size_t done = 0;
        for (uint32_t i = 0; i < wal_row_pieces(row); i++) {
                struct wal_piece piece;
                check(wal_row_piece(row, i, &piece) && piece.first && piece.last);
                for (uint64_t end = piece.to; end - piece.from > size; piece.from += size, piece.first = false) {
                        struct wal_piece small = piece;
                        small.to = piece.from + size;
                        small.last = false;
                        done += check_piece(row, &small, line + done, length - done);
                }
                done += check_piece(row, &piece, line + done, length - done);
        }
        check(done == length);
}

static void check_row(const struct wal_row *row, uint64_t size)
{
        size_t length = wal_row_length(row);
        char *line = allocate(length);
        check(wal_row_render(row, line) == line + length && wal_row_bound(row) >= length);
        for (size_t i = 0; i + 1 < length; i++)
                check(line[i] >= ' ' && line[i] <= '~');
        check(length > 2 && line[0] == '{' && line[length - 2] == '}' && line[length - 1] == '\n');
        check_pieces(row, size, line, length);
        (void) wal_row_hash(row);
        (void) wal_row_key(row);
        check(wal_row_created(row) >= 0);
        free(line);
}

/* Takes up to `most` bytes off the input. */
static size_t take(const uint8_t **data, size_t *size, void *ret, size_t most)
{
        size_t n = *size < most ? *size : most;
        if (n > 0)
                memcpy(ret, *data, n);
        *data += n;
        *size -= n;
        return n;
}

/* A class, then eight bytes of a number, or a length and so many bytes. */
static struct wal_value take_value(const uint8_t **data, size_t *size)
{
        uint8_t head[2] = { 0 };
        struct wal_value value = { .class = WAL_NULL };
        take(data, size, head, 1);
        value.class = (enum wal_class)(head[0] % 5);
        if (value.class == WAL_INTEGER)
                take(data, size, &value.integer, 8);
        if (value.class == WAL_REAL)
                take(data, size, &value.real, 8);
        if (value.class == WAL_TEXT || value.class == WAL_BLOB) {
                take(data, size, head + 1, 1);
                value.len = head[1] < 250 ? head[1] : 64u * (head[1] - 246u);
                value.len = value.len < *size ? value.len : *size;
                char *bytes = allocate((size_t) value.len);
                take(data, size, bytes, (size_t) value.len);
                value.bytes = bytes;
        }
        return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t piece = 0;
        struct wal_row row = { 0 };
        take(&data, &size, &piece, 1);
        take(&data, &size, &row.seq_id, 8);
        for (int i = 0; i < WAL_COLUMNS; i++)
                row.columns[i] = take_value(&data, &size);
        check_row(&row, 3 * (1 + piece % 64u));
        for (int i = 0; i < WAL_COLUMNS; i++) {
                for (int k = 0; k < KERNELS && row.columns[i].bytes != NULL; k++)
                        if (kernel_usable((enum kernel) k))
                                check_kernel((enum kernel) k, row.columns[i].bytes, (size_t) row.columns[i].len);
                free((void *) (uintptr_t) row.columns[i].bytes);
        }
        return 0;
}
