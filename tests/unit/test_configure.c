/* configure: what each version's directory has afterwards, and what is refused, on made directories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/config.h"
#include "ops/operation/configure.h"
#include "tests/unit/orphan_place.h"
#include "tests/unit/sql_dir.h"

#define PYTHON_JSON(ef, batch, sync)                                                                                               \
        "{\"hnsw_configuration\": {\"space\": \"l2\", \"ef_construction\": 100, \"ef_search\": " ef                                \
        ", \"num_threads\": 2, \"M\": 16,"                                                                                         \
        " \"resize_factor\": 1.2, \"batch_size\": " batch ", \"sync_threshold\": " sync                                            \
        ", \"_type\": \"HNSWConfigurationInternal\"},"                                                                             \
        " \"_type\": \"CollectionConfigurationInternal\"}"
#define HNSW(ef)                                                                                                                   \
        "{\"space\":\"ip\",\"ef_construction\":50,\"ef_search\":" ef                                                               \
        ",\"max_neighbors\":6,\"resize_factor\":1.5,\"sync_threshold\":6}"
#define RUST_JSON(ef)                                                                                                              \
        "{\"vector_index\":{\"hnsw\":" HNSW(                                                                                       \
                ef) "},\"embedding_function\":{\"type\":\"known\",\"name\":\"d/\xc3\xa4\",\"config\":{}}}"
#define SCHEMA_HNSW(ef)                                                                                                            \
        "{\"ef_construction\":50,\"max_neighbors\":6,\"ef_search\":" ef                                                            \
        ",\"num_threads\":1,\"batch_size\":4,\"sync_threshold\":6,"                                                                \
        "\"resize_factor\":1.5}"
#define SCHEMA(ef)                                                                                                                 \
        "{\"defaults\":{\"string\":{},\"float_list\":{\"vector_index\":{\"enabled\":false,\"config\":{\"space\":\"ip\","           \
        "\"hnsw\":" SCHEMA_HNSW(ef) "}}}},\"keys\":{\"#embedding\":{\"float_list\":{\"vector_index\":{\"enabled\":true,"           \
                                    "\"config\":{\"space\":\"ip\","                                                                \
                                    "\"source_key\":\"#document\",\"hnsw\":" SCHEMA_HNSW(ef) "}}}},\"n\":{\"int\":{}}}}"

static struct schema place;
static char live[37], vector[37];

static void make(int sysdb, int metadb, int queue)
{
        orphan_place_make(&place, sysdb, metadb, queue);
        (void) test_uuid(PLACE_LIVE, live);
        (void) test_uuid(PLACE_VECTOR, vector);
        orphan_place_exec(&place, "DELETE FROM segment_metadata");
}

static void done(void)
{
        orphan_place_remove(&place);
}

static int run(const char *line, const char *collection, struct json_object **ret_result, struct error *e)
{
        struct json_object *outcome = NULL;
        struct operation_request request = {
                .type = &operation_configure, .line = line, .line_len = strlen(line), .collection_id = collection
        };
        int r = operation_run(place.dirfd, &request, &(struct operation_sink){ .context = NULL }, &outcome, e);
        assert_non_null(outcome);
        *ret_result = json_object_get(json_object_object_get(outcome, "result"));
        (void) json_object_put(outcome);
        return r;
}

/* Runs it; the places that were written, with blanks between them, must be these. */
static void sets(const char *line, const char *collection, const char *places)
{
        struct json_object *result = NULL;
        struct error e = { 0 };
        char written[256] = "";
        uint64_t before = orphan_place_state(&place);
        if (run(line, collection, &result, &e) < 0)
                fail_msg("%s: %s", line, e.text);
        struct json_object *list = json_object_object_get(result, "written");
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                size_t len = strlen(written);
                (void) snprintf(written + len, sizeof(written) - len, "%s%s", i > 0 ? " " : "",
                                json_object_get_string(json_object_array_get_idx(list, i)));
        }
        assert_string_equal(written, places);
        bool same = orphan_place_state(&place) == before;
        assert_true(same == (places[0] == '\0' || strstr(line, "dry_run=1") != NULL));
        (void) json_object_put(result);
}

static void refuses(const char *line, const char *collection, int err, const char *sentence)
{
        struct json_object *result = NULL;
        struct error e = { 0 };
        uint64_t before = orphan_place_state(&place);
        int r = run(line, collection, &result, &e);
        if (r != -err || strstr(e.text, sentence) == NULL)
                fail_msg("%s: %d %s", line, r, e.text);
        assert_true(orphan_place_state(&place) == before);
        (void) json_object_put(result);
}

static void has(const char *sql, const char *expected)
{
        char *found = orphan_place_dump(&place, NULL, sql), *wanted;
        char *select = sqlite3_mprintf("SELECT %Q", expected);
        wanted = orphan_place_dump(&place, NULL, select);
        assert_string_equal(found, wanted);
        sqlite3_free(select);
        free(found);
        free(wanted);
}

#define METADATA                                                                                                                   \
        "SELECT group_concat(key || '=' || coalesce(str_value, int_value, float_value), ' ') FROM (SELECT * FROM "                 \
        "segment_metadata ORDER BY key)"
#define CONFIG "SELECT config_json_str FROM collections"

static void metadata(const char *key, const char *column, const char *value)
{
        orphan_place_exec(&place, "INSERT INTO segment_metadata (segment_id, key, %s) VALUES (%Q, %Q, %s)", column, vector, key,
                          value);
}

static struct hnsw_config effective(void)
{
        struct db *db = NULL;
        struct catalog *catalog = NULL;
        struct collection_detail detail;
        struct hnsw_config config;
        struct error e;
        assert_int_equal(db_open(place.dirfd, &db, &e), 0);
        assert_int_equal(catalog_read(db, &catalog, &e), 0);
        assert_int_equal(db_begin(db, &e), 0);
        assert_int_equal(collection_detail_read(db, catalog_collection(catalog, live), &detail, &e), 0);
        db_end(db);
        assert_int_equal(hnsw_config_effective(&catalog->version, &detail, &config, &e), 0);
        collection_detail_clear(&detail);
        (void) catalog_free(catalog);
        (void) db_close(db);
        return config;
}

/* 0.x. */

static void test_python(void **state)
{
        (void) state;
        make(4, 3, 1);
        metadata("hnsw:space", "str_value", "'cosine'");
        metadata("hnsw:batch_size", "int_value", "10");
        sets("ef_search=77 num_threads=2 resize_factor=1.5 sync_threshold=20 batch_size=20", live, "segment_metadata");
        has(METADATA, "hnsw:batch_size=20 hnsw:num_threads=2 hnsw:resize_factor=1.5 hnsw:search_ef=77 hnsw:space=cosine "
                      "hnsw:sync_threshold=20");
        has("SELECT group_concat(typeof(int_value) || typeof(float_value)) FROM segment_metadata WHERE key IN ('hnsw:search_ef', "
            "'hnsw:resize_factor')",
            "integernull,nullreal");
        sets("ef_search=77 num_threads=2 resize_factor=1.5 sync_threshold=20", live, "");
        sets("dry_run=1 ef_search=78", live, "segment_metadata");
        sets("resize_factor=2", live, "segment_metadata");
        has("SELECT typeof(float_value) FROM segment_metadata WHERE key = 'hnsw:resize_factor'", "real");
        struct hnsw_config config = effective();
        assert_true(config.space == SPACE_COSINE && config.ef_search == 77 && config.sync_threshold == 20 &&
                    config.batch_size == 20);
        done();
}

static void test_python_defaults(void **state)
{
        (void) state;
        make(4, 3, 1);
        sets("sync_threshold=1000 batch_size=100 ef_search=10 resize_factor=1.2", live, ""); /* in force without being stored */
        sets("ef_search=100", live, "segment_metadata");
        done();
        make(9, 4, 2);
        sets("ef_search=10", live, "segment_metadata"); /* the default there is not known */
        done();
}

static void test_python_limits(void **state)
{
        (void) state;
        make(4, 3, 1);
        refuses("sync_threshold=2", live, EINVAL, "below 3");
        refuses("sync_threshold=50", live, EINVAL, "both");
        refuses("batch_size=1001", live, EINVAL, "larger");
        sets("batch_size=1001 sync_threshold=1001", live, "segment_metadata");
        sets("ef_search=5", live, "segment_metadata");
        refuses("ef_search=0", live, EINVAL, "ef_search");
        refuses("ef_search=2147483648", live, EINVAL, "ef_search");
        refuses("ef_search=x", live, EINVAL, "ef_search");
        refuses("resize_factor=0.5", live, EINVAL, "resize_factor");
        refuses("resize_factor=nan", live, EINVAL, "resize_factor");
        refuses("num_threads=0", live, EINVAL, "num_threads");
        refuses("m=16", live, EINVAL, "m");
        refuses("space=l2", live, EINVAL, "space");
        refuses("ef_construction=10", live, EINVAL, "ef_construction");
        done();
}

/* The JSON of 0.5.4 to 0.6.3 says the same, and its two numbers fit together whatever it said before. */
static void test_python_json(void **state)
{
        (void) state;
        make(9, 4, 2);
        metadata("hnsw:space", "str_value", "'cosine'");
        metadata("hnsw:batch_size", "int_value", "10");
        metadata("hnsw:sync_threshold", "int_value", "20");
        orphan_place_exec(&place, "UPDATE collections SET config_json_str = %Q", PYTHON_JSON("10", "100", "1000"));
        sets("sync_threshold=19", live, "segment_metadata config_json_str");
        has("SELECT json_extract(config_json_str, '$.hnsw_configuration.batch_size') || ' ' || json_extract(config_json_str,"
            " '$.hnsw_configuration.sync_threshold') || ' ' || json_extract(config_json_str, '$.hnsw_configuration.ef_search') "
            "FROM collections",
            "10 19 10");
        has(CONFIG, PYTHON_JSON("10", "10", "19"));
        sets("resize_factor=3", live, "segment_metadata config_json_str");
        has("SELECT json_extract(config_json_str, '$._type') || json_type(config_json_str, '$.hnsw_configuration.resize_factor') "
            "FROM collections",
            "CollectionConfigurationInternalreal");
        orphan_place_exec(&place, "UPDATE collections SET config_json_str = '{\"other\": 1}'");
        sets("ef_search=9", live, "segment_metadata");
        has(CONFIG, "{\"other\": 1}");
        orphan_place_exec(&place, "UPDATE collections SET config_json_str = '{'");
        refuses("ef_search=8", live, EILSEQ, "config_json_str");
        done();
}

/* 1.x. */

static void test_config(void **state)
{
        (void) state;
        make(9, 5, 2);
        orphan_place_exec(&place, "UPDATE collections SET config_json_str = %Q", RUST_JSON("33"));
        sets("ef_search=77", live, "config_json_str");
        has(CONFIG, RUST_JSON("77"));
        sets("ef_search=77", live, "");
        refuses("num_threads=2", live, EINVAL, "do not use it");
        refuses("batch_size=5", live, EINVAL, "do not use it");
        refuses("resize_factor=1.3", live, EINVAL, "do not use it");
        sets("sync_threshold=2", live, "config_json_str");
        done();
}

static void test_config_absent(void **state)
{
        static const char *const texts[] = { "NULL", "'{}'", "'" PYTHON_JSON("10", "100", "1000") "'" };
        (void) state;
        for (size_t i = 0; i < 3; i++) {
                make(9, 5, 2);
                orphan_place_exec(&place, "UPDATE collections SET config_json_str = %s", texts[i]);
                sets("sync_threshold=50", live, "config_json_str");
                has("SELECT json_extract(config_json_str, '$.vector_index') FROM collections",
                    "{\"hnsw\":{\"space\":\"l2\",\"ef_construction\":100,\"ef_search\":100,\"max_neighbors\":16,\"resize_factor\":"
                    "1.2,"
                    "\"sync_threshold\":50}}");
                done();
        }
}

/* A collection that 0.x made: everything that is in force is written, or cosine would become l2. */
static void test_born_in_python(void **state)
{
        (void) state;
        for (int sysdb = 9; sysdb <= 10; sysdb++) {
                make(sysdb, 5, 2);
                metadata("hnsw:space", "str_value", "'cosine'");
                metadata("hnsw:M", "int_value", "5");
                metadata("hnsw:construction_ef", "int_value", "51");
                metadata("hnsw:resize_factor", "float_value", "1.7");
                metadata("hnsw:sync_threshold", "int_value", "20");
                orphan_place_exec(&place, "UPDATE collections SET config_json_str = %Q", PYTHON_JSON("10", "100", "1000"));
                sets("ef_search=77", live, "config_json_str");
                has("SELECT json_extract(config_json_str, '$.vector_index.hnsw') FROM collections",
                    "{\"space\":\"cosine\",\"ef_construction\":51,\"ef_search\":77,\"max_neighbors\":5,\"resize_factor\":1.7,"
                    "\"sync_threshold\":20}");
                struct hnsw_config config = effective();
                assert_true(config.space == SPACE_COSINE && config.m == 5 && config.ef_construction == 51 &&
                            config.source == CONFIG_JSON);
                done();
        }
}

/* What is in force afterwards is the defaults, for which Chroma would look into the old metadata. */
static void test_back_to_defaults(void **state)
{
        (void) state;
        make(9, 5, 2);
        metadata("hnsw:search_ef", "int_value", "5");
        sets("ef_search=100", live, "segment_metadata config_json_str");
        assert_int_equal(effective().ef_search, 100);
        done();
        /* and where the metadata is of a time before other settings were changed, all of them are */
        make(9, 5, 2);
        metadata("hnsw:space", "str_value", "'cosine'");
        metadata("hnsw:batch_size", "int_value", "10");
        orphan_place_exec(&place, "UPDATE collections SET config_json_str = '{\"vector_index\":{\"hnsw\":{\"ef_search\":5}}}'");
        sets("ef_search=100", live, "segment_metadata config_json_str");
        struct hnsw_config config = effective();
        assert_true(config.space == SPACE_L2 && config.ef_search == 100);
        has(METADATA, "hnsw:M=16 hnsw:batch_size=10 hnsw:construction_ef=100 hnsw:resize_factor=1.2 hnsw:search_ef=100 "
                      "hnsw:space=l2 hnsw:sync_threshold=1000");
        done();
}

/* The user's own metadata. */

#define USERS                                                                                                                      \
        "SELECT group_concat(key || '=' || coalesce(str_value, int_value, float_value), ' ') FROM (SELECT * FROM "                 \
        "collection_metadata WHERE collection_id = (SELECT id FROM collections) ORDER BY key)"

static void users(const char *key, const char *column, const char *value)
{
        orphan_place_exec(&place, "INSERT INTO collection_metadata (collection_id, key, %s) VALUES (%Q, %Q, %s)", column, live, key,
                          value);
}

static void make_users(int sysdb, int metadb, int queue)
{
        make(sysdb, metadb, queue);
        orphan_place_exec(&place, "DELETE FROM collection_metadata");
        users("note", "str_value", "'hnsw:search_ef'");
}

/* What stands there follows, and nothing else. */
static void test_users_keys(void **state)
{
        static const int versions[][3] = { { 3, 1, 1 }, { 4, 3, 1 }, { 9, 4, 2 }, { 9, 5, 2 }, { 10, 6, 2 } };
        (void) state;
        for (size_t i = 0; i < 5; i++) {
                bool is_rust = versions[i][1] >= 5;
                make_users(versions[i][0], versions[i][1], versions[i][2]);
                users("hnsw:space", "str_value", "'ip'");
                sets("ef_search=77", live, is_rust ? "config_json_str" : "segment_metadata");
                has(USERS, "hnsw:space=ip note=hnsw:search_ef");
                users("hnsw:search_ef", "int_value", "5");
                users("hnsw:sync_threshold", "float_value", "7.5");
                sets("dry_run=1 ef_search=78", live,
                     is_rust ? "collection_metadata config_json_str" : "segment_metadata collection_metadata");
                sets("ef_search=78 sync_threshold=500", live,
                     is_rust ? "collection_metadata config_json_str" : "segment_metadata collection_metadata");
                has(USERS, "hnsw:search_ef=78 hnsw:space=ip hnsw:sync_threshold=500 note=hnsw:search_ef");
                has("SELECT group_concat(typeof(int_value)) FROM collection_metadata WHERE key IN ('hnsw:search_ef', "
                    "'hnsw:sync_threshold')",
                    "integer,integer");
                sets("ef_search=78 sync_threshold=500", live, "");
                done();
        }
}

/* 0.5.4 and later open no older collection whose metadata says that a batch is larger than sync_threshold. */
static void test_users_pair(void **state)
{
        (void) state;
        make_users(4, 3, 1);
        users("hnsw:sync_threshold", "int_value", "1000");
        sets("sync_threshold=200", live, "segment_metadata collection_metadata");
        has(USERS, "hnsw:sync_threshold=200 note=hnsw:search_ef");
        sets("batch_size=30 sync_threshold=50", live, "segment_metadata collection_metadata");
        has(USERS, "hnsw:batch_size=30 hnsw:sync_threshold=50 note=hnsw:search_ef");
        done();
        make_users(4, 3, 1);
        users("hnsw:batch_size", "int_value", "100");
        sets("batch_size=30 sync_threshold=50", live, "segment_metadata collection_metadata");
        has(USERS, "hnsw:batch_size=30 note=hnsw:search_ef");
        sets("batch_size=2000 sync_threshold=2001", live, "segment_metadata collection_metadata");
        has(USERS, "hnsw:batch_size=2000 hnsw:sync_threshold=2001 note=hnsw:search_ef");
        done();
        make_users(4, 3, 1);
        sets("batch_size=30 sync_threshold=50", live, "segment_metadata");
        has(USERS, "note=hnsw:search_ef");
        done();
}

static void test_schema(void **state)
{
        (void) state;
        make(10, 6, 2);
        orphan_place_exec(&place, "UPDATE collections SET config_json_str = '{}', schema_str = %Q", SCHEMA("33"));
        sets("ef_search=77", live, "schema_str");
        has("SELECT schema_str FROM collections", SCHEMA("77"));
        has(CONFIG, "{}");
        orphan_place_exec(&place, "UPDATE collections SET schema_str = ' null '");
        sets("ef_search=77", live, "config_json_str");
        done();
}

static void test_schema_odd(void **state)
{
        (void) state;
        make(10, 6, 2);
        /* aliases; without keys; no hnsw; and the metadata of 0.x behind a schema that says the defaults */
        orphan_place_exec(&place, "UPDATE collections SET schema_str = %Q",
                          "{\"defaults\":{\"#float_list\":{\"$vector_index\":{\"config\":{}}}},\"key_overrides\":{}}");
        metadata("hnsw:space", "str_value", "'ip'");
        sets("ef_search=77", live, "schema_str");
        struct hnsw_config config = effective();
        assert_true(config.space == SPACE_IP && config.ef_search == 77 && config.source == CONFIG_SCHEMA);
        orphan_place_exec(&place, "UPDATE collections SET schema_str = %Q",
                          "{\"defaults\":{\"float_list\":{\"vector_index\":{\"config\":{\"spann\":{}}}}},\"keys\":{}}");
        refuses("ef_search=78", live, EINVAL, "no local HNSW");
        orphan_place_exec(&place, "UPDATE collections SET schema_str = '[]'");
        refuses("ef_search=78", live, EILSEQ, "schema_str");
        done();
}

/* JSON that json-c can't give back as it was. */
/* What no parser gives back stays, byte for byte. */
static void test_odd_json(void **state)
{
        static const struct {
                const char *before, *after; /* both sides of the new value */
        } odd[] = {
                { "{\"vector_index\":{\"hnsw\":{\"ef_search\":", "}},\"x\":123456789012345678901234567890}" },
                { "{\"vector_index\":{\"hnsw\":{\"ef_search\":", "}},\"x\":\"\\u00e4\",\"nul\\u0000\":[\"}\\\"\\\\\"]}" },
                { "{\"x\":1,\"vector_index\":{\"hnsw\":{\"ef_search\":", "}},\"x\":2}" },
                { "{\"a\\\\\\\"b\":{\"vector_index\":7}, \"vector_index\":{\"hnsw\":{\"ef_search\":", "}},\"x\":\"a\\/b\"}" },
                { " {\"vector_index\" : {\"hnsw\":\n{\"ef_search\":  ", " } }, \"x\": [1.50, \"a b \\\" c\\\\\"] }\t" },
                { "{\"vector_index\":{\"hnsw\":{\"max_neighbors\" : 3 , \"ef_\\u0073earch\":", "\n}}}" },
        };
        (void) state;
        make(9, 5, 2);
        for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
                char json[256];
                orphan_place_exec(&place, "UPDATE collections SET config_json_str = '%q' || '5' || '%q'", odd[i].before,
                                  odd[i].after);
                sets("ef_search=7777", live, "config_json_str");
                (void) snprintf(json, sizeof(json), "%s7777%s", odd[i].before, odd[i].after);
                has(CONFIG, json);
                assert_int_equal(effective().ef_search, 7777);
        }
        done();
}

static void test_no_json(void **state)
{
        static const char *const wrong[] = {
                "{\"vector_index\":{\"hnsw\":{\"ef_search\":5,\"ef_search\":6}}}",
                "{\"vector_index\":{\"hnsw\":{\"ef_search\":5,\"ef_\\u0073earch\":6}}}",
                "{\"vector_index\":{\"hnsw\":{\"ef_search\":5}},\"vector_index\":{}}",
                "{\"vector_index\":{\"hnsw\":{\"ef_search\":5}}",
                "{\"vector_index\":{\"hnsw\":{\"ef_search\":5}}} x",
                "{\"vector_index\":7}",
                "[]",
                "",
        };
        (void) state;
        make(9, 5, 2);
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                orphan_place_exec(&place, "UPDATE collections SET config_json_str = %Q", wrong[i]);
                refuses("ef_search=77", live, EILSEQ, "");
        }
        done();
}

/* The purge. */

#define PURGE "SELECT group_concat(id || config_json_str) FROM embeddings_queue_config"

static void test_purge(void **state)
{
        (void) state;
        make(9, 4, 2);
        orphan_place_exec(&place, "DELETE FROM embeddings_queue_config");
        sets("automatically_purge=false", NULL, "embeddings_queue_config");
        has(PURGE, "1{\"automatically_purge\": false, \"_type\": \"EmbeddingsQueueConfigurationInternal\"}");
        sets("automatically_purge=false", NULL, "");
        sets("automatically_purge=true dry_run=1", NULL, "embeddings_queue_config");
        sets("automatically_purge=true", NULL, "embeddings_queue_config");
        has(PURGE, "1{\"automatically_purge\": true, \"_type\": \"EmbeddingsQueueConfigurationInternal\"}");
        orphan_place_exec(&place, "UPDATE embeddings_queue_config SET config_json_str = 'rubbish'");
        sets("automatically_purge=true", NULL, "embeddings_queue_config");
        done();
        make(10, 6, 2);
        sets("automatically_purge=false", NULL, "embeddings_queue_config");
        has(PURGE, "1{\"automatically_purge\":false,\"_type\":\"EmbeddingsQueueConfigurationInternal\"}");
        done();
        make(5, 3, 1);
        refuses("automatically_purge=true", NULL, EINVAL, "0.5.6");
        done();
}

static void test_requests(void **state)
{
        char other[37];
        (void) state;
        make(9, 4, 2);
        refuses("1", NULL, EINVAL, "no setting");
        refuses("1", live, EINVAL, "no setting");
        refuses("ef_search=5", NULL, EINVAL, "of a collection");
        refuses("automatically_purge=true", live, EINVAL, "whole directory");
        refuses("automatically_purge=1", NULL, EINVAL, "automatically_purge");
        refuses("ef_search=5", test_uuid(0x99, other), ENOENT, "no more");
        orphan_place_exec(&place, "DELETE FROM segments WHERE id = %Q", vector);
        refuses("ef_search=5", live, EILSEQ, "vector segment");
        done();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_python),         cmocka_unit_test(test_python_defaults),
                cmocka_unit_test(test_python_limits),  cmocka_unit_test(test_python_json),
                cmocka_unit_test(test_config),         cmocka_unit_test(test_config_absent),
                cmocka_unit_test(test_born_in_python), cmocka_unit_test(test_back_to_defaults),
                cmocka_unit_test(test_schema),         cmocka_unit_test(test_schema_odd),
                cmocka_unit_test(test_odd_json),       cmocka_unit_test(test_no_json),
                cmocka_unit_test(test_purge),          cmocka_unit_test(test_requests),
                cmocka_unit_test(test_users_keys),     cmocka_unit_test(test_users_pair),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
