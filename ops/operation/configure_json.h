/*
 * Settings in the JSON that Chroma stores with a collection (FORMAT 5). Each function makes the new text of a column from the old
 * one; whatever else is in it stays, byte for byte. Text that is no JSON object, or has one of these members twice, is -EILSEQ.
 */
#ifndef OPS_OPERATION_CONFIGURE_JSON_H
#define OPS_OPERATION_CONFIGURE_JSON_H

#include "ops/config.h"
#include "ops/error.h"
#include "ops/operation/configure_settings.h"
#include "ops/text.h"

/* collections.config_json_str of 0.5.4 to 0.6.3, where it holds a configuration: 1, and *ret is the caller's; else 0. `after` is
   the whole configuration, for batch_size and sync_threshold, which Chroma refuses when they do not fit together. */
int configure_json_python(const struct text *json, const struct settings *settings, const struct hnsw_config *after,
                          struct text *ret, struct error *e);

/* collections.config_json_str of 1.x. Writes the whole of `after` when `whole`, or when no configuration is there. *ret is the
   caller's. */
int configure_json_config(const struct text *json, const struct settings *settings, const struct hnsw_config *after, bool whole,
                          struct text *ret, struct error *e);

/* collections.schema_str of 1.3 and later, which there must be: both of its vector indexes. */
int configure_json_schema(const struct text *json, const struct settings *settings, const struct hnsw_config *after, bool whole,
                          struct text *ret, struct error *e);

#endif
