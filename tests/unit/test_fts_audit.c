#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/fts_audit.h"
#include "tests/unit/fixture.h"
#include "tests/unit/sql_dir.h"

static int setup(void **state)
{
        static struct sql_dir d;
        sql_dir_make(&d);
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        sql_dir_remove(*state);
        return 0;
}

static struct fts_audit audit(const struct sql_dir *d, const struct catalog *catalog)
{
        struct db *db = sql_dir_open(d);
        struct fts_audit a;
        struct error e = { 0 };
        if (fts_audit_read(db, catalog, &a, &e) < 0)
                fail_msg("%s", e.text);
        (void) db_close(db);
        return a;
}

static const struct catalog with_fts = { .has_fts = true, .version.metadb = 6 };

static void right_index(void **state)
{
        sql_dir_exec(
                *state,
                "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES (1,'s','a',1), (2,'s','b',1), (7,'s','c',1);"
                "INSERT INTO embedding_metadata (id, key, string_value) VALUES (1, 'chroma:document', 'one'), (7, "
                "'chroma:document', ''),"
                " (2, 'chroma:uri', 'u'), (1, 'a', 'b'), (1, 'z', 'b');"
                "INSERT INTO embedding_fulltext_search (rowid, string_value) VALUES (1, 'one'), (7, '')");
        struct fts_audit a = audit(*state, &with_fts);
        assert_int_equal(a.form, FTS_CURRENT);
        assert_int_equal(a.stale, 0);
        assert_int_equal(a.missing, 0);
        assert_true(a.exact);
}

static void stale_and_missing(void **state)
{
        sql_dir_exec(*state, "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES (-4,'s','a',1), (2,'s','b',1), "
                             "(3,'s','c',1), (4,'s','d',1);"
                             "INSERT INTO embedding_metadata (id, key, string_value) VALUES (-4, 'chroma:document', 'm'), (2, "
                             "'chroma:document', NULL),"
                             " (3, 'k', 'v'), (4, 'chroma:document', 'ok'), (50, 'chroma:document', 'of no embedding');"
                             "INSERT INTO embedding_fulltext_search (rowid, string_value) VALUES (2, NULL), (3, 'x'), (4, 'ok'),"
                             " (50, 'y'), (-9223372036854775807 - 1, 'first'), (9223372036854775807, 'last')");
        struct fts_audit a = audit(*state, &with_fts);
        assert_int_equal(a.missing, 1); /* -4 */
        assert_int_equal(a.stale, 5);   /* 2, 3, 50, and both ends */
}

static void forms(void **state)
{
        struct catalog catalog = { .has_fts = false, .version.metadb = 2 };
        assert_int_equal(audit(*state, &catalog).form, FTS_MISSING);
        catalog.has_fts = true;
        assert_int_equal(audit(*state, &catalog).form, FTS_OLD);
        catalog.version.metadb = 3;
        assert_int_equal(audit(*state, &catalog).form, FTS_CURRENT);
        catalog.has_fts = false;
        assert_int_equal(audit(*state, &catalog).form, FTS_MISSING);
}

static void tables_gone_since(void **state)
{
        sql_dir_exec(*state, "DROP TABLE embedding_fulltext_search");
        struct db *db = sql_dir_open(*state);
        struct fts_audit a;
        struct error e = { 0 };
        assert_int_equal(fts_audit_read(db, &with_fts, &a, &e), -EILSEQ);
        assert_non_null(strstr(e.text, "embedding_fulltext_search_docsize"));
        (void) db_close(db);
}

/* Documents twice for one record, which the primary key forbids: said, not counted. */
static void strange_metadata(void **state)
{
        sql_dir_exec(*state, "DROP TABLE embedding_metadata; CREATE TABLE embedding_metadata (id, key, string_value);"
                             "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES (1,'s','a',1);"
                             "INSERT INTO embedding_metadata VALUES (1, 'chroma:document', 'x'), (1, 'chroma:document', 'y')");
        struct db *db = sql_dir_open(*state);
        struct fts_audit a;
        struct error e = { 0 };
        assert_int_equal(fts_audit_read(db, &with_fts, &a, &e), -EILSEQ);
        assert_string_equal(e.text, "table embeddings: key 1 occurs twice or out of order");
        (void) db_close(db);
}

static void tokenizers(void **state)
{
        (void) state;
        static const struct {
                const char *sql, *tokenizer;
        } cases[] = {
                { "CREATE VIRTUAL TABLE embedding_fulltext_search USING fts5(string_value, tokenize='trigram')", "trigram" },
                { "create virtual table t using FTS5 ( string_value , TOKENIZE = \"unicode61 remove_diacritics 2\" )",
                  "unicode61 remove_diacritics 2" },
                { "CREATE VIRTUAL TABLE t USING fts5(string_value, tokenize=trigram)", "trigram" },
                { "CREATE VIRTUAL TABLE t USING fts5(string_value, tokenize = 'unicode61 tokenchars ''-_''')",
                  "unicode61 tokenchars '-_'" },
                { "CREATE VIRTUAL TABLE t USING fts5(string_value, tokenize=\"unicode61 tokenchars '\"\"'\")",
                  "unicode61 tokenchars '\"'" },
                { "CREATE VIRTUAL TABLE t USING fts5(a, tokenize=[porter ascii])", "porter ascii" },
                { "CREATE VIRTUAL TABLE t USING fts5(a, tokenize=`ascii`, prefix='2 3')", "ascii" },
                { "CREATE VIRTUAL TABLE t USING fts5(a, prefix='2,3', tok=ascii)", "ascii" },
                { "CREATE VIRTUAL TABLE \"a(tokenize='x',\" USING fts5('tokenize=y', a, tokenize='z')", "z" },
                { "CREATE VIRTUAL TABLE t USING fts5(a, b)", "" },
                { "CREATE VIRTUAL TABLE t USING fts5(a, 'tokenize' = 'x')", "" },
                { "CREATE VIRTUAL TABLE t USING fts5(a, tokenizer='x')", "" },
                { "CREATE VIRTUAL TABLE t USING fts5(tokenize UNINDEXED)", "" },
                { "CREATE VIRTUAL TABLE t USING fts5(a, tokenize='unterminated", "unterminated" },
                { "CREATE VIRTUAL TABLE t USING fts5(a, tokenize=", "" },
                { "CREATE VIRTUAL TABLE t USING fts5(a, tokenize='ends with a quote''", "ends with a quote'" },
                { "CREATE VIRTUAL TABLE t USING fts5", "" },
                { "(((((", "" },
                { "'", "" },
                { "", "" },
        };
        char buffer[64];
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                /* A copy of exactly the text's size: a byte read too far shows under a sanitizer. */
                size_t len = strlen(cases[i].sql);
                char *copy = malloc(len + 1);
                memcpy(copy, cases[i].sql, len);
                struct text sql = { .bytes = realloc(copy, len + (len == 0)), .len = len };
                fts_tokenizer(&sql, buffer, sizeof(buffer));
                assert_string_equal(buffer, cases[i].tokenizer);
                free(sql.bytes);
        }
}

static void tokenizer_that_does_not_fit(void **state)
{
        (void) state;
        char buffer[8];
        struct text quoted = text_of("x(tokenize='unicode61')"), word = text_of("x(tokenize=unicode61)");
        fts_tokenizer(&quoted, buffer, sizeof(buffer));
        assert_string_equal(buffer, "unicode");
        fts_tokenizer(&word, buffer, sizeof(buffer));
        assert_string_equal(buffer, "unicode");
        fts_tokenizer(&word, buffer, 1);
        assert_string_equal(buffer, "");
        fts_tokenizer(&word, NULL, 0);
}

static int64_t number(struct db *db, const char *sql)
{
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(db_begin(db, NULL), 0);
        assert_int_equal(db_prepare(db, &stmt, NULL, sql), 0);
        assert_int_equal(db_step(db, stmt, NULL), 1);
        int64_t n = sqlite3_column_int64(stmt, 0);
        (void) sqlite3_finalize(stmt);
        db_end(db);
        return n;
}

/* Against sets, which cost more but are plain. */
static void check_fixture(const struct fixture *f)
{
        struct fts_audit a;
        struct error e = { 0 };
        char tokenizer[64];
        if (fts_audit_read(f->db, f->catalog, &a, &e) < 0)
                fail_msg("%s: %s", f->name, e.text);
        if (f->catalog->version.metadb < 3) {
                assert_int_equal(a.form, FTS_OLD);
                return;
        }
        fts_tokenizer(&f->catalog->fts_sql, tokenizer, sizeof(tokenizer));
        assert_string_equal(tokenizer, "trigram");
        assert_int_equal(a.form, FTS_CURRENT);
#define DOCUMENTS                                                                                                                  \
        "SELECT e.id FROM embedding_metadata m JOIN embeddings e USING (id) WHERE key = 'chroma:document' AND string_value IS "    \
        "NOT NULL"
#define ROWS "SELECT id FROM embedding_fulltext_search_docsize"
        assert_int_equal(a.stale, number(f->db, "SELECT count(*) FROM (" ROWS " EXCEPT " DOCUMENTS ")"));
        assert_int_equal(a.missing, number(f->db, "SELECT count(*) FROM (" DOCUMENTS " EXCEPT " ROWS ")"));
        /* What the migration of 0.4.3's index leaves, and rows of records that 0.4.24 deleted. */
        bool migrated = strncmp(f->name, "chroma-0.4.3-upgraded", 21) == 0, left_over = strncmp(f->name, "chroma-0.4.24", 13) == 0;
        assert_int_equal(a.missing > 0, migrated);
        assert_int_equal(a.stale > 0, migrated || left_over);
}

static void fixtures(void **state)
{
        (void) state;
        each_fixture(check_fixture);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(right_index, setup, teardown),
                cmocka_unit_test_setup_teardown(stale_and_missing, setup, teardown),
                cmocka_unit_test_setup_teardown(forms, setup, teardown),
                cmocka_unit_test_setup_teardown(tables_gone_since, setup, teardown),
                cmocka_unit_test_setup_teardown(strange_metadata, setup, teardown),
                cmocka_unit_test(tokenizers),
                cmocka_unit_test(tokenizer_that_does_not_fit),
                cmocka_unit_test(fixtures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
