#include "ops/hnsw/graph.h"

static bool has_link(const struct list *list, uint32_t id)
{
        for (uint16_t i = 0; i < list->count; i++)
                if (list->links[i] == id)
                        return true;
        return false;
}

/* Far ones first, as they come from the heap. */
static void write_links(struct heap *heap, struct list *list)
{
        list->count = (uint16_t) heap->count;
        for (uint16_t i = 0; heap->count > 0; i++)
                list->links[i] = heap_pop(heap).id;
}

/* How many at the start of a list were kept together. */
static size_t kept_before(const struct hnsw *h, uint32_t id, int level)
{
        return level == 0 && !h->is_updated ? h->kept[id] : 0;
}

static void set_kept(struct hnsw *h, uint32_t id, int level, size_t kept)
{
        if (level == 0)
                h->kept[id] = (uint16_t) kept;
}

/* The list of a neighbour is full: it keeps the best of its links and the new one. */
static void replace_link(struct hnsw *h, struct search_memory *m, struct candidate neighbour, uint32_t id, int level)
{
        const float *centre = vector_of(h, neighbour.id);
        struct list *list = list_of(h, neighbour.id, level);
        m->others.count = 0;
        heap_push(&m->others, (struct candidate){ neighbour.distance, id });
        for (uint16_t i = 0; i < list->count; i++)
                m->vectors[i] = vector_of(h, list->links[i]);
        measure(h, m, centre, list->count);
        for (uint16_t i = 0; i < list->count; i++)
                heap_push(&m->others, (struct candidate){ m->distances[i], list->links[i] });
        size_t kept = select_neighbours(h, m, &m->others, most_links(h, level), list->links, kept_before(h, neighbour.id, level));
        write_links(&m->others, list);
        set_kept(h, neighbour.id, level, kept);
}

static void link_back(struct hnsw *h, struct search_memory *m, struct candidate neighbour, uint32_t id, int level, bool is_update)
{
        element_lock(h, neighbour.id);
        struct list *list = list_of(h, neighbour.id, level);
        if (is_update && has_link(list, id))
                ; /* it stays */
        else if (list->count < most_links(h, level))
                list->links[list->count++] = id;
        else
                replace_link(h, m, neighbour, id, level);
        element_unlock(h, neighbour.id);
}

uint32_t connect_element(struct hnsw *h, struct search_memory *m, uint32_t id, int level, bool is_update)
{
        size_t count = 0;
        set_kept(h, id, level, select_neighbours(h, m, &m->found, h->params.m, NULL, 0));
        while (m->found.count > 0) {
                m->chosen[count] = heap_pop(&m->found);
                __builtin_prefetch(record_of(h, m->chosen[count++].id));
        }
        struct list *own = list_of(h, id, level);
        own->count = (uint16_t) count;
        for (size_t i = 0; i < count; i++)
                own->links[i] = m->chosen[i].id;
        for (size_t i = 0; i < count; i++)
                link_back(h, m, m->chosen[i], id, level, is_update);
        return count == 0 ? HNSW_NONE : m->chosen[count - 1].id;
}
