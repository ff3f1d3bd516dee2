/*
 * Sorting many small records by an integer: (key, index) pairs, ascending by key, stable.
 *
 * A radix sort by bytes from the lowest up: time is the number of pairs times the number of bytes in which keys differ (at most 8),
 * whatever their order, so that a hostile file can't pick a bad case; memory is a second array of the same size.
 */
#ifndef OPS_KEY_SORT_H
#define OPS_KEY_SORT_H

#include <stddef.h>
#include <stdint.h>

struct key_index {
        uint64_t key;
        uint64_t index; /* the caller's: where the thing is that has this key */
};

/* Sorts items[0 .. count); scratch has room for as many and holds garbage afterwards. */
void key_sort(struct key_index *items, struct key_index *scratch, size_t count);

#endif
