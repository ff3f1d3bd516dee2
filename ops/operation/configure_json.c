/*
 * What is stored is changed in place (json_edit.h), number by number: among the rest may be what no parser gives back, such as the keys of a
 * collection's metadata, which schema_str lists whatever bytes they have.
 */
#include "ops/operation/configure_json.h"

#include <errno.h>
#include <stdio.h>

#include "ops/cleanup.h"
#include "ops/operation/json_edit.h"

static void json_edit_clear_cleanup(struct json_edit *edit)
{
        json_edit_clear(edit);
}

static int set_space(struct json_edit *edit, size_t object, enum hnsw_space space, struct error *e)
{
        char json[32];
        (void) snprintf(json, sizeof(json), "\"%s\"", hnsw_space_name(space));
        return json_edit_set(edit, object, "space", json, e);
}

/* Those that were asked for; the space goes into the object that has it. */
static int set_settings(struct json_edit *edit, size_t hnsw, size_t spaced, const struct settings *settings, bool python,
                        struct error *e)
{
        int r = 0;
        for (enum setting s = 0; r == 0 && s < SETTING_COUNT; s++) {
                const char *name = python ? setting_names[s].python : setting_names[s].rust;
                if (!settings->given[s])
                        continue;
                if (setting_names[s].type == SETTING_NAME)
                        r = set_space(edit, spaced, (enum hnsw_space) settings->integer[s], e);
                else if (setting_names[s].type == SETTING_REAL)
                        r = json_edit_set_real(edit, hnsw, name, settings->resize_factor, e);
                else
                        r = json_edit_set_integer(edit, hnsw, name, settings->integer[s], e);
        }
        return r;
}

/* All that 1.x reads, but for the space. */
static int set_whole(struct json_edit *edit, size_t hnsw, const struct hnsw_config *config, struct error *e)
{
        int r = json_edit_set_integer(edit, hnsw, "ef_construction", config->ef_construction, e);
        if (r == 0)
                r = json_edit_set_integer(edit, hnsw, "ef_search", config->ef_search, e);
        if (r == 0)
                r = json_edit_set_integer(edit, hnsw, "max_neighbors", config->m, e);
        if (r == 0)
                r = json_edit_set_real(edit, hnsw, "resize_factor", config->resize_factor, e);
        return r < 0 ? r : json_edit_set_integer(edit, hnsw, "sync_threshold", config->sync_threshold, e);
}

int configure_json_python(const struct text *json, const struct settings *settings, const struct hnsw_config *after,
                          struct text *ret, struct error *e)
{
        CLEANUP(json_edit_clear)
        struct json_edit edit = { .text = { NULL, 0 } };
        size_t hnsw = 0;
        if (json->bytes == NULL)
                return 0;
        int r = json_edit_begin(&edit, json, "config_json_str", true, e);
        if (r == 0)
                r = json_edit_object(&edit, edit.root, "hnsw_configuration", &hnsw, e);
        if (r <= 0)
                return r;
        struct settings all = *settings;
        if (all.given[SETTING_BATCH_SIZE] || all.given[SETTING_SYNC_THRESHOLD]) {
                all.given[SETTING_BATCH_SIZE] = all.given[SETTING_SYNC_THRESHOLD] = true;
                all.integer[SETTING_BATCH_SIZE] = after->batch_size;
                all.integer[SETTING_SYNC_THRESHOLD] = after->sync_threshold;
        }
        r = set_settings(&edit, hnsw, hnsw, &all, true, e);
        if (r < 0)
                return r;
        *ret = edit.text;
        edit.text.bytes = NULL;
        return 1;
}

int configure_json_config(const struct text *json, const struct settings *settings, const struct hnsw_config *after, bool whole,
                          struct text *ret, struct error *e)
{
        static const struct text nothing = { (char *) (uintptr_t) "{}", 2 };
        CLEANUP(json_edit_clear)
        struct json_edit edit = { .text = { NULL, 0 } };
        size_t index = 0, hnsw = 0;
        int r = json_edit_begin(&edit, json->bytes == NULL ? &nothing : json, "config_json_str", false, e);
        if (r == 0)
                r = json_edit_object(&edit, edit.root, "vector_index", &index, e);
        if (r < 0)
                return r;
        whole = whole || r == 0;
        r = json_edit_make_object(&edit, edit.root, "vector_index", &index, e);
        if (r == 0)
                r = json_edit_make_object(&edit, index, "hnsw", &hnsw, e);
        if (r == 0 && whole)
                r = set_space(&edit, hnsw, after->space, e);
        if (r == 0)
                r = whole ? set_whole(&edit, hnsw, after, e) : set_settings(&edit, hnsw, hnsw, settings, false, e);
        if (r < 0)
                return r;
        *ret = edit.text;
        edit.text.bytes = NULL;
        return 0;
}

/* The member of one of two names that is an object. 1 or 0. */
static int find_either(const struct json_edit *edit, size_t object, const char *name, const char *alias, size_t *ret,
                       struct error *e)
{
        size_t value;
        int r = json_edit_find(edit, object, name, &value, e);
        return r < 0 ? r : json_edit_object(edit, object, r > 0 ? name : alias, ret, e);
}

/* The configuration of the local vector index among these types: 1, or 0 when there is none. */
static int find_index_config(const struct json_edit *edit, size_t types, size_t *ret, struct error *e)
{
        size_t at = types, spann;
        int r = find_either(edit, at, "float_list", "#float_list", &at, e);
        if (r > 0)
                r = find_either(edit, at, "vector_index", "$vector_index", &at, e);
        if (r > 0)
                r = json_edit_object(edit, at, "config", &at, e);
        if (r <= 0)
                return r;
        r = json_edit_object(edit, at, "spann", &spann, e);
        *ret = at;
        return r < 0 ? r : r == 0;
}

/* Where one of the schema's two vector indexes is configured: 1 or 0. */
static int find_config(const struct json_edit *edit, bool defaults, size_t *ret, struct error *e)
{
        size_t types = 0;
        int r;
        if (defaults) {
                r = json_edit_object(edit, edit->root, "defaults", &types, e);
        } else {
                r = find_either(edit, edit->root, "keys", "key_overrides", &types, e);
                if (r > 0)
                        r = json_edit_object(edit, types, "#embedding", &types, e);
        }
        return r <= 0 ? r : find_index_config(edit, types, ret, e);
}

static int edit_config(struct json_edit *edit, size_t config, const struct settings *settings, const struct hnsw_config *after,
                       bool whole, struct error *e)
{
        size_t hnsw = 0;
        int r = whole ? set_space(edit, config, after->space, e) : 0;
        if (r == 0)
                r = json_edit_make_object(edit, config, "hnsw", &hnsw, e);
        if (r < 0)
                return r;
        return whole ? set_whole(edit, hnsw, after, e) : set_settings(edit, hnsw, config, settings, false, e);
}

int configure_json_schema(const struct text *json, const struct settings *settings, const struct hnsw_config *after, bool whole,
                          struct text *ret, struct error *e)
{
        CLEANUP(json_edit_clear)
        struct json_edit edit = { .text = { NULL, 0 } };
        bool any = false;
        int r = json_edit_begin(&edit, json, "schema_str", false, e);
        for (int defaults = 0; r >= 0 && defaults < 2; defaults++) {
                size_t config = 0;
                r = find_config(&edit, defaults != 0, &config, e);
                any = any || r > 0;
                if (r > 0)
                        r = edit_config(&edit, config, settings, after, whole, e);
        }
        if (r >= 0 && !any)
                r = error_set(e, EILSEQ, "schema_str has no place for the settings");
        if (r < 0)
                return r;
        *ret = edit.text;
        edit.text.bytes = NULL;
        return 0;
}
