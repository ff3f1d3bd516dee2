/*
 * Base64 (RFC 4648, with padding), with the widest instructions that the machine has.
 */
#ifndef OPS_WAL_BASE64_H
#define OPS_WAL_BASE64_H

#include <stddef.h>

/* Bytes of base64 of `len` bytes. */
static inline size_t base64_length(size_t len)
{
        return (len + 2) / 3 * 4;
}

/* Writes base64_length(len) characters, no NUL, not a byte more; returns what is behind the last. */
char *base64_encode(const void *bytes, size_t len, char *ret);

#endif
