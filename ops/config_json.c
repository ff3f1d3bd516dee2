/*
 * collections.config_json_str, as Chroma 1.x reads it:
 *
 *      {"vector_index": {"hnsw": {"space", "ef_construction", "ef_search", "max_neighbors", "num_threads", "resize_factor",
 *                                 "sync_threshold", "batch_size"}}, "embedding_function": ...}
 *
 * - NULL, or an object without vector_index (the JSON of 0.5.4 to 0.6.3 has hnsw_configuration instead, which nobody ever used for the
 *   index), is the defaults. Members of the outer object that are not known are passed over.
 * - vector_index has one member, hnsw or spann. Every member of hnsw may be absent, none may be null, and one that is not known makes
 *   Chroma refuse the collection.
 */
#include <errno.h>
#include <string.h>

#include "ops/config_parts.h"
#include "ops/json.h"

static int no_integer(const struct config_sink *sink, const char *key)
{
        return error_set(sink->e, EILSEQ, "%s: %s is no integer below 2^63", sink->where, key);
}

static int read_integer(const struct config_sink *sink, enum hnsw_param param, const char *key, struct json_object *value)
{
        if (!json_object_is_type(value, json_type_int))
                return no_integer(sink, key);
        /* What is too large for 64 bits json-c gives as the largest. */
        int64_t integer = json_object_get_int64(value);
        return integer == INT64_MAX ? no_integer(sink, key) : config_set_integer(sink, param, key, integer);
}

static int read_resize_factor(const struct config_sink *sink, const char *key, struct json_object *value)
{
        if (!json_object_is_type(value, json_type_double) && !json_object_is_type(value, json_type_int))
                return error_set(sink->e, EILSEQ, "%s: %s is no number", sink->where, key);
        return config_set_resize_factor(sink, key, json_object_get_double(value));
}

int config_read_space(const struct config_sink *sink, struct json_object *value)
{
        if (!json_object_is_type(value, json_type_string))
                return error_set(sink->e, EILSEQ, "%s: space is no string", sink->where);
        const char *bytes = json_object_get_string(value);
        struct text space = { (char *) (uintptr_t) bytes, (size_t) json_object_get_string_len(value) };
        return config_set_space(sink, "space", &space);
}

static int read_member(const struct config_sink *sink, const char *key, struct json_object *value, bool in_schema)
{
        static const char *const names[PARAM_COUNT] = {
                [PARAM_EF_CONSTRUCTION] = "ef_construction",
                [PARAM_EF_SEARCH] = "ef_search",
                [PARAM_M] = "max_neighbors",
                [PARAM_NUM_THREADS] = "num_threads",
                [PARAM_BATCH_SIZE] = "batch_size",
                [PARAM_SYNC_THRESHOLD] = "sync_threshold",
        };
        for (enum hnsw_param param = 0; param < PARAM_COUNT; param++)
                if (strcmp(key, names[param]) == 0)
                        return read_integer(sink, param, key, value);
        if (strcmp(key, "resize_factor") == 0)
                return read_resize_factor(sink, key, value);
        if (strcmp(key, "space") == 0 && !in_schema)
                return config_read_space(sink, value);
        return config_unknown_key(sink, key);
}

int config_read_hnsw(const struct config_sink *sink, struct json_object *hnsw, bool in_schema)
{
        if (!json_object_is_type(hnsw, json_type_object))
                return error_set(sink->e, EILSEQ, "%s: hnsw is no object", sink->where);
        struct json_object_iterator i = json_object_iter_begin(hnsw), end = json_object_iter_end(hnsw);
        for (; !json_object_iter_equal(&i, &end); json_object_iter_next(&i)) {
                struct json_object *value = json_object_iter_peek_value(&i);
                int r = value == NULL && in_schema ? 0 : read_member(sink, json_object_iter_peek_name(&i), value, in_schema);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_vector_index(const struct config_sink *sink, struct json_object *index)
{
        struct json_object *value = NULL;
        if (!json_object_is_type(index, json_type_object) || json_object_object_length(index) != 1)
                return error_set(sink->e, EILSEQ, "%s: vector_index is no object of one member", sink->where);
        if (json_object_object_get_ex(index, "spann", &value)) {
                sink->config->source = CONFIG_UNSUPPORTED;
                return 0;
        }
        if (!json_object_object_get_ex(index, "hnsw", &value))
                return error_set(sink->e, EILSEQ, "%s: vector_index is neither hnsw nor spann", sink->where);
        sink->config->source = CONFIG_JSON;
        return config_read_hnsw(sink, value, false);
}

static int read_document(const struct config_sink *sink, struct json_object *document)
{
        struct json_object *index = NULL;
        if (!json_object_is_type(document, json_type_object))
                return error_set(sink->e, EILSEQ, "%s is no JSON object", sink->where);
        return json_object_object_get_ex(document, "vector_index", &index) ? read_vector_index(sink, index) : 0;
}

int config_from_json(const struct text *json, struct hnsw_config *ret, struct error *e)
{
        struct hnsw_config config;
        config_set_defaults(&config);
        if (json->bytes != NULL) {
                struct config_sink sink = { &config, true, "config_json_str", e };
                struct json_object *document = NULL;
                int r = json_parse(json->bytes, json->len, &document, e);
                if (r < 0)
                        return error_prefix(e, r, "config_json_str");
                r = read_document(&sink, document);
                json_object_put(document);
                if (r < 0)
                        return r;
        }
        *ret = config;
        return 0;
}
