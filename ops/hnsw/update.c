/*
 * An element with a new vector: on each of its levels all its neighbours choose their links anew, among themselves, their neighbours and it; then it is linked like a new one
 * (FORMAT 8, updatePoint). hnswlib walks hash sets here, whose order decides between equal distances only.
 */
#include <stdlib.h>

#include "ops/hnsw/graph.h"

/* Adds the links of an element, each once; returns how many there are then. */
static size_t add_links(const struct hnsw *h, struct search_memory *m, uint32_t id, int level, size_t count)
{
        const struct list *list = list_of(h, id, level);
        for (uint16_t i = 0; i < list->count; i++)
                if (visited_add(&m->visited, list->links[i]))
                        m->around[count++] = list->links[i];
        return count;
}

bool reserve_around(const struct hnsw *h, struct search_memory *m)
{
        size_t most = most_links(h, 0), room = 1 + most + most * most;
        if (room > h->capacity)
                room = h->capacity;
        if (m->around == NULL)
                m->around = calloc(room, sizeof(*m->around));
        return m->around != NULL;
}

/* The element, its neighbours (*ret_neighbours of them), and theirs. */
static size_t gather(const struct hnsw *h, struct search_memory *m, uint32_t id, int level, size_t *ret_neighbours)
{
        visited_clear(&m->visited);
        (void) visited_add(&m->visited, id);
        m->around[0] = id;
        size_t count = add_links(h, m, id, level, 1);
        *ret_neighbours = count - 1;
        for (size_t i = 1; i <= *ret_neighbours; i++)
                count = add_links(h, m, m->around[i], level, count);
        return count;
}

/* With hnswlib's ways of keeping the nearest. */
static void keep_nearest(struct search_memory *m, struct candidate item, size_t keep)
{
        if (m->found.count == keep) {
                if (!(item.distance < m->found.items[0].distance))
                        return;
                (void) heap_pop(&m->found);
        }
        heap_push(&m->found, item);
}

/* The nearest of all to one of them, measured as many at a time as a list has links. */
static void choose_nearest(struct hnsw *h, struct search_memory *m, uint32_t centre, size_t count)
{
        size_t keep = count - 1 < h->params.ef_construction ? count - 1 : h->params.ef_construction, most = most_links(h, 0);
        m->found.count = 0;
        for (size_t from = 0; from < count; from += most) {
                size_t some = count - from < most ? count - from : most;
                for (size_t i = 0; i < some; i++)
                        m->vectors[i] = vector_of(h, m->around[from + i]);
                measure(h, m, vector_of(h, centre), some);
                for (size_t i = 0; i < some; i++)
                        if (m->around[from + i] != centre)
                                keep_nearest(m, (struct candidate){ m->distances[i], m->around[from + i] }, keep);
        }
}

void relink_surroundings(struct hnsw *h, struct search_memory *m, uint32_t id, int level)
{
        size_t neighbours;
        size_t count = gather(h, m, id, level, &neighbours);
        for (size_t i = 1; i <= neighbours; i++) {
                struct list *list = list_of(h, m->around[i], level);
                choose_nearest(h, m, m->around[i], count);
                (void) select_neighbours(h, m, &m->found, most_links(h, level), NULL, 0);
                list->count = (uint16_t) m->found.count;
                for (uint16_t j = 0; m->found.count > 0; j++)
                        list->links[j] = heap_pop(&m->found).id;
        }
}
