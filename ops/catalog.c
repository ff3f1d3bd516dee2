/*
 * The catalog as a whole. What each table gives is read in catalog_names.c (tenants, databases, collections), catalog_segments.c (segments
 * and their positions) and catalog_state.c (the queue, the file, the schema); FORMAT 2 describes the tables.
 *
 * Rows are read table by table into arrays, which are sorted, and only then joined by binary search: no join in SQL, whose plan would be
 * up to the indexes that a stranger's file happens to have.
 */
#include "ops/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/catalog_parts.h"
#include "ops/clock.h"
#include "ops/pieces.h"

#define VALUE_MAX (1 << 20)
#define TRIES 3
#define CATALOG_MAX (256ull << 20)

const void *catalog_find(const void *items, size_t count, size_t size, const struct text *id)
{
        const char *base = items;
        size_t low = 0, high = count;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (text_compare((const struct text *) (const void *) (base + middle * size), id) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low == count || !text_equal((const struct text *) (const void *) (base + low * size), id))
                return NULL;
        return base + low * size;
}

const struct collection *catalog_collection(const struct catalog *c, const char *id)
{
        struct text key = { (char *) (uintptr_t) id, strlen(id) };
        return catalog_find(c->collections, c->collection_count, sizeof *c->collections, &key);
}

const struct segment *catalog_segment(const struct catalog *c, const char *id)
{
        struct text key = { (char *) (uintptr_t) id, strlen(id) };
        return catalog_find(c->segments, c->segment_count, sizeof *c->segments, &key);
}

typedef int part_fn(struct row_reader *reader, struct catalog *c);

/* One reading, in transactions that last no longer than a part of it: while one is open, a writer's commit waits. */
struct reading {
        struct db *db;
        uint64_t data_version;
        int64_t piece_ends_ms;
        bool whole; /* in one transaction after all: others committed each time that it was tried in several */
};

/* Lets go of the lock for a moment, when it was held long enough. -ESTALE when somebody has committed meanwhile. */
static int breathe(struct reading *reading, struct error *e)
{
        if (reading->whole || clock_ms() < reading->piece_ends_ms)
                return 0;
        db_end(reading->db);
        uint64_t now = 0;
        int r = db_begin(reading->db, e);
        if (r == 0)
                r = db_data_version(reading->db, &now, e);
        if (r < 0)
                return r;
        reading->piece_ends_ms = clock_ms() + PIECE_MS;
        return now == reading->data_version ? 0 : error_set(e, ESTALE, "the database has changed meanwhile");
}

static int read_parts(struct reading *reading, struct row_reader *reader, struct catalog *c)
{
        static part_fn *const parts[] = {
                catalog_read_tenants,   catalog_read_databases, catalog_read_collections, catalog_read_segments,
                catalog_read_positions, catalog_read_state,     catalog_read_fts,         catalog_check_schema,
        };
        int r = chroma_version_read(reader->db, &c->version, reader->e);
        for (size_t i = 0; r >= 0 && i < sizeof parts / sizeof parts[0]; i++) {
                r = parts[i](reader, c);
                if (r >= 0)
                        r = breathe(reading, reader->e);
        }
        return r;
}

static int read_once(struct db *db, bool whole, struct catalog *c, struct error *e)
{
        struct reading reading = { .db = db, .whole = whole, .piece_ends_ms = clock_ms() + PIECE_MS };
        int r = db_begin(db, e);
        if (r == 0)
                r = db_data_version(db, &reading.data_version, e);
        if (r == 0) {
                struct row_reader reader;
                row_reader_begin(&reader, db, VALUE_MAX, CATALOG_MAX, "the tables that name collections", e);
                r = read_parts(&reading, &reader, c);
                row_reader_end(&reader);
        }
        db_end(db);
        return r;
}

int catalog_read(struct db *db, struct catalog **ret, struct error *e)
{
        int r = -ESTALE;
        for (int i = 0; r == -ESTALE && i < TRIES; i++) {
                CLEANUP(catalog_free)
                struct catalog *c = calloc(1, sizeof *c);
                if (c == NULL)
                        return error_set(e, ENOMEM, "no memory for the catalog");
                r = read_once(db, i == TRIES - 1, c, e);
                if (r < 0)
                        continue;
                catalog_sort_databases(c);
                *ret = TAKE(c);
                return 0;
        }
        return r;
}

static void free_collection(struct collection *collection)
{
        free(collection->id.bytes);
        free(collection->name.bytes);
        free(collection->tenant.bytes);
        free(collection->database.bytes);
}

static void free_segment(struct segment *segment)
{
        free(segment->id.bytes);
        free(segment->type.bytes);
        free(segment->scope_text.bytes);
        free(segment->collection_id.bytes);
}

static void free_database(struct database *database)
{
        free(database->id.bytes);
        free(database->name.bytes);
        free(database->tenant.bytes);
}

struct catalog *catalog_free(struct catalog *c)
{
        if (c == NULL)
                return NULL;
        for (size_t i = 0; i < c->tenant_count; i++)
                free(c->tenants[i].bytes);
        for (size_t i = 0; i < c->database_count; i++)
                free_database(&c->databases[i]);
        for (size_t i = 0; i < c->collection_count; i++)
                free_collection(&c->collections[i]);
        for (size_t i = 0; i < c->segment_count; i++)
                free_segment(&c->segments[i]);
        free(c->tenants);
        free(c->databases);
        free(c->collections);
        free(c->segments);
        free(c->fts_sql.bytes);
        free(c->damage.bytes);
        free(c);
        return NULL;
}
