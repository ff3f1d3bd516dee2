#include "tests/unit/orphan_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "tests/unit/index_dir.h"
#include "tests/unit/sql_dir.h"

static sqlite3 *open_path(const struct schema *s, const char *path)
{
        char own[128];
        sqlite3 *db = NULL;
        (void) snprintf(own, sizeof(own), "%s/" DB_FILE, s->path);
        assert_int_equal(sqlite3_open(path == NULL ? own : path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_busy_timeout(db, 10000), SQLITE_OK);
        /* Only speed: a test's directory need not survive the machine. */
        assert_int_equal(sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK);
        return db;
}

void orphan_place_exec(const struct schema *s, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        char *sql = sqlite3_vmprintf(format, args);
        va_end(args);
        assert_non_null(sql);
        sqlite3 *db = open_path(s, NULL);
        char *message = NULL;
        if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
                fail_msg("%s: %s", message, sql);
        sqlite3_free(sql);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int64_t orphan_place_number(const struct schema *s, const char *sql)
{
        sqlite3 *db = open_path(s, NULL);
        sqlite3_stmt *row = NULL;
        if (sqlite3_prepare_v2(db, sql, -1, &row, NULL) != SQLITE_OK || sqlite3_step(row) != SQLITE_ROW)
                fail_msg("%s: %s", sqlite3_errmsg(db), sql);
        int64_t number = sqlite3_column_int64(row, 0);
        (void) sqlite3_finalize(row);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return number;
}

static void dump_value(FILE *f, sqlite3_stmt *row, int i)
{
        static const char *const types[] = { "", "int", "real", "text", "blob", "null" };
        int type = sqlite3_column_type(row, i);
        double real = sqlite3_column_double(row, i);
        (void) fprintf(f, " %s:", types[type]);
        if (type == SQLITE_INTEGER)
                (void) fprintf(f, "%lld", (long long) sqlite3_column_int64(row, i));
        bool has_bytes = type == SQLITE_TEXT || type == SQLITE_BLOB;
        const unsigned char *bytes = has_bytes ? sqlite3_column_blob(row, i) : (const void *) &real;
        int len = has_bytes ? sqlite3_column_bytes(row, i) : type == SQLITE_FLOAT ? (int) sizeof(real) : 0;
        for (int b = 0; b < len; b++)
                (void) fprintf(f, "%02x", bytes[b]);
}

char *orphan_place_dump(const struct schema *s, const char *path, const char *sql)
{
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        assert_non_null(f);
        sqlite3 *db = open_path(s, path);
        sqlite3_stmt *row = NULL;
        if (sqlite3_prepare_v2(db, sql, -1, &row, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sqlite3_errmsg(db), sql);
        int rc;
        while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
                for (int i = 0; i < sqlite3_column_count(row); i++)
                        dump_value(f, row, i);
                (void) fputc('\n', f);
        }
        assert_int_equal(rc, SQLITE_DONE);
        (void) sqlite3_finalize(row);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        assert_int_equal(fclose(f), 0);
        return text;
}

static void give_records(const struct schema *s, int metadb, unsigned segment, int first)
{
        char id[37];
        for (int i = first; i < first + 3; i++) {
                orphan_place_exec(s, "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES (%d, %Q, 'e%d', %d)", i,
                                  test_uuid(segment, id), i, i);
                orphan_place_exec(
                        s,
                        "INSERT INTO embedding_metadata (id, key, string_value) VALUES (%d, 'chroma:document', 'document %d');"
                        "INSERT INTO embedding_metadata (id, key, int_value) VALUES (%d, 'number', %d)",
                        i, i, i, i);
                orphan_place_exec(
                        s,
                        metadb < 3 ? "INSERT INTO embedding_fulltext (id, string_value) VALUES (%d, 'document %d')"
                                   : "INSERT INTO embedding_fulltext_search (rowid, string_value) VALUES (%d, 'document %d')",
                        i, i);
                if (metadb >= 6)
                        orphan_place_exec(
                                s,
                                "INSERT INTO embedding_metadata_array (id, key, string_value) VALUES (%d, 'tags', 'a'), (%d,"
                                " 'tags', 'b')",
                                i, i);
        }
}

static void give_log(const struct schema *s, unsigned collection, int first, int last)
{
        char id[37];
        for (int i = first; i <= last; i++)
                orphan_place_exec(s,
                                  "INSERT INTO embeddings_queue (seq_id, operation, topic, id, vector, encoding, metadata) VALUES"
                                  " (%d, 0, 'persistent://default/default/%q', 'e%d', x'0000803f', 'FLOAT32', '{}')",
                                  i, test_uuid(collection, id), i);
}

static void give_rest(const struct schema *s, unsigned collection, unsigned vector, unsigned metadata, int position)
{
        char c[37], v[37], m[37];
        (void) test_uuid(collection, c);
        (void) test_uuid(vector, v);
        (void) test_uuid(metadata, m);
        orphan_place_exec(s,
                          "INSERT INTO max_seq_id VALUES (%Q, %d), (%Q, %d);"
                          "INSERT INTO collection_metadata (collection_id, key, str_value) VALUES (%Q, 'hnsw:space', 'l2');"
                          "INSERT INTO segment_metadata (segment_id, key, str_value) VALUES (%Q, 'hnsw:space', 'l2')",
                          v, position, m, position, c, v);
}

static int metadb_of(const struct schema *s)
{
        return (int) orphan_place_number(s, "SELECT max(version) FROM migrations WHERE dir = 'metadb'");
}

static void give_collection(const struct schema *s, int sysdb)
{
        char c[37], v[37], m[37];
        (void) test_uuid(PLACE_LIVE, c);
        orphan_place_exec(s,
                          sysdb >= 4 ? "INSERT INTO collections (id, name, database_id) VALUES (%Q, 'live',"
                                       " '00000000-0000-0000-0000-000000000000')"
                                     : "INSERT INTO collections (id, name) VALUES (%Q, 'live')",
                          c);
        orphan_place_exec(s,
                          "INSERT INTO segments (id, type, scope, collection) VALUES"
                          " (%Q, 'urn:chroma:segment/vector/hnsw-local-persisted', 'VECTOR', %Q),"
                          " (%Q, 'urn:chroma:segment/metadata/sqlite', 'METADATA', %Q)",
                          test_uuid(PLACE_VECTOR, v), c, test_uuid(PLACE_METADATA, m), c);
        index_dir_make(s->dirfd, v, &(struct index_dir){ .count = 3 });
}

void orphan_place_make(struct schema *s, int sysdb, int metadb, int embeddings_queue)
{
        schema_make(s, sysdb, metadb, embeddings_queue);
        assert_int_equal(sqlite3_close(s->sqlite), SQLITE_OK);
        s->sqlite = NULL;
        give_collection(s, sysdb);
        give_records(s, metadb, PLACE_METADATA, 1);
        give_log(s, PLACE_LIVE, 1, 3);
        give_rest(s, PLACE_LIVE, PLACE_VECTOR, PLACE_METADATA, 3);
}

void orphan_place_leave(const struct schema *s)
{
        give_records(s, metadb_of(s), PLACE_GONE_METADATA, 11);
        give_log(s, PLACE_GONE, 4, 6);
        give_log(s, PLACE_LIVE, 7, 7);
        give_rest(s, PLACE_GONE, PLACE_GONE_VECTOR, PLACE_GONE_METADATA, 6);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void) st;
        (void) flag;
        (void) ftw;
        return remove(path);
}

void orphan_place_remove(struct schema *s)
{
        (void) close(s->dirfd);
        assert_int_equal(nftw(s->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static uint64_t file_digest(const char *path)
{
        char buffer[65536];
        uint64_t digest = 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        assert_true(fd >= 0);
        for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;)
                digest = XXH3_64bits_withSeed(buffer, (size_t) n, digest);
        (void) close(fd);
        return digest;
}

/* nftw() has no context; one test at a time runs. The order of names does not matter. */
static _Thread_local uint64_t state;
static _Thread_local size_t skip_prefix;

static int add_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void) ftw;
        if (strncmp(path + skip_prefix, "/.chromafs", strlen("/.chromafs")) == 0)
                return 0;
        uint64_t digest = XXH3_64bits(path + skip_prefix, strlen(path + skip_prefix)) + st->st_mode;
        state += flag == FTW_F && S_ISREG(st->st_mode) ? digest * 31 + file_digest(path) : digest;
        return 0;
}

uint64_t orphan_place_state(const struct schema *s)
{
        state = 0;
        skip_prefix = strlen(s->path);
        assert_int_equal(nftw(s->path, add_entry, 16, FTW_PHYS), 0);
        return state;
}
