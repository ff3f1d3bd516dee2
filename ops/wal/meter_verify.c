/*
 * Step 1 of measuring: is what is known still there?
 *
 * Rows leave from the front of their collection, or with all of it, so two of them tell about all that lie between: while the first live row and
 * the last one are in the table, nothing has left. When only the last one is, the boundary is found by binary search. When not even that one is, the whole
 * collection has to have left, which three rows of the middle confirm; anything else was no Chroma, but an older copy of the database, or a
 * hand with an editor, and then nothing that is known can be trusted.
 *
 * Each collection is verified within one transaction, by no more than some seventy look-ups: a commit between two of its look-ups could
 * make them contradict each other.
 */
#include <errno.h>

#include "ops/pieces.h"
#include "ops/wal/meter_parts.h"

struct verifying {
        struct wal_topic *topics;
        size_t count, at; /* the next one to be verified */
        bool overflowed;  /* a row had the greatest seq_id that there can be */
        uint64_t rows;    /* that are still there */
};

/* Rows at the front of a collection that have left, and the seq_id of the first one that has not. */
struct front {
        uint64_t left;
        int64_t first_seq;
};

/* Live row `number` of a collection, as the index knows it, looked up. What the store can't give any more is as useless as what is not true. */
static int look_up(struct meter *m, const struct wal_topic *topic, uint64_t number, struct wal_unit *unit, struct wal_row *row)
{
        int r = wal_index_row(m->index, topic->key, number, unit, m->e);
        if (r < 0)
                return r == -ENOMEM ? r : METER_FOREIGN;
        return meter_look_up(m, unit, row);
}

/* The lowest live row that is there, where row 0 is not and the last one is: a meter_row, as of the last one that was looked up. */
static int find_first(struct meter *m, const struct wal_topic *topic, struct front *ret)
{
        struct wal_unit unit;
        struct wal_row row;
        uint64_t gone = 0, there = topic->rows - 1;
        ret->first_seq = topic->last_seq;
        while (there - gone > 1) {
                uint64_t middle = gone + (there - gone) / 2;
                int r = look_up(m, topic, middle, &unit, &row);
                if (r < 0 || r == METER_FOREIGN)
                        return r;
                if (r == METER_GONE) {
                        gone = middle;
                } else {
                        there = middle;
                        ret->first_seq = unit.seq_id;
                }
        }
        ret->left = there;
        return METER_THERE;
}

/* A row that has left can only be there again if somebody has put it there. */
static int verify_absence(struct meter *m, const struct wal_topic *topic)
{
        struct wal_unit unit;
        struct wal_row row;
        int r = wal_index_row_before(m->index, topic->key, &unit, m->e);
        if (r < 0)
                return r == -ENOMEM ? r : r == -ENOENT ? METER_GONE : METER_FOREIGN;
        if (unit.seq_id >= topic->first_seq) /* it left with all others, and they come anew */
                return METER_GONE;
        r = meter_look_up(m, &unit, &row);
        return r == METER_THERE ? METER_FOREIGN : r;
}

/* The last row is there. */
static int verify_first(struct meter *m, const struct wal_topic *topic, struct front *ret)
{
        struct wal_unit unit;
        struct wal_row row;
        int r = topic->rows == 1 ? METER_THERE : look_up(m, topic, 0, &unit, &row);
        if (r == METER_GONE)
                r = find_first(m, topic, ret);
        else if (r == METER_THERE)
                r = verify_absence(m, topic);
        if (r < 0)
                return r;
        return r == METER_FOREIGN ? METER_ANEW : 0;
}

/* The last row is not there. */
static int verify_gone(struct meter *m, const struct wal_topic *topic, struct front *ret)
{
        for (uint64_t quarter = 0; quarter < 4; quarter++) {
                struct wal_unit unit;
                struct wal_row row;
                int r = look_up(m, topic, topic->rows / 4 * quarter, &unit, &row);
                if (r != METER_GONE)
                        return r < 0 ? r : METER_ANEW;
        }
        ret->left = topic->rows;
        return 0;
}

static int note_created(struct meter *m, const struct wal_topic *topic, const struct wal_row *row)
{
        int64_t created = 0;
        if (topic->created != 0)
                return 0;
        int r = wal_source_created(m->source, row, &created, m->e);
        if (r == 0 && created != 0)
                wal_index_note_created(m->index, topic->key, created);
        return r;
}

static void raise_anchor(struct meter *m, const struct wal_unit *last)
{
        if (!m->anchored || last->seq_id > m->anchor.seq_id)
                m->anchor = *last;
        m->anchored = true;
}

/* How many of the first rows have left. 0, METER_ANEW or a negative errno. */
static int verify_topic(struct meter *m, const struct wal_topic *topic, struct front *ret)
{
        struct wal_unit last;
        struct wal_row row;
        int r = look_up(m, topic, topic->rows - 1, &last, &row);
        if (r < 0)
                return r;
        if (r == METER_FOREIGN)
                return METER_ANEW;
        if (r == METER_GONE)
                return verify_gone(m, topic, ret);
        raise_anchor(m, &last);
        r = note_created(m, topic, &row);
        return r < 0 ? r : verify_first(m, topic, ret);
}

static void note_topic(struct meter *m, struct verifying *v, const struct wal_topic *topic, const struct front *front)
{
        if (front->left < topic->rows && front->first_seq < m->lowest)
                m->lowest = front->first_seq;
        v->rows += topic->rows - front->left;
        v->overflowed = v->overflowed || topic->last_seq == INT64_MAX;
        v->at++;
}

/* Takes collections until there are no more or the time is up, at least one. */
static int verify_some(struct meter *m, struct verifying *v)
{
        do {
                const struct wal_topic *topic = &v->topics[v->at];
                struct front front = { .first_seq = topic->first_seq };
                int r = verify_topic(m, topic, &front);
                if (r == 0 && front.left > 0)
                        r = wal_index_drop(m->index, topic->key, front.left, m->e);
                if (r != 0)
                        return r;
                note_topic(m, v, topic, &front);
        } while (v->at < v->count && !meter_is_time_up(m));
        return 0;
}

/* Counting, for when SQLite had no greater seq_id to give. */

struct counting {
        struct int_key key;
        uint64_t rows;
        struct error *e;
};

static int bind_key(void *context, sqlite3_stmt *stmt)
{
        return int_key_bind(&((struct counting *) context)->key, stmt, 1);
}

static int count_row(void *context, sqlite3_stmt *stmt)
{
        struct counting *c = context;
        int64_t seq_id;
        c->rows++;
        return int_key_take(&c->key, stmt, 0, "embeddings_queue", &seq_id, c->e);
}

static int verify_count(struct meter *m, uint64_t rows)
{
        struct counting c = { .key = INT_KEY_START, .e = m->e };
        struct pieces pieces;
        pieces_init(&pieces, m->db);
        int r = pieces_walk(&pieces, "SELECT seq_id FROM embeddings_queue WHERE seq_id >= ? ORDER BY seq_id", bind_key, count_row,
                            &c, m->e);
        return r < 0 ? r : c.rows == rows ? 0 : METER_ANEW;
}

int meter_verify(struct meter *m)
{
        CLEANUP(free)
        struct wal_topic *topics = NULL;
        struct verifying v = { 0 };
        int r = wal_index_topics(m->index, &topics, &v.count, m->e);
        v.topics = topics;
        while (r == 0 && v.at < v.count) {
                r = meter_begin(m);
                if (r < 0)
                        break;
                r = verify_some(m, &v);
                meter_end(m);
        }
        return r == 0 && v.overflowed ? verify_count(m, v.rows) : r;
}
