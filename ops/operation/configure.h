/*
 * configure: settings are written where each version of Chroma really reads them (FORMAT 4, 5).
 *
 * - automatically_purge, of the whole directory (0.5.6 on); ef_search, num_threads, resize_factor, batch_size and sync_threshold,
 *   of one collection.
 * - Before the COMMIT the configuration is read again as Chroma would read it: what was asked for has changed, and nothing else.
 * - A value that is in force already is not written. A hnsw: key of the collection's own metadata follows where there is one.
 * - result: {collection: {id, name, …} | null, parameters: {name: {before, after}}, written: ["segment_metadata" |
 *   "collection_metadata" | "config_json_str" | "schema_str" | "embeddings_queue_config", …], warning: a sentence, or null}
 */
#ifndef OPS_OPERATION_CONFIGURE_H
#define OPS_OPERATION_CONFIGURE_H

#include "ops/operation/operation.h"

extern const struct operation_type operation_configure;

#endif
