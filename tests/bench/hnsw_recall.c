/*
 * What an index of ours finds, for tests/chroma/recall.py to judge: hnsw_recall FOLDER l2|cosine THREADS [searches]
 *
 * The folder has vectors (float32, one after the other), queries, deleted and updated (uint32: numbers of vectors), replaced (float32: what the updated ones become), and
 * dimension (uint32). For each ef it gets found.<ef>: the 10 nearest of each query, uint32. Then, without the last word, some are deleted and updated; self.<ef> says of each that is
 * live, in their order, whether a search for its vector has it first (a byte).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/hnsw/hnsw.h"
#include "tests/bench/files.h"

#define K 10u

static const uint32_t efs[] = { 10, 50, 100, 200 };
#define EFS (sizeof(efs) / sizeof(*efs))
#define SELF_EFS 2u /* the first of them */

struct data {
        const char *folder;
        float *vectors, *queries, *replaced;
        uint32_t *deleted, *updated;
        size_t dimension, count, query_count, deleted_count, updated_count;
};

/* *ret_count items of `size` bytes. */
static void *read_items(const char *folder, const char *name, size_t size, size_t *ret_count)
{
        void *bytes = bench_read(folder, name, ret_count);
        *ret_count /= size;
        return bytes;
}

static struct data read_data(const char *folder)
{
        struct data d = { .folder = folder };
        size_t one;
        uint32_t *dimension = read_items(folder, "dimension", sizeof(*dimension), &one);
        d.dimension = *dimension;
        d.vectors = read_items(folder, "vectors", d.dimension * sizeof(float), &d.count);
        d.queries = read_items(folder, "queries", d.dimension * sizeof(float), &d.query_count);
        d.replaced = read_items(folder, "replaced", d.dimension * sizeof(float), &one);
        d.deleted = read_items(folder, "deleted", sizeof(uint32_t), &d.deleted_count);
        d.updated = read_items(folder, "updated", sizeof(uint32_t), &d.updated_count);
        free(dimension);
        return d;
}

static struct hnsw *build(const struct data *d, enum hnsw_space space, unsigned threads)
{
        struct hnsw_params params = { .space = space,
                                      .dimension = (uint32_t) d->dimension,
                                      .m = 16,
                                      .ef_construction = 100,
                                      .library = HNSW_PYTHON,
                                      .stage_fd = -1 };
        struct hnsw_item *items = calloc(d->count, sizeof(*items));
        struct hnsw *index = NULL;
        struct error e = { 0 };
        if (items == NULL)
                bench_die("no memory");
        for (size_t i = 0; i < d->count; i++)
                items[i] = (struct hnsw_item){ .label = i, .vector = d->vectors + i * d->dimension };
        if (hnsw_new(&params, d->count, &index, &e) < 0 || hnsw_add(index, items, d->count, threads, NULL, NULL, &e) < 0)
                bench_die(e.text);
        free(items);
        return index;
}

static void search_queries(const struct data *d, struct hnsw_searcher *searcher, uint32_t ef)
{
        char name[32];
        (void) snprintf(name, sizeof(name), "found.%u", ef);
        FILE *file = bench_open(d->folder, name, "we");
        for (size_t i = 0; i < d->query_count; i++) {
                struct hnsw_result results[K];
                uint32_t labels[K];
                if (hnsw_search(searcher, d->queries + i * d->dimension, K, ef, results) != K)
                        bench_die("less than ten were found");
                for (size_t k = 0; k < K; k++)
                        labels[k] = (uint32_t) results[k].label;
                (void) fwrite(labels, sizeof(*labels), K, file);
        }
        if (fclose(file) != 0)
                bench_die("the file system is full");
}

static void change(const struct data *d, struct hnsw *index)
{
        struct error e = { 0 };
        for (size_t i = 0; i < d->deleted_count; i++)
                if (hnsw_delete(index, d->deleted[i], &e) < 0)
                        bench_die(e.text);
        for (size_t i = 0; i < d->updated_count; i++)
                if (hnsw_update(index, d->updated[i], d->replaced + i * d->dimension, &e) < 0)
                        bench_die(e.text);
}

/* Of several that are equal, any is the one. */
static void search_selves(const struct data *d, const struct hnsw *index, struct hnsw_searcher *searcher, uint32_t ef)
{
        char name[32];
        (void) snprintf(name, sizeof(name), "self.%u", ef);
        FILE *file = bench_open(d->folder, name, "we");
        for (uint32_t id = 0; id < hnsw_info(index).count; id++) {
                struct hnsw_result first;
                if (hnsw_is_deleted(index, id))
                        continue;
                bool is_found = hnsw_search(searcher, hnsw_vector(index, id), 1, ef, &first) == 1 &&
                                (first.label == hnsw_label(index, id) || first.distance < 1e-6f);
                (void) fputc(is_found ? 1 : 0, file);
        }
        if (fclose(file) != 0)
                bench_die("the file system is full");
}

int main(int argc, char **argv)
{
        if (argc < 4)
                bench_die("FOLDER l2|cosine THREADS [searches]");
        struct data d = read_data(argv[1]);
        struct hnsw *index =
                build(&d, strcmp(argv[2], "cosine") == 0 ? SPACE_COSINE : SPACE_L2, (unsigned) strtoul(argv[3], NULL, 10));
        struct hnsw_searcher *searcher = hnsw_searcher_new(index);
        if (searcher == NULL)
                bench_die("no memory");
        for (size_t i = 0; i < EFS; i++)
                search_queries(&d, searcher, efs[i]);
        if (argc == 4)
                change(&d, index);
        for (size_t i = 0; i < SELF_EFS && argc == 4; i++)
                search_selves(&d, index, searcher, efs[i]);
        (void) hnsw_searcher_free(searcher);
        (void) hnsw_free(index);
        free(d.vectors);
        free(d.queries);
        free(d.replaced);
        free(d.deleted);
        free(d.updated);
        return 0;
}
