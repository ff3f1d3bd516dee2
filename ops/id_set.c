#include "ops/id_set.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#define CAPACITY_MIN 64u

/* The hash that means "free" is taken for its neighbour: one more collision among 2^128. */
static struct id_hash hash_of(const void *id, size_t len)
{
        XXH128_hash_t h = XXH3_128bits(id, len);
        return (struct id_hash){ .low = h.low64 == 0 && h.high64 == 0 ? 1 : h.low64, .high = h.high64 };
}

/* The slot that holds the hash, or the free one where it belongs. There is always a free one. */
static struct id_hash *slot_of(struct id_hash *slots, size_t capacity, struct id_hash h)
{
        size_t i = (size_t) h.low & (capacity - 1);
        while ((slots[i].low != h.low || slots[i].high != h.high) && (slots[i].low != 0 || slots[i].high != 0))
                i = (i + 1) & (capacity - 1);
        return &slots[i];
}

static int grow(struct id_set *set)
{
        if (set->capacity > SIZE_MAX / 2)
                return -ENOMEM;
        size_t capacity = set->capacity == 0 ? CAPACITY_MIN : set->capacity * 2;
        struct id_hash *slots = calloc(capacity, sizeof(*slots));
        if (slots == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < set->capacity; i++)
                if (set->slots[i].low != 0 || set->slots[i].high != 0)
                        *slot_of(slots, capacity, set->slots[i]) = set->slots[i];
        free(set->slots);
        set->slots = slots;
        set->capacity = capacity;
        return 0;
}

int id_set_add(struct id_set *set, const void *id, size_t len)
{
        if (set->count >= set->capacity - set->capacity / 4 && grow(set) < 0)
                return -ENOMEM;
        struct id_hash h = hash_of(id, len);
        struct id_hash *slot = slot_of(set->slots, set->capacity, h);
        if (slot->low == 0 && slot->high == 0) {
                *slot = h;
                set->count++;
        }
        return 0;
}

bool id_set_has(const struct id_set *set, const void *id, size_t len)
{
        if (set->count == 0)
                return false;
        const struct id_hash *slot = slot_of(set->slots, set->capacity, hash_of(id, len));
        return slot->low != 0 || slot->high != 0;
}

void id_set_clear(struct id_set *set)
{
        free(set->slots);
        *set = (struct id_set){ 0 };
}
