#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/hnsw_build.h"

#define DIMENSION 20u
#define COUNT 1000u

struct scene {
        struct hnsw *index;
        float *vectors; /* 2 * COUNT */
};

static int make_scene(void **state)
{
        struct scene *s = calloc(1, sizeof(*s));
        struct hnsw_params params = plain_params(DIMENSION);
        s->vectors = random_floats(11, (size_t) 2 * COUNT * DIMENSION);
        s->index = build_index(&params, s->vectors, COUNT, 1);
        *state = s;
        return 0;
}

static int end_scene(void **state)
{
        struct scene *s = *state;
        (void) hnsw_free(s->index);
        free(s->vectors);
        free(s);
        return 0;
}

static const float *second(const struct scene *s, uint64_t label)
{
        return s->vectors + (COUNT + label - 1) * DIMENSION;
}

static bool finds(const struct scene *s, const float *query, uint64_t label)
{
        struct hnsw_searcher *searcher = hnsw_searcher_new(s->index);
        struct hnsw_result results[10];
        int64_t count = hnsw_search(searcher, query, 10, 100, results);
        bool found = false;
        for (int64_t i = 0; i < count; i++)
                found = found || results[i].label == label;
        (void) hnsw_searcher_free(searcher);
        return found;
}

static void an_update_is_found_where_it_went(void **state)
{
        struct scene *s = *state;
        for (uint64_t label = 1; label <= COUNT; label += 3) {
                assert_int_equal(hnsw_update(s->index, label, second(s, label), NULL), 0);
                assert_memory_equal(hnsw_vector(s->index, (uint32_t) label - 1), second(s, label), DIMENSION * sizeof(float));
        }
        assert_null(graph_fault(s->index));
        assert_int_equal(hnsw_info(s->index).count, COUNT);
        assert_true(count_found(s->index, 100) >= COUNT - 2);
}

static void what_is_deleted_is_no_result(void **state)
{
        struct scene *s = *state;
        assert_true(finds(s, s->vectors, 1));
        assert_int_equal(hnsw_delete(s->index, 1, NULL), 0);
        assert_false(finds(s, s->vectors, 1));
        assert_true(hnsw_is_deleted(s->index, 0));
        assert_int_equal(hnsw_info(s->index).deleted, 1);
        assert_int_equal(hnsw_delete(s->index, 1, NULL), -ENOENT);
        assert_int_equal(hnsw_find(s->index, 1), 0);
        assert_null(graph_fault(s->index));
}

static void an_update_undeletes(void **state)
{
        struct scene *s = *state;
        assert_int_equal(hnsw_delete(s->index, 7, NULL), 0);
        assert_int_equal(hnsw_update(s->index, 7, second(s, 7), NULL), 0);
        assert_int_equal(hnsw_info(s->index).deleted, 0);
        assert_true(finds(s, second(s, 7), 7));
}

static void labels_that_are_not_there(void **state)
{
        struct scene *s = *state;
        struct error e = { 0 };
        assert_int_equal(hnsw_update(s->index, COUNT + 1, s->vectors, &e), -ENOENT);
        assert_non_null(strstr(e.text, "1001"));
        assert_int_equal(hnsw_delete(s->index, 0, &e), -ENOENT);
        assert_null(graph_fault(s->index));
}

static void all_deleted_then_more(void **state)
{
        struct scene *s = *state;
        struct hnsw_result result;
        for (uint64_t label = 1; label <= COUNT; label++)
                assert_int_equal(hnsw_delete(s->index, label, NULL), 0);
        struct hnsw_searcher *searcher = hnsw_searcher_new(s->index);
        assert_int_equal(hnsw_search(searcher, s->vectors, 1, 10, &result), 0);
        assert_int_equal(hnsw_reserve(s->index, 100, NULL), 0);
        assert_int_equal(add_vectors(s->index, second(s, 1), 100, COUNT + 1, 1), 0);
        assert_null(graph_fault(s->index));
        assert_int_equal(hnsw_search(searcher, second(s, 1), 1, 10, &result), 1);
        assert_int_equal(result.label, COUNT + 1);
        assert_int_equal(count_found(s->index, 10), 100);
        (void) hnsw_searcher_free(searcher);
}

/* Half are deleted, a third of the rest gets other vectors: every live one still finds itself. */
static void after_many_deletes_and_updates(void **state)
{
        struct scene *s = *state;
        for (uint64_t label = 1; label <= COUNT; label += 2)
                assert_int_equal(hnsw_delete(s->index, label, NULL), 0);
        for (uint64_t label = 2; label <= COUNT; label += 6)
                assert_int_equal(hnsw_update(s->index, label, second(s, label), NULL), 0);
        assert_null(graph_fault(s->index));
        assert_int_equal(hnsw_info(s->index).deleted, COUNT / 2);
        assert_int_equal(count_found(s->index, 100), COUNT / 2);
}

/* hnswlib forgets the new vector of a lone element (FORMAT 6.5); here it counts. */
static void a_lone_element(void **state)
{
        struct scene *s = *state;
        struct hnsw_params params = plain_params(DIMENSION);
        struct hnsw *index = build_index(&params, s->vectors, 1, 1);
        assert_int_equal(hnsw_update(index, 1, second(s, 1), NULL), 0);
        assert_memory_equal(hnsw_vector(index, 0), second(s, 1), DIMENSION * sizeof(float));
        assert_int_equal(hnsw_delete(index, 1, NULL), 0);
        assert_int_equal(hnsw_update(index, 1, s->vectors, NULL), 0);
        assert_int_equal(count_found(index, 1), 1);
        assert_null(graph_fault(index));
        (void) hnsw_free(index);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_scene, end_scene)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(an_update_is_found_where_it_went),
                TEST(what_is_deleted_is_no_result),
                TEST(an_update_undeletes),
                TEST(labels_that_are_not_there),
                TEST(all_deleted_then_more),
                TEST(after_many_deletes_and_updates),
                TEST(a_lone_element),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
