/*
 * What the kernels of escape.c share. Bytes are of three kinds: those that stand for themselves, those that become a pair (\ and a letter), and odd ones, which
 * become \uXXXX or are part of a character that does. The loops differ in how they pass over what is not odd.
 */
#ifndef OPS_WAL_ESCAPE_KERNELS_H
#define OPS_WAL_ESCAPE_KERNELS_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum escape_kind { ESCAPE_NONE, ESCAPE_PAIR, ESCAPE_ODD };
extern const uint8_t escape_kinds[256];

/* The letters of \b \t \n \f \r at the places of these characters. */
#define ESCAPE_LETTERS 0, 0, 0, 0, 0, 0, 0, 0, 'b', 't', 'n', 0, 'f', 'r', 0, 0

static inline bool escape_continues(unsigned char c)
{
        return (c & 0xc0) == 0x80;
}

#define escape_rarely(condition) __builtin_expect((condition), 0)

/* The character at `p`, of which there is one byte at least: its length in bytes, and what it is; 0 when it is no UTF-8. What hardly ever happens is branched upon:
   the next character's place is then predicted, and not waited for. */
static inline size_t escape_decode(const unsigned char *p, size_t len, uint32_t *ret)
{
        uint32_t lead = p[0];
        *ret = lead;
        if (lead < 0x80)
                return 1;
        if (escape_rarely(lead < 0xc2 || len < 2 || !escape_continues(p[1])))
                return 0;
        *ret = (lead & 0x1f) << 6 | (p[1] & 0x3fu);
        if (lead < 0xe0)
                return 2;
        if (escape_rarely(len < 3 || !escape_continues(p[2])))
                return 0;
        if (escape_rarely(lead == 0xe0 && p[1] < 0xa0) || escape_rarely(lead == 0xed && p[1] > 0x9f)) /* overlong; a surrogate */
                return 0;
        *ret = (lead & 0x0f) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
        if (lead < 0xf0)
                return 3;
        if (escape_rarely(lead > 0xf4 || len < 4 || !escape_continues(p[3])))
                return 0;
        *ret = (lead & 0x07) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
        return escape_rarely(*ret < 0x10000 || *ret > 0x10ffff) ? 0 : 4;
}

/* \uXXXX */
static inline char *escape_unit(uint32_t unit, char *ret)
{
        uint32_t nibbles = (unit & 0xf) << 24 | (unit & 0xf0) << 12 | (unit & 0xf00) | unit >> 12; /* the first one lowest */
        uint32_t letters = (nibbles + 0x06060606) >> 4 & 0x01010101;
        uint32_t digits = htole32(nibbles + 0x30303030 + letters * ('a' - '0' - 10));
        memcpy(ret, "\\u", 2);
        memcpy(ret + 2, &digits, 4);
        return ret + 6;
}

/* Both pass over odd bytes, up to the first that is none, and return how many they were. */
static inline size_t escape_odd_length(const unsigned char *bytes, size_t len, size_t *ret_length)
{
        size_t done = 0;
        while (done < len && escape_kinds[bytes[done]] == ESCAPE_ODD) {
                uint32_t c;
                size_t n = escape_decode(bytes + done, len - done, &c);
                *ret_length += n == 4 ? 12 : 6;
                done += n != 0 ? n : 1;
        }
        return done;
}

static inline size_t escape_odd_write(const unsigned char *bytes, size_t len, char **out)
{
        char *ret = *out;
        size_t done = 0;
        while (done < len && escape_kinds[bytes[done]] == ESCAPE_ODD) {
                uint32_t c;
                size_t n = escape_decode(bytes + done, len - done, &c);
                if (n == 0)
                        c = 0xdc00u + bytes[done];
                if (n == 4) {
                        ret = escape_unit(0xd800 + ((c - 0x10000) >> 10), ret);
                        c = 0xdc00 + (c & 0x3ff);
                }
                ret = escape_unit(c, ret);
                done += n != 0 ? n : 1;
        }
        *out = ret;
        return done;
}

/* The kernels. They read no byte beyond those given, and write none beyond what they return. */
size_t escape_length_plain(const unsigned char *bytes, size_t len);
size_t escape_length_avx2(const unsigned char *bytes, size_t len);
size_t escape_length_avx512(const unsigned char *bytes, size_t len);
char *escape_text_plain(const unsigned char *bytes, size_t len, char *ret);
char *escape_text_avx2(const unsigned char *bytes, size_t len, char *ret);
char *escape_text_avx512(const unsigned char *bytes, size_t len, char *ret);

#endif
