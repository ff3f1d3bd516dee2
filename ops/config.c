/*
 * Which of the sources counts (FORMAT 5):
 *
 * - 0.4.0 to 0.6.3: the vector segment's hnsw:* metadata, key by key, else the defaults. config_json_str is never used: it says "l2" even
 *   for a cosine collection. ef_search's default was 10 up to 0.6.2 and is 100 in 0.6.3; those from 0.5.6 on leave the same directory behind,
 *   so that it is unknown there. config_json_str would tell the default of the release that made the collection, not of the one that
 *   searches it.
 * - 1.0 to 1.2: config_json_str; but when that amounts to the defaults, the metadata, as a whole, if it says anything else.
 * - 1.3 on: the same with schema_str in the place of config_json_str, where there is one. The column that does not count must be readable
 *   all the same, and so must the metadata: Chroma refuses the collection otherwise.
 *
 * A stored num_threads takes part in "amounts to the defaults", where the default is the number of CPUs: such a configuration depends on the
 * machine that reads it, and we answer for this one.
 */
#include "ops/config.h"

#include "ops/config_parts.h"

#define SYSDB_SCHEMA 10     /* the migration that adds schema_str */
#define METADB_EF_SEARCH 4  /* from here on the directory does not tell which default of ef_search is in force */
#define EF_SEARCH_PYTHON 10 /* up to 0.6.2 */
#define EF_SEARCH_UNKNOWN 0

static int effective_python(const struct chroma_version *version, const struct collection_detail *detail,
                            struct hnsw_config *config, struct error *e)
{
        bool any = false;
        config_set_defaults(config);
        config->ef_search = version->metadb < METADB_EF_SEARCH ? EF_SEARCH_PYTHON : EF_SEARCH_UNKNOWN;
        struct config_sink sink = { config, false, "segment_metadata", e };
        int r = config_from_metadata(&sink, detail, &any);
        if (r < 0)
                return r;
        config->source = any ? CONFIG_SEGMENT_METADATA : CONFIG_DEFAULTS;
        config->has_num_threads = config->has_resize_factor = config->has_batch_size = true;
        return 0;
}

/* Takes the metadata's configuration when the stored one amounts to the defaults and the metadata's does not. */
static int fall_back(const struct collection_detail *detail, struct hnsw_config *config, struct error *e)
{
        bool any = false;
        struct hnsw_config legacy;
        config_set_defaults(&legacy);
        struct config_sink sink = { &legacy, true, "segment_metadata", e };
        int r = config_from_metadata(&sink, detail, &any);
        if (r < 0)
                return r;
        if (config_is_default(config) && !config_is_default(&legacy)) {
                *config = legacy;
                config->source = CONFIG_SEGMENT_METADATA;
        }
        return 0;
}

static int effective_rust(const struct chroma_version *version, const struct collection_detail *detail, struct hnsw_config *config,
                          struct error *e)
{
        int r = config_from_json(&detail->config_json, config, e);
        if (r == 0 && version->sysdb >= SYSDB_SCHEMA)
                r = config_from_schema(&detail->schema_json, config, e);
        if (r >= 0 && config->source != CONFIG_UNSUPPORTED)
                r = fall_back(detail, config, e);
        /* 1.x takes these in and never looks at them. */
        config->has_num_threads = config->has_resize_factor = config->has_batch_size = false;
        return r < 0 ? r : 0;
}

int hnsw_config_effective(const struct chroma_version *version, const struct collection_detail *detail, struct hnsw_config *ret,
                          struct error *e)
{
        struct hnsw_config config = { 0 };
        int r = version->rust ? effective_rust(version, detail, &config, e) : effective_python(version, detail, &config, e);
        if (r == 0)
                *ret = config;
        return r;
}
