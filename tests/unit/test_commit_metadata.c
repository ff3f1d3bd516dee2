/* commit_metadata: what rows of the log leave in the tables of each version, on databases as Chroma's migrations make them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ops/commit/metadata.h"
#include "tests/unit/schema.h"

#define COLLECTION "00000000-0000-4000-8000-000000000001"
#define OTHER "00000000-0000-4000-8000-000000000002"
#define SEGMENT "00000000-0000-4000-8000-000000000201"
#define OTHER_SEGMENT "00000000-0000-4000-8000-000000000202"

static const struct {
        int sysdb, metadb, queue;
} generations[] = { { 3, 1, 1 }, { 3, 2, 1 }, { 4, 3, 1 }, { 5, 3, 1 }, { 9, 4, 2 }, { 9, 5, 2 }, { 10, 5, 2 }, { 10, 6, 2 } };

#define GENERATIONS (sizeof generations / sizeof generations[0])

/* --- a directory, and a transaction on it --- */

struct scene {
        struct schema schema;
        int before; /* the working directory */
        struct catalog *catalog;
        struct write_db *w;
        struct commit_metadata *m;
        struct error e;
        int64_t seq_id;
};

static void make_collection(struct scene *s, const char *id, const char *name, const char *segment, int sysdb)
{
        char sql[1024];
        (void) snprintf(sql, sizeof sql, "INSERT INTO collections (id, name, dimension%s) VALUES ('%s', '%s', 3%s)",
                        sysdb >= 4 ? ", database_id" : "", id, name, sysdb >= 4 ? ", '00000000-0000-0000-0000-000000000000'" : "");
        schema_exec(&s->schema, sql);
        (void) snprintf(sql, sizeof sql,
                        "INSERT INTO segments (id, type, scope, collection) VALUES ('%s', 'urn:chroma:segment/metadata/sqlite',"
                        " 'METADATA', '%s')",
                        segment, id);
        schema_exec(&s->schema, sql);
}

static void scene_make(struct scene *s, int sysdb, int metadb, int queue)
{
        *s = (struct scene){ .before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
        schema_make(&s->schema, sysdb, metadb, queue);
        make_collection(s, COLLECTION, "one", SEGMENT, sysdb);
        make_collection(s, OTHER, "two", OTHER_SEGMENT, sysdb);
        assert_int_equal(fchdir(s->schema.dirfd), 0);
}

static void scene_remove(struct scene *s)
{
        s->m = commit_metadata_free(s->m);
        s->w = write_db_close(s->w);
        s->catalog = catalog_free(s->catalog);
        assert_int_equal(fchdir(s->before), 0);
        (void) close(s->before);
        schema_remove(&s->schema);
}

static void must(struct scene *s, int r)
{
        if (r < 0)
                fail_msg("%s", s->e.text);
}

/* Opens the transaction. SQL for the directory comes before. */
static void scene_open(struct scene *s)
{
        struct db *db = schema_open(&s->schema);
        must(s, catalog_read(db, &s->catalog, &s->e));
        (void) db_close(db);
        must(s, write_db_open(NULL, NULL, NULL, &s->w, &s->e));
        must(s, write_db_begin(s->w, NULL, &s->e));
}

static int begin_with(struct scene *s, const char *collection)
{
        s->m = commit_metadata_free(s->m);
        return commit_metadata_begin(s->w, s->catalog, catalog_collection(s->catalog, collection), &s->m, &s->e);
}

static void scene_begin(struct scene *s)
{
        scene_open(s);
        must(s, begin_with(s, COLLECTION));
}

static struct commit_counts scene_end(struct scene *s, int64_t position)
{
        struct commit_counts counts = { 0 };
        must(s, commit_metadata_end(s->m, position, &counts, &s->e));
        s->m = commit_metadata_free(s->m);
        must(s, write_db_commit(s->w, &s->e));
        return counts;
}

/* The first column of all rows, one a line. */
static void rows_are(struct scene *s, const char *sql, const char *expected)
{
        char found[4096] = "";
        sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(s->schema.sqlite, sql, -1, &stmt, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(s->schema.sqlite));
        while (sqlite3_step(stmt) == SQLITE_ROW) {
                const char *text = (const char *) sqlite3_column_text(stmt, 0);
                (void) snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", found[0] == '\0' ? "" : "\n",
                                text == NULL ? "NULL" : text);
        }
        assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
        assert_string_equal(found, expected);
}

static bool has_old_table(const struct scene *s)
{
        return s->catalog->version.metadb < 3;
}

static void documents_are(struct scene *s, const char *expected)
{
        rows_are(s,
                 has_old_table(s) ? "SELECT id || ':' || string_value FROM embedding_fulltext ORDER BY id"
                                  : "SELECT rowid || ':' || string_value FROM embedding_fulltext_search ORDER BY rowid",
                 expected);
        schema_exec(&s->schema,
                    has_old_table(s)
                            ? "INSERT INTO embedding_fulltext (embedding_fulltext) VALUES ('integrity-check')"
                            : "INSERT INTO embedding_fulltext_search (embedding_fulltext_search) VALUES ('integrity-check')");
}

/* --- rows --- */

static struct text text_at(const char *literal)
{
        return (struct text){ (char *) (uintptr_t) literal, strlen(literal) };
}

static struct commit_value value_string(const char *key, const char *string)
{
        return (struct commit_value){ .key = text_at(key), .type = COMMIT_STRING, .string = text_at(string) };
}

static struct commit_value value_int(const char *key, int64_t integer)
{
        return (struct commit_value){ .key = text_at(key), .type = COMMIT_INT, .integer = integer };
}

static struct commit_value value_bool(const char *key, bool is_true)
{
        return (struct commit_value){ .key = text_at(key), .type = COMMIT_BOOL, .integer = is_true };
}

static struct commit_value value_float(const char *key, double real)
{
        return (struct commit_value){ .key = text_at(key), .type = COMMIT_FLOAT, .real = real };
}

static struct commit_value value_null(const char *key)
{
        return (struct commit_value){ .key = text_at(key), .type = COMMIT_NULL };
}

static struct commit_value value_array(const char *key, struct commit_value *items, size_t count)
{
        return (struct commit_value){ .key = text_at(key), .type = COMMIT_ARRAY, .items = items, .item_count = count };
}

static int try_row(struct scene *s, enum commit_operation operation, const char *id, struct commit_value *values, size_t count)
{
        struct commit_row row = {
                .seq_id = ++s->seq_id, .operation = operation, .id = text_at(id), .values = values, .value_count = count
        };
        return commit_metadata_apply(s->m, &row, &s->e);
}

#define COUNT_OF(values) (sizeof(values) / sizeof((values)[0]))
#define ROW(s, operation, id, ...)                                                                                                 \
        do {                                                                                                                       \
                struct commit_value values_[] = { __VA_ARGS__ };                                                                   \
                must(s, try_row(s, operation, id, values_, COUNT_OF(values_)));                                                    \
        } while (0)

static void bare_row(struct scene *s, enum commit_operation operation, const char *id)
{
        must(s, try_row(s, operation, id, NULL, 0));
}

/* --- tests --- */

static const char records_sql[] = "SELECT id || ' ' || embedding_id || ' ' || CASE typeof(seq_id) WHEN 'blob' THEN hex(seq_id) ELSE"
                                  " seq_id END FROM embeddings ORDER BY id";
static const char values_sql[] =
        "SELECT id || ' ' || key || '=' || coalesce(string_value, int_value, float_value) FROM embedding_metadata ORDER BY id, key";

/* ADD, UPDATE, UPSERT and DELETE of known and unknown ids. */
static void apply_all_operations(struct scene *s)
{
        ROW(s, COMMIT_ADD, "a", value_string("s", "x"), value_int("i", -5), value_string("chroma:document", "first"));
        ROW(s, COMMIT_ADD, "a", value_string("s", "not this"), value_string("chroma:document", "nor this"));
        ROW(s, COMMIT_UPDATE, "b", value_string("s", "nobody's"));
        bare_row(s, COMMIT_DELETE, "b");
        ROW(s, COMMIT_UPSERT, "b", value_float("f", 0.5), value_string("chroma:document", "second"));
        ROW(s, COMMIT_UPDATE, "a", value_null("s"), value_float("i", 2.5), value_string("n", ""),
            value_string("chroma:document", "third"));
        ROW(s, COMMIT_UPSERT, "b", value_int("f", 7), value_null("missing"), value_string("chroma:uri", "file:///x"));
        ROW(s, COMMIT_ADD, "c", value_string("chroma:document", "gone"), value_int("i", 1));
        bare_row(s, COMMIT_DELETE, "c");
        bare_row(s, COMMIT_UPSERT, "d");
        bare_row(s, COMMIT_UPDATE, "d");
}

static void test_operations_of_each_generation(void **state)
{
        (void) state;
        for (size_t i = 0; i < GENERATIONS; i++) {
                struct scene s;
                scene_make(&s, generations[i].sysdb, generations[i].metadb, generations[i].queue);
                bool is_rust = generations[i].metadb >= 5;
                scene_begin(&s);
                apply_all_operations(&s);
                struct commit_counts counts = scene_end(&s, 11);
                assert_int_equal(counts.adds, 4);
                assert_int_equal(counts.updates, 3);
                assert_int_equal(counts.deletes, 1);
                assert_int_equal(counts.ignored, 3);
                rows_are(&s, records_sql,
                         is_rust ? "1 a 6\n2 b 7\n4 d 11" : "1 a 0000000000000006\n2 b 0000000000000007\n4 d 000000000000000B");
                rows_are(&s, values_sql,
                         "1 chroma:document=third\n1 i=2.5\n1 n=\n2 chroma:document=second\n2 chroma:uri=file:///x\n2 f=7");
                documents_are(&s, "1:third\n2:second");
                rows_are(&s, "SELECT segment_id || typeof(seq_id) || hex(seq_id) FROM max_seq_id",
                         is_rust ? SEGMENT "integer3131" : SEGMENT "blob000000000000000B");
                rows_are(&s, "SELECT count(*) FROM embeddings WHERE created_at IS NULL OR segment_id <> '" SEGMENT "'", "0");
                scene_remove(&s);
        }
}

static void test_bools_have_a_column_from_0_4_4_on(void **state)
{
        (void) state;
        for (size_t i = 0; i < GENERATIONS; i++) {
                struct scene s;
                scene_make(&s, generations[i].sysdb, generations[i].metadb, generations[i].queue);
                scene_begin(&s);
                ROW(&s, COMMIT_ADD, "a", value_bool("t", true), value_bool("f", false), value_string("x", "string"));
                ROW(&s, COMMIT_UPDATE, "a", value_bool("x", true));
                (void) scene_end(&s, 2);
                rows_are(&s,
                         generations[i].metadb < 2
                                 ? "SELECT key || int_value || (string_value IS NULL) FROM embedding_metadata ORDER BY key"
                                 : "SELECT key || bool_value || (string_value IS NULL) || coalesce(int_value, '') FROM "
                                   "embedding_metadata ORDER BY key",
                         "f01\nt11\nx11");
                scene_remove(&s);
        }
}

static void test_an_update_leaves_one_value(void **state)
{
        struct scene s;
        (void) state;
        scene_make(&s, 9, 5, 2);
        scene_begin(&s);
        ROW(&s, COMMIT_ADD, "a", value_string("k", "x"));
        ROW(&s, COMMIT_UPDATE, "a", value_int("k", INT64_MAX));
        ROW(&s, COMMIT_UPDATE, "a", value_float("k", 1));
        ROW(&s, COMMIT_UPDATE, "a", value_bool("k", true));
        (void) scene_end(&s, 4);
        rows_are(&s,
                 "SELECT (string_value IS NULL) || (int_value IS NULL) || (float_value IS NULL) || bool_value FROM "
                 "embedding_metadata",
                 "1111");
        scene_remove(&s);
}

static const char arrays_sql[] =
        "SELECT id || ' ' || key || '=' || coalesce(string_value, int_value, float_value, 'b' || bool_value)"
        " FROM embedding_metadata_array ORDER BY rowid";

static void test_arrays(void **state)
{
        struct scene s;
        struct commit_value strings[] = { value_string("", "z"), value_string("", "a"), value_string("", "z") };
        struct commit_value integers[] = { value_int("", 2), value_int("", 1) };
        struct commit_value bools[] = { value_bool("", true), value_bool("", false) };
        struct commit_value reals[] = { value_float("", 0.5) };
        (void) state;
        scene_make(&s, 10, 6, 2);
        scene_begin(&s);
        ROW(&s, COMMIT_ADD, "a", value_array("s", strings, 3), value_array("f", reals, 1), value_int("i", 1));
        ROW(&s, COMMIT_UPSERT, "b", value_array("x", bools, 2), value_array("y", bools, 2));
        ROW(&s, COMMIT_UPDATE, "a", value_array("i", integers, 2), value_int("f", 3));
        ROW(&s, COMMIT_UPDATE, "b", value_null("y"));
        ROW(&s, COMMIT_ADD, "c", value_array("s", strings, 3));
        bare_row(&s, COMMIT_DELETE, "c");
        (void) scene_end(&s, 6);
        rows_are(&s, arrays_sql, "1 s=z\n1 s=a\n1 s=z\n2 x=b1\n2 x=b0\n1 i=2\n1 i=1");
        rows_are(&s, values_sql, "1 f=3");
        scene_remove(&s);
}

static void test_arrays_where_there_is_no_table(void **state)
{
        struct scene s;
        struct commit_value items[] = { value_int("", 2) };
        struct commit_value values[] = { value_array("i", items, 1), value_int("j", 1) };
        (void) state;
        scene_make(&s, 9, 4, 2);
        scene_begin(&s);
        must(&s, try_row(&s, COMMIT_ADD, "a", values, 2));
        (void) scene_end(&s, 1);
        rows_are(&s, values_sql, "1 j=1");
        scene_remove(&s);
        scene_make(&s, 10, 5, 2);
        scene_begin(&s);
        assert_int_equal(try_row(&s, COMMIT_ADD, "a", values, 2), -EINVAL);
        scene_remove(&s);
}

/* What stands under an id that no record has must not come to a new one. */
static void test_new_ids_are_above_all_tables(void **state)
{
        static const char *const stale[] = {
                "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES (9, 'other', 'a', 1)",
                "INSERT INTO embedding_metadata (id, key, int_value) VALUES (9, 'stale', 1), (3, 'older', 1)",
                "INSERT INTO embedding_metadata_array (id, key, int_value) VALUES (9, 'stale', 1), (2, 'older', 1)",
                "INSERT INTO embedding_fulltext_search (rowid, string_value) VALUES (9, 'stale')",
        };
        (void) state;
        for (size_t i = 0; i < COUNT_OF(stale); i++) {
                struct scene s;
                scene_make(&s, 10, 6, 2);
                schema_exec(&s.schema, stale[i]);
                scene_begin(&s);
                ROW(&s, COMMIT_ADD, "a", value_string("chroma:document", "fresh"));
                bare_row(&s, COMMIT_ADD, "b");
                (void) scene_end(&s, 2);
                rows_are(&s, "SELECT id || embedding_id FROM embeddings WHERE segment_id = '" SEGMENT "'", "10a\n11b");
                rows_are(&s, "SELECT key FROM embedding_metadata WHERE id > 9", "chroma:document");
                scene_remove(&s);
        }
}

static void test_ids_that_chroma_cannot_read(void **state)
{
        struct scene s;
        (void) state;
        scene_make(&s, 9, 5, 2);
        schema_exec(&s.schema, "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES (1, '" SEGMENT "', 'a', 1);"
                               "INSERT INTO embedding_metadata (id, key, int_value) VALUES (4294967295, 'stale', 1)");
        scene_begin(&s);
        bare_row(&s, COMMIT_UPDATE, "a");
        assert_int_equal(try_row(&s, COMMIT_ADD, "b", NULL, 0), -EOVERFLOW);
        scene_remove(&s);
        scene_make(&s, 9, 4, 2);
        schema_exec(&s.schema, "INSERT INTO embedding_metadata (id, key, int_value) VALUES (4294967295, 'stale', 1)");
        scene_begin(&s);
        bare_row(&s, COMMIT_ADD, "b");
        scene_remove(&s);
}

/* A column's declared type binds nobody: text sorts above all numbers. */
static void test_ids_that_are_no_numbers(void **state)
{
        struct scene s;
        (void) state;
        scene_make(&s, 9, 5, 2);
        schema_exec(&s.schema, "INSERT INTO embedding_metadata (id, key, int_value) VALUES ('text', 'k', 1), (5, 'k', 1)");
        scene_begin(&s);
        bare_row(&s, COMMIT_ADD, "b");
        (void) scene_end(&s, 1);
        rows_are(&s, "SELECT id FROM embeddings", "6");
        rows_are(&s, "SELECT id FROM embedding_metadata ORDER BY id", "5\ntext");
        scene_remove(&s);
}

static void test_documents_come_and_go(void **state)
{
        (void) state;
        for (size_t i = 0; i < GENERATIONS; i++) {
                struct scene s;
                scene_make(&s, generations[i].sysdb, generations[i].metadb, generations[i].queue);
                scene_begin(&s);
                ROW(&s, COMMIT_ADD, "a", value_int("i", 1));
                ROW(&s, COMMIT_ADD, "b", value_string("chroma:document", "b's"));
                ROW(&s, COMMIT_UPDATE, "a", value_string("chroma:document", "one"));
                ROW(&s, COMMIT_UPSERT, "a", value_string("chroma:document", "two"));
                ROW(&s, COMMIT_UPDATE, "a", value_int("i", 2));
                ROW(&s, COMMIT_UPDATE, "b", value_null("chroma:document"));
                ROW(&s, COMMIT_ADD, "c", value_null("chroma:document"), value_null("k"));
                (void) scene_end(&s, 7);
                documents_are(&s, "1:two");
                rows_are(&s, values_sql, "1 chroma:document=two\n1 i=2");
                scene_remove(&s);
        }
}

static void test_old_documents_are_found_by_their_id(void **state)
{
        struct scene s;
        (void) state;
        scene_make(&s, 3, 1, 1);
        schema_exec(&s.schema,
                    "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES (5, '" SEGMENT "', 'a', x'01');"
                    "INSERT INTO embedding_fulltext (id, string_value) VALUES (7, 'stale'), (5, 'old'), (5, 'twice')");
        scene_begin(&s);
        ROW(&s, COMMIT_UPDATE, "a", value_string("chroma:document", "new"));
        ROW(&s, COMMIT_ADD, "b", value_string("chroma:document", "b's"));
        ROW(&s, COMMIT_UPDATE, "b", value_string("chroma:document", "b's other"));
        (void) scene_end(&s, 3);
        documents_are(&s, "5:new\n7:stale\n8:b's other");
        scene_remove(&s);
}

static void test_without_a_full_text_table(void **state)
{
        struct scene s;
        struct commit_value values[] = { value_string("chroma:document", "x") };
        (void) state;
        scene_make(&s, 9, 5, 2);
        schema_exec(&s.schema, "DROP TABLE embedding_fulltext_search");
        scene_begin(&s);
        ROW(&s, COMMIT_ADD, "a", value_int("i", 1));
        assert_int_equal(try_row(&s, COMMIT_ADD, "b", values, 1), -EILSEQ);
        scene_remove(&s);
}

static void test_collections_do_not_mix(void **state)
{
        struct scene s;
        struct commit_counts counts;
        (void) state;
        scene_make(&s, 10, 6, 2);
        scene_begin(&s);
        ROW(&s, COMMIT_ADD, "a", value_int("i", 1));
        must(&s, commit_metadata_end(s.m, 1, &counts, &s.e));
        must(&s, begin_with(&s, OTHER));
        ROW(&s, COMMIT_UPDATE, "a", value_int("i", 2));
        ROW(&s, COMMIT_ADD, "a", value_int("i", 3));
        ROW(&s, COMMIT_ADD, "b", value_int("i", 4));
        bare_row(&s, COMMIT_DELETE, "b");
        (void) scene_end(&s, 9);
        rows_are(&s, values_sql, "1 i=1\n2 i=3");
        rows_are(&s, "SELECT segment_id || seq_id FROM max_seq_id ORDER BY 1", SEGMENT "1\n" OTHER_SEGMENT "9");
        scene_remove(&s);
}

static void test_nothing_stays_of_what_is_rolled_back(void **state)
{
        struct scene s;
        (void) state;
        scene_make(&s, 3, 1, 1);
        scene_begin(&s);
        apply_all_operations(&s);
        s.m = commit_metadata_free(s.m);
        write_db_rollback(s.w);
        rows_are(&s, "SELECT count(*) FROM embeddings", "0");
        rows_are(&s, "SELECT count(*) FROM embedding_fulltext", "0");
        scene_remove(&s);
}

static void test_refusals(void **state)
{
        struct scene s;
        struct commit_counts counts;
        (void) state;
        scene_make(&s, 9, 5, 2);
        schema_exec(&s.schema, "DELETE FROM segments WHERE id = '" OTHER_SEGMENT "'");
        scene_open(&s);
        assert_int_equal(begin_with(&s, OTHER), -EILSEQ);
        must(&s, begin_with(&s, COLLECTION));
        s.seq_id = 4;
        bare_row(&s, COMMIT_ADD, "a");
        s.seq_id = 4;
        assert_int_equal(try_row(&s, COMMIT_ADD, "b", NULL, 0), -EINVAL);
        assert_int_equal(commit_metadata_end(s.m, 4, &counts, &s.e), -EINVAL);
        assert_int_equal(commit_set_position(s.w, &s.catalog->version, SEGMENT, -1, &s.e), -EINVAL);
        scene_remove(&s);
}

static void test_a_position_replaces_the_one_before(void **state)
{
        (void) state;
        for (size_t i = 0; i < GENERATIONS; i++) {
                struct scene s;
                scene_make(&s, generations[i].sysdb, generations[i].metadb, generations[i].queue);
                schema_exec(&s.schema, "INSERT INTO max_seq_id VALUES ('" SEGMENT "', 3), ('other', 4)");
                scene_open(&s);
                must(&s, commit_set_position(s.w, &s.catalog->version, SEGMENT, 0x0102030405060708, &s.e));
                must(&s, write_db_commit(s.w, &s.e));
                rows_are(&s,
                         "SELECT CASE typeof(seq_id) WHEN 'blob' THEN hex(seq_id) ELSE seq_id END FROM max_seq_id ORDER BY "
                         "segment_id",
                         generations[i].metadb >= 5 ? "72623859790382856\n4" : "0102030405060708\n4");
                scene_remove(&s);
        }
}

static void test_the_schema_gets_new_keys(void **state)
{
        struct scene s;
        (void) state;
        scene_make(&s, 10, 6, 2);
        schema_exec(&s.schema,
                    "UPDATE collections SET schema_str = '{\"defaults\":{\"int\":{\"x\":1},\"bool\":{}},\"keys\":{}}' WHERE"
                    " id = '" COLLECTION "'");
        scene_begin(&s);
        ROW(&s, COMMIT_ADD, "a", value_int("i", 1), value_null("n"));
        ROW(&s, COMMIT_ADD, "a", value_int("ignored", 1));
        ROW(&s, COMMIT_UPDATE, "a", value_bool("i", true));
        (void) scene_end(&s, 3);
        rows_are(&s, "SELECT schema_str FROM collections ORDER BY id",
                 "{\"defaults\":{\"int\":{\"x\":1},\"bool\":{}},\"keys\":{\"i\":{\"int\":{\"x\":1},\"bool\":{}}}}\nNULL");
        scene_remove(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_operations_of_each_generation),
                cmocka_unit_test(test_bools_have_a_column_from_0_4_4_on),
                cmocka_unit_test(test_an_update_leaves_one_value),
                cmocka_unit_test(test_arrays),
                cmocka_unit_test(test_arrays_where_there_is_no_table),
                cmocka_unit_test(test_new_ids_are_above_all_tables),
                cmocka_unit_test(test_ids_that_chroma_cannot_read),
                cmocka_unit_test(test_ids_that_are_no_numbers),
                cmocka_unit_test(test_documents_come_and_go),
                cmocka_unit_test(test_old_documents_are_found_by_their_id),
                cmocka_unit_test(test_without_a_full_text_table),
                cmocka_unit_test(test_collections_do_not_mix),
                cmocka_unit_test(test_nothing_stays_of_what_is_rolled_back),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_a_position_replaces_the_one_before),
                cmocka_unit_test(test_the_schema_gets_new_keys),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
