/*
 * Builds an index of vectors, and says how fast, how well and with how much memory that went.
 *
 *   hnsw_speed make FOLDER COUNT DIMENSION    vectors, queries, and the nearest 10 of each query, for all programs that are compared
 *   hnsw_speed run FOLDER THREADS [exact]     prints: inserts a second, recall@10 with ef 50, peak memory / size of the index,
 *                                             inserts a second of processor time
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops/hnsw/hnsw.h"
#include "tests/bench/files.h"

#define QUERIES 1000u
#define K 10u
#define EF 50u

static void write_file(const char *folder, const char *name, const void *bytes, size_t size)
{
        FILE *file = bench_open(folder, name, "we");
        if (fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
                bench_die("the file system is full");
}

/* --- make --- */

static float next_float(uint64_t *state)
{
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return (float) (*state >> 40) / (float) (1 << 24) - 0.5f;
}

static void find_nearest(const float *vectors, size_t count, size_t dimension, const float *query, uint32_t *ret)
{
        float nearest[K + 1] = { 0 };
        size_t kept = 0;
        for (size_t i = 0; i < count; i++) {
                const float *vector = vectors + i * dimension;
                float distance;
                hnsw_kernels()[0]->l2(query, &vector, 1, dimension, &distance);
                if (kept == K && distance >= nearest[K - 1])
                        continue;
                size_t at = kept < K ? kept++ : K - 1;
                for (; at > 0 && nearest[at - 1] > distance; at--) {
                        nearest[at] = nearest[at - 1];
                        ret[at] = ret[at - 1];
                }
                nearest[at] = distance;
                ret[at] = (uint32_t) i;
        }
}

static void make(const char *folder, size_t count, size_t dimension)
{
        size_t floats = (count + QUERIES) * dimension;
        float *values = malloc(floats * sizeof(*values));
        uint32_t *truth = calloc((size_t) QUERIES * K, sizeof(*truth));
        if (values == NULL || truth == NULL || count < K)
                bench_die("no memory");
        uint64_t state = UINT64_C(88172645463325252);
        for (size_t i = 0; i < floats; i++)
                values[i] = next_float(&state);
        const float *queries = values + count * dimension;
        for (size_t i = 0; i < QUERIES; i++)
                find_nearest(values, count, dimension, queries + i * dimension, truth + i * K);
        write_file(folder, "vectors", values, count * dimension * sizeof(*values));
        write_file(folder, "queries", queries, (size_t) QUERIES * dimension * sizeof(*values));
        write_file(folder, "truth", truth, (size_t) QUERIES * K * sizeof(*truth));
        free(values);
        free(truth);
}

/* --- run --- */

static double now(clockid_t clock)
{
        struct timespec t;
        (void) clock_gettime(clock, &t);
        return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

/* A line of /proc/self/status, in bytes. */
static double memory(const char *name)
{
        char line[256];
        double kib = 0;
        FILE *file = fopen("/proc/self/status", "re");
        if (file == NULL)
                return 0;
        while (fgets(line, sizeof(line), file) != NULL)
                if (strncmp(line, name, strlen(name)) == 0)
                        kib = strtod(line + strlen(name), NULL);
        (void) fclose(file);
        return kib * 1024;
}

static double recall(const struct hnsw *index, const float *queries, const uint32_t *truth)
{
        size_t found = 0, dimension = hnsw_info(index).params.dimension;
        struct hnsw_searcher *searcher = hnsw_searcher_new(index);
        if (searcher == NULL)
                bench_die("no memory");
        for (size_t i = 0; i < QUERIES; i++) {
                struct hnsw_result results[K];
                int64_t count = hnsw_search(searcher, queries + i * dimension, K, EF, results);
                for (int64_t j = 0; j < count; j++)
                        for (size_t k = 0; k < K; k++)
                                found += results[j].label == truth[i * K + k] + 1;
        }
        (void) hnsw_searcher_free(searcher);
        return (double) found / (QUERIES * K);
}

static struct hnsw_item *make_items(const float *vectors, size_t count, size_t dimension)
{
        struct hnsw_item *items = calloc(count, sizeof(*items));
        if (items == NULL)
                bench_die("no memory");
        for (size_t i = 0; i < count; i++)
                items[i] = (struct hnsw_item){ .label = i + 1, .vector = vectors + i * dimension };
        return items;
}

static void run(const char *folder, unsigned threads, bool exact)
{
        size_t vector_bytes, query_bytes, truth_bytes;
        float *vectors = bench_read(folder, "vectors", &vector_bytes), *queries = bench_read(folder, "queries", &query_bytes);
        uint32_t *truth = bench_read(folder, "truth", &truth_bytes);
        size_t dimension = query_bytes / QUERIES / sizeof(float), count = vector_bytes / dimension / sizeof(float);
        struct hnsw_item *items = make_items(vectors, count, dimension);
        struct hnsw_params params = { .space = SPACE_L2,
                                      .dimension = (uint32_t) dimension,
                                      .m = 16,
                                      .ef_construction = 100,
                                      .library = HNSW_PYTHON,
                                      .exact = exact,
                                      .stage_fd = -1 };
        struct hnsw *index = NULL;
        struct error e = { 0 };
        double before = memory("VmRSS:"), started = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID);
        if (hnsw_new(&params, count, &index, &e) < 0 || hnsw_add(index, items, count, threads, NULL, NULL, &e) < 0)
                bench_die(e.text);
        double seconds = now(CLOCK_MONOTONIC) - started, processor = now(CLOCK_PROCESS_CPUTIME_ID) - used,
               peak = memory("VmHWM:") - before;
        struct hnsw_info info = hnsw_info(index);
        double size = (double) info.count * (double) (info.record_size + sizeof(uint32_t)) + (double) info.upper_bytes;
        (void) printf("%.0f %.4f %.2f %.0f\n", (double) count / seconds, recall(index, queries, truth), peak / size,
                      (double) count / processor);
        (void) hnsw_free(index);
        free(items);
        free(vectors);
        free(queries);
        free(truth);
}

int main(int argc, char **argv)
{
        if (argc == 5 && strcmp(argv[1], "make") == 0)
                make(argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
        else if (argc >= 4 && strcmp(argv[1], "run") == 0)
                run(argv[2], (unsigned) strtoul(argv[3], NULL, 10), argc > 4 && strcmp(argv[4], "exact") == 0);
        else
                bench_die("make FOLDER COUNT DIMENSION, or run FOLDER THREADS [exact]");
        return 0;
}
