/*
 * Step 2 of measuring: all rows behind the anchor, in order.
 *
 * A transaction ends between two rows, or between two pieces of a large one, so that a row of a gigabyte doesn't keep a writer waiting. The index gets
 * whole rows only: pieces are collected first. Whoever was interrupted inside a row looks it up again; its first piece's hash covers the
 * lengths and classes of all its values. Such a transaction lasts twice as long as finding the place did, which is more than PIECE_MS only in values
 * of many megabytes: otherwise a gigabyte would take hours of finding the place.
 */
#include <errno.h>

#include "ops/clock.h"
#include "ops/wal/meter_parts.h"

#define FLUSH_MS 1000

/* What the functions here return, beside a negative errno: the first two are wal_source_seek's. */
enum { SCAN_END, SCAN_ROW, SCAN_PAUSE /* the time is up */, SCAN_LOST /* the place to go on from has left */, SCAN_FOREIGN };

static void store(_Atomic int64_t *to, int64_t value)
{
        atomic_store_explicit(to, value, memory_order_relaxed);
}

static void row_taken(struct meter *m, const struct wal_unit *first)
{
        m->anchor = *first;
        m->anchored = true;
        store(&m->progress->at, first->seq_id);
}

static int take_small(struct meter *m, const struct wal_row *row)
{
        struct wal_unit unit = {
                .seq_id = row->seq_id,
                .key = wal_row_key(row),
                .hash = wal_row_hash(row),
                .length = (uint32_t) wal_row_length(row),
        };
        int r = wal_index_append(m->index, &unit, wal_row_created(row), m->e);
        if (r < 0)
                return r;
        row_taken(m, &unit);
        return SCAN_ROW;
}

/* Large rows. */

static int make_room(struct meter *m)
{
        if (m->count < m->room)
                return 0;
        uint32_t room = m->room == 0 ? 64 : m->room * 2;
        struct wal_unit *pieces = room > m->room ? reallocarray(m->pieces, room, sizeof(*pieces)) : NULL;
        if (pieces == NULL)
                return error_set(m->e, ENOMEM, "no memory for the %u pieces of a row of the write-ahead log", m->count);
        m->pieces = pieces;
        m->room = room;
        return 0;
}

static int append_pieces(struct meter *m, const struct wal_row *row)
{
        int64_t created = 0;
        int r = wal_source_created(m->source, row, &created, m->e);
        for (uint32_t i = 0; r == 0 && i < m->count; i++)
                r = wal_index_append(m->index, &m->pieces[i], created, m->e);
        m->count = 0;
        if (r < 0)
                return r;
        row_taken(m, &m->pieces[0]);
        return SCAN_ROW;
}

static int take_piece(struct meter *m, const struct wal_row *row, uint64_t key)
{
        int r = make_room(m);
        if (r == 0)
                r = meter_measure_piece(m, row, key, m->count, &m->pieces[m->count]);
        if (r == 0)
                m->count++;
        return r;
}

/* Pieces from the one that comes next; the row is the one that the source returned last. */
static int take_pieces(struct meter *m, const struct wal_row *row, uint64_t key)
{
        uint32_t total = wal_row_pieces(row);
        while (m->count < total) {
                int r = db_is_cancelled(m->db) ? error_set(m->e, EINTR, "interrupted") : take_piece(m, row, key);
                if (r < 0)
                        return r;
                if (m->count < total && meter_is_time_up(m))
                        return SCAN_PAUSE;
        }
        return append_pieces(m, row);
}

static int take_row(struct meter *m, const struct wal_row *row)
{
        if (!wal_row_is_large(row))
                return take_small(m, row);
        uint64_t key = 0;
        int r = wal_source_key(m->source, row, &key, m->e);
        return r < 0 ? r : take_pieces(m, row, key);
}

/* Once in a call, at the first row that there is to read: a progress whose end runs away says nothing. */
static int show_progress(struct meter *m, const struct wal_row *row)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        if (m->shown)
                return SCAN_ROW;
        int r = db_prepare(m->db, &stmt, m->e, "SELECT max(seq_id) FROM embeddings_queue");
        if (r == 0)
                r = db_step(m->db, stmt, m->e);
        if (r < 0)
                return r;
        store(&m->progress->from, row->seq_id);
        store(&m->progress->at, row->seq_id);
        store(&m->progress->to, sqlite3_column_int64(stmt, 0));
        m->shown = true;
        return SCAN_ROW;
}

/* Where to go on, in a new transaction. */

/* The first piece costs the way to it, along a chain of pages that SQLite has to follow from the beginning of the value. */
static int resume_row(struct meter *m, const struct wal_row *row, uint64_t key)
{
        int r = take_piece(m, row, key);
        meter_extend(m);
        return r < 0 ? r : take_pieces(m, row, key);
}

/* Behind the row that begins with this unit: the anchor, or one of which there are pieces. */
static int resume_behind(struct meter *m, struct wal_unit place, struct wal_row *row)
{
        int r = meter_look_up(m, &place, row);
        if (r < 0)
                return r;
        if (r != METER_THERE)
                return SCAN_LOST;
        if (m->count > 0) {
                r = resume_row(m, row, place.key);
                if (r != SCAN_ROW)
                        return r;
        }
        return wal_source_next(m->source, row, m->e);
}

/* All rows up to the anchor are known: one below the lowest of them has come back, with an older copy of the database. */
static int resume_first(struct meter *m, struct wal_row *row)
{
        int r = wal_source_seek(m->source, INT64_MIN, row, m->e);
        if (r < 0 || !m->anchored)
                return r;
        bool came_back = r == SCAN_ROW && row->seq_id < m->lowest;
        r = resume_behind(m, m->anchor, row);
        return came_back && (r == SCAN_ROW || r == SCAN_END) ? SCAN_FOREIGN : r;
}

/* In a transaction: takes rows until there are no more or the time is up. */
static int scan_some(struct meter *m, bool first)
{
        struct wal_row row;
        int r = first ? resume_first(m, &row) : resume_behind(m, m->count > 0 ? m->pieces[0] : m->anchor, &row);
        if (r == SCAN_ROW)
                r = show_progress(m, &row);
        while (r == SCAN_ROW) {
                r = take_row(m, &row);
                if (r == SCAN_ROW)
                        r = meter_is_time_up(m) ? SCAN_PAUSE : wal_source_next(m->source, &row, m->e);
        }
        return r;
}

/* Not inside a transaction: the disk may be slow. */
static int flush_sometimes(struct meter *m)
{
        int64_t now = clock_ms();
        if (m->flush_ms == 0)
                m->flush_ms = now + FLUSH_MS;
        if (now < m->flush_ms)
                return 0;
        m->flush_ms = now + FLUSH_MS;
        return wal_index_flush(m->index, m->e);
}

int meter_scan(struct meter *m)
{
        static const int results[] = { [SCAN_END] = 0, [SCAN_LOST] = METER_LOST, [SCAN_FOREIGN] = METER_ANEW };
        int r = SCAN_PAUSE;
        m->count = 0;
        for (bool first = true; r == SCAN_PAUSE; first = false) {
                r = meter_begin(m);
                if (r < 0)
                        return r;
                r = scan_some(m, first);
                meter_end(m);
                int flushed = r < 0 ? 0 : flush_sometimes(m);
                if (flushed < 0)
                        return flushed;
        }
        return r < 0 ? r : results[r];
}
