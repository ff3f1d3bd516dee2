/*
 * The topic of a row of the write-ahead log (FORMAT 3): which collection it belongs to.
 *
 * A topic is "persistent://<tenant>/<namespace>/<collection id>"; tenant and namespace are settings that are recorded nowhere, so only
 * what stands behind the last '/' counts. Chroma compares topics as text: one that is stored as anything else belongs to nobody.
 */
#ifndef OPS_TOPIC_H
#define OPS_TOPIC_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

/* What stands behind the last '/', valid until the next step. False when the column holds no text or the text no '/'. */
bool topic_collection_id(sqlite3_stmt *stmt, int column, const char **ret, size_t *ret_len);

#endif
