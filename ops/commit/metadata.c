/*
 * A row of the log does to the tables what Chroma's own code does (metadata segments of 0.4 to 1.5 agree in all of this, but for defects):
 *
 *   ADD     of an id that is there: nothing at all. Else a new record.
 *   UPDATE  of an id that is not there: nothing. Else seq_id, and the metadata that the row has is merged into the record's.
 *   UPSERT  the one or the other.
 *   DELETE  the record and all that hangs on it. (Chroma before 0.5.0 leaves the document in the full-text table, where it is found still: we don't.)
 *
 * The vector has no say in it: a record without one has its metadata all the same.
 */
#include <errno.h>
#include <stdlib.h>

#include "ops/commit/metadata_parts.h"

#define METADB_ARRAYS 6
#define SYSDB_SCHEMA 10

static int find_record(struct commit_metadata *m, const struct text *id, int64_t *ret, struct error *e)
{
        struct commit_cell cells[] = { cell_text(&m->collection->metadata->id), cell_text(id) };
        return commit_statement_run(m, COMMIT_FIND_RECORD, cells, 2, ret, e);
}

static int add_record(struct commit_metadata *m, const struct commit_row *row, struct error *e)
{
        int64_t id = 0;
        int r = commit_ids_next(m, &id, e);
        if (r < 0)
                return r;
        struct commit_cell cells[] = { cell_text(&m->collection->metadata->id), cell_text(&row->id), cell_int(id),
                                       cell_seq_id(row->seq_id) };
        r = commit_statement_run(m, COMMIT_ADD_RECORD, cells, 4, NULL, e);
        if (r == 0)
                r = commit_values_merge(m, id, true, row, e);
        m->counts.adds += r == 0;
        return r;
}

static int update_record(struct commit_metadata *m, int64_t id, const struct commit_row *row, struct error *e)
{
        struct commit_cell cells[] = { cell_int(id), cell_seq_id(row->seq_id) };
        int r = commit_statement_run(m, COMMIT_TOUCH_RECORD, cells, 2, NULL, e);
        if (r == 0)
                r = commit_values_merge(m, id, false, row, e);
        m->counts.updates += r == 0;
        return r;
}

static int delete_record(struct commit_metadata *m, int64_t id, struct error *e)
{
        struct commit_cell cell = cell_int(id);
        int r = commit_statement_run(m, COMMIT_DELETE_RECORD, &cell, 1, NULL, e);
        if (r == 0)
                r = commit_values_remove(m, id, e);
        m->counts.deletes += r == 0;
        return r;
}

int commit_metadata_apply(struct commit_metadata *m, const struct commit_row *row, struct error *e)
{
        int64_t id = 0;
        enum commit_operation operation = row->operation;
        if (row->seq_id <= m->last_seq_id)
                return error_set(e, EINVAL, "row %lld of the log comes out of order", (long long) row->seq_id);
        m->last_seq_id = row->seq_id;
        int r = find_record(m, &row->id, &id, e);
        if (r < 0)
                return r;
        bool is_there = r > 0;
        if (is_there && (operation == COMMIT_UPDATE || operation == COMMIT_UPSERT))
                return update_record(m, id, row, e);
        if (is_there && operation == COMMIT_DELETE)
                return delete_record(m, id, e);
        if (!is_there && (operation == COMMIT_ADD || operation == COMMIT_UPSERT))
                return add_record(m, row, e);
        m->counts.ignored++;
        return 0;
}

int commit_metadata_begin(struct write_db *w, const struct catalog *catalog, const struct collection *collection,
                          struct commit_metadata **ret, struct error *e)
{
        if (collection->metadata == NULL)
                return error_set(e, EILSEQ, "the collection has no metadata segment");
        CLEANUP(commit_metadata_free)
        struct commit_metadata *m = calloc(1, sizeof(*m));
        if (m == NULL)
                return error_set(e, ENOMEM, "no memory for the metadata segment");
        m->w = w;
        m->collection = collection;
        m->version = catalog->version;
        m->fts = fts_table_of(&m->version);
        m->has_arrays = m->version.metadb >= METADB_ARRAYS;
        m->last_seq_id = INT64_MIN;
        if (m->version.sysdb >= SYSDB_SCHEMA && (m->schema = commit_schema_new()) == NULL)
                return error_set(e, ENOMEM, "no memory for the schema");
        int r = commit_ids_begin(m, e);
        if (r == 0)
                *ret = TAKE(m);
        return r;
}

struct commit_metadata *commit_metadata_free(struct commit_metadata *m)
{
        if (m == NULL)
                return NULL;
        commit_statements_finalize(m);
        commit_ids_end(m);
        (void) commit_schema_free(m->schema);
        free(m);
        return NULL;
}

/* The end: schema and position. */

static int update_schema(struct commit_metadata *m, const struct text *json, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        const struct text *id = &m->collection->id;
        int r = write_db_prepare(m->w, &stmt, e, "UPDATE collections SET schema_str = ?2 WHERE id = ?1");
        if (r == 0 && (sqlite3_bind_text64(stmt, 1, id->bytes, id->len, SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK ||
                       sqlite3_bind_text64(stmt, 2, json->bytes, json->len, SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK))
                r = write_db_fail(m->w, e, "writing the schema");
        if (r == 0)
                r = write_db_step(m->w, stmt, e);
        return r;
}

/* A collection that an older release made has none, and gets none. */
static int extend_schema(struct commit_metadata *m, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        const struct text *id = &m->collection->id;
        struct text extended = { NULL, 0 };
        int r = write_db_prepare(m->w, &stmt, e,
                                 "SELECT schema_str FROM collections WHERE id = ?1 AND typeof(schema_str) = 'text'");
        if (r == 0 && sqlite3_bind_text64(stmt, 1, id->bytes, id->len, SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK)
                r = write_db_fail(m->w, e, "reading the schema");
        if (r == 0)
                r = write_db_step(m->w, stmt, e);
        if (r > 0) {
                struct text json = { .bytes = (char *) (uintptr_t) sqlite3_column_text(stmt, 0) };
                json.len = (size_t) sqlite3_column_bytes(stmt, 0);
                r = json.bytes == NULL ? error_set(e, ENOMEM, "no memory for the schema")
                                       : commit_schema_extend(m->schema, &json, &extended, e);
        }
        (void) sqlite3_reset(stmt);
        if (r > 0)
                r = update_schema(m, &extended, e);
        free(extended.bytes);
        return r;
}

int commit_metadata_end(struct commit_metadata *m, int64_t position, struct commit_counts *ret, struct error *e)
{
        if (position < m->last_seq_id)
                return error_set(e, EINVAL, "the position is below a row that was applied");
        int r = m->schema == NULL ? 0 : extend_schema(m, e);
        if (r == 0)
                r = commit_set_position(m->w, &m->version, m->collection->metadata->id.bytes, position, e);
        if (r == 0)
                *ret = m->counts;
        return r;
}

int commit_set_position(struct write_db *w, const struct chroma_version *version, const char *segment_id, int64_t position,
                        struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        struct commit_cell cell = cell_seq_id(position);
        if (position < 0)
                return error_set(e, EINVAL, "a position below 0");
        int r = write_db_prepare(w, &stmt, e,
                                 "INSERT INTO max_seq_id (segment_id, seq_id) VALUES (?1, ?2)"
                                 " ON CONFLICT (segment_id) DO UPDATE SET seq_id = ?2");
        if (r == 0 && (sqlite3_bind_text(stmt, 1, segment_id, -1, SQLITE_STATIC) != SQLITE_OK ||
                       commit_cell_bind(version, stmt, 2, &cell) != SQLITE_OK))
                r = write_db_fail(w, e, "writing a position");
        return r < 0 ? r : write_db_step(w, stmt, e);
}
