/*
 * Segments, their collections and their positions in the queue.
 *
 * A collection has one segment of each scope. Where a damaged directory has more, the one with the smallest id is taken, the others are
 * counted, so that the same directory always gives the same answer. A position is an INTEGER since metadb/5; before, and in rows that the
 * Python releases wrote, a big-endian BLOB of 8 bytes (or 24, which old queues of other kinds used).
 */
#include "ops/catalog_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool position_decode(sqlite3_value *value, uint64_t *ret)
{
        if (sqlite3_value_type(value) == SQLITE_INTEGER) {
                sqlite3_int64 position = sqlite3_value_int64(value);
                if (position < 0)
                        return false;
                *ret = (uint64_t) position;
                return true;
        }
        if (sqlite3_value_type(value) != SQLITE_BLOB)
                return false;
        int len = sqlite3_value_bytes(value);
        const unsigned char *bytes = sqlite3_value_blob(value);
        if (bytes == NULL || (len != 8 && len != 24))
                return false;
        uint64_t position = 0;
        for (int i = 0; i < len; i++) {
                if (position > (uint64_t) INT64_MAX >> 8)
                        return false;
                position = position << 8 | bytes[i];
        }
        *ret = position;
        return true;
}

static int compare_segments(const void *a, const void *b)
{
        const struct segment *x = a, *y = b;
        int order = text_compare(&x->id, &y->id);
        order = order != 0 ? order : text_compare(&x->collection_id, &y->collection_id);
        order = order != 0 ? order : text_compare(&x->scope_text, &y->scope_text);
        return order != 0 ? order : text_compare(&x->type, &y->type);
}

static enum segment_scope scope_of(const struct text *scope)
{
        return text_is(scope, "VECTOR") ? SCOPE_VECTOR : text_is(scope, "METADATA") ? SCOPE_METADATA : SCOPE_OTHER;
}

static int add_segment(struct row_reader *reader, struct catalog *c, struct row_scan *row)
{
        int r = row_grow(reader, &c->segments, c->segment_count, sizeof *c->segments);
        if (r < 0)
                return r;
        struct segment *segment = &c->segments[c->segment_count++];
        r = row_scan_text(row, 0, &segment->id);
        if (r == 0)
                r = row_scan_text(row, 1, &segment->type);
        if (r == 0)
                r = row_scan_text(row, 2, &segment->scope_text);
        if (r == 0)
                r = row_scan_text(row, 3, &segment->collection_id);
        if (r < 0)
                return r;
        segment->id_is_uuid = segment->id.len == 36 && uuid_valid(segment->id.bytes);
        segment->scope = scope_of(&segment->scope_text);
        return 0;
}

/* Gives a segment to its collection; segments come in order of their ids. */
static void adopt(struct collection *collection, const struct segment *segment)
{
        if (segment->scope == SCOPE_VECTOR && collection->vector == NULL)
                collection->vector = segment;
        else if (segment->scope == SCOPE_METADATA && collection->metadata == NULL)
                collection->metadata = segment;
        else
                collection->extra_segments++;
}

static void join_collections(struct catalog *c)
{
        for (size_t i = 0; i < c->segment_count; i++) {
                struct segment *segment = &c->segments[i];
                if (segment->collection_id.len == 0)
                        continue; /* NULL is no collection, even when some collection's id is NULL as well */
                segment->collection =
                        catalog_find(c->collections, c->collection_count, sizeof *c->collections, &segment->collection_id);
                if (segment->collection != NULL)
                        adopt(&c->collections[segment->collection - c->collections], segment);
        }
}

int catalog_read_segments(struct row_reader *reader, struct catalog *c)
{
        CLEANUP(row_scan)
        struct row_scan rows;
        int r = 0;
        row_scan_begin(&rows, reader, "segments", (const char *const[ROW_SCAN_COLUMNS]){ "id", "type", "scope", "collection" },
                       INT64_MIN);
        while (r >= 0 && (r = row_scan_next(&rows)) > 0)
                r = add_segment(reader, c, &rows);
        if (r < 0)
                return r;
        if (c->segment_count > 1)
                qsort(c->segments, c->segment_count, sizeof *c->segments, compare_segments);
        join_collections(c);
        return 0;
}

static void add_position(struct catalog *c, const struct text *segment_id, sqlite3_value *value)
{
        uint64_t position = 0;
        bool good = position_decode(value, &position);
        if (good && (!c->has_position_max || position > c->position_max)) {
                c->has_position_max = true;
                c->position_max = position;
        }
        const struct segment *found = catalog_find(c->segments, c->segment_count, sizeof *c->segments, segment_id);
        if (found == NULL) {
                c->orphan_positions++;
                return;
        }
        struct segment *segment = &c->segments[found - c->segments];
        /* Two rows for one segment: neither can be trusted. */
        if (!good || segment->has_position || segment->position_bad) {
                segment->has_position = false;
                segment->position_bad = true;
                segment->position = 0;
                return;
        }
        segment->has_position = true;
        segment->position = position;
}

int catalog_read_positions(struct row_reader *reader, struct catalog *c)
{
        CLEANUP(row_scan)
        struct row_scan rows = { 0 };
        int r = db_has_table(reader->db, "max_seq_id", reader->e);
        if (r <= 0)
                return r; /* catalog_check_schema reports it */
        row_scan_begin(&rows, reader, "max_seq_id", (const char *const[ROW_SCAN_COLUMNS]){ "segment_id", "seq_id" }, INT64_MIN);
        while ((r = row_scan_next(&rows)) > 0) {
                const void *bytes = sqlite3_column_text(rows.row, 0);
                struct text id = { bytes != NULL ? (char *) (uintptr_t) bytes : (char[]){ "" },
                                   (size_t) sqlite3_column_bytes(rows.row, 0) };
                add_position(c, &id, sqlite3_column_value(rows.row, 1));
        }
        return r;
}
