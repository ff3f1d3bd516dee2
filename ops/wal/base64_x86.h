/*
 * The kernels of base64.c for x86-64. They read no byte beyond those given, and write no character beyond those of what they encode.
 */
#ifndef OPS_WAL_BASE64_X86_H
#define OPS_WAL_BASE64_X86_H

#include <stddef.h>

/* Encodes groups of three bytes from the beginning, as many as it can; returns how many bytes that were. */
size_t base64_groups_avx2(const unsigned char *bytes, size_t len, char *ret);

/* Encodes all. Padding is the caller's business. */
void base64_groups_avx512(const unsigned char *bytes, size_t len, char *ret);

#endif
