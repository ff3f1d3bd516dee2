/*
 * hnswlib's heuristic: nearest first, an element is kept unless one that was kept is nearer to it than the point is.
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

static bool is_covered(const struct hnsw *h, const struct search_memory *m, const float *vector, float distance, size_t kept)
{
        float near[AT_ONCE];
        for (size_t i = 0; i < kept; i += AT_ONCE) {
                size_t some = kept - i < AT_ONCE ? kept - i : AT_ONCE;
                h->distances(vector, m->kept_vectors + i, some, h->params.dimension, near);
                for (size_t j = 0; j < some; j++)
                        if (near[j] < distance)
                                return true;
        }
        return false;
}

void select_neighbours(struct hnsw *h, struct search_memory *m, struct heap *heap, uint32_t most)
{
        if (heap->count < most)
                return;
        size_t count = sort(heap, m->sorted), kept = 0;
        for (size_t i = 0; i < count && kept < most; i++) {
                const float *vector = vector_of(h, m->sorted[i].id);
                if (is_covered(h, m, vector, m->sorted[i].distance, kept))
                        continue;
                m->kept_vectors[kept++] = vector;
                heap_push(heap, m->sorted[i]);
        }
}
