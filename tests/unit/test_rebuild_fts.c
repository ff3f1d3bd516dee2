/* rebuild-fts on directories of all forms, sound and damaged; what it refuses leaves every byte as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/operation/rebuild_fts.h"
#include "ops/operation/tokenizer_spec.h"
#include "tests/unit/orphan_place.h"
#include "tests/unit/sql_dir.h"

#define TRIGRAM "CREATE VIRTUAL TABLE embedding_fulltext_search USING fts5(string_value, tokenize='trigram')"
#define TABLE "embedding_fulltext_search"

struct outcome {
        int code;
        struct error e;
        struct json_object *whole, *result;
};

static struct outcome run_with(const struct schema *s, const char *line, const char *collection, const struct operation_sink *sink)
{
        struct outcome o = { .code = 0 };
        struct operation_request request = {
                .type = &operation_rebuild_fts, .line = line, .line_len = strlen(line), .collection_id = collection
        };
        o.code = operation_run(s->dirfd, &request, sink, &o.whole, &o.e);
        assert_non_null(o.whole);
        o.result = json_object_object_get(o.whole, "result");
        return o;
}

static struct outcome run(const struct schema *s, const char *line)
{
        return run_with(s, line, NULL, &(struct operation_sink){ .context = NULL });
}

static void done(struct outcome *o)
{
        (void) json_object_put(o->whole);
}

static void must_run(const struct schema *s, const char *line)
{
        struct outcome o = run(s, line);
        if (o.code < 0)
                fail_msg("%s: %s", line, o.e.text);
        done(&o);
}

static void refuses(const struct schema *s, const char *line, int err, const char *sentence)
{
        uint64_t before = orphan_place_state(s);
        struct outcome o = run(s, line);
        if (o.code != -err || strstr(o.e.text, sentence) == NULL)
                fail_msg("%s: %d %s", line, o.code, o.e.text);
        assert_true(orphan_place_state(s) == before);
        done(&o);
}

static int64_t result_number(const struct outcome *o, const char *name)
{
        struct json_object *value = NULL;
        assert_true(json_object_object_get_ex(o->result, name, &value));
        return value == NULL ? -1 : json_object_get_int64(value);
}

static const char *result_string(const struct outcome *o, const char *name)
{
        struct json_object *value = NULL;
        assert_true(json_object_object_get_ex(o->result, name, &value));
        return value == NULL ? "null" : json_object_get_string(value);
}

static void has_dump(const struct schema *s, const char *sql, const char *expected_sql)
{
        char *found = orphan_place_dump(s, NULL, sql), *expected = orphan_place_dump(s, NULL, expected_sql);
        assert_string_equal(found, expected);
        free(found);
        free(expected);
}

static void is_sound(const struct schema *s)
{
        has_dump(s, "PRAGMA integrity_check", "SELECT 'ok'");
        orphan_place_exec(s, "INSERT INTO " TABLE "(" TABLE ") VALUES ('integrity-check')");
}

static void has_sql(const struct schema *s, const char *sql)
{
        char expected[512];
        sqlite3_snprintf(sizeof(expected), expected, "SELECT %Q", sql);
        has_dump(s, "SELECT sql FROM sqlite_schema WHERE sql LIKE '%USING fts5%'", expected);
}

/* Two documents that live, 1 and 3; one record without; and documents of records that are gone. */
static void place_make(struct schema *s, int sysdb, int metadb, int queue)
{
        orphan_place_make(s, sysdb, metadb, queue);
        orphan_place_exec(s, "DELETE FROM embedding_metadata; DELETE FROM %s", metadb >= 3 ? TABLE : "embedding_fulltext");
        orphan_place_exec(
                s, "INSERT INTO embedding_metadata (id, key, string_value) VALUES (1, 'chroma:document', 'the first document'),"
                   " (3, 'chroma:document', 'something else'), (3, 'n', 'the value of a key'), (99, 'chroma:document', 'gone')");
        orphan_place_exec(s, "INSERT INTO embedding_metadata (id, key, string_value) VALUES (2, 'chroma:document', NULL)");
}

static void has_two_rows(const struct schema *s)
{
        has_dump(s, "SELECT rowid, string_value FROM " TABLE " ORDER BY rowid",
                 "SELECT 1, 'the first document' UNION ALL SELECT 3, 'something else'");
        is_sound(s);
}

static void test_content(void **state)
{
        struct schema s;
        (void) state;
        place_make(&s, 10, 6, 2);
        /* stale: of no embedding, of one without a document (NULL); with another text; and 3 is missing */
        orphan_place_exec(&s, "INSERT INTO " TABLE "(rowid, string_value) VALUES (1, 'an old text'), (2, NULL), (77, 'stale')");
        struct outcome o = run(&s, "1");
        assert_int_equal(o.code, 0);
        assert_int_equal(result_number(&o, "documents"), 2);
        assert_int_equal(result_number(&o, "rows_before"), 3);
        assert_int_equal(result_number(&o, "rows_after"), 2);
        assert_int_equal(result_number(&o, "stale_removed"), 2);
        assert_int_equal(result_number(&o, "missing_added"), 1);
        assert_string_equal(result_string(&o, "tokenizer_before"), "trigram");
        assert_string_equal(result_string(&o, "tokenizer"), "trigram");
        assert_string_equal(result_string(&o, "form"), "current");
        assert_string_equal(result_string(&o, "changes_contains"), "null");
        done(&o);
        has_sql(&s, TRIGRAM);
        has_two_rows(&s);
        has_dump(&s, "SELECT rowid FROM " TABLE " WHERE string_value MATCH 'omething'", "SELECT 3");
        orphan_place_remove(&s);
}

static void test_dry_run(void **state)
{
        struct schema s;
        (void) state;
        place_make(&s, 10, 6, 2);
        uint64_t before = orphan_place_state(&s);
        struct outcome o = run(&s, "dry_run=1 tokenizer=ascii");
        assert_int_equal(o.code, 0);
        assert_int_equal(result_number(&o, "missing_added"), 2);
        assert_string_equal(result_string(&o, "tokenizer"), "ascii");
        done(&o);
        assert_true(orphan_place_state(&s) == before);
        orphan_place_remove(&s);
}

static void test_missing_tables(void **state)
{
        static const char *const suffixes[] = { "_data", "_idx", "_content", "_docsize", "_config" };
        (void) state;
        for (size_t i = 0; i < 5; i++) {
                struct schema s;
                place_make(&s, 10, 6, 2);
                orphan_place_exec(&s, "INSERT INTO " TABLE "(rowid, string_value) VALUES (5, 'stale')");
                orphan_place_exec(&s, "DROP TABLE " TABLE "%s", suffixes[i]);
                struct outcome o = run(&s, "");
                if (o.code < 0)
                        fail_msg("%s: %s", suffixes[i], o.e.text);
                assert_int_equal(result_number(&o, "rows_before"), -1);
                assert_string_equal(result_string(&o, "tokenizer_before"), "trigram");
                done(&o);
                has_sql(&s, TRIGRAM);
                has_two_rows(&s);
                orphan_place_remove(&s);
        }
}

static void test_missing_table(void **state)
{
        struct schema s;
        (void) state;
        place_make(&s, 10, 6, 2);
        orphan_place_exec(&s, "DROP TABLE " TABLE);
        struct outcome o = run(&s, "1");
        assert_int_equal(o.code, 0);
        assert_string_equal(result_string(&o, "tokenizer_before"), "null");
        done(&o);
        has_sql(&s, TRIGRAM);
        has_two_rows(&s);
        orphan_place_exec(&s,
                          "PRAGMA writable_schema=ON; DELETE FROM sqlite_schema WHERE name = '" TABLE "'"); /* its shadows stay */
        must_run(&s, "1");
        has_sql(&s, TRIGRAM);
        has_two_rows(&s);
        orphan_place_remove(&s);
}

static void test_damaged_configuration(void **state)
{
        struct schema s;
        (void) state;
        place_make(&s, 10, 6, 2);
        orphan_place_exec(&s, "UPDATE " TABLE "_config SET v = 99 WHERE k = 'version'");
        must_run(&s, "1");
        has_two_rows(&s);
        orphan_place_exec(&s, "UPDATE " TABLE "_data SET block = x'ff' WHERE id = 10");
        must_run(&s, "1");
        has_two_rows(&s);
        orphan_place_remove(&s);
}

static void test_something_else(void **state)
{
        struct schema s;
        (void) state;
        place_make(&s, 10, 6, 2);
        orphan_place_exec(&s, "DROP TABLE " TABLE "; CREATE TABLE " TABLE " (string_value); INSERT INTO " TABLE " VALUES ('mine')");
        refuses(&s, "1", EILSEQ, "not the full-text table");
        orphan_place_exec(&s, "DROP TABLE " TABLE "; CREATE TABLE " TABLE "_data (mine); CREATE INDEX " TABLE " ON " TABLE
                              "_data (mine)");
        refuses(&s, "1", EILSEQ, "not the full-text table");
        orphan_place_remove(&s);
}

/* A schema that no Chroma makes: the same document twice. */
static void test_collision(void **state)
{
        struct schema s;
        (void) state;
        place_make(&s, 10, 6, 2);
        orphan_place_exec(
                &s,
                "CREATE TABLE m AS SELECT * FROM embedding_metadata; DROP TABLE embedding_metadata; ALTER TABLE m RENAME TO"
                " embedding_metadata; INSERT INTO embedding_metadata (id, key, string_value) VALUES (1, 'chroma:document', 'x')");
        refuses(&s, "1", EILSEQ, "");
        orphan_place_remove(&s);
}

/* Tokenizers. */

static void test_tokenizers(void **state)
{
        static const struct {
                const char *line, *canonical, *stored;
        } rows[] = {
                { "tokenizer=unicode61", "unicode61", "'unicode61'" },
                { "tokenizer=%20unicode61%20%20remove_diacritics%202", "unicode61 remove_diacritics 2",
                  "'unicode61 remove_diacritics 2'" },
                { "tokenizer=unicode61%20tokenchars%20'-_%27%27%22'", "unicode61 tokenchars '-_''\"'",
                  "'unicode61 tokenchars ''-_''''\"'''" },
                { "tokenizer=ascii%20separators%20x", "ascii separators 'x'", "'ascii separators ''x'''" },
                { "tokenizer=porter", "porter", "'porter'" },
                { "tokenizer=porter%20unicode61%20categories%20'L*%20N*'", "porter unicode61 categories 'L* N*'",
                  "'porter unicode61 categories ''L* N*'''" },
                { "tokenizer=trigram%20case_sensitive%201", "trigram case_sensitive 1", "'trigram case_sensitive 1'" },
        };
        struct schema s;
        (void) state;
        place_make(&s, 10, 6, 2);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char sql[256];
                (void) snprintf(sql, sizeof(sql), "CREATE VIRTUAL TABLE " TABLE " USING fts5(string_value, tokenize=%s)",
                                rows[i].stored);
                for (int again = 0; again < 2; again++) { /* without the option it stays */
                        struct outcome o = run(&s, again ? "1" : rows[i].line);
                        if (o.code < 0)
                                fail_msg("%s: %s", rows[i].line, o.e.text);
                        assert_string_equal(result_string(&o, "tokenizer"), rows[i].canonical);
                        if (again)
                                assert_string_equal(result_string(&o, "tokenizer_before"), rows[i].canonical);
                        done(&o);
                        has_sql(&s, sql);
                        has_two_rows(&s);
                }
        }
        struct outcome o = run(&s, "tokenizer=trigram");
        assert_int_equal(o.code, 0);
        assert_non_null(strstr(result_string(&o, "changes_contains"), "index"));
        done(&o);
        orphan_place_remove(&s);
}

static void test_refused_tokenizers(void **state)
{
        static const char *const lines[] = {
                "tokenizer=unicode",
                "tokenizer=TRIGRAM",
                "tokenizer=trigram%20case_sensitive",
                "tokenizer=trigram%20case_sensitive%202",
                "tokenizer=trigram%20case_sensitive%2001",
                "tokenizer=trigram%20case_sensitive%200%20case_sensitive%201",
                "tokenizer=trigram%20remove_diacritics%201",
                "tokenizer=unicode61%20remove_diacritics%203",
                "tokenizer=unicode61%20tokenchars",
                "tokenizer=unicode61%20tokenchars%20'x",
                "tokenizer=unicode61%20tokenchars%20'x'y",
                "tokenizer=unicode61%20tokenchars%20%22x%22",
                "tokenizer=unicode61%20tokenchars%20'%0A'",
                "tokenizer=unicode61%20tokenchars%20'%FF'",
                "tokenizer=unicode61%20categories%20'XX'",
                "tokenizer=unicode61%20categories%20''",
                "tokenizer=unicode61%20categories%20'L'",
                "tokenizer=unicode61%20categories%20'L*N*'",
                "tokenizer=unicode61%20categories%20'L*%20%20N*'",
                "tokenizer=ascii%20remove_diacritics%201",
                "tokenizer=porter%20porter",
                "tokenizer=trigram')%3BDROP%20TABLE%20embeddings%3B--",
                "tokenizer=trigram,%20content%3D''",
                "tokenizer='trigram'",
                "tokenizer=%20",
                "tokenizer=unicode61%09",
        };
        struct schema s;
        (void) state;
        place_make(&s, 10, 6, 2);
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
                refuses(&s, lines[i], EINVAL, "okenizer");
        orphan_place_remove(&s);
}

static void test_longest_tokenizer(void **state)
{
        char long_text[TOKENIZER_MAX + 100] = "unicode61 tokenchars '", canonical[TOKENIZER_MAX];
        struct error e = { 0 };
        (void) state;
        for (size_t len = TOKENIZER_MAX - 3; len < TOKENIZER_MAX + 3; len++) {
                memset(long_text + 22, '-', len - 23);
                long_text[len - 1] = '\'';
                struct text text = { long_text, len };
                assert_int_equal(tokenizer_spec_parse(&text, canonical, &e), len < TOKENIZER_MAX ? 0 : -EINVAL);
        }
}

static void test_tokenizer_in_force(void **state)
{
        struct schema s;
        (void) state;
        place_make(&s, 10, 6, 2);
        orphan_place_exec(&s, "DROP TABLE " TABLE "; CREATE VIRTUAL TABLE " TABLE " USING fts5(string_value)");
        struct outcome o = run(&s, "1");
        assert_int_equal(o.code, 0);
        assert_string_equal(result_string(&o, "tokenizer_before"), "unicode61");
        assert_string_equal(result_string(&o, "tokenizer"), "unicode61");
        done(&o);
        orphan_place_exec(&s, "DROP TABLE " TABLE "; CREATE VIRTUAL TABLE " TABLE
                              " USING fts5(string_value, tokenize='unicode61 remove_diacritics 0 remove_diacritics 1')");
        refuses(&s, "1", EINVAL, "tokenizer=");
        must_run(&s, "tokenizer=trigram");
        has_two_rows(&s);
        orphan_place_remove(&s);
}

static void test_old_form(void **state)
{
        struct schema s;
        (void) state;
        place_make(&s, 3, 2, 1);
        orphan_place_exec(
                &s,
                "INSERT INTO embedding_fulltext (id, string_value) VALUES (1, 'the first document'), (1, 'twice'), (99, 'gone')");
        struct outcome o = run(&s, "1");
        assert_int_equal(o.code, 0);
        assert_string_equal(result_string(&o, "form"), "old");
        assert_int_equal(result_number(&o, "rows_before"), 3);
        assert_int_equal(result_number(&o, "stale_removed"), 2);
        assert_int_equal(result_number(&o, "missing_added"), 1);
        done(&o);
        has_sql(&s, "CREATE VIRTUAL TABLE embedding_fulltext USING fts5(id, string_value)");
        has_dump(&s, "SELECT id, string_value FROM embedding_fulltext ORDER BY rowid",
                 "SELECT 1, 'the first document' UNION ALL SELECT 3, 'something else'");
        must_run(&s, "tokenizer=trigram");
        has_sql(&s, "CREATE VIRTUAL TABLE embedding_fulltext USING fts5(id, string_value, tokenize='trigram')");
        orphan_place_remove(&s);
}

/* Others. */

static void test_one_collection(void **state)
{
        struct schema s;
        char id[37];
        (void) state;
        place_make(&s, 10, 6, 2);
        uint64_t before = orphan_place_state(&s);
        struct outcome o = run_with(&s, "1", test_uuid(PLACE_LIVE, id), &(struct operation_sink){ .context = NULL });
        assert_int_equal(o.code, -EINVAL);
        done(&o);
        assert_true(orphan_place_state(&s) == before);
        orphan_place_remove(&s);
}

struct watch {
        bool indexing;
        uint64_t last, total;
};

static void on_progress(void *context, const struct operation_progress *progress)
{
        struct watch *watch = context;
        if (strcmp(progress->phase, "indexing") != 0)
                return;
        assert_true(progress->done > watch->last && progress->done <= progress->total);
        watch->indexing = true;
        watch->last = progress->done;
        watch->total = progress->total;
}

static bool on_cancelled(void *context)
{
        return ((struct watch *) context)->indexing;
}

static void test_cancel(void **state)
{
        struct schema s;
        struct watch watch = { .indexing = false };
        (void) state;
        place_make(&s, 10, 6, 2);
        orphan_place_exec(&s, "WITH RECURSIVE c(x) AS (SELECT 100 UNION ALL SELECT x + 1 FROM c WHERE x < 20000)"
                              " INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) SELECT x, 's', 'big' || x, 1 FROM c");
        orphan_place_exec(
                &s, "INSERT INTO embedding_metadata (id, key, string_value) SELECT id, 'chroma:document', hex(randomblob(100))"
                    " FROM embeddings WHERE id >= 100");
        uint64_t before = orphan_place_state(&s);
        struct outcome o = run_with(&s, "1", NULL, &(struct operation_sink){ &watch, on_progress, on_cancelled });
        assert_int_equal(o.code, -ECANCELED);
        assert_true(watch.indexing && watch.total == 19903);
        done(&o);
        assert_true(orphan_place_state(&s) == before);
        orphan_place_remove(&s);
}

/* Beside a writer that never rests every plan is an old one, and the last try plans again inside its transaction. */

static pid_t start_writer(const struct schema *s)
{
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
                orphan_place_exec(
                        s,
                        "PRAGMA busy_timeout=10000; PRAGMA synchronous=OFF; UPDATE embeddings SET seq_id = seq_id + 1 WHERE id = 2;"
                        " INSERT OR REPLACE INTO embedding_metadata (id, key, string_value)"
                        " VALUES (2, 'chroma:document', 'busy ' || random())");
        }
}

static void test_busy_writer(void **state)
{
        struct schema s;
        (void) state;
        place_make(&s, 10, 6, 2);
        pid_t writer = start_writer(&s);
        while (orphan_place_number(&s, "SELECT count(*) FROM embedding_metadata WHERE string_value LIKE 'busy%'") == 0)
                (void) usleep(1000);
        struct outcome o = run(&s, "force=1");
        (void) kill(writer, SIGKILL);
        (void) waitpid(writer, NULL, 0);
        if (o.code < 0)
                fail_msg("%s", o.e.text);
        assert_int_equal(result_number(&o, "documents"), 3);
        assert_int_equal(result_number(&o, "rows_after"), 3);
        done(&o);
        has_dump(&s, "SELECT rowid FROM " TABLE " ORDER BY rowid", "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3");
        is_sound(&s);
        orphan_place_remove(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_content),
                cmocka_unit_test(test_dry_run),
                cmocka_unit_test(test_missing_tables),
                cmocka_unit_test(test_missing_table),
                cmocka_unit_test(test_damaged_configuration),
                cmocka_unit_test(test_something_else),
                cmocka_unit_test(test_collision),
                cmocka_unit_test(test_tokenizers),
                cmocka_unit_test(test_refused_tokenizers),
                cmocka_unit_test(test_longest_tokenizer),
                cmocka_unit_test(test_tokenizer_in_force),
                cmocka_unit_test(test_old_form),
                cmocka_unit_test(test_one_collection),
                cmocka_unit_test(test_cancel),
                cmocka_unit_test(test_busy_writer),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
