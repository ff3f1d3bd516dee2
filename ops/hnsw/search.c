#include <errno.h>
#include <stdlib.h>

#include "ops/hnsw/graph.h"

struct hnsw_searcher {
        struct hnsw *h;
        struct search_memory *memory;
        uint32_t ef; /* that the memory is for */
};

struct hnsw_searcher *hnsw_searcher_free(struct hnsw_searcher *s)
{
        if (s != NULL)
                (void) search_memory_free(s->memory);
        free(s);
        return NULL;
}

/* The index is changed by nothing but its locks. */
struct hnsw_searcher *hnsw_searcher_new(const struct hnsw *index)
{
        struct hnsw_searcher *s = calloc(1, sizeof(*s));
        if (s != NULL)
                s->h = (struct hnsw *) (uintptr_t) index;
        return s;
}

static bool prepare(struct hnsw_searcher *s, uint32_t ef)
{
        if (s->memory != NULL && s->ef >= ef && s->memory->visited.count >= s->h->count)
                return true;
        (void) search_memory_free(s->memory);
        s->memory = search_memory_new(s->h, ef);
        s->ef = ef;
        return s->memory != NULL;
}

int64_t hnsw_search(struct hnsw_searcher *s, const float *query, uint32_t k, uint32_t ef, struct hnsw_result *ret)
{
        struct hnsw *h = s->h;
        if (h->entry_point == HNSW_NONE || k == 0)
                return 0;
        if (!prepare(s, ef > k ? ef : k))
                return -ENOMEM;
        struct search_memory *m = s->memory;
        const float *point = search_query(h, m, query);
        uint32_t from = search_descend(h, m, point, h->entry_point, h->max_level, 0);
        search_layer(h, m, point, from, 0, ef > k ? ef : k);
        while (m->found.count > k)
                (void) heap_pop(&m->found);
        int64_t count = (int64_t) m->found.count;
        for (int64_t i = count; i-- > 0;) {
                struct candidate item = heap_pop(&m->found);
                ret[i] = (struct hnsw_result){ hnsw_label(h, item.id), item.distance };
        }
        return count;
}
