#include "ops/pickle_scalars.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <xxhash.h>

int pickle_op_none(struct pickle_machine *m)
{
        return pickle_push(m, PICKLE_NONE, 0);
}

int pickle_op_newtrue(struct pickle_machine *m)
{
        return pickle_push(m, PICKLE_BOOL, 1);
}

int pickle_op_newfalse(struct pickle_machine *m)
{
        return pickle_push(m, PICKLE_BOOL, 0);
}

static int push_uint(struct pickle_machine *m, size_t width)
{
        uint64_t value;
        int r = pickle_take_uint(m, width, &value);
        return r < 0 ? r : pickle_push(m, PICKLE_INTEGER, value);
}

int pickle_op_binint1(struct pickle_machine *m)
{
        return push_uint(m, 1);
}

int pickle_op_binint2(struct pickle_machine *m)
{
        return push_uint(m, 2);
}

int pickle_op_binint(struct pickle_machine *m)
{
        uint64_t value;
        int r = pickle_take_uint(m, 4, &value);
        if (r < 0)
                return r;
        return value > INT32_MAX ? pickle_push(m, PICKLE_OUT_OF_RANGE, 0) : pickle_push(m, PICKLE_INTEGER, value);
}

/* Two's complement of any length, little-endian; no bytes at all are 0. */
static int push_long(struct pickle_machine *m, size_t length_width)
{
        uint64_t n;
        int r = pickle_take_uint(m, length_width, &n);
        if (r < 0)
                return r;
        const unsigned char *p = pickle_take(m, n);
        if (p == NULL)
                return -EILSEQ;
        if (n > 0 && (p[n - 1] & 0x80) != 0)
                return pickle_push(m, PICKLE_OUT_OF_RANGE, 0);
        uint64_t value = 0;
        memcpy(&value, p, n < 8 ? n : 8);
        for (size_t i = 8; i < n; i++)
                if (p[i] != 0)
                        return pickle_push(m, PICKLE_OUT_OF_RANGE, 0);
        return pickle_push(m, PICKLE_INTEGER, le64toh(value));
}

int pickle_op_long1(struct pickle_machine *m)
{
        return push_long(m, 1);
}

int pickle_op_long4(struct pickle_machine *m)
{
        return push_long(m, 4);
}

/* The hash is made here, once for each string in the file and not for each use of it, so that its cost is that of reading the file. */
static int push_string(struct pickle_machine *m, size_t length_width)
{
        uint64_t n;
        int r = pickle_take_uint(m, length_width, &n);
        if (r < 0)
                return r;
        const unsigned char *p = pickle_take(m, n);
        if (p == NULL)
                return -EILSEQ;
        struct pickle_value value = { .kind = PICKLE_STRING, .at = (uint32_t) (p - m->bytes) };
        value.string.len = (uint32_t) n;
        value.string.hash = (uint32_t) XXH3_64bits(p, (size_t) n);
        return pickle_append(m, &m->stack, value);
}

int pickle_op_short_binunicode(struct pickle_machine *m)
{
        return push_string(m, 1);
}

int pickle_op_binunicode(struct pickle_machine *m)
{
        return push_string(m, 4);
}

int pickle_op_binunicode8(struct pickle_machine *m)
{
        return push_string(m, 8);
}
