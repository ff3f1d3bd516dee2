#include "ops/operation/orphan_result.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "ops/json.h"
#include "ops/operation/clean_orphans.h"

static struct json_object *number(uint64_t n)
{
        return json_object_new_uint64(n);
}

/* As json_add(), but NULL is a failed allocation. */
static int add(struct json_object *object, const char *key, struct json_object *value)
{
        return value == NULL ? -ENOMEM : json_add(object, key, value);
}

/* Adds `object`, which it takes, unless the list is full. 0 or -ENOMEM. */
static int append(struct json_object *list, struct json_object *object)
{
        if (list == NULL || object == NULL || json_object_array_length(list) >= CLEAN_ORPHANS_SHOWN) {
                json_object_put(object);
                return list == NULL || object == NULL ? -ENOMEM : 0;
        }
        if (json_object_array_add(list, object) == 0)
                return 0;
        json_object_put(object);
        return -ENOMEM;
}

static int append_kept(struct json_object *list, struct json_object *name, const char *reason)
{
        struct json_object *object = json_object_new_object();
        int r = object == NULL ? -ENOMEM : 0;
        if (r == 0)
                r = add(object, "name", name);
        else
                json_object_put(name);
        if (r == 0)
                r = add(object, "reason", json_string(reason));
        if (r == 0)
                return append(list, object);
        json_object_put(object);
        return r;
}

static struct json_object *directory(const struct orphan_dir *dir)
{
        struct json_object *object = json_object_new_object();
        if (object == NULL || add(object, "name", json_string(dir->name)) < 0 || add(object, "bytes", number(dir->bytes)) < 0 ||
            add(object, "files", number(dir->files)) < 0) {
                json_object_put(object);
                return NULL;
        }
        return object;
}

static int add_directories(struct json_object *result, const struct orphan_dirs *dirs)
{
        struct json_object *list = json_object_new_array();
        int r = list == NULL ? -ENOMEM : 0;
        for (size_t i = 0; r == 0 && i < dirs->count; i++)
                if (dirs->list[i].stays == NULL)
                        r = append(list, directory(&dirs->list[i]));
        if (r < 0) {
                json_object_put(list);
                return r;
        }
        r = json_add(result, "directories", list);
        return r < 0 ? r : add(result, "directories_total", number(orphan_dirs_count(dirs)));
}

static int keep_segments(struct json_object *list, const struct catalog *catalog)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < catalog->segment_count; i++)
                if (catalog->segments[i].collection == NULL)
                        r = append_kept(list, json_text(&catalog->segments[i].id),
                                        "its row in segments names a collection that is not there: it stays with all that belongs "
                                        "to it, since"
                                        " nothing tells whether the collection was deleted or its row lost");
        return r;
}

static int keep_rows(struct json_object *list, const struct orphan_table_type *type, const struct orphan_list *rows)
{
        char reason[256];
        int r = 0;
        if (rows->odd > 0) {
                (void) snprintf(reason, sizeof(reason), "%" PRIu64 " rows %s: they stay, since no Chroma writes such", rows->odd,
                                type->odd);
                r = append_kept(list, json_string(type->name), reason);
        }
        if (r == 0 && rows->left && rows->rows > 0) {
                (void) snprintf(
                        reason, sizeof(reason),
                        "%" PRIu64
                        " orphan rows stay, since the full-text table is damaged: run rebuild-fts, then clean-orphans again",
                        rows->rows);
                r = append_kept(list, json_string(type->name), reason);
        }
        return r;
}

static int add_kept(struct json_object *result, const struct catalog *catalog, const struct orphan_dirs *dirs,
                    const struct orphan_rows *rows)
{
        struct json_object *list = json_object_new_array();
        int r = list == NULL ? -ENOMEM : keep_segments(list, catalog);
        for (int i = 0; r == 0 && i < ORPHAN_TABLE_COUNT; i++)
                r = keep_rows(list, &orphan_table_types[i], &rows->lists[i]);
        for (size_t i = 0; r == 0 && i < dirs->count; i++)
                if (dirs->list[i].stays != NULL)
                        r = append_kept(list, json_string(dirs->list[i].name), dirs->list[i].stays);
        if (r == 0)
                return json_add(result, "kept", list);
        json_object_put(list);
        return r;
}

static int add_rows(struct json_object *result, const struct orphan_rows *rows)
{
        struct json_object *object = json_object_new_object();
        int r = object == NULL ? -ENOMEM : 0;
        for (int i = 0; r == 0 && i < ORPHAN_LOG; i++)
                if (rows->lists[i].present)
                        r = add(object, orphan_table_types[i].name, number(rows->lists[i].left ? 0 : rows->lists[i].rows));
        if (r < 0) {
                json_object_put(object);
                return r;
        }
        return json_add(result, "rows", object);
}

static int add_log(struct json_object *result, const struct orphan_rows *rows)
{
        char sentence[256];
        (void) snprintf(sentence, sizeof(sentence),
                        "row %" PRId64
                        " of the log belongs to a collection that is gone, and stays: it has the highest seq_id, which Chroma would"
                        " give to another record, and lose that",
                        rows->log_row);
        int r = add(result, "wal_rows", number(rows->lists[ORPHAN_LOG].rows));
        if (r < 0)
                return r;
        return rows->keeps_log_row ? add(result, "wal_rows_kept", json_string(sentence)) : json_add(result, "wal_rows_kept", NULL);
}

static uint64_t bytes_of(const struct orphan_dirs *dirs, const struct orphan_rows *rows)
{
        uint64_t bytes = orphan_rows_bytes(rows);
        for (size_t i = 0; i < dirs->count; i++)
                if (dirs->list[i].stays == NULL && __builtin_add_overflow(bytes, dirs->list[i].bytes, &bytes))
                        return UINT64_MAX; /* sparse files can claim anything */
        return bytes;
}

int orphan_result_fill(struct json_object *result, const struct catalog *catalog, const struct orphan_dirs *dirs,
                       const struct orphan_rows *rows, const char *trash, struct error *e)
{
        int r = add_directories(result, dirs);
        if (r == 0)
                r = add_kept(result, catalog, dirs, rows);
        if (r == 0)
                r = add_rows(result, rows);
        if (r == 0)
                r = add_log(result, rows);
        if (r == 0)
                r = trash == NULL ? json_add(result, "trash", NULL) : add(result, "trash", json_string(trash));
        if (r == 0)
                r = add(result, "bytes", number(bytes_of(dirs, rows)));
        return r < 0 ? error_set(e, ENOMEM, "no memory for the result") : 0;
}

void orphan_result_clear(struct json_object *result)
{
        static const char *const keys[] = { "directories", "directories_total", "kept",  "rows",
                                            "wal_rows",    "wal_rows_kept",     "trash", "bytes" };
        for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
                json_object_object_del(result, keys[i]);
}
