/*
 * The metadata of a row of the log: the JSON text that Chroma reads there, as each generation reads it.
 *
 * What is the same in all: one object; of two equal keys the last one counts; strings may hold any character, U+0000 too; an integer that int64 can't hold is a
 * double, if that can hold it.
 *
 * - Python (before 1.0; json.loads, then sqlite3): NaN, Infinity and -Infinity are numbers, and 1e400 is Infinity; SQLite makes NULL of NaN. A value that is an array or an
 *   object is left out, whatever it holds. -0 is the integer 0. Doubles are the nearest ones. Strings may have lone surrogates, which SQLite can't hold: then nothing of the
 *   metadata is applied, without an error. So with an integer beyond int64: there we do better, and make of it what 1.x does.
 * - Rust (from 1.0; serde_json): no NaN and no Infinity, also none by overflow; no lone surrogates; no objects, and before 1.5 no arrays. -0 is the double -0.0. Doubles are not
 *   always the nearest: the digits as an integer, multiplied or divided by a power of ten, one rounding each. The same is done here, to the last bit: in 1.x too a value comes out of the
 *   log before it is stored.
 * - From 1.5 on arrays of booleans, of strings, of integers, of numbers (doubles, if one is). An empty one takes the key away, as null does.
 * - "chroma:document" is a string; null in Python, too. (Python takes others, and Rust ends its process: neither writes them.)
 */
#ifndef OPS_COMMIT_ROW_JSON_H
#define OPS_COMMIT_ROW_JSON_H

#include "ops/commit/row.h"

enum commit_dialect { DIALECT_PYTHON, DIALECT_RUST, DIALECT_ARRAYS };

#define COMMIT_DEPTH_MAX 900u /* of values that Python leaves out; its own limit is a little above, and depends on who calls */
#define COMMIT_VALUES_MAX (1u << 20) /* keys and elements of a row */

struct commit_json {
        struct commit_value *values;
        size_t count;
        bool lost; /* Python can't store them: *why says why */
};

/* Parses `len` bytes. `strings` is room for len + 1 bytes, which the values point into. 0; 1 and *why when this Chroma can't read them; -ENOMEM. On success the
   caller frees ret->values with commit_values_free(). */
int commit_json_parse(const char *bytes, size_t len, enum commit_dialect dialect, char *strings, struct commit_json *ret,
                      struct error *why, struct error *e);

void commit_values_free(struct commit_value *values, size_t count);

/* What parsing makes of arrays and objects for Python. */
static inline bool commit_value_is_left_out(const struct commit_value *value)
{
        return value->type == COMMIT_ARRAY && value->items == NULL;
}

/* Of two equal keys only the last one stays, and no array without elements: what Python leaves out hides an earlier value of its key. 0 or -ENOMEM. */
int commit_values_reduce(struct commit_value *values, size_t *count);

#endif
