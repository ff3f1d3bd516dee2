#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ops/hnsw_file.h"
#include "ops/index_summary.h"
#include "tests/unit/hnsw_dir.h"

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

static void save(const struct hnsw *h, const struct hnsw_save *how, const struct hnsw_dir *d)
{
        struct error e = { 0 };
        if (hnsw_save(h, how, d->fd, NULL, NULL, &e) < 0)
                fail_msg("%s", e.text);
}

static uint64_t size_of(const struct hnsw_dir *d, enum index_file file)
{
        struct stat st;
        assert_int_equal(fstatat(d->fd, index_file_names[file], &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_true(S_ISREG(st.st_mode) && (st.st_mode & 0777) == 0600);
        return (uint64_t) st.st_size;
}

static uint64_t size_of_all(const struct hnsw_dir *d)
{
        uint64_t all = 0;
        for (int i = 0; i < INDEX_PICKLE; i++)
                all += size_of(d, (enum index_file) i);
        return all;
}

static void there_and_back(const struct hnsw_dir *d, enum hnsw_space space, uint32_t dimension, uint32_t m, uint32_t count)
{
        struct hnsw *h = hnsw_small(space, dimension, m, count);
        save(h, &(struct hnsw_save){ 0 }, d);
        assert_int_equal(size_of_all(d), hnsw_save_size(h, &(struct hnsw_save){ 0 }));
        struct hnsw *loaded = hnsw_dir_load(d, space);
        hnsw_assert_same(h, loaded);
        (void) hnsw_free(h);
        (void) hnsw_free(loaded);
        hnsw_dir_empty(d);
}

static void round_trip(void **state)
{
        there_and_back(*state, SPACE_L2, 3, 4, 300);
        there_and_back(*state, SPACE_IP, 1, 2, 100);
        there_and_back(*state, SPACE_COSINE, 7, 5, 300);
        there_and_back(*state, SPACE_COSINE, 1, 16, 2);
        there_and_back(*state, SPACE_L2, 5, 16, 1); /* a lone one, with the vector of its update */
        there_and_back(*state, SPACE_L2, 5, 16, 0);
        there_and_back(*state, SPACE_COSINE, 1024, 2, 1300); /* more than one part */
        there_and_back(*state, SPACE_L2, 2, 2, 20000);       /* link_lists.bin is more than one buffer */
}

static void assert_zeros(const struct byte_buffer *b, size_t from)
{
        for (size_t i = from; i < b->len; i++)
                assert_int_equal(b->data[i], 0);
}

static void with_room(void **state)
{
        const struct hnsw_dir *d = *state;
        struct hnsw *h = hnsw_small(SPACE_COSINE, 3, 4, 50);
        struct hnsw_save how = { .max_elements = 80, .with_room = true };
        size_t record_size = hnsw_info(h).record_size;
        save(h, &how, d);
        assert_int_equal(size_of(d, INDEX_LEVEL0), 80 * record_size);
        assert_int_equal(size_of(d, INDEX_LENGTH), 80 * 4);
        assert_int_equal(size_of_all(d), hnsw_save_size(h, &how));
        struct byte_buffer records = hnsw_dir_get(d, "data_level0.bin"), lengths = hnsw_dir_get(d, "length.bin");
        assert_zeros(&records, 50 * record_size);
        assert_zeros(&lengths, 200);
        bytes_clear(&records);
        bytes_clear(&lengths);
        struct hnsw *loaded = hnsw_dir_load(d, SPACE_COSINE);
        hnsw_assert_same(h, loaded);
        (void) hnsw_free(loaded);
        (void) hnsw_free(h);
}

static struct hnsw_header header_of(const struct hnsw_dir *d)
{
        struct hnsw_header header;
        struct error e;
        struct byte_buffer bytes = hnsw_dir_get(d, "header.bin");
        assert_int_equal(bytes.len, HNSW_HEADER_SIZE);
        assert_int_equal(hnsw_header_decode(bytes.data, &header, &e), 0);
        bytes_clear(&bytes);
        return header;
}

static void capacity(void **state)
{
        const struct hnsw_dir *d = *state;
        struct hnsw *h = hnsw_small(SPACE_L2, 3, 4, 50);
        struct error e = { 0 };
        save(h, &(struct hnsw_save){ .max_elements = 1000 }, d);
        assert_int_equal(header_of(d).max_elements, 1000);
        assert_int_equal(size_of(d, INDEX_LEVEL0), 50 * hnsw_info(h).record_size);
        assert_int_equal(size_of(d, INDEX_LENGTH), 200);
        hnsw_dir_empty(d);
        save(h, &(struct hnsw_save){ .with_room = true }, d);
        assert_int_equal(header_of(d).max_elements, 50);
        hnsw_dir_empty(d);
        assert_int_equal(hnsw_save(h, &(struct hnsw_save){ .max_elements = 49 }, d->fd, NULL, NULL, &e), -EINVAL);
        assert_string_equal(e.text, "an index of 49 elements has no room for 50");
        assert_int_equal(hnsw_save(h, &(struct hnsw_save){ .max_elements = UINT64_MAX }, d->fd, NULL, NULL, &e), -EINVAL);
        assert_int_equal(hnsw_save_size(h, &(struct hnsw_save){ .max_elements = UINT64_MAX }), UINT64_MAX);
        (void) hnsw_free(h);
}

/* l2 has no lengths, and what is saved has no garbage of ours. */
static void no_lengths(void **state)
{
        struct hnsw *h = hnsw_small(SPACE_L2, 3, 4, 50);
        save(h, &(struct hnsw_save){ 0 }, *state);
        struct byte_buffer lengths = hnsw_dir_get(*state, "length.bin");
        assert_int_equal(lengths.len, 200);
        assert_zeros(&lengths, 0);
        bytes_clear(&lengths);
        (void) hnsw_free(h);
}

static void nothing_replaced(void **state)
{
        const struct hnsw_dir *d = *state;
        struct hnsw *h = hnsw_small(SPACE_L2, 3, 4, 50);
        for (int i = 0; i < INDEX_PICKLE; i++) {
                struct byte_buffer b = { 0 };
                struct error e = { 0 };
                bytes_put_text(&b, "theirs");
                hnsw_dir_put(d, index_file_names[i], &b);
                assert_int_equal(hnsw_save(h, &(struct hnsw_save){ 0 }, d->fd, NULL, NULL, &e), -EEXIST);
                assert_non_null(strstr(e.text, index_file_names[i]));
                struct byte_buffer after = hnsw_dir_get(d, index_file_names[i]);
                assert_int_equal(after.len, b.len);
                assert_memory_equal(after.data, b.data, b.len);
                bytes_clear(&after);
                bytes_clear(&b);
                hnsw_dir_empty(d);
        }
        (void) hnsw_free(h);
}

static bool at_zero(void *context)
{
        int *left = context;
        return (*left)-- <= 0;
}

static void cancelled(void **state)
{
        const struct hnsw_dir *d = *state;
        struct hnsw *h = hnsw_small(SPACE_COSINE, 1024, 2, 1300);
        int asked = 0;
        for (int r = -EINTR; r != 0; asked++) {
                int left = asked;
                struct error e = { 0 };
                r = hnsw_save(h, &(struct hnsw_save){ 0 }, d->fd, at_zero, &left, &e);
                assert_true(r == 0 || (r == -EINTR && e.code == -EINTR));
                if (r < 0)
                        hnsw_dir_empty(d);
        }
        assert_true(asked > 5); /* four files, of which one has two parts */
        struct hnsw *loaded = hnsw_dir_load(d, SPACE_COSINE);
        hnsw_assert_same(h, loaded);
        (void) hnsw_free(loaded);
        (void) hnsw_free(h);
}

/* An addition that was refused leaves nothing that is saved. */
static void after_a_failed_addition(void **state)
{
        struct hnsw *h = hnsw_small(SPACE_L2, 2, 2, 200);
        const float vector[2] = { 0, 0 };
        struct hnsw_item items[3] = { { .label = 7777, .vector = vector },
                                      { .label = 7778, .vector = vector },
                                      { .label = 7777, .vector = vector } };
        struct error e;
        assert_int_equal(hnsw_add(h, items, 3, 1, NULL, NULL, &e), -EEXIST);
        save(h, &(struct hnsw_save){ 0 }, *state);
        struct hnsw *loaded = hnsw_dir_load(*state, SPACE_L2);
        assert_int_equal(hnsw_info(loaded).count, 200);
        hnsw_assert_same(h, loaded);
        (void) hnsw_free(loaded);
        (void) hnsw_free(h);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(round_trip),
                TEST(with_room),
                TEST(capacity),
                TEST(no_lengths),
                TEST(nothing_replaced),
                TEST(cancelled),
                TEST(after_a_failed_addition),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
