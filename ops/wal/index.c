/*
 * The life of an index, and its writer.
 *
 * Units that are not in the store yet are held in `held`, which begins with a block. A large row's pieces wait there, behind `end`,
 * until the last one has come: readers and the store get whole rows only. What the store can't take for lack of memory stays there
 * as well, and is tried again with the next row. Writing to the store happens without the mutex: until it is over, readers are
 * served from `held`.
 */
#include "ops/wal/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops/wal/index_internal.h"
#include "ops/wal/row.h"

/* Life. */

static int compare_keys(const void *a, const void *b)
{
        uint64_t x, y;
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        return (x > y) - (x < y);
}

static int copy_hidden(struct wal_index *index, const uint64_t *hidden, size_t count)
{
        if (count == 0)
                return 0;
        index->hidden = reallocarray(NULL, count, sizeof(*hidden));
        if (index->hidden == NULL)
                return -ENOMEM;
        memcpy(index->hidden, hidden, count * sizeof(*hidden));
        qsort(index->hidden, count, sizeof(*hidden), compare_keys);
        index->hidden_count = count;
        return 0;
}

static int make(struct wal_store *store, const uint64_t *hidden, size_t hidden_count, struct wal_index **ret)
{
        struct wal_index *index = calloc(1, sizeof(*index));
        if (index == NULL)
                return -ENOMEM;
        if (copy_hidden(index, hidden, hidden_count) < 0 || pthread_mutex_init(&index->mutex, NULL) != 0) {
                free(index->hidden);
                free(index);
                return -ENOMEM;
        }
        atomic_init(&index->references, 1);
        TAILQ_INIT(&index->live);
        index->store = store;
        *ret = index;
        return 0;
}

/* What can't be loaded is of no use. */
static int load(struct wal_index *index, struct error *e)
{
        int r = index_load(index, e);
        if (r == 0 || r == -ENOMEM)
                return r;
        index_clear(index);
        return wal_store_reset(index->store, e);
}

int wal_index_new(struct wal_store *store, const uint64_t *hidden, size_t hidden_count, struct wal_index **ret, struct error *e)
{
        CLEANUP(wal_index_put)
        struct wal_index *index = NULL;
        if (make(store, hidden, hidden_count, &index) < 0) {
                (void) wal_store_free(store);
                return error_set(e, ENOMEM, "no memory for the index of the write-ahead log");
        }
        int r = load(index, e);
        if (r < 0)
                return r;
        *ret = TAKE(index);
        return 0;
}

struct wal_index *wal_index_get(struct wal_index *index)
{
        atomic_fetch_add(&index->references, 1);
        return index;
}

struct wal_index *wal_index_put(struct wal_index *index)
{
        if (index == NULL || atomic_fetch_sub(&index->references, 1) > 1)
                return NULL;
        stream_forget_root(index);
        index_clear(index);
        free(index->held);
        free(index->blocks);
        free(index->gaps);
        free(index->hidden);
        (void) wal_store_free(index->store);
        (void) pthread_mutex_destroy(&index->mutex);
        free(index);
        return NULL;
}

/* Units. */

bool index_is_plausible(const struct wal_unit *unit)
{
        if (unit->length == 0 || unit->length > WAL_LENGTH_MAX)
                return false;
        return (unit->piece & WAL_UNIT_LARGE) != 0 || unit->piece == 0;
}

bool index_continues(const struct wal_unit *unit, const struct wal_unit *before)
{
        return unit->seq_id == before->seq_id && unit->key == before->key && (before->piece & WAL_UNIT_LARGE) != 0 &&
               (before->piece & WAL_UNIT_LAST) == 0 && wal_unit_number(unit) == wal_unit_number(before) + 1;
}

bool index_is_hidden(const struct wal_index *index, uint64_t key)
{
        return index->hidden_count > 0 && bsearch(&key, index->hidden, index->hidden_count, sizeof(key), compare_keys) != NULL;
}

bool index_is_gap(const struct wal_index *index, uint64_t position)
{
        uint32_t low = 0, high = index->gap_count;
        while (low < high) {
                uint32_t middle = low + (high - low) / 2;
                if (index->gaps[middle].to <= position)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < index->gap_count && position >= index->gaps[low].from;
}

/* Whole rows in `held`. */
static uint32_t held_whole(const struct wal_index *index)
{
        return (uint32_t) (index->end - (uint64_t) index->held_block * WAL_BLOCK_UNITS);
}

static bool copy_held(struct wal_index *index, uint32_t number, struct index_units *ret)
{
        if (number < index->held_block)
                return false;
        uint64_t from = (uint64_t) (number - index->held_block) * WAL_BLOCK_UNITS, whole = held_whole(index);
        ret->count = 0;
        if (from < whole)
                ret->count = whole - from < WAL_BLOCK_UNITS ? (uint32_t) (whole - from) : WAL_BLOCK_UNITS;
        if (ret->count > 0)
                memcpy(ret->units, index->held + from, ret->count * sizeof(*ret->units));
        return true;
}

int index_read_block(struct wal_index *index, uint32_t number, struct index_units *ret, struct error *e)
{
        index_lock(index);
        bool held = copy_held(index, number, ret);
        index_unlock(index);
        if (held)
                return 0;
        int r = wal_store_read(index->store, number, ret->units, &ret->count, e);
        if (r < 0)
                return r;
        if (ret->count != WAL_BLOCK_UNITS)
                return error_set(e, EILSEQ, "block %u of the write-ahead log's measure is not full", number);
        return 0;
}

/* Writing. */

/* Writes what is full. What fails is tried again. */
static int write_full(struct wal_index *index, struct error *e)
{
        uint32_t full = held_whole(index) / WAL_BLOCK_UNITS, written = 0;
        int r = 0;
        while (written < full) {
                r = wal_store_write(index->store, index->held_block + written, index->held + (size_t) written * WAL_BLOCK_UNITS,
                                    WAL_BLOCK_UNITS, e);
                if (r < 0)
                        break;
                written++;
        }
        if (written == 0)
                return r;
        uint32_t units = written * WAL_BLOCK_UNITS;
        index_lock(index);
        memmove(index->held, index->held + units, (index->held_count - units) * sizeof(*index->held));
        index->held_count -= units;
        index->held_block += written;
        index_unlock(index);
        return r;
}

int wal_index_flush(struct wal_index *index, struct error *e)
{
        int r = write_full(index, e);
        if (r < 0 || index->flushed == index->end)
                return r;
        uint32_t count = held_whole(index);
        if (count > 0)
                r = wal_store_write(index->store, index->held_block, index->held, count, e);
        if (r == 0)
                index->flushed = index->end;
        return r;
}

static int check_order(struct wal_index *index, const struct wal_unit *unit, struct error *e)
{
        uint32_t whole = held_whole(index);
        if (!index_is_plausible(unit))
                return error_set(e, EINVAL, "row %lld of the write-ahead log is measured wrongly", (long long) unit->seq_id);
        if (!wal_unit_begins_row(unit)) {
                if (index->held_count == whole || !index_continues(unit, &index->held[index->held_count - 1]))
                        return error_set(e, EINVAL, "piece %u of row %lld of the write-ahead log is out of order",
                                         wal_unit_number(unit), (long long) unit->seq_id);
                return 0;
        }
        const struct index_collection *last = TAILQ_LAST(&index->live, index_collections);
        if (last != NULL && unit->seq_id <= last->last_seq)
                return error_set(e, EINVAL, "row %lld of the write-ahead log stands behind row %lld", (long long) unit->seq_id,
                                 (long long) last->last_seq);
        return 0;
}

static int hold(struct wal_index *index, const struct wal_unit *unit)
{
        if (index->held_block >= UINT32_MAX - 1 - index->held_count / WAL_BLOCK_UNITS)
                return -ENOMEM;
        struct wal_unit *held = index_grow(index->held, &index->held_room, (uint64_t) index->held_count + 1, sizeof(*held));
        if (held == NULL)
                return -ENOMEM;
        index->held = held;
        held[index->held_count++] = *unit;
        return 0;
}

static int append(struct wal_index *index, const struct wal_unit *unit, int64_t created, struct error *e)
{
        int r = check_order(index, unit, e);
        if (r < 0)
                return r;
        uint32_t whole = held_whole(index);
        if (wal_unit_begins_row(unit))
                index->held_count = whole;
        struct index_collection *c = index_find_or_add(index, unit->key);
        if (c == NULL || hold(index, unit) < 0)
                return error_set(e, ENOMEM, "no memory for the index of the write-ahead log");
        if (!wal_unit_ends_row(unit))
                return 0;
        r = index_commit(index, c, index->held + whole, index->held_count - whole, index->end, created, e);
        if (r < 0)
                index->held_count--;
        return r;
}

int wal_index_append(struct wal_index *index, const struct wal_unit *unit, int64_t created, struct error *e)
{
        index_lock(index);
        int r = append(index, unit, created, e);
        index_unlock(index);
        if (r == 0 && held_whole(index) >= WAL_BLOCK_UNITS)
                (void) write_full(index, NULL);
        return r;
}

int wal_index_drop(struct wal_index *index, uint64_t key, uint64_t rows, struct error *e)
{
        index_lock(index);
        struct index_collection *c = index_find(index, key);
        index_unlock(index);
        uint64_t live = c == NULL ? 0 : index_live_rows(c);
        struct index_mark to;
        if (live == 0 || rows == 0)
                return 0;
        if (rows < live) {
                int r = index_find_row(index, c, c->gone_rows + rows, &to, NULL, e);
                if (r < 0)
                        return r;
        }
        index_lock(index);
        if (rows < live)
                index_leave(index, c, &to);
        else
                index_leave_whole(index, c);
        index_unlock(index);
        return 0;
}

void wal_index_note_created(struct wal_index *index, uint64_t key, int64_t created)
{
        index_lock(index);
        struct index_collection *c = index_find(index, key);
        if (c != NULL && index_live_rows(c) > 0)
                c->created = created;
        index_unlock(index);
}

void wal_index_set_number(struct wal_index *index, uint64_t number)
{
        index->number = number;
}
