/*
 * Searching a level. The neighbours of an element are copied under its lock, the unvisited ones' vectors are fetched ahead, and their distances come from one
 * call; in which order they then go into the heaps is hnswlib's.
 */
#include <math.h>
#include <string.h>

#include "ops/hnsw/graph.h"

#define LINE 64u
#define AHEAD 4u       /* vectors that are fetched while others are computed with */
#define LINES_AHEAD 8u /* of each; the rest follows by itself */

void prefetch_vector(const struct hnsw *h, const float *vector)
{
        size_t bytes = h->params.dimension * sizeof(float);
        const char *at = (const char *) vector;
        for (size_t i = 0; i < LINES_AHEAD && i * LINE < bytes; i++)
                __builtin_prefetch(at + i * LINE);
}

void measure(const struct hnsw *h, struct search_memory *m, const float *query, size_t count)
{
        for (size_t i = 0; i < count && i < AHEAD; i++)
                prefetch_vector(h, m->vectors[i]);
        for (size_t i = 0; i < count; i += AHEAD) {
                size_t some = count - i < AHEAD ? count - i : AHEAD;
                for (size_t j = i + AHEAD; j < count && j < i + 2 * AHEAD; j++)
                        prefetch_vector(h, m->vectors[j]);
                h->distances(query, m->vectors + i, some, h->params.dimension, m->distances + i);
        }
}

/* Copies a list to memory->ids. */
static size_t copy_links(struct hnsw *h, struct search_memory *m, uint32_t id, int level)
{
        element_lock(h, id);
        const struct list *list = list_of(h, id, level);
        size_t count = list->count;
        memcpy(m->ids, list->links, count * sizeof(*list->links));
        element_unlock(h, id);
        return count;
}

static float distance_to(const struct hnsw *h, const float *query, uint32_t id)
{
        float distance;
        const float *vector = vector_of(h, id);
        h->distances(query, &vector, 1, h->params.dimension, &distance);
        return distance;
}

uint32_t search_descend(struct hnsw *h, struct search_memory *m, const float *query, uint32_t from, int from_level, int to_level)
{
        float nearest = distance_to(h, query, from);
        for (int level = from_level; level > to_level; level--) {
                bool changed = true;
                while (changed) {
                        size_t count = copy_links(h, m, from, level);
                        for (size_t i = 0; i < count; i++)
                                m->vectors[i] = vector_of(h, m->ids[i]);
                        measure(h, m, query, count);
                        changed = false;
                        for (size_t i = 0; i < count; i++) {
                                if (!(m->distances[i] < nearest))
                                        continue;
                                nearest = m->distances[i];
                                from = m->ids[i];
                                changed = true;
                        }
                }
        }
        return from;
}

/* Those of memory->ids that are new, with their vectors. */
static size_t take_unvisited(const struct hnsw *h, struct search_memory *m, size_t count)
{
        size_t kept = 0;
        for (size_t i = 0; i < count; i++) {
                uint32_t id = m->ids[i];
                if (!visited_add(&m->visited, id))
                        continue;
                m->ids[kept] = id;
                m->vectors[kept++] = vector_of(h, id);
        }
        return kept;
}

static void take_candidate(const struct hnsw *h, struct search_memory *m, struct candidate item, uint32_t ef, float *bound)
{
        if (m->found.count >= ef && !(*bound > item.distance))
                return;
        heap_push(&m->pending, candidate_negative(item));
        __builtin_prefetch(record_of(h, m->pending.items[0].id));
        if (!is_deleted(h, item.id))
                heap_push(&m->found, item);
        if (m->found.count > ef)
                (void) heap_pop(&m->found);
        if (m->found.count > 0)
                *bound = m->found.items[0].distance;
}

static float start(const struct hnsw *h, struct search_memory *m, const float *query, uint32_t from)
{
        struct candidate first = { distance_to(h, query, from), from };
        visited_clear(&m->visited);
        (void) visited_add(&m->visited, from);
        m->found.count = m->pending.count = 0;
        if (is_deleted(h, from)) {
                heap_push(&m->pending, (struct candidate){ -INFINITY, from });
                return INFINITY;
        }
        heap_push(&m->pending, candidate_negative(first));
        heap_push(&m->found, first);
        return first.distance;
}

void search_layer(struct hnsw *h, struct search_memory *m, const float *query, uint32_t from, int level, uint32_t ef)
{
        float bound = start(h, m, query, from);
        while (m->pending.count > 0) {
                if (-m->pending.items[0].distance > bound && m->found.count == ef)
                        break;
                struct candidate next = heap_pop(&m->pending);
                size_t count = take_unvisited(h, m, copy_links(h, m, next.id, level));
                measure(h, m, query, count);
                for (size_t i = 0; i < count; i++)
                        take_candidate(h, m, (struct candidate){ m->distances[i], m->ids[i] }, ef, &bound);
        }
}
