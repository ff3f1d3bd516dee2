#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ops/catalog.h"
#include "tests/unit/schema.h"

static struct catalog *read_catalog(const struct schema *s)
{
        CLEANUP(db_close)
        struct db *db = schema_open(s);
        struct catalog *c = NULL;
        struct error e = { 0 };
        if (catalog_read(db, &c, &e) < 0)
                fail_msg("%s", e.text);
        return c;
}

static void assert_text(const struct text *t, const char *expected)
{
        assert_string_equal(t->bytes, expected);
        assert_int_equal(t->len, strlen(expected));
}

static void insert_metadata(struct schema *s)
{
        schema_exec(
                s,
                "INSERT INTO collections (id, name, database_id, config_json_str, schema_str) VALUES ('c', 'n', 'd', '{}', "
                "x'00ff');"
                "INSERT INTO segments VALUES ('v', 't', 'VECTOR', 'c'), ('m', 't', 'METADATA', 'c');"
                "INSERT INTO segment_metadata VALUES ('v', 'hnsw:M', NULL, 12, NULL, NULL), ('m', 'k', 'other', NULL, NULL, NULL);"
                "INSERT INTO collection_metadata VALUES ('c', 'str', 'a', NULL, NULL, NULL), ('c', 'int', NULL, -5, NULL, NULL),"
                " ('c', 'float', NULL, NULL, 3, NULL), ('c', 'bool', NULL, NULL, NULL, 7), ('c', 'null', NULL, NULL, NULL, NULL),"
                " ('c', 'both', 'first', 2, NULL, NULL), ('c', 'wrong', NULL, 'text', NULL, NULL),"
                " ('c', 'blob', x'00ff', NULL, NULL, NULL), ('d', 'str', 'not ours', NULL, NULL, NULL)");
}

static const struct metadata_value *value_of(const struct collection_detail *detail, const char *key)
{
        for (size_t i = 0; i < detail->metadata_count; i++)
                if (text_is(&detail->metadata[i].key, key))
                        return &detail->metadata[i];
        fail_msg("no %s", key);
        return NULL;
}

static void check_metadata(const struct collection_detail *detail)
{
        assert_int_equal(detail->metadata_count, 8);
        assert_text(&detail->metadata[0].key, "blob"); /* sorted */
        assert_text(&value_of(detail, "str")->string, "a");
        assert_int_equal(value_of(detail, "int")->integer, -5);
        assert_int_equal(value_of(detail, "int")->type, VALUE_INT);
        assert_int_equal(value_of(detail, "float")->type, VALUE_FLOAT);
        assert_true(value_of(detail, "float")->real >= 3.0 && value_of(detail, "float")->real <= 3.0);
        assert_int_equal(value_of(detail, "bool")->type, VALUE_BOOL);
        assert_int_equal(value_of(detail, "bool")->integer, 1);
        assert_int_equal(value_of(detail, "null")->type, VALUE_NULL);
        assert_text(&value_of(detail, "both")->string, "first");
        assert_text(&value_of(detail, "wrong")->string, "text");
        assert_int_equal(value_of(detail, "blob")->string.len, 2);
        assert_int_equal(detail->segment_metadata_count, 1);
        assert_int_equal(detail->segment_metadata[0].integer, 12);
        assert_text(&detail->config_json, "{}");
        assert_int_equal(detail->schema_json.len, 2);
}

static int read_detail(const struct schema *s, const struct catalog *c, struct collection_detail *detail, struct error *e)
{
        CLEANUP(db_close)
        struct db *db = schema_open(s);
        assert_int_equal(db_begin(db, NULL), 0);
        int r = collection_detail_read(db, &c->collections[0], detail, e);
        db_end(db);
        return r;
}

static void test_detail(void **state)
{
        (void) state;
        struct schema s;
        struct collection_detail detail;
        schema_make(&s, 10, 6, 2);
        insert_metadata(&s);
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        assert_int_equal(read_detail(&s, c, &detail, NULL), 0);
        check_metadata(&detail);
        collection_detail_clear(&detail);
        assert_int_equal(detail.metadata_count, 0);
        collection_detail_clear(&detail); /* of nothing */

        schema_exec(&s, "DROP TABLE collection_metadata; DROP TABLE segment_metadata;"
                        "UPDATE collections SET config_json_str = NULL, schema_str = NULL");
        assert_int_equal(read_detail(&s, c, &detail, NULL), 0);
        assert_int_equal(detail.metadata_count + detail.segment_metadata_count, 0);
        assert_null(detail.config_json.bytes);
        assert_null(detail.schema_json.bytes);
        collection_detail_clear(&detail);

        struct error e = { 0 };
        schema_exec(&s, "UPDATE collections SET config_json_str = hex(zeroblob(9000000))");
        assert_int_equal(read_detail(&s, c, &detail, &e), -E2BIG);
        assert_true(strlen(e.text) > 0);
        schema_remove(&s);
}

/* The limit is on all that a collection has: its values, and its rows when they hold next to nothing. */
static void test_detail_limit(void **state)
{
        (void) state;
        static const struct {
                const char *sql;
                int code;
        } cases[] = {
                { "SELECT 'c', i, hex(zeroblob(500000)), NULL, NULL, NULL FROM n LIMIT 15", 0 },
                { "SELECT 'c', i, hex(zeroblob(500000)), NULL, NULL, NULL FROM n LIMIT 17", -E2BIG },
                { "SELECT 'c', i, NULL, 1, NULL, NULL FROM n LIMIT 60000", 0 },
                { "SELECT 'c', i, NULL, 1, NULL, NULL FROM n LIMIT 170000", -E2BIG },
                { "SELECT 'd', i, hex(zeroblob(500000)), NULL, NULL, NULL FROM n LIMIT 17", 0 },
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct schema s;
                char sql[256];
                struct error e = { 0 };
                struct collection_detail detail;
                schema_make(&s, 10, 6, 2);
                (void) snprintf(sql, sizeof sql,
                                "INSERT INTO collections (id, name, database_id) VALUES ('c', 'n', 'd');"
                                "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 200000)"
                                " INSERT INTO collection_metadata %s",
                                cases[i].sql);
                schema_exec(&s, sql);
                CLEANUP(catalog_free)
                struct catalog *c = read_catalog(&s);
                assert_int_equal(read_detail(&s, c, &detail, &e), cases[i].code);
                if (cases[i].code == 0)
                        collection_detail_clear(&detail);
                else
                        assert_non_null(strstr(e.text, "of the collection are larger than the 16 MiB"));
                schema_remove(&s);
        }
}

/* Generations without bool_value, config_json_str and schema_str. */
static void test_detail_old(void **state)
{
        (void) state;
        struct schema s;
        struct collection_detail detail;
        schema_make(&s, 3, 1, 1);
        schema_exec(&s, "INSERT INTO collections (id, name) VALUES ('c', 'n');"
                        "INSERT INTO collection_metadata VALUES ('c', 'hnsw:space', 'ip', NULL, NULL)");
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        assert_int_equal(read_detail(&s, c, &detail, NULL), 0);
        assert_int_equal(detail.metadata_count, 1);
        assert_text(&detail.metadata[0].string, "ip");
        assert_null(detail.config_json.bytes);
        collection_detail_clear(&detail);
        schema_remove(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_detail),
                cmocka_unit_test(test_detail_old),
                cmocka_unit_test(test_detail_limit),
        };
        return cmocka_run_group_tests_name("collection_detail", tests, NULL, NULL);
}
