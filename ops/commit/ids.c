#include "ops/commit/ids.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#define FIRST_ITEMS 16u
#define CAPACITY_MIN 32u

int commit_ids_init(struct commit_ids *ids)
{
        *ids = (struct commit_ids){ 0 };
        if (getrandom(&ids->seed, sizeof(ids->seed), 0) != (ssize_t) sizeof(ids->seed))
                return errno == 0 ? -EIO : -errno;
        return 0;
}

/* The place that has the id's number, or the free one where it belongs. There is always a free one. */
static struct commit_slot *slot_of(const struct commit_ids *ids, uint64_t high, uint64_t low)
{
        for (size_t i = (size_t) low & (ids->capacity - 1);; i = (i + 1) & (ids->capacity - 1)) {
                struct commit_slot *slot = &ids->slots[i];
                if (slot->number == 0)
                        return slot;
                const struct commit_id *item = &ids->items[slot->number - 1];
                if (slot->tag == (uint32_t) high && item->low == low && item->high == high)
                        return slot;
        }
}

static void put(const struct commit_ids *ids, struct commit_slot *slot, size_t item)
{
        *slot = (struct commit_slot){ .number = (uint32_t) (item + 1), .tag = (uint32_t) ids->items[item].high };
}

static int grow_table(struct commit_ids *ids)
{
        size_t capacity = ids->capacity == 0 ? CAPACITY_MIN : ids->capacity * 2;
        struct commit_slot *slots = calloc(capacity, sizeof(*slots));
        if (slots == NULL)
                return -ENOMEM;
        free(ids->slots);
        ids->slots = slots;
        ids->capacity = capacity;
        for (size_t i = 0; i < ids->count; i++)
                put(ids, slot_of(ids, ids->items[i].high, ids->items[i].low), i);
        return 0;
}

static int grow_items(struct commit_ids *ids)
{
        size_t count = ids->count < FIRST_ITEMS ? FIRST_ITEMS : ids->count + ids->count / 2;
        struct commit_id *items = count >= UINT32_MAX ? NULL : reallocarray(ids->items, count, sizeof(*items));
        if (items == NULL)
                return -ENOMEM;
        ids->items = items;
        ids->allocated = count;
        return 0;
}

static int make_room(struct commit_ids *ids)
{
        if (ids->count >= ids->capacity / 4 * 3 && grow_table(ids) < 0)
                return -ENOMEM;
        return ids->count >= ids->allocated ? grow_items(ids) : 0;
}

static struct commit_id *find(const struct commit_ids *ids, XXH128_hash_t h)
{
        uint32_t number = ids->count == 0 ? 0 : slot_of(ids, h.high64, h.low64)->number;
        return number == 0 ? NULL : &ids->items[number - 1];
}

struct commit_id *commit_ids_find(const struct commit_ids *ids, const void *id, size_t len)
{
        return find(ids, XXH3_128bits_withSeed(id, len, ids->seed));
}

struct commit_id *commit_ids_add(struct commit_ids *ids, const void *id, size_t len)
{
        XXH128_hash_t h = XXH3_128bits_withSeed(id, len, ids->seed);
        struct commit_id *item = find(ids, h);
        if (item != NULL)
                return item;
        if (make_room(ids) < 0 || ids->items == NULL)
                return NULL;
        item = &ids->items[ids->count++];
        *item = (struct commit_id){ .high = h.high64, .low = h.low64, .entry = COMMIT_NO_ENTRY, .alive = 1u << COMMIT_KNOWN };
        item->record_alive = item->alive;
        ids->bytes += len;
        put(ids, slot_of(ids, h.high64, h.low64), ids->count - 1);
        return item;
}

void commit_ids_clear(struct commit_ids *ids)
{
        free(ids->items);
        free(ids->slots);
        *ids = (struct commit_ids){ 0 };
}
