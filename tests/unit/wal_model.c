#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wal_model.h"

#define SUBJECT 77
#define STORE_NAME "store"

uint64_t model_random(struct wal_model *m, uint64_t below)
{
        m->random ^= m->random << 13;
        m->random ^= m->random >> 7;
        m->random ^= m->random << 17;
        return below > 1 ? (m->random >> 11) % below : 0;
}

static bool is_hidden(const struct wal_model *m, uint64_t key)
{
        for (size_t i = 0; i < m->hidden_count; i++)
                if (m->hidden[i] == key)
                        return true;
        return false;
}

/* Life. */

static void open_index(struct wal_model *m)
{
        struct wal_store *store;
        struct error e = { 0 };
        if (wal_store_open(m->dirfd, STORE_NAME, SUBJECT, &store, &e) < 0)
                fail_msg("%s", e.text);
        assert_int_equal(wal_index_new(store, m->hidden, m->hidden_count, &m->index, &e), 0);
}

void model_make(struct wal_model *m, uint64_t seed, const uint64_t *hidden, size_t hidden_count)
{
        *m = (struct wal_model){ .random = seed * 0x9e3779b97f4a7c15u + 1, .hidden_count = hidden_count };
        for (size_t i = 0; i < hidden_count; i++)
                m->hidden[i] = hidden[i];
        (void) snprintf(m->path, sizeof(m->path), "/tmp/chromafs-wal-model-XXXXXX");
        assert_non_null(mkdtemp(m->path));
        m->dirfd = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(m->dirfd >= 0);
        open_index(m);
}

static void release(struct model_stream *s)
{
        (void) wal_stream_put(s->stream);
        free(s->rows);
        *s = (struct model_stream){ 0 };
}

static void close_index(struct wal_model *m)
{
        for (size_t i = 0; i < MODEL_STREAMS; i++)
                release(&m->streams[i]);
        m->index = wal_index_put(m->index);
}

static void forget_rows(struct wal_model *m, size_t from)
{
        for (size_t i = from; i < m->row_count; i++)
                free(m->rows[i].units);
        m->row_count = from;
}

void model_remove(struct wal_model *m)
{
        close_index(m);
        forget_rows(m, 0);
        free(m->rows);
        (void) unlinkat(m->dirfd, STORE_NAME, 0);
        assert_int_equal(close(m->dirfd), 0);
        assert_int_equal(rmdir(m->path), 0);
}

/* What is live. */

int64_t model_last_seq(const struct wal_model *m)
{
        int64_t last = 0;
        for (size_t i = 0; i < m->row_count; i++)
                if (m->rows[i].live)
                        last = m->rows[i].seq_id;
        return last;
}

/* The first or last live row of a collection, or NULL. */
static struct model_row *find_row(const struct wal_model *m, uint64_t key, bool last)
{
        struct model_row *found = NULL;
        for (size_t i = 0; i < m->row_count; i++)
                if (m->rows[i].live && m->rows[i].key == key && (found == NULL || last))
                        found = &m->rows[i];
        return found;
}

/* Writing. */

static struct model_row *make_row(struct wal_model *m, uint32_t pieces)
{
        if (m->row_count == m->row_room) {
                m->row_room = m->row_room * 2 + 64;
                m->rows = reallocarray(m->rows, m->row_room, sizeof(*m->rows));
                assert_non_null(m->rows);
        }
        struct model_row *row = &m->rows[m->row_count];
        *row = (struct model_row){ .count = pieces == 0 ? 1 : pieces, .live = true, .position = m->end };
        row->units = calloc(row->count, sizeof(*row->units));
        assert_non_null(row->units);
        return row;
}

void model_append(struct wal_model *m, uint64_t key, int64_t seq_id, uint32_t pieces, uint32_t lengths)
{
        struct model_row *row = make_row(m, pieces);
        row->seq_id = seq_id;
        row->key = key;
        row->created = (int64_t) model_random(m, 1000000) + 1;
        for (uint32_t i = 0; i < row->count; i++) {
                struct wal_unit *unit = &row->units[i];
                *unit = (struct wal_unit){ .seq_id = seq_id, .key = key, .hash = model_random(m, UINT64_MAX) };
                unit->length = (uint32_t) model_random(m, lengths) + 1;
                if (pieces > 0)
                        unit->piece = WAL_UNIT_LARGE | i | (i + 1 == pieces ? WAL_UNIT_LAST : 0);
                row->bytes += unit->length;
                assert_int_equal(wal_index_append(m->index, unit, row->created, NULL), 0);
        }
        m->end += row->count;
        m->row_count++;
}

void model_drop(struct wal_model *m, uint64_t key, uint64_t rows)
{
        assert_int_equal(wal_index_drop(m->index, key, rows, NULL), 0);
        for (size_t i = 0; i < m->row_count && rows > 0; i++)
                if (m->rows[i].live && m->rows[i].key == key) {
                        m->rows[i].live = false;
                        rows--;
                }
}

void model_flush(struct wal_model *m)
{
        assert_int_equal(wal_index_flush(m->index, NULL), 0);
        m->flushed = m->end;
}

void model_note_created(struct wal_model *m, uint64_t key, int64_t created)
{
        wal_index_note_created(m->index, key, created);
        struct model_row *row = find_row(m, key, true);
        if (row != NULL)
                row->created = created;
}

/* Loading. */

/* Cuts off what was not written: all behind the last flush and the last full block. A row that this divides leaves its first pieces in full
   blocks. */
static void lose_tail(struct wal_model *m)
{
        uint64_t full = m->end / WAL_BLOCK_UNITS * WAL_BLOCK_UNITS, written = m->flushed > full ? m->flushed : full;
        size_t keep = m->row_count;
        while (keep > 0 && m->rows[keep - 1].position + m->rows[keep - 1].count > written)
                keep--;
        forget_rows(m, keep);
        m->end = m->flushed = written;
}

/* The rule for seq_ids that were used again. False when a row would be lost. */
static bool make_way(struct wal_model *m, size_t at)
{
        int64_t seq_id = m->rows[at].seq_id;
        for (size_t i = 0; i < at; i++) {
                struct model_row *row = &m->rows[i];
                if (!row->live || row->seq_id < seq_id)
                        continue;
                if (find_row(m, row->key, false)->seq_id < seq_id)
                        return false;
                row->live = false;
        }
        return true;
}

static bool replay(struct wal_model *m)
{
        for (size_t i = 0; i < m->row_count; i++) {
                m->rows[i].live = false;
                m->rows[i].created = 0;
        }
        for (size_t i = 0; i < m->row_count; i++) {
                if (!make_way(m, i))
                        return false;
                m->rows[i].live = true;
        }
        return true;
}

bool model_reload(struct wal_model *m)
{
        close_index(m);
        open_index(m);
        lose_tail(m);
        bool *live = calloc(m->row_count + 1, sizeof(*live));
        assert_non_null(live);
        for (size_t i = 0; i < m->row_count; i++)
                live[i] = m->rows[i].live;
        bool plausible = replay(m);
        for (size_t i = 0; plausible && i < m->row_count; i++)
                assert_true(!live[i] || m->rows[i].live);
        free(live);
        if (!plausible) {
                forget_rows(m, 0);
                m->end = m->flushed = 0;
        }
        return plausible;
}

/* Streams. */

static bool in_stream(const struct wal_model *m, const struct model_stream *s, const struct model_row *row)
{
        return s->root ? !is_hidden(m, row->key) : row->key == s->key;
}

static void check_same(const struct wal_model *m, const struct model_stream *s)
{
        const struct wal_stat stat = wal_stream_stat(s->stream);
        for (size_t i = 0; i < MODEL_STREAMS; i++) {
                const struct model_stream *o = &m->streams[i];
                if (o->stream == NULL || o == s)
                        continue;
                bool same = o->root == s->root && o->key == s->key && o->id == s->id;
                assert_int_equal(same, o->stream == s->stream);
                assert_int_equal(same, o->id == s->id);
                if (same)
                        assert_int_equal(stat.size, wal_stream_stat(o->stream).size);
        }
}

void model_hold(struct wal_model *m, size_t slot, bool root, uint64_t key)
{
        struct model_stream *s = &m->streams[slot];
        release(s);
        *s = (struct model_stream){ .root = root, .key = root ? 0 : key, .from = m->row_count };
        int r = root ? wal_index_root(m->index, &s->stream, NULL) : wal_index_stream(m->index, key, &s->stream, NULL);
        assert_int_equal(r, 0);
        s->id = wal_stream_id(s->stream);
        assert_ptr_equal(wal_stream_index(s->stream), m->index);
        s->rows = calloc(m->row_count + 1, sizeof(*s->rows));
        assert_non_null(s->rows);
        for (size_t i = 0; i < m->row_count; i++)
                if (m->rows[i].live && in_stream(m, s, &m->rows[i]))
                        s->rows[s->row_count++] = i;
        check_same(m, s);
}

/* All units of a stream, one behind the other. */
struct listing {
        struct wal_unit *units;
        size_t count, room;
        struct wal_stat stat;
};

static void list_row(struct listing *l, const struct model_row *row)
{
        if (l->units == NULL || l->count + row->count > l->room) {
                l->room = (l->count + row->count) * 2;
                l->units = reallocarray(l->units, l->room, sizeof(*l->units));
                assert_non_null(l->units);
        }
        memcpy(l->units + l->count, row->units, row->count * sizeof(*row->units));
        l->count += row->count;
        if (l->stat.rows++ == 0)
                l->stat.first_seq = row->seq_id;
        l->stat.last_seq = row->seq_id;
        l->stat.mtime_sec = row->created;
        l->stat.size += row->bytes;
}

static struct listing list_stream(const struct wal_model *m, const struct model_stream *s)
{
        struct listing l = { 0 };
        for (size_t i = 0; i < s->row_count; i++)
                list_row(&l, &m->rows[s->rows[i]]);
        for (size_t i = s->from; i < m->row_count; i++)
                if (in_stream(m, s, &m->rows[i]))
                        list_row(&l, &m->rows[i]);
        return l;
}

/* What wal_stream_units() says, one unit at a time. */
static void check_units(const struct listing *l, struct wal_stream *stream, uint64_t offset, uint64_t bytes, size_t max)
{
        struct wal_unit *units = calloc(max + 1, sizeof(*units));
        size_t count = 99, expected = 0, first = 0;
        uint64_t start = 0, ret_offset = 99, sum = 0;
        assert_non_null(units);
        assert_int_equal(wal_stream_units(stream, offset, bytes, units, max, &count, &ret_offset, NULL), 0);
        while (first < l->count && start + l->units[first].length <= offset)
                start += l->units[first++].length;
        while (first + expected < l->count && expected < max) {
                sum += l->units[first + expected].length - (expected == 0 ? offset - start : 0);
                if (expected > 0 && sum > bytes)
                        break;
                expected++;
        }
        assert_int_equal(count, expected);
        if (count > 0) {
                assert_int_equal(ret_offset, start);
                assert_memory_equal(units, l->units + first, count * sizeof(*units));
        }
        free(units);
}

static void check_stream(struct wal_model *m, const struct model_stream *s)
{
        struct listing l = list_stream(m, s);
        struct wal_stat stat = wal_stream_stat(s->stream);
        assert_int_equal(stat.size, l.stat.size);
        assert_int_equal(stat.rows, l.stat.rows);
        assert_int_equal(stat.first_seq, l.stat.first_seq);
        assert_int_equal(stat.last_seq, l.stat.last_seq);
        assert_int_equal(stat.mtime_sec, l.stat.mtime_sec);
        assert_true(stat.mtime_nsec < 1000000000);
        assert_int_equal(wal_stream_id(s->stream), s->id);
        check_units(&l, s->stream, 0, UINT64_MAX, l.count + 1);
        check_units(&l, s->stream, l.stat.size, UINT64_MAX, 10);
        check_units(&l, s->stream, UINT64_MAX - model_random(m, 2), UINT64_MAX, 10);
        for (int i = 0; i < 6; i++)
                check_units(&l, s->stream, model_random(m, l.stat.size + 10), model_random(m, 2000), model_random(m, 60));
        free(l.units);
}

/* Topics. */

static struct wal_topic count_topic(const struct wal_model *m, uint64_t key)
{
        struct wal_topic topic = { .key = key, .hidden = is_hidden(m, key) };
        for (size_t i = 0; i < m->row_count; i++) {
                const struct model_row *row = &m->rows[i];
                if (!row->live || row->key != key)
                        continue;
                if (topic.rows++ == 0)
                        topic.first_seq = row->seq_id;
                topic.bytes += row->bytes;
                topic.last_seq = row->seq_id;
                topic.created = row->created;
        }
        return topic;
}

static void compare_topics(const struct wal_topic *a, const struct wal_topic *b)
{
        assert_int_equal(a->key, b->key);
        assert_int_equal(a->rows, b->rows);
        assert_int_equal(a->bytes, b->bytes);
        assert_int_equal(a->first_seq, b->first_seq);
        assert_int_equal(a->last_seq, b->last_seq);
        assert_int_equal(a->created, b->created);
        assert_int_equal(a->hidden, b->hidden);
}

static void check_rows(struct wal_model *m, const struct wal_topic *topic)
{
        uint64_t wanted = model_random(m, topic->rows), number = 0, above = 0, ret = 0;
        int64_t position = topic->first_seq - 2 + (int64_t) model_random(m, (uint64_t) (topic->last_seq - topic->first_seq) + 4);
        struct wal_unit unit;
        for (size_t i = 0; i < m->row_count; i++) {
                const struct model_row *row = &m->rows[i];
                if (!row->live || row->key != topic->key)
                        continue;
                if (number++ == wanted) {
                        assert_int_equal(wal_index_row(m->index, topic->key, wanted, &unit, NULL), 0);
                        assert_memory_equal(&unit, &row->units[0], sizeof(unit));
                }
                above += row->seq_id > position;
        }
        assert_int_equal(wal_index_row(m->index, topic->key, topic->rows, &unit, NULL), -ENOENT);
        assert_int_equal(wal_index_rows_above(m->index, topic->key, position, &ret, NULL), 0);
        assert_int_equal(ret, above);
}

static void check_topics(struct wal_model *m)
{
        CLEANUP(free)
        struct wal_topic *topics = NULL;
        size_t count = 0, live = 0;
        struct wal_totals totals = wal_index_totals(m->index), sums = { 0 };
        assert_int_equal(wal_index_topics(m->index, &topics, &count, NULL), 0);
        for (size_t i = 0; i < count; i++) {
                struct wal_topic expected = count_topic(m, topics[i].key), one;
                compare_topics(&topics[i], &expected);
                assert_true(wal_index_topic(m->index, topics[i].key, &one));
                compare_topics(&one, &expected);
                if (i > 0)
                        assert_true(topics[i - 1].last_seq < topics[i].last_seq);
                check_rows(m, &expected);
                live += expected.rows;
                sums.rows += expected.hidden ? 0 : expected.rows;
                sums.bytes += expected.hidden ? 0 : expected.bytes;
        }
        for (size_t i = 0; i < m->row_count; i++)
                live -= m->rows[i].live;
        assert_int_equal(live, 0);
        assert_int_equal(totals.rows, sums.rows);
        assert_int_equal(totals.bytes, sums.bytes);
}

void model_check(struct wal_model *m)
{
        check_topics(m);
        for (size_t i = 0; i < MODEL_STREAMS; i++)
                if (m->streams[i].stream != NULL)
                        check_stream(m, &m->streams[i]);
}
