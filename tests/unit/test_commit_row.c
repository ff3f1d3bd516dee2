/*
 * What real Chroma 0.4.24, 0.6.3, 1.0.20 and 1.5.9 made of the same rows, put into their logs: `python`, `rust` and `arrays` are their generations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/json.h"
#include "ops/commit/row.h"
#include "ops/wal/row.h"

enum generation { PYTHON, RUST, ARRAYS, GENERATIONS };
static const char *const generation_names[] = { "python", "rust", "arrays" };

static sqlite3 *open_log(void)
{
        sqlite3 *db = NULL;
        assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
        assert_int_equal(
                sqlite3_exec(db,
                             "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, created_at TIMESTAMP NOT NULL DEFAULT "
                             "CURRENT_TIMESTAMP, operation INTEGER NOT NULL, topic TEXT NOT NULL, id TEXT NOT NULL, vector BLOB,"
                             " encoding TEXT, metadata TEXT)",
                             NULL, NULL, NULL),
                SQLITE_OK);
        return db;
}

/* The only row. */
static sqlite3_stmt *select_row(sqlite3 *db)
{
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT " COMMIT_ROW_COLUMNS " FROM embeddings_queue", -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        return stmt;
}

/* A row of these columns, as SQL has them. */
static sqlite3 *log_of(const char *columns, const char *values)
{
        sqlite3 *db = open_log();
        char *sql =
                sqlite3_mprintf("INSERT INTO embeddings_queue (seq_id, topic, %s) VALUES (7, 'persistent://default/default/c', %s)",
                                columns, values);
        char *message = NULL;
        if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
                fail_msg("%s: %s", message, sql);
        sqlite3_free(sql);
        return db;
}

static struct commit_row_rules rules_of(enum generation generation)
{
        struct commit_row_rules rules = { .has_dimension = true, .dimension = 3 };
        chroma_version_of(generation == PYTHON ? 9 : 10, generation == PYTHON ? 4 : generation == RUST ? 5 : 6, 2, &rules.version);
        return rules;
}

static void print_text(FILE *out, const struct text *t)
{
        for (size_t i = 0; i < t->len; i++)
                (void) (t->bytes[i] == '\0' ? fputs("\\0", out) : fputc(t->bytes[i], out));
        assert_int_equal(t->bytes[t->len], '\0');
}

static void print_value(FILE *out, const struct commit_value *value)
{
        char buffer[32];
        if (value->type == COMMIT_NULL)
                (void) fprintf(out, "null");
        else if (value->type == COMMIT_STRING)
                print_text(out, &value->string);
        else if (value->type == COMMIT_INT)
                (void) fprintf(out, "%" PRId64, value->integer);
        else if (value->type == COMMIT_FLOAT)
                (void) fprintf(out, "%s", json_format_double(value->real, buffer));
        else if (value->type == COMMIT_BOOL)
                (void) fprintf(out, "%s", value->integer == 1 ? "true" : value->integer == 0 ? "false" : "?");
        for (size_t i = 0; i < value->item_count; i++) {
                (void) fprintf(out, "%s", i == 0 ? "[" : " ");
                assert_int_equal(value->items[i].key.len, 0);
                print_value(out, &value->items[i]);
        }
        if (value->type == COMMIT_ARRAY)
                (void) fprintf(out, "]");
}

/* "OP id v k=value …"; "!" and why when it is rejected; "~" before an incomplete one. */
static void describe(FILE *out, int r, const struct commit_row *row, const struct error *why)
{
        static const char *const operations[] = { "ADD", "UPDATE", "UPSERT", "DELETE" };
        assert_int_equal(row->seq_id, 7);
        if (r != 0) {
                assert_int_equal(r, 1);
                assert_null(row->values);
                assert_int_equal(why->code, -EILSEQ);
                (void) fprintf(out, "!%s", why->text);
                return;
        }
        (void) fprintf(out, "%s%s ", row->incomplete ? "~" : "", operations[row->operation]);
        print_text(out, &row->id);
        (void) fprintf(out, "%s", row->vector != NULL ? " v" : "");
        for (size_t i = 0; i < row->value_count; i++) {
                (void) fprintf(out, " ");
                print_text(out, &row->values[i].key);
                (void) fprintf(out, "=");
                print_value(out, &row->values[i]);
        }
}

/* The description, to be freed. */
static char *decode(sqlite3 *db, const struct commit_row_rules *rules)
{
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        assert_non_null(out);
        sqlite3_stmt *stmt = select_row(db);
        struct commit_row row;
        struct error why = { 0 }, e = { 0 };
        int r = commit_row_decode(stmt, rules, &row, &why, &e);
        describe(out, r, &row, &why);
        assert_int_equal(fclose(out), 0);
        assert_int_equal(e.code, 0);
        if (row.vector != NULL)
                assert_ptr_equal(row.vector, sqlite3_column_blob(stmt, 5));
        commit_row_clear(&row);
        assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
        return text;
}

static void check(const char *columns, const char *values, enum generation generation, const char *expected)
{
        sqlite3 *db = log_of(columns, values);
        struct commit_row_rules rules = rules_of(generation);
        char *text = decode(db, &rules);
        bool same = expected[0] == '!' ? text[0] == '!' && strstr(text, expected + 1) != NULL : strcmp(text, expected) == 0;
        if (!same)
                fail_msg("%s of %s: '%s' instead of '%s'", generation_names[generation], values, text, expected);
        free(text);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#define SAME NULL /* as the generation before */

struct metadata_case {
        const char *json;
        const char *expected[GENERATIONS]; /* behind "ADD x v" */
};

static const struct metadata_case metadata_cases[] = {
        { "{}", { "", SAME, SAME } },
        { " {\r\n\t} ", { "", SAME, SAME } },
        { "{\"k\": 1, \"s\": \"a\", \"f\": 1.5, \"t\": true, \"u\": false, \"n\": null}",
          { " k=1 s=a f=1.5 t=true u=false n=null", SAME, SAME } },
        { "{\"\":1}", { " =1", SAME, SAME } },
        { "{\"k\":1,\"j\":2,\"k\":\"two\"}", { " j=2 k=two", SAME, SAME } },
        { "{\"k\":1,\"k\":null}", { " k=null", SAME, SAME } },
        { "{\"k\":[1],\"k\":2}", { " k=2", "!array", " k=2" } },
        { "{\"k\":2,\"k\":[1]}", { "", "!array", " k=[1]" } },
        { "{\"s\":\"\\ud83d\\ude00\\u0000\\u00e4\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", { " s=😀\\0ä\"\\/\b\f\n\r\t", SAME, SAME } },
        { "{\"k\\u0000y\":1}", { " k\\0y=1", SAME, SAME } },
        /* integers */
        { "{\"k\":9223372036854775807,\"m\":-9223372036854775808}",
          { " k=9223372036854775807 m=-9223372036854775808", SAME, SAME } },
        { "{\"k\":9223372036854775808,\"m\":-9223372036854775809}",
          { " k=9.223372036854776e+18 m=-9.223372036854776e+18", SAME, SAME } },
        { "{\"k\":18446744073709551616}", { " k=1.8446744073709552e+19", SAME, SAME } },
        { "{\"k\":1180591620717411303424}", { " k=1.1805916207174113e+21", SAME, SAME } },
        { "{\"k\":-0,\"f\":-0.0}", { " k=0 f=-0.0", " k=-0.0 f=-0.0", SAME } },
        /* doubles */
        { "{\"k\":1e2,\"l\":1E+2,\"m\":100e-2,\"n\":0.1,\"o\":1e-400,\"p\":5e-324,\"q\":0e999}",
          { " k=100.0 l=100.0 m=1.0 n=0.1 o=0.0 p=5e-324 q=0.0", SAME, SAME } },
        { "{\"k\":1e400}", { " k=inf", "!beyond the doubles, at byte 5", SAME } },
        { "{\"k\":NaN,\"j\":Infinity,\"i\":-Infinity}", { " k=nan j=inf i=-inf", "!not finite", SAME } },
        { "{\"k\":-Infinity}", { " k=-inf", "!not finite", SAME } },
        { "{\"k\":01}", { "!no number", SAME, SAME } },
        { "{\"k\":1.}", { "!no number", SAME, SAME } },
        { "{\"k\":.5}", { "!no value", SAME, SAME } },
        { "{\"k\":-}", { "!no number", SAME, SAME } },
        { "{\"k\":1e}", { "!no number", SAME, SAME } },
        { "{\"k\":0x10}", { "!neither a comma", SAME, SAME } },
        { "{\"k\":nul}", { "!no value", SAME, SAME } },
        /* arrays and objects */
        { "{\"k\":[],\"j\":1}", { " j=1", "!array", " k=null j=1" } },
        { "{\"k\":[1,2],\"s\":[\"a\",\"b\"],\"f\":[1.5],\"b\":[true,false]}",
          { "", "!array", " k=[1 2] s=[a b] f=[1.5] b=[true false]" } },
        { "{\"k\":[1,2.5],\"j\":1}", { " j=1", "!array", " k=[1.0 2.5] j=1" } },
        { "{\"k\":[1,9223372036854775808]}", { "", "!array", " k=[1.0 9.223372036854776e+18]" } },
        { "{\"k\":[1,\"a\"]}", { "", "!array", "!not of one type" } },
        { "{\"k\":[true,1]}", { "", "!array", "!not of one type" } },
        { "{\"k\":[null]}", { "", "!array", "!not of one type" } },
        { "{\"k\":[[1]]}", { "", "!array", "!inside" } },
        { "{\"k\":[null,[1],[0.5],null]}", { "", "!array", "!inside" } }, /* a sparse vector, to 1.5 */
        { "{\"k\":[1,]}", { "!no value", "!array", "!no value" } },
        { "{\"k\":[1 2]}", { "!neither", "!array", "!neither" } },
        { "{\"k\":{\"a\":[1,{}]},\"j\":1}", { " j=1", "!object", SAME } },
        { "{\"k\":{\"indices\":[1],\"values\":[0.5]},\"j\":1}", { " j=1", "!object", SAME } },
        { "{\"k\":{\"a\":\"\\ud800\"},\"j\":1}", { " j=1", "!object", SAME } },
        { "{\"k\":{\"a\" 1}}", { "!no colon", "!object", SAME } },
        /* the document */
        { "{\"chroma:document\":\"text\",\"chroma:uri\":\"u\"}", { " chroma:document=text chroma:uri=u", SAME, SAME } },
        { "{\"chroma:document\":null,\"j\":1}", { " chroma:document=null j=1", "!document", SAME } },
        { "{\"chroma:document\":5}", { "!document", SAME, SAME } },
        { "{\"chroma:document\":[\"a\"]}", { "", "!array", "!document" } },
        { "{\"chroma:uri\":null}", { " chroma:uri=null", SAME, SAME } },
        /* no metadata */
        { "", { "", "!no object", SAME } },
        { "null", { "", "!no object", SAME } },
        { "[1]", { "~", "!no object", SAME } },
        { "5", { "~", "!no object", SAME } },
        { "{\"k\":1", { "!neither", SAME, SAME } },
        { "{\"k\":1,}", { "!no string", SAME, SAME } },
        { "{\"k\" 1}", { "!no colon", SAME, SAME } },
        { "{\"k\":1} x", { "!behind the value, at byte 8 of 9", SAME, SAME } },
        { "{\"k\":\"a\tb\"}", { "!control character", SAME, SAME } },
        { "{\"k\":\"a\\x\"}", { "!escape", SAME, SAME } },
        { "{\"k\":\"a\\u12g4\"}", { "!hexadecimal", SAME, SAME } },
        { "{\"k\":\"a", { "!without an end", SAME, SAME } },
        { "{\"k\":\"a\\", { "!without an end", SAME, SAME } },
        { "{k:1}", { "!no string", SAME, SAME } },
        { "{\"k\":\"a\\ud800b\",\"j\":1}", { "~", "!surrogates", SAME } },
        { "{\"\\ud800\":[],\"j\":1}", { " j=1", "!surrogates", SAME } },
        { "{\"k\":\"\\udc00\\ud800\"}", { "~", "!surrogates", SAME } },
};

static void check_metadata(const struct metadata_case *c)
{
        const char *expected = "";
        char *values = sqlite3_mprintf("0, 'x', x'000000000000000000000000', 'FLOAT32', %Q", c->json);
        for (int g = 0; g < GENERATIONS; g++) {
                char text[1024];
                expected = c->expected[g] != SAME ? c->expected[g] : expected;
                bool incomplete = expected[0] == '~';
                (void) snprintf(text, sizeof text, "%sADD x v%s", incomplete ? "~" : "", incomplete ? expected + 1 : expected);
                check("operation, id, vector, encoding, metadata", values, (enum generation) g,
                      expected[0] == '!' ? expected : text);
        }
        sqlite3_free(values);
}

static void metadata(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof metadata_cases / sizeof *metadata_cases; i++)
                check_metadata(&metadata_cases[i]);
}

#define V12 "x'000010410000004100000041'"

static const struct {
        const char *values; /* operation, id, vector, encoding, metadata */
        const char *expected[GENERATIONS];
} column_cases[] = {
        { "0, 'x', " V12 ", 'FLOAT32', NULL", { "ADD x v", SAME, SAME } },
        { "1, 'x', " V12 ", 'FLOAT32', '{}'", { "UPDATE x v", SAME, SAME } },
        { "2, 'x', " V12 ", 'FLOAT32', '{}'", { "UPSERT x v", SAME, SAME } },
        { "3, 'x', NULL, NULL, '{}'", { "DELETE x", SAME, SAME } },
        { "3, 'x', x'00000000', 'FLOAT32', NULL", { "DELETE x", SAME, SAME } },
        /* operations and ids */
        { "4, 'x', NULL, NULL, '{}'", { "!operation 4", SAME, SAME } },
        { "-1, 'x', NULL, NULL, '{}'", { "!operation -1", SAME, SAME } },
        { "'add', 'x', NULL, NULL, '{}'", { "!no number", SAME, SAME } },
        { "1.5, 'x', NULL, NULL, '{}'", { "!no number", SAME, SAME } },
        { "0, '', " V12 ", 'FLOAT32', NULL", { "ADD  v", SAME, SAME } },
        { "0, 5, " V12 ", 'FLOAT32', NULL", { "ADD 5 v", SAME, SAME } },
        { "0, CAST(x'610062' AS TEXT), " V12 ", 'FLOAT32', NULL", { "ADD a\\0b v", SAME, SAME } },
        { "0, x'78', " V12 ", 'FLOAT32', NULL", { "!no text", SAME, SAME } },
        { "0, CAST(x'78ff' AS TEXT), " V12 ", 'FLOAT32', NULL", { "!no UTF-8", SAME, SAME } },
        /* no vector */
        { "0, 'x', NULL, NULL, '{\"k\":1}'", { "ADD x k=1", SAME, SAME } },
        { "0, 'x', NULL, NULL, NULL", { "ADD x", SAME, SAME } },
        { "2, 'x', NULL, NULL, '{\"k\":1}'", { "UPSERT x k=1", SAME, SAME } },
        { "2, 'x', NULL, NULL, '{}'", { "UPSERT x", "!without a vector", SAME } },
        { "1, 'x', NULL, NULL, '{\"k\":1}'", { "UPDATE x k=1", SAME, SAME } },
        { "1, 'x', NULL, 'INT32', '{\"k\":1}'", { "UPDATE x k=1", SAME, SAME } },
        { "1, 'x', NULL, 'junk', '{\"k\":1}'", { "UPDATE x k=1", "!encoding is unknown", SAME } },
        { "0, 'x', x'', 'FLOAT32', '{\"k\":1}'", { "ADD x k=1", "!whole number", SAME } },
        { "1, 'x', x'', 'FLOAT32', '{\"k\":1}'", { "UPDATE x k=1", "!whole number", SAME } },
        /* encodings */
        { "0, 'x', " V12 ", NULL, '{\"k\":1}'", { "!no encoding", SAME, SAME } },
        { "2, 'x', " V12 ", NULL, '{\"k\":1}'", { "!no encoding", SAME, SAME } },
        { "1, 'x', " V12 ", NULL, '{\"k\":1}'", { "!no encoding", "UPDATE x k=1", SAME } },
        { "0, 'x', " V12 ", 'INT32', NULL", { "!integers", SAME, SAME } },
        { "0, 'x', " V12 ", 'float32', NULL", { "!unknown", SAME, SAME } },
        { "0, 'x', " V12 ", x'464c4f41543332', NULL", { "!unknown", SAME, SAME } },
        { "0, 'x', 'aaaaaaaaaaaa', 'FLOAT32', NULL", { "!no blob", SAME, SAME } },
        { "0, 'x', 5, 'FLOAT32', NULL", { "!no blob", SAME, SAME } },
        /* lengths */
        { "0, 'x', x'00001041000000', 'FLOAT32', NULL", { "!whole number", SAME, SAME } },
        { "0, 'x', x'0000104100000041', 'FLOAT32', '{\"k\":1}'",
          { "~ADD x k=1", "!has 8 bytes, and those of the collection have 12", SAME } },
        { "1, 'x', x'0000104100000041', 'FLOAT32', '{\"k\":1}'", { "~UPDATE x k=1", "!8 bytes", SAME } },
        { "0, 'x', x'00000000000000000000000000000000', 'FLOAT32', NULL", { "~ADD x", "!16 bytes", SAME } },
        /* classes of metadata */
        { "0, 'x', " V12 ", 'FLOAT32', x'7b226b223a317d'", { "ADD x v k=1", "!no text", SAME } },
        { "0, 'x', " V12 ", 'FLOAT32', x''", { "ADD x v", "!no text", SAME } },
        { "0, 'x', " V12 ", 'FLOAT32', CAST(x'7b226b223a22ff227d' AS TEXT)", { "!no UTF-8", SAME, SAME } },
        { "0, 'x', " V12 ", 'FLOAT32', 5", { "~ADD x v", "!no object", SAME } },
};

static void columns(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof column_cases / sizeof *column_cases; i++) {
                const char *expected = "";
                for (int g = 0; g < GENERATIONS; g++) {
                        expected = column_cases[i].expected[g] != SAME ? column_cases[i].expected[g] : expected;
                        check("operation, id, vector, encoding, metadata", column_cases[i].values, (enum generation) g, expected);
                }
        }
}

static const struct {
        const char *created_at;
        bool visible;
} created_cases[] = {
        { "'2026-11-22 15:33:09'", true },
        { "'2026-11-22T15:33:09Z'", true },
        { "'2026-02-31 00:00:00'", true },
        { "'2026-02-11'", true },
        { "'now'", true },
        { "2460000", true },
        { "'2200-01-01 00:00:00'", true },
        { "'2300-01-01 00:00:00'", false },
        { "'junk'", false },
        { "'1763825589'", false },
        { "1763825589", false },
        { "''", false },
        { "'2026-13-01 00:00:00'", false },
};

static void created(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof created_cases / sizeof *created_cases; i++) {
                char values[128];
                (void) snprintf(values, sizeof values, "0, 'x', " V12 ", 'FLOAT32', NULL, %s", created_cases[i].created_at);
                for (int g = 0; g < GENERATIONS; g++)
                        check("operation, id, vector, encoding, metadata, created_at", values, (enum generation) g,
                              g == PYTHON || created_cases[i].visible ? "ADD x v" : "!created_at");
        }
}

/* What 1.0.20 and 1.5.9 stored of numbers that they themselves had written into their logs. The first twelve are not the nearest doubles. */
static const struct {
        const char *text;
        double stored;
} rust_doubles[] = {
        { "5.21098881904681e-18", 0x1.8080cbb75dd1fp-58 },      { "-2.138767835899395e-27", -0x1.52e6bb07ec705p-89 },
        { "-1.8226019816232835e-66", -0x1.891917b121dc6p-219 }, { "2.2663980288163243e-238", 0x1.79cf32d1634b5p-790 },
        { "1.5057624736767941e+25", 0x1.8e926f1f91ed9p+83 },    { "-7.601647717362754e+286", -0x1.ff337f5cae3bep+952 },
        { "-2.161466945248611e+267", -0x1.0c2263266aa3cp+888 }, { "-9.184492993289137e+28", -0x1.28c4586c4040bp+96 },
        { "-110328.62772495707", -0x1.aef8a0b295319p+16 },      { "0.9614779889500835", 0x1.ec46d7ccba9a5p-1 },
        { "0.9551798995911663", 0x1.e90d56fd14ccap-1 },         { "0.10805286906483291", 0x1.ba95a52df5769p-4 },
        { "0.6229016948897019", 0x1.3eecf89059360p-1 },         { "483573.9785214588", 0x1.d83d7ea018780p+18 },
        { "-7.571968556055867e-74", -0x1.11fdecb91ce37p-243 },  { "1.5350209558369883e+29", 0x1.effdf51ba56cdp+96 },
};

static double number_of(const char *text, enum generation generation)
{
        char *values = sqlite3_mprintf("1, 'x', NULL, NULL, '{\"k\":%s}'", text);
        sqlite3 *db = log_of("operation, id, vector, encoding, metadata", values);
        struct commit_row_rules rules = rules_of(generation);
        sqlite3_stmt *stmt = select_row(db);
        struct commit_row row;
        assert_int_equal(commit_row_decode(stmt, &rules, &row, NULL, NULL), 0);
        assert_int_equal(row.value_count, 1);
        assert_int_equal(row.values[0].type, COMMIT_FLOAT);
        double real = row.values[0].real;
        commit_row_clear(&row);
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
        sqlite3_free(values);
        return real;
}

static void doubles(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof rust_doubles / sizeof *rust_doubles; i++) {
                const char *text = rust_doubles[i].text;
                double rust = number_of(text, RUST), arrays = number_of(text, ARRAYS), python = number_of(text, PYTHON);
                if (rust != rust_doubles[i].stored || arrays != rust)
                        fail_msg("%s is %a instead of %a", text, rust, rust_doubles[i].stored);
                assert_true(python == strtod(text, NULL));
                assert_int_equal(rust == python, i >= 12);
        }
}

static void check_at(const char *values, const struct commit_row_rules *rules, const char *expected)
{
        sqlite3 *db = log_of("operation, id, vector, encoding, metadata", values);
        char *text = decode(db, rules);
        if (expected[0] == '!')
                assert_non_null(strstr(text, expected + 1));
        else
                assert_string_equal(text, expected);
        free(text);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* What a segment has applied is no reason to reject the row. */
static void positions(void **state)
{
        (void) state;
        struct commit_row_rules rules = rules_of(ARRAYS), before = rules;
        rules.metadata_position = 7;
        before.metadata_position = 6;
        check_at("0, 'x', " V12 ", 'FLOAT32', '{\"k\":NaN}'", &rules, "ADD x v");
        check_at("0, 'x', " V12 ", 'FLOAT32', '{\"k\":NaN}'", &before, "!not finite");
        check_at("0, 'x', " V12 ", 'FLOAT32', '{\"k\":\"\\ud800\"}'", &rules, "ADD x v");
        check_at("0, 'x', " V12 ", 'FLOAT32', '{\"k\":1}'", &rules, "ADD x v");
        check_at("0, 'x', " V12 ", 'FLOAT32', '{\"k\":}'", &rules, "!no value");
        check_at("2, 'x', NULL, NULL, '{}'", &rules, "UPSERT x");
        check_at("0, 'x', x'00000000', 'FLOAT32', '{\"k\":1}'", &rules, "!4 bytes");

        rules = before = rules_of(PYTHON);
        rules.vector_position = 7;
        before.vector_position = 6;
        check_at("0, 'x', x'00000000', 'FLOAT32', '{\"k\":1}'", &before, "~ADD x k=1");
        check_at("0, 'x', x'00000000', 'FLOAT32', '{\"k\":1}'", &rules, "ADD x k=1");
        check_at("0, 'x', x'00000000', NULL, '{\"k\":1}'", &rules, "ADD x k=1");
        check_at("0, 'x', " V12 ", 'FLOAT32', '{\"k\":\"\\ud800\"}'", &rules, "~ADD x v");
        check_at("0, 'x', " V12 ", 'FLOAT32', '{\"k\":1}'", &rules, "ADD x v k=1");
}

static void dimension(void **state)
{
        (void) state;
        static const struct {
                const char *vector;
                uint32_t dimension;
        } cases[] = { { V12, 3 }, { "x'00000000'", 1 }, { "x'000000'", 0 }, { "x''", 0 }, { "NULL", 0 }, { "'aaaa'", 0 } };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                char values[128];
                (void) snprintf(values, sizeof values, "0, 'x', %s, 'FLOAT32', '{\"k\":1}'", cases[i].vector);
                sqlite3 *db = log_of("operation, id, vector, encoding, metadata", values);
                sqlite3_stmt *stmt = select_row(db);
                assert_int_equal(commit_row_dimension(stmt), cases[i].dimension);
                (void) sqlite3_finalize(stmt);
                (void) sqlite3_close(db);
        }
        struct commit_row_rules rules = rules_of(ARRAYS);
        rules.has_dimension = false;
        check_at("0, 'x', x'0000000000000000', 'FLOAT32', NULL", &rules, "ADD x v");
        check_at("0, 'x', x'00000000000000', 'FLOAT32', NULL", &rules, "!whole number");
}

static uint64_t hash_of(const char *values)
{
        sqlite3 *db = log_of("created_at, operation, id, vector, encoding, metadata", values);
        struct commit_row_rules rules = rules_of(ARRAYS);
        sqlite3_stmt *stmt = select_row(db);
        struct commit_row row;
        struct error why;
        assert_true(commit_row_decode(stmt, &rules, &row, &why, NULL) >= 0);
        uint64_t hash = row.hash;
        commit_row_clear(&row);
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
        return hash;
}

static void hashes(void **state)
{
        (void) state;
        static const char *const rows[] = {
                "'2026-11-22 15:33:09', 0, 'x', " V12 ", 'FLOAT32', '{}'",
                "'2026-11-22 15:33:08', 0, 'x', " V12 ", 'FLOAT32', '{}'",
                "'2026-11-22 15:33:09', 2, 'x', " V12 ", 'FLOAT32', '{}'",
                "'2026-11-22 15:33:09', 0, 'y', " V12 ", 'FLOAT32', '{}'",
                "'2026-11-22 15:33:09', 0, 'x', NULL, 'FLOAT32', '{}'",
                "'2026-11-22 15:33:09', 0, 'x', " V12 ", NULL, '{}'",
                "'2026-11-22 15:33:09', 0, 'x', " V12 ", 'FLOAT32', '{} '",
                "'2026-11-22 15:33:09', 9, 'x', " V12 ", 'FLOAT32', '{}'",
        };
        enum { COUNT = sizeof rows / sizeof *rows };
        for (int i = 0; i < COUNT; i++) {
                assert_int_equal(hash_of(rows[i]), hash_of(rows[i]));
                for (int j = 0; j < i; j++)
                        assert_int_not_equal(hash_of(rows[i]), hash_of(rows[j]));
        }
        static const char topic[] = "persistent://default/default/c", when[] = "2026-11-22 15:33:09";
        struct wal_row row = { .seq_id = 7 };
        row.columns[WAL_CREATED_AT] = (struct wal_value){ .class = WAL_TEXT, .bytes = when, .len = sizeof when - 1 };
        row.columns[WAL_OPERATION] = (struct wal_value){ .class = WAL_INTEGER, .integer = 1 };
        row.columns[WAL_TOPIC] = (struct wal_value){ .class = WAL_TEXT, .bytes = topic, .len = sizeof topic - 1 };
        row.columns[WAL_ID] = (struct wal_value){ .class = WAL_TEXT, .bytes = "x", .len = 1 };
        assert_int_equal(hash_of("'2026-11-22 15:33:09', 1, 'x', NULL, NULL, NULL"), wal_row_hash(&row));
}

/* A document of megabytes, and many keys of which each comes twice. */
static void large(void **state)
{
        (void) state;
        enum { LENGTH = 3000000, KEYS = 20000 };
        sqlite3_str *sql = sqlite3_str_new(NULL);
        sqlite3_str_appendall(sql, "0, 'x', NULL, NULL, '{\"chroma:document\":\"");
        for (int i = 0; i < LENGTH / 10; i++)
                sqlite3_str_appendall(sql, "\\u00e4\\nabcdefg");
        sqlite3_str_appendall(sql, "\"");
        for (int i = 0; i < 2 * KEYS; i++)
                sqlite3_str_appendf(sql, ",\"k%d\":%d", i % KEYS, i);
        sqlite3_str_appendall(sql, "}'");
        char *values = sqlite3_str_finish(sql);
        sqlite3 *db = log_of("operation, id, vector, encoding, metadata", values);
        struct commit_row_rules rules = rules_of(ARRAYS);
        sqlite3_stmt *stmt = select_row(db);
        struct commit_row row;
        assert_int_equal(commit_row_decode(stmt, &rules, &row, NULL, NULL), 0);
        assert_int_equal(row.value_count, 1 + KEYS);
        assert_int_equal(row.values[0].string.len, LENGTH);
        assert_memory_equal(row.values[0].string.bytes + LENGTH - 10, "ä\nabcdefg", 10);
        for (int i = 0; i < KEYS; i++)
                assert_int_equal(row.values[1 + i].integer, KEYS + i);
        commit_row_clear(&row);
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
        sqlite3_free(values);
}

static char *nested(int depth)
{
        sqlite3_str *sql = sqlite3_str_new(NULL);
        sqlite3_str_appendall(sql, "0, 'x', NULL, NULL, '{\"k\":");
        sqlite3_str_appendchar(sql, depth, '[');
        sqlite3_str_appendchar(sql, depth, ']');
        sqlite3_str_appendall(sql, ",\"j\":1}'");
        return sqlite3_str_finish(sql);
}

static void deep(void **state)
{
        (void) state;
        char *values = nested(900), *deeper = nested(901), *abyss = nested(1000000);
        check("operation, id, vector, encoding, metadata", values, PYTHON, "ADD x j=1");
        check("operation, id, vector, encoding, metadata", deeper, PYTHON, "!too deep");
        check("operation, id, vector, encoding, metadata", abyss, PYTHON, "!too deep");
        check("operation, id, vector, encoding, metadata", abyss, ARRAYS, "!inside");
        sqlite3_free(values);
        sqlite3_free(deeper);
        sqlite3_free(abyss);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(metadata), cmocka_unit_test(columns),   cmocka_unit_test(created),
                cmocka_unit_test(doubles),  cmocka_unit_test(positions), cmocka_unit_test(dimension),
                cmocka_unit_test(hashes),   cmocka_unit_test(large),     cmocka_unit_test(deep),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
