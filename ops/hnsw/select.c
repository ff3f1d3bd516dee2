/*
 * hnswlib's heuristic: nearest first, an element is kept unless one that was kept is nearer to it than the point is.
 *
 * Most of the time of an insertion would go into the lists of neighbours that are full: 2 * M vectors, each against each. But most of a list was kept
 * together when it was full the last time, and the same distances would come out: only pairs with one that came later are looked at.
 */
#include <math.h>

#include "ops/hnsw/graph.h"

#define AT_ONCE 4u

/* Empties the heap: nearest first; of equal ones the larger id. */
static size_t sort(struct heap *heap, struct candidate *ret)
{
        size_t count = heap->count;
        for (size_t i = count; i-- > 0;) {
                struct candidate item = heap_pop(heap);
                size_t at = i;
                for (; at + 1 < count && ret[at + 1].distance == item.distance && ret[at + 1].id > item.id; at++)
                        ret[at] = ret[at + 1];
                ret[at] = item;
        }
        return count;
}

static bool is_covered(const struct hnsw *h, const struct candidate *item, const float *const *kept, size_t count)
{
        float near[AT_ONCE];
        const float *vector = vector_of(h, item->id);
        for (size_t i = 0; i < count; i += AT_ONCE) {
                size_t some = count - i < AT_ONCE ? count - i : AT_ONCE;
                h->distances(vector, kept + i, some, h->params.dimension, near);
                for (size_t j = 0; j < some; j++)
                        if (near[j] < item->distance)
                                return true;
        }
        return false;
}

static bool is_one_of(const uint32_t *ids, size_t count, uint32_t id)
{
        unsigned found = 0;
        for (size_t i = 0; i < count; i++) /* to the end: so the compiler may compare several at once */
                found |= ids[i] == id;
        return found != 0;
}

size_t select_neighbours(struct hnsw *h, struct search_memory *m, struct heap *heap, uint32_t most, const uint32_t *old,
                         size_t old_count)
{
        if (heap->count < most)
                return 0;
        size_t count = sort(heap, m->sorted), kept = 0, kept_old = 0;
        for (size_t i = 0; i < count && kept + kept_old < most; i++) {
                const struct candidate *item = &m->sorted[i];
                bool is_old = is_one_of(old, old_count, item->id);
                if (i + 1 < count)
                        prefetch_vector(h, vector_of(h, m->sorted[i + 1].id));
                if (is_covered(h, item, m->kept_vectors, kept) || (!is_old && is_covered(h, item, m->old_vectors, kept_old)))
                        continue;
                if (is_old)
                        m->old_vectors[kept_old++] = vector_of(h, item->id);
                else
                        m->kept_vectors[kept++] = vector_of(h, item->id);
                heap_push(heap, *item);
        }
        return kept + kept_old;
}
