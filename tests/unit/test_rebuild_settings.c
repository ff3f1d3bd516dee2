/*
 * rebuild-hnsw with parameters, for each form in which a version stores them: what Chroma would do with what is stored afterwards, what the new index is, and which vectors it has; what is refused, and what
 * changes nothing. The collection has the ids id1 to id6 with the vectors of rows 1 to 6.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/commit/rebuild.h"
#include "ops/config.h"
#include "ops/operation/configure_settings.h"
#include "tests/unit/clean_dir.h"
#include "tests/unit/orphan_place.h"

#define COUNT 6u
#define FILE_MAX 4096

#define PYTHON_JSON                                                                                                                \
        "{\"hnsw_configuration\": {\"space\": \"l2\", \"ef_construction\": 51, \"ef_search\": 33, \"num_threads\": 2, \"M\": 4,"   \
        " \"resize_factor\": 1.5, \"batch_size\": 10, \"sync_threshold\": 20, \"_type\": \"HNSWConfigurationInternal\"},"          \
        " \"_type\": \"CollectionConfigurationInternal\"}"
#define HNSW(space)                                                                                                                \
        "{" space "\"ef_construction\":51,\"max_neighbors\":4,\"ef_search\":33,\"resize_factor\":1.5,\"sync_threshold\":20}"
#define RUST_JSON "{\"vector_index\":{\"hnsw\":" HNSW("\"space\":\"l2\",") "},\"embedding_function\":{\"type\":\"legacy\"}}"
#define INDEX(enabled)                                                                                                             \
        "{\"float_list\":{\"vector_index\":{\"enabled\":" enabled ",\"config\":{\"space\":\"l2\",\"hnsw\":" HNSW("") "}}}}"
#define SCHEMA "{\"defaults\":" INDEX("false") ",\"keys\":{\"#embedding\":" INDEX("true") ",\"n\":{\"int\":{}}}}"

enum form { OLD, PYTHON, RUST, RUST_SCHEMA, UPGRADED, FORM_COUNT };

static struct clean_dir d;
static char collection[37];

static void metadata(const char *table, const char *owner, const char *id, bool all)
{
        static const char *const keys[] = { "hnsw:M", "hnsw:construction_ef", "hnsw:search_ef", "hnsw:batch_size",
                                            "hnsw:sync_threshold" };
        static const int values[] = { 4, 51, 33, 10, 20 };
        for (size_t i = 0; i < 5; i++)
                if (all || i < 2)
                        sql_dir_exec(&d.sql, "INSERT INTO %s (%s, key, int_value) VALUES (%Q, %Q, %d)", table, owner, id, keys[i],
                                     values[i]);
        if (all)
                sql_dir_exec(&d.sql, "INSERT INTO %s (%s, key, float_value) VALUES (%Q, 'hnsw:resize_factor', 1.5)", table, owner,
                             id);
}

static void make(enum form form)
{
        static const enum clean_format formats[] = { CLEAN_TOPIC_COLUMN, CLEAN_PYTHON, CLEAN_RUST, CLEAN_RUST, CLEAN_RUST };
        static const char *const json[] = { NULL, PYTHON_JSON, RUST_JSON, "{}", PYTHON_JSON };
        char segment[37];
        (void) test_uuid(1, collection);
        (void) test_uuid(CLEAN_VECTOR + 1, segment);
        clean_dir_make(&d, formats[form]);
        clean_dir_filled(&d, 1, COUNT, 1, COUNT);
        sql_dir_exec(&d.sql, "UPDATE collections SET dimension = %u", INDEX_DIR_DIMENSION);
        if (json[form] != NULL)
                sql_dir_exec(&d.sql, "UPDATE collections SET config_json_str = %Q", json[form]);
        if (form == RUST_SCHEMA)
                sql_dir_exec(&d.sql, "UPDATE collections SET schema_str = %Q", SCHEMA);
        if (form == OLD || form == PYTHON || form == UPGRADED)
                metadata("segment_metadata", "segment_id", segment, true);
        metadata("collection_metadata", "collection_id", collection, false);
}

static bool is_python(enum form form)
{
        return form == OLD || form == PYTHON;
}

static struct json_object *run(const char *line, int expected, const char *sentence)
{
        struct error e = { 0 };
        struct json_object *outcome = NULL;
        struct operation_request request = {
                .type = &operation_rebuild_hnsw, .line = line, .line_len = strlen(line), .collection_id = collection
        };
        int r = operation_run(d.sql.fd, &request, &(struct operation_sink){ .context = NULL }, &outcome, &e);
        if (r != -expected || strstr(e.text, sentence) == NULL)
                fail_msg("\"%s\": %d, not %d: %s", line, r, -expected, e.text);
        struct json_object *result = json_object_get(json_object_object_get(outcome, "result"));
        json_object_put(outcome);
        return result;
}

static void rebuild(const char *line)
{
        json_object_put(run(line, 0, ""));
}

static uint64_t state_of(void)
{
        struct schema s = { .dirfd = d.sql.fd };
        memcpy(s.path, d.sql.path, sizeof(d.sql.path));
        return orphan_place_state(&s);
}

static void refuses(const char *line, const char *sentence)
{
        uint64_t before = state_of();
        json_object_put(run(line, EINVAL, sentence));
        assert_true(state_of() == before);
}

/* What Chroma would do, as its readers see it. */
static struct hnsw_config effective(char ret_segment[37])
{
        struct catalog *catalog = NULL;
        struct collection_detail detail;
        struct hnsw_config config;
        struct error e;
        struct db *db = sql_dir_open(&d.sql);
        assert_int_equal(catalog_read(db, &catalog, &e), 0);
        assert_int_equal(db_begin(db, &e), 0);
        const struct collection *c = catalog_collection(catalog, collection);
        assert_int_equal(collection_detail_read(db, c, &detail, &e), 0);
        db_end(db);
        if (hnsw_config_effective(&catalog->version, &detail, &config, &e) < 0)
                fail_msg("%s", e.text);
        if (ret_segment != NULL)
                memcpy(ret_segment, c->vector->id.bytes, 37);
        collection_detail_clear(&detail);
        (void) catalog_free(catalog);
        (void) db_close(db);
        return config;
}

static size_t read_file(const char *segment, const char *name, unsigned char *bytes)
{
        char path[96];
        (void) snprintf(path, sizeof(path), "%s/%s", segment, name);
        int fd = openat(d.sql.fd, path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        ssize_t n = read(fd, bytes, FILE_MAX);
        assert_true(n >= 0 && n < FILE_MAX);
        (void) close(fd);
        return (size_t) n;
}

static uint64_t header_number(const unsigned char *header, size_t offset)
{
        uint64_t n;
        memcpy(&n, header + offset, sizeof(n));
        return n;
}

/* The parameters that are stored, and those of the index itself, are these. */
static void expect(const struct hnsw_config *expected, const char *line)
{
        unsigned char header[FILE_MAX];
        char segment[37];
        struct hnsw_config found = effective(segment);
        if (!hnsw_config_same(&found, expected))
                fail_msg("%s: space %d, M %d, ef_construction %d, ef_search %d, %g, %d, %d", line, (int) found.space, (int) found.m,
                         (int) found.ef_construction, (int) found.ef_search, found.resize_factor, (int) found.batch_size,
                         (int) found.sync_threshold);
        assert_int_equal(read_file(segment, "header.bin", header), 100);
        assert_int_equal(header_number(header, 20), COUNT);
        assert_int_equal(header_number(header, 76), expected->m);
        assert_int_equal(header_number(header, 92),
                         expected->ef_construction > expected->m ? expected->ef_construction : expected->m);
}

/* Each option. */

static const struct {
        const char *line;
        enum setting setting;
        int64_t integer;
        bool is_pythons;
} singles[] = {
        { "m=2", SETTING_M, 2, false },
        { "m=64", SETTING_M, 64, false },
        { "ef_construction=1", SETTING_EF_CONSTRUCTION, 1, false },
        { "ef_construction=300", SETTING_EF_CONSTRUCTION, 300, false },
        { "ef_search=1", SETTING_EF_SEARCH, 1, false },
        { "ef_search=100", SETTING_EF_SEARCH, 100, false },
        { "num_threads=3", SETTING_NUM_THREADS, 3, true },
        { "resize_factor=1", SETTING_RESIZE_FACTOR, 1, true },
        { "batch_size=20", SETTING_BATCH_SIZE, 20, true },
        { "sync_threshold=1000", SETTING_SYNC_THRESHOLD, 1000, false },
        { "space=l2", SETTING_SPACE, SPACE_L2, false },
        { "space=cosine", SETTING_SPACE, SPACE_COSINE, false },
        { "space=ip", SETTING_SPACE, SPACE_IP, false },
};
#define SINGLES (sizeof(singles) / sizeof(singles[0]))

static struct hnsw_config with_single(const struct hnsw_config *before, size_t i)
{
        struct settings settings = { .resize_factor = (double) singles[i].integer };
        settings.given[singles[i].setting] = true;
        settings.integer[singles[i].setting] = singles[i].integer;
        return settings_apply(&settings, before);
}

static void test_each_alone(void **state)
{
        (void) state;
        for (enum form form = 0; form < FORM_COUNT; form++)
                for (size_t i = 0; i < SINGLES; i++) {
                        make(form);
                        struct hnsw_config before = effective(NULL), after = with_single(&before, i);
                        assert_true(before.m == INDEX_DIR_M && before.sync_threshold == 20);
                        if (singles[i].is_pythons && !is_python(form)) {
                                refuses(singles[i].line, "do not use it");
                        } else {
                                rebuild(singles[i].line);
                                expect(&after, singles[i].line);
                        }
                        clean_dir_remove(&d);
                }
}

static void test_all_together(void **state)
{
        (void) state;
        for (enum form form = 0; form < FORM_COUNT; form++) {
                make(form);
                struct hnsw_config config = effective(NULL);
                config.m = 7;
                config.ef_construction = 5;
                config.ef_search = 9;
                config.space = SPACE_IP;
                config.sync_threshold = 40;
                if (is_python(form)) {
                        config.num_threads = 2;
                        config.resize_factor = 2.25;
                        config.batch_size = 40;
                }
                rebuild(is_python(form) ? "m=7 ef_construction=5 ef_search=9 space=ip sync_threshold=40 num_threads=2 "
                                          "resize_factor=2.25 batch_size=40"
                                        : "m=7 ef_construction=5 ef_search=9 space=ip sync_threshold=40");
                expect(&config, "all");
                clean_dir_remove(&d);
        }
}

/* One after the other, to the defaults and back: what is not asked for stays in every step. */
static void test_one_after_the_other(void **state)
{
        static const char *const lines[] = { "space=cosine",
                                             "m=16",
                                             "ef_construction=100",
                                             "ef_search=100",
                                             "sync_threshold=1000",
                                             "space=l2",
                                             "space=ip",
                                             "space=l2",
                                             "ef_search=5",
                                             "ef_search=100",
                                             "m=5",
                                             "m=16",
                                             "space=cosine m=8",
                                             "space=l2 m=16" };
        (void) state;
        for (enum form form = 0; form < FORM_COUNT; form++) {
                make(form);
                struct hnsw_config config = effective(NULL);
                for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
                        struct command *command = NULL;
                        struct settings settings;
                        assert_int_equal(command_parse(operation_rebuild_hnsw.options, lines[i], strlen(lines[i]), &command, NULL),
                                         0);
                        (void) settings_of(command, &settings);
                        config = settings_apply(&settings, &config);
                        rebuild(lines[i]);
                        expect(&config, lines[i]);
                        (void) command_free(command);
                }
                clean_dir_remove(&d);
        }
}

/* Spaces. */

/* The vectors are those that were given: to the bit, or within a few roundings. */
static void expect_vectors(bool is_cosine, bool exact)
{
        unsigned char records[FILE_MAX], lengths[FILE_MAX];
        char segment[37];
        (void) effective(segment);
        assert_true(read_file(segment, "data_level0.bin", records) >= COUNT * INDEX_DIR_RECORD);
        assert_true(read_file(segment, "length.bin", lengths) >= 4 * COUNT);
        for (size_t i = 0; i < COUNT; i++) {
                float v[INDEX_DIR_DIMENSION], length;
                double norm = 0;
                uint64_t label = header_number(records, i * INDEX_DIR_RECORD + INDEX_DIR_RECORD - 8);
                memcpy(v, records + i * INDEX_DIR_RECORD + 8 * INDEX_DIR_M + 4, sizeof(v));
                memcpy(&length, lengths + 4 * i, sizeof(length));
                const float *given = clean_vector_of((int64_t) label);
                for (size_t k = 0; k < INDEX_DIR_DIMENSION; k++) {
                        double is = (double) v[k] * (is_cosine ? (double) length : 1), was = (double) given[k];
                        norm += (double) v[k] * (double) v[k];
                        assert_true(fabs(is - was) <= (exact ? 0 : 1e-6 * fabs(was)));
                }
                assert_true(!is_cosine || fabs(norm - 1) < 1e-5);
        }
}

static void test_spaces(void **state)
{
        (void) state;
        for (enum form form = 0; form < FORM_COUNT; form++)
                for (enum hnsw_space from = SPACE_L2; from <= SPACE_IP; from++)
                        for (enum hnsw_space to = SPACE_L2; to <= SPACE_IP; to++) {
                                char line[32];
                                make(form);
                                (void) snprintf(line, sizeof(line), "space=%s", hnsw_space_name(from));
                                rebuild(line);
                                expect_vectors(from == SPACE_COSINE, from != SPACE_COSINE);
                                (void) snprintf(line, sizeof(line), "space=%s", hnsw_space_name(to));
                                rebuild(line);
                                assert_int_equal(effective(NULL).space, to);
                                expect_vectors(to == SPACE_COSINE, from != SPACE_COSINE && to != SPACE_COSINE);
                                clean_dir_remove(&d);
                        }
}

/* What is stored. */

static char *stored(void)
{
        struct schema s = { .dirfd = d.sql.fd };
        memcpy(s.path, d.sql.path, sizeof(d.sql.path));
        const char *columns = d.format == CLEAN_TOPIC_COLUMN ? "NULL, NULL"
                              : d.format == CLEAN_PYTHON     ? "config_json_str, NULL"
                                                             : "config_json_str, schema_str";
        char *sql =
                sqlite3_mprintf("SELECT 'c', 'c', %s FROM collections UNION ALL SELECT 's', key, coalesce(str_value, int_value), "
                                "float_value FROM segment_metadata UNION ALL SELECT 'm', key, coalesce(str_value, int_value), "
                                "float_value FROM collection_metadata ORDER BY 1, 2",
                                columns);
        char *dump = orphan_place_dump(&s, NULL, sql);
        sqlite3_free(sql);
        return dump;
}

static void test_the_same_again(void **state)
{
        static const char *const lines[] = { "m=4", "space=cosine",
                                             "m=7 ef_construction=5 ef_search=9 space=ip sync_threshold=40" };
        (void) state;
        for (enum form form = 0; form < FORM_COUNT; form++)
                for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
                        char first[37], second[37];
                        make(form);
                        rebuild(lines[i]);
                        struct hnsw_config config = effective(first);
                        char *before = stored();
                        rebuild(lines[i]);
                        expect(&config, lines[i]);
                        (void) effective(second);
                        char *after = stored();
                        assert_string_equal(before, after);
                        assert_string_not_equal(first, second);
                        free(before);
                        free(after);
                        clean_dir_remove(&d);
                }
}

static void has(const char *sql, const char *expected)
{
        sqlite3 *db = sql_dir_writer(&d.sql, 1000);
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        assert_string_equal((const char *) sqlite3_column_text(stmt, 0), expected);
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
}

#define VALUES(table)                                                                                                              \
        "SELECT group_concat(key || '=' || coalesce(str_value, int_value, float_value), ' ') FROM (SELECT * FROM " table           \
        " ORDER BY key)"

static void test_places(void **state)
{
        (void) state;
        make(OLD);
        rebuild("space=cosine m=5");
        has(VALUES("segment_metadata"), "hnsw:M=5 hnsw:batch_size=10 hnsw:construction_ef=51 hnsw:resize_factor=1.5 "
                                        "hnsw:search_ef=33 hnsw:space=cosine hnsw:sync_threshold=20");
        has("SELECT count(*) FROM segment_metadata m JOIN segments s ON s.id = m.segment_id WHERE s.scope = 'VECTOR'", "7");
        clean_dir_remove(&d);
        make(PYTHON);
        rebuild("space=cosine m=5");
        has("SELECT json_extract(config_json_str, '$.hnsw_configuration.space') || json_extract(config_json_str, "
            "'$.hnsw_configuration.M') || json_extract(config_json_str, '$._type') FROM collections",
            "cosine5CollectionConfigurationInternal");
        clean_dir_remove(&d);
        make(RUST);
        rebuild("space=cosine m=5");
        has("SELECT config_json_str FROM collections",
            "{\"vector_index\":{\"hnsw\":{\"space\":\"cosine\",\"ef_construction\":51,\"max_neighbors\":5,\"ef_search\":33,"
            "\"resize_factor\":1.5,\"sync_threshold\":20}},\"embedding_function\":{\"type\":\"legacy\"}}");
        clean_dir_remove(&d);
        make(RUST_SCHEMA);
        rebuild("space=cosine m=5");
        has("SELECT group_concat(json_extract(schema_str, p || '.float_list.vector_index.config.space') || "
            "json_extract(schema_str, p "
            "|| '.float_list.vector_index.config.hnsw.max_neighbors') || config_json_str) FROM collections, (SELECT '$.defaults' "
            "AS p "
            "UNION SELECT '$.keys.#embedding')",
            "cosine5{},cosine5{}");
        clean_dir_remove(&d);
}

/* One setting alone would make everything else the default, the space included. */
static void test_upgraded_is_written_whole(void **state)
{
        (void) state;
        make(UPGRADED);
        sql_dir_exec(&d.sql,
                     "INSERT INTO segment_metadata (segment_id, key, str_value) SELECT id, 'hnsw:space', 'ip' FROM segments "
                     "WHERE scope = 'VECTOR'");
        rebuild("ef_search=34");
        has("SELECT json_extract(config_json_str, '$.vector_index') FROM collections",
            "{\"hnsw\":{\"space\":\"ip\",\"ef_construction\":51,\"ef_search\":34,\"max_neighbors\":4,\"resize_factor\":1.5,"
            "\"sync_threshold\":20}}");
        has("SELECT json_extract(config_json_str, '$._type') FROM collections", "CollectionConfigurationInternal");
        has("SELECT str_value FROM segment_metadata WHERE key = 'hnsw:space'", "ip");
        clean_dir_remove(&d);
}

/* The collection's own metadata: keys that are there follow, and before 1.0 the space is told. */
static void test_users_metadata(void **state)
{
        (void) state;
        for (enum form form = 0; form < FORM_COUNT; form++) {
                make(form);
                sql_dir_exec(&d.sql,
                             "INSERT INTO collection_metadata (collection_id, key, str_value) VALUES (%Q, 'note', 'hnsw:M')",
                             collection);
                rebuild("m=9 ef_search=9 space=l2");
                has(VALUES("collection_metadata"), "hnsw:M=9 hnsw:construction_ef=51 note=hnsw:M");
                rebuild("space=ip dry_run=1");
                has(VALUES("collection_metadata"), "hnsw:M=9 hnsw:construction_ef=51 note=hnsw:M");
                rebuild("space=ip");
                has(VALUES("collection_metadata"), is_python(form) ? "hnsw:M=9 hnsw:construction_ef=51 hnsw:space=ip note=hnsw:M"
                                                                   : "hnsw:M=9 hnsw:construction_ef=51 note=hnsw:M");
                rebuild("space=l2");
                has(VALUES("collection_metadata"), is_python(form) ? "hnsw:M=9 hnsw:construction_ef=51 hnsw:space=l2 note=hnsw:M"
                                                                   : "hnsw:M=9 hnsw:construction_ef=51 note=hnsw:M");
                clean_dir_remove(&d);
        }
}

/* What changes nothing. */

static const char *parameter(struct json_object *result, const char *name, const char *side)
{
        struct json_object *one = result_collection(result, 1), *rebuilt = json_object_object_get(one, "rebuild");
        struct json_object *pair = json_object_object_get(json_object_object_get(rebuilt, "parameters"), name);
        assert_non_null(pair);
        return json_object_get_string(json_object_object_get(pair, side));
}

static void test_dry_run(void **state)
{
        (void) state;
        for (enum form form = 0; form < FORM_COUNT; form++) {
                make(form);
                rebuild("dry_run=1"); /* .chromafs is there now */
                uint64_t before = state_of();
                struct json_object *result = run("space=cosine m=4 ef_search=50 dry_run=1", 0, "");
                assert_string_equal(parameter(result, "space", "before"), "l2");
                assert_string_equal(parameter(result, "space", "after"), "cosine");
                assert_string_equal(parameter(result, "m", "before"), "4");
                assert_string_equal(parameter(result, "m", "after"), "4");
                assert_string_equal(parameter(result, "ef_search", "before"), "33");
                assert_string_equal(parameter(result, "ef_search", "after"), "50");
                json_object_put(result);
                assert_true(state_of() == before);
                clean_dir_remove(&d);
        }
}

static void test_wrong_values(void **state)
{
        static const struct {
                const char *line, *sentence;
        } wrong[] = {
                { "space=manhattan", "one of l2, cosine, ip" },
                { "space=L2", "space" },
                { "space=", "space" },
                { "space=l2,ip", "space" },
                { "m=1", "from 2 to" },
                { "m=0", "m must be" },
                { "m=-16", "m must be" },
                { "m=16.5", "m must be" },
                { "m=99999999999999999999", "m must be" },
                { "ef_construction=0", "ef_construction must be" },
                { "ef_construction=2147483648", "ef_construction must be" },
                { "ef_search=0", "ef_search must be" },
                { "num_threads=0", "num_threads must be" },
                { "resize_factor=0.9", "resize_factor must be" },
                { "resize_factor=nan", "resize_factor must be" },
                { "resize_factor=-1", "resize_factor must be" },
                { "batch_size=2", "batch_size must be" },
                { "sync_threshold=1", "sync_threshold must be" },
                { "sync_threshold=-3", "sync_threshold must be" },
                { "m=5 m=5", "given twice" },
                { "M=5", "no option" },
                { "automatically_purge=true", "no option" },
        };
        (void) state;
        for (enum form form = 0; form < FORM_COUNT; form++) {
                make(form);
                rebuild("dry_run=1");
                for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                        refuses(wrong[i].line, wrong[i].sentence);
                if (is_python(form)) {
                        refuses("sync_threshold=2", "below 3");
                        refuses("batch_size=21", "larger");
                        refuses("sync_threshold=9 m=5", "larger");
                } else {
                        rebuild("sync_threshold=2");
                }
                clean_dir_remove(&d);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_alone),
                cmocka_unit_test(test_all_together),
                cmocka_unit_test(test_one_after_the_other),
                cmocka_unit_test(test_spaces),
                cmocka_unit_test(test_the_same_again),
                cmocka_unit_test(test_places),
                cmocka_unit_test(test_upgraded_is_written_whole),
                cmocka_unit_test(test_users_metadata),
                cmocka_unit_test(test_dry_run),
                cmocka_unit_test(test_wrong_values),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
