/*
 * What came of operations: the last outcome of each control, from this mount's own runs and from .chromafs/history.jsonl.
 *
 * - Outcomes are kept as text, a line of JSON each; a later one replaces an earlier one of the same control. Of the history the later line is the later one; a line that began before a run of this
 *   mount that is not in it (a dry run) is earlier.
 * - The history is read again when its file has changed, and then only the lines that were added, as long as it was only added to.
 * - A history that can't be read is none.
 * - Thread-safe.
 */
#ifndef FS_OUTCOMES_H
#define FS_OUTCOMES_H

#include <json-c/json.h>
#include <stdint.h>

#include "ops/error.h"

struct outcomes;

/* Duplicates dirfd, that of the persist directory. *ret is the caller's. */
int outcomes_new(int dirfd, struct outcomes **ret, struct error *e);

/* Adds the outcome of a run of this mount. */
void outcomes_add(struct outcomes *outcomes, struct json_object *outcome);

/* The last one of an operation on a collection (id NULL: on the whole directory), or of all (operation NULL). A new object, the caller's, or NULL. */
struct json_object *outcomes_last(struct outcomes *outcomes, const char *operation, const char *collection_id);

struct outcomes *outcomes_free(struct outcomes *outcomes); /* takes NULL, returns NULL */

#endif
