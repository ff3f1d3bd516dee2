#include <stdlib.h>

#include "ops/hnsw/graph.h"

static bool make_lists(struct search_memory *m, size_t most, size_t ef)
{
        m->found.items = calloc(ef + 2, sizeof(struct candidate));
        m->sorted = calloc(ef + most + 2, sizeof(struct candidate));
        m->others.items = calloc(most + 2, sizeof(struct candidate));
        m->ids = calloc(most + 1, sizeof(*m->ids));
        m->vectors = calloc(most + 1, sizeof(*m->vectors));
        m->distances = calloc(most + 1, sizeof(*m->distances));
        m->kept_vectors = calloc(most + 1, sizeof(*m->kept_vectors));
        m->old_vectors = calloc(most + 1, sizeof(*m->old_vectors));
        m->chosen = calloc(most + 1, sizeof(*m->chosen));
        return m->found.items != NULL && m->sorted != NULL && m->others.items != NULL && m->ids != NULL && m->vectors != NULL &&
               m->distances != NULL && m->kept_vectors != NULL && m->old_vectors != NULL && m->chosen != NULL;
}

struct search_memory *search_memory_new(const struct hnsw *h, uint32_t ef)
{
        CLEANUP(search_memory_free)
        struct search_memory *m = calloc(1, sizeof(*m));
        if (m == NULL || !make_lists(m, (size_t) 2 * h->params.m, ef < h->capacity ? ef : (size_t) h->capacity))
                return NULL;
        m->pending.items = calloc(h->capacity + 1, sizeof(struct candidate));
        m->query = calloc(h->params.dimension, sizeof(float));
        m->visited.count = h->capacity;
        m->visited.marks = calloc(h->capacity + 1, 1);
        if (m->pending.items == NULL || m->query == NULL || m->visited.marks == NULL)
                return NULL;
        return TAKE(m);
}

struct search_memory *search_memory_free(struct search_memory *m)
{
        if (m == NULL)
                return NULL;
        free(m->found.items);
        free(m->pending.items);
        free(m->sorted);
        free(m->others.items);
        free(m->ids);
        free(m->vectors);
        free(m->distances);
        free(m->kept_vectors);
        free(m->old_vectors);
        free(m->chosen);
        free(m->around);
        free(m->query);
        free(m->visited.marks);
        free(m);
        return NULL;
}

const float *search_query(const struct hnsw *h, struct search_memory *m, const float *vector)
{
        m->length = 0;
        if (h->params.space != SPACE_COSINE)
                return vector;
        m->length = hnsw_norm(vector, h->params.dimension);
        hnsw_normalise(vector, h->params.dimension, m->length, m->query);
        return m->query;
}
