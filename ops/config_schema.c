/*
 * collections.schema_str (1.3 and later):
 *
 *      {"defaults": TYPES, "keys": {"#embedding": TYPES, ...}}
 *      TYPES = {"float_list": {"vector_index": {"enabled", "config": {"space", "hnsw": {...}, "spann": {...}, "embedding_function",
 *              "source_key"}}}, "string": ..., ...}
 *
 * - NULL, '' and 'null' are no schema, with blanks around them or not.
 * - The vector index of keys.#embedding counts; where it has none, or one with a spann object, that of `defaults`. Everything on the way
 *   to it may be absent or null, but for "defaults", "keys" and "config".
 * - A schema whose vector indexes are all spann has no local index that could be read; one without any makes Chroma refuse the collection.
 * - Members have aliases with a sign in front, from the first releases that had schemas.
 */
#include <errno.h>
#include <string.h>

#include "ops/config_parts.h"
#include "ops/json.h"

static bool blank(char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_absent(const struct text *json)
{
        if (json->bytes == NULL)
                return true;
        const char *begin = json->bytes, *end = json->bytes + json->len;
        while (begin < end && blank(*begin))
                begin++;
        while (begin < end && blank(end[-1]))
                end--;
        return begin == end || (end - begin == 4 && memcmp(begin, "null", 4) == 0);
}

/* Gets an object's member by its name or alias: 1, or 0 when it is absent or null; what is no object is an error. */
static int get_object(const struct config_sink *sink, struct json_object *object, const char *name, const char *alias,
                      struct json_object **ret)
{
        struct json_object *value = NULL;
        if (!json_object_object_get_ex(object, name, &value) && alias != NULL)
                (void) json_object_object_get_ex(object, alias, &value);
        if (value == NULL)
                return 0;
        if (!json_object_is_type(value, json_type_object))
                return error_set(sink->e, EILSEQ, "%s: %s is no object", sink->where, name);
        *ret = value;
        return 1;
}

static int need_object(const struct config_sink *sink, struct json_object *object, const char *name, const char *alias,
                       struct json_object **ret)
{
        int r = get_object(sink, object, name, alias, ret);
        return r == 0 ? error_set(sink->e, EILSEQ, "%s has no %s", sink->where, name) : r;
}

/* 1 when the configuration of a local index was read, 0 when it is one of spann. */
static int read_index_config(const struct config_sink *sink, struct json_object *index_config)
{
        struct json_object *hnsw = NULL, *space = NULL, *spann = NULL;
        int r = get_object(sink, index_config, "spann", NULL, &spann);
        if (r != 0) {
                if (r > 0)
                        sink->config->source = CONFIG_UNSUPPORTED;
                return r < 0 ? r : 0;
        }
        config_set_defaults(sink->config);
        sink->config->source = CONFIG_SCHEMA;
        if (json_object_object_get_ex(index_config, "space", &space) && space != NULL)
                r = config_read_space(sink, space);
        if (r == 0)
                r = get_object(sink, index_config, "hnsw", NULL, &hnsw);
        if (r > 0)
                r = config_read_hnsw(sink, hnsw, true);
        return r < 0 ? r : 1;
}

/* 1 when these types had a local vector index. */
static int read_types(const struct config_sink *sink, struct json_object *types)
{
        struct json_object *list = NULL, *index = NULL, *index_config = NULL;
        int r = get_object(sink, types, "float_list", "#float_list", &list);
        if (r > 0)
                r = get_object(sink, list, "vector_index", "$vector_index", &index);
        if (r > 0)
                r = need_object(sink, index, "config", NULL, &index_config);
        return r > 0 ? read_index_config(sink, index_config) : r;
}

static int read_document(const struct config_sink *sink, struct json_object *document)
{
        struct json_object *defaults = NULL, *keys = NULL, *embedding = NULL;
        if (!json_object_is_type(document, json_type_object))
                return error_set(sink->e, EILSEQ, "%s is no JSON object", sink->where);
        int r = need_object(sink, document, "defaults", NULL, &defaults);
        if (r > 0)
                r = need_object(sink, document, "keys", "key_overrides", &keys);
        if (r > 0)
                r = get_object(sink, keys, "#embedding", NULL, &embedding);
        if (r > 0)
                r = read_types(sink, embedding);
        if (r == 0)
                r = read_types(sink, defaults);
        if (r == 0 && sink->config->source != CONFIG_UNSUPPORTED)
                return error_set(sink->e, EILSEQ, "%s has no vector index", sink->where);
        return r;
}

int config_from_schema(const struct text *json, struct hnsw_config *ret, struct error *e)
{
        if (is_absent(json))
                return 0;
        struct hnsw_config config;
        config_set_defaults(&config);
        struct config_sink sink = { &config, true, "schema_str", e };
        struct json_object *document = NULL;
        int r = json_parse(json->bytes, json->len, &document, e);
        if (r < 0)
                return error_prefix(e, r, "schema_str");
        r = read_document(&sink, document);
        json_object_put(document);
        if (r < 0)
                return r;
        *ret = config;
        return 1;
}
