/*
 * A set of record ids, held as 128-bit hashes (XXH3): 16 bytes an id at a load of at most three quarters, whatever the ids' lengths.
 * Two different of n ids are taken for one with a probability of n^2 / 2^129: never, for any n that fits a disk.
 * Linear probing, doubles when full, no deletion.
 */
#ifndef OPS_ID_SET_H
#define OPS_ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id_set {
        struct id_hash {
                uint64_t low, high;
        } * slots; /* both 0: free */
        size_t capacity, count;
};

/* A zeroed set is an empty one. 0 or -ENOMEM. */
int id_set_add(struct id_set *set, const void *id, size_t len);
bool id_set_has(const struct id_set *set, const void *id, size_t len);
void id_set_clear(struct id_set *set);

#endif
