#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/json.h"

/* Renders and puts `object`, and compares. */
static void check_render(struct json_object *object, const char *expected)
{
        struct text t;
        assert_int_equal(json_render(object, &t), 0);
        assert_string_equal(t.bytes, expected);
        assert_int_equal(t.len, strlen(expected));
        free(t.bytes);
        json_object_put(object);
}

static void test_text(void **state)
{
        (void) state;
        static const struct {
                const char *bytes;
                size_t len;
                const char *expected;
        } cases[] = {
                { "", 0, "\"\"\n" },
                { "plain /path", 11, "\"plain /path\"\n" },
                { "\"\\", 2, "\"\\\"\\\\\"\n" },
                { "\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"\n" },
                { "\x01\x1f\x7f", 3, "\"\\u0001\\u001f\x7f\"\n" },
                { "a\0b", 3, "\"a\\u0000b\"\n" },
                { "\xc3\xa4\xf0\x9f\xa6\x84", 6, "\"\xc3\xa4\xf0\x9f\xa6\x84\"\n" },
                { "\xff", 1, "\"\\udcff\"\n" },
                { "a\x80\"\0\n/\xc3", 7, "\"a\\udc80\\\"\\u0000\\n/\\udcc3\"\n" },
                { "\xed\xa0\x80", 3, "\"\\udced\\udca0\\udc80\"\n" },
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct text t = { (char *) (uintptr_t) cases[i].bytes, cases[i].len };
                check_render(json_text(&t), cases[i].expected);
        }
        check_render(json_string("x\xfe"), "\"x\\udcfe\"\n");
}

static void test_double(void **state)
{
        (void) state;
        static const struct {
                double d;
                const char *expected;
        } cases[] = {
                { 0.0, "0.0" },
                { -0.0, "-0.0" },
                { 1.0, "1.0" },
                { -1.5, "-1.5" },
                { 0.1, "0.1" },
                { 0.30000000000000004, "0.30000000000000004" },
                { 100.0, "100.0" },
                { 123456789.125, "123456789.125" },
                { 0.0001, "0.0001" },
                { 0.00012, "0.00012" },
                { 1e-05, "1e-05" },
                { 1.25e-7, "1.25e-07" },
                { 1e15, "1000000000000000.0" },
                { 9999999999999998.0, "9999999999999998.0" },
                { 1e16, "1e+16" },
                { 1.5e300, "1.5e+300" },
                { 5e-324, "5e-324" },
                { 1.7976931348623157e308, "1.7976931348623157e+308" },
                { -2.2250738585072014e-308, "-2.2250738585072014e-308" },
                { 0x1p-44, "5.684341886080802e-14" },
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                char buffer[32], line[40];
                assert_string_equal(json_format_double(cases[i].d, buffer), cases[i].expected);
                (void) snprintf(line, sizeof line, "%s\n", cases[i].expected);
                check_render(json_double(cases[i].d), line);
        }
        check_render(json_double(NAN), "null\n");
        check_render(json_double(INFINITY), "null\n");
        check_render(json_double(-INFINITY), "null\n");
}

/* Every bit pattern's form reads back as the same double. */
static void test_double_round_trip(void **state)
{
        (void) state;
        uint64_t x = 1;
        for (int i = 0; i < 20000; i++) {
                double d;
                char buffer[32];
                x = x * 6364136223846793005u + 1442695040888963407u;
                memcpy(&d, &x, sizeof d);
                if (!isfinite(d))
                        continue;
                double back = strtod(json_format_double(d, buffer), NULL);
                assert_memory_equal(&back, &d, sizeof d);
                assert_true(strlen(buffer) < sizeof buffer);
        }
}

static struct json_object *parsed(const char *bytes)
{
        struct json_object *object = NULL;
        struct error e = { 0 };
        if (json_parse(bytes, strlen(bytes), &object, &e) < 0)
                fail_msg("%s", e.text);
        return object;
}

static void test_render(void **state)
{
        (void) state;
        check_render(NULL, "null\n");
        check_render(parsed("[]"), "[]\n");
        check_render(parsed("{}"), "{}\n");
        check_render(parsed("[[],{}]"), "[\n  [],\n  {}\n]\n");
        check_render(parsed("{\"a\":[1,true,null],\"b\":{\"c\":0.5}}"),
                     "{\n  \"a\": [\n    1,\n    true,\n    null\n  ],\n  \"b\": {\n    \"c\": 0.5\n  }\n}\n");
        struct json_object *object = json_object_new_object();
        assert_int_equal(json_add(object, "k\xff\"/", json_string("v")), 0);
        assert_int_equal(json_add(object, "n", NULL), 0);
        check_render(object, "{\n  \"k\\udcff\\\"/\": \"v\",\n  \"n\": null\n}\n");
}

static void test_parse_good(void **state)
{
        (void) state;
        static const char *const good[] = { "123",    " {\"a\": 1}\n",        "\"x\"",        "true",
                                            "-1.5e3", "99999999999999999999", "[\"\\u0000\"]" };
        for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
                json_object_put(parsed(good[i]));
        json_object_put(parsed("{\"'a'\":\"\\\"'\\\\\"}"));
        struct json_object *object = json_object_new_object(), *before = object;
        assert_int_equal(json_parse("null", 4, &object, NULL), 0);
        assert_null(object);
        json_object_put(before);
}

/* Which json-c's own parser gives back as another. */
static void test_parse_values(void **state)
{
        (void) state;
        check_render(parsed("{\"a\\u0000b\":1,\"a\":2}"), "{\n  \"a\\u001ab\": 1,\n  \"a\": 2\n}\n");
        check_render(parsed("{\"a\":1,\"b\":null,\"a\":[2]}"), "{\n  \"a\": [\n    2\n  ],\n  \"b\": null\n}\n");
        check_render(parsed("[\"a\\u0000b\",\"\\ud83e\\udd84\"]"), "[\n  \"a\\u0000b\",\n  \"\xf0\x9f\xa6\x84\"\n]\n");
        check_render(parsed("[9223372036854775807,18446744073709551615,-9223372036854775808]"),
                     "[\n  9223372036854775807,\n  18446744073709551615,\n  -9223372036854775808\n]\n");
        check_render(parsed("[18446744073709551616,-9223372036854775809,1e999,1.50]"),
                     "[\n  18446744073709551615,\n  -9223372036854775808,\n  1e999,\n  1.50\n]\n");
        check_render(parsed("{\"a\":true,\"b\":{\"c\":[{}]},\"\":false}"),
                     "{\n  \"a\": true,\n  \"b\": {\n    \"c\": [\n      {}\n    ]\n  },\n  \"\": false\n}\n");
}

static void check_bad(const char *bytes, size_t len)
{
        struct json_object *object = (struct json_object *) &object;
        struct error e = { 0 };
        assert_int_equal(json_parse(bytes, len, &object, &e), -EILSEQ);
        assert_int_equal(e.code, -EILSEQ);
        assert_true(strlen(e.text) > 0);
        assert_ptr_equal(object, &object);
}

static void test_parse_bad(void **state)
{
        (void) state;
        static const char *const bad[] = { "",
                                           " ",
                                           "{",
                                           "[1,2",
                                           "[1,]",
                                           "{\"a\":1,}",
                                           "{\"a\" 1}",
                                           "[1] x",
                                           "1 2",
                                           "tru",
                                           "\"x",
                                           "01",
                                           "/* c */1",
                                           "\"\\q\"",
                                           "nope",
                                           "[1][2]",
                                           "}",
                                           "-",
                                           "{'a':1}",
                                           "NaN",
                                           "[-Infinity]",
                                           "{\"a'\":{\"\\\"\":1,'\"':2}}" };
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                check_bad(bad[i], strlen(bad[i]));
        check_bad("[1]\0", 4);
        check_bad("[1]\0[2]", 7);
        check_bad("[1\0]", 4);
        check_bad("1\0", 2);
}

static void test_parse_limits(void **state)
{
        (void) state;
        char deep[2 * JSON_DEPTH_MAX + 2];
        memset(deep, '[', JSON_DEPTH_MAX + 1);
        memset(deep + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
        check_bad(deep, sizeof deep);
        json_object_put(NULL);
        struct json_object *object = NULL;
        assert_int_equal(json_parse(deep + 2, sizeof deep - 4, &object, NULL), 0);
        json_object_put(object);

        size_t len = (size_t) JSON_SIZE_MAX + 1;
        char *large = malloc(len);
        assert_non_null(large);
        memset(large, ' ', len);
        large[0] = '1';
        check_bad(large, len);
        assert_int_equal(json_parse(large, len - 1, &object, NULL), 0);
        json_object_put(object);
        free(large);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),         cmocka_unit_test(test_double),       cmocka_unit_test(test_double_round_trip),
                cmocka_unit_test(test_render),       cmocka_unit_test(test_parse_good),   cmocka_unit_test(test_parse_bad),
                cmocka_unit_test(test_parse_limits), cmocka_unit_test(test_parse_values),
        };
        return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
