#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "wal_model.h"

static struct wal_index *empty_index(void)
{
        struct wal_store *store;
        struct wal_index *index;
        assert_int_equal(wal_store_new(&store, NULL), 0);
        assert_int_equal(wal_index_new(store, NULL, 0, &index, NULL), 0);
        return index;
}

static void append(struct wal_index *index, uint64_t key, int64_t seq_id, uint32_t length, int64_t created)
{
        struct wal_unit unit = { .seq_id = seq_id, .key = key, .hash = (uint64_t) seq_id, .length = length };
        assert_int_equal(wal_index_append(index, &unit, created, NULL), 0);
}

static void drop(struct wal_index *index, uint64_t key, uint64_t rows)
{
        assert_int_equal(wal_index_drop(index, key, rows, NULL), 0);
}

static struct wal_stream *root_of(struct wal_index *index)
{
        struct wal_stream *stream;
        assert_int_equal(wal_index_root(index, &stream, NULL), 0);
        return stream;
}

static struct wal_stream *stream_of(struct wal_index *index, uint64_t key)
{
        struct wal_stream *stream;
        assert_int_equal(wal_index_stream(index, key, &stream, NULL), 0);
        return stream;
}

/* Gives up the reference, and says what its number was. */
static uint64_t id_of(struct wal_stream *stream)
{
        uint64_t id = wal_stream_id(stream);
        assert_null(wal_stream_put(stream));
        return id;
}

static void assert_stat(struct wal_stream *stream, uint64_t rows, uint64_t size, int64_t first, int64_t last, int64_t mtime)
{
        struct wal_stat stat = wal_stream_stat(stream);
        assert_int_equal(stat.rows, rows);
        assert_int_equal(stat.size, size);
        assert_int_equal(stat.first_seq, first);
        assert_int_equal(stat.last_seq, last);
        assert_int_equal(stat.mtime_sec, mtime);
}

/* Which object, which number. */

static void one_object_while_no_row_leaves(void **state)
{
        (void) state;
        struct wal_index *index = empty_index();
        struct wal_stream *root = root_of(index), *five = stream_of(index, 5), *six = stream_of(index, 6);
        append(index, 5, 1, 10, 0);
        append(index, 6, 2, 10, 0);
        struct wal_stream *again[] = { root_of(index), stream_of(index, 5), wal_stream_get(six) };
        assert_ptr_equal(again[0], root);
        assert_ptr_equal(again[1], five);
        drop(index, 5, 1);
        struct wal_stream *later[] = { root_of(index), stream_of(index, 5), stream_of(index, 6) };
        assert_ptr_not_equal(later[0], root);
        assert_ptr_not_equal(later[1], five);
        assert_ptr_equal(later[2], six);
        for (size_t i = 0; i < 3; i++) {
                (void) wal_stream_put(again[i]);
                (void) wal_stream_put(later[i]);
        }
        assert_stat(root, 2, 20, 1, 2, 0);
        (void) wal_stream_put(root);
        (void) wal_stream_put(five);
        (void) wal_stream_put(six);
        (void) wal_index_put(index);
}

static void one_number_while_no_row_leaves(void **state)
{
        (void) state;
        struct wal_index *index = empty_index(), *other = empty_index();
        append(index, 5, 1, 10, 0);
        uint64_t root = id_of(root_of(index)), five = id_of(stream_of(index, 5)), six = id_of(stream_of(index, 6));
        append(index, 5, 2, 10, 0);
        append(index, 6, 3, 10, 0);
        assert_int_equal(id_of(root_of(index)), root);
        assert_int_equal(id_of(stream_of(index, 5)), five);
        assert_int_equal(id_of(stream_of(index, 6)), six);
        assert_true(root != five && five != six && root != six);
        drop(index, 5, 0);
        assert_int_equal(id_of(root_of(index)), root);
        drop(index, 5, 1);
        uint64_t next = id_of(root_of(index));
        assert_true(next != root && next != five && next != six);
        assert_true(id_of(stream_of(index, 5)) != five);
        assert_int_equal(id_of(stream_of(index, 6)), six);
        assert_int_equal(id_of(root_of(other)), root); /* as in the next process */
        (void) wal_index_put(other);
        other = empty_index();
        wal_index_set_number(other, 1);
        assert_true(id_of(root_of(other)) != root);
        (void) wal_index_put(index);
        (void) wal_index_put(other);
}

static void outlives_the_callers_reference(void **state)
{
        (void) state;
        struct wal_index *index = empty_index();
        append(index, 5, 1, 10, 3);
        struct wal_stream *root = root_of(index), *five = stream_of(index, 5);
        struct wal_index *another = wal_index_get(index);
        assert_null(wal_index_put(index));
        assert_null(wal_index_put(another));
        assert_ptr_equal(wal_stream_index(root), index);
        assert_stat(root, 1, 10, 1, 1, 3);
        (void) wal_stream_put(root);
        assert_stat(five, 1, 10, 1, 1, 3);
        (void) wal_stream_put(five);
        assert_null(wal_stream_put(NULL));
        assert_null(wal_index_put(NULL));
}

/* Times. */

static uint32_t nsec_of(int64_t first, int64_t last, uint32_t length, int64_t created)
{
        struct wal_index *index = empty_index();
        append(index, 5, first, length, created);
        if (last > first)
                append(index, 5, last, length, created);
        struct wal_stream *stream = stream_of(index, 5), *root = root_of(index);
        uint32_t nsec = wal_stream_stat(stream).mtime_nsec;
        assert_int_equal(nsec, wal_stream_stat(root).mtime_nsec);
        (void) wal_stream_put(stream);
        (void) wal_stream_put(root);
        (void) wal_index_put(index);
        return nsec;
}

static void nanoseconds_are_the_content(void **state)
{
        (void) state;
        uint32_t nsec = nsec_of(1, 9, 10, 5);
        assert_int_equal(nsec, nsec_of(1, 9, 10, 5));
        assert_int_equal(nsec, nsec_of(1, 9, 10, 6));
        assert_int_not_equal(nsec, nsec_of(2, 9, 10, 5));
        assert_int_not_equal(nsec, nsec_of(1, 8, 10, 5));
        assert_int_not_equal(nsec, nsec_of(1, 9, 11, 5));
        assert_int_not_equal(nsec, nsec_of(1, 1, 20, 5));
        assert_int_equal(nsec, 744427988); /* on every machine, and in later versions */
}

static void seconds_are_the_newest_row(void **state)
{
        (void) state;
        struct wal_index *index = empty_index();
        struct wal_stream *empty = root_of(index);
        assert_stat(empty, 0, 0, 0, 0, 0);
        append(index, 5, 1, 10, 100);
        append(index, 6, 2, 10, 50);
        assert_stat(empty, 2, 20, 1, 2, 50);
        wal_index_note_created(index, 5, 101);
        wal_index_note_created(index, 6, 51);
        struct wal_stream *five = stream_of(index, 5);
        assert_stat(empty, 2, 20, 1, 2, 51);
        assert_stat(five, 1, 10, 1, 1, 101);
        drop(index, 6, 1);
        struct wal_stream *root = root_of(index);
        assert_stat(empty, 2, 20, 1, 2, 51);
        assert_stat(root, 1, 10, 1, 1, 101);
        wal_index_note_created(index, 5, 102);
        assert_stat(root, 1, 10, 1, 1, 102);
        drop(index, 5, 1);
        append(index, 6, 1, 10, 7);
        assert_stat(five, 1, 10, 1, 1, 102);
        assert_stat(root, 2, 20, 1, 1, 7);
        (void) wal_stream_put(empty);
        (void) wal_stream_put(five);
        (void) wal_stream_put(root);
        (void) wal_index_put(index);
}

/* A collection leaves whole, and comes back with lower seq_ids: who has the old generation sees them behind the old rows. */
static void goes_on_after_all_have_left(void **state)
{
        (void) state;
        struct wal_unit units[4];
        size_t count;
        uint64_t offset;
        struct wal_index *index = empty_index();
        for (int i = 1; i <= 3; i++)
                append(index, 5, i, 10, i);
        struct wal_stream *old = stream_of(index, 5);
        drop(index, 5, 3);
        struct wal_stream *between = stream_of(index, 5);
        append(index, 5, 1, 7, 9);
        assert_stat(old, 4, 37, 1, 1, 9);
        assert_stat(between, 1, 7, 1, 1, 9);
        assert_int_equal(wal_stream_units(old, 25, 12, units, 4, &count, &offset, NULL), 0);
        assert_int_equal(offset, 20);
        assert_int_equal(count, 2);
        assert_int_equal(units[0].length, 10);
        assert_int_equal(units[1].length, 7);
        assert_int_equal(wal_stream_units(old, 25, 11, units, 4, &count, &offset, NULL), 0);
        assert_int_equal(count, 1);
        assert_int_equal(wal_stream_units(old, 25, 0, units, 0, &count, &offset, NULL), 0);
        assert_int_equal(count, 0);
        (void) wal_stream_put(old);
        (void) wal_stream_put(between);
        (void) wal_index_put(index);
}

static void hidden_ones_have_no_place(void **state)
{
        (void) state;
        struct wal_model m;
        const uint64_t hidden[] = { 6, 2 };
        model_make(&m, 1, hidden, 2);
        model_hold(&m, 0, true, 0);
        for (uint64_t i = 1; i <= 900; i++)
                model_append(&m, 1 + i % 6, (int64_t) i, 0, 200);
        model_hold(&m, 1, false, 6);
        model_check(&m);
        assert_int_equal(wal_index_totals(m.index).rows, 600);
        uint64_t id = wal_stream_id(m.streams[0].stream);
        model_drop(&m, 6, 100);
        model_hold(&m, 2, true, 0);
        assert_int_equal(wal_stream_id(m.streams[2].stream), id);
        model_hold(&m, 3, false, 6);
        model_check(&m);
        for (uint64_t key = 1; key <= 6; key++)
                if (key != 2)
                        model_drop(&m, key, UINT64_MAX);
        model_hold(&m, 4, true, 0);
        model_check(&m);
        assert_int_equal(wal_index_totals(m.index).rows, 0);
        model_append(&m, 2, 901, 0, 10);
        model_append(&m, 3, 902, 0, 10);
        model_check(&m);
        model_remove(&m);
}

/* Readers while one writes: whatever they see fits together. */

#define READERS 3
#define WRITES 60000

struct race {
        struct wal_index *index;
        atomic_bool stop;
        atomic_uint read;
};

/* Rows have the length 1 + seq_id % 50. */
static uint64_t read_some(struct race *race, struct wal_stream *stream, uint64_t offset, uint64_t key)
{
        struct wal_unit units[100];
        size_t count = 0;
        uint64_t start = 0, size = wal_stream_stat(stream).size, end;
        if (wal_stream_units(stream, offset, UINT64_MAX, units, 100, &count, &start, NULL) < 0)
                abort();
        if (count == 0 ? offset < size : start > offset || start + units[0].length <= offset)
                abort();
        end = start;
        for (size_t i = 0; i < count; i++) {
                if (units[i].length != 1 + (uint32_t) (units[i].seq_id % 50) || (key != 0 && units[i].key != key))
                        abort();
                end += units[i].length;
        }
        if (end > wal_stream_stat(stream).size)
                abort();
        atomic_fetch_add(&race->read, 1);
        return end;
}

static void look_around(struct race *race, uint64_t key)
{
        struct wal_topic topic, *topics;
        struct wal_unit unit;
        size_t count;
        uint64_t above;
        if (wal_index_topics(race->index, &topics, &count, NULL) < 0)
                abort();
        free(topics);
        if (!wal_index_topic(race->index, key, &topic))
                return;
        if (wal_index_rows_above(race->index, key, topic.first_seq + 3, &above, NULL) < 0)
                abort();
        if (wal_index_row(race->index, key, 0, &unit, NULL) == 0 && unit.key != key)
                abort();
}

static void *reader(void *argument)
{
        struct race *race = argument;
        uint64_t turn = 0;
        while (!atomic_load(&race->stop)) {
                uint64_t key = ++turn % 5;
                struct wal_stream *stream;
                int r = key == 0 ? wal_index_root(race->index, &stream, NULL) : wal_index_stream(race->index, key, &stream, NULL);
                if (r < 0)
                        abort();
                uint64_t offset = wal_stream_stat(stream).size / (1 + turn % 7);
                for (int i = 0; i < 5; i++)
                        offset = read_some(race, stream, offset, key);
                look_around(race, key);
                (void) wal_stream_put(stream);
        }
        return NULL;
}

static void write_all(struct race *race)
{
        for (int64_t i = 1; i <= WRITES || atomic_load(&race->read) < 100; i++) {
                append(race->index, 1 + (uint64_t) (i % 3 + i % 2), i, 1 + (uint32_t) (i % 50), i);
                if (i % 300 == 0)
                        drop(race->index, 1 + (uint64_t) (i / 300 % 4), i % 900 == 0 ? UINT64_MAX : 50);
                if (i % 1000 == 0)
                        assert_int_equal(wal_index_flush(race->index, NULL), 0);
        }
}

static void many_read_one_writes(void **state)
{
        (void) state;
        struct race race = { .index = empty_index() };
        pthread_t threads[READERS];
        for (int i = 0; i < READERS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, reader, &race), 0);
        write_all(&race);
        atomic_store(&race.stop, true);
        for (int i = 0; i < READERS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        (void) wal_index_put(race.index);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_object_while_no_row_leaves), cmocka_unit_test(one_number_while_no_row_leaves),
                cmocka_unit_test(outlives_the_callers_reference), cmocka_unit_test(nanoseconds_are_the_content),
                cmocka_unit_test(seconds_are_the_newest_row),     cmocka_unit_test(goes_on_after_all_have_left),
                cmocka_unit_test(hidden_ones_have_no_place),      cmocka_unit_test(many_read_one_writes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
