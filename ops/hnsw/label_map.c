#include "ops/hnsw/label_map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "ops/hnsw/graph.h"

/* Labels mostly follow each other: a multiplication spreads them, and each bit of a label reaches the highest bits. */
static uint64_t slot_of(const struct label_map *map, uint64_t label)
{
        return (label * map->factor) >> map->shift;
}

static uint64_t random_factor(void)
{
        uint64_t factor = UINT64_C(0x9e3779b97f4a7c15); /* when there is no chance to be had */
        (void) !getrandom(&factor, sizeof(factor), GRND_NONBLOCK);
        return factor | 1;
}

/* The slot of a label, or the free one where it would be. */
static uint64_t find_slot(const struct hnsw *h, const struct label_map *map, uint64_t label)
{
        uint64_t slot = slot_of(map, label);
        while (map->slots[slot] != HNSW_NONE && hnsw_label(h, map->slots[slot]) != label)
                slot = (slot + 1) & (map->size - 1);
        return slot;
}

bool label_map_reserve(const struct hnsw *h, struct label_map *map, uint64_t count)
{
        struct label_map larger = { .size = 64, .shift = 58 };
        while (larger.size < count + count / 2) {
                larger.size *= 2;
                larger.shift--;
        }
        if (larger.size <= map->size)
                return true;
        larger.slots = malloc(larger.size * sizeof(*larger.slots));
        if (larger.slots == NULL)
                return false;
        memset(larger.slots, 0xff, larger.size * sizeof(*larger.slots));
        larger.factor = map->size == 0 ? random_factor() : map->factor;
        for (uint64_t i = 0; i < map->size; i++)
                if (map->slots[i] != HNSW_NONE)
                        (void) label_map_add(h, &larger, map->slots[i]);
        free(map->slots);
        *map = larger;
        return true;
}

void label_map_clear(struct label_map *map)
{
        free(map->slots);
        *map = (struct label_map){ 0 };
}

uint32_t label_map_find(const struct hnsw *h, const struct label_map *map, uint64_t label)
{
        return map->size == 0 ? HNSW_NONE : map->slots[find_slot(h, map, label)];
}

bool label_map_add(const struct hnsw *h, struct label_map *map, uint32_t id)
{
        uint64_t slot = find_slot(h, map, hnsw_label(h, id));
        if (map->slots[slot] != HNSW_NONE)
                return false;
        map->slots[slot] = id;
        return true;
}

/* Those behind it move up, until a slot is free. */
void label_map_remove(const struct hnsw *h, struct label_map *map, uint32_t id)
{
        uint64_t slot = find_slot(h, map, hnsw_label(h, id));
        map->slots[slot] = HNSW_NONE;
        for (uint64_t next = (slot + 1) & (map->size - 1); map->slots[next] != HNSW_NONE; next = (next + 1) & (map->size - 1)) {
                uint32_t moved = map->slots[next];
                map->slots[next] = HNSW_NONE;
                (void) label_map_add(h, map, moved);
        }
}
