/*
 * A map from record ids to one of three states, held as id_set holds a set: 16 bytes an id at a load of at most three quarters, hashes
 * instead of ids. The state takes two of the hash's 128 bits. Linear probing, doubles when full, no deletion.
 */
#ifndef OPS_ID_STATES_H
#define OPS_ID_STATES_H

#include <stddef.h>
#include <stdint.h>

struct id_states {
        struct id_state_slot {
                uint64_t high, low_and_state;
        } * slots; /* state 0: free */
        size_t capacity, count;
};

/* A zeroed map is an empty one. `state` is 1, 2 or 3 and replaces the id's state of before. 0 or -ENOMEM; never -ENOMEM for an id that has
   a state already. */
int id_states_set(struct id_states *map, const void *id, size_t len, unsigned state);
unsigned id_states_get(const struct id_states *map, const void *id, size_t len); /* 0: none */
size_t id_states_count(const struct id_states *map, unsigned state);
void id_states_clear(struct id_states *map);

#endif
