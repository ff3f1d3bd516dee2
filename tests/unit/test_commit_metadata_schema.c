/* commit_schema: what values add to a collection's schema_str. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/json.h"
#include "ops/commit/schema.h"

#define DEFAULTS                                                                                                                   \
        "{\"defaults\":{\"string\":{\"fts_index\":{\"enabled\":false,\"config\":{}},\"string_inverted_index\":{\"enabled\":true}}" \
        ","                                                                                                                        \
        "\"float_list\":{\"vector_index\":{\"config\":{\"resize_factor\":1.20}}},\"int\":{\"i\":1},\"float\":{\"f\":1e2},"         \
        "\"bool\":{\"b\":1}},"
#define STRING "\"string\":{\"fts_index\":{\"enabled\":false,\"config\":{}},\"string_inverted_index\":{\"enabled\":true}}"
#define INT "\"int\":{\"i\":1}"
#define FLOAT "\"float\":{\"f\":1e2}"
#define BOOL "\"bool\":{\"b\":1}"
#define OWN "\"#document\":{\"string\":{}},\"#embedding\":{\"float_list\":{}}"

static struct text text_at(const char *literal)
{
        return (struct text){ (char *) (uintptr_t) literal, strlen(literal) };
}

static void note(struct commit_schema *schema, const char *key, enum commit_value_type type)
{
        struct error e;
        struct commit_value value = { .key = text_at(key), .type = type };
        assert_int_equal(commit_schema_note(schema, &value, &e), 0);
}

static void note_array(struct commit_schema *schema, const char *key, enum commit_value_type type)
{
        struct error e;
        struct commit_value item = { .type = type };
        struct commit_value value = {
                .key = text_at(key), .type = COMMIT_ARRAY, .items = &item, .item_count = type != COMMIT_NULL
        };
        assert_int_equal(commit_schema_note(schema, &value, &e), 0);
}

static void becomes(const struct commit_schema *schema, const char *before, const char *after)
{
        struct error e;
        struct text json = text_at(before), ret = { NULL, 0 };
        int r = commit_schema_extend(schema, &json, &ret, &e);
        assert_int_equal(r, after != NULL);
        if (after != NULL)
                assert_string_equal(ret.bytes, after);
        assert_int_equal(ret.len, after == NULL ? 0 : strlen(after));
        free(ret.bytes);
}

static void test_keys_of_each_type(void **state)
{
        struct commit_schema *schema = commit_schema_new();
        (void) state;
        note(schema, "s", COMMIT_STRING);
        note(schema, "i", COMMIT_INT);
        note(schema, "f", COMMIT_FLOAT);
        note(schema, "b", COMMIT_BOOL);
        note(schema, "n", COMMIT_NULL);
        becomes(schema, DEFAULTS "\"keys\":{" OWN "}}",
                DEFAULTS "\"keys\":{\"s\":{" STRING "},\"i\":{" INT "},\"f\":{" FLOAT "},\"b\":{" BOOL "}," OWN "}}");
        (void) commit_schema_free(schema);
}

static void test_arrays_count_as_their_elements(void **state)
{
        struct commit_schema *schema = commit_schema_new();
        (void) state;
        note_array(schema, "s", COMMIT_STRING);
        note_array(schema, "f", COMMIT_FLOAT);
        note_array(schema, "empty", COMMIT_NULL);
        note(schema, "s", COMMIT_INT);
        becomes(schema, DEFAULTS "\"keys\": { } }",
                DEFAULTS "\"keys\": {\"s\":{" STRING "," INT "},\"f\":{" FLOAT "},\"empty\":{" BOOL "} } }");
        (void) commit_schema_free(schema);
}

static void test_a_known_key_gets_the_types_that_it_lacks(void **state)
{
        struct commit_schema *schema = commit_schema_new();
        (void) state;
        note(schema, "i", COMMIT_INT);
        note(schema, "k", COMMIT_INT);
        note(schema, "k", COMMIT_BOOL);
        note(schema, "k", COMMIT_STRING);
        note(schema, "empty", COMMIT_FLOAT);
        note(schema, "empty", COMMIT_INT);
        becomes(schema, DEFAULTS "\"keys\":{\"i\":{\"int\":{\"own\":0}},\"k\":{\"#bool\":{}, \"string\" : null},\"empty\":{}}}",
                DEFAULTS "\"keys\":{\"i\":{\"int\":{\"own\":0}},\"k\":{" INT ",\"#bool\":{}, \"string\" : {\"fts_index\":"
                         "{\"enabled\":false,\"config\":{}},\"string_inverted_index\":{\"enabled\":true}}},\"empty\":{" INT
                         "," FLOAT "}}}");
        (void) commit_schema_free(schema);
}

static void test_nothing_new(void **state)
{
        struct commit_schema *schema = commit_schema_new();
        (void) state;
        becomes(schema, DEFAULTS "\"keys\":{}}", NULL);
        note(schema, "k", COMMIT_INT);
        note(schema, "n", COMMIT_NULL);
        note(schema, "chroma:uri", COMMIT_STRING);
        note(schema, "chroma:", COMMIT_STRING);
        becomes(schema, DEFAULTS "\"keys\":{\"k\":{\"int\":{}}}}", NULL);
        (void) commit_schema_free(schema);
}

static void test_the_older_spelling(void **state)
{
        struct commit_schema *schema = commit_schema_new();
        (void) state;
        note(schema, "chroma", COMMIT_INT);
        note(schema, "k", COMMIT_INT);
        becomes(schema, "{\"key_overrides\":{\"k\":{\"#int\":null}},\"defaults\":{\"#int\":{\"x\":\"a/b\"}}}",
                "{\"key_overrides\":{\"chroma\":{\"int\":{\"x\":\"a/b\"}},\"k\":{\"#int\":{\"x\":\"a/"
                "b\"}}},\"defaults\":{\"#int\":{\"x\":"
                "\"a/b\"}}}");
        (void) commit_schema_free(schema);
}

/* As Chroma's code does it: the key is there then, with nothing in it. */
static void test_a_type_without_defaults(void **state)
{
        struct commit_schema *schema = commit_schema_new();
        (void) state;
        note(schema, "new", COMMIT_INT);
        note(schema, "known", COMMIT_INT);
        becomes(schema, "{\"defaults\":{\"int\":null},\"keys\":{\"known\":{}}}",
                "{\"defaults\":{\"int\":null},\"keys\":{\"new\":{},\"known\":{}}}");
        (void) commit_schema_free(schema);
}

static void test_names_are_escaped(void **state)
{
        static const char named[] = "q\"\\\n\x01\xc3\xa9";
        struct commit_schema *schema = commit_schema_new();
        struct commit_value nul = { .key = { (char *) (uintptr_t) "a\0b", 3 }, .type = COMMIT_INT };
        struct error e;
        (void) state;
        note(schema, named, COMMIT_INT);
        note(schema, "", COMMIT_BOOL);
        note(schema, "no\xff", COMMIT_INT);
        assert_int_equal(commit_schema_note(schema, &nul, &e), 0);
        becomes(schema, DEFAULTS "\"keys\":{}}", DEFAULTS "\"keys\":{\"q\\\"\\\\\\n\\u0001\xc3\xa9\":{" INT "},\"\":{" BOOL "}}}");
        becomes(schema, DEFAULTS "\"keys\":{\"q\\u0022\\\\\\n\\u0001\\u00e9\":{},\"\":{" BOOL "}}}",
                DEFAULTS "\"keys\":{\"q\\u0022\\\\\\n\\u0001\\u00e9\":{" INT "},\"\":{" BOOL "}}}");
        (void) commit_schema_free(schema);
}

static void test_what_is_no_schema_stays(void **state)
{
        static const char *const texts[] = {
                "",
                "null",
                "[]",
                "{}",
                "{\"defaults\":{}}",
                "{\"keys\":{}}",
                "{\"defaults\":[],\"keys\":{}}",
                "{\"defaults\":{},\"keys\":null}",
                "{\"defaults\":{\"int\":{}},\"keys\":{}",
                "{\"defaults\":{\"int\":{}},\"keys\":{},\"keys\":{}}",
                "{\"defaults\":{\"int\":{}},\"keys\":{\"i\":{},\"i\":{}}}",
                "{\"defaults\":{\"int\":{}},\"keys\":{\"i\":[]}}",
        };
        struct commit_schema *schema = commit_schema_new();
        (void) state;
        note(schema, "i", COMMIT_INT);
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
                becomes(schema, texts[i], NULL);
        assert_int_equal(commit_schema_note(NULL, &(struct commit_value){ .type = COMMIT_INT }, NULL), 0);
        (void) commit_schema_free(schema);
}

static void test_many_keys(void **state)
{
        struct commit_schema *schema = commit_schema_new();
        struct text json = text_at(DEFAULTS "\"keys\":{}}"), ret = { NULL, 0 }, again = { NULL, 0 };
        struct json_object *parsed = NULL;
        struct error e;
        (void) state;
        for (int i = 0; i < 20000; i++) {
                char name[32];
                (void) snprintf(name, sizeof name, "key-%d", i);
                note(schema, name, COMMIT_INT);
        }
        assert_int_equal(commit_schema_extend(schema, &json, &ret, &e), 1);
        assert_int_equal(json_parse(ret.bytes, ret.len, &parsed, &e), 0);
        assert_int_equal(json_object_object_length(json_object_object_get(parsed, "keys")), 20000);
        assert_int_equal(commit_schema_extend(schema, &ret, &again, &e), 0);
        json_object_put(parsed);
        free(ret.bytes);
        (void) commit_schema_free(schema);
}

static void test_a_schema_that_would_become_too_large_stays(void **state)
{
        size_t len = COMMIT_SCHEMA_MAX / 4;
        char *name = malloc(len + 1);
        assert_non_null(name);
        (void) state;
        memset(name, 'x', len);
        name[len] = '\0';
        for (int count = 3; count <= 5; count++) { /* of these five come to more in names alone, four with all else */
                struct commit_schema *schema = commit_schema_new();
                struct text json = text_at(DEFAULTS "\"keys\":{}}"), ret = { NULL, 0 };
                struct error e;
                for (int i = 0; i < count; i++) {
                        name[0] = (char) ('a' + i);
                        note(schema, name, COMMIT_INT);
                }
                assert_int_equal(commit_schema_extend(schema, &json, &ret, &e), count == 3);
                free(ret.bytes);
                (void) commit_schema_free(schema);
        }
        free(name);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_keys_of_each_type),
                cmocka_unit_test(test_arrays_count_as_their_elements),
                cmocka_unit_test(test_a_known_key_gets_the_types_that_it_lacks),
                cmocka_unit_test(test_nothing_new),
                cmocka_unit_test(test_the_older_spelling),
                cmocka_unit_test(test_a_type_without_defaults),
                cmocka_unit_test(test_names_are_escaped),
                cmocka_unit_test(test_what_is_no_schema_stays),
                cmocka_unit_test(test_many_keys),
                cmocka_unit_test(test_a_schema_that_would_become_too_large_stays),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
