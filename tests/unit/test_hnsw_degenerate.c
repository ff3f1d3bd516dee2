#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/hnsw_build.h"

static const enum hnsw_space spaces[] = { SPACE_L2, SPACE_COSINE, SPACE_IP };

static void an_empty_index(void **state)
{
        (void) state;
        struct hnsw_params params = plain_params(3);
        struct hnsw *index = build_index(&params, NULL, 0, 2);
        struct hnsw_searcher *searcher = hnsw_searcher_new(index);
        const float query[3] = { 0 };
        struct hnsw_result result;
        assert_int_equal(hnsw_search(searcher, query, 1, 10, &result), 0);
        assert_int_equal(hnsw_info(index).max_level, -1);
        assert_true(hnsw_info(index).entry_point == UINT32_MAX);
        assert_int_equal(hnsw_find(index, 1), UINT32_MAX);
        assert_int_equal(hnsw_delete(index, 1, NULL), -ENOENT);
        assert_int_equal(hnsw_update(index, 1, query, NULL), -ENOENT);
        assert_null(graph_fault(index));
        (void) hnsw_searcher_free(searcher);
        (void) hnsw_free(index);
        assert_null(hnsw_free(NULL));
        assert_null(hnsw_searcher_free(NULL));
}

static void few_elements(void **state)
{
        (void) state;
        float *vectors = random_floats(31, 10);
        struct hnsw_params params = plain_params(2);
        struct hnsw_result results[10];
        for (size_t count = 1; count <= 5; count++) {
                struct hnsw *index = build_index(&params, vectors, count, 2);
                struct hnsw_searcher *searcher = hnsw_searcher_new(index);
                assert_int_equal(hnsw_search(searcher, vectors, 10, 1, results), count);
                assert_true(results[0].label == 1 && results[0].distance == 0);
                assert_int_equal(hnsw_search(searcher, vectors, 0, 10, results), 0);
                assert_int_equal(hnsw_search(searcher, vectors, 1, UINT32_MAX, results), 1);
                assert_int_equal(count_found(index, 1), count);
                assert_null(graph_fault(index));
                (void) hnsw_searcher_free(searcher);
                (void) hnsw_free(index);
        }
        free(vectors);
}

/* Builds with one thread and with two, searches for everything, updates and deletes some. */
static void try_vectors(const struct hnsw_params *params, float *vectors, size_t count)
{
        for (unsigned threads = 1; threads <= 2; threads++) {
                struct hnsw *index = build_index(params, vectors, count, threads);
                assert_null(graph_fault(index));
                (void) count_found(index, 20);
                for (uint64_t label = 1; label <= count; label += 5)
                        assert_int_equal(hnsw_update(index, label, vectors, NULL), 0);
                for (uint64_t label = 2; label <= count; label += 5)
                        assert_int_equal(hnsw_delete(index, label, NULL), 0);
                assert_null(graph_fault(index));
                struct hnsw_searcher *searcher = hnsw_searcher_new(index);
                struct hnsw_result results[10];
                int64_t found = hnsw_search(searcher, vectors, 10, 20, results);
                assert_in_range(found, 1, 10);
                for (int64_t i = 0; i < found; i++)
                        assert_true(results[i].distance == results[i].distance);
                (void) hnsw_searcher_free(searcher);
                (void) hnsw_free(index);
        }
}

/* In each space, and with both orders of summation. */
static void try_everywhere(float *vectors, size_t count, uint32_t dimension)
{
        for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
                struct hnsw_params params = plain_params(dimension);
                params.space = spaces[i];
                params.exact = i == 1;
                try_vectors(&params, vectors, count);
        }
}

static void all_vectors_equal(void **state)
{
        (void) state;
        static const float values[] = { 1, 0, -3e30f, FLT_TRUE_MIN, NAN, INFINITY, -INFINITY };
        float *vectors = calloc((size_t) 300 * 5, sizeof(*vectors));
        for (size_t v = 0; v < sizeof(values) / sizeof(*values); v++) {
                for (size_t i = 0; i < (size_t) 300 * 5; i++)
                        vectors[i] = values[v];
                try_everywhere(vectors, 300, 5);
        }
        free(vectors);
}

static void some_numbers_that_are_none(void **state)
{
        (void) state;
        static const float values[] = { NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, FLT_TRUE_MIN, 0, -0.0f };
        float *vectors = random_floats(33, (size_t) 400 * 7);
        for (size_t i = 0; i < (size_t) 400 * 7; i += 1 + i % 9)
                vectors[i] = values[i % (sizeof(values) / sizeof(*values))];
        try_everywhere(vectors, 400, 7);
        free(vectors);
}

/* Vectors that are no numbers are as far from all others as can be, and hide none of them. */
static void the_others_are_found_all_the_same(void **state)
{
        (void) state;
        float *vectors = random_floats(34, (size_t) 500 * 8);
        for (size_t i = 0; i < 500; i += 5)
                vectors[i * 8 + i % 8] = i % 2 == 0 ? NAN : INFINITY;
        struct hnsw_params params = plain_params(8);
        struct hnsw *index = build_index(&params, vectors, 500, 1);
        assert_true(count_found(index, 100) >= 380);
        (void) hnsw_free(index);
        free(vectors);
}

static void a_query_that_is_no_number(void **state)
{
        (void) state;
        float *vectors = random_floats(35, (size_t) 200 * 3);
        const float query[3] = { NAN, 0, 0 };
        for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
                struct hnsw_params params = plain_params(3);
                params.space = spaces[i];
                struct hnsw *index = build_index(&params, vectors, 200, 1);
                struct hnsw_searcher *searcher = hnsw_searcher_new(index);
                struct hnsw_result results[10];
                assert_in_range(hnsw_search(searcher, query, 10, 10, results), 1, 10);
                assert_true(isinf(results[0].distance));
                (void) hnsw_searcher_free(searcher);
                (void) hnsw_free(index);
        }
        free(vectors);
}

static void extreme_parameters(void **state)
{
        (void) state;
        static const struct {
                uint32_t dimension, m, ef_construction;
                size_t count;
        } cases[] = { { 1, 16, 100, 1000 }, { 4096, 16, 20, 60 },      { 5, 2, 100, 1000 },       { 5, 100, 100, 1000 },
                      { 5, 100, 1, 500 },   { 5, 16, INT32_MAX, 300 }, { 5, HNSW_M_MAX, 1, 100 }, { 2, 2, 1, 1000 } };
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                struct hnsw_params params = plain_params(cases[i].dimension);
                params.m = cases[i].m;
                params.ef_construction = cases[i].ef_construction;
                float *vectors = random_floats(36 + i, cases[i].count * cases[i].dimension);
                struct hnsw *index = build_index(&params, vectors, cases[i].count, 1);
                uint32_t ef = hnsw_info(index).params.ef_construction;
                assert_true(ef == (params.ef_construction < params.m ? params.m : params.ef_construction));
                if (params.m > 2)
                        assert_int_equal(count_found(index, 200), cases[i].count);
                (void) hnsw_free(index);
                try_vectors(&params, vectors, cases[i].count);
                free(vectors);
        }
}

/* Two dimensions, as many elements as one wants to wait for: a million with FULL=1. */
static void many_elements_of_dimension_two(void **state)
{
        (void) state;
        size_t count = getenv("FULL") != NULL ? 1000000 : 20000;
        float *vectors = random_floats(37, 2 * count);
        struct hnsw_params params = plain_params(2);
        params.exact = false;
        struct hnsw *index = build_index(&params, vectors, count, 2);
        assert_null(graph_fault(index));
        assert_true(count_found(index, 20) >= count - count / 100);
        (void) hnsw_free(index);
        free(vectors);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_empty_index),
                cmocka_unit_test(few_elements),
                cmocka_unit_test(all_vectors_equal),
                cmocka_unit_test(some_numbers_that_are_none),
                cmocka_unit_test(the_others_are_found_all_the_same),
                cmocka_unit_test(a_query_that_is_no_number),
                cmocka_unit_test(extreme_parameters),
                cmocka_unit_test(many_elements_of_dimension_two),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
