/*
 * An element that has its record, level and lists gets its links, from its level down (FORMAT 8, Insert).
 *
 * With threads: one that is on upper levels is found by others as soon as it is linked there, and must not be searched through before it is linked on the levels below; so it
 * holds its lock until then. One of level 0 can't be found before its list is complete. Threads wait for each other in one direction only: for one that was linked on a level
 * before.
 */
#include "ops/hnsw/graph.h"

/* A deleted entry point is no result of a search, but hnswlib links to it all the same. */
static void add_deleted_entry(struct hnsw *h, struct search_memory *m, const float *query, uint32_t entry)
{
        struct candidate item = { .id = entry };
        const float *vector = vector_of(h, entry);
        h->distances(query, &vector, 1, h->params.dimension, &item.distance);
        heap_push(&m->found, item);
        if (m->found.count > h->params.ef_construction)
                (void) heap_pop(&m->found);
}

/* Takes one out as hnswlib does: the others go into a new heap in the order in which they come out. */
static void remove_candidate(struct search_memory *m, uint32_t id)
{
        size_t count = 0;
        while (m->found.count > 0)
                m->sorted[count++] = heap_pop(&m->found);
        for (size_t i = 0; i < count; i++)
                if (m->sorted[i].id != id)
                        heap_push(&m->found, m->sorted[i]);
}

void link_element(struct hnsw *h, struct search_memory *m, uint32_t id, struct top top, bool is_update)
{
        const float *query = vector_of(h, id);
        int level = h->level[id];
        uint32_t from = top.entry_point;
        bool entry_deleted = is_deleted(h, top.entry_point);
        if (level < top.level)
                from = search_descend(h, m, query, from, top.level, level);
        for (int l = level < top.level ? level : top.level; l >= 0; l--) {
                search_layer(h, m, query, from, l, h->params.ef_construction);
                if (is_update)
                        remove_candidate(m, id);
                if (is_update && m->found.count == 0)
                        continue;
                if (entry_deleted)
                        add_deleted_entry(h, m, query, top.entry_point);
                uint32_t next = connect_element(h, m, id, l, is_update);
                from = next == HNSW_NONE ? from : next;
        }
}

static void insert_locked(struct hnsw *h, struct search_memory *m, uint32_t id, struct top top)
{
        int level = h->level[id];
        if (level > 0)
                element_lock(h, id);
        link_element(h, m, id, top, false);
        if (level > 0)
                element_unlock(h, id);
}

/* Whoever will be the new entry point is alone in that. */
void insert_element(struct hnsw *h, struct search_memory *m, uint32_t id)
{
        (void) pthread_mutex_lock(&h->top);
        struct top top = { h->entry_point, h->max_level };
        bool is_higher = h->level[id] > top.level;
        if (!is_higher)
                (void) pthread_mutex_unlock(&h->top);
        if (top.entry_point != HNSW_NONE)
                insert_locked(h, m, id, top);
        if (!is_higher)
                return;
        h->entry_point = id;
        h->max_level = h->level[id];
        (void) pthread_mutex_unlock(&h->top);
}
