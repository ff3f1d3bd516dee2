#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/wal/base64.h"
#include "ops/wal/kernels.h"

static const struct {
        const char *bytes, *expected;
} from_rfc[] = {
        { "", "" },
        { "f", "Zg==" },
        { "f\157", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xfb\xff\xbf", "+/+/" },
};

/* Bit by bit. */
static void expect(const unsigned char *bytes, size_t len, char *ret)
{
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (size_t i = 0; i < base64_length(len); i++) {
                unsigned sextet = 0;
                for (size_t bit = 6 * i; bit < 6 * i + 6; bit++)
                        sextet = sextet * 2 + (bit / 8 < len ? (unsigned) bytes[bit / 8] >> (7 - bit % 8) & 1 : 0);
                ret[i] = 6 * i < 8 * len ? alphabet[sextet] : '=';
        }
}

/* Both buffers end where their allocations do, so that AddressSanitizer sees a byte too much; marks in front see one too few. */
static void check_at(enum kernel kernel, const unsigned char *bytes, size_t len, size_t offset)
{
        enum { MARK = 0x55, MARKS = 64 };
        char expected[512], *out = malloc(MARKS + offset + base64_length(len)), *ret = out + MARKS + offset;
        unsigned char *in = malloc(offset + len + (offset + len == 0));
        assert_non_null(in);
        assert_non_null(out);
        memset(out, MARK, MARKS + offset + base64_length(len));
        if (len > 0)
                memcpy(in + offset, bytes, len);
        expect(bytes, len, expected);
        assert_ptr_equal(base64_encode_with(kernel, in + offset, len, ret), ret + base64_length(len));
        assert_memory_equal(ret, expected, base64_length(len));
        for (size_t i = 0; i < MARKS + offset; i++)
                assert_int_equal(out[i], MARK);
        free(in);
        free(out);
}

/* Without AddressSanitizer: what stands behind the output stays. */
static void check_behind(enum kernel kernel, const unsigned char *bytes, size_t len)
{
        enum { MARK = 0x55, MARKS = 64 };
        char out[512 + MARKS];
        memset(out, MARK, sizeof out);
        base64_encode_with(kernel, bytes, len, out);
        for (size_t i = base64_length(len); i < sizeof out; i++)
                assert_int_equal(out[i], MARK);
}

static void check(const unsigned char *bytes, size_t len, size_t offset)
{
        for (int k = 0; k < KERNELS; k++)
                if (kernel_usable((enum kernel) k)) {
                        check_at((enum kernel) k, bytes, len, offset);
                        check_behind((enum kernel) k, bytes, len);
                }
}

static void test_rfc(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof from_rfc / sizeof from_rfc[0]; i++) {
                char out[16];
                size_t len = strlen(from_rfc[i].bytes), length = strlen(from_rfc[i].expected);
                assert_int_equal(base64_length(len), length);
                assert_ptr_equal(base64_encode(from_rfc[i].bytes, len, out), out + length);
                assert_memory_equal(out, from_rfc[i].expected, length);
                check((const unsigned char *) from_rfc[i].bytes, len, 0);
        }
}

static void fill_random(unsigned char *bytes, size_t len, uint64_t seed)
{
        for (size_t i = 0; i < len; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                bytes[i] = (unsigned char) (seed >> 56);
        }
}

static void test_lengths(void **state)
{
        (void) state;
        for (size_t len = 0; len <= 300; len++)
                for (size_t offset = 0; offset < 64; offset += 1 + len % 5) {
                        unsigned char bytes[300];
                        fill_random(bytes, len, len * 64 + offset);
                        check(bytes, len, offset);
                }
}

/* Every value of a byte at every place of a block. */
static void test_bytes(void **state)
{
        (void) state;
        for (unsigned value = 0; value < 256; value++) {
                unsigned char bytes[99];
                for (size_t i = 0; i < sizeof bytes; i++)
                        bytes[i] = (unsigned char) (value + i * 85);
                check(bytes, sizeof bytes, 0);
                memset(bytes, (int) value, sizeof bytes);
                check(bytes, sizeof bytes, 0);
        }
}

/* Every twelve bits: the plain table's entries. */
static void test_twelve_bits(void **state)
{
        (void) state;
        for (unsigned bits = 0; bits < 4096; bits++) {
                unsigned char bytes[9];
                for (size_t i = 0; i < 9; i += 3) {
                        bytes[i] = (unsigned char) (bits >> 4);
                        bytes[i + 1] = (unsigned char) (bits << 4 | bits >> 8);
                        bytes[i + 2] = (unsigned char) bits;
                }
                check(bytes, sizeof bytes, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rfc),
                cmocka_unit_test(test_lengths),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_twelve_bits),
        };
        return cmocka_run_group_tests_name("wal_base64", tests, NULL, NULL);
}
