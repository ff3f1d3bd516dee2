#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/wal/row.h"
#include "wal_model.h"

#define ROWS_ABOVE_ALL INT64_MIN

/* Everything at once: random operations, compared with the model. */

#define KEYS 7

static uint64_t random_key(struct wal_model *m)
{
        return model_random(m, 3) > 0 ? 100 : 100 + model_random(m, KEYS);
}

static int64_t next_seq(struct wal_model *m)
{
        return model_last_seq(m) + 1 + (model_random(m, 10) == 0 ? (int64_t) model_random(m, 50) : 0);
}

static void append_some(struct wal_model *m)
{
        for (uint64_t i = 1 + model_random(m, 90); i > 0; i--)
                model_append(m, random_key(m), next_seq(m), 0, 300);
}

static void append_large(struct wal_model *m)
{
        uint32_t pieces = 1 + (uint32_t) (model_random(m, 6) == 0 ? model_random(m, 900) : model_random(m, 9));
        model_append(m, random_key(m), next_seq(m), pieces, model_random(m, 3) == 0 ? WAL_LENGTH_MAX : 400);
}

/* A row that never becomes whole. */
static void append_part(struct wal_model *m)
{
        struct wal_unit unit = { .seq_id = next_seq(m), .key = random_key(m), .length = 5 };
        uint64_t pieces = model_random(m, 4) == 0 ? model_random(m, 600) : model_random(m, 4);
        for (uint32_t i = 0; i < pieces; i++) {
                unit.piece = WAL_UNIT_LARGE | i;
                assert_int_equal(wal_index_append(m->index, &unit, 9, NULL), 0);
        }
}

static void append_wrong(struct wal_model *m)
{
        struct wal_unit unit = { .seq_id = model_last_seq(m), .key = random_key(m), .length = 5 };
        if (model_random(m, 2) == 0)
                unit.seq_id -= (int64_t) model_random(m, 20);
        struct wal_topic *topics;
        size_t count;
        assert_int_equal(wal_index_topics(m->index, &topics, &count, NULL), 0);
        if (count > 0)
                assert_int_equal(wal_index_append(m->index, &unit, 9, NULL), -EINVAL);
        free(topics);
}

/* The collections at the end leave, so that the next seq_id is a low one again. */
static void drop_end(struct wal_model *m)
{
        for (uint64_t i = 1 + model_random(m, 4); i > 0; i--) {
                struct wal_topic *topics;
                size_t count;
                assert_int_equal(wal_index_topics(m->index, &topics, &count, NULL), 0);
                if (count > 0)
                        model_drop(m, topics[count - 1].key, UINT64_MAX);
                free(topics);
        }
}

static void step(struct wal_model *m, size_t reloads[2])
{
        uint64_t what = model_random(m, 100);
        if (what < 30)
                append_some(m);
        else if (what < 38)
                append_large(m);
        else if (what < 42)
                append_part(m);
        else if (what < 45)
                append_wrong(m);
        else if (what < 65)
                model_drop(m, random_key(m), model_random(m, model_random(m, 2) == 0 ? 400 : 20));
        else if (what < 68)
                drop_end(m);
        else if (what < 72)
                model_flush(m);
        else if (what < 74)
                model_note_created(m, random_key(m), (int64_t) model_random(m, 1000));
        else if (what < 76)
                reloads[model_reload(m)]++;
        else
                model_hold(m, model_random(m, MODEL_STREAMS), model_random(m, 2) == 0, random_key(m));
        if (model_random(m, 4) == 0)
                model_check(m);
}

static void is_like_the_model(void **state)
{
        (void) state;
        size_t reloads[2] = { 0 };
        const uint64_t hidden[] = { 105, 102 };
        for (uint64_t seed = 1; seed <= 30; seed++) {
                struct wal_model m;
                model_make(&m, seed, hidden, seed % 3);
                for (int i = 0; i < 250; i++)
                        step(&m, reloads);
                model_check(&m);
                model_remove(&m);
        }
        assert_true(reloads[false] > 10);
        assert_true(reloads[true] > 10);
}

/* One collection of so many units. */
static void around_a_block(void **state)
{
        (void) state;
        const unsigned counts[] = { 0, 1, 254, 255, 256, 509, 510, 511 };
        for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
                struct wal_model m;
                model_make(&m, i + 1, NULL, 0);
                model_hold(&m, 0, true, 0);
                model_hold(&m, 1, false, 5);
                for (unsigned n = 0; n < counts[i]; n++)
                        model_append(&m, 5, n + 1, 0, 200);
                model_hold(&m, 2, false, 5);
                model_check(&m);
                model_flush(&m);
                model_flush(&m);
                assert_true(model_reload(&m));
                assert_int_equal(m.row_count, counts[i]);
                model_hold(&m, 0, true, 0);
                model_hold(&m, 1, false, 5);
                model_check(&m);
                model_append(&m, 6, 1000, 0, 100);
                model_check(&m);
                model_drop(&m, 5, 254);
                model_hold(&m, 3, true, 0);
                model_hold(&m, 4, false, 5);
                model_check(&m);
                model_remove(&m);
        }
}

/* What was not flushed is gone, but for full blocks, and can be appended again. */
static void loses_a_tail(void **state)
{
        (void) state;
        struct wal_model m;
        model_make(&m, 3, NULL, 0);
        for (int i = 1; i <= 300; i++)
                model_append(&m, 5, i, 0, 200);
        assert_true(model_reload(&m));
        assert_int_equal(m.row_count, 255);
        model_append(&m, 5, 256, 0, 200);
        model_check(&m);
        model_remove(&m);
}

/* Rows that a crash cut off, in stores that are made by hand. */

static struct wal_unit small(uint64_t key, int64_t seq_id)
{
        return (struct wal_unit){ .seq_id = seq_id, .key = key, .hash = (uint64_t) seq_id * 7, .length = 10 };
}

static struct wal_unit piece(uint64_t key, int64_t seq_id, uint32_t number)
{
        struct wal_unit unit = small(key, seq_id);
        unit.piece = WAL_UNIT_LARGE | number;
        return unit;
}

static struct wal_store *store_of(const struct wal_unit *units, uint32_t count)
{
        struct wal_store *store;
        assert_int_equal(wal_store_new(&store, NULL), 0);
        for (uint32_t at = 0; at < count; at += WAL_BLOCK_UNITS) {
                uint32_t n = count - at < WAL_BLOCK_UNITS ? count - at : WAL_BLOCK_UNITS;
                assert_int_equal(wal_store_write(store, at / WAL_BLOCK_UNITS, units + at, n, NULL), 0);
        }
        return store;
}

static struct wal_index *index_of(struct wal_store *store)
{
        struct wal_index *index;
        assert_int_equal(wal_index_new(store, NULL, 0, &index, NULL), 0);
        return index;
}

static void assert_topic(struct wal_index *index, uint64_t key, uint64_t rows, uint64_t bytes, int64_t first, int64_t last)
{
        struct wal_topic topic = { 0 };
        assert_int_equal(wal_index_topic(index, key, &topic), rows > 0);
        assert_int_equal(topic.rows, rows);
        assert_int_equal(topic.bytes, bytes);
        assert_int_equal(topic.first_seq, first);
        assert_int_equal(topic.last_seq, last);
}

/* `whole` rows, and `pieces` pieces of one that goes on somewhere else. */
static struct wal_index *cut_off(struct wal_unit *units, uint32_t whole, uint32_t pieces)
{
        for (uint32_t i = 0; i < whole; i++)
                units[i] = small(5, i + 1);
        for (uint32_t i = 0; i < pieces; i++)
                units[whole + i] = piece(5, whole + 1, i);
        return index_of(store_of(units, whole + pieces));
}

static void assert_stream(struct wal_index *index, bool root, const struct wal_unit *expected, size_t count)
{
        struct wal_unit units[600];
        struct wal_stream *stream;
        size_t got;
        uint64_t offset;
        assert_int_equal(root ? wal_index_root(index, &stream, NULL) : wal_index_stream(index, 5, &stream, NULL), 0);
        assert_int_equal(wal_stream_units(stream, 0, UINT64_MAX, units, 600, &got, &offset, NULL), 0);
        assert_int_equal(got, count);
        assert_memory_equal(units, expected, count * sizeof(*units));
        if (count > 0) {
                assert_int_equal(wal_stream_units(stream, count * 10 - 1, 1, units, 600, &got, &offset, NULL), 0);
                assert_int_equal(got, 1);
                assert_int_equal(offset, count * 10 - 10);
                assert_memory_equal(units, expected + count - 1, sizeof(*units));
        }
        assert_int_equal(wal_stream_stat(stream).size, count * 10);
        (void) wal_stream_put(stream);
}

static void check_cut_off(uint32_t whole, uint32_t pieces)
{
        struct wal_unit units[1000], next = piece(5, whole + 1, 0), last = piece(5, whole + 1, 1);
        struct wal_index *index = cut_off(units, whole, pieces);
        assert_topic(index, 5, whole, whole * 10, whole > 0, whole);
        assert_stream(index, true, units, whole);
        assert_stream(index, false, units, whole);
        last.piece |= WAL_UNIT_LAST;
        assert_int_equal(wal_index_append(index, &last, 9, NULL), -EINVAL);
        assert_int_equal(wal_index_append(index, &next, 9, NULL), 0);
        assert_stream(index, true, units, whole);
        assert_int_equal(wal_index_append(index, &last, 9, NULL), 0);
        assert_int_equal(wal_index_flush(index, NULL), 0);
        assert_topic(index, 5, whole + 1, whole * 10 + 20, 1, whole + 1);
        units[whole] = next;
        units[whole + 1] = last;
        assert_stream(index, true, units, whole + 2);
        assert_stream(index, false, units, whole + 2);
        assert_int_equal(wal_index_drop(index, 5, whole, NULL), 0);
        assert_stream(index, true, units + whole, 2);
        assert_stream(index, false, units + whole, 2);
        (void) wal_index_put(index);
}

static void leaves_a_cut_off_row_out(void **state)
{
        (void) state;
        check_cut_off(0, 1);
        check_cut_off(0, 255);
        check_cut_off(0, 256);
        check_cut_off(10, 3);
        check_cut_off(250, 5);
        check_cut_off(250, 6);
        check_cut_off(255, 4);
        check_cut_off(254, 700);
}

/* The gap stays in the middle of what is stored: from the first block on, to the end of the second or third. */
static void keeps_a_gap(void **state)
{
        (void) state;
        struct wal_unit units[900];
        for (int pass = 0; pass < 4; pass++) {
                uint32_t n = 0, to = pass < 2 ? 510 : 700;
                units[n++] = small(5, 1);
                for (uint32_t i = 0; n < to; i++)
                        units[n++] = piece(5 + (uint64_t) pass % 2, 2, i);
                units[n++] = small(5, pass < 2 ? 2 : 3);
                units[n++] = small(7, 4);
                struct wal_index *index = index_of(store_of(units, n));
                assert_topic(index, 5, 2, 20, 1, pass < 2 ? 2 : 3);
                assert_topic(index, 6, 0, 0, 0, 0);
                assert_topic(index, 7, 1, 10, 4, 4);
                const struct wal_unit expected[] = { units[0], units[to], units[to + 1] };
                assert_stream(index, true, expected, 3);
                assert_stream(index, false, expected, 2);
                uint64_t above = 0;
                assert_int_equal(wal_index_rows_above(index, 5, 1, &above, NULL), 0);
                assert_int_equal(above, 1);
                assert_int_equal(wal_index_row(index, 5, 1, units, NULL), 0);
                assert_memory_equal(units, &expected[1], sizeof(*units));
                assert_int_equal(wal_index_drop(index, 5, 1, NULL), 0);
                assert_topic(index, 5, 1, 10, expected[1].seq_id, expected[1].seq_id);
                assert_stream(index, true, expected + 1, 2);
                assert_stream(index, false, expected + 1, 1);
                (void) wal_index_put(index);
        }
}

/* seq_ids that were used again. */
static void knows_who_left(void **state)
{
        (void) state;
        const struct wal_unit units[] = {
                small(5, 1), small(6, 2), small(6, 3), small(7, 4), small(8, 2), small(6, 9), small(8, 10)
        };
        struct wal_index *index = index_of(store_of(units, 7));
        assert_topic(index, 5, 1, 10, 1, 1);
        assert_topic(index, 6, 1, 10, 9, 9);
        assert_topic(index, 7, 0, 0, 0, 0);
        assert_topic(index, 8, 2, 20, 2, 10);
        const struct wal_unit root[] = { units[0], units[4], units[5], units[6] };
        assert_stream(index, true, root, 4);
        (void) wal_index_put(index);
}

/* What can't be. */

static void assert_emptied(const struct wal_unit *units, uint32_t count)
{
        struct wal_store *store = store_of(units, count);
        struct wal_index *index = index_of(store);
        assert_int_equal(wal_store_blocks(store), 0);
        struct wal_topic *topics;
        size_t topic_count;
        assert_int_equal(wal_index_topics(index, &topics, &topic_count, NULL), 0);
        assert_int_equal(topic_count, 0);
        assert_null(topics);
        assert_stream(index, true, NULL, 0);
        struct wal_unit unit = small(5, 1);
        assert_int_equal(wal_index_append(index, &unit, 1, NULL), 0);
        assert_int_equal(wal_index_flush(index, NULL), 0);
        assert_int_equal(wal_store_blocks(store), 1);
        assert_stream(index, true, &unit, 1);
        assert_stream(index, false, &unit, 1);
        (void) wal_index_put(index);
}

static void empties_what_cannot_be(void **state)
{
        (void) state;
        struct wal_unit units[300];
        for (uint32_t i = 0; i < 300; i++)
                units[i] = small(5 + i % 3, i + 1);
        (void) wal_index_put(index_of(store_of(units, 300)));
        for (uint32_t at = 0; at < 300; at += 299) {
                struct wal_unit good = units[at];
                units[at].length = 0;
                assert_emptied(units, 300);
                units[at].length = WAL_LENGTH_MAX + 1;
                assert_emptied(units, 300);
                units[at] = good;
                units[at].piece = 1;
                assert_emptied(units, 300);
                units[at].piece = WAL_UNIT_LAST;
                assert_emptied(units, 300);
                units[at].piece = WAL_UNIT_LARGE | 1;
                assert_emptied(units, 300);
                units[at] = good;
        }
        units[299].seq_id = units[298].seq_id; /* the others of its collection would be lost */
        assert_emptied(units, 300);
        units[299].seq_id = INT64_MIN;
        (void) wal_index_put(index_of(store_of(units, 300))); /* as all had left */
}

/* All of a collection leaves, or nothing. */
static void empties_what_loses_rows(void **state)
{
        (void) state;
        const struct wal_unit one[] = { small(5, 1), small(5, 2), small(6, 2) };
        const struct wal_unit two[] = { small(5, 1), small(5, 2), small(6, 3), small(6, 1) };
        assert_emptied(one, 3);
        struct wal_index *index = index_of(store_of(two, 4));
        assert_topic(index, 5, 0, 0, 0, 0);
        assert_topic(index, 6, 1, 10, 1, 1);
        (void) wal_index_put(index);
}

static void empties_pieces_out_of_order(void **state)
{
        (void) state;
        const struct wal_unit whole[] = { piece(5, 1, 0), piece(5, 1, 1), piece(5, 1, 2) };
        struct wal_unit units[3];
        for (int kind = 0; kind < 6; kind++) {
                memcpy(units, whole, sizeof(units));
                units[2].piece |= WAL_UNIT_LAST;
                if (kind == 0)
                        units[1].piece++;
                else if (kind == 1)
                        units[1].seq_id++;
                else if (kind == 2)
                        units[1].key++;
                else if (kind == 3)
                        units[1].piece |= WAL_UNIT_LAST;
                else if (kind == 4)
                        units[1].piece &= ~WAL_UNIT_LARGE;
                if (kind < 5)
                        assert_emptied(units, 3);
        }
        struct wal_index *index = index_of(store_of(units, 3));
        assert_topic(index, 5, 1, 30, 1, 1);
        (void) wal_index_put(index);
}

static void empties_too_many_gaps(void **state)
{
        (void) state;
        struct wal_unit units[1500];
        for (uint32_t i = 0; i < 1500; i++)
                units[i] = piece(5, i + 1, 0);
        assert_emptied(units, 1500);
        struct wal_index *index = index_of(store_of(units, 1000));
        assert_topic(index, 5, 0, 0, 0, 0);
        (void) wal_index_put(index);
}

/* Appending. */

static void refuse(struct wal_index *index, struct wal_unit unit)
{
        struct error e = { 0 };
        assert_int_equal(wal_index_append(index, &unit, 1, &e), -EINVAL);
        assert_int_equal(e.code, -EINVAL);
        assert_true(strlen(e.text) > 0);
}

static void accept(struct wal_index *index, struct wal_unit unit)
{
        assert_int_equal(wal_index_append(index, &unit, 1, NULL), 0);
}

static void refuses_a_broken_order(void **state)
{
        (void) state;
        struct wal_index *index = index_of(store_of(NULL, 0));
        refuse(index, piece(5, 1, 1));
        accept(index, small(5, 10));
        accept(index, small(6, 20));
        refuse(index, small(5, 20));
        refuse(index, small(7, 19));
        refuse(index, (struct wal_unit){ .seq_id = 30, .key = 5 });
        refuse(index, (struct wal_unit){ .seq_id = 30, .key = 5, .length = WAL_LENGTH_MAX + 1 });
        refuse(index, (struct wal_unit){ .seq_id = 30, .key = 5, .length = 1, .piece = WAL_UNIT_LAST });
        refuse(index, piece(6, 20, 1));
        accept(index, piece(5, 30, 0));
        refuse(index, piece(5, 30, 2));
        refuse(index, piece(6, 30, 1));
        refuse(index, piece(5, 31, 1));
        accept(index, piece(5, 30, 1));
        accept(index, piece(5, 30, 2 | WAL_UNIT_LAST));
        refuse(index, piece(5, 30, 3));
        refuse(index, piece(5, 30, 0));
        assert_topic(index, 5, 2, 40, 10, 30);
        assert_int_equal(wal_index_drop(index, 5, 2, NULL), 0);
        refuse(index, small(5, 20));
        accept(index, small(5, 21));
        (void) wal_index_put(index);
}

static void shows_whole_rows(void **state)
{
        (void) state;
        struct wal_index *index = index_of(store_of(NULL, 0));
        struct wal_unit units[600];
        for (uint32_t i = 0; i < 600; i++) {
                units[i] = piece(5, 1, i | (i == 599 ? WAL_UNIT_LAST : 0));
                assert_stream(index, true, NULL, 0);
                accept(index, units[i]);
                if (i % 100 == 0)
                        assert_int_equal(wal_index_flush(index, NULL), 0);
        }
        assert_stream(index, true, units, 600);
        assert_topic(index, 5, 1, 6000, 1, 1);
        accept(index, piece(5, 2, 0));
        accept(index, small(5, 2));
        refuse(index, piece(5, 2, 1));
        assert_topic(index, 5, 2, 6010, 1, 2);
        (void) wal_index_put(index);
}

static void asks_for_what_is_not_there(void **state)
{
        (void) state;
        struct wal_index *index = index_of(store_of(NULL, 0));
        struct wal_topic topic;
        struct wal_unit unit;
        uint64_t above = 9;
        assert_false(wal_index_topic(index, 5, &topic));
        assert_int_equal(wal_index_row(index, 5, 0, &unit, NULL), -ENOENT);
        assert_int_equal(wal_index_rows_above(index, 5, ROWS_ABOVE_ALL, &above, NULL), 0);
        assert_int_equal(above, 0);
        assert_int_equal(wal_index_drop(index, 5, 3, NULL), 0);
        wal_index_note_created(index, 5, 3);
        assert_stream(index, false, NULL, 0);
        assert_int_equal(wal_index_drop(index, 5, 3, NULL), 0);
        wal_index_note_created(index, 5, 3);
        assert_false(wal_index_topic(index, 5, &topic));
        accept(index, small(5, INT64_MIN));
        assert_int_equal(wal_index_drop(index, 5, 0, NULL), 0);
        accept(index, small(5, INT64_MAX));
        assert_int_equal(wal_index_rows_above(index, 5, INT64_MIN, &above, NULL), 0);
        assert_int_equal(above, 1);
        assert_int_equal(wal_index_row(index, 5, 1, &unit, NULL), 0);
        assert_int_equal(unit.seq_id, INT64_MAX);
        (void) wal_index_put(index);
}

/* The cache file is cut off while it is in use: what is in memory is still right, and nothing is made up. */
static void survives_a_lost_file(void **state)
{
        (void) state;
        struct wal_model m;
        struct wal_stream *stream;
        struct wal_unit unit;
        size_t count = 9;
        uint64_t offset, above;
        model_make(&m, 5, NULL, 0);
        for (int i = 1; i <= 600; i++)
                model_append(&m, 5, i, 0, 1);
        int fd = openat(m.dirfd, "store", O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(wal_index_stream(m.index, 5, &stream, NULL), 0);
        assert_true(wal_stream_units(stream, 0, 10, &unit, 1, &count, &offset, NULL) < 0);
        assert_int_equal(wal_stream_units(stream, 599, 10, &unit, 1, &count, &offset, NULL), 0);
        assert_int_equal(unit.seq_id, 600);
        assert_true(wal_index_drop(m.index, 5, 10, NULL) < 0);
        assert_true(wal_index_row(m.index, 5, 10, &unit, NULL) < 0);
        assert_true(wal_index_rows_above(m.index, 5, 300, &above, NULL) < 0);
        assert_topic(m.index, 5, 600, 600, 1, 600);
        assert_int_equal(wal_index_drop(m.index, 5, 555, NULL), 0);
        assert_topic(m.index, 5, 45, 45, 556, 600);
        assert_int_equal(wal_index_drop(m.index, 5, 600, NULL), 0);
        (void) wal_stream_put(stream);
        model_remove(&m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(is_like_the_model),
                cmocka_unit_test(around_a_block),
                cmocka_unit_test(loses_a_tail),
                cmocka_unit_test(leaves_a_cut_off_row_out),
                cmocka_unit_test(keeps_a_gap),
                cmocka_unit_test(knows_who_left),
                cmocka_unit_test(empties_what_cannot_be),
                cmocka_unit_test(empties_what_loses_rows),
                cmocka_unit_test(empties_pieces_out_of_order),
                cmocka_unit_test(empties_too_many_gaps),
                cmocka_unit_test(refuses_a_broken_order),
                cmocka_unit_test(shows_whole_rows),
                cmocka_unit_test(asks_for_what_is_not_there),
                cmocka_unit_test(survives_a_lost_file),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
