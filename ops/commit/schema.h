/*
 * The keys that Chroma adds to a collection's schema_str, from 1.3 on, when rows of the log bring values of a type that their key has not had (FORMAT 5).
 *
 * - `keys.<key>.<type>` becomes a copy of `defaults.<type>`; a key without one there becomes {}. An array counts as the type of its elements. Keys that begin with "chroma:" are
 *   Chroma's own and not in it; a null brings nothing.
 * - A key that is not there is looked up in the defaults: without these additions a collection answers the same. So a schema that can't be read, or that would become larger than
 *   what our own readers take, stays as it is; so do keys that are no UTF-8 text, or have a NUL.
 * - All of the schema that is not added stays byte for byte.
 */
#ifndef OPS_COMMIT_SCHEMA_H
#define OPS_COMMIT_SCHEMA_H

#include "ops/cleanup.h"
#include "ops/commit/row.h"

#define COMMIT_SCHEMA_MAX (8u << 20) /* bytes */

struct commit_schema; /* what values were seen */

struct commit_schema *commit_schema_new(void); /* NULL: no memory */

/* Notes a value that was applied. Nothing when schema is NULL. 0 or -ENOMEM. */
int commit_schema_note(struct commit_schema *schema, const struct commit_value *value, struct error *e);

/* Adds what was noted to the text of schema_str. 1 and the new text, which the caller frees; 0 when it stays as it is; -ENOMEM. */
int commit_schema_extend(const struct commit_schema *schema, const struct text *json, struct text *ret, struct error *e);

struct commit_schema *commit_schema_free(struct commit_schema *schema);
DEFINE_CLEANUP(struct commit_schema *, commit_schema_free)

#endif
