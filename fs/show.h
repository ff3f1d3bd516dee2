/*
 * What each virtual file says: the show functions of the node table (see struct node_type in fs/node.h for their form), by the source file they are in.
 */
#ifndef FS_SHOW_H
#define FS_SHOW_H

#include <json-c/json.h>

#include "fs/node.h"

#define SHOW(name) int name(struct request *request, const struct node *node, struct text *ret)

/* show_root.c */
SHOW(show_readme);
SHOW(show_root_info);
SHOW(show_automatically_purge);
SHOW(show_fts_tokenizer);

/* show_control.c */
#define STATUS_SIZE 4096 /* of status.json, always: it changes between stat and open */
SHOW(show_status);
SHOW(show_last_error);
SHOW(show_history);
SHOW(show_control); /* usage, and the last run of it */
SHOW(show_cancel);

/* show_collection.c */
SHOW(show_collection_info);

/* show_config.c: the parameter is the node's own name */
SHOW(show_parameter);
struct hnsw_config;
struct json_object *config_json(const struct hnsw_config *config);

/* show_segment.c */
SHOW(show_segment_info);
SHOW(show_segment_value); /* type, scope, max_seq_id, wal_gap, size, dimension, fragmentation */
SHOW(show_labels);

/* show_check.c */
#define CHECK_SIZE 8192 /* of check.json, always: its stat must not read the index */
SHOW(show_check);

/* show_orphan.c */
SHOW(show_orphan_info);

/* show_link.c */
SHOW(show_link_to_collection); /* from the four places that link to one */
SHOW(show_link_to_segment);

#endif
