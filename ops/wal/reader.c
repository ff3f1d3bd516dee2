/*
 * First the units are looked up, which may read the cache's file; then the room is made, exactly that of their lines; only then the
 * transaction begins, in which each unit's row is found, compared, and rendered to its place.
 *
 * What is not wanted is taken along as long as it is cheap: EXTRA_MS from the first row on. Every transaction that reads from a
 * large value pays for the way to the place, since SQLite follows the chain of overflow pages from its beginning: 0.2 ns for each
 * byte before it. So the deeper a span begins the longer it is made, and a value of 200 MB that is read from one end to the other
 * takes one second and not four.
 */
#include "ops/wal/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define EXTRA_MS 10

/* Room behind a span: a line that can't be longer than its place and this is rendered without being measured before. */
#define SLACK (16u << 10)

#define FIRST_UNITS 512
#define EXTRA_UNITS_MAX 16384 /* no more than these are looked up for what is not wanted */

/* Rendered bytes of a span that begins deep in a large value: a part of the depth, and no more than this. */
#define DEEP_SHARE 8
#define DEEP_MAX (4u << 20)

static int64_t now_ms(void)
{
        struct timespec t;
        (void) clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
        return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct render {
        struct db *db;
        struct wal_source *source;
        struct wal_stream *stream;
        uint64_t offset, want, most; /* of the stream */

        struct wal_unit *units;
        size_t count, room;
        uint64_t first;  /* offset of the first unit */
        uint64_t length; /* of all units */

        struct wal_row row; /* the one that was read last, if there is one */
        bool has_row, is_large;
        uint64_t key; /* of it */
        bool foreign;
};

/* Whether the unit that begins `done` bytes behind the beginning of the first one is among the wanted. */
static bool is_wanted(const struct render *r, uint64_t done)
{
        uint64_t skipped = r->offset - r->first; /* less than the first unit's length */
        return done == 0 || done - skipped < r->want;
}

/* Units. */

static int make_room(struct render *r, struct error *e)
{
        size_t room = r->room == 0 ? FIRST_UNITS : 4 * r->room;
        struct wal_unit *units = reallocarray(r->units, room, sizeof(*units));
        if (units == NULL)
                return error_set(e, ENOMEM, "no memory for %zu rows", room);
        r->units = units;
        r->room = room;
        return 0;
}

/* Looks up those that follow; 1 when there may be more, 0 when there are none, or not the room. */
static int more_units(struct render *r, uint64_t bytes, struct error *e)
{
        size_t count = 0;
        uint64_t at = r->count == 0 ? r->offset : r->first + r->length, offset = at;
        int code = r->count == r->room ? make_room(r, e) : 0;
        if (code == 0)
                code = wal_stream_units(r->stream, at, bytes, r->units + r->count, r->room - r->count, &count, &offset, e);
        if (code < 0 || count == 0)
                return code;
        if (offset > at || (r->count > 0 && offset != at))
                return error_set(e, EIO, "the measure of the write-ahead log has a gap");
        if (r->count == 0) {
                r->first = offset;
                r->most += r->offset - offset;
        }
        for (size_t i = 0; i < count; i++) {
                uint64_t length = r->units[r->count].length;
                if (!is_wanted(r, r->length) && r->length + length > r->most)
                        return 0;
                r->length += length;
                r->count++;
        }
        return 1;
}

/* A piece is of WAL_PIECE_MAX stored bytes at most: its number says how deep it is at most. */
static uint64_t most_at(const struct render *r, uint64_t most)
{
        const struct wal_unit *first = &r->units[0];
        uint64_t depth = (first->piece & WAL_UNIT_LARGE) != 0 ? (uint64_t) wal_unit_number(first) * WAL_PIECE_MAX : 0;
        uint64_t deep = depth / DEEP_SHARE < DEEP_MAX ? depth / DEEP_SHARE : DEEP_MAX;
        return deep > most ? deep : most;
}

static int plan(struct render *r, struct error *e)
{
        int more = more_units(r, r->want > 0 ? r->want : 1, e);
        if (more > 0)
                r->most = most_at(r, r->most);
        while (more > 0 && (is_wanted(r, r->length) || (r->length < r->most && r->count < EXTRA_UNITS_MAX))) {
                bool wanted = is_wanted(r, r->length);
                uint64_t bytes = r->length < r->most ? r->most - r->length : 1;
                more = more_units(r, bytes, wanted ? e : NULL);
                if (more < 0 && !wanted)
                        more = 0;
        }
        return more < 0 ? more : 0;
}

/* Rows. */

static int left(const struct wal_unit *unit, struct error *e)
{
        return error_set(e, ESTALE, "row %" PRId64 " has left the write-ahead log since this file was opened", unit->seq_id);
}

static int foreign(struct render *r, const struct wal_unit *unit, struct error *e)
{
        r->foreign = true;
        return error_set(e, ESTALE, "row %" PRId64 " of the write-ahead log has another content than when it was measured",
                         unit->seq_id);
}

static int find_row(struct render *r, const struct wal_unit *unit, struct error *e)
{
        if (r->has_row && r->row.seq_id == unit->seq_id)
                return 0;
        r->has_row = false;
        int code = wal_source_seek(r->source, unit->seq_id, &r->row, e);
        if (code < 0)
                return code;
        if (code == 0 || r->row.seq_id != unit->seq_id)
                return left(unit, e);
        code = wal_source_key(r->source, &r->row, &r->key, e);
        if (code < 0)
                return code;
        r->is_large = wal_row_is_large(&r->row);
        r->has_row = true;
        return 0;
}

static int render_row(struct render *r, const struct wal_unit *unit, char *buffer, struct error *e)
{
        if (wal_row_hash(&r->row) != unit->hash)
                return foreign(r, unit, e);
        if (wal_row_bound(&r->row) > unit->length + SLACK && wal_row_length(&r->row) != unit->length)
                return foreign(r, unit, e);
        return wal_row_render(&r->row, buffer) == buffer + unit->length ? 0 : foreign(r, unit, e);
}

static int render_piece(struct render *r, const struct wal_unit *unit, char *buffer, struct error *e)
{
        struct wal_piece piece;
        struct wal_input input;
        if (!wal_row_piece(&r->row, wal_unit_number(unit), &piece))
                return foreign(r, unit, e);
        int code = wal_source_input(r->source, &r->row, &piece, &input, e);
        if (code < 0)
                return code;
        if (wal_piece_hash(&r->row, &piece, &input) != unit->hash || wal_piece_length(&r->row, &piece, &input) != unit->length)
                return foreign(r, unit, e);
        wal_piece_render(&r->row, &piece, &input, buffer);
        return 0;
}

/* Into a buffer with room for the unit's length, and SLACK. */
static int render_unit(struct render *r, const struct wal_unit *unit, char *buffer, struct error *e)
{
        bool is_piece = (unit->piece & WAL_UNIT_LARGE) != 0;
        if (is_piece && db_is_cancelled(r->db))
                return error_set(e, EINTR, "interrupted");
        int code = find_row(r, unit, e);
        if (code < 0)
                return code;
        if (r->key != unit->key)
                return left(unit, e);
        if (r->is_large != is_piece)
                return foreign(r, unit, e);
        return is_piece ? render_piece(r, unit, buffer, e) : render_row(r, unit, buffer, e);
}

/* Inside the transaction. *ret_len is as much as could be had. */
static int render_units(struct render *r, char *bytes, size_t *ret_len, struct error *e)
{
        uint64_t done = 0;
        int64_t end = INT64_MAX;
        for (size_t i = 0; i < r->count; i++) {
                bool wanted = is_wanted(r, done);
                if (!wanted && now_ms() >= end)
                        break;
                int code = render_unit(r, &r->units[i], bytes + done, wanted ? e : NULL);
                if (code < 0 && wanted)
                        return code;
                if (code < 0)
                        break;
                done += r->units[i].length;
                if (i == 0)
                        end = now_ms() + EXTRA_MS;
        }
        *ret_len = (size_t) done;
        return 0;
}

/* Spans. */

static void destroy_span(struct result *result)
{
        struct wal_span *span = (struct wal_span *) (void *) ((char *) result - offsetof(struct wal_span, shared));
        free(span->bytes);
        free(span);
}

static struct wal_span *new_span(size_t len)
{
        struct wal_span *span = calloc(1, sizeof(*span));
        if (span == NULL)
                return NULL;
        result_init(&span->shared, destroy_span);
        span->bytes = malloc(len + SLACK);
        return span->bytes != NULL ? span : (struct wal_span *) (void *) result_put(&span->shared);
}

/* Gives back the room of what could not be had. */
static void shrink(struct wal_span *span, size_t len, size_t room)
{
        char *bytes = len > 0 && len < room ? realloc(span->bytes, len) : NULL;
        if (bytes != NULL)
                span->bytes = bytes;
        span->len = len;
}

static int render(struct render *r, struct wal_span **ret, struct error *e)
{
        size_t room = (size_t) r->length, len = 0;
        struct wal_span *span = new_span(room);
        if (span == NULL)
                return error_set(e, ENOMEM, "no memory for %zu bytes of the write-ahead log", room);
        int code = db_begin(r->db, e);
        if (code == 0) {
                code = render_units(r, span->bytes, &len, e);
                wal_source_rest(r->source);
                db_end(r->db);
        }
        if (code < 0) {
                (void) result_put(&span->shared);
                return code;
        }
        span->offset = r->first;
        shrink(span, len, room);
        *ret = span;
        return 0;
}

int wal_render(struct db *db, struct wal_source *source, struct wal_stream *stream, uint64_t offset, size_t want, size_t most,
               struct wal_span **ret, bool *ret_foreign, struct error *e)
{
        struct render r = { .db = db, .source = source, .stream = stream, .offset = offset, .want = want };
        struct wal_span *span = NULL;
        r.most = most > want ? most : want;
        int code = plan(&r, e);
        r.foreign = code < 0 && code != -ENOMEM;
        if (r.foreign)
                code = -ESTALE;
        if (code == 0 && r.count > 0)
                code = render(&r, &span, e);
        free(r.units);
        if (code == 0)
                *ret = span;
        if (code == -ESTALE)
                *ret_foreign = r.foreign;
        return code;
}
