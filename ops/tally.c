#include "ops/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cleanup.h"
#include "ops/wal/row.h"

static uint64_t key_of(const struct collection *collection)
{
        return wal_collection_key(collection->id.bytes, collection->id.len);
}

static int gap(struct wal_index *index, uint64_t key, bool has_position, uint64_t position, uint64_t entries, uint64_t *ret,
               struct error *e)
{
        *ret = entries;
        if (!has_position)
                return 0;
        return wal_index_rows_above(index, key, position > INT64_MAX ? INT64_MAX : (int64_t) position, ret, e);
}

int tally_read(struct wal_index *index, const struct collection *collection, const struct tally_positions *positions,
               struct tally *ret, struct error *e)
{
        struct wal_topic topic = { 0 };
        uint64_t key = key_of(collection);
        *ret = (struct tally){ 0 };
        if (!wal_index_topic(index, key, &topic))
                return 0;
        ret->entries = topic.rows;
        int r = gap(index, key, positions->has_vector, positions->vector, topic.rows, &ret->vector_gap, e);
        return r < 0 ? r : gap(index, key, positions->has_metadata, positions->metadata, topic.rows, &ret->metadata_gap, e);
}

static int compare_keys(const void *a, const void *b)
{
        uint64_t x, y;
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        return (x > y) - (x < y);
}

int tally_orphans(struct wal_index *index, const struct catalog *catalog, struct tally_orphans *ret, struct error *e)
{
        CLEANUP(free)
        struct wal_topic *topics = NULL;
        size_t count = 0;
        int r = wal_index_topics(index, &topics, &count, e);
        if (r < 0)
                return r;
        CLEANUP(free)
        uint64_t *keys = calloc(catalog->collection_count + 1, sizeof(*keys));
        if (keys == NULL)
                return error_set(e, ENOMEM, "no memory");
        for (size_t i = 0; i < catalog->collection_count; i++)
                keys[i] = key_of(&catalog->collections[i]);
        qsort(keys, catalog->collection_count, sizeof(*keys), compare_keys);
        *ret = (struct tally_orphans){ 0 };
        for (size_t i = 0; i < count; i++) { /* by last_seq */
                bool is_orphan = bsearch(&topics[i].key, keys, catalog->collection_count, sizeof(*keys), compare_keys) == NULL;
                ret->rows += is_orphan ? topics[i].rows : 0;
                ret->has_last = is_orphan;
        }
        return 0;
}
