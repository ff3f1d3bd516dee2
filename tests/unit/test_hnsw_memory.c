/* Each allocation fails once: the index is as it was, and the next attempt does what the first would have done. Sanitizers have allocators of their own: there is nothing to test with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "tests/unit/hnsw_build.h"
#include "tests/unit/malloc_fails.h"

#define DIMENSION 6u

#if OWN_ALLOCATOR
static long until_failure = -1; /* so many allocations succeed yet; -1: all */

static bool allocation_fails(void)
{
        if (until_failure < 0)
                return false;
        if (until_failure == 0) {
                until_failure = -1;
                errno = ENOMEM;
                return true;
        }
        until_failure--;
        return false;
}

struct scene {
        struct hnsw *index;
        float *vectors;
        struct hnsw_item *items; /* the second hundred */
};

static struct hnsw_params params_of(void)
{
        struct hnsw_params params = plain_params(DIMENSION);
        params.space = SPACE_COSINE;
        params.m = 4;
        return params;
}

static int create(struct scene *s)
{
        struct hnsw_params params = params_of();
        struct hnsw *index = NULL;
        int r = hnsw_new(&params, 100, &index, NULL);
        if (r < 0) {
                assert_null(index);
                return r;
        }
        (void) hnsw_free(s->index);
        s->index = index;
        return 0;
}

static int add_first(struct scene *s)
{
        return hnsw_add(s->index, s->items - 100, 100, 1, NULL, NULL, NULL);
}

static int reserve(struct scene *s)
{
        return hnsw_reserve(s->index, 100, NULL);
}

static int add_second(struct scene *s)
{
        return hnsw_add(s->index, s->items, 100, 1, NULL, NULL, NULL);
}

static int update(struct scene *s)
{
        return hnsw_update(s->index, 50, s->vectors, NULL);
}

static int search(struct scene *s)
{
        struct hnsw_searcher *searcher = hnsw_searcher_new(s->index);
        if (searcher == NULL)
                return -ENOMEM;
        struct hnsw_result results[5];
        int64_t r = hnsw_search(searcher, s->vectors, 5, 500, results);
        (void) hnsw_searcher_free(searcher);
        return r == 5 ? 0 : (int) r;
}

/* Makes the first allocation fail, then the second … until none does. */
static int until_it_succeeds(int (*step)(struct scene *), struct scene *s)
{
        for (int failures = 0;; failures++) {
                struct hnsw_info before = { 0 };
                if (s->index != NULL)
                        before = hnsw_info(s->index);
                uint64_t sum = s->index == NULL ? 0 : graph_sum(s->index);
                until_failure = failures;
                int r = step(s);
                bool had_all = until_failure >= 0;
                until_failure = -1;
                if (r == 0) {
                        assert_true(had_all);
                        return failures;
                }
                assert_int_equal(r, -ENOMEM);
                if (s->index == NULL)
                        continue;
                assert_true(graph_sum(s->index) == sum && hnsw_info(s->index).count == before.count);
                assert_true(hnsw_info(s->index).upper_bytes == before.upper_bytes);
                assert_true(hnsw_info(s->index).capacity == before.capacity);
                assert_int_equal(hnsw_find(s->index, before.count + 1), UINT32_MAX);
                assert_null(graph_fault(s->index));
        }
}

static void each_allocation_fails(void **state)
{
        (void) state;
        struct scene s = { .vectors = random_floats(51, (size_t) 200 * DIMENSION) };
        struct hnsw_item *items = make_items(s.vectors, 200, DIMENSION, 1);
        s.items = items + 100;
        assert_true(until_it_succeeds(create, &s) >= 5);
        assert_true(until_it_succeeds(add_first, &s) >= 10);
        assert_true(until_it_succeeds(reserve, &s) >= 4);
        assert_true(until_it_succeeds(add_second, &s) >= 10);
        assert_true(until_it_succeeds(update, &s) >= 1);
        assert_true(until_it_succeeds(search, &s) >= 10);
        struct hnsw_params params = params_of();
        struct hnsw *other = build_index(&params, s.vectors, 200, 1);
        assert_int_equal(hnsw_update(other, 50, s.vectors, NULL), 0);
        assert_true(graph_sum(other) == graph_sum(s.index));
        (void) hnsw_free(other);
        (void) hnsw_free(s.index);
        free(items);
        free(s.vectors);
}
#else
static void each_allocation_fails(void **state)
{
        (void) state;
}
#endif

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_allocation_fails),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
