/*
 * How well a search in an index on disk finds what is nearest, by our engine whoever made the index: index_recall SEGMENT QUERIES EF...
 *
 * Prints "elements", "live", and for each ef "recall EF PERCENT MISSED ASKED": recall@10 of so many random queries against all live vectors, and how many of the live elements (of some thousands that
 * lie evenly) a search for their own vector does not find. The space is l2; the queries are the same for every index of a dimension.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/hnsw/hnsw.h"
#include "tests/bench/files.h"

#define K 10u
#define SELVES 5000u
#define NUMBER_MAX 1000000u

struct judging {
        struct hnsw *index;
        struct hnsw_searcher *searcher;
        size_t dimension, live, query_count;
        float *queries;
        struct hnsw_result *nearest; /* K of each query, nearest first */
};

static uint32_t number(const char *text)
{
        char *end;
        unsigned long value = strtoul(text, &end, 10);
        if (*end != '\0' || value == 0 || value > NUMBER_MAX)
                bench_die("a number that will do was expected");
        return (uint32_t) value;
}

static struct hnsw *load(const char *segment)
{
        struct hnsw_params params = { .space = SPACE_L2, .library = HNSW_PYTHON, .stage_fd = -1 };
        struct hnsw *index = NULL;
        struct error e = { 0 };
        int fd = open(segment, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || hnsw_load(fd, &params, 0, NULL, NULL, &index, &e) < 0)
                bench_die(fd < 0 ? segment : e.text);
        (void) close(fd);
        return index;
}

static float next_float(uint64_t *state)
{
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return (float) (*state >> 40) / (float) (1 << 24) - 0.5f;
}

/* Ends with less than K live ones: those that are missing would count as found. */
static void find_nearest(const struct judging *j, const float *query, struct hnsw_result *ret)
{
        size_t kept = 0;
        for (uint32_t id = 0; id < hnsw_info(j->index).count; id++) {
                const float *vector = hnsw_vector(j->index, id);
                float distance;
                if (hnsw_is_deleted(j->index, id))
                        continue;
                hnsw_kernels()[0]->l2(query, &vector, 1, j->dimension, &distance);
                if (kept == K && distance >= ret[K - 1].distance)
                        continue;
                size_t at = kept < K ? kept++ : K - 1;
                for (; at > 0 && ret[at - 1].distance > distance; at--)
                        ret[at] = ret[at - 1];
                ret[at] = (struct hnsw_result){ .label = hnsw_label(j->index, id), .distance = distance };
        }
        if (kept < K)
                bench_die("less than ten elements are live");
}

static void begin(struct judging *j, const char *segment, uint32_t query_count)
{
        uint64_t random = UINT64_C(0x9e3779b97f4a7c15);
        j->index = load(segment);
        struct hnsw_info info = hnsw_info(j->index);
        j->dimension = info.params.dimension;
        j->live = info.count - info.deleted;
        j->query_count = query_count;
        j->searcher = hnsw_searcher_new(j->index);
        j->queries = calloc(query_count * j->dimension, sizeof(*j->queries));
        j->nearest = calloc((size_t) query_count * K, sizeof(*j->nearest));
        if (j->searcher == NULL || j->queries == NULL || j->nearest == NULL)
                bench_die("no memory");
        for (size_t i = 0; i < query_count * j->dimension; i++)
                j->queries[i] = next_float(&random);
        for (size_t i = 0; i < query_count; i++)
                find_nearest(j, j->queries + i * j->dimension, j->nearest + i * K);
        printf("elements %" PRIu64 "\nlive %zu\n", info.count, j->live);
}

static double recall(const struct judging *j, uint32_t ef)
{
        size_t hits = 0;
        for (size_t i = 0; i < j->query_count; i++) {
                struct hnsw_result found[K];
                int64_t count = hnsw_search(j->searcher, j->queries + i * j->dimension, K, ef, found);
                for (int64_t a = 0; a < count; a++)
                        for (size_t b = 0; b < K; b++)
                                hits += found[a].label == j->nearest[i * K + b].label;
        }
        return 100.0 * (double) hits / (double) (j->query_count * K);
}

/* Of several that are equal, any is the one. */
static size_t count_missed(const struct judging *j, uint32_t ef, size_t *ret_asked)
{
        size_t missed = 0, step = j->live / SELVES + 1, live = 0;
        *ret_asked = 0;
        for (uint32_t id = 0; id < hnsw_info(j->index).count; id++) {
                struct hnsw_result first;
                if (hnsw_is_deleted(j->index, id) || live++ % step != 0)
                        continue;
                ++*ret_asked;
                missed += hnsw_search(j->searcher, hnsw_vector(j->index, id), 1, ef, &first) != 1 ||
                          (first.label != hnsw_label(j->index, id) && first.distance > 0);
        }
        return missed;
}

int main(int argc, char **argv)
{
        struct judging j = { 0 };
        if (argc < 4)
                bench_die("SEGMENT QUERIES EF...");
        begin(&j, argv[1], number(argv[2]));
        for (int i = 3; i < argc; i++) {
                uint32_t ef = number(argv[i]);
                size_t asked, missed = count_missed(&j, ef, &asked);
                printf("recall %u %.1f %zu %zu\n", ef, recall(&j, ef), missed, asked);
        }
        (void) hnsw_searcher_free(j.searcher);
        (void) hnsw_free(j.index);
        free(j.queries);
        free(j.nearest);
        return 0;
}
