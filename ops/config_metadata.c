/*
 * The hnsw:* keys of a vector segment's metadata: the configuration of 0.4.0 to 0.6.3, and what 1.x falls back on.
 *
 * 1.x refuses the collection for a key that it does not know or a value of another type; the earlier releases looked only at the keys that
 * they know, and at types when the collection was made, where True passed for an integer.
 */
#include "ops/config_parts.h"

#include <errno.h>
#include <string.h>

#define PREFIX "hnsw:"

static int wrong_type(const struct config_sink *sink, const struct metadata_value *value, const char *wanted)
{
        return error_set(sink->e, EILSEQ, "%s: %s is no %s", sink->where, value->key.bytes, wanted);
}

static int set_integer(const struct config_sink *sink, const struct metadata_value *value, enum hnsw_param param)
{
        if (value->type != VALUE_INT && (sink->rust || value->type != VALUE_BOOL))
                return wrong_type(sink, value, "integer");
        return config_set_integer(sink, param, value->key.bytes, value->integer);
}

static int set_resize_factor(const struct config_sink *sink, const struct metadata_value *value)
{
        if (value->type == VALUE_FLOAT)
                return config_set_resize_factor(sink, value->key.bytes, value->real);
        if (value->type != VALUE_INT && (sink->rust || value->type != VALUE_BOOL))
                return wrong_type(sink, value, "number");
        return config_set_resize_factor(sink, value->key.bytes, (double) value->integer);
}

static int set_space(const struct config_sink *sink, const struct metadata_value *value)
{
        if (value->type != VALUE_STRING)
                return wrong_type(sink, value, "string");
        return config_set_space(sink, value->key.bytes, &value->string);
}

static int set_value(const struct config_sink *sink, const struct metadata_value *value)
{
        static const char *const names[PARAM_COUNT] = {
                [PARAM_EF_CONSTRUCTION] = PREFIX "construction_ef",
                [PARAM_EF_SEARCH] = PREFIX "search_ef",
                [PARAM_M] = PREFIX "M",
                [PARAM_NUM_THREADS] = PREFIX "num_threads",
                [PARAM_BATCH_SIZE] = PREFIX "batch_size",
                [PARAM_SYNC_THRESHOLD] = PREFIX "sync_threshold",
        };
        for (enum hnsw_param param = 0; param < PARAM_COUNT; param++)
                if (text_is(&value->key, names[param]))
                        return set_integer(sink, value, param);
        if (text_is(&value->key, PREFIX "space"))
                return set_space(sink, value);
        if (text_is(&value->key, PREFIX "resize_factor"))
                return set_resize_factor(sink, value);
        return sink->rust ? config_unknown_key(sink, value->key.bytes) : 0;
}

int config_from_metadata(const struct config_sink *sink, const struct collection_detail *detail, bool *ret_any)
{
        bool any = false;
        for (size_t i = 0; i < detail->segment_metadata_count; i++) {
                const struct metadata_value *value = &detail->segment_metadata[i];
                if (value->type == VALUE_NULL || strncmp(value->key.bytes, PREFIX, strlen(PREFIX)) != 0)
                        continue;
                int r = set_value(sink, value);
                if (r < 0)
                        return r;
                any = true;
        }
        *ret_any = any;
        return 0;
}

bool hnsw_metadata_says_cosine(const struct collection_detail *detail)
{
        for (size_t i = 0; i < detail->segment_metadata_count; i++) {
                const struct metadata_value *value = &detail->segment_metadata[i];
                if (text_is(&value->key, PREFIX "space"))
                        return value->type == VALUE_STRING && text_is(&value->string, hnsw_space_name(SPACE_COSINE));
        }
        return false;
}
