/*
 * What the catalog says of the directory as a whole: the queue's counter and its purge setting, the pages of the file, the full-text table,
 * and what the schema lacks.
 *
 * The counter is the last row in rowid order, not max(seq_id): in a table made by hand seq_id need not be the rowid, and max() would then
 * read all of it while a writer waits.
 */
#include "ops/catalog_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/json.h"

#define METADB_FTS_SEARCH 3 /* the migration that replaced embedding_fulltext by embedding_fulltext_search */

/* 1 when there is one. */
static int read_integer(struct row_reader *reader, const char *sql, sqlite3_int64 *ret)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *row = NULL;
        int r = row_prepare(reader, &row, sql, NULL);
        if (r == 0)
                r = row_step(reader, row);
        if (r > 0)
                *ret = sqlite3_column_int64(row, 0);
        return r;
}

static int read_number(struct row_reader *reader, const char *sql, uint64_t *ret)
{
        sqlite3_int64 number = 0;
        int r = read_integer(reader, sql, &number);
        *ret = number > 0 ? (uint64_t) number : 0;
        return r < 0 ? r : 0;
}

/* Makes `ret` stand on the one row of a table whose rowid the query selects: 1, or 0 when there is none. */
static int read_row(struct row_scan *ret, struct row_reader *reader, const char *table, const char *column, const char *rowid_sql)
{
        sqlite3_int64 rowid = 0;
        int r = db_has_table(reader->db, table, reader->e);
        if (r > 0)
                r = read_integer(reader, rowid_sql, &rowid);
        if (r <= 0)
                return r;
        row_scan_begin(ret, reader, table, (const char *const[ROW_SCAN_COLUMNS]){ column }, rowid);
        return row_scan_next(ret);
}

/* Of any table: a hostile one may have no rowid, and any class in the column. */
static int read_queue_max(struct row_reader *reader, struct catalog *c)
{
        sqlite3_int64 max = 0;
        int r = db_has_table(reader->db, "embeddings_queue", reader->e);
        if (r > 0)
                r = read_integer(
                        reader, "SELECT seq_id FROM embeddings_queue WHERE typeof(seq_id) = 'integer' ORDER BY seq_id DESC LIMIT 1",
                        &max);
        if (r > 0) {
                c->has_queue_max = true;
                c->queue_max = max;
        }
        return r < 0 ? r : 0;
}

static enum purge_setting purge_of(const struct text *json)
{
        struct json_object *object = NULL, *value = NULL;
        enum purge_setting setting = PURGE_UNKNOWN;
        if (json_parse(json->bytes, json->len, &object, NULL) < 0)
                return PURGE_UNKNOWN;
        if (json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, "automatically_purge", &value) &&
            json_object_is_type(value, json_type_boolean))
                setting = json_object_get_boolean(value) ? PURGE_ON : PURGE_OFF;
        json_object_put(object);
        return setting;
}

static int read_purge(struct row_reader *reader, struct catalog *c)
{
        CLEANUP(row_scan)
        struct row_scan row = { 0 };
        c->automatically_purge = PURGE_ABSENT;
        int r = read_row(&row, reader, "embeddings_queue_config", "config_json_str",
                         "SELECT rowid FROM embeddings_queue_config WHERE id = 1");
        if (r <= 0)
                return r;
        struct text json = { NULL, 0 };
        r = row_scan_text(&row, 0, &json);
        if (r < 0)
                return r;
        c->automatically_purge = purge_of(&json);
        free(json.bytes);
        return 0;
}

int catalog_read_state(struct row_reader *reader, struct catalog *c)
{
        int r = read_queue_max(reader, c);
        if (r == 0)
                r = read_purge(reader, c);
        if (r == 0)
                r = read_number(reader, "PRAGMA freelist_count", &c->free_pages);
        if (r == 0)
                r = read_number(reader, "PRAGMA page_count", &c->page_count);
        if (r == 0)
                r = read_number(reader, "PRAGMA page_size", &c->page_size);
        return r < 0 ? r : read_number(reader, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'", &c->triggers);
}

static const char *fts_table(const struct catalog *c)
{
        return c->version.metadb >= METADB_FTS_SEARCH ? "embedding_fulltext_search" : "embedding_fulltext";
}

/* 1 when the table and all its shadows are there. */
static int has_fts(struct row_reader *reader, const char *table)
{
        static const char *const suffixes[] = { "", "_data", "_idx", "_content", "_docsize", "_config" };
        int r = 1;
        for (size_t i = 0; r > 0 && i < sizeof suffixes / sizeof suffixes[0]; i++) {
                char name[64];
                (void) snprintf(name, sizeof name, "%s%s", table, suffixes[i]);
                r = db_has_table(reader->db, name, reader->e);
        }
        return r;
}

int catalog_read_fts(struct row_reader *reader, struct catalog *c)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *row = NULL;
        const char *table = fts_table(c);
        int r = has_fts(reader, table);
        if (r < 0)
                return r;
        c->has_fts = r > 0;
        struct text name = { (char *) (uintptr_t) table, strlen(table) };
        r = row_prepare(reader, &row, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE", &name);
        if (r == 0)
                r = row_step(reader, row);
        if (r > 0)
                return row_text(reader, row, 0, &c->fts_sql);
        if (r == 0 && text_copy(&c->fts_sql, "", 0) < 0)
                return error_set(reader->e, ENOMEM, "no memory");
        return r;
}

enum migration_list { LIST_SYSDB, LIST_METADB, LIST_QUEUE };

/* Tables and columns that a version must have. `collections` and `segments` are not here: without them there is no catalog. */
struct need {
        enum migration_list list;
        int since; /* migration that makes it */
        const char *table, *column;
};

static const struct need needs[] = {
        { LIST_SYSDB, 1, "collection_metadata", NULL },
        { LIST_SYSDB, 2, "segment_metadata", NULL },
        { LIST_SYSDB, 3, "collections", "dimension" },
        { LIST_SYSDB, 4, "tenants", NULL },
        { LIST_SYSDB, 4, "databases", NULL },
        { LIST_SYSDB, 4, "collections", "database_id" },
        { LIST_SYSDB, 6, "collection_metadata", "bool_value" },
        { LIST_SYSDB, 6, "segment_metadata", "bool_value" },
        { LIST_SYSDB, 7, "collections", "config_json_str" },
        { LIST_SYSDB, 8, "maintenance_log", NULL },
        { LIST_SYSDB, 10, "collections", "schema_str" },
        { LIST_METADB, 1, "embeddings", NULL },
        { LIST_METADB, 1, "embedding_metadata", NULL },
        { LIST_METADB, 1, "max_seq_id", NULL },
        { LIST_METADB, 2, "embedding_metadata", "bool_value" },
        { LIST_METADB, 6, "embedding_metadata_array", NULL },
        { LIST_QUEUE, 1, "embeddings_queue", NULL },
        { LIST_QUEUE, 2, "embeddings_queue_config", NULL },
};

static int applied(const struct chroma_version *version, enum migration_list list)
{
        return list == LIST_SYSDB ? version->sysdb : list == LIST_METADB ? version->metadb : version->embeddings_queue;
}

/* 1 when it is there, or need not be: the lack of a table is said once, not for each of its columns. */
static int has_need(struct row_reader *reader, const struct catalog *c, const struct need *need)
{
        if (applied(&c->version, need->list) < need->since)
                return 1;
        int r = db_has_table(reader->db, need->table, reader->e);
        if (r < 0 || need->column == NULL)
                return r;
        return r == 0 ? 1 : db_has_column(reader->db, need->table, need->column, reader->e);
}

static void add_missing(char *sentence, size_t size, const char *kind, const char *table, const char *column)
{
        size_t len = strlen(sentence);
        (void) snprintf(sentence + len, size - len, "%s%s %s%s%s", len > 0 ? ", " : "the database lacks ", kind, table,
                        column != NULL ? "." : "", column != NULL ? column : "");
}

int catalog_check_schema(struct row_reader *reader, struct catalog *c)
{
        char sentence[1024] = "";
        for (size_t i = 0; i < sizeof needs / sizeof needs[0]; i++) {
                int r = has_need(reader, c, &needs[i]);
                if (r < 0)
                        return r;
                if (r == 0)
                        add_missing(sentence, sizeof sentence, needs[i].column != NULL ? "column" : "table", needs[i].table,
                                    needs[i].column);
        }
        if (c->version.metadb >= 1 && !c->has_fts)
                add_missing(sentence, sizeof sentence, "full-text table", fts_table(c), NULL);
        size_t len = strlen(sentence);
        (void) snprintf(sentence + len, sizeof sentence - len, "%s%s", len > 0 && reader->oversized[0] != '\0' ? "; " : "",
                        reader->oversized);
        if (text_copy(&c->damage, sentence, strlen(sentence)) < 0)
                return error_set(reader->e, ENOMEM, "no memory");
        return 0;
}
