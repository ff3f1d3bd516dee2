/*
 * The inside of a JSON string as Python's json.dumps writes it with its defaults: ASCII only, `\" \\ \n \r \t \b \f`, everything else outside ' ' to '~'
 * as \uXXXX with lower-case digits (a pair of them beyond U+FFFF), and a byte that is no UTF-8 as \udcNN.
 */
#ifndef OPS_WAL_ESCAPE_H
#define OPS_WAL_ESCAPE_H

#include <stddef.h>

/* Bytes that escape_text() writes for these. */
size_t escape_length(const char *bytes, size_t len);

/* Writes exactly that many, no quotes, no NUL; returns what is behind the last. */
char *escape_text(const char *bytes, size_t len, char *ret);

/* `at`, or the beginning of the UTF-8 sequence that a cut there would divide: bytes[0] to bytes[len - 1] are those around it, as many as there are
   up to 3 on either side, or more. */
size_t escape_boundary(const char *bytes, size_t len, size_t at);

#endif
