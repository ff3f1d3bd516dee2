/*
 * JSON in and out, on json-c: what the library's JSON has in common.
 *
 * - Out: strings of any bytes. Valid UTF-8 goes out as it is; a byte that is none goes out as \udcNN, as Python's surrogateescape does.
 *   Doubles go out in the shortest form that reads back as the same double, with at least one decimal ("0.0").
 * - In: bounded in depth and size; a failure is -EILSEQ with a sentence.
 * - Functions that return an object give it to the caller, who puts it or hands it to its parent; NULL means no memory, and
 *   json_add() takes NULL for JSON null.
 */
#ifndef OPS_JSON_H
#define OPS_JSON_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/error.h"
#include "ops/text.h"

#define JSON_DEPTH_MAX 32
#define JSON_SIZE_MAX (16u << 20)

struct json_object *json_text(const struct text *t);
struct json_object *json_bytes(const char *bytes, size_t len); /* as json_text() */
struct json_object *json_string(const char *s);
struct json_object *json_double(double d); /* JSON null when it is no finite number */

/* Sets object[key] to `value`, which it takes in any case. 0 or -ENOMEM. */
int json_add(struct json_object *object, const char *key, struct json_object *value);

/* Writes d's shortest form, as Python's repr() does ("nan", "inf" included), into buffer (at least 32 bytes) and returns it. */
char *json_format_double(double d, char buffer[32]);

/* Parses one JSON value of `len` bytes (RFC 8259). *ret_object is the caller's (NULL for JSON null); of equal keys the last one counts; an integer beyond those of 64 bits is the last of them, and a double keeps its digits. A NUL in a key becomes U+001A. -EILSEQ when
   it is none, too deep or too large; -ENOMEM: never is anything left out. */
int json_parse(const char *bytes, size_t len, struct json_object **ret_object, struct error *e);

/* The document as the mount shows it: indented by two spaces, one trailing newline. *ret_text is the caller's. 0 or -ENOMEM. */
int json_render(struct json_object *object, struct text *ret_text);

#endif
