/*
 * Applies the rows of the log that the metadata segments of a persist directory lack, and moves their positions: what commit does of it, without the vector segment. Prints
 * the counts of each collection.
 *
 * usage: commit_metadata DIR
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "ops/commit/metadata.h"

#define ROWS                                                                                                                       \
        "SELECT seq_id, operation, id, metadata FROM embeddings_queue WHERE seq_id > ?1 AND topic LIKE '%/' || ?2 ORDER BY seq_id"

static _Noreturn void die(const char *what, const struct error *e)
{
        (void) fprintf(stderr, "commit_metadata: %s: %s\n", what, e != NULL ? e->text : strerror(errno));
        exit(1);
}

static struct text text_of(const void *bytes, int len)
{
        struct text text = { NULL, 0 };
        if (text_copy(&text, bytes != NULL ? bytes : "", (size_t) len) < 0)
                die("text", NULL);
        return text;
}

static struct commit_value value_of(struct json_object *json)
{
        struct commit_value value = { .string = { NULL, 0 } };
        switch (json_object_get_type(json)) {
        case json_type_string:
                value.type = COMMIT_STRING;
                value.string = text_of(json_object_get_string(json), json_object_get_string_len(json));
                break;
        case json_type_int:
        case json_type_boolean:
                value.type = json_object_is_type(json, json_type_int) ? COMMIT_INT : COMMIT_BOOL;
                value.integer = json_object_get_int64(json);
                break;
        case json_type_double:
                value.type = COMMIT_FLOAT;
                value.real = json_object_get_double(json);
                break;
        case json_type_array:
                value.type = COMMIT_ARRAY;
                value.item_count = json_object_array_length(json);
                value.items = calloc(value.item_count + 1, sizeof(*value.items));
                for (size_t i = 0; i < value.item_count; i++)
                        value.items[i] = value_of(json_object_array_get_idx(json, i));
                break;
        case json_type_null:
        case json_type_object:
        default:
                value.type = COMMIT_NULL;
        }
        return value;
}

static void values_free(struct commit_value *values, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                free(values[i].key.bytes);
                free(values[i].string.bytes);
                values_free(values[i].items, values[i].item_count);
        }
        free(values);
}

static void decode_metadata(struct commit_row *row, const char *json)
{
        struct json_object *object = json == NULL ? NULL : json_tokener_parse(json);
        row->values = calloc(object == NULL ? 1 : (size_t) json_object_object_length(object) + 1, sizeof(*row->values));
        if (object != NULL) {
                json_object_object_foreach(object, key, member)
                {
                        row->values[row->value_count] = value_of(member);
                        row->values[row->value_count++].key = text_of(key, (int) strlen(key));
                }
        }
        (void) json_object_put(object);
}

static void apply_row(struct commit_metadata *m, sqlite3_stmt *stmt)
{
        struct error e;
        struct commit_row row = { .seq_id = sqlite3_column_int64(stmt, 0),
                                  .operation = (enum commit_operation) sqlite3_column_int(stmt, 1) };
        row.id = text_of(sqlite3_column_text(stmt, 2), sqlite3_column_bytes(stmt, 2));
        decode_metadata(&row, (const char *) sqlite3_column_text(stmt, 3));
        if (commit_metadata_apply(m, &row, &e) < 0)
                die("apply", &e);
        values_free(row.values, row.value_count);
        free(row.id.bytes);
}

static void commit_collection(struct write_db *w, const struct catalog *catalog, const struct collection *collection)
{
        struct error e;
        struct commit_metadata *m = NULL;
        struct commit_counts counts = { 0 };
        sqlite3_stmt *stmt = NULL;
        int64_t position = (int64_t) collection->metadata->position;
        int r;
        if (commit_metadata_begin(w, catalog, collection, &m, &e) < 0 || write_db_prepare(w, &stmt, &e, ROWS) < 0)
                die("begin", &e);
        (void) sqlite3_bind_int64(stmt, 1, position);
        (void) sqlite3_bind_text(stmt, 2, collection->id.bytes, -1, SQLITE_STATIC);
        while ((r = write_db_step(w, stmt, &e)) > 0) {
                position = sqlite3_column_int64(stmt, 0);
                apply_row(m, stmt);
        }
        if (r < 0 || commit_metadata_end(m, position, &counts, &e) < 0)
                die("end", &e);
        (void) sqlite3_finalize(stmt);
        (void) commit_metadata_free(m);
        (void) printf("%s: %llu added, %llu updated, %llu deleted, %llu ignored\n", collection->name.bytes,
                      (unsigned long long) counts.adds, (unsigned long long) counts.updates, (unsigned long long) counts.deletes,
                      (unsigned long long) counts.ignored);
}

static struct catalog *read_catalog(void)
{
        struct error e;
        struct catalog *catalog = NULL;
        struct db *db = NULL;
        int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || db_open(fd, &db, &e) < 0 || catalog_read(db, &catalog, &e) < 0)
                die("catalog", fd < 0 ? NULL : &e);
        (void) db_close(db);
        (void) close(fd);
        return catalog;
}

int main(int argc, char **argv)
{
        struct error e;
        struct write_db *w = NULL;
        if (argc != 2 || chdir(argv[1]) < 0)
                die("usage: commit_metadata DIR", NULL);
        struct catalog *catalog = read_catalog();
        if (write_db_open(NULL, NULL, NULL, &w, &e) < 0 || write_db_begin(w, NULL, &e) < 0)
                die("open", &e);
        for (size_t i = 0; i < catalog->collection_count; i++)
                commit_collection(w, catalog, &catalog->collections[i]);
        if (write_db_commit(w, &e) < 0)
                die("commit", &e);
        (void) write_db_close(w);
        (void) catalog_free(catalog);
        return 0;
}
