#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "tests/unit/hnsw_build.h"

#define DIMENSION 16u
#define COUNT 4000u

/* Levels are what one thread gives; links differ from run to run. */
static void threads_build_a_graph(void **state)
{
        (void) state;
        float *vectors = random_floats(21, (size_t) COUNT * DIMENSION);
        struct hnsw_params params = plain_params(DIMENSION);
        struct hnsw *alone = build_index(&params, vectors, COUNT, 1);
        for (unsigned threads = 2; threads <= 8; threads += 3) {
                struct hnsw *index = build_index(&params, vectors, COUNT, threads);
                assert_null(graph_fault(index));
                assert_int_equal(hnsw_info(index).max_level, hnsw_info(alone).max_level);
                for (uint32_t id = 0; id < COUNT; id++)
                        for (int level = 0; level <= hnsw_info(alone).max_level; level++) {
                                uint32_t count;
                                assert_true((hnsw_links(index, id, level, &count) == NULL) ==
                                            (hnsw_links(alone, id, level, &count) == NULL));
                        }
                assert_true(count_found(index, 50) >= COUNT - COUNT / 200);
                (void) hnsw_free(index);
        }
        assert_true(count_found(alone, 50) >= COUNT - COUNT / 200);
        (void) hnsw_free(alone);
        free(vectors);
}

/* With M 2 half of the elements have upper levels, and the top is often a new one. */
static void many_levels(void **state)
{
        (void) state;
        float *vectors = random_floats(22, (size_t) COUNT * DIMENSION);
        struct hnsw_params params = plain_params(DIMENSION);
        params.m = 2;
        params.ef_construction = 10;
        for (int round = 0; round < 5; round++) {
                struct hnsw *index = build_index(&params, vectors, COUNT, 4);
                assert_null(graph_fault(index));
                (void) hnsw_free(index);
        }
        free(vectors);
}

/* Onto what is there, and onto what is deleted. */
static void threads_extend(void **state)
{
        (void) state;
        float *vectors = random_floats(23, (size_t) COUNT * DIMENSION);
        struct hnsw_params params = plain_params(DIMENSION);
        struct hnsw *index = build_index(&params, vectors, 100, 3);
        assert_int_equal(hnsw_reserve(index, COUNT - 100, NULL), 0);
        for (size_t from = 100; from < COUNT; from += 1300) {
                for (uint64_t label = from - 99; label <= from; label++)
                        assert_int_equal(hnsw_delete(index, label, NULL), 0);
                assert_int_equal(add_vectors(index, vectors + from * DIMENSION, 1300, from + 1, 3), 0);
                assert_null(graph_fault(index));
        }
        uint64_t live = COUNT - hnsw_info(index).deleted;
        assert_true(count_found(index, 100) >= live - live / 200);
        (void) hnsw_free(index);
        free(vectors);
}

/* --- cancelled --- */

struct patience {
        pthread_t caller;
        int asked, patience;
};

static bool is_impatient(void *context)
{
        struct patience *p = context;
        assert_true(pthread_equal(p->caller, pthread_self()));
        return ++p->asked > p->patience;
}

static void cancelled(void **state)
{
        (void) state;
        float *vectors = random_floats(24, (size_t) COUNT * DIMENSION);
        struct hnsw_params params = plain_params(DIMENSION);
        struct hnsw_item *items = make_items(vectors, COUNT, DIMENSION, 1);
        for (unsigned threads = 1; threads <= 2; threads++)
                for (int patience = 0; patience < 30; patience += 9) {
                        struct patience p = { .caller = pthread_self(), .patience = patience };
                        struct hnsw *index = NULL;
                        struct error e = { 0 };
                        assert_int_equal(hnsw_new(&params, COUNT, &index, NULL), 0);
                        assert_int_equal(hnsw_add(index, items, COUNT, threads, is_impatient, &p, &e), -EINTR);
                        assert_int_equal(e.code, -EINTR);
                        assert_int_equal(p.asked, patience + 1);
                        (void) hnsw_free(index);
                }
        free(items);
        free(vectors);
}

/* --- searches beside each other --- */

static void *search_all(void *index)
{
        return count_found(index, 50) >= 990 ? NULL : index;
}

static void searchers_share_an_index(void **state)
{
        (void) state;
        float *vectors = random_floats(25, (size_t) 1000 * DIMENSION);
        struct hnsw_params params = plain_params(DIMENSION);
        params.space = SPACE_COSINE;
        struct hnsw *index = build_index(&params, vectors, 1000, 2);
        pthread_t threads[3];
        for (int i = 0; i < 3; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, search_all, index), 0);
        for (int i = 0; i < 3; i++) {
                void *failed;
                assert_int_equal(pthread_join(threads[i], &failed), 0);
                assert_null(failed);
        }
        (void) hnsw_free(index);
        free(vectors);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(threads_build_a_graph),    cmocka_unit_test(many_levels),
                cmocka_unit_test(threads_extend),           cmocka_unit_test(cancelled),
                cmocka_unit_test(searchers_share_an_index),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
