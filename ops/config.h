/*
 * The HNSW parameters that the Chroma which wrote a directory really uses for a collection (FORMAT 5): where each version reads them,
 * in which order, and what it takes for granted where nothing is stored. Values are as stored: what M an index can be built with is for its
 * builder to check.
 */
#ifndef OPS_CONFIG_H
#define OPS_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/error.h"
#include "ops/version.h"

enum hnsw_space { SPACE_L2, SPACE_COSINE, SPACE_IP };

/* Where a configuration came from. */
enum config_source {
        CONFIG_DEFAULTS,         /* nothing stored: the version's defaults */
        CONFIG_SEGMENT_METADATA, /* hnsw:* of the vector segment */
        CONFIG_JSON,             /* collections.config_json_str */
        CONFIG_SCHEMA,           /* collections.schema_str */
        CONFIG_UNSUPPORTED,      /* an index type that is no local HNSW (spann): the parameters below are unknown */
};

struct hnsw_config {
        enum config_source source;
        enum hnsw_space space;
        int64_t m, ef_construction;
        int64_t ef_search;   /* 0: unknown, since the default changed within the range of releases (0.5.6 to 0.6.3) */
        int64_t num_threads; /* 0: as many as the machine has */
        double resize_factor;
        int64_t batch_size, sync_threshold;
        bool has_num_threads, has_resize_factor,
                has_batch_size; /* false where the version accepts but does not use it, or has none */
};

/* The effective configuration. -EILSEQ when the stored JSON is none or a value has the wrong type or range, with a sentence that says where. */
int hnsw_config_effective(const struct chroma_version *version, const struct collection_detail *detail, struct hnsw_config *ret,
                          struct error *e);

/* Whether the metadata says cosine that 0.x configured the index by. modify() of 1.x stores another space beside it, and then takes the normalised vectors for those of that space (FORMAT 5). */
bool hnsw_metadata_says_cosine(const struct collection_detail *detail);

const char *hnsw_space_name(enum hnsw_space space); /* "l2", "cosine", "ip" */
const char *
config_source_name(enum config_source source); /* "defaults", "segment_metadata", "config_json_str", "schema_str", "unsupported" */

#endif
