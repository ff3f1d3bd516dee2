/*
 * What clean-orphans found or did, as JSON: the contract is in ops/operation/clean_orphans.h.
 */
#ifndef OPS_OPERATION_ORPHAN_RESULT_H
#define OPS_OPERATION_ORPHAN_RESULT_H

#include <json-c/json.h>

#include "ops/catalog.h"
#include "ops/error.h"
#include "ops/operation/orphan_dirs.h"
#include "ops/operation/orphan_rows.h"

/* Fills `result`. `trash` is the folder's name, or NULL. 0 or -ENOMEM. */
int orphan_result_fill(struct json_object *result, const struct catalog *catalog, const struct orphan_dirs *dirs,
                       const struct orphan_rows *rows, const char *trash, struct error *e);

/* Empties it again: what it tells of was undone. */
void orphan_result_clear(struct json_object *result);

#endif
