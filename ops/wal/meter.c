/*
 * A round of measuring is a verification of what is known, then a scan of what is not, in many short transactions; if someone committed
 * meanwhile there is another round, but not for ever: what is measured is right for its moment, and rows that leave meanwhile are found
 * by the next call.
 *
 * The invariant. seq_id is SQLite's rowid: a new row takes the greatest one in the table plus 1. While a row is in the table nothing is put in
 * below it, so: when a row is appended to the index, in a transaction in which the row that was appended before it (the anchor) is still there, and
 * nothing lies between the two, then for as long as this row stays in the table the index has every row of the table up to this one. A scan
 * therefore begins each transaction with a look at its anchor, and when that has left (its seq_id, and those below, may be another collection's now) all
 * that is known is verified again, which finds a lower anchor or none.
 *
 * This ends at seq_id 9223372036854775807: when a row has that one, SQLite picks any free number for the next. No Chroma gets there, but a
 * stranger's database can: then the rows are counted, and if the index has not as many it is of no use.
 *
 * Waiting for a lock follows ops/pieces.c: a writer that never pauses is waited for several times DB_WAIT_MS at each transaction.
 */
#include "ops/wal/meter.h"

#include <errno.h>
#include <time.h>

#include "ops/pieces.h"
#include "ops/wal/meter_parts.h"

#define BEGIN_ATTEMPTS 5
#define ROUNDS 3
#define RESTARTS_MAX 1000 /* rounds that lost their place; each of them has found what left */

/* Transactions. */

/* The coarse clock costs less than a row does, and its ticks of a few milliseconds are fine enough. */
static int64_t now_ms(void)
{
        struct timespec t;
        (void) clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
        return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool meter_is_time_up(const struct meter *m)
{
        return now_ms() >= m->end_ms;
}

void meter_extend(struct meter *m)
{
        int64_t now = now_ms(), begun = m->end_ms - PIECE_MS, end = now + (now - begun);
        if (end > m->end_ms)
                m->end_ms = end;
}

static int note_version(struct meter *m)
{
        uint64_t version = 0;
        int r = db_data_version(m->db, &version, m->e);
        if (r < 0)
                return r;
        if (!m->started)
                m->version = version;
        m->started = true;
        m->current = version == m->version;
        return 0;
}

int meter_begin(struct meter *m)
{
        int r = -EBUSY;
        for (int i = 0; r == -EBUSY && i < BEGIN_ATTEMPTS; i++)
                r = db_begin(m->db, m->e);
        if (r < 0)
                return r;
        m->end_ms = now_ms() + PIECE_MS;
        r = note_version(m);
        if (r < 0)
                db_end(m->db);
        return r;
}

void meter_end(struct meter *m)
{
        wal_source_rest(m->source);
        db_end(m->db);
}

/* Rows. */

int meter_measure_piece(struct meter *m, const struct wal_row *row, uint64_t key, uint32_t number, struct wal_unit *ret)
{
        struct wal_piece piece;
        struct wal_input input, *given = NULL;
        if (!wal_row_piece(row, number, &piece))
                return error_set(m->e, EINVAL, "row %lld of the write-ahead log has no piece %u", (long long) row->seq_id, number);
        if (piece.to > piece.from) {
                int r = wal_source_input(m->source, row, &piece, &input, m->e);
                if (r < 0)
                        return r;
                given = &input;
        }
        uint32_t last = number + 1 == wal_row_pieces(row) ? WAL_UNIT_LAST : 0;
        *ret = (struct wal_unit){
                .seq_id = row->seq_id,
                .key = key,
                .hash = wal_piece_hash(row, &piece, given),
                .length = (uint32_t) wal_piece_length(row, &piece, given),
                .piece = WAL_UNIT_LARGE | last | number,
        };
        return 0;
}

/* Whether the row, which has the unit's seq_id and key, is the one that begins with it. 1, 0, or a negative errno. */
static int is_same(struct meter *m, const struct wal_unit *unit, const struct wal_row *row)
{
        bool large = wal_row_is_large(row);
        if (large != ((unit->piece & WAL_UNIT_LARGE) != 0))
                return 0;
        if (!large)
                return wal_row_hash(row) == unit->hash;
        struct wal_unit first;
        int r = meter_measure_piece(m, row, unit->key, 0, &first);
        return r < 0 ? r : first.hash == unit->hash && first.length == unit->length;
}

int meter_look_up(struct meter *m, const struct wal_unit *unit, struct wal_row *ret)
{
        uint64_t key;
        int r = wal_source_seek(m->source, unit->seq_id, ret, m->e);
        if (r <= 0)
                return r < 0 ? r : METER_GONE;
        if (ret->seq_id != unit->seq_id)
                return METER_GONE;
        r = wal_source_key(m->source, ret, &key, m->e);
        if (r < 0)
                return r;
        if (key != unit->key)
                return METER_GONE;
        r = is_same(m, unit, ret);
        return r < 0 ? r : r > 0 ? METER_THERE : METER_FOREIGN;
}

/* Rounds. */

static int round_of(struct meter *m)
{
        m->started = m->anchored = false;
        m->lowest = INT64_MAX;
        int r = meter_verify(m);
        return r == 0 ? meter_scan(m) : r;
}

static int measure(struct meter *m)
{
        for (int rounds = 0, restarts = 0; rounds < ROUNDS;) {
                int r = round_of(m);
                if (r < 0 || r == METER_ANEW)
                        return r;
                if (r == 0 && m->current)
                        return 0;
                if (r == 0)
                        rounds++;
                else if (++restarts > RESTARTS_MAX)
                        return error_set(m->e, EBUSY, "rows leave the write-ahead log faster than they can be measured");
        }
        return 0;
}

int wal_meter(struct db *db, struct wal_source *source, struct wal_index *index, struct wal_progress *progress, struct error *e)
{
        struct meter m = { .db = db, .source = source, .index = index, .progress = progress, .e = e };
        int r = measure(&m);
        free(m.pieces);
        /* A failure to flush is worth a word only if there is no other. */
        int flushed = wal_index_flush(index, r < 0 ? NULL : e);
        return r == 0 && flushed < 0 ? flushed : r;
}
