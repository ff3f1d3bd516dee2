#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/config.h"
#include "tests/unit/fixture.h"

enum era { PY_OLD, PY_NEW, RS, RS_SCHEMA };

static struct chroma_version version_of(enum era era)
{
        static const int numbers[][3] = { { 4, 3, 1 }, { 9, 4, 2 }, { 9, 5, 2 }, { 10, 6, 2 } };
        struct chroma_version v;
        chroma_version_of(numbers[era][0], numbers[era][1], numbers[era][2], &v);
        return v;
}

static struct text literal(const char *s)
{
        return (struct text){ (char *) (uintptr_t) s, s != NULL ? strlen(s) : 0 };
}

/* One metadata row in a table of cases: `s` a string, `i` an integer, `f` a double, `b` a bool, `n` nothing. */
struct row {
        const char *key;
        char kind;
        const char *string;
        double number;
};

#define ROWS_MAX 8

struct input {
        enum era era;
        struct row rows[ROWS_MAX];
        const char *config_json, *schema_json;
};

static int effective(const struct input *in, struct hnsw_config *ret, struct error *e)
{
        struct metadata_value values[ROWS_MAX];
        struct collection_detail detail = { .segment_metadata = values,
                                            .config_json = literal(in->config_json),
                                            .schema_json = literal(in->schema_json) };
        for (size_t i = 0; i < ROWS_MAX && in->rows[i].key != NULL; i++) {
                const struct row *row = &in->rows[i];
                static const char kinds[] = "nsifb";
                values[i] = (struct metadata_value){ .key = literal(row->key),
                                                     .type = (enum value_type)(strchr(kinds, row->kind) - kinds),
                                                     .string = literal(row->string),
                                                     .integer = (int64_t) row->number,
                                                     .real = row->number };
                detail.segment_metadata_count++;
        }
        struct chroma_version v = version_of(in->era);
        return hnsw_config_effective(&v, &detail, ret, e);
}

struct good {
        struct input in;
        enum config_source source;
        enum hnsw_space space;
        int64_t m, ef_construction, ef_search, num_threads, batch_size, sync_threshold;
};

#define PY_JSON                                                                                                                    \
        "{\"hnsw_configuration\": {\"space\": \"l2\", \"ef_construction\": 100, \"ef_search\": 10, \"num_threads\": 2, \"M\": "    \
        "16, "                                                                                                                     \
        "\"resize_factor\": 1.2, \"batch_size\": 100, \"sync_threshold\": 1000, \"_type\": \"HNSWConfigurationInternal\"}, "       \
        "\"_type\": \"CollectionConfigurationInternal\"}"
#define RS_JSON                                                                                                                    \
        "{\"vector_index\":{\"hnsw\":{\"space\":\"ip\",\"ef_construction\":50,\"ef_search\":33,\"max_neighbors\":6,"               \
        "\"resize_factor\":1.5,\"sync_threshold\":6}},\"embedding_function\":{\"type\":\"legacy\"}}"
#define RS_JSON_DEFAULTS                                                                                                           \
        "{\"vector_index\":{\"hnsw\":{\"space\":\"l2\",\"ef_construction\":100,\"ef_search\":100,\"max_neighbors\":16,"            \
        "\"resize_factor\":1.2,\"sync_threshold\":1000}},\"embedding_function\":null}"
#define RS_JSON_THREADS "{\"vector_index\":{\"hnsw\":{\"num_threads\":100000,\"batch_size\":100}}}"
#define INDEX(CONFIG) "{\"float_list\":{\"vector_index\":{\"enabled\":true,\"config\":" CONFIG "}}}"
#define SCHEMA(DEFAULTS, EMBEDDING) "{\"defaults\":" DEFAULTS ",\"keys\":{\"#document\":{},\"#embedding\":" EMBEDDING "}}"
#define IP                                                                                                                         \
        "{\"space\":\"ip\",\"source_key\":\"#document\",\"hnsw\":{\"ef_construction\":50,\"max_neighbors\":6,\"ef_search\":33,"    \
        "\"num_threads\":1,\"batch_size\":4,\"sync_threshold\":6,\"resize_factor\":1.5}}"
#define COSINE "{\"space\":\"cosine\"}"
#define SPANN "{\"space\":\"ip\",\"spann\":{\"ef_search\":7}}"
#define EMPTY "{}"
#define COSINE_ROW                                                                                                                 \
        {                                                                                                                          \
                "hnsw:space", 's', "cosine", 0                                                                                     \
        }

static const struct good goods[] = {
        /* 0.x: the metadata, key by key, whatever the JSON says */
        { { PY_OLD, { { 0 } }, NULL, NULL }, CONFIG_DEFAULTS, SPACE_L2, 16, 100, 10, 0, 100, 1000 },
        { { PY_NEW, { { 0 } }, NULL, NULL }, CONFIG_DEFAULTS, SPACE_L2, 16, 100, 0, 0, 100, 1000 },
        { { PY_NEW, { { 0 } }, PY_JSON, NULL }, CONFIG_DEFAULTS, SPACE_L2, 16, 100, 0, 0, 100, 1000 },
        { { PY_NEW, { COSINE_ROW }, PY_JSON, NULL }, CONFIG_SEGMENT_METADATA, SPACE_COSINE, 16, 100, 0, 0, 100, 1000 },
        { { PY_OLD,
            { COSINE_ROW,
              { "hnsw:M", 'i', NULL, 5 },
              { "hnsw:construction_ef", 'i', NULL, 55 },
              { "hnsw:search_ef", 'i', NULL, 44 },
              { "hnsw:num_threads", 'i', NULL, 3 },
              { "hnsw:batch_size", 'i', NULL, 3 },
              { "hnsw:sync_threshold", 'i', NULL, 7 } },
            "broken",
            NULL },
          CONFIG_SEGMENT_METADATA,
          SPACE_COSINE,
          5,
          55,
          44,
          3,
          3,
          7 },
        { { PY_OLD, { { "hnsw:unknown", 's', "x", 0 }, { "other", 's', "x", 0 }, { "hnsw:M", 'n', NULL, 0 } }, NULL, NULL },
          CONFIG_SEGMENT_METADATA,
          SPACE_L2,
          16,
          100,
          10,
          0,
          100,
          1000 },
        { { PY_OLD, { { "other", 's', "x", 0 } }, NULL, NULL }, CONFIG_DEFAULTS, SPACE_L2, 16, 100, 10, 0, 100, 1000 },
        { { PY_NEW, { { "hnsw:search_ef", 'b', NULL, 1 }, { "hnsw:num_threads", 'i', NULL, -4 } }, NULL, NULL },
          CONFIG_SEGMENT_METADATA,
          SPACE_L2,
          16,
          100,
          1,
          0,
          100,
          1000 },
        /* 1.0 to 1.2 */
        { { RS, { { 0 } }, NULL, NULL }, CONFIG_DEFAULTS, SPACE_L2, 16, 100, 100, 0, 100, 1000 },
        { { RS, { { 0 } }, EMPTY, NULL }, CONFIG_DEFAULTS, SPACE_L2, 16, 100, 100, 0, 100, 1000 },
        { { RS, { { 0 } }, PY_JSON, NULL }, CONFIG_DEFAULTS, SPACE_L2, 16, 100, 100, 0, 100, 1000 },
        { { RS, { { 0 } }, RS_JSON, NULL }, CONFIG_JSON, SPACE_IP, 6, 50, 33, 0, 100, 6 },
        { { RS, { { 0 } }, RS_JSON, SCHEMA(INDEX(COSINE), "{}") }, CONFIG_JSON, SPACE_IP, 6, 50, 33, 0, 100, 6 },
        { { RS, { COSINE_ROW }, RS_JSON, NULL }, CONFIG_JSON, SPACE_IP, 6, 50, 33, 0, 100, 6 },
        { { RS, { COSINE_ROW }, NULL, NULL }, CONFIG_SEGMENT_METADATA, SPACE_COSINE, 16, 100, 100, 0, 100, 1000 },
        { { RS, { COSINE_ROW, { "hnsw:search_ef", 'i', NULL, 5 } }, PY_JSON, NULL },
          CONFIG_SEGMENT_METADATA,
          SPACE_COSINE,
          16,
          100,
          5,
          0,
          100,
          1000 },
        { { RS, { COSINE_ROW }, RS_JSON_DEFAULTS, NULL }, CONFIG_SEGMENT_METADATA, SPACE_COSINE, 16, 100, 100, 0, 100, 1000 },
        { { RS, { { "hnsw:space", 's', "l2", 0 } }, RS_JSON_DEFAULTS, NULL }, CONFIG_JSON, SPACE_L2, 16, 100, 100, 0, 100, 1000 },
        { { RS, { COSINE_ROW }, RS_JSON_THREADS, NULL }, CONFIG_JSON, SPACE_L2, 16, 100, 100, 100000, 100, 1000 },
        { { RS, { { "hnsw:num_threads", 'i', NULL, 100000 } }, NULL, NULL },
          CONFIG_SEGMENT_METADATA,
          SPACE_L2,
          16,
          100,
          100,
          100000,
          100,
          1000 },
        { { RS, { { "hnsw:resize_factor", 'i', NULL, 2 }, { "hnsw:batch_size", 'i', NULL, 2 } }, EMPTY, NULL },
          CONFIG_SEGMENT_METADATA,
          SPACE_L2,
          16,
          100,
          100,
          0,
          2,
          1000 },
        { { RS, { { "hnsw:bogus", 's', "x", 0 } }, "{\"vector_index\":{\"spann\":{\"space\":\"l2\"}}}", NULL },
          CONFIG_UNSUPPORTED,
          SPACE_L2,
          0,
          0,
          0,
          0,
          0,
          0 },
        /* 1.3 on */
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA(INDEX(COSINE), INDEX(IP)) }, CONFIG_SCHEMA, SPACE_IP, 6, 50, 33, 1, 4, 6 },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA(INDEX(IP), INDEX(COSINE)) },
          CONFIG_SCHEMA,
          SPACE_COSINE,
          16,
          100,
          100,
          0,
          100,
          1000 },
        { { RS_SCHEMA, { { 0 } }, RS_JSON, SCHEMA(INDEX(IP), INDEX(COSINE)) },
          CONFIG_SCHEMA,
          SPACE_COSINE,
          16,
          100,
          100,
          0,
          100,
          1000 },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA(INDEX(IP), "{}") }, CONFIG_SCHEMA, SPACE_IP, 6, 50, 33, 1, 4, 6 },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA(INDEX(IP), "{\"float_list\":null}") },
          CONFIG_SCHEMA,
          SPACE_IP,
          6,
          50,
          33,
          1,
          4,
          6 },
        { { RS_SCHEMA, { { 0 } }, EMPTY, "{\"defaults\":" INDEX(IP) ",\"keys\":{}}" },
          CONFIG_SCHEMA,
          SPACE_IP,
          6,
          50,
          33,
          1,
          4,
          6 },
        { { RS_SCHEMA,
            { { 0 } },
            EMPTY,
            "{\"defaults\":{\"#float_list\":{\"$vector_index\":{\"config\":" IP "}}},\"key_overrides\":{\"#embedding\":null}}" },
          CONFIG_SCHEMA,
          SPACE_IP,
          6,
          50,
          33,
          1,
          4,
          6 },
        { { RS_SCHEMA,
            { { 0 } },
            EMPTY,
            SCHEMA("{}", INDEX("{\"space\":null,\"hnsw\":{\"ef_search\":null,\"max_neighbors\":9}}")) },
          CONFIG_SCHEMA,
          SPACE_L2,
          9,
          100,
          100,
          0,
          100,
          1000 },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA(INDEX(SPANN), INDEX(SPANN)) }, CONFIG_UNSUPPORTED, SPACE_L2, 0, 0, 0, 0, 0, 0 },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA("{}", INDEX(SPANN)) }, CONFIG_UNSUPPORTED, SPACE_L2, 0, 0, 0, 0, 0, 0 },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA(INDEX(IP), INDEX(SPANN)) }, CONFIG_SCHEMA, SPACE_IP, 6, 50, 33, 1, 4, 6 },
        { { RS_SCHEMA, { COSINE_ROW }, EMPTY, SCHEMA(INDEX("{}"), INDEX("{\"space\":\"l2\"}")) },
          CONFIG_SEGMENT_METADATA,
          SPACE_COSINE,
          16,
          100,
          100,
          0,
          100,
          1000 },
        { { RS_SCHEMA, { COSINE_ROW }, EMPTY, SCHEMA(INDEX("{}"), INDEX("{\"hnsw\":{\"num_threads\":100000}}")) },
          CONFIG_SCHEMA,
          SPACE_L2,
          16,
          100,
          100,
          100000,
          100,
          1000 },
        { { RS_SCHEMA, { COSINE_ROW }, EMPTY, SCHEMA(INDEX("{}"), INDEX(IP)) }, CONFIG_SCHEMA, SPACE_IP, 6, 50, 33, 1, 4, 6 },
        { { RS_SCHEMA, { { 0 } }, RS_JSON, NULL }, CONFIG_JSON, SPACE_IP, 6, 50, 33, 0, 100, 6 },
        { { RS_SCHEMA, { { 0 } }, RS_JSON, "" }, CONFIG_JSON, SPACE_IP, 6, 50, 33, 0, 100, 6 },
        { { RS_SCHEMA, { { 0 } }, RS_JSON, " null\n" }, CONFIG_JSON, SPACE_IP, 6, 50, 33, 0, 100, 6 },
        { { RS_SCHEMA, { COSINE_ROW }, PY_JSON, NULL }, CONFIG_SEGMENT_METADATA, SPACE_COSINE, 16, 100, 100, 0, 100, 1000 },
        { { RS_SCHEMA, { COSINE_ROW }, RS_JSON, NULL }, CONFIG_JSON, SPACE_IP, 6, 50, 33, 0, 100, 6 },
};

static void check_good(const struct good *good, const struct hnsw_config *config)
{
        bool python = good->in.era <= PY_NEW;
        assert_string_equal(config_source_name(config->source), config_source_name(good->source));
        assert_true(config->has_num_threads == python && config->has_resize_factor == python && config->has_batch_size == python);
        if (good->source == CONFIG_UNSUPPORTED)
                return;
        assert_string_equal(hnsw_space_name(config->space), hnsw_space_name(good->space));
        assert_int_equal(config->m, good->m);
        assert_int_equal(config->ef_construction, good->ef_construction);
        assert_int_equal(config->ef_search, good->ef_search);
        assert_int_equal(config->num_threads, good->num_threads);
        assert_int_equal(config->batch_size, good->batch_size);
        assert_int_equal(config->sync_threshold, good->sync_threshold);
}

static void test_good(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++) {
                struct hnsw_config config;
                struct error e = { 0 };
                if (effective(&goods[i].in, &config, &e) < 0)
                        fail_msg("case %zu: %s", i, e.text);
                check_good(&goods[i], &config);
        }
}

/* num_threads stored as this machine's own default is no difference. */
static void test_own_threads(void **state)
{
        (void) state;
        cpu_set_t set;
        assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
        char json[128];
        (void) snprintf(json, sizeof json, "{\"vector_index\":{\"hnsw\":{\"num_threads\":%d}}}", CPU_COUNT(&set));
        struct input in = { RS, { COSINE_ROW }, json, NULL };
        struct hnsw_config config;
        assert_int_equal(effective(&in, &config, NULL), 0);
        assert_int_equal(config.source, CONFIG_SEGMENT_METADATA);
        assert_int_equal(config.space, SPACE_COSINE);
}

static void test_resize_factor(void **state)
{
        (void) state;
        struct input in = { PY_OLD, { { "hnsw:resize_factor", 'f', NULL, 2.5 } }, NULL, NULL };
        struct hnsw_config config;
        assert_int_equal(effective(&in, &config, NULL), 0);
        assert_true(config.resize_factor > 2.49 && config.resize_factor < 2.51);
        in = (struct input){ RS, { { 0 } }, RS_JSON, NULL };
        assert_int_equal(effective(&in, &config, NULL), 0);
        assert_true(config.resize_factor > 1.49 && config.resize_factor < 1.51);
}

struct bad {
        struct input in;
        const char *said;
};

#define HNSW(MEMBERS) "{\"vector_index\":{\"hnsw\":{" MEMBERS "}}}"

static const struct bad bads[] = {
        { { PY_OLD, { { "hnsw:space", 's', "l3", 0 } }, NULL, NULL }, "segment_metadata: hnsw:space" },
        { { PY_OLD, { { "hnsw:space", 'i', NULL, 2 } }, NULL, NULL }, "hnsw:space is no string" },
        { { PY_OLD, { { "hnsw:M", 's', "16", 0 } }, NULL, NULL }, "hnsw:M is no integer" },
        { { PY_OLD, { { "hnsw:M", 'f', NULL, 16 } }, NULL, NULL }, "hnsw:M is no integer" },
        { { PY_OLD, { { "hnsw:M", 'i', NULL, -1 } }, NULL, NULL }, "hnsw:M is -1" },
        { { PY_OLD, { { "hnsw:batch_size", 'i', NULL, 2 } }, NULL, NULL }, "hnsw:batch_size is 2" },
        { { PY_OLD, { { "hnsw:sync_threshold", 'i', NULL, 0 } }, NULL, NULL }, "hnsw:sync_threshold is 0" },
        { { PY_OLD, { { "hnsw:resize_factor", 's', "1", 0 } }, NULL, NULL }, "hnsw:resize_factor is no number" },
        { { PY_OLD, { { "hnsw:resize_factor", 'f', NULL, __builtin_inf() } }, NULL, NULL }, "hnsw:resize_factor is no finite" },
        { { RS, { { "hnsw:M", 'b', NULL, 1 } }, NULL, NULL }, "hnsw:M is no integer" },
        { { RS, { { "hnsw:bogus", 'i', NULL, 1 } }, RS_JSON, NULL }, "hnsw:bogus is no parameter" },
        { { RS, { { "hnsw:\xff\n", 'i', NULL, 1 } }, NULL, NULL }, "segment_metadata: a key that is no plain name" },
        { { RS, { { "hnsw:sync_threshold", 'i', NULL, 1 } }, RS_JSON, NULL }, "hnsw:sync_threshold is 1" },
        { { RS, { { 0 } }, "", NULL }, "config_json_str" },
        { { RS, { { 0 } }, "{", NULL }, "config_json_str" },
        { { RS, { { 0 } }, "null", NULL }, "config_json_str is no JSON object" },
        { { RS, { { 0 } }, "[]", NULL }, "config_json_str is no JSON object" },
        { { RS, { { 0 } }, "{\"vector_index\":null}", NULL }, "vector_index is no object" },
        { { RS, { { 0 } }, "{\"vector_index\":\"hnsw\"}", NULL }, "vector_index is no object" },
        { { RS, { { 0 } }, "{\"vector_index\":{}}", NULL }, "vector_index is no object" },
        { { RS, { { 0 } }, "{\"vector_index\":{\"flat\":{}}}", NULL }, "neither hnsw nor spann" },
        { { RS, { { 0 } }, "{\"vector_index\":{\"hnsw\":{},\"spann\":{}}}", NULL }, "of one member" },
        { { RS, { { 0 } }, "{\"vector_index\":{\"hnsw\":[]}}", NULL }, "hnsw is no object" },
        { { RS, { { 0 } }, "{\"vector_index\":{\"hnsw\":null}}", NULL }, "hnsw is no object" },
        { { RS, { { 0 } }, HNSW("\"space\":\"L2\""), NULL }, "space is none of" },
        { { RS, { { 0 } }, HNSW("\"space\":\"l2\\u0000\""), NULL }, "space is none of" },
        { { RS, { { 0 } }, HNSW("\"space\":2"), NULL }, "space is no string" },
        { { RS, { { 0 } }, HNSW("\"space\":null"), NULL }, "space is no string" },
        { { RS, { { 0 } }, HNSW("\"ef_search\":1.5"), NULL }, "ef_search is no integer" },
        { { RS, { { 0 } }, HNSW("\"ef_search\":\"10\""), NULL }, "ef_search is no integer" },
        { { RS, { { 0 } }, HNSW("\"ef_search\":true"), NULL }, "ef_search is no integer" },
        { { RS, { { 0 } }, HNSW("\"ef_search\":null"), NULL }, "ef_search is no integer" },
        { { RS, { { 0 } }, HNSW("\"ef_construction\":-1"), NULL }, "ef_construction is -1" },
        { { RS, { { 0 } }, HNSW("\"max_neighbors\":9223372036854775808"), NULL }, "max_neighbors is no integer" },
        { { RS, { { 0 } }, HNSW("\"max_neighbors\":99999999999999999999999"), NULL }, "max_neighbors is no integer" },
        { { RS, { { 0 } }, HNSW("\"batch_size\":1"), NULL }, "batch_size is 1" },
        { { RS, { { 0 } }, HNSW("\"sync_threshold\":1"), NULL }, "sync_threshold is 1" },
        { { RS, { { 0 } }, HNSW("\"resize_factor\":\"1\""), NULL }, "resize_factor is no number" },
        { { RS, { { 0 } }, HNSW("\"resize_factor\":1e999"), NULL }, "resize_factor is no finite" },
        { { RS, { { 0 } }, HNSW("\"resize_factor\":NaN"), NULL }, "no JSON" },
        { { RS, { { 0 } }, HNSW("\"M\":16"), NULL }, "M is no parameter" },
        { { RS_SCHEMA, { { 0 } }, "{", SCHEMA(INDEX(IP), INDEX(IP)) }, "config_json_str" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, "x" }, "schema_str" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, "[]" }, "schema_str is no JSON object" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, "{}" }, "schema_str has no defaults" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, "{\"defaults\":{}}" }, "schema_str has no keys" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, "{\"defaults\":[],\"keys\":{}}" }, "defaults is no object" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA("{}", "{}") }, "schema_str has no vector index" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA("{}", "7") }, "#embedding is no object" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA("{}", "{\"float_list\":1}") }, "float_list is no object" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA("{}", "{\"float_list\":{\"vector_index\":[]}}") }, "vector_index is no object" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA("{}", "{\"float_list\":{\"vector_index\":{}}}") }, "has no config" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA("{}", INDEX("{\"space\":\"ip \"}")) }, "schema_str: space is none of" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA("{}", INDEX("{\"hnsw\":true}")) }, "hnsw is no object" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA("{}", INDEX("{\"spann\":true}")) }, "spann is no object" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA("{}", INDEX("{\"hnsw\":{\"space\":\"l2\"}}")) }, "space is no parameter" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA("{}", INDEX("{\"hnsw\":{\"ef_search\":\"1\"}}")) }, "ef_search is no integer" },
        { { RS_SCHEMA, { { 0 } }, EMPTY, SCHEMA(INDEX(IP), INDEX("{\"hnsw\":{\"sync_threshold\":0}}")) }, "sync_threshold is 0" },
        { { RS_SCHEMA, { { "hnsw:space", 's', "x", 0 } }, EMPTY, SCHEMA("{}", INDEX(IP)) }, "segment_metadata: hnsw:space" },
};

static void test_bad(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
                struct hnsw_config config = { .m = 777 };
                struct error e = { 0 };
                assert_int_equal(effective(&bads[i].in, &config, &e), -EILSEQ);
                assert_int_equal(effective(&bads[i].in, &config, NULL), -EILSEQ);
                if (strstr(e.text, bads[i].said) == NULL)
                        fail_msg("case %zu: '%s' does not say '%s'", i, e.text, bads[i].said);
                assert_int_equal(config.m, 777);
        }
}

static const char *string_at(struct json_object *object, const char *first, const char *second)
{
        struct json_object *value = object;
        if (!json_object_object_get_ex(value, first, &value) || !json_object_object_get_ex(value, second, &value))
                return NULL;
        return json_object_get_string(value);
}

/* What the fixtures' own metadata, or else Chroma's account of its configuration, says of the space. */
static void check_space(const struct hnsw_config *config, struct json_object *truth)
{
        struct json_object *configuration = NULL;
        const char *space = string_at(truth, "metadata", "hnsw:space");
        if (space == NULL && json_object_object_get_ex(truth, "configuration", &configuration))
                space = string_at(configuration, "hnsw", "space");
        assert_string_equal(hnsw_space_name(config->space), space != NULL ? space : "l2");
}

/* Chroma's account leaves the metadata out, so that it counts only where that is not what counts. */
static void check_configuration(const struct hnsw_config *config, struct json_object *truth)
{
        static const char *const names[] = { "ef_construction", "ef_search", "max_neighbors", "sync_threshold" };
        const int64_t values[] = { config->ef_construction, config->ef_search, config->m, config->sync_threshold };
        struct json_object *configuration = NULL, *hnsw = NULL, *value = NULL;
        if (config->source == CONFIG_SEGMENT_METADATA || !json_object_object_get_ex(truth, "configuration", &configuration) ||
            !json_object_object_get_ex(configuration, "hnsw", &hnsw))
                return;
        for (size_t i = 0; i < 4; i++) {
                assert_true(json_object_object_get_ex(hnsw, names[i], &value));
                assert_int_equal(json_object_get_int64(value), values[i]);
        }
}

static void check_metadata(const struct hnsw_config *config, struct json_object *truth)
{
        const char *sync = string_at(truth, "metadata", "hnsw:sync_threshold");
        if (sync != NULL)
                assert_int_equal(config->sync_threshold, strtoll(sync, NULL, 10));
}

static void check_fixture(const struct fixture *f)
{
        for (size_t i = 0; i < f->catalog->collection_count; i++) {
                struct collection_detail detail;
                struct hnsw_config config;
                struct error e = { 0 };
                const struct collection *collection = &f->catalog->collections[i];
                struct json_object *truth = fixture_truth(f, collection);
                assert_int_equal(db_begin(f->db, NULL), 0);
                assert_int_equal(collection_detail_read(f->db, collection, &detail, NULL), 0);
                db_end(f->db);
                if (hnsw_config_effective(&f->catalog->version, &detail, &config, &e) < 0)
                        fail_msg("%s %s: %s", f->name, collection->name.bytes, e.text);
                check_space(&config, truth);
                check_configuration(&config, truth);
                check_metadata(&config, truth);
                collection_detail_clear(&detail);
        }
}

static void test_fixtures(void **state)
{
        (void) state;
        each_fixture(check_fixture);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good), cmocka_unit_test(test_own_threads), cmocka_unit_test(test_resize_factor),
                cmocka_unit_test(test_bad),  cmocka_unit_test(test_fixtures),
        };
        return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
