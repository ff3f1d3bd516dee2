/*
 * Loading: every unit that is stored is looked at once, and takes its place as if it were appended.
 *
 * Which rows have left is not stored: the meter finds that out. Two things the loader has to understand itself.
 *
 * - A seq_id that is not above the one before: SQLite gives a number again after the rows at the table's end have left, and those
 *   only leave with their whole collection. So each collection whose last row has this seq_id, or a higher one, has left whole. If
 *   that would take rows below this seq_id away, which may still be there, the store is of no use.
 * - Pieces of a row without a last one: a crash cut it off. In full blocks they stay where they are, a gap that belongs to no
 *   collection; in the last block they are forgotten.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/wal/index_internal.h"

#define GAPS_MAX 1000 /* each takes a crash */

struct loading {
        struct wal_index *index;
        struct error *e;
        struct wal_unit *row; /* the pieces of the row that is being loaded */
        uint32_t row_count, row_room;
        uint64_t row_position;
};

static int no_memory(const struct loading *l)
{
        return error_set(l->e, ENOMEM, "no memory for the index of the write-ahead log");
}

static int implausible(const struct loading *l, const struct wal_unit *unit)
{
        return error_set(l->e, EILSEQ, "the stored measure of row %lld of the write-ahead log can't be right",
                         (long long) unit->seq_id);
}

static int add_gap(struct loading *l, uint64_t to)
{
        struct wal_index *index = l->index;
        if (index->gap_count == GAPS_MAX)
                return implausible(l, l->row);
        struct index_gap *gaps = index_grow(index->gaps, &index->gap_room, (uint64_t) index->gap_count + 1, sizeof(*gaps));
        if (gaps == NULL)
                return no_memory(l);
        index->gaps = gaps;
        gaps[index->gap_count++] = (struct index_gap){ .from = l->row_position, .to = to };
        return 0;
}

/* What had this seq_id, or one above it, had left before it was used again. */
static int make_way(struct loading *l, const struct wal_unit *unit)
{
        struct wal_index *index = l->index;
        struct index_collection *last;
        while ((last = TAILQ_LAST(&index->live, index_collections)) != NULL && last->last_seq >= unit->seq_id) {
                if (last->first_seq < unit->seq_id)
                        return implausible(l, unit);
                index_leave_whole(index, last);
        }
        return 0;
}

static int load_row(struct loading *l, const struct wal_unit *units, uint32_t count, uint64_t position)
{
        int r = make_way(l, units);
        if (r < 0)
                return r;
        struct index_collection *c = index_find_or_add(l->index, units->key);
        if (c == NULL)
                return no_memory(l);
        return index_commit(l->index, c, units, count, position, 0, l->e);
}

static int load_piece(struct loading *l, const struct wal_unit *unit, uint64_t position)
{
        if (l->row_count == 0)
                l->row_position = position;
        struct wal_unit *row = index_grow(l->row, &l->row_room, (uint64_t) l->row_count + 1, sizeof(*row));
        if (row == NULL)
                return no_memory(l);
        l->row = row;
        row[l->row_count++] = *unit;
        if (!wal_unit_ends_row(unit))
                return 0;
        uint32_t count = l->row_count;
        l->row_count = 0;
        return load_row(l, row, count, l->row_position);
}

static int load_unit(struct loading *l, const struct wal_unit *unit, uint64_t position)
{
        if (!index_is_plausible(unit))
                return implausible(l, unit);
        if (!wal_unit_begins_row(unit)) {
                if (l->row_count == 0 || !index_continues(unit, &l->row[l->row_count - 1]))
                        return implausible(l, unit);
                return load_piece(l, unit, position);
        }
        int r = l->row_count > 0 ? add_gap(l, position) : 0;
        l->row_count = 0;
        if (r < 0)
                return r;
        return unit->piece == 0 ? load_row(l, unit, 1, position) : load_piece(l, unit, position);
}

static int load_block(struct loading *l, uint32_t number, bool last, struct index_units *block)
{
        int r = wal_store_read(l->index->store, number, block->units, &block->count, l->e);
        if (r < 0)
                return r;
        if (block->count == 0 || block->count > WAL_BLOCK_UNITS || (!last && block->count < WAL_BLOCK_UNITS))
                return error_set(l->e, EILSEQ, "block %u of the write-ahead log's measure is not full", number);
        for (uint32_t i = 0; r == 0 && i < block->count; i++)
                r = load_unit(l, &block->units[i], (uint64_t) number * WAL_BLOCK_UNITS + i);
        return r;
}

/* Cuts off what is not whole, and holds what is left of the last block. */
static int finish(struct loading *l, uint32_t blocks, const struct index_units *last)
{
        struct wal_index *index = l->index;
        uint32_t full = last->count == WAL_BLOCK_UNITS ? blocks : blocks - 1;
        uint64_t held_from = (uint64_t) full * WAL_BLOCK_UNITS, end = (uint64_t) (blocks - 1) * WAL_BLOCK_UNITS + last->count;
        if (l->row_count > 0) {
                end = l->row_position < held_from ? held_from : l->row_position;
                int r = l->row_position < held_from ? add_gap(l, held_from) : 0;
                if (r < 0)
                        return r;
        }
        uint32_t count = (uint32_t) (end - held_from);
        if (count > 0) {
                struct wal_unit *held = index_grow(index->held, &index->held_room, count, sizeof(*held));
                if (held == NULL)
                        return no_memory(l);
                memcpy(held, last->units, count * sizeof(*held));
                index->held = held;
        }
        index->held_count = count;
        index->held_block = full;
        index->flushed = end;
        return index_extend(index, end, l->e);
}

int index_load(struct wal_index *index, struct error *e)
{
        struct loading l = { .index = index, .e = e };
        struct index_units block = { 0 };
        uint32_t blocks = wal_store_blocks(index->store);
        int r = 0;
        for (uint32_t i = 0; r == 0 && i < blocks; i++)
                r = load_block(&l, i, i + 1 == blocks, &block);
        if (r == 0 && blocks > 0)
                r = finish(&l, blocks, &block);
        free(l.row);
        return r;
}
