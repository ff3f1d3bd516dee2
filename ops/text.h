/*
 * Text as SQLite and pickles give it: bytes with a length, which may hold NUL and invalid UTF-8.
 * `bytes` is always NUL-terminated behind `len`, and never NULL in an initialised text, so that it can be printed for a person.
 */
#ifndef OPS_TEXT_H
#define OPS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
        char *bytes;
        size_t len;
};

/* Copies `len` bytes; returns 0 or -ENOMEM. The caller frees ret->bytes. */
int text_copy(struct text *ret, const void *bytes, size_t len);

bool text_equal(const struct text *a, const struct text *b);
bool text_is(const struct text *a, const char *literal);

/* Byte order, then length; for qsort of things that hold texts. */
int text_compare(const struct text *a, const struct text *b);

/* Length in bytes (1 to 4) of the valid UTF-8 sequence at `bytes`, 0 when there is none (overlong, surrogate, cut, beyond U+10FFFF). */
size_t utf8_sequence(const unsigned char *bytes, size_t len);
bool utf8_valid(const void *bytes, size_t len);

/* True for exactly 36 characters of lower-case hyphenated UUID text, and NUL behind them. Only such ids are used as file names. */
bool uuid_valid(const char *text);

#endif
