/*
 * Looking at the index: what is in memory, and rows, which are found by one binary search over their collection's entries and one
 * block.
 */
#include <errno.h>
#include <stdlib.h>

#include "ops/wal/index_internal.h"

static void describe(const struct index_collection *c, struct wal_topic *ret)
{
        *ret = (struct wal_topic){
                .key = c->key,
                .rows = index_live_rows(c),
                .bytes = c->bytes - c->gone_bytes,
                .first_seq = c->first_seq,
                .last_seq = c->last_seq,
                .created = c->created,
                .hidden = c->hidden,
        };
}

static struct wal_topic *describe_all(const struct wal_index *index)
{
        struct wal_topic *topics = reallocarray(NULL, index->live_count, sizeof(*topics)), *next = topics;
        if (topics == NULL)
                return NULL;
        for (const struct index_collection *c = TAILQ_FIRST(&index->live); c != NULL; c = TAILQ_NEXT(c, live))
                describe(c, next++);
        return topics;
}

int wal_index_topics(struct wal_index *index, struct wal_topic **ret, size_t *ret_count, struct error *e)
{
        struct wal_topic *topics = NULL;
        index_lock(index);
        size_t count = index->live_count;
        if (count > 0)
                topics = describe_all(index);
        index_unlock(index);
        if (count > 0 && topics == NULL)
                return error_set(e, ENOMEM, "no memory for %zu collections of the write-ahead log", count);
        *ret = topics;
        *ret_count = count;
        return 0;
}

bool wal_index_topic(struct wal_index *index, uint64_t key, struct wal_topic *ret)
{
        index_lock(index);
        const struct index_collection *c = index_find(index, key);
        bool found = c != NULL && index_live_rows(c) > 0;
        if (found)
                describe(c, ret);
        index_unlock(index);
        return found;
}

struct wal_totals wal_index_totals(struct wal_index *index)
{
        index_lock(index);
        struct wal_totals totals = { .rows = index->live_rows, .bytes = index->live_bytes };
        index_unlock(index);
        return totals;
}

/* Rows. */

static int not_there(uint32_t block, struct error *e)
{
        return error_set(e, EILSEQ, "block %u of the write-ahead log's measure is not what it was", block);
}

int index_find_row(struct wal_index *index, struct index_collection *c, uint64_t row, struct index_mark *ret,
                   struct wal_unit *ret_unit, struct error *e)
{
        index_lock(index);
        struct index_entry entry = c->entries[index_entry_of_row(c, row)];
        index_unlock(index);
        struct index_units block;
        int r = index_read_block(index, entry.block, &block, e);
        if (r < 0)
                return r;
        struct index_mark mark = { .rows = entry.rows, .bytes = entry.bytes };
        for (uint32_t i = 0; i < block.count; i++) {
                const struct wal_unit *unit = &block.units[i];
                mark.position = (uint64_t) entry.block * WAL_BLOCK_UNITS + i;
                if (unit->key != c->key || index_is_gap(index, mark.position))
                        continue;
                mark.seq_id = unit->seq_id;
                if (wal_unit_begins_row(unit) && mark.rows++ == row) {
                        mark.rows = row;
                        *ret = mark;
                        if (ret_unit != NULL)
                                *ret_unit = *unit;
                        return 0;
                }
                mark.bytes += unit->length;
        }
        return not_there(entry.block, e);
}

int wal_index_row(struct wal_index *index, uint64_t key, uint64_t row, struct wal_unit *ret, struct error *e)
{
        index_lock(index);
        struct index_collection *c = index_find(index, key);
        bool found = c != NULL && row < index_live_rows(c);
        uint64_t number = found ? c->gone_rows + row : 0;
        index_unlock(index);
        if (!found)
                return error_set(e, ENOENT, "the collection has no row %llu in the write-ahead log", (unsigned long long) row);
        struct index_mark mark;
        return index_find_row(index, c, number, &mark, ret, e);
}

int wal_index_row_before(struct wal_index *index, uint64_t key, struct wal_unit *ret, struct error *e)
{
        index_lock(index);
        struct index_collection *c = index_find(index, key);
        uint64_t gone = c != NULL ? c->gone_rows : 0;
        index_unlock(index);
        if (gone == 0)
                return error_set(e, ENOENT, "no row of the collection has left the write-ahead log");
        struct index_mark mark;
        return index_find_row(index, c, gone - 1, &mark, ret, e);
}

/* Counting by seq_id. */

struct counting { /* a collection at one moment: later rows may have lower seq_ids again */
        struct wal_index *index;
        struct index_collection *c;
        uint64_t first_position, end;
        uint64_t rows;            /* ever */
        uint32_t low, high;       /* entries: the row that is looked for is in one of low..high - 1 */
        struct index_entry entry; /* the one that was read last */
        struct index_units block; /* its block */
};

static int read_entry(struct counting *n, uint32_t number, struct error *e)
{
        index_lock(n->index);
        n->entry = n->c->entries[number];
        index_unlock(n->index);
        return index_read_block(n->index, n->entry.block, &n->block, e);
}

/* The next unit of the collection that was live at that moment, from slot *i on, or NULL. */
static const struct wal_unit *next_live(const struct counting *n, uint32_t *i)
{
        while (*i < n->block.count) {
                uint64_t position = (uint64_t) n->entry.block * WAL_BLOCK_UNITS + *i;
                const struct wal_unit *unit = &n->block.units[(*i)++];
                if (unit->key == n->c->key && position >= n->first_position && position < n->end &&
                    !index_is_gap(n->index, position))
                        return unit;
        }
        return NULL;
}

/* To the last block whose first unit isn't above `position`. */
static int narrow(struct counting *n, int64_t position, struct error *e)
{
        while (n->high - n->low > 1) {
                uint32_t i = 0, middle = n->low + (n->high - n->low) / 2;
                int r = read_entry(n, middle, e);
                const struct wal_unit *unit = r == 0 ? next_live(n, &i) : NULL;
                if (unit == NULL)
                        return r < 0 ? r : not_there(n->entry.block, e);
                if (unit->seq_id <= position)
                        n->low = middle;
                else
                        n->high = middle;
        }
        return read_entry(n, n->low, e);
}

/* Rows of the last block that was read which are above `position`, and all behind it. */
static uint64_t count_above(const struct counting *n, uint64_t gone, int64_t position)
{
        uint64_t below = n->entry.rows > gone ? n->entry.rows : gone;
        const struct wal_unit *unit;
        for (uint32_t i = 0; (unit = next_live(n, &i)) != NULL;)
                below += wal_unit_begins_row(unit) && unit->seq_id <= position;
        return below < n->rows ? n->rows - below : 0;
}

int wal_index_rows_above(struct wal_index *index, uint64_t key, int64_t position, uint64_t *ret, struct error *e)
{
        index_lock(index);
        struct index_collection *c = index_find(index, key);
        uint64_t gone = c == NULL ? 0 : c->gone_rows, rows = c == NULL ? 0 : c->rows, above = rows - gone;
        if (above > 0 && position >= c->last_seq)
                above = 0;
        if (above == 0 || position < c->first_seq) {
                index_unlock(index);
                *ret = above;
                return 0;
        }
        struct counting n = { .index = index, .c = c, .first_position = c->first_position, .end = index->end, .rows = rows };
        n.low = index_entry_of_bytes(c, c->gone_bytes);
        n.high = c->entry_count;
        index_unlock(index);
        int r = narrow(&n, position, e);
        if (r == 0)
                *ret = count_above(&n, gone, position);
        return r;
}

#define WORN_UNITS (1u << 18) /* 8 MiB of the store */
#define WORN_FACTOR 16

bool wal_index_is_worn(struct wal_index *index)
{
        uint64_t live = 0;
        index_lock(index);
        for (const struct index_collection *c = TAILQ_FIRST(&index->live); c != NULL; c = TAILQ_NEXT(c, live))
                live += index_live_rows(c);
        bool worn = index->end > WORN_UNITS && index->end / WORN_FACTOR > live;
        index_unlock(index);
        return worn;
}
