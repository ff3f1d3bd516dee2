#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/wal/row.h"

/* What is stored around a piece, and not a byte more, in an allocation of its own. The caller frees .bytes. */
static struct wal_input input_of(const struct wal_value *value, const struct wal_piece *piece, uint64_t margin)
{
        uint64_t from = piece->from < margin ? 0 : piece->from - margin;
        uint64_t to = value->len - piece->to < margin ? value->len : piece->to + margin;
        char *bytes = malloc(to > from ? (size_t) (to - from) : 1);
        assert_non_null(bytes);
        if (value->bytes == NULL)
                abort();
        memcpy(bytes, value->bytes + from, (size_t) (to - from));
        return (struct wal_input){ .bytes = bytes, .offset = from, .len = (size_t) (to - from) };
}

/* The layout: without the bytes. */
static struct wal_row layout_of(const struct wal_row *row)
{
        struct wal_row layout = *row;
        for (int i = 0; i < WAL_COLUMNS; i++)
                layout.columns[i].bytes = NULL;
        return layout;
}

/* Renders a piece and compares it with what stands at `at` in the line; returns its length. */
static size_t check_piece(const struct wal_row *row, const struct wal_piece *piece, const char *at, size_t left)
{
        struct wal_row layout = layout_of(row);
        const struct wal_value *value = &row->columns[piece->column];
        bool bytes = value->class == WAL_TEXT || value->class == WAL_BLOB;
        struct wal_input input = { 0 };
        if (bytes)
                input = input_of(value, piece, WAL_PIECE_MARGIN);
        size_t length = wal_piece_length(&layout, piece, bytes ? &input : NULL);
        assert_true(length <= left && length <= WAL_LENGTH_MAX);
        char *rendered = malloc(length > 0 ? length : 1);
        assert_non_null(rendered);
        wal_piece_render(&layout, piece, bytes ? &input : NULL, rendered);
        assert_memory_equal(rendered, at, length);
        free(rendered);
        free((void *) (uintptr_t) input.bytes);
        return length;
}

/* wal_row_render() is for rows that are not large, but where all bytes are there, size is nothing to it. */
static char *line_of(const struct wal_row *row, size_t *ret_length)
{
        *ret_length = wal_row_length(row);
        char *line = malloc(*ret_length);
        assert_non_null(line);
        wal_row_render(row, line);
        return line;
}

static void check_pieces(const struct wal_row *row)
{
        size_t length, done = 0;
        char *line = line_of(row, &length);
        struct wal_row layout = layout_of(row);
        struct wal_piece piece;
        for (uint32_t i = 0; i < wal_row_pieces(&layout); i++) {
                assert_true(wal_row_piece(&layout, i, &piece));
                done += check_piece(row, &piece, line + done, length - done);
        }
        assert_int_equal(done, length);
        assert_false(wal_row_piece(&layout, wal_row_pieces(&layout), &piece));
        assert_false(wal_row_piece(&layout, UINT32_MAX, &piece));
        free(line);
}

/* One column in pieces of `size`, as if that were WAL_PIECE_MAX. */
static void check_small_pieces(const struct wal_row *row, enum wal_column column, uint64_t size)
{
        struct wal_row empty = { .columns = { { .class = WAL_NULL } } };
        empty.columns[column] = row->columns[column];
        const struct wal_value *value = &empty.columns[column];
        size_t length, done = 0;
        char *line = line_of(&empty, &length);
        struct wal_piece piece;
        for (int i = 0; i < WAL_COLUMNS; i++) {
                assert_true(wal_row_piece(&empty, (uint32_t) i, &piece));
                for (uint64_t from = 0; i == (int) column && from + size < value->len; from += size) {
                        struct wal_piece small = {
                                .number = piece.number, .column = column, .from = from, .to = from + size, .first = from == 0
                        };
                        done += check_piece(&empty, &small, line + done, length - done);
                        piece.from = from + size;
                        piece.first = false;
                }
                done += check_piece(&empty, &piece, line + done, length - done);
        }
        assert_int_equal(done, length);
        free(line);
}

static void test_small(void **state)
{
        (void) state;
        static const char texts[][64] = {
                "plain text, \"quoted\" and \\ and \n",
                "\xc3\xa4\xc3\xb6\xc3\xbc\xe4\xb8\xad\xe6\x96\x87\xf0\x9f\xa6\x84x\xf0\x9f\xa6\x84",
                "\xf0\x9f\xa6\x84\xf0\x9f\xa6\x84\xf0\x9f\xa6\x84\xf0\x9f\xa6\x84\xf0\x9f\xa6\x84",
                "\x80\xf0\x9f\xa6\xf0\x9f\xe4\xb8\xe4\xed\xa0\x80\xff\xf4\x90\x80\x80\xc3",
                "",
        };
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
                for (int column = 0; column < WAL_COLUMNS; column++)
                        for (size_t cut = 0; cut < 4; cut++) {
                                size_t len = strlen(texts[i]);
                                struct wal_value text = { .class = WAL_TEXT,
                                                          .bytes = texts[i],
                                                          .len = len > cut ? len - cut : len };
                                struct wal_value blob = { .class = WAL_BLOB, .bytes = texts[i], .len = text.len };
                                struct wal_row row = { .seq_id = 12 };
                                row.columns[column] = text;
                                for (uint64_t size = 3; size < 20; size++)
                                        check_small_pieces(&row, (enum wal_column) column, size);
                                row.columns[column] = blob;
                                for (uint64_t size = 3; size < 20; size += 3)
                                        check_small_pieces(&row, (enum wal_column) column, size);
                        }
}

/* Bytes of a large value: characters of every length, at places that move along the ends of the pieces. */
static char *large_bytes(size_t len, size_t shift)
{
        static const char pattern[] = "a\"\xc3\xa4\xe4\xb8\xad\xf0\x9f\xa6\x84\xff\n\xf0\x9f\xa6";
        char *bytes = malloc(len);
        assert_non_null(bytes);
        for (size_t i = 0; i < len; i++)
                bytes[i] = pattern[(i + shift) % (sizeof pattern - 1)];
        return bytes;
}

static void test_large(void **state)
{
        (void) state;
        static const size_t lengths[] = { WAL_PIECE_MAX, WAL_PIECE_MAX + 1, WAL_PIECE_MAX + 3, 2 * WAL_PIECE_MAX,
                                          3 * WAL_PIECE_MAX + 7 };
        for (size_t i = 0; i < 16; i++) {
                size_t len = lengths[i % 5];
                char *bytes = large_bytes(len, i);
                struct wal_row row = { .seq_id = -5,
                                       .columns = {
                                               [WAL_OPERATION] = { .class = WAL_INTEGER, .integer = 1 },
                                               [WAL_TOPIC] = { .class = WAL_TEXT, .bytes = "t/1", .len = 3 },
                                               [WAL_VECTOR] = { .class = WAL_BLOB, .bytes = bytes, .len = len },
                                               [WAL_ENCODING] = { .class = WAL_REAL, .real = 0.5 },
                                               [WAL_METADATA] = { .class = WAL_TEXT, .bytes = bytes, .len = len },
                                       } };
                check_pieces(&row);
                assert_int_equal(wal_row_is_large(&row), len > WAL_PIECE_MAX);
                assert_int_equal(wal_row_pieces(&row), WAL_COLUMNS - 2 + 2 * ((len + WAL_PIECE_MAX - 1) / WAL_PIECE_MAX));
                free(bytes);
        }
}

static void check_place(const struct wal_row *layout, uint32_t number, struct wal_piece expected)
{
        struct wal_piece piece;
        assert_true(wal_row_piece(layout, number, &piece));
        assert_int_equal(piece.number, number);
        assert_int_equal(piece.column, expected.column);
        assert_true(piece.from == expected.from && piece.to == expected.to);
        assert_true(piece.first == expected.first && piece.last == expected.last);
}

static void test_places(void **state)
{
        (void) state;
        const uint64_t max = WAL_PIECE_MAX;
        struct wal_row layout = { .columns = {
                                          [WAL_CREATED_AT] = { .class = WAL_INTEGER, .len = 99 * max },
                                          [WAL_ID] = { .class = WAL_TEXT, .len = max + 1 },
                                          [WAL_VECTOR] = { .class = WAL_BLOB, .len = 2 * max },
                                          [WAL_METADATA] = { .class = WAL_TEXT, .len = 0 },
                                  } };
        assert_int_equal(wal_row_pieces(&layout), 9);
        check_place(&layout, 0, (struct wal_piece){ .column = WAL_CREATED_AT, .first = true, .last = true });
        check_place(&layout, 2, (struct wal_piece){ .column = WAL_TOPIC, .first = true, .last = true });
        check_place(&layout, 3, (struct wal_piece){ .column = WAL_ID, .to = max, .first = true });
        check_place(&layout, 4, (struct wal_piece){ .column = WAL_ID, .from = max, .to = max + 1, .last = true });
        check_place(&layout, 5, (struct wal_piece){ .column = WAL_VECTOR, .to = max, .first = true });
        check_place(&layout, 6, (struct wal_piece){ .column = WAL_VECTOR, .from = max, .to = 2 * max, .last = true });
        check_place(&layout, 8, (struct wal_piece){ .column = WAL_METADATA, .first = true, .last = true });
        struct wal_piece piece = { .number = 77 };
        assert_false(wal_row_piece(&layout, 9, &piece));
        assert_int_equal(piece.number, 77);
}

/* Lengths that no database has do not wrap around. */
static void test_endless(void **state)
{
        (void) state;
        struct wal_row layout = { .columns = { [WAL_CREATED_AT] = { .class = WAL_TEXT, .len = UINT64_MAX },
                                               [WAL_METADATA] = { .class = WAL_BLOB, .len = UINT64_MAX } } };
        assert_int_equal(wal_row_pieces(&layout), UINT32_MAX);
        assert_true(wal_row_is_large(&layout));
        uint64_t from = (uint64_t) (UINT32_MAX - 1) * WAL_PIECE_MAX;
        check_place(&layout, UINT32_MAX - 1,
                    (struct wal_piece){ .column = WAL_CREATED_AT, .from = from, .to = from + WAL_PIECE_MAX });
}

static uint64_t hash_of(const struct wal_row *row, uint32_t number, uint64_t margin)
{
        struct wal_row layout = layout_of(row);
        struct wal_piece piece;
        assert_true(wal_row_piece(&layout, number, &piece));
        if (piece.from == piece.to)
                return wal_piece_hash(&layout, &piece, NULL);
        struct wal_input input = input_of(&row->columns[piece.column], &piece, margin);
        uint64_t hash = wal_piece_hash(&layout, &piece, &input);
        free((void *) (uintptr_t) input.bytes);
        return hash;
}

struct large {
        char *bytes;
        struct wal_row row;
};

static void large_init(struct large *large)
{
        large->bytes = large_bytes(3 * WAL_PIECE_MAX, 0);
        large->row = (struct wal_row){ .seq_id = 5, .columns = { [WAL_OPERATION] = { .class = WAL_INTEGER, .integer = 1 } } };
        large->row.columns[WAL_METADATA] = (struct wal_value){ .class = WAL_TEXT, .bytes = large->bytes, .len = 3 * WAL_PIECE_MAX };
}

static void check_hashes(const struct wal_row *row, uint64_t hashes[9])
{
        for (uint32_t i = 0; i < 9; i++) {
                uint64_t hash = hash_of(row, i, WAL_PIECE_MARGIN);
                assert_true(hash != hashes[i]);
                hashes[i] = hash;
                for (uint32_t j = 0; j < i; j++)
                        assert_true(hashes[j] != hash);
        }
}

/* Each piece's hash is of the layout, the numbers, and its place. */
static void test_hash(void **state)
{
        (void) state;
        struct large large;
        uint64_t hashes[9] = { 0 };
        large_init(&large);
        assert_int_equal(wal_row_pieces(&large.row), 9);
        check_hashes(&large.row, hashes);
        large.row.seq_id++;
        check_hashes(&large.row, hashes);
        large.row.columns[WAL_OPERATION].integer++;
        check_hashes(&large.row, hashes);
        large.row.columns[WAL_VECTOR].class = WAL_BLOB;
        check_hashes(&large.row, hashes);
        large.row.columns[WAL_METADATA].len--;
        check_hashes(&large.row, hashes);
        large.row.columns[WAL_METADATA].class = WAL_BLOB;
        check_hashes(&large.row, hashes);
        free(large.bytes);
}

/* And of the bytes that it can depend on: those within its margin, no others, however many there are in the input. */
static void test_hash_bytes(void **state)
{
        (void) state;
        static const struct {
                size_t at;
                bool changes[3];
        } cases[] = {
                { 0, { true, false, false } },
                { WAL_PIECE_MAX - 4, { true, false, false } },
                { WAL_PIECE_MAX - 3, { true, true, false } },
                { WAL_PIECE_MAX + 2, { true, true, false } },
                { WAL_PIECE_MAX + 3, { false, true, false } },
                { 2 * WAL_PIECE_MAX, { false, true, true } },
                { 3 * WAL_PIECE_MAX - 1, { false, false, true } },
        };
        struct large large;
        large_init(&large);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
                for (uint32_t j = 0; j < 3; j++) {
                        uint64_t before = hash_of(&large.row, WAL_METADATA + j, WAL_PIECE_MARGIN);
                        assert_true(hash_of(&large.row, WAL_METADATA + j, 100) == before);
                        large.bytes[cases[i].at] ^= 1;
                        assert_int_equal(hash_of(&large.row, WAL_METADATA + j, WAL_PIECE_MARGIN) != before, cases[i].changes[j]);
                        large.bytes[cases[i].at] ^= 1;
                }
        free(large.bytes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_small),   cmocka_unit_test(test_large), cmocka_unit_test(test_places),
                cmocka_unit_test(test_endless), cmocka_unit_test(test_hash),  cmocka_unit_test(test_hash_bytes),
        };
        return cmocka_run_group_tests_name("wal_row_piece", tests, NULL, NULL);
}
