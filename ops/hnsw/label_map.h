/*
 * Which internal id a label has: a hash table of ids with open addressing, whose keys are in the records.
 */
#ifndef OPS_HNSW_LABEL_MAP_H
#define OPS_HNSW_LABEL_MAP_H

#include <stdbool.h>
#include <stdint.h>

struct hnsw;

struct label_map {
        uint32_t *slots; /* UINT32_MAX: free */
        uint64_t size;   /* a power of 2, at least 1.5 times the ids; or 0 */
        uint64_t factor; /* odd, random: whoever made the labels of a file can't know which of them share slots */
        unsigned shift;  /* 64 minus the logarithm of the size */
};

/* Room for `count` labels; what is in it stays. False: no memory. */
bool label_map_reserve(const struct hnsw *h, struct label_map *map, uint64_t count);
void label_map_clear(struct label_map *map);

/* UINT32_MAX: none. */
uint32_t label_map_find(const struct hnsw *h, const struct label_map *map, uint64_t label);

/* The record of `id` has its label already. False when another one has that label. */
bool label_map_add(const struct hnsw *h, struct label_map *map, uint32_t id);

void label_map_remove(const struct hnsw *h, struct label_map *map, uint32_t id); /* which is there */

#endif
