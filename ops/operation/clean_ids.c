/*
 * A dense array of ids, and a table of their numbers with linear probing, at most three quarters full: an empty place of the table costs eight bytes
 * instead of forty.
 *
 * Each look into so much memory is a cache miss, and nearly all of the time. The tags spare those at other ids, and the one behind the last id is tried
 * first: most logs, indexes and tables have their records in one order.
 */
#include "ops/operation/clean_ids.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#define FIRST_ITEMS 16u
#define CAPACITY_MIN 32u

/* The place that has the id's number, or the free one where it belongs. There is always a free one. */
static struct clean_slot *slot_of(const struct clean_ids *ids, uint64_t high, uint64_t low)
{
        for (size_t i = (size_t) low & (ids->capacity - 1);; i = (i + 1) & (ids->capacity - 1)) {
                struct clean_slot *slot = &ids->slots[i];
                if (slot->number == 0)
                        return slot;
                const struct clean_id *item = &ids->items[slot->number - 1];
                if (slot->tag == (uint32_t) high && item->low == low && item->high == high)
                        return slot;
        }
}

static void put(const struct clean_ids *ids, struct clean_slot *slot, size_t item)
{
        *slot = (struct clean_slot){ .number = (uint32_t) (item + 1), .tag = (uint32_t) ids->items[item].high };
}

static int resize_table(struct clean_ids *ids, size_t capacity)
{
        struct clean_slot *slots = calloc(capacity, sizeof(*slots));
        if (slots == NULL)
                return -ENOMEM;
        free(ids->slots);
        ids->slots = slots;
        ids->capacity = capacity;
        for (size_t i = 0; i < ids->count; i++)
                put(ids, slot_of(ids, ids->items[i].high, ids->items[i].low), i);
        return 0;
}

static int resize_items(struct clean_ids *ids, size_t count)
{
        struct clean_id *items = reallocarray(ids->items, count, sizeof(*items));
        if (items == NULL)
                return -ENOMEM;
        ids->items = items;
        ids->allocated = count;
        return 0;
}

int clean_ids_reserve(struct clean_ids *ids, size_t count)
{
        size_t capacity = ids->capacity == 0 ? CAPACITY_MIN : ids->capacity;
        if (count >= UINT32_MAX)
                return -ENOMEM;
        while (count > capacity / 4 * 3)
                capacity *= 2;
        if (capacity != ids->capacity && resize_table(ids, capacity) < 0)
                return -ENOMEM;
        return count > ids->allocated ? resize_items(ids, count) : 0;
}

static struct clean_id *found(struct clean_ids *ids, size_t number)
{
        ids->next = number + 1;
        return &ids->items[number];
}

/* NULL when it is not the next one. */
static struct clean_id *try_next(struct clean_ids *ids, XXH128_hash_t h)
{
        const struct clean_id *item = &ids->items[ids->next];
        return ids->next < ids->count && item->low == h.low64 && item->high == h.high64 ? found(ids, ids->next) : NULL;
}

static struct clean_id *find(struct clean_ids *ids, XXH128_hash_t h)
{
        if (ids->count == 0)
                return NULL;
        struct clean_id *next = try_next(ids, h);
        if (next != NULL)
                return next;
        uint32_t number = slot_of(ids, h.high64, h.low64)->number;
        return number == 0 ? NULL : found(ids, number - 1);
}

struct clean_id *clean_ids_find(struct clean_ids *ids, const void *id, size_t len)
{
        return find(ids, XXH3_128bits(id, len));
}

static int make_room(struct clean_ids *ids)
{
        if (ids->count < ids->allocated && ids->count < ids->capacity / 4 * 3)
                return 0;
        return clean_ids_reserve(ids, ids->count < FIRST_ITEMS ? FIRST_ITEMS : ids->count + ids->count / 2);
}

struct clean_id *clean_ids_add(struct clean_ids *ids, const void *id, size_t len)
{
        XXH128_hash_t h = XXH3_128bits(id, len);
        struct clean_id *item = find(ids, h);
        if (item != NULL)
                return item;
        if (make_room(ids) < 0 || ids->items == NULL)
                return NULL;
        ids->items[ids->count++] = (struct clean_id){ .high = h.high64, .low = h.low64, .element = CLEAN_NO_ELEMENT };
        put(ids, slot_of(ids, h.high64, h.low64), ids->count - 1);
        return found(ids, ids->count - 1);
}

void clean_ids_clear(struct clean_ids *ids)
{
        free(ids->items);
        free(ids->slots);
        *ids = (struct clean_ids){ 0 };
}
