#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/entry.h"

static struct text text_of(const char *bytes, size_t len)
{
        return (struct text){ .bytes = (char *) (uintptr_t) bytes, .len = len };
}

#define TEXT(literal) text_of(literal, sizeof(literal) - 1)

static void encodes(void **state)
{
        (void) state;
        static const struct {
                const char *name;
                size_t len;
                const char *as_name, *as_scope;
        } cases[] = {
                { "docs", 4, "docs", "docs" },
                { "a.b", 3, "a.b", "a%2Eb" },
                { ".hidden", 7, "%2Ehidden", "%2Ehidden" },
                { "..", 2, "%2E.", "%2E%2E" },
                { "a/b", 3, "a%2Fb", "a%2Fb" },
                { "a\0b", 3, "a%00b", "a%00b" },
                { "a\nb\x7f", 4, "a%0Ab%7F", "a%0Ab%7F" },
                { "50%", 3, "50%25", "50%25" },
                { "docs@acme.dbx", 13, "docs%40acme.dbx", "docs%40acme%2Edbx" },
                { "\xc3\xa4 \xf0\x9f\x98\x80", 7, "\xc3\xa4 \xf0\x9f\x98\x80", "\xc3\xa4 \xf0\x9f\x98\x80" },
                { "\xc3", 1, "%C3", "%C3" },
                { "\xed\xa0\x80", 3, "%ED%A0%80", "%ED%A0%80" },
        };
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                const struct text name = text_of(cases[i].name, cases[i].len);
                char buffer[ENTRY_SIZE];
                assert_true(entry_encode(&name, ENTRY_NAME, buffer, sizeof(buffer)));
                assert_string_equal(buffer, cases[i].as_name);
                assert_true(entry_encode(&name, ENTRY_SCOPE, buffer, sizeof(buffer)));
                assert_string_equal(buffer, cases[i].as_scope);
                size_t len;
                assert_true(entry_decode(buffer, &len));
                assert_int_equal(len, name.len);
                assert_memory_equal(buffer, name.bytes, len);
        }
}

static void refuses_what_does_not_fit(void **state)
{
        (void) state;
        char long_name[300], buffer[ENTRY_SIZE];
        memset(long_name, 'n', sizeof(long_name));
        const struct text fits = text_of(long_name, 255), too_long = text_of(long_name, 256), empty = TEXT("");
        assert_true(entry_encode(&fits, ENTRY_NAME, buffer, sizeof(buffer)));
        assert_int_equal(strlen(buffer), 255);
        assert_false(entry_encode(&too_long, ENTRY_NAME, buffer, sizeof(buffer)));
        assert_false(entry_encode(&empty, ENTRY_NAME, buffer, sizeof(buffer)));
        memset(long_name, '/', sizeof(long_name));
        const struct text slashes = text_of(long_name, 86); /* 258 bytes encoded */
        assert_false(entry_encode(&slashes, ENTRY_NAME, buffer, sizeof(buffer)));
}

static void decodes_only_what_is_encoded(void **state)
{
        (void) state;
        static const char *const bad[] = { "%", "a%2", "%zz", "%2", "100%" };
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                char buffer[16];
                size_t len;
                memcpy(buffer, bad[i], strlen(bad[i]) + 1);
                assert_false(entry_decode(buffer, &len));
        }
}

static void entry_is(struct text name, struct text tenant, struct text database, const char *expected)
{
        const struct collection c = {
                .id = TEXT("0e0fdc25-48b6-4e1b-9d0e-4509dc7b098d"), .name = name, .tenant = tenant, .database = database
        };
        char entry[ENTRY_SIZE];
        entry_of_collection(&c, entry);
        assert_string_equal(entry, expected);
}

static void names_collections(void **state)
{
        (void) state;
        const struct text tenant = TEXT(CATALOG_DEFAULT_TENANT), database = TEXT(CATALOG_DEFAULT_DATABASE);
        entry_is(TEXT("docs"), tenant, database, "docs");
        entry_is(TEXT("docs"), TEXT("acme"), TEXT("dbx"), "docs@acme.dbx");
        entry_is(TEXT("docs@acme.dbx"), tenant, database, "docs%40acme.dbx");
        entry_is(TEXT("docs"), TEXT("a.b"), TEXT("c@d"), "docs@a%2Eb.c%40d");
        entry_is(TEXT("docs"), tenant, TEXT("other"), "docs@default_tenant.other");
        entry_is(TEXT(""), tenant, database, "%id-0e0fdc25-48b6-4e1b-9d0e-4509dc7b098d");
        entry_is(TEXT("docs"), TEXT(""), TEXT(""), "%id-0e0fdc25-48b6-4e1b-9d0e-4509dc7b098d");
        char name[512];
        memset(name, 'n', sizeof(name));
        entry_is(text_of(name, sizeof(name)), tenant, database, "%id-0e0fdc25-48b6-4e1b-9d0e-4509dc7b098d");
}

static void falls_back(void **state)
{
        (void) state;
        char bytes[1000], entry[ENTRY_SIZE], other[ENTRY_SIZE];
        memset(bytes, 0xff, sizeof(bytes));
        const struct text name = text_of(bytes, sizeof(bytes)), shorter = text_of(bytes, sizeof(bytes) - 1);
        entry_of_text(&name, ENTRY_SCOPE, entry);
        entry_of_text(&shorter, ENTRY_SCOPE, other);
        assert_int_equal(strlen(entry), strlen("%sum-") + 32);
        assert_string_not_equal(entry, other);
        entry_of_id(&name, entry);
        assert_memory_equal(entry, "%id-%sum-", 9);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(encodes),
                cmocka_unit_test(refuses_what_does_not_fit),
                cmocka_unit_test(decodes_only_what_is_encoded),
                cmocka_unit_test(names_collections),
                cmocka_unit_test(falls_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
