/*
 * The sources of a collection's HNSW parameters, each on its own; config.c puts them in order. Every one begins with the defaults and
 * replaces what is stored. has_num_threads and its like say here that the value was stored.
 */
#ifndef OPS_CONFIG_PARTS_H
#define OPS_CONFIG_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/config.h"

enum hnsw_param {
        PARAM_EF_CONSTRUCTION,
        PARAM_EF_SEARCH,
        PARAM_M,
        PARAM_NUM_THREADS,
        PARAM_BATCH_SIZE,
        PARAM_SYNC_THRESHOLD,
        PARAM_COUNT
};

/* config_values.c: the values, with the limits of Chroma 1.x (rust) or of the releases before it. `where` and `key` are for the sentence. */
struct config_sink {
        struct hnsw_config *config;
        bool rust;
        const char *where;
        struct error *e;
};

int config_set_integer(const struct config_sink *sink, enum hnsw_param param, const char *key, int64_t value);
int config_set_resize_factor(const struct config_sink *sink, const char *key, double value);
int config_set_space(const struct config_sink *sink, const char *key, const struct text *value);

/* -EILSEQ for a key that Chroma does not know; the sentence names it when it is fit to be shown. */
int config_unknown_key(const struct config_sink *sink, const char *key);

/* The defaults of 1.x, which are those of 0.6.3 as well. */
void config_set_defaults(struct hnsw_config *config);

/* Whether Chroma 1.x takes this for its defaults. */
bool config_is_default(const struct hnsw_config *config);

/* config_metadata.c: the hnsw:* keys of the vector segment. *ret_any: there was one. */
int config_from_metadata(const struct config_sink *sink, const struct collection_detail *detail, bool *ret_any);

/* config_json.c: collections.config_json_str as 1.x reads it. config->source says CONFIG_JSON, CONFIG_DEFAULTS or CONFIG_UNSUPPORTED. */
int config_from_json(const struct text *json, struct hnsw_config *ret, struct error *e);

/* config_schema.c: collections.schema_str. 1 when there is one, 0 when not, and *ret is untouched. */
int config_from_schema(const struct text *json, struct hnsw_config *ret, struct error *e);

/* config_json.c, for both: an "hnsw" object. `in_schema`: its members may be null, and space is none of them. */
struct json_object;
int config_read_hnsw(const struct config_sink *sink, struct json_object *hnsw, bool in_schema);
int config_read_space(const struct config_sink *sink, struct json_object *value);

#endif
