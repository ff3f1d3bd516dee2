/*
 * - 0.x reads segment_metadata alone. Its config_json_str, where it has one, says the same afterwards.
 * - 1.x reads schema_str, or where there is none config_json_str; but where that amounts to the defaults it falls back on the
 *   segment_metadata that a collection of 0.x has, as a whole. Written into such a collection, one setting alone would make it a
 *   configuration of its own, in which everything else, the space included, has its default. So there the whole configuration in
 *   force is written.
 * - The reverse: what is written amounts to the defaults, and so Chroma would go on reading segment_metadata. Then the settings are
 *   written there too.
 *
 * Which of these it is need not be guessed: each change is first made on a copy of what is stored, and asked what Chroma would do
 * with it.
 */
#include "ops/operation/configure_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/config_parts.h"
#include "ops/json.h"
#include "ops/operation/configure_json.h"

#define SYSDB_BOOL 6    /* the migration that adds segment_metadata.bool_value */
#define SYSDB_CONFIG 7  /* collections.config_json_str */
#define SYSDB_SCHEMA 10 /* collections.schema_str */

void configure_change_clear(struct configure_change *change)
{
        free(change->config.bytes);
        free(change->schema.bytes);
        *change = (struct configure_change){ .count = 0 };
}

/* What is stored after the change, on a copy. */

static enum setting setting_of_key(const struct text *key)
{
        enum setting s = 0;
        while (s < SETTING_COUNT && !text_is(key, setting_names[s].metadata))
                s++;
        return s;
}

static struct metadata_value metadata_value_of(const struct settings *settings, enum setting s)
{
        const char *key = setting_names[s].metadata;
        struct metadata_value value = { .key = { (char *) (uintptr_t) key, strlen(key) },
                                        .type = VALUE_INT,
                                        .integer = settings->integer[s] };
        if (setting_names[s].type == SETTING_REAL) {
                value.type = VALUE_FLOAT;
                value.real = settings->resize_factor;
        } else if (setting_names[s].type == SETTING_NAME) {
                const char *name = hnsw_space_name((enum hnsw_space) settings->integer[s]);
                value.type = VALUE_STRING;
                value.string = (struct text){ (char *) (uintptr_t) name, strlen(name) };
        }
        return value;
}

/* The rows that stay and the new ones. The array is the caller's to free, what it points to is not. */
static int changed_metadata(const struct collection_detail *detail, const struct settings *settings, struct metadata_value **ret,
                            size_t *ret_count)
{
        size_t count = 0;
        struct metadata_value *values = calloc(detail->segment_metadata_count + SETTING_COUNT, sizeof(*values));
        if (values == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < detail->segment_metadata_count; i++) {
                enum setting s = setting_of_key(&detail->segment_metadata[i].key);
                if (s == SETTING_COUNT || !settings->given[s])
                        values[count++] = detail->segment_metadata[i];
        }
        for (enum setting s = 0; s < SETTING_COUNT; s++)
                if (settings->given[s])
                        values[count++] = metadata_value_of(settings, s);
        *ret = values;
        *ret_count = count;
        return 0;
}

/* 1 when Chroma would do what was asked for, 0 when something else. */
static int is_right(const struct chroma_version *version, const struct collection_detail *detail,
                    const struct configure_change *change, struct error *e)
{
        CLEANUP(free)
        struct metadata_value *values = NULL;
        struct collection_detail copy = *detail;
        struct hnsw_config config;
        if (change->config.bytes != NULL)
                copy.config_json = change->config;
        if (change->schema.bytes != NULL)
                copy.schema_json = change->schema;
        if (change->metadata) {
                if (changed_metadata(detail, &change->settings, &values, &copy.segment_metadata_count) < 0)
                        return error_set(e, ENOMEM, "no memory for the settings");
                copy.segment_metadata = values;
        }
        int r = hnsw_config_effective(version, &copy, &config, e);
        return r < 0 ? r : hnsw_config_same(&config, &change->after);
}

/* Making the change. */

static int make_rust(const struct chroma_version *version, const struct collection_detail *detail, struct configure_change *change,
                     struct error *e)
{
        struct hnsw_config unused;
        bool whole = change->before.source == CONFIG_SEGMENT_METADATA;
        int r = version->sysdb >= SYSDB_SCHEMA ? config_from_schema(&detail->schema_json, &unused, e) : 0;
        if (r < 0)
                return r;
        if (r > 0)
                return configure_json_schema(&detail->schema_json, &change->settings, &change->after, whole, &change->schema, e);
        return configure_json_config(&detail->config_json, &change->settings, &change->after, whole, &change->config, e);
}

static int make_python(const struct collection_detail *detail, struct configure_change *change, struct error *e)
{
        change->metadata = true;
        int r = configure_json_python(&detail->config_json, &change->settings, &change->after, &change->config, e);
        return r < 0 ? r : 0;
}

static int make(const struct chroma_version *version, const struct collection_detail *detail, struct configure_change *change,
                struct error *e)
{
        int r = version->rust ? make_rust(version, detail, change, e) : make_python(detail, change, e);
        if (r == 0)
                r = is_right(version, detail, change, e);
        if (r == 0 && version->rust && !change->metadata) {
                change->metadata = true;
                r = is_right(version, detail, change, e);
        }
        if (r == 0)
                return error_set(
                        e, EINVAL,
                        "what this collection has stored leaves Chroma no way to take the setting in alone: nothing was changed");
        return r < 0 ? r : 0;
}

int configure_change_make(const struct chroma_version *version, const struct collection_detail *detail,
                          const struct settings *settings, struct configure_change *ret, struct error *e)
{
        struct configure_change change = { .settings = *settings };
        int r = hnsw_config_effective(version, detail, &change.before, e);
        if (r < 0)
                return r;
        if (change.before.source == CONFIG_UNSUPPORTED)
                return error_set(e, EINVAL, "the collection's index is no local HNSW index: its settings are not known");
        r = settings_check(settings, version, &change.before, e);
        if (r < 0)
                return r;
        change.count = settings_reduce(&change.settings, &change.before);
        change.after = settings_apply(&change.settings, &change.before);
        r = change.count > 0 ? make(version, detail, &change, e) : 0;
        if (r < 0)
                configure_change_clear(&change);
        else
                *ret = change;
        return r;
}

/* Writing. */

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

static const char *insert_of(enum setting s)
{
        switch (setting_names[s].type) {
        case SETTING_REAL:
                return "INSERT INTO segment_metadata (segment_id, key, float_value) VALUES (?1, ?2, ?3)";
        case SETTING_NAME:
                return "INSERT INTO segment_metadata (segment_id, key, str_value) VALUES (?1, ?2, ?3)";
        case SETTING_INTEGER:
        default:
                return "INSERT INTO segment_metadata (segment_id, key, int_value) VALUES (?1, ?2, ?3)";
        }
}

static int write_metadata(struct write_db *w, const struct text *segment, const struct settings *settings, struct error *e)
{
        int r = 0;
        for (enum setting s = 0; r == 0 && s < SETTING_COUNT; s++) {
                if (!settings->given[s])
                        continue;
                struct metadata_value value = metadata_value_of(settings, s);
                r = run(w, "DELETE FROM segment_metadata WHERE segment_id = ?1 AND key = ?2", segment, &value.key, NULL, e);
                if (r == 0)
                        r = run(w, insert_of(s), segment, &value.key, &value, e);
        }
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

int configure_change_write(struct write_db *w, const struct chroma_version *version, const struct collection *collection,
                           const struct configure_change *change, struct error *e)
{
        int r = 0;
        if (change->metadata && collection->vector == NULL)
                return error_set(e, EILSEQ, "the collection has no vector segment, whose settings these are");
        if (change->metadata)
                r = write_metadata(w, &collection->vector->id, &change->settings, e);
        if (r == 0)
                r = write_column(w, "UPDATE collections SET config_json_str = ?2 WHERE id = ?1", &collection->id, &change->config,
                                 e);
        if (r == 0)
                r = write_column(w, "UPDATE collections SET schema_str = ?2 WHERE id = ?1", &collection->id, &change->schema, e);
        return r < 0 ? r : check(w, version, collection, change, e);
}
