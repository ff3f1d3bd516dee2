/*
 * json-c keeps the order of members and the text of fractions, but not everything: numbers beyond 64 bits, escapes, a key that is
 * there twice. So what it read is written once without any change, and must be the text that was read, blanks aside; only then is
 * it changed.
 */
#include "ops/operation/configure_json.h"

#include <errno.h>
#include <string.h>

#include "ops/json.h"

#define JSON_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

DEFINE_CLEANUP(struct json_object *, json_object_put)

/* Whether `plain`, which has no blanks between its parts, is `text`, which may. */
static bool same_but_for_blanks(const struct text *text, const char *plain, size_t len)
{
        size_t at = 0;
        bool quoted = false;
        for (size_t i = 0; i < text->len; i++) {
                char c = text->bytes[i];
                if (!quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
                        continue;
                if (at == len || plain[at++] != c)
                        return false;
                if (quoted && c == '\\' && i + 1 < text->len) {
                        if (at == len || plain[at++] != text->bytes[++i])
                                return false;
                } else if (c == '"') {
                        quoted = !quoted;
                }
        }
        return at == len;
}

/* An object that would be written as it was read. */
static int read_object(const struct text *json, const char *where, struct json_object **ret, struct error *e)
{
        CLEANUP(json_object_put)
        struct json_object *object = NULL;
        size_t len = 0;
        int r = json_parse(json->bytes, json->len, &object, e);
        if (r < 0)
                return error_prefix(e, r, "%s", where);
        if (!json_object_is_type(object, json_type_object))
                return error_set(e, EILSEQ, "%s is no JSON object", where);
        const char *plain = json_object_to_json_string_length(object, JSON_FLAGS, &len);
        if (plain == NULL)
                return error_set(e, ENOMEM, "no memory for %s", where);
        if (!same_but_for_blanks(json, plain, len))
                return error_set(e, EILSEQ, "%s holds JSON that can't be changed without changing more of it: use Chroma for that",
                                 where);
        *ret = TAKE(object);
        return 0;
}

static int write_object(struct json_object *object, struct text *ret, struct error *e)
{
        size_t len = 0;
        const char *plain = json_object_to_json_string_length(object, JSON_FLAGS, &len);
        if (plain == NULL || text_copy(ret, plain, len) < 0)
                return error_set(e, ENOMEM, "no memory for the configuration");
        return 0;
}

/* The member that is an object, made when it is absent or null. NULL: no memory, or it is something else. */
static struct json_object *object_in(struct json_object *object, const char *name)
{
        struct json_object *value = NULL;
        if (json_object_object_get_ex(object, name, &value) && value != NULL)
                return json_object_is_type(value, json_type_object) ? value : NULL;
        value = json_object_new_object();
        return value == NULL || json_add(object, name, value) < 0 ? NULL : value;
}

/* The member of one of two names that is an object, or NULL. */
static struct json_object *find_object(struct json_object *object, const char *name, const char *alias)
{
        struct json_object *value = NULL;
        if (object == NULL)
                return NULL;
        if (!json_object_object_get_ex(object, name, &value) && alias != NULL)
                (void) json_object_object_get_ex(object, alias, &value);
        return json_object_is_type(value, json_type_object) ? value : NULL;
}

/* Sets a member to a value, NULL being no memory. */
static int set(struct json_object *object, const char *name, struct json_object *value)
{
        return value == NULL ? -ENOMEM : json_add(object, name, value);
}

static int set_settings(struct json_object *hnsw, const struct settings *settings)
{
        int r = 0;
        for (enum setting s = 0; r == 0 && s < SETTING_COUNT; s++)
                if (settings->given[s])
                        r = set(hnsw, setting_names[s].option,
                                s == SETTING_RESIZE_FACTOR ? json_double(settings->resize_factor)
                                                           : json_object_new_int64(settings->integer[s]));
        return r;
}

/* All that 1.x reads, but for the space. */
static int set_whole(struct json_object *hnsw, const struct hnsw_config *config)
{
        int r = set(hnsw, "ef_construction", json_object_new_int64(config->ef_construction));
        if (r == 0)
                r = set(hnsw, "ef_search", json_object_new_int64(config->ef_search));
        if (r == 0)
                r = set(hnsw, "max_neighbors", json_object_new_int64(config->m));
        if (r == 0)
                r = set(hnsw, "resize_factor", json_double(config->resize_factor));
        return r < 0 ? r : set(hnsw, "sync_threshold", json_object_new_int64(config->sync_threshold));
}

static int no_object(const char *where, struct error *e)
{
        return error_set(e, EILSEQ, "%s has no place for the settings, or there is no memory for them", where);
}

int configure_json_python(const struct text *json, const struct settings *settings, const struct hnsw_config *after,
                          struct text *ret, struct error *e)
{
        CLEANUP(json_object_put)
        struct json_object *object = NULL;
        if (json->bytes == NULL)
                return 0;
        int r = read_object(json, "config_json_str", &object, e);
        struct json_object *hnsw = r == 0 ? find_object(object, "hnsw_configuration", NULL) : NULL;
        if (r < 0 || hnsw == NULL)
                return r;
        struct settings all = *settings;
        if (all.given[SETTING_BATCH_SIZE] || all.given[SETTING_SYNC_THRESHOLD]) {
                all.given[SETTING_BATCH_SIZE] = all.given[SETTING_SYNC_THRESHOLD] = true;
                all.integer[SETTING_BATCH_SIZE] = after->batch_size;
                all.integer[SETTING_SYNC_THRESHOLD] = after->sync_threshold;
        }
        if (set_settings(hnsw, &all) < 0)
                return error_set(e, ENOMEM, "no memory for the configuration");
        r = write_object(object, ret, e);
        return r < 0 ? r : 1;
}

int configure_json_config(const struct text *json, const struct settings *settings, const struct hnsw_config *after, bool whole,
                          struct text *ret, struct error *e)
{
        CLEANUP(json_object_put)
        struct json_object *object = NULL;
        int r = 0;
        if (json->bytes != NULL)
                r = read_object(json, "config_json_str", &object, e);
        else
                object = json_object_new_object();
        if (r < 0)
                return r;
        struct json_object *index = NULL, *hnsw = NULL;
        if (object != NULL && find_object(object, "vector_index", NULL) == NULL)
                whole = true;
        if (object != NULL)
                index = object_in(object, "vector_index");
        if (index != NULL)
                hnsw = object_in(index, "hnsw");
        if (hnsw == NULL)
                return no_object("config_json_str", e);
        if (whole)
                r = set(hnsw, "space", json_string(hnsw_space_name(after->space)));
        if (r == 0)
                r = whole ? set_whole(hnsw, after) : set_settings(hnsw, settings);
        return r < 0 ? error_set(e, ENOMEM, "no memory for the configuration") : write_object(object, ret, e);
}

/* The configuration of the local vector index among these types, or NULL. */
static struct json_object *index_config_of(struct json_object *types)
{
        struct json_object *list = find_object(types, "float_list", "#float_list");
        struct json_object *index = find_object(list, "vector_index", "$vector_index");
        struct json_object *config = find_object(index, "config", NULL);
        return find_object(config, "spann", NULL) == NULL ? config : NULL;
}

static int edit_index_config(struct json_object *config, const struct settings *settings, const struct hnsw_config *after,
                             bool whole)
{
        struct json_object *hnsw = object_in(config, "hnsw");
        if (hnsw == NULL)
                return -ENOMEM;
        int r = whole ? set(config, "space", json_string(hnsw_space_name(after->space))) : 0;
        return r < 0 ? r : whole ? set_whole(hnsw, after) : set_settings(hnsw, settings);
}

int configure_json_schema(const struct text *json, const struct settings *settings, const struct hnsw_config *after, bool whole,
                          struct text *ret, struct error *e)
{
        CLEANUP(json_object_put)
        struct json_object *object = NULL;
        int r = read_object(json, "schema_str", &object, e);
        if (r < 0)
                return r;
        struct json_object *keys = find_object(object, "keys", "key_overrides");
        struct json_object *configs[] = { index_config_of(find_object(keys, "#embedding", NULL)),
                                          index_config_of(find_object(object, "defaults", NULL)) };
        if (configs[0] == NULL && configs[1] == NULL)
                return no_object("schema_str", e);
        for (size_t i = 0; r == 0 && i < 2; i++)
                if (configs[i] != NULL)
                        r = edit_index_config(configs[i], settings, after, whole);
        return r < 0 ? error_set(e, ENOMEM, "no memory for the configuration") : write_object(object, ret, e);
}
