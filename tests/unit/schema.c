#include "tests/unit/schema.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char *const sysdb_steps[] = {
        ("CREATE TABLE collections (id TEXT PRIMARY KEY, name TEXT NOT NULL, topic TEXT NOT NULL DEFAULT 't', UNIQUE (name));"
         "CREATE TABLE collection_metadata (collection_id TEXT, key TEXT NOT NULL, str_value TEXT, int_value INTEGER, float_value"
         " REAL,"
         " PRIMARY KEY (collection_id, key))"),
        ("CREATE TABLE segments (id TEXT PRIMARY KEY, type TEXT NOT NULL, scope TEXT NOT NULL, topic TEXT, collection TEXT);"
         "CREATE TABLE segment_metadata (segment_id TEXT, key TEXT NOT NULL, str_value TEXT, int_value INTEGER, float_value REAL,"
         " PRIMARY KEY (segment_id, key))"),
        "ALTER TABLE collections ADD COLUMN dimension INTEGER",
        ("CREATE TABLE tenants (id TEXT PRIMARY KEY, UNIQUE (id));"
         "CREATE TABLE databases (id TEXT PRIMARY KEY, name TEXT NOT NULL, tenant_id TEXT NOT NULL, UNIQUE (tenant_id, name));"
         "DROP TABLE collections;"
         "CREATE TABLE collections (id TEXT PRIMARY KEY, name TEXT NOT NULL, topic TEXT NOT NULL DEFAULT 't', dimension INTEGER,"
         " database_id TEXT NOT NULL, UNIQUE (name, database_id));"
         "INSERT INTO tenants VALUES ('default_tenant');"
         "INSERT INTO databases VALUES ('00000000-0000-0000-0000-000000000000', 'default_database', 'default_tenant')"),
        "ALTER TABLE collections DROP COLUMN topic; ALTER TABLE segments DROP COLUMN topic",
        "ALTER TABLE collection_metadata ADD COLUMN bool_value INTEGER; ALTER TABLE segment_metadata ADD COLUMN bool_value INTEGER",
        "ALTER TABLE collections ADD COLUMN config_json_str TEXT",
        "CREATE TABLE maintenance_log (id INT PRIMARY KEY, timestamp INT NOT NULL, operation TEXT NOT NULL)",
        ("DROP TABLE segments; CREATE TABLE segments (id TEXT PRIMARY KEY, type TEXT NOT NULL, scope TEXT NOT NULL, collection"
         " TEXT NOT NULL)"),
        "ALTER TABLE collections ADD COLUMN schema_str TEXT",
};

static const char *const metadb_steps[] = {
        ("CREATE TABLE embeddings (id INTEGER PRIMARY KEY, segment_id TEXT NOT NULL, embedding_id TEXT NOT NULL, seq_id BLOB NOT"
         " NULL, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, UNIQUE (segment_id, embedding_id));"
         "CREATE TABLE embedding_metadata (id INTEGER, key TEXT NOT NULL, string_value TEXT, int_value INTEGER, float_value REAL,"
         " PRIMARY KEY (id, key));"
         "CREATE TABLE max_seq_id (segment_id TEXT PRIMARY KEY, seq_id BLOB NOT NULL);"
         "CREATE VIRTUAL TABLE embedding_fulltext USING fts5(id, string_value)"),
        "ALTER TABLE embedding_metadata ADD COLUMN bool_value INTEGER",
        ("CREATE VIRTUAL TABLE embedding_fulltext_search USING fts5(string_value, tokenize='trigram'); DROP TABLE "
         "embedding_fulltext"),
        "CREATE INDEX embedding_metadata_int_value ON embedding_metadata (key, int_value) WHERE int_value IS NOT NULL",
        "DROP TABLE max_seq_id; CREATE TABLE max_seq_id (segment_id TEXT PRIMARY KEY, seq_id INTEGER)",
        ("CREATE TABLE embedding_metadata_array (id INTEGER, key TEXT NOT NULL, string_value TEXT, int_value INTEGER, float_value"
         " REAL,"
         " bool_value INTEGER)"),
};

static const char *const queue_steps[] = {
        ("CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,"
         " operation INTEGER NOT NULL, topic TEXT NOT NULL, id TEXT NOT NULL, vector BLOB, encoding TEXT, metadata TEXT)"),
        "CREATE TABLE embeddings_queue_config (id INTEGER PRIMARY KEY, config_json_str TEXT)",
};

void schema_exec(struct schema *s, const char *sql)
{
        char *message = NULL;
        if (sqlite3_exec(s->sqlite, sql, NULL, NULL, &message) != SQLITE_OK)
                fail_msg("%s: %s", sql, message);
}

static void apply(struct schema *s, const char *list, const char *const *steps, int count)
{
        for (int i = 0; i < count; i++) {
                char row[160] = "";
                schema_exec(s, steps[i]); /* NOLINT(clang-analyzer-core.CallAndMessage): callers count the steps */
                (void) snprintf(row, sizeof row, "INSERT INTO migrations VALUES ('%s', %d, '0000%d.sql', '', 'no md5')", list,
                                i + 1, i + 1);
                schema_exec(s, row);
        }
}

void schema_make(struct schema *s, int sysdb, int metadb, int embeddings_queue)
{
        char path[96];
        *s = (struct schema){ .path = "/tmp/chromafs-unit-XXXXXX", .dirfd = -1 };
        assert_non_null(mkdtemp(s->path));
        (void) snprintf(path, sizeof path, "%s/" DB_FILE, s->path);
        s->dirfd = open(s->path, O_DIRECTORY | O_CLOEXEC | O_RDONLY);
        assert_true(s->dirfd >= 0);
        assert_int_equal(sqlite3_open(path, &s->sqlite), SQLITE_OK);
        /* Only speed: a test's directory need not survive the machine. */
        schema_exec(
                s,
                "PRAGMA synchronous = OFF; BEGIN;"
                "CREATE TABLE migrations (dir TEXT NOT NULL, version INTEGER NOT NULL, filename TEXT NOT NULL, sql TEXT NOT NULL,"
                " hash TEXT NOT NULL, PRIMARY KEY (dir, version))");
        apply(s, "sysdb", sysdb_steps, sysdb);
        apply(s, "metadb", metadb_steps, metadb);
        apply(s, "embeddings_queue", queue_steps, embeddings_queue);
        schema_exec(s, "COMMIT");
}

struct db *schema_open(const struct schema *s)
{
        struct db *db = NULL;
        struct error e = { 0 };
        if (db_open(s->dirfd, &db, &e) < 0)
                fail_msg("%s", e.text);
        return db;
}

void schema_remove(struct schema *s)
{
        assert_int_equal(sqlite3_close(s->sqlite), SQLITE_OK);
        assert_int_equal(unlinkat(s->dirfd, DB_FILE, 0), 0);
        assert_int_equal(close(s->dirfd), 0);
        assert_int_equal(rmdir(s->path), 0);
}
