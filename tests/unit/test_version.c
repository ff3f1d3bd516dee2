#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ops/version.h"
#include "tests/unit/schema.h"

struct expected {
        int sysdb, metadb, queue;
        const char *min, *max;
        bool known, newer, rust;
};

static const struct expected table[] = {
        { 3, 1, 1, "0.4.0", "0.4.3", true, false, false },
        { 3, 2, 1, "0.4.4", "0.4.5", true, false, false },
        { 3, 3, 1, "0.4.6", "0.4.14", true, false, false },
        { 4, 3, 1, "0.4.15", "0.4.24", true, false, false },
        { 5, 3, 1, "0.5.0", "0.5.0", true, false, false },
        { 6, 3, 1, "0.5.1", "0.5.3", true, false, false },
        { 7, 3, 1, "0.5.4", "0.5.5", true, false, false },
        { 9, 4, 2, "0.5.6", "0.6.3", true, false, false },
        { 9, 5, 2, "1.0.0", "1.2.2", true, false, true },
        { 10, 5, 2, "1.3.0", "1.4.1", true, false, true },
        { 10, 6, 2, "1.5.0", "1.5.9", true, false, true },
        /* cut off, or made by hand */
        { 0, 0, 0, "0.4.0", "1.5.9", false, false, false },
        { 1, 0, 0, "0.4.0", "0.4.3", false, false, false },
        { 2, 1, 1, "0.4.0", "0.5.5", false, false, false },
        { 8, 3, 1, "0.5.6", "0.6.3", false, false, false },
        { 9, 4, 1, "0.5.6", "1.2.2", false, false, false },
        { 10, 4, 2, "1.3.0", "1.5.9", false, false, false },
        { -1, -5, INT_MIN, "0.4.0", "1.5.9", false, false, false },
        /* newer */
        { 11, 6, 2, "1.5.9", NULL, false, true, true },
        { 10, 7, 2, "1.5.9", NULL, false, true, true },
        { 10, 6, 3, "1.5.9", NULL, false, true, true },
        { INT_MAX, 1, 1, "1.5.9", NULL, false, true, false },
};

static void test_of(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
                const struct expected *x = &table[i];
                struct chroma_version v;
                chroma_version_of(x->sysdb, x->metadb, x->queue, &v);
                assert_string_equal(v.min, x->min);
                if (x->max == NULL)
                        assert_null(v.max);
                else
                        assert_string_equal(v.max, x->max);
                assert_int_equal(v.known, x->known);
                assert_int_equal(v.newer, x->newer);
                assert_int_equal(v.rust, x->rust);
                assert_true(v.sysdb >= 0 && v.metadb >= 0 && v.embeddings_queue >= 0);
        }
}

static int read_version(struct schema *s, struct chroma_version *v, struct error *e)
{
        CLEANUP(db_close)
        struct db *db = schema_open(s);
        return chroma_version_read(db, v, e);
}

static void check(struct schema *s, const char *min, const char *max)
{
        struct chroma_version v;
        assert_int_equal(read_version(s, &v, NULL), 0);
        assert_string_equal(v.min, min);
        if (max == NULL)
                assert_true(v.max == NULL && v.newer && !v.known);
        else
                assert_string_equal(v.max, max);
}

static void test_read(void **state)
{
        (void) state;
        struct schema s;
        schema_make(&s, 10, 6, 2);
        check(&s, "1.5.0", "1.5.9");
        schema_exec(&s, "DELETE FROM migrations WHERE dir = 'sysdb' AND version = 3"); /* a gap changes nothing */
        check(&s, "1.5.0", "1.5.9");
        schema_exec(&s, "INSERT INTO migrations VALUES ('sysdb', 9223372036854775807, 'f', 's', 'h')");
        check(&s, "1.5.9", NULL);
        schema_exec(&s, "DELETE FROM migrations WHERE version > 100");
        schema_exec(&s, "INSERT INTO migrations VALUES ('fourth', 1, 'f', 's', 'h')"); /* a list that we don't know */
        check(&s, "1.5.9", NULL);
        schema_remove(&s);
}

static void test_first_release(void **state)
{
        (void) state;
        struct schema s;
        schema_make(&s, 3, 1, 1);
        check(&s, "0.4.0", "0.4.3");
        schema_exec(&s, "UPDATE migrations SET hash = '2b4cf52c4bb2676e21d6860a4409f856' WHERE dir = 'metadb'");
        check(&s, "0.4.1", "0.4.3");
        schema_exec(&s, "UPDATE migrations SET hash = '3b4cf52c4bb2676e21d6860a4409f856' WHERE dir = 'metadb'");
        check(&s, "0.4.0", "0.4.0");
        schema_exec(&s, "UPDATE migrations SET hash = hash || hash WHERE dir = 'metadb'"); /* as long as a SHA-256 */
        check(&s, "0.4.0", "0.4.3");
        schema_remove(&s);
}

static void test_bad(void **state)
{
        (void) state;
        static const char *const damages[] = {
                "UPDATE migrations SET version = 'x' WHERE dir = 'metadb' AND version = 2",
                "UPDATE migrations SET version = 1.5 WHERE dir = 'sysdb' AND version = 2",
                "ALTER TABLE migrations DROP COLUMN hash",
                ("WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n LIMIT 10001)"
                 " INSERT INTO migrations SELECT 'sysdb', i, '', '', '' FROM n"),
                "DROP TABLE migrations",
                "DROP TABLE migrations; CREATE VIEW migrations AS SELECT 'sysdb' AS dir, 1 AS version, '' AS hash",
        };
        for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
                struct schema s;
                struct error e = { 0 };
                struct chroma_version v = { .sysdb = 77 };
                schema_make(&s, 10, 6, 2);
                schema_exec(&s, damages[i]);
                assert_int_equal(read_version(&s, &v, &e), -EILSEQ);
                assert_true(strlen(e.text) > 0);
                assert_int_equal(v.sysdb, 77);
                schema_remove(&s);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_of),
                cmocka_unit_test(test_read),
                cmocka_unit_test(test_first_release),
                cmocka_unit_test(test_bad),
        };
        return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}
