#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/hnsw_dir.h"

#define PICKLE "index_metadata.pickle"
#define MOST 5001

static int setup(void **state)
{
        static struct hnsw_dir d;
        hnsw_dir_make(&d);
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        hnsw_dir_remove(*state);
        return 0;
}

static struct index_metadata *read_back(const struct hnsw_dir *d)
{
        struct index_metadata *m;
        struct error e = { 0 };
        int fd = openat(d->fd, PICKLE, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        if (index_metadata_read(fd, NULL, NULL, &m, &e) < 0)
                fail_msg("%s", e.text);
        assert_int_equal(close(fd), 0);
        return m;
}

static void assert_same(const struct index_metadata *a, const struct index_metadata *b)
{
        assert_int_equal(a->has_dimensionality, b->has_dimensionality);
        assert_int_equal(a->dimensionality, b->dimensionality);
        assert_int_equal(a->total_elements_added, b->total_elements_added);
        assert_int_equal(a->has_max_seq_id, b->has_max_seq_id);
        assert_int_equal(a->max_seq_id, b->max_seq_id);
        assert_int_equal(a->count, b->count);
        for (size_t i = 0; i < a->count; i++) {
                assert_int_equal(a->entries[i].label, b->entries[i].label);
                assert_int_equal(a->entries[i].seq_id, b->entries[i].seq_id);
                assert_int_equal(a->entries[i].id_len, b->entries[i].id_len);
                assert_memory_equal(a->entries[i].id, b->entries[i].id, a->entries[i].id_len);
        }
}

static void there_and_back(const struct hnsw_dir *d, const struct index_metadata *m, enum pickle_shape shape)
{
        struct error e = { 0 };
        if (index_metadata_write(m, shape, d->fd, NULL, NULL, &e) < 0)
                fail_msg("%s", e.text);
        struct index_metadata *back = read_back(d);
        assert_int_equal(back->shape, shape);
        assert_same(m, back);
        (void) index_metadata_free(back);
        hnsw_dir_empty(d);
}

static void fill(struct index_entry *entries, char (*ids)[16], size_t count, bool seq_ids)
{
        for (size_t i = 0; i < count; i++) {
                int len = snprintf(ids[i], sizeof(ids[i]), "id%zu", i);
                entries[i] = (struct index_entry){
                        .label = 2 * i + 1, .seq_id = seq_ids ? 1000 + i : 0, .id = ids[i], .id_len = (size_t) len
                };
        }
}

/* Around the sizes of the chunks. */
static void counts(void **state)
{
        static struct index_entry entries[MOST];
        static char ids[MOST][16];
        static const size_t sizes[] = { 0, 1, 2, 999, 1000, 1001, 2000, 2001, MOST };
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
                struct index_metadata m = { .has_dimensionality = true, .dimensionality = 384, .entries = entries };
                m.count = sizes[i];
                m.total_elements_added = 2 * sizes[i] + 7;
                fill(entries, ids, m.count, true);
                there_and_back(*state, &m, PICKLE_INSTANCE);
                there_and_back(*state, &m, PICKLE_DICT);
                fill(entries, ids, m.count, false);
                there_and_back(*state, &m, PICKLE_DICT);
        }
}

static void optional(void **state)
{
        struct index_metadata m = { .total_elements_added = 3 };
        there_and_back(*state, &m, PICKLE_DICT);
        there_and_back(*state, &m, PICKLE_INSTANCE);
        m.has_max_seq_id = m.has_dimensionality = true;
        m.max_seq_id = 4711;
        m.dimensionality = 3;
        there_and_back(*state, &m, PICKLE_DICT);
        there_and_back(*state, &m, PICKLE_INSTANCE);
}

static void odd_ids(void **state)
{
        size_t len = 300000; /* more than the buffer */
        char *large = malloc(len);
        assert_non_null(large);
        memset(large, 'x', len);
        struct index_entry entries[] = {
                { .label = 1, .seq_id = 5, .id = "", .id_len = 0 },    { .label = 2, .id = "a\0b", .id_len = 3 },
                { .label = 3, .id = "\xed\xa0\x80", .id_len = 3 }, /* a surrogate */
                { .label = 4, .id = "\xf0\x9f\xa6\x84", .id_len = 4 }, { .label = 5, .seq_id = 6, .id = large, .id_len = len },
        };
        struct index_metadata m = { .total_elements_added = 5, .count = 5, .entries = entries };
        there_and_back(*state, &m, PICKLE_INSTANCE);
        there_and_back(*state, &m, PICKLE_DICT);
        free(large);
}

static void refuse(const struct hnsw_dir *d, const struct index_metadata *m, enum pickle_shape shape, const char *number)
{
        struct error e = { 0 };
        assert_int_equal(index_metadata_write(m, shape, d->fd, NULL, NULL, &e), -EOVERFLOW);
        assert_int_equal(e.code, -EOVERFLOW);
        assert_non_null(strstr(e.text, number));
        hnsw_dir_empty(d);
}

static void numbers(void **state)
{
        static const uint64_t good[] = { 1, 255, 256, 65535, 65536, INT32_MAX, INT32_MAX + UINT64_C(1), UINT32_MAX };
        struct index_entry entry = { .id = "x", .id_len = 1 };
        struct index_metadata m = { .has_max_seq_id = true, .count = 1, .entries = &entry };
        for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
                entry.label = entry.seq_id = m.max_seq_id = m.total_elements_added = good[i];
                there_and_back(*state, &m, PICKLE_INSTANCE);
                there_and_back(*state, &m, PICKLE_DICT);
        }
        m.max_seq_id = INT64_MAX;
        there_and_back(*state, &m, PICKLE_DICT);
        entry.seq_id = UINT32_MAX + UINT64_C(1);
        there_and_back(*state, &m, PICKLE_INSTANCE);
        refuse(*state, &m, PICKLE_DICT, "4294967296");
        entry.seq_id = 1;
        m.total_elements_added = UINT32_MAX + UINT64_C(2);
        there_and_back(*state, &m, PICKLE_INSTANCE);
        refuse(*state, &m, PICKLE_DICT, "4294967297");
        m.max_seq_id = INT64_MAX + UINT64_C(1);
        refuse(*state, &m, PICKLE_INSTANCE, "9223372036854775808");
}

/* The bytes that every Chroma was seen to load. */
static void exact_bytes(void **state)
{
        static const char state_bytes[] = "}(X\x0e\0\0\0dimensionalityJ\x03\0\0\0"
                                          "X\x14\0\0\0total_elements_addedJ\x02\0\0\0"
                                          "X\x0b\0\0\0id_to_label}(X\x01\0\0\0aJ\x02\0\0\0u"
                                          "X\x0b\0\0\0label_to_id}(J\x02\0\0\0X\x01\0\0\0au"
                                          "X\x0c\0\0\0id_to_seq_id}(X\x01\0\0\0aJ\x09\0\0\0uu";
        static const char head[] = "\x80\x02"
                                   "cchromadb.segment.impl.vector.local_persistent_hnsw\nPersistentData\n)\x81";
        struct index_entry entry = { .label = 2, .seq_id = 9, .id = "a", .id_len = 1 };
        struct index_metadata m = {
                .has_dimensionality = true, .dimensionality = 3, .total_elements_added = 2, .count = 1, .entries = &entry
        };
        struct byte_buffer expected = { 0 };
        struct error e;
        bytes_put(&expected, head, sizeof(head) - 1);
        bytes_put(&expected, state_bytes, sizeof(state_bytes) - 1);
        bytes_put_text(&expected, "b.");
        assert_int_equal(index_metadata_write(&m, PICKLE_INSTANCE, ((struct hnsw_dir *) *state)->fd, NULL, NULL, &e), 0);
        struct byte_buffer found = hnsw_dir_get(*state, PICKLE);
        assert_int_equal(found.len, expected.len);
        assert_memory_equal(found.data, expected.data, found.len);
        bytes_clear(&found);
        bytes_clear(&expected);
}

static void nothing_replaced(void **state)
{
        const struct hnsw_dir *d = *state;
        struct index_metadata m = { .total_elements_added = 3 };
        struct error e = { 0 };
        assert_int_equal(index_metadata_write(&m, PICKLE_DICT, d->fd, NULL, NULL, &e), 0);
        assert_int_equal(index_metadata_write(&m, PICKLE_DICT, d->fd, NULL, NULL, &e), -EEXIST);
        assert_non_null(strstr(e.text, PICKLE));
}

static bool at_zero(void *context)
{
        int *left = context;
        return (*left)-- <= 0;
}

/* Some parts of the file are written before it is asked again. */
static void cancelled(void **state)
{
        static struct index_entry entries[20 * MOST];
        static char ids[20 * MOST][16];
        const struct hnsw_dir *d = *state;
        struct index_metadata m = { .total_elements_added = 50 * MOST, .count = 20 * MOST, .entries = entries };
        fill(entries, ids, m.count, true);
        int asked = 0;
        for (int r = -EINTR; r != 0; asked++) {
                int left = asked;
                struct error e = { 0 };
                r = index_metadata_write(&m, PICKLE_INSTANCE, d->fd, at_zero, &left, &e);
                assert_true(r == 0 || (r == -EINTR && e.code == -EINTR));
                if (r < 0)
                        hnsw_dir_empty(d);
        }
        assert_true(asked > 3);
        struct index_metadata *back = read_back(d);
        assert_same(&m, back);
        (void) index_metadata_free(back);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(counts),      TEST(optional),         TEST(odd_ids),   TEST(numbers),
                TEST(exact_bytes), TEST(nothing_replaced), TEST(cancelled),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
