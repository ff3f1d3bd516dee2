/*
 * What the index holds in memory: of each block two sums, of each collection one entry for each block in which it has units.
 * Nothing is kept of a unit or row alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/wal/index_internal.h"
#include "ops/wal/row.h"

_Static_assert((uint64_t) WAL_BLOCK_UNITS *WAL_LENGTH_MAX <= UINT32_MAX, "the bytes of a block fit into index_block.live");

void *index_grow(void *array, uint32_t *room, uint64_t need, size_t size)
{
        if (need <= *room)
                return array;
        uint64_t larger = (uint64_t) *room + *room / 4 + 2; /* there may be many small ones */
        if (larger < need)
                larger = need;
        if (larger > UINT32_MAX)
                return NULL;
        void *grown = reallocarray(array, (size_t) larger, size);
        if (grown != NULL)
                *room = (uint32_t) larger;
        return grown;
}

/* Collections. */

struct index_collection *index_find(struct wal_index *index, uint64_t key)
{
        if (index->recent != NULL && index->recent->key == key)
                return index->recent;
        struct index_collection *c;
        HASH_FIND(hh, index->collections, &key, sizeof(key), c);
        if (c != NULL)
                index->recent = c;
        return c;
}

struct index_collection *index_find_or_add(struct wal_index *index, uint64_t key)
{
        struct index_collection *c = index_find(index, key);
        if (c != NULL)
                return c;
        c = calloc(1, sizeof(*c));
        if (c == NULL)
                return NULL;
        c->key = key;
        c->hidden = index_is_hidden(index, key);
        HASH_ADD(hh, index->collections, key, sizeof(c->key), c);
        if (c->hh.tbl == NULL) {
                free(c);
                return NULL;
        }
        index->recent = c;
        return c;
}

void index_clear(struct wal_index *index)
{
        struct index_collection *c, *next;
        HASH_ITER(hh, index->collections, c, next)
        {
                HASH_DEL(index->collections, c);
                free(c->entries);
                free(c);
        }
        index->recent = index->newest = NULL;
        TAILQ_INIT(&index->live);
        index->live_count = 0;
        index->gap_count = index->block_count = index->held_count = index->held_block = 0;
        index->end = index->flushed = 0;
        index->rows = index->bytes = index->live_rows = index->live_bytes = 0;
}

uint32_t index_entry_of_bytes(const struct index_collection *c, uint64_t bytes)
{
        uint32_t low = 0, high = c->entry_count;
        while (high - low > 1) {
                uint32_t middle = low + (high - low) / 2;
                if (c->entries[middle].bytes <= bytes)
                        low = middle;
                else
                        high = middle;
        }
        return low;
}

uint32_t index_entry_of_row(const struct index_collection *c, uint64_t row)
{
        uint32_t low = 0, high = c->entry_count;
        while (high - low > 1) {
                uint32_t middle = low + (high - low) / 2;
                if (c->entries[middle].rows <= row)
                        low = middle;
                else
                        high = middle;
        }
        return low;
}

/* Rows come. */

static int reserve_blocks(struct wal_index *index, uint64_t end)
{
        uint64_t need = (end + WAL_BLOCK_UNITS - 1) / WAL_BLOCK_UNITS;
        if (need <= index->block_room)
                return 0;
        struct index_block *blocks = index_grow(index->blocks, &index->block_room, need, sizeof(*blocks));
        if (blocks == NULL)
                return -ENOMEM;
        index->blocks = blocks;
        return 0;
}

static int reserve_entries(struct index_collection *c, uint32_t units)
{
        uint64_t need =
                (uint64_t) c->entry_count + (units - 1) / WAL_BLOCK_UNITS + 2; /* as they may begin in the middle of a block */
        if (units == 1)
                need = (uint64_t) c->entry_count + 1;
        if (need <= c->entry_room)
                return 0;
        struct index_entry *entries = index_grow(c->entries, &c->entry_room, need, sizeof(*entries));
        if (entries == NULL)
                return -ENOMEM;
        c->entries = entries;
        return 0;
}

static void begin_blocks(struct wal_index *index, uint64_t count)
{
        while (index->block_count < count)
                index->blocks[index->block_count++] = (struct index_block){ .before = index->bytes };
}

int index_extend(struct wal_index *index, uint64_t position, struct error *e)
{
        if (reserve_blocks(index, position) < 0)
                return error_set(e, ENOMEM, "no memory for the index of the write-ahead log");
        begin_blocks(index, (position + WAL_BLOCK_UNITS - 1) / WAL_BLOCK_UNITS);
        index->end = position;
        return 0;
}

static void place(struct wal_index *index, struct index_collection *c, uint64_t position, uint32_t length)
{
        uint32_t number = (uint32_t) (position / WAL_BLOCK_UNITS);
        begin_blocks(index, (uint64_t) number + 1);
        if (c->entry_count == 0 || c->entries[c->entry_count - 1].block != number)
                c->entries[c->entry_count++] =
                        (struct index_entry){ .block = number, .rows = (uint32_t) c->rows, .bytes = c->bytes };
        c->bytes += length;
        if (c->hidden)
                return;
        index->blocks[number].live += length;
        index->bytes += length;
        index->live_bytes += length;
}

/* It stands at the end of the list afterwards: its new row has the greatest seq_id. */
static void enlist(struct wal_index *index, struct index_collection *c, uint64_t position, int64_t seq_id)
{
        if (index_live_rows(c) == 0) {
                stream_first_row(index, c, seq_id);
                c->first_position = position;
                c->first_seq = seq_id;
                index->live_count++;
                TAILQ_INSERT_TAIL(&index->live, c, live);
        } else if (TAILQ_NEXT(c, live) != NULL) {
                TAILQ_REMOVE(&index->live, c, live);
                TAILQ_INSERT_TAIL(&index->live, c, live);
        }
}

static void count_row(struct wal_index *index, struct index_collection *c, int64_t seq_id, int64_t created)
{
        c->rows++;
        c->last_seq = seq_id;
        c->created = created;
        if (c->hidden)
                return;
        index->rows++;
        index->live_rows++;
        index->newest = c;
}

int index_commit(struct wal_index *index, struct index_collection *c, const struct wal_unit *units, uint32_t count,
                 uint64_t position, int64_t created, struct error *e)
{
        if (c->rows == UINT32_MAX || reserve_entries(c, count) < 0 || reserve_blocks(index, position + count) < 0)
                return error_set(e, ENOMEM, "no memory for the index of the write-ahead log");
        enlist(index, c, position, units[0].seq_id);
        place(index, c, position, units[0].length);
        count_row(index, c, units[0].seq_id, created);
        for (uint32_t i = 1; i < count; i++)
                place(index, c, position + i, units[i].length);
        index->end = position + count;
        return 0;
}

/* Rows leave. */

/* Only the blocks of what leaves are looked at. */
static void take_from_blocks(struct wal_index *index, const struct index_collection *c, uint64_t to)
{
        uint64_t from = c->gone_bytes;
        for (uint32_t i = index_entry_of_bytes(c, from); from < to; i++) {
                uint64_t next = i + 1 < c->entry_count ? c->entries[i + 1].bytes : c->bytes;
                if (next > to)
                        next = to;
                index->blocks[c->entries[i].block].live -= (uint32_t) (next - from);
                from = next;
        }
}

void index_leave(struct wal_index *index, struct index_collection *c, const struct index_mark *to)
{
        if (!c->hidden) {
                take_from_blocks(index, c, to->bytes);
                index->live_rows -= to->rows - c->gone_rows;
                index->live_bytes -= to->bytes - c->gone_bytes;
        }
        c->gone_rows = to->rows;
        c->gone_bytes = to->bytes;
        c->first_position = to->position;
        c->first_seq = to->seq_id;
        if (index_live_rows(c) == 0) {
                TAILQ_REMOVE(&index->live, c, live);
                index->live_count--;
        }
        stream_row_leaves(index, c);
}

void index_leave_whole(struct wal_index *index, struct index_collection *c)
{
        struct index_mark all = { .rows = c->rows, .bytes = c->bytes, .position = index->end };
        index_leave(index, c, &all);
}
