/*
 * The units of a stream: one binary search for the block that holds an offset, in memory and under the mutex, then that block's
 * units one by one, without it; and so on with the offset behind the last of them, so that blocks without units of the stream are
 * never read.
 */
#include <errno.h>
#include <stdlib.h>

#include "ops/wal/stream_internal.h"

/* The offset of a block's first byte. */
static uint64_t root_offset(const struct wal_index *index, const struct index_root *root, uint32_t block)
{
        if (block < root->block_count)
                return root->offsets[block];
        return root->size + (index->blocks[block].before - root->bytes_before);
}

static uint32_t root_locate(const struct wal_index *index, const struct index_root *root, uint64_t offset)
{
        uint32_t low = 0, high = index->block_count;
        while (high - low > 1) {
                uint32_t middle = low + (high - low) / 2;
                if (root_offset(index, root, middle) <= offset)
                        low = middle;
                else
                        high = middle;
        }
        return low;
}

/* Offsets inside are absolute: of a collection, since the beginning. */
static uint64_t stream_base(const struct wal_stream *stream)
{
        return stream->root != NULL ? 0 : stream->bytes_before;
}

struct located {
        uint32_t block;
        uint64_t offset; /* of the first byte in the block that is the stream's, or was its collection's before it */
};

/* The block that holds the absolute `offset`; false at or behind the end. */
static bool locate(const struct wal_stream *stream, uint64_t offset, struct located *ret)
{
        const struct index_collection *c = stream->collection;
        if (offset - stream_base(stream) >= stream_size(stream))
                return false;
        if (stream->root != NULL) {
                ret->block = root_locate(stream->index, stream->root, offset);
                ret->offset = root_offset(stream->index, stream->root, ret->block);
        } else {
                const struct index_entry *entry = &c->entries[index_entry_of_bytes(c, offset)];
                *ret = (struct located){ .block = entry->block, .offset = entry->bytes };
        }
        return true;
}

static bool belongs(const struct wal_stream *stream, const struct wal_unit *unit, uint64_t position)
{
        const struct index_root *root = stream->root;
        if (index_is_gap(stream->index, position))
                return false;
        if (root == NULL)
                return unit->key == stream->collection->key;
        if (position >= root->end)
                return !index_is_hidden(stream->index, unit->key);
        struct index_first wanted = { .key = unit->key };
        const struct index_first *first = bsearch(&wanted, root->firsts, root->first_count, sizeof(wanted), index_compare_firsts);
        return first != NULL && position >= first->position;
}

struct gathering {
        struct wal_stream *stream;
        uint64_t at;    /* absolute: of the next byte that is wanted */
        uint64_t start; /* of the first unit */
        uint64_t most;  /* bytes from the first `at` on */
        uint64_t taken; /* of these */
        struct wal_unit *units;
        size_t count, max;
        bool full;
};

static void take(struct gathering *g, const struct wal_unit *unit, uint64_t offset)
{
        uint64_t end = offset + unit->length, more = end - g->at;
        if (g->count > 0 && more > g->most - g->taken) {
                g->full = true;
                return;
        }
        if (g->count == 0)
                g->start = offset;
        g->units[g->count++] = *unit;
        g->at = end;
        g->taken += more;
        g->full = g->count == g->max || g->taken >= g->most;
}

static void gather_block(struct gathering *g, const struct located *place, const struct index_units *block)
{
        uint64_t offset = place->offset;
        for (uint32_t i = 0; i < block->count && !g->full; i++) {
                const struct wal_unit *unit = &block->units[i];
                if (!belongs(g->stream, unit, (uint64_t) place->block * WAL_BLOCK_UNITS + i))
                        continue;
                if (offset + unit->length > g->at)
                        take(g, unit, offset);
                offset += unit->length;
        }
}

static int gather(struct gathering *g, struct error *e)
{
        struct wal_index *index = g->stream->index;
        struct index_units block;
        while (!g->full) {
                struct located place;
                size_t before = g->count;
                index_lock(index);
                bool found = locate(g->stream, g->at, &place);
                index_unlock(index);
                int r = found ? index_read_block(index, place.block, &block, e) : 0;
                if (r < 0 || !found)
                        return r;
                gather_block(g, &place, &block);
                if (g->count == before && !g->full)
                        return error_set(e, EILSEQ, "block %u of the write-ahead log's measure is not what it was", place.block);
        }
        return 0;
}

int wal_stream_units(struct wal_stream *stream, uint64_t offset, uint64_t bytes, struct wal_unit *units, size_t max,
                     size_t *ret_count, uint64_t *ret_offset, struct error *e)
{
        uint64_t base = stream_base(stream);
        struct gathering g = { .stream = stream, .at = base + offset, .most = bytes, .units = units, .max = max };
        g.start = g.at;
        g.full = max == 0;
        int r = gather(&g, e);
        if (r < 0 && g.count == 0)
                return r;
        *ret_count = g.count;
        *ret_offset = g.start - base;
        return 0;
}
