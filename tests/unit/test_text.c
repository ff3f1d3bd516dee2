#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/text.h"

static struct text of(const char *bytes, size_t len)
{
        return (struct text){ (char *) (uintptr_t) bytes, len };
}

static void test_copy(void **state)
{
        (void) state;
        struct text t;
        assert_int_equal(text_copy(&t, "a\0b", 3), 0);
        assert_int_equal(t.len, 3);
        assert_memory_equal(t.bytes, "a\0b", 4);
        free(t.bytes);
        assert_int_equal(text_copy(&t, NULL, 0), 0);
        assert_int_equal(t.len, 0);
        assert_string_equal(t.bytes, "");
        free(t.bytes);
}

static void test_compare(void **state)
{
        (void) state;
        static const struct {
                const char *a;
                size_t a_len;
                const char *b;
                size_t b_len;
                int order;
        } cases[] = {
                { "", 0, "", 0, 0 },       { "a", 1, "a", 1, 0 },    { "a", 1, "b", 1, -1 },       { "a", 1, "ab", 2, -1 },
                { "b", 1, "ab", 2, 1 },    { "\xff", 1, "a", 1, 1 }, { "a\0b", 3, "a\0c", 3, -1 }, { "a", 1, "a\0", 2, -1 },
                { "a\0", 2, "a\0", 2, 0 }, { "", 0, "\0", 1, -1 },
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct text a = of(cases[i].a, cases[i].a_len), b = of(cases[i].b, cases[i].b_len);
                int order = text_compare(&a, &b), back = text_compare(&b, &a);
                assert_int_equal((order > 0) - (order < 0), cases[i].order);
                assert_int_equal((back > 0) - (back < 0), -cases[i].order);
                assert_int_equal(text_equal(&a, &b), cases[i].order == 0);
        }
}

static void test_is(void **state)
{
        (void) state;
        struct text t = of("VECTOR", 6), cut = of("VECTOR", 5), nul = of("VECTOR\0", 7);
        assert_true(text_is(&t, "VECTOR"));
        assert_false(text_is(&cut, "VECTOR"));
        assert_false(text_is(&nul, "VECTOR"));
        assert_false(text_is(&t, "VECTORS"));
}

static void test_utf8(void **state)
{
        (void) state;
        static const struct {
                const char *bytes;
                size_t len, sequence;
        } cases[] = {
                { "", 0, 0 },
                { "a", 1, 1 },
                { "\0", 1, 1 },
                { "\x7f", 1, 1 },
                { "\xc3\xa4", 2, 2 },
                { "\xe2\x82\xac", 3, 3 },
                { "\xf0\x9f\xa6\x84", 4, 4 },
                { "\xed\x9f\xbf", 3, 3 },     /* U+D7FF */
                { "\xee\x80\x80", 3, 3 },     /* U+E000 */
                { "\xf4\x8f\xbf\xbf", 4, 4 }, /* U+10FFFF */
                { "\x80", 1, 0 },             /* continuation alone */
                { "\xc0\x80", 2, 0 },         /* overlong */
                { "\xc1\xbf", 2, 0 },
                { "\xe0\x9f\xbf", 3, 0 },
                { "\xf0\x8f\xbf\xbf", 4, 0 },
                { "\xed\xa0\x80", 3, 0 },     /* surrogate */
                { "\xf4\x90\x80\x80", 4, 0 }, /* beyond U+10FFFF */
                { "\xf5\x80\x80\x80", 4, 0 },
                { "\xff", 1, 0 },
                { "\xc3", 1, 0 }, /* cut */
                { "\xe2\x82", 2, 0 },
                { "\xf0\x9f\xa6", 3, 0 },
                { "\xe2\x28\xac", 3, 0 }, /* no continuation */
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                assert_int_equal(utf8_sequence((const unsigned char *) cases[i].bytes, cases[i].len), cases[i].sequence);
                assert_int_equal(utf8_valid(cases[i].bytes, cases[i].len), cases[i].sequence == cases[i].len);
        }
        assert_true(utf8_valid("a\xc3\xa4\xf0\x9f\xa6\x84z", 8));
        assert_false(utf8_valid("a\xc3\xa4\xf0\x9f\xa6z", 7));
}

static void test_uuid(void **state)
{
        (void) state;
        assert_true(uuid_valid("01234567-89ab-cdef-0123-456789abcdef"));
        static const char *const bad[] = {
                "",
                "01234567-89AB-cdef-0123-456789abcdef",
                "01234567-89ab-cdef-0123-456789abcde",
                "01234567-89ab-cdef-0123-456789abcdef0",
                "0123456789ab-cdef-0123-456789abcdef--",
                "01234567-89ab-cdef-0123-456789abcdeg",
                "01234567_89ab-cdef-0123-456789abcdef",
                "../../../../etc/passwd-0123-456789abc",
                "--------------------------------------",
        };
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                assert_false(uuid_valid(bad[i]));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_copy), cmocka_unit_test(test_compare), cmocka_unit_test(test_is),
                cmocka_unit_test(test_utf8), cmocka_unit_test(test_uuid),
        };
        return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
