#include "ops/id_states.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#define CAPACITY_MIN 64u
#define STATE_MASK 3u

static unsigned state_of(const struct id_state_slot *slot)
{
        return (unsigned) (slot->low_and_state & STATE_MASK);
}

/* The slot that holds the hash, or the free one where it belongs. There is always a free one. */
static struct id_state_slot *slot_of(const struct id_states *map, uint64_t high, uint64_t low)
{
        size_t i = (size_t) high & (map->capacity - 1);
        while (state_of(&map->slots[i]) != 0 && (map->slots[i].high != high || ((map->slots[i].low_and_state ^ low) > STATE_MASK)))
                i = (i + 1) & (map->capacity - 1);
        return &map->slots[i];
}

static int grow(struct id_states *map)
{
        if (map->capacity > SIZE_MAX / 2)
                return -ENOMEM;
        struct id_states larger = { .capacity = map->capacity == 0 ? CAPACITY_MIN : map->capacity * 2, .count = map->count };
        larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
        if (larger.slots == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < map->capacity; i++)
                if (state_of(&map->slots[i]) != 0)
                        *slot_of(&larger, map->slots[i].high, map->slots[i].low_and_state) = map->slots[i];
        free(map->slots);
        *map = larger;
        return 0;
}

int id_states_set(struct id_states *map, const void *id, size_t len, unsigned state)
{
        XXH128_hash_t h = XXH3_128bits(id, len);
        struct id_state_slot *slot = map->count > 0 ? slot_of(map, h.high64, h.low64) : NULL;
        if (slot == NULL || state_of(slot) == 0) {
                if (map->count >= map->capacity - map->capacity / 4 && grow(map) < 0)
                        return -ENOMEM;
                slot = slot_of(map, h.high64, h.low64);
                map->count++;
        }
        *slot = (struct id_state_slot){ .high = h.high64, .low_and_state = (h.low64 & ~(uint64_t) STATE_MASK) | state };
        return 0;
}

unsigned id_states_get(const struct id_states *map, const void *id, size_t len)
{
        if (map->count == 0)
                return 0;
        XXH128_hash_t h = XXH3_128bits(id, len);
        return state_of(slot_of(map, h.high64, h.low64));
}

size_t id_states_count(const struct id_states *map, unsigned state)
{
        size_t count = 0;
        for (size_t i = 0; i < map->capacity; i++)
                count += state_of(&map->slots[i]) == state;
        return count;
}

void id_states_clear(struct id_states *map)
{
        free(map->slots);
        *map = (struct id_states){ 0 };
}
