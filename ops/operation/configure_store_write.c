/* Writes a change that was planned, and reads back what Chroma would now do. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/operation/configure_store.h"

#define SYSDB_BOOL 6    /* the migration that adds segment_metadata.bool_value */
#define SYSDB_CONFIG 7  /* collections.config_json_str */
#define SYSDB_SCHEMA 10 /* collections.schema_str */

static int bind_text(sqlite3_stmt *stmt, int parameter, const struct text *text)
{
        return sqlite3_bind_text64(stmt, parameter, text->bytes, text->len, SQLITE_STATIC, SQLITE_UTF8);
}

/* Runs `sql`, whose ?1 is `first` and whose ?2 is `second`; ?3 is a setting's value where there is one. */
static int run(struct write_db *w, const char *sql, const struct text *first, const struct text *second,
               const struct metadata_value *third, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int r = write_db_prepare(w, &stmt, e, sql);
        if (r < 0)
                return r;
        int rc = bind_text(stmt, 1, first);
        if (rc == SQLITE_OK)
                rc = bind_text(stmt, 2, second);
        if (rc == SQLITE_OK && third != NULL)
                rc = third->type == VALUE_FLOAT    ? sqlite3_bind_double(stmt, 3, third->real)
                     : third->type == VALUE_STRING ? bind_text(stmt, 3, &third->string)
                                                   : sqlite3_bind_int64(stmt, 3, third->integer);
        if (rc != SQLITE_OK)
                return write_db_fail(w, e, "writing a setting");
        r = write_db_step(w, stmt, e);
        return r < 0 ? r : 0;
}

struct place { /* a table of keys and values */
        const char *table, *owner;
};

static const char *column_of(enum setting s)
{
        return setting_names[s].type == SETTING_REAL   ? "float_value"
               : setting_names[s].type == SETTING_NAME ? "str_value"
                                                       : "int_value";
}

/* One row instead of that which has the key. */
static int write_value(struct write_db *w, const struct place *place, const struct text *id, const struct settings *settings,
                       enum setting s, struct error *e)
{
        char sql[128];
        struct metadata_value value = setting_value(settings, s);
        (void) snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE %s = ?1 AND key = ?2", place->table, place->owner);
        int r = run(w, sql, id, &value.key, NULL, e);
        if (r < 0)
                return r;
        (void) snprintf(sql, sizeof(sql), "INSERT INTO %s (%s, key, %s) VALUES (?1, ?2, ?3)", place->table, place->owner,
                        column_of(s));
        return run(w, sql, id, &value.key, &value, e);
}

static int write_metadata(struct write_db *w, const struct place *place, const struct text *id, const struct settings *settings,
                          struct error *e)
{
        int r = 0;
        for (enum setting s = 0; r == 0 && s < SETTING_COUNT; s++)
                if (settings->given[s])
                        r = write_value(w, place, id, settings, s, e);
        return r;
}

static int write_column(struct write_db *w, const char *sql, const struct text *id, const struct text *value, struct error *e)
{
        int r = value->bytes == NULL ? 0 : run(w, sql, id, value, NULL, e);
        if (r == 0 && value->bytes != NULL && sqlite3_changes(write_db_handle(w)) != 1)
                return error_set(e, EILSEQ, "table collections has not exactly one row for the collection");
        return r;
}

/* Reading back: what hnsw_config_effective() looks at. */

static int read_value(sqlite3_stmt *row, struct metadata_value *value, struct error *e)
{
        int column = 1;
        while (column < 5 && sqlite3_column_type(row, column) == SQLITE_NULL)
                column++;
        int type = column < 5 ? sqlite3_column_type(row, column) : SQLITE_NULL;
        value->type = type == SQLITE_NULL      ? VALUE_NULL
                      : type == SQLITE_FLOAT   ? VALUE_FLOAT
                      : type != SQLITE_INTEGER ? VALUE_STRING
                      : column == 4            ? VALUE_BOOL
                                               : VALUE_INT;
        value->integer = sqlite3_column_int64(row, column < 5 ? column : 1);
        value->real = sqlite3_column_double(row, column < 5 ? column : 1);
        if (value->type == VALUE_BOOL)
                value->integer = value->integer != 0;
        int r = db_column_text(row, 0, &value->key, e);
        return r < 0 || value->type != VALUE_STRING ? r : db_column_text(row, column, &value->string, e);
}

static int read_metadata(struct write_db *w, const struct chroma_version *version, const struct text *segment,
                         struct collection_detail *detail, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *row = NULL;
        int r = write_db_prepare(
                w, &row, e,
                version->sysdb >= SYSDB_BOOL
                        ? "SELECT key, str_value, int_value, float_value, bool_value FROM segment_metadata WHERE segment_id = ?1"
                        : "SELECT key, str_value, int_value, float_value, NULL FROM segment_metadata WHERE segment_id = ?1");
        if (r == 0 && bind_text(row, 1, segment) != SQLITE_OK)
                r = write_db_fail(w, e, "reading the settings back");
        while (r == 0 && (r = write_db_step(w, row, e)) > 0) {
                size_t count = detail->segment_metadata_count;
                struct metadata_value *grown = reallocarray(detail->segment_metadata, count + 1, sizeof(*grown));
                if (grown == NULL)
                        return error_set(e, ENOMEM, "no memory for the settings");
                grown[count] = (struct metadata_value){ .type = VALUE_NULL };
                detail->segment_metadata = grown;
                detail->segment_metadata_count++;
                r = read_value(row, &grown[count], e);
        }
        return r;
}

static int read_columns(struct write_db *w, const struct chroma_version *version, const struct text *id,
                        struct collection_detail *detail, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *row = NULL;
        int r = write_db_prepare(w, &row, e,
                                 version->sysdb >= SYSDB_SCHEMA
                                         ? "SELECT config_json_str, schema_str FROM collections WHERE id = ?1"
                                 : version->sysdb >= SYSDB_CONFIG ? "SELECT config_json_str, NULL FROM collections WHERE id = ?1"
                                                                  : "SELECT NULL, NULL FROM collections WHERE id = ?1");
        if (r == 0 && bind_text(row, 1, id) != SQLITE_OK)
                r = write_db_fail(w, e, "reading the settings back");
        if (r == 0)
                r = write_db_step(w, row, e);
        if (r > 0)
                r = db_column_text(row, 0, &detail->config_json, e);
        return r < 0 ? r : db_column_text(row, 1, &detail->schema_json, e);
}

static int check(struct write_db *w, const struct chroma_version *version, const struct collection *collection,
                 const struct configure_change *change, struct error *e)
{
        struct collection_detail detail = { 0 };
        struct hnsw_config now = { 0 };
        int r = collection->vector == NULL ? 0 : read_metadata(w, version, &collection->vector->id, &detail, e);
        if (r == 0)
                r = read_columns(w, version, &collection->id, &detail, e);
        if (r == 0)
                r = hnsw_config_effective(version, &detail, &now, e);
        if (r == 0 && !hnsw_config_same(&now, &change->after))
                r = error_set(e, EIO, "the settings read back are not those that were written: everything was put back");
        collection_detail_clear(&detail);
        return r;
}

static int write_tables(struct write_db *w, const struct collection *collection, const struct configure_change *change,
                        struct error *e)
{
        static const struct place segment = { "segment_metadata", "segment_id" }, user = { "collection_metadata", "collection_id" };
        if (settings_any(&change->segment) && collection->vector == NULL)
                return error_set(e, EILSEQ, "the collection has no vector segment, whose settings these are");
        int r = 0;
        if (collection->vector != NULL)
                r = write_metadata(w, &segment, &collection->vector->id, &change->segment, e);
        return r < 0 ? r : write_metadata(w, &user, &collection->id, &change->collection, e);
}

int configure_change_write(struct write_db *w, const struct chroma_version *version, const struct collection *collection,
                           const struct configure_change *change, struct error *e)
{
        int r = write_tables(w, collection, change, e);
        if (r == 0)
                r = write_column(w, "UPDATE collections SET config_json_str = ?2 WHERE id = ?1", &collection->id, &change->config,
                                 e);
        if (r == 0)
                r = write_column(w, "UPDATE collections SET schema_str = ?2 WHERE id = ?1", &collection->id, &change->schema, e);
        return r < 0 ? r : check(w, version, collection, change, e);
}
