/*
 * Elements with their distances, as a binary heap in an array.
 *
 * It moves its entries as libstdc++'s std::push_heap() and std::pop_heap() do, since with equal distances the order in which they come out is a matter of that, and with it the
 * links that hnswlib chooses.
 */
#ifndef OPS_HNSW_HEAP_H
#define OPS_HNSW_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct candidate {
        float distance;
        uint32_t id;
};

struct heap { /* the farthest on top; its owner knows that there is room */
        struct candidate *items;
        size_t count;
};

static inline void heap_push(struct heap *heap, struct candidate item)
{
        size_t hole = heap->count++;
        while (hole > 0 && heap->items[(hole - 1) / 2].distance < item.distance) {
                heap->items[hole] = heap->items[(hole - 1) / 2];
                hole = (hole - 1) / 2;
        }
        heap->items[hole] = item;
}

/* Takes the top away: the hole goes down to a leaf along the farther children, and the last item up from there. */
static inline struct candidate heap_pop(struct heap *heap)
{
        struct candidate top = heap->items[0];
        size_t count = --heap->count, hole = 0;
        struct candidate last = heap->items[count];
        while (2 * hole + 2 < count) {
                size_t child = 2 * hole + 2;
                child -= heap->items[child].distance < heap->items[child - 1].distance;
                heap->items[hole] = heap->items[child];
                hole = child;
        }
        if (2 * hole + 2 == count) {
                heap->items[hole] = heap->items[count - 1];
                hole = count - 1;
        }
        while (hole > 0 && heap->items[(hole - 1) / 2].distance < last.distance) {
                heap->items[hole] = heap->items[(hole - 1) / 2];
                hole = (hole - 1) / 2;
        }
        heap->items[hole] = last;
        return top;
}

/* A heap with the nearest on top is one of negative distances. */
static inline struct candidate candidate_negative(struct candidate item)
{
        return (struct candidate){ -item.distance, item.id };
}

#endif
