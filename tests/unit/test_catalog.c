#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "ops/catalog.h"
#include "tests/unit/fixture.h"
#include "tests/unit/schema.h"

#define UUID(n) "00000000-0000-4000-8000-00000000000" n

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

static int read_error(const struct schema *s, struct error *e)
{
        CLEANUP(db_close)
        struct db *db = schema_open(s);
        struct catalog *c = (struct catalog *) (uintptr_t) s;
        int r = catalog_read(db, &c, e);
        assert_ptr_equal(c, s);
        return r;
}

static void assert_text(const struct text *t, const char *expected)
{
        assert_string_equal(t->bytes, expected);
        assert_int_equal(t->len, strlen(expected));
}

/* The combinations that releases leave. */
static const int generations[][3] = {
        { 3, 1, 1 }, { 3, 2, 1 }, { 3, 3, 1 }, { 4, 3, 1 },  { 5, 3, 1 },  { 6, 3, 1 },
        { 7, 3, 1 }, { 9, 4, 2 }, { 9, 5, 2 }, { 10, 5, 2 }, { 10, 6, 2 },
};

#define GENERATIONS (sizeof generations / sizeof generations[0])

static void make(struct schema *s, size_t generation)
{
        schema_make(s, generations[generation][0], generations[generation][1], generations[generation][2]);
}

/* One collection with two segments, of which one has a position, in the generation's own form. */
static void insert_collection(struct schema *s, size_t generation)
{
        const int *g = generations[generation];
        schema_exec(s, g[0] >= 4 ? "INSERT INTO collections (id, name, dimension, database_id)"
                                   " VALUES ('" UUID("1") "', 'docs', 19, '00000000-0000-0000-0000-000000000000')"
                                 : "INSERT INTO collections (id, name, dimension) VALUES ('" UUID("1") "', 'docs', 19)");
        schema_exec(s, "INSERT INTO segments (id, type, scope, collection) VALUES"
                       " ('" UUID("3") "', 'urn:v', 'VECTOR', '" UUID("1") "'), ('" UUID("2") "', 'urn:m', 'METADATA', '" UUID(
                               "1") "')");
        schema_exec(s, g[1] >= 5 ? "INSERT INTO max_seq_id VALUES ('" UUID("2") "', 258)"
                                 : "INSERT INTO max_seq_id VALUES ('" UUID("2") "', x'0000000000000102')");
        schema_exec(s, "INSERT INTO embeddings_queue (seq_id, operation, topic, id) VALUES (7, 0, 't', 'i'), (300, 0, 't', 'i')");
}

static void check_collection(const struct catalog *c)
{
        const struct collection *collection = catalog_collection(c, UUID("1"));
        assert_non_null(collection);
        assert_text(&collection->name, "docs");
        assert_text(&collection->tenant, "default_tenant");
        assert_text(&collection->database, "default_database");
        assert_true(collection->id_is_uuid && collection->has_dimension);
        assert_int_equal(collection->dimension, 19);
        assert_ptr_equal(collection->vector, catalog_segment(c, UUID("3")));
        assert_ptr_equal(collection->metadata, catalog_segment(c, UUID("2")));
        assert_int_equal(collection->extra_segments, 0);
        assert_ptr_equal(collection->vector->collection, collection);
        assert_text(&collection->vector->type, "urn:v");
        assert_false(collection->vector->has_position);
        assert_true(collection->metadata->has_position);
        assert_int_equal(collection->metadata->position, 258);
}

static void test_generations(void **state)
{
        (void) state;
        for (size_t i = 0; i < GENERATIONS; i++) {
                struct schema s;
                make(&s, i);
                insert_collection(&s, i);
                CLEANUP(catalog_free)
                struct catalog *c = read_catalog(&s);
                assert_true(c->version.known);
                assert_text(&c->damage, "");
                assert_int_equal(c->collection_count, 1);
                assert_int_equal(c->segment_count, 2);
                check_collection(c);
                assert_int_equal(c->tenant_count, 1);
                assert_text(&c->tenants[0], "default_tenant");
                assert_int_equal(c->database_count, 1);
                assert_text(&c->databases[0].name, "default_database");
                assert_text(&c->databases[0].tenant, "default_tenant");
                assert_true(c->has_queue_max && c->queue_max == 300);
                assert_true(c->has_position_max && c->position_max == 258);
                assert_int_equal(c->automatically_purge, PURGE_ABSENT);
                assert_true(c->has_fts);
                assert_non_null(strstr(c->fts_sql.bytes, generations[i][1] >= 3 ? "fts5(string_value" : "fts5(id"));
                assert_true(c->page_size == 4096 && c->page_count > 5 && c->triggers == 0 && c->orphan_positions == 0);
                schema_remove(&s);
        }
}

static void test_empty(void **state)
{
        (void) state;
        for (size_t i = 0; i < GENERATIONS; i++) {
                struct schema s;
                make(&s, i);
                CLEANUP(catalog_free)
                struct catalog *c = read_catalog(&s);
                assert_int_equal(c->collection_count + c->segment_count, 0);
                assert_false(c->has_queue_max || c->has_position_max);
                assert_null(catalog_collection(c, ""));
                assert_null(catalog_segment(c, UUID("1")));
                schema_remove(&s);
        }
}

static void test_purge(void **state)
{
        (void) state;
        static const struct {
                const char *value;
                enum purge_setting setting;
        } cases[] = {
                { "'{\"automatically_purge\": true, \"_type\": \"E\"}'", PURGE_ON },
                { "'{\"automatically_purge\":false}'", PURGE_OFF },
                { "'{\"automatically_purge\":1}'", PURGE_UNKNOWN },
                { "'{}'", PURGE_UNKNOWN },
                { "'[true]'", PURGE_UNKNOWN },
                { "'{'", PURGE_UNKNOWN },
                { "''", PURGE_UNKNOWN },
                { "NULL", PURGE_UNKNOWN },
                { "x'7b00ff'", PURGE_UNKNOWN },
                { "17", PURGE_UNKNOWN },
        };
        struct schema s;
        schema_make(&s, 10, 6, 2);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                char sql[160];
                (void) snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO embeddings_queue_config VALUES (1, %s)", cases[i].value);
                schema_exec(&s, sql);
                CLEANUP(catalog_free)
                struct catalog *c = read_catalog(&s);
                assert_int_equal(c->automatically_purge, cases[i].setting);
        }
        schema_exec(&s, "UPDATE embeddings_queue_config SET id = 2");
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        assert_int_equal(c->automatically_purge, PURGE_ABSENT);
        schema_remove(&s);
}

/* A table or column that goes, and what is said of it. */
static void test_damage(void **state)
{
        (void) state;
        static const struct {
                const char *sql, *said;
        } cases[] = {
                { "DROP TABLE tenants", "table tenants" },
                { "DROP TABLE databases", "table databases" },
                { "DROP TABLE max_seq_id", "table max_seq_id" },
                { "DROP TABLE collection_metadata", "table collection_metadata" },
                { "DROP TABLE segment_metadata", "table segment_metadata" },
                { "DROP TABLE embeddings", "table embeddings" },
                { "DROP TABLE embedding_metadata", "table embedding_metadata" },
                { "DROP TABLE embedding_metadata_array", "table embedding_metadata_array" },
                { "DROP TABLE embeddings_queue", "table embeddings_queue" },
                { "DROP TABLE embeddings_queue_config", "table embeddings_queue_config" },
                { "DROP TABLE maintenance_log", "table maintenance_log" },
                { "DROP TABLE embedding_fulltext_search", "full-text table embedding_fulltext_search" },
                { "DROP TABLE embedding_fulltext_search_docsize", "full-text table embedding_fulltext_search" },
                { "ALTER TABLE collections DROP COLUMN schema_str", "column collections.schema_str" },
                { "ALTER TABLE collections DROP COLUMN dimension", "column collections.dimension" },
                { "DROP TABLE maintenance_log; DROP TABLE embeddings", "lacks table maintenance_log, table embeddings" },
                { "ALTER TABLE tenants RENAME TO t; CREATE VIEW tenants AS SELECT * FROM t", "table tenants" },
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct schema s;
                make(&s, GENERATIONS - 1);
                schema_exec(&s, "INSERT INTO collections (id, name, database_id) VALUES ('" UUID("1") "', 'docs', 'x')");
                schema_exec(&s, cases[i].sql);
                CLEANUP(catalog_free)
                struct catalog *c = read_catalog(&s);
                if (strstr(c->damage.bytes, cases[i].said) == NULL)
                        fail_msg("'%s' does not say '%s'", c->damage.bytes, cases[i].said);
                assert_int_equal(c->collection_count, 1);
                schema_remove(&s);
        }
}

static void test_refused(void **state)
{
        (void) state;
        static const struct {
                const char *sql;
                int code;
        } cases[] = {
                { "DROP TABLE migrations", -EILSEQ },
                { "DROP TABLE collections", -EILSEQ },
                { "DROP TABLE segments", -EILSEQ },
                { "ALTER TABLE segments RENAME COLUMN scope TO score", -EILSEQ },
                { "ALTER TABLE collections RENAME COLUMN name TO label", -EILSEQ },
                { "DROP TABLE segments; CREATE VIEW segments AS SELECT 1 AS id, 2 AS type, 3 AS scope, 4 AS collection", -EILSEQ },
                /* More large values than anyone has by accident. */
                { "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 1001)"
                  " INSERT INTO max_seq_id SELECT i, zeroblob(1050000) FROM n",
                  -E2BIG },
                /* No way to tell which row it is. */
                { "ALTER TABLE tenants ADD COLUMN rowid; INSERT INTO tenants VALUES (hex(zeroblob(1000000)), 1)", -E2BIG },
                { "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 300)"
                  " INSERT INTO tenants SELECT zeroblob(1000000 + i) FROM n",
                  -E2BIG },
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct schema s;
                struct error e = { 0 };
                make(&s, GENERATIONS - 1);
                schema_exec(&s, cases[i].sql);
                assert_int_equal(read_error(&s, &e), cases[i].code);
                assert_int_equal(e.code, cases[i].code);
                assert_true(strlen(e.text) > 0);
                assert_int_equal(read_error(&s, NULL), cases[i].code);
                schema_remove(&s);
        }
}

/* A value beyond the limit, in whatever column, is absent, and all else of the directory is there. */
static void test_oversized(void **state)
{
        (void) state;
        static const struct {
                const char *column, *sql; /* inserts a row with a large value in the column */
        } cases[] = {
                { "tenants.id", "INSERT INTO tenants SELECT * FROM large" },
                { "databases.id", "INSERT INTO databases SELECT *, 'n', 't' FROM large" },
                { "databases.name", "INSERT INTO databases SELECT 'i', *, 't' FROM large" },
                { "databases.tenant_id", "INSERT INTO databases SELECT 'i', 'n', * FROM large" },
                { "collections.id", "INSERT INTO collections (id, name, database_id) SELECT *, 'n', 'd' FROM large" },
                { "collections.name", "INSERT INTO collections (id, name, database_id) SELECT 'i', *, 'd' FROM large" },
                { "collections.database_id", "INSERT INTO collections (id, name, database_id) SELECT 'i', 'n', * FROM large" },
                { "collections.dimension",
                  "INSERT INTO collections (id, name, database_id, dimension) SELECT 'i', 'n', 'd', * FROM large" },
                { "segments.id", "INSERT INTO segments SELECT *, 't', 's', 'c' FROM large" },
                { "segments.type", "INSERT INTO segments SELECT 'i', *, 's', 'c' FROM large" },
                { "segments.scope", "INSERT INTO segments SELECT 'i', 't', *, 'c' FROM large" },
                { "segments.collection", "INSERT INTO segments SELECT 'i', 't', 's', * FROM large" },
                { "max_seq_id.segment_id", "INSERT INTO max_seq_id SELECT *, 3 FROM large" },
                { "max_seq_id.seq_id", "INSERT INTO max_seq_id SELECT '" UUID("3") "', * FROM large" },
        };
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                struct schema s;
                char said[160];
                make(&s, GENERATIONS - 1);
                insert_collection(&s, GENERATIONS - 1);
                schema_exec(&s, "CREATE TABLE large AS SELECT 'x' || hex(zeroblob(1500000))");
                schema_exec(&s, cases[i].sql);
                CLEANUP(catalog_free)
                struct catalog *c = read_catalog(&s);
                (void) snprintf(said, sizeof said, "%s has 3000001 bytes in one row, beyond the limit of 1048576", cases[i].column);
                if (strstr(c->damage.bytes, said) == NULL)
                        fail_msg("'%s' does not say '%s'", c->damage.bytes, said);
                check_collection(c);
                assert_int_equal(catalog_segment(c, UUID("3"))->position_bad, strcmp(cases[i].column, "max_seq_id.seq_id") == 0);
                schema_remove(&s);
        }
}

static void check_purge_and_queue(void)
{
        struct schema s;
        make(&s, GENERATIONS - 1);
        schema_exec(&s, "INSERT INTO embeddings_queue_config VALUES (1, hex(zeroblob(1500000)));"
                        "DROP TABLE embeddings_queue; CREATE TABLE embeddings_queue (seq_id, topic);"
                        "INSERT INTO embeddings_queue VALUES (5, 't'), (hex(zeroblob(700000)), 't')");
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        assert_int_equal(c->automatically_purge, PURGE_UNKNOWN);
        assert_true(c->has_queue_max); /* what is no number is nobody's seq_id */
        assert_int_equal(c->queue_max, 5);
        schema_remove(&s);
}

/* Several in one row and in rows that follow each other, at the ends of what a rowid can be, beside a table that is missing. */
static void test_oversized_rows(void **state)
{
        (void) state;
        struct schema s;
        check_purge_and_queue();
        make(&s, GENERATIONS - 1);
        schema_exec(&s, "DROP TABLE maintenance_log;"
                        "INSERT INTO segments (rowid, id, type, scope, collection) VALUES"
                        " (-9223372036854775808, 'a', zeroblob(1048577), zeroblob(2000000), 'x'), (-5, 'b', 't', 's', 'x'),"
                        " (-4, 'c', 't', zeroblob(1048576), 'x'), (7, 'd', zeroblob(9000000), 's', 'x'),"
                        " (8, 'e', zeroblob(9000000), 's', 'x'), (9223372036854775807, 'f', 't', 's', zeroblob(1048577))");
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        static const struct {
                const char *id;
                size_t type_len, scope_len, collection_len;
        } expected[] = { { "a", 0, 0, 1 }, { "b", 1, 1, 1 }, { "c", 1, 1048576, 1 },
                         { "d", 0, 1, 1 }, { "e", 0, 1, 1 }, { "f", 1, 1, 0 } };
        assert_int_equal(c->segment_count, 6);
        for (size_t i = 0; i < c->segment_count; i++) {
                assert_text(&c->segments[i].id, expected[i].id);
                assert_int_equal(c->segments[i].type.len, expected[i].type_len);
                assert_int_equal(c->segments[i].scope_text.len, expected[i].scope_len);
                assert_int_equal(c->segments[i].collection_id.len, expected[i].collection_len);
        }
        assert_text(&c->damage, "the database lacks table maintenance_log; segments.type has 1048577 bytes in one row, beyond the "
                                "limit of 1048576: it is taken for absent");
        schema_remove(&s);
}

/* What is absent in a collection leads nowhere, even to what is absent in a database. */
static void test_oversized_reference(void **state)
{
        (void) state;
        struct schema s;
        make(&s, GENERATIONS - 1);
        schema_exec(&s, "INSERT INTO databases VALUES (zeroblob(2000000), 'large', 'default_tenant');"
                        "INSERT INTO collections (id, name, database_id) VALUES ('c', 'n', zeroblob(2000000))");
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        assert_int_equal(c->database_count, 2);
        assert_text(&c->collections[0].database, "");
        schema_remove(&s);
}

/* A text may be within the limit as UTF-16 and beyond it as UTF-8. */
static void test_oversized_utf16(void **state)
{
        (void) state;
        struct schema s = { .path = "/tmp/chromafs-unit-XXXXXX", .dirfd = -1 };
        char path[96];
        assert_non_null(mkdtemp(s.path));
        (void) snprintf(path, sizeof path, "%s/" DB_FILE, s.path);
        s.dirfd = open(s.path, O_DIRECTORY | O_CLOEXEC | O_RDONLY);
        assert_int_equal(sqlite3_open(path, &s.sqlite), SQLITE_OK);
        schema_exec(&s, "PRAGMA encoding = 'UTF-16le'; CREATE TABLE migrations (dir, version, hash);"
                        "INSERT INTO migrations VALUES ('sysdb', 3, '');"
                        "CREATE TABLE collections (id, name, dimension); CREATE TABLE segments (id, type, scope, collection);"
                        "INSERT INTO collections VALUES ('c', replace(hex(zeroblob(200000)), '0', char(8364)), 3)");
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        assert_text(&c->collections[0].name, "");
        assert_int_equal(c->collections[0].dimension, 3);
        assert_non_null(strstr(c->damage.bytes, "collections.name has 1200000 bytes"));
        schema_remove(&s);
}

/* After a refusal the connection reads large values again, and is in no transaction. */
static void test_restored(void **state)
{
        (void) state;
        struct schema s;
        make(&s, GENERATIONS - 1);
        schema_exec(&s, "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 300)"
                        " INSERT INTO tenants SELECT zeroblob(1000000 + i) FROM n");
        CLEANUP(db_close)
        struct db *db = schema_open(&s);
        struct catalog *c = NULL;
        int before = sqlite3_limit(db_handle(db), SQLITE_LIMIT_LENGTH, -1);
        assert_int_equal(catalog_read(db, &c, NULL), -E2BIG);
        assert_int_equal(sqlite3_limit(db_handle(db), SQLITE_LIMIT_LENGTH, -1), before);
        assert_true(sqlite3_get_autocommit(db_handle(db)));
        schema_exec(&s, "DELETE FROM tenants WHERE length(id) > 20"); /* no lock of ours is in the way */
        assert_int_equal(catalog_read(db, &c, NULL), 0);
        catalog_free(c);
        schema_remove(&s);
}

static void test_tenants(void **state)
{
        (void) state;
        struct schema s;
        make(&s, GENERATIONS - 1);
        schema_exec(&s, "INSERT INTO tenants VALUES ('acme'), (NULL), (x'ff00');"
                        "INSERT INTO databases VALUES ('d1', 'zeta', 'acme'), ('d0', 'alpha', 'zoo'), ('d2', 'beta', 'acme');"
                        "INSERT INTO collections (id, name, database_id) VALUES ('c1', 'same', 'd1'), ('c2', 'same', 'd2'),"
                        " ('c3', 'same', 'nowhere'), (NULL, x'6100ff', 'd0'), ('" UUID("1") "', '', 'd0')");
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        assert_int_equal(c->tenant_count, 4);
        assert_text(&c->tenants[0], "");
        assert_text(&c->tenants[1], "acme");
        assert_memory_equal(c->tenants[3].bytes, "\xff\0", 3);
        assert_int_equal(c->tenants[3].len, 2);
        assert_int_equal(c->database_count, 4);
        assert_text(&c->databases[0].name, "beta");
        assert_text(&c->databases[1].name, "zeta");
        assert_text(&c->databases[2].name, "default_database");
        assert_text(&c->databases[3].tenant, "zoo");
        assert_int_equal(c->collection_count, 5);
        assert_text(&c->collections[0].id, "");
        assert_int_equal(c->collections[0].name.len, 3);
        assert_memory_equal(c->collections[0].name.bytes, "a\0\xff", 4);
        assert_text(&c->collections[0].tenant, "zoo");
        assert_true(c->collections[1].id_is_uuid && !c->collections[2].id_is_uuid && !c->collections[0].id_is_uuid);
        assert_text(&catalog_collection(c, "c2")->database, "beta");
        assert_text(&catalog_collection(c, "c3")->database, "");
        assert_text(&catalog_collection(c, "c3")->tenant, "");
        assert_false(c->collections[1].has_dimension);
        schema_remove(&s);
}

static void test_segments(void **state)
{
        (void) state;
        struct schema s;
        schema_make(&s, 7, 3, 1); /* segments.collection may be NULL */
        schema_exec(
                &s,
                "INSERT INTO collections (id, name, database_id, dimension) VALUES ('c1', 'n', 'd', 'many'), (NULL, 'm', 'd', -3);"
                "INSERT INTO segments (id, type, scope, collection) VALUES ('s5', 't', 'VECTOR', 'c1'), ('s1', 't', 'VECTOR', "
                "'c1'),"
                " ('s3', 't', 'vector', 'c1'), ('s4', 't', 'VECTOR', 'gone'), ('s6', 't', 'METADATA', NULL), (NULL, '', '', 'c1'),"
                " ('s2', x'00', x'ff', 'c1')");
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        const struct collection *collection = catalog_collection(c, "c1");
        assert_ptr_equal(collection->vector, catalog_segment(c, "s1"));
        assert_null(collection->metadata);
        assert_int_equal(collection->extra_segments, 4);
        assert_false(collection->has_dimension);
        assert_null(catalog_segment(c, "s4")->collection);
        assert_text(&catalog_segment(c, "s4")->collection_id, "gone");
        assert_null(catalog_segment(c, "s6")->collection);
        assert_int_equal(catalog_segment(c, "s3")->scope, SCOPE_OTHER);
        assert_int_equal(catalog_segment(c, "s6")->scope, SCOPE_METADATA);
        assert_false(catalog_segment(c, "s1")->id_is_uuid);
        assert_null(c->collections[0].vector);
        assert_true(c->collections[0].dimension == -3);
        schema_remove(&s);
}

/* A file made by hand, without a unique key. */
static void test_duplicates(void **state)
{
        (void) state;
        struct schema s;
        make(&s, GENERATIONS - 1);
        schema_exec(
                &s,
                "DROP TABLE collections; CREATE TABLE collections (id, name, dimension, database_id, config_json_str, schema_str);"
                "DROP TABLE segments; CREATE TABLE segments (id, type, scope, collection);"
                "DROP TABLE max_seq_id; CREATE TABLE max_seq_id (segment_id, seq_id);"
                "INSERT INTO collections (id, name) VALUES ('c', 'z'), ('c', 'a');"
                "INSERT INTO segments VALUES ('s', 't', 'VECTOR', 'c'), ('s', 't', 'METADATA', 'c'), ('r', 't', 'VECTOR', 'c');"
                "INSERT INTO max_seq_id VALUES ('r', 4), ('r', 5), ('s', 6)");
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        assert_int_equal(c->collection_count, 2);
        assert_text(&catalog_collection(c, "c")->name, "a");
        assert_ptr_equal(catalog_collection(c, "c"), &c->collections[0]);
        assert_text(&c->collections[0].vector->id, "r");
        assert_text(&c->collections[0].metadata->id, "s");
        assert_int_equal(c->collections[0].extra_segments, 1);
        assert_null(c->collections[1].vector);
        assert_true(catalog_segment(c, "r")->position_bad && !catalog_segment(c, "r")->has_position);
        assert_int_equal(catalog_segment(c, "s")->position, 6);
        assert_true(c->position_max == 6);
        schema_remove(&s);
}

static void test_positions(void **state)
{
        (void) state;
        static const struct {
                const char *value;
                bool good;
                uint64_t position;
        } cases[] = {
                { "0", true, 0 },
                { "9223372036854775807", true, INT64_MAX },
                { "x'0000000000000000'", true, 0 },
                { "x'00000000000000ff'", true, 255 },
                { "x'0102030405060708'", true, 0x0102030405060708 },
                { "x'7fffffffffffffff'", true, INT64_MAX },
                { "x'000000000000000000000000000000007fffffffffffffff'", true, INT64_MAX },
                { "x'000000000000000000000000000000000000000000000102'", true, 258 },
                { "-1", false, 0 },
                { "-9223372036854775808", false, 0 },
                { "x'8000000000000000'", false, 0 },
                { "x'ffffffffffffffff'", false, 0 },
                { "x'000000000000000000000000000000008000000000000000'", false, 0 },
                { "x'000000000000000000000000000001000000000000000000'", false, 0 },
                { "x'010000000000000000000000000000000000000000000000'", false, 0 },
                { "x'00000000000001'", false, 0 },
                { "x'000000000000000001'", false, 0 },
                { "x''", false, 0 },
                { "'12'", false, 0 },
                { "1.0", false, 0 },
                { "NULL", false, 0 },
                { "zeroblob(8)", true, 0 },
                { "zeroblob(900000)", false, 0 },
        };
        struct schema s;
        make(&s, GENERATIONS - 1);
        schema_exec(&s, "DROP TABLE max_seq_id; CREATE TABLE max_seq_id (segment_id TEXT PRIMARY KEY, seq_id BLOB);"
                        "INSERT INTO segments VALUES ('s', 't', 'VECTOR', 'c')");
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                char sql[160];
                (void) snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO max_seq_id VALUES ('s', %s)", cases[i].value);
                schema_exec(&s, sql);
                CLEANUP(catalog_free)
                struct catalog *c = read_catalog(&s);
                assert_int_equal(c->segments[0].has_position, cases[i].good);
                assert_int_equal(c->segments[0].position_bad, !cases[i].good);
                assert_true(c->segments[0].position == cases[i].position);
                assert_int_equal(c->has_position_max, cases[i].good);
        }
        schema_exec(&s, "INSERT OR REPLACE INTO max_seq_id VALUES ('s', 5), ('gone', 99), (NULL, 7)");
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        assert_int_equal(c->orphan_positions, 2);
        assert_int_equal(c->position_max, 99);
        assert_int_equal(c->segments[0].position, 5);
        schema_remove(&s);
}

static void test_file_state(void **state)
{
        (void) state;
        struct schema s;
        make(&s, GENERATIONS - 1);
        schema_exec(&s, "CREATE TABLE filler (b); INSERT INTO filler VALUES (zeroblob(400000)); DROP TABLE filler;"
                        "CREATE TRIGGER t AFTER DELETE ON embeddings BEGIN DELETE FROM collections; END;"
                        "INSERT INTO embeddings_queue (seq_id, operation, topic, id) VALUES (-5, 0, 't', 'i')");
        CLEANUP(catalog_free)
        struct catalog *c = read_catalog(&s);
        assert_true(c->free_pages >= 90 && c->free_pages < c->page_count);
        assert_int_equal(c->triggers, 1);
        assert_true(c->has_queue_max && c->queue_max == -5);
        schema_remove(&s);
}

#define MANY 10000

static void test_many(void **state)
{
        (void) state;
        struct schema s;
        make(&s, GENERATIONS - 1);
        schema_exec(
                &s,
                "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000)"
                " INSERT INTO databases SELECT printf('%08d-0000-4000-8000-00000000000d', i), 'db' || i, 'default_tenant' FROM n;"
                "INSERT INTO collections (id, name, database_id) SELECT printf('%08x-1111-4000-8000-00000000000c', rowid * 7919), "
                "name, id"
                " FROM databases WHERE name <> 'default_database';"
                "INSERT INTO segments SELECT replace(id, '-1111', '-2222'), 'urn:v', 'VECTOR', id FROM collections;"
                "INSERT INTO segments SELECT replace(id, '-1111', '-3333'), 'urn:m', 'METADATA', id FROM collections;"
                "INSERT INTO max_seq_id SELECT id, rowid FROM segments; COMMIT");
        CLEANUP(db_close)
        struct db *db = schema_open(&s);
        struct timespec begin, end;
        struct catalog *c = NULL;
        for (int i = 0; i < 2; i++) { /* the second time from the page cache */
                catalog_free(c);
                (void) clock_gettime(CLOCK_MONOTONIC, &begin);
                assert_int_equal(catalog_read(db, &c, NULL), 0);
                (void) clock_gettime(CLOCK_MONOTONIC, &end);
        }
        long long us = (end.tv_sec - begin.tv_sec) * 1000000LL + (end.tv_nsec - begin.tv_nsec) / 1000;
        print_message("%d collections in %lld us\n", MANY, us);
        assert_true(us < 2000000); /* a hundred times what it takes: the machine may be busy, the algorithm not be quadratic */
        assert_int_equal(c->collection_count, MANY);
        assert_int_equal(c->segment_count, 2 * MANY);
        for (size_t i = 0; i < MANY; i++) {
                const struct collection *collection = &c->collections[i];
                assert_ptr_equal(catalog_collection(c, collection->id.bytes), collection);
                assert_true(collection->vector->has_position && collection->metadata->has_position);
                assert_text(&collection->database, collection->name.bytes);
        }
        catalog_free(c);
        schema_remove(&s);
}

static void check_fixture(const struct fixture *f)
{
        struct json_object *collections = NULL, *version = NULL;
        assert_true(json_object_object_get_ex(f->truth, "collections", &collections));
        assert_true(json_object_object_get_ex(f->truth, "chroma_version", &version));
        assert_int_equal(f->catalog->collection_count, json_object_array_length(collections));
        assert_true(f->catalog->version.known);
        assert_text(&f->catalog->damage, "");
        /* Releases of two digits in the last place do not sort as text, but among those that fixtures are of. */
        const char *release = json_object_get_string(version);
        assert_true(strverscmp(f->catalog->version.min, release) <= 0 && strverscmp(f->catalog->version.max, release) >= 0);
        for (size_t i = 0; i < f->catalog->collection_count; i++) {
                const struct collection *collection = &f->catalog->collections[i];
                struct json_object *truth = fixture_truth(f, collection), *value = NULL;
                assert_non_null(truth);
                assert_true(json_object_object_get_ex(truth, "name", &value));
                assert_text(&collection->name, json_object_get_string(value));
                assert_true(json_object_object_get_ex(truth, "tenant", &value));
                assert_text(&collection->tenant, json_object_get_string(value));
                assert_true(json_object_object_get_ex(truth, "database", &value));
                assert_text(&collection->database, json_object_get_string(value));
                assert_true(collection->vector != NULL && collection->metadata != NULL && collection->extra_segments == 0);
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
                cmocka_unit_test(test_generations),     cmocka_unit_test(test_empty),
                cmocka_unit_test(test_purge),           cmocka_unit_test(test_damage),
                cmocka_unit_test(test_refused),         cmocka_unit_test(test_oversized),
                cmocka_unit_test(test_oversized_rows),  cmocka_unit_test(test_oversized_reference),
                cmocka_unit_test(test_oversized_utf16), cmocka_unit_test(test_restored),
                cmocka_unit_test(test_tenants),         cmocka_unit_test(test_segments),
                cmocka_unit_test(test_duplicates),      cmocka_unit_test(test_positions),
                cmocka_unit_test(test_file_state),      cmocka_unit_test(test_many),
                cmocka_unit_test(test_fixtures),
        };
        return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
