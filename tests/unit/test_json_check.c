/* json_check: what is JSON, and what strings mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/json.h"
#include "ops/json_check.h"

static int check(const char *bytes, size_t len)
{
        struct error e;
        char *copy = malloc(len + 1); /* as long as it says, for sanitizers */
        assert_non_null(copy);
        memcpy(copy, bytes, len);
        copy[len] = '\0';
        int r = json_check(&(struct text){ copy, len }, &e);
        free(copy);
        return r;
}

static void test_good(void **state)
{
        static const char *const texts[] = {
                "null",
                " true ",
                "false\n",
                "0",
                "-0",
                "10",
                "1.5e+10",
                "-1E5",
                "0.1",
                "\"\"",
                "\"a\xff\"",
                "\"\\u00e9\"",
                "[]",
                "[ ]",
                "{}",
                "{ }",
                "[1,[],{}]",
                "[[[]]]",
                "{\"a\":1}",
                "\t[ null ,\r\n0 ]",
                "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                "{\"a\" : [ {\"b\":{}} , \"c\" ] , \"a\":-1}",
        };
        (void) state;
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
                assert_int_equal(check(texts[i], strlen(texts[i])), 0);
}

static void test_bad(void **state)
{
        static const char *const texts[] = {
                "",          " ",           "nul",    "nullx",   "True",     "NaN",   "-",     "01",         "+1",
                ".5",        "1.",          "1e",     "1e+",     "0x1",      "\"",    "\"a",   "\"\\",       "\"\\x\"",
                "\"\\u12\"", "\"\\u12g4\"", "\"\n\"", "[",       "[1",       "[1,",   "[1,]",  "[,]",        "[1 2]",
                "]",         "{",           "{\"a\"", "{\"a\":", "{\"a\":1", "{a:1}", "{1:1}", "{\"a\":1,}", "{,}",
                "{\"a\",1}", "{\"a\":1]",   "[1}",    "{} {}",   "1 1",      "'a'",   "/**/1",
        };
        (void) state;
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
                assert_int_equal(check(texts[i], strlen(texts[i])), -EILSEQ);
        assert_int_equal(check("1\0", 2), -EILSEQ);
        assert_int_equal(check("\"\\\0\"", 4), -EILSEQ);
        assert_int_equal(check("1\0"
                               "5",
                               3),
                         -EILSEQ);
}

static void test_depth(void **state)
{
        char text[2 * JSON_DEPTH_MAX + 3];
        (void) state;
        for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
                memset(text, '[', depth);
                memset(text + depth, ']', depth);
                assert_int_equal(check(text, 2 * depth), depth <= JSON_DEPTH_MAX ? 0 : -EILSEQ);
        }
}

/* What it takes json-c takes, too: what is written by the one is read by the other. */
static void test_json_c_takes_it(void **state)
{
        static const char seed_text[] = "{\"a\\u0041\":[1,-2.5e3,true,null,{\"b\":\"c\\n\"}],\"d\":{},\"e\":[[]]}";
        static const char letters[] = "{}[]:,\"\\u0159eE.+- tfn";
        uint32_t random = 1;
        size_t taken = 0;
        (void) state;
        for (int i = 0; i < 200000; i++) {
                char text[sizeof seed_text];
                struct json_object *object = NULL;
                memcpy(text, seed_text, sizeof text);
                for (int j = 0; j < 1 + i % 3; j++) {
                        random = random * 1664525 + 1013904223;
                        text[(random >> 8) % (sizeof text - 1)] = letters[(random >> 20) % (sizeof letters - 1)];
                }
                if (check(text, sizeof text - 1) < 0)
                        continue;
                taken++;
                if (json_parse(text, sizeof text - 1, &object, NULL) < 0)
                        fail_msg("%s", text);
                json_object_put(object);
        }
        assert_true(taken > 1000);
}

static void means(const char *written, const char *expected, size_t len)
{
        struct text ret, t = { (char *) (uintptr_t) written, strlen(written) };
        assert_int_equal(json_unescape(&t, &ret), 0);
        assert_int_equal(ret.len, len);
        assert_memory_equal(ret.bytes, expected, len + 1);
        free(ret.bytes);
}

static void test_strings(void **state)
{
        (void) state;
        means("", "", 0);
        means("plain \xc3\xa9\xff", "plain \xc3\xa9\xff", 9);
        means("\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 8);
        means("\\u0041\\u00e9\\u20AC", "A\xc3\xa9\xe2\x82\xac", 6);
        means("a\\u0000b", "a\0b", 3);
        means("\\ud83d\\ude00", "\xf0\x9f\x98\x80", 4);
        means("\\ud83dx", "\xef\xbf\xbdx", 4);
        means("\\ude00\\ud83d", "\xef\xbf\xbd\xef\xbf\xbd", 6);
        means("\\ud83d\\u0041",
              "\xef\xbf\xbd"
              "A",
              4);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),    cmocka_unit_test(test_bad),
                cmocka_unit_test(test_depth),   cmocka_unit_test(test_json_c_takes_it),
                cmocka_unit_test(test_strings),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
