#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/hnsw_build.h"

#define COUNT 400u

/*
 * What hnswlib (Debian's, compiled without AVX, as Chroma's wheels are) made of these: M 8, ef_construction 40, seed 100; 400 vectors, random_floats(5000 + dimension),
 * normalised for cosine, with the labels 1 to 400; then 1, 5, 9 … and the entry point are deleted, and 2, 5, 8 … up to 299 get the next 100 vectors; then the 50 vectors that follow are
 * added. sum = sum * 1099511628211 + link + 1 over all lists. 0: only ties,
 * between which hnswlib's hash order decides in an update.
 */
static const struct expected {
        enum hnsw_space space;
        uint32_t dimension;
        int max_level;
        uint32_t entry_point;
        uint64_t built, updated, extended;
} table[] = {
        { SPACE_L2, 1, 3, 115, 0x86a879c1930356e2, 0x6b9a3835898a7590, 0xa274bca841149a57 },
        { SPACE_L2, 4, 3, 115, 0x4bab759333f7dd4c, 0x86b03983df290f0b, 0x249d808623069608 },
        { SPACE_L2, 19, 3, 115, 0x7b184b29bb0d8593, 0x25edb7df05327ec9, 0x46f5dd78f7d4ff19 },
        { SPACE_L2, 64, 3, 115, 0x8d6f872d08c8f3d9, 0xa5688cb9436ddd38, 0x6fe30a1a49f54458 },
        { SPACE_L2, 100, 3, 115, 0x71da28931859aa12, 0x34335f3a6664d0c0, 0x29e7fbc73402bab9 },
        { SPACE_L2, 385, 3, 115, 0xea6996624e47bc32, 0xf56b9894f444f3de, 0xd8d9a3fd46542ddb },
        { SPACE_COSINE, 1, 3, 115, 0x4071667824ffbe6c, 0, 0 },
        { SPACE_COSINE, 4, 3, 115, 0xc4398dd404deaac9, 0xc5e401a98bf8c41c, 0x6692b05750b29e0b },
        { SPACE_COSINE, 19, 3, 115, 0xe00bfc704c4cc679, 0x1ab3e05ca6f8287c, 0x337ad5db42b88fb9 },
        { SPACE_COSINE, 64, 3, 115, 0x2ce5ac44befc3b0c, 0x2e93c41d82c0d1f2, 0x5c1ea21c24a15a3a },
        { SPACE_COSINE, 100, 3, 115, 0xccdfbbed9117bd5e, 0xcb70631ae37e13d1, 0x0cf61d746093bebc },
        { SPACE_COSINE, 385, 3, 115, 0x7a2835c909c1ebaf, 0xa73d824b8367fbce, 0xd0037f2f95cb86e7 },
        { SPACE_IP, 1, 3, 115, 0x7ea7229c3a838ed2, 0xd7070d2cb328a880, 0x9ca9b6640e9f88e5 },
        { SPACE_IP, 4, 3, 115, 0xf2966796beecd767, 0x7e731ec848c66166, 0x2711dcc814a8c89a },
        { SPACE_IP, 19, 3, 115, 0x3a2741701579af61, 0xf987b5ad8ab23e62, 0x2f294d0a23c29514 },
        { SPACE_IP, 64, 3, 115, 0x36ccee0fba8b9b88, 0x91394ef6fcf0c7aa, 0xd4a6e831e785c062 },
        { SPACE_IP, 100, 3, 115, 0xb93785d17d1f24cf, 0x298e573892a4d945, 0x055f4701480017df },
        { SPACE_IP, 385, 3, 115, 0x7fe477b9411b0de5, 0xe42cac37f5b95ebf, 0x57b488c5e2ddfe21 },
};

static struct hnsw_params small_params(const struct expected *e)
{
        struct hnsw_params params = plain_params(e->dimension);
        params.space = e->space;
        params.m = 8;
        params.ef_construction = 40;
        return params;
}

static void delete_some(struct hnsw *index)
{
        uint64_t entry = hnsw_label(index, hnsw_info(index).entry_point);
        for (uint64_t label = 1; label <= COUNT; label += 4)
                assert_int_equal(hnsw_delete(index, label, NULL), 0);
        assert_int_equal(hnsw_delete(index, entry, NULL), entry % 4 == 1 ? -ENOENT : 0);
}

static void the_graph_is_hnswlibs(void **state)
{
        (void) state;
        for (size_t t = 0; t < sizeof(table) / sizeof(*table); t++) {
                const struct expected *e = &table[t];
                struct hnsw_params params = small_params(e);
                float *vectors = random_floats(5000 + e->dimension, (size_t) (COUNT + 150) * e->dimension);
                const float *more = vectors + (size_t) COUNT * e->dimension;
                struct hnsw *index = build_index(&params, vectors, COUNT, 1);
                assert_int_equal(hnsw_info(index).max_level, e->max_level);
                assert_int_equal(hnsw_info(index).entry_point, e->entry_point);
                assert_true(graph_sum(index) == e->built);
                delete_some(index);
                for (size_t i = 0; i < 100; i++)
                        assert_int_equal(hnsw_update(index, 3 * i + 2, more + i * e->dimension, NULL), 0);
                assert_true(e->updated == 0 || graph_sum(index) == e->updated);
                assert_int_equal(hnsw_reserve(index, 50, NULL), 0);
                assert_int_equal(add_vectors(index, more + (size_t) 100 * e->dimension, 50, 1000, 1), 0);
                assert_true(e->extended == 0 || graph_sum(index) == e->extended);
                assert_null(graph_fault(index));
                (void) hnsw_free(index);
                free(vectors);
        }
}

/* In pieces, or with a capacity that grows: the same. */
static void pieces_make_no_difference(void **state)
{
        (void) state;
        struct hnsw_params params = small_params(&table[2]);
        float *vectors = random_floats(5000 + params.dimension, (size_t) COUNT * params.dimension);
        for (size_t piece = 1; piece <= COUNT; piece = piece * 7 + 1) {
                struct hnsw *index = NULL;
                assert_int_equal(hnsw_new(&params, 0, &index, NULL), 0);
                for (size_t i = 0; i < COUNT; i += piece) {
                        size_t count = COUNT - i < piece ? COUNT - i : piece;
                        assert_int_equal(hnsw_reserve(index, count, NULL), 0);
                        assert_int_equal(add_vectors(index, vectors + i * params.dimension, count, i + 1, 1), 0);
                }
                assert_true(graph_sum(index) == table[2].built);
                assert_int_equal(hnsw_info(index).count, COUNT);
                (void) hnsw_free(index);
        }
        free(vectors);
}

/* --- what is there --- */

static void an_element_is_as_it_was_given(void **state)
{
        (void) state;
        struct hnsw_params params = plain_params(19);
        float *vectors = random_floats(4, (size_t) 100 * 19);
        struct hnsw *index = build_index(&params, vectors, 100, 1);
        for (uint32_t id = 0; id < 100; id++) {
                assert_int_equal(hnsw_label(index, id), id + 1);
                assert_int_equal(hnsw_find(index, id + 1), id);
                assert_memory_equal(hnsw_vector(index, id), vectors + (size_t) id * 19, 19 * sizeof(float));
                assert_true(hnsw_length(index, id) == 0);
        }
        assert_int_equal(hnsw_find(index, 0), UINT32_MAX);
        assert_int_equal(hnsw_find(index, 101), UINT32_MAX);
        struct hnsw_info info = hnsw_info(index);
        assert_int_equal(info.record_size, 8 * 16 + 4 + 4 * 19 + 8);
        assert_true(info.count == 100 && info.capacity == 100 && info.deleted == 0);
        (void) hnsw_free(index);
        free(vectors);
}

static void cosine_keeps_lengths(void **state)
{
        (void) state;
        struct hnsw_params params = plain_params(2);
        params.space = SPACE_COSINE;
        const float vectors[] = { 3, 4, 0, 0, -5, 12 };
        struct hnsw *index = build_index(&params, vectors, 3, 1);
        assert_true(hnsw_length(index, 0) == 5 && hnsw_length(index, 1) == 0 && hnsw_length(index, 2) == 13);
        assert_true(hnsw_vector(index, 0)[0] == 3 * 0.2f && hnsw_vector(index, 1)[0] == 0);
        const float longer[] = { 6, 8 };
        assert_int_equal(hnsw_update(index, 3, longer, NULL), 0);
        assert_true(hnsw_length(index, 2) == 10);
        (void) hnsw_free(index);
}

/* An index that is built of another one's records has their bits: normalising a second time would change some. */
static void cosine_keeps_what_is_stored(void **state)
{
        (void) state;
        enum { STORED = 300, STORED_DIMENSION = 19 };
        struct hnsw_params params = plain_params(STORED_DIMENSION);
        params.space = SPACE_COSINE;
        float *vectors = random_floats(6, (size_t) STORED * STORED_DIMENSION);
        struct hnsw *first = build_index(&params, vectors, STORED, 1), *second = NULL;
        struct hnsw_item *items = make_items(vectors, STORED, STORED_DIMENSION, 1);
        for (uint32_t i = 0; i < STORED; i++)
                items[i] = (struct hnsw_item){ i + 1, hnsw_vector(first, i), true, hnsw_length(first, i) };
        assert_int_equal(hnsw_new(&params, STORED, &second, NULL), 0);
        assert_int_equal(hnsw_add(second, items, STORED, 1, NULL, NULL, NULL), 0);
        for (uint32_t i = 0; i < STORED; i++) {
                assert_memory_equal(hnsw_vector(first, i), hnsw_vector(second, i), STORED_DIMENSION * sizeof(float));
                assert_true(hnsw_length(first, i) == hnsw_length(second, i) && hnsw_length(first, i) > 0);
        }
        assert_true(graph_sum(first) == graph_sum(second));
        (void) hnsw_free(first);
        (void) hnsw_free(second);
        free(items);
        free(vectors);
}

static void labels_are_any_numbers(void **state)
{
        (void) state;
        struct hnsw_params params = plain_params(3);
        float *vectors = random_floats(5, (size_t) 300 * 3);
        struct hnsw *index = build_index(&params, vectors, 100, 1);
        assert_int_equal(hnsw_reserve(index, 200, NULL), 0);
        assert_int_equal(add_vectors(index, vectors + 300, 100, UINT64_MAX - 99, 1), 0);
        assert_int_equal(add_vectors(index, vectors + 600, 100, UINT64_C(1) << 40, 1), 0);
        assert_int_equal(hnsw_find(index, UINT64_MAX), 199);
        assert_int_equal(hnsw_find(index, (UINT64_C(1) << 40) + 7), 207);
        assert_null(graph_fault(index));
        (void) hnsw_free(index);
        free(vectors);
}

/* --- refusals --- */

static void a_label_that_is_there_adds_nothing(void **state)
{
        (void) state;
        struct hnsw_params params = plain_params(3);
        float *vectors = random_floats(6, (size_t) 200 * 3);
        struct hnsw *index = build_index(&params, vectors, 100, 1), *other = build_index(&params, vectors, 100, 1);
        assert_int_equal(hnsw_reserve(index, 100, NULL), 0);
        assert_int_equal(hnsw_reserve(other, 100, NULL), 0);
        struct hnsw_item *items = make_items(vectors + 300, 100, 3, 101);
        struct error e = { 0 };
        for (int twice = 0; twice < 2; twice++) {
                items[99].label = twice ? 101 : 100;
                assert_int_equal(hnsw_add(index, items, 100, 1, NULL, NULL, &e), -EEXIST);
                assert_non_null(strstr(e.text, twice ? "101" : "100"));
                assert_true(hnsw_info(index).count == 100 && hnsw_info(index).upper_bytes == hnsw_info(other).upper_bytes);
                for (uint64_t label = 101; label <= 200; label++)
                        assert_int_equal(hnsw_find(index, label), UINT32_MAX);
                assert_null(graph_fault(index));
        }
        assert_int_equal(add_vectors(index, vectors + 300, 100, 101, 1), 0);
        assert_int_equal(add_vectors(other, vectors + 300, 100, 101, 1), 0);
        assert_true(graph_sum(index) == graph_sum(other));
        free(items);
        free(vectors);
        (void) hnsw_free(index);
        (void) hnsw_free(other);
}

static void there_is_no_room_but_what_was_reserved(void **state)
{
        (void) state;
        struct hnsw_params params = plain_params(3);
        float *vectors = random_floats(6, (size_t) 30 * 3);
        struct hnsw *index = build_index(&params, vectors, 10, 1);
        assert_int_equal(add_vectors(index, vectors + 30, 1, 11, 1), -ENOSPC);
        assert_int_equal(hnsw_reserve(index, 5, NULL), 0);
        assert_int_equal(add_vectors(index, vectors + 30, 6, 11, 1), -ENOSPC);
        assert_int_equal(hnsw_info(index).count, 10);
        assert_int_equal(add_vectors(index, vectors + 30, 5, 11, 1), 0);
        assert_int_equal(add_vectors(index, vectors, 0, 11, 1), 0);
        assert_int_equal(hnsw_info(index).count, 15);
        (void) hnsw_free(index);
        free(vectors);
}

static void parameters_that_cannot_be(void **state)
{
        (void) state;
        struct hnsw_params good = plain_params(3), bad[7];
        for (int i = 0; i < 7; i++)
                bad[i] = good;
        bad[0].dimension = 0;
        bad[1].dimension = HNSW_DIMENSION_MAX + 1;
        bad[2].m = 1;
        bad[3].m = HNSW_M_MAX + 1;
        bad[4].m = UINT32_MAX;
        bad[5].ef_construction = 0;
        bad[6].ef_construction = UINT32_MAX;
        for (int i = 0; i < 7; i++) {
                struct hnsw *index = NULL;
                struct error e = { 0 };
                assert_int_equal(hnsw_new(&bad[i], 10, &index, &e), -EINVAL);
                assert_true(e.code == -EINVAL && e.text[0] != '\0' && index == NULL);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_graph_is_hnswlibs),
                cmocka_unit_test(pieces_make_no_difference),
                cmocka_unit_test(an_element_is_as_it_was_given),
                cmocka_unit_test(cosine_keeps_lengths),
                cmocka_unit_test(cosine_keeps_what_is_stored),
                cmocka_unit_test(labels_are_any_numbers),
                cmocka_unit_test(a_label_that_is_there_adds_nothing),
                cmocka_unit_test(there_is_no_room_but_what_was_reserved),
                cmocka_unit_test(parameters_that_cannot_be),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
