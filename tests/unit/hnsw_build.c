#include "tests/unit/hnsw_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

float *random_floats(uint64_t seed, size_t count)
{
        float *values = malloc((count + 1) * sizeof(*values));
        assert_non_null(values);
        for (size_t i = 0; i < count; i++) {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                values[i] = (float) (seed >> 40) / (float) (1 << 24) - 0.5f;
        }
        return values;
}

struct hnsw_params plain_params(uint32_t dimension)
{
        return (struct hnsw_params){ .space = SPACE_L2,
                                     .dimension = dimension,
                                     .m = 16,
                                     .ef_construction = 100,
                                     .library = HNSW_PYTHON,
                                     .exact = true,
                                     .stage_fd = -1 };
}

struct hnsw_item *make_items(const float *vectors, size_t count, uint32_t dimension, uint64_t label)
{
        struct hnsw_item *items = calloc(count + 1, sizeof(*items));
        assert_non_null(items);
        for (size_t i = 0; i < count; i++)
                items[i] = (struct hnsw_item){ .label = label + i, .vector = vectors + i * dimension };
        return items;
}

int add_vectors(struct hnsw *index, const float *vectors, size_t count, uint64_t label, unsigned threads)
{
        struct hnsw_item *items = make_items(vectors, count, hnsw_info(index).params.dimension, label);
        int r = hnsw_add(index, items, count, threads, NULL, NULL, NULL);
        free(items);
        return r;
}

struct hnsw *build_index(const struct hnsw_params *params, const float *vectors, size_t count, unsigned threads)
{
        struct hnsw *index = NULL;
        assert_int_equal(hnsw_new(params, count, &index, NULL), 0);
        assert_int_equal(add_vectors(index, vectors, count, 1, threads), 0);
        return index;
}

uint64_t graph_sum(const struct hnsw *index)
{
        uint64_t sum = 0, elements = hnsw_info(index).count;
        for (uint32_t id = 0; id < elements; id++) {
                uint32_t count;
                const uint32_t *links;
                for (int level = 0; (links = hnsw_links(index, id, level, &count)) != NULL; level++)
                        for (uint32_t i = 0; i < count; i++)
                                sum = sum * UINT64_C(1099511628211) + links[i] + 1;
        }
        return sum;
}

static const char *list_fault(const struct hnsw *index, uint32_t id, int level, const uint32_t *links, uint32_t count)
{
        struct hnsw_info info = hnsw_info(index);
        if (count > info.params.m * (level == 0 ? 2 : 1))
                return "a list with too many links";
        for (uint32_t i = 0; i < count; i++) {
                uint32_t unused;
                if (links[i] >= info.count)
                        return "a link to an element that is not there";
                if (links[i] == id)
                        return "a link to itself";
                if (hnsw_links(index, links[i], level, &unused) == NULL)
                        return "a link to an element that is not on its level";
                for (uint32_t j = 0; j < i; j++)
                        if (links[j] == links[i])
                                return "a link twice";
        }
        return NULL;
}

const char *graph_fault(const struct hnsw *index)
{
        struct hnsw_info info = hnsw_info(index);
        uint64_t deleted = 0;
        int highest = -1;
        for (uint32_t id = 0; id < info.count; id++) {
                uint32_t count;
                const uint32_t *links;
                int level = 0;
                for (; (links = hnsw_links(index, id, level, &count)) != NULL; level++) {
                        const char *fault = list_fault(index, id, level, links, count);
                        if (fault != NULL)
                                return fault;
                }
                if (hnsw_find(index, hnsw_label(index, id)) != id)
                        return "a label that leads elsewhere";
                deleted += hnsw_is_deleted(index, id);
                highest = level - 1 > highest ? level - 1 : highest;
        }
        uint32_t unused;
        if (deleted != info.deleted || highest != info.max_level)
                return "counts that are wrong";
        return info.count > 0 && hnsw_links(index, info.entry_point, highest, &unused) == NULL ? "an entry point below the top"
                                                                                               : NULL;
}

uint64_t count_found(const struct hnsw *index, uint32_t ef)
{
        struct hnsw_searcher *searcher = hnsw_searcher_new(index);
        assert_non_null(searcher);
        uint64_t found = 0, elements = hnsw_info(index).count;
        for (uint32_t id = 0; id < elements; id++) {
                struct hnsw_result nearest;
                if (hnsw_is_deleted(index, id) || hnsw_search(searcher, hnsw_vector(index, id), 1, ef, &nearest) != 1)
                        continue;
                found += nearest.label == hnsw_label(index, id);
        }
        (void) hnsw_searcher_free(searcher);
        return found;
}
