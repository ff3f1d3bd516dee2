/*
 * How the library's JSON writes a string: the part that json.c (values) and json_render.c (keys) share.
 */
#ifndef OPS_JSON_ESCAPE_H
#define OPS_JSON_ESCAPE_H

#include <json-c/printbuf.h>
#include <stddef.h>

/* Appends the string with its quotes: control characters, '"' and '\' escaped, bytes that are no UTF-8 as \udcNN. 0 or -ENOMEM. */
int json_escape(struct printbuf *out, const char *bytes, size_t len);

#endif
