/*
 * Which elements a search has come by: a byte for each, with the number of the search, so that it is cleared once in 255 searches.
 */
#ifndef OPS_HNSW_VISITED_H
#define OPS_HNSW_VISITED_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct visited {
        uint8_t *marks;
        uint64_t count;
        uint8_t current;
};

static inline void visited_clear(struct visited *visited)
{
        if (++visited->current != 0)
                return;
        memset(visited->marks, 0, visited->count);
        visited->current = 1;
}

/* True the first time. */
static inline bool visited_add(struct visited *visited, uint32_t id)
{
        bool is_new = visited->marks[id] != visited->current;
        visited->marks[id] = visited->current;
        return is_new;
}

#endif
