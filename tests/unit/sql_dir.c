#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/sql_dir.h"

static const char schema[] =
        "CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,"
        " operation INTEGER NOT NULL, topic TEXT NOT NULL, id TEXT NOT NULL, vector BLOB, encoding TEXT, metadata TEXT);"
        "CREATE TABLE embeddings (id INTEGER PRIMARY KEY, segment_id TEXT NOT NULL, embedding_id TEXT NOT NULL, seq_id BLOB NOT "
        "NULL,"
        " created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, UNIQUE (segment_id, embedding_id));"
        "CREATE TABLE embedding_metadata (id INTEGER REFERENCES embeddings(id), key TEXT NOT NULL, string_value TEXT, int_value "
        "INTEGER,"
        " float_value REAL, bool_value INTEGER, PRIMARY KEY (id, key));"
        "CREATE INDEX embedding_metadata_string_value ON embedding_metadata (key, string_value) WHERE string_value IS NOT NULL;"
        "CREATE VIRTUAL TABLE embedding_fulltext_search USING fts5(string_value, tokenize='trigram');";

void sql_dir_make(struct sql_dir *d)
{
        (void) strcpy(d->path, "/tmp/chromafs-sql-XXXXXX");
        assert_non_null(mkdtemp(d->path));
        d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(d->fd >= 0);
        sql_dir_exec(d, "%s", schema);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void) st;
        (void) flag;
        (void) ftw;
        return remove(path);
}

void sql_dir_remove(struct sql_dir *d)
{
        (void) close(d->fd);
        assert_int_equal(nftw(d->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

sqlite3 *sql_dir_writer(const struct sql_dir *d, int wait_ms)
{
        char path[128];
        (void) snprintf(path, sizeof(path), "%s/" DB_FILE, d->path);
        sqlite3 *db = NULL;
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_busy_timeout(db, wait_ms), SQLITE_OK);
        /* Only speed: a test's directory need not survive the machine. */
        assert_int_equal(sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK);
        return db;
}

void sql_dir_exec(const struct sql_dir *d, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        char *sql = sqlite3_vmprintf(format, args);
        va_end(args);
        assert_non_null(sql);
        sqlite3 *db = sql_dir_writer(d, 10000);
        char *message = NULL;
        if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
                fail_msg("%s: %s", message, sql);
        sqlite3_free(sql);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

struct db *sql_dir_open(const struct sql_dir *d)
{
        struct db *db = NULL;
        struct error e = { 0 };
        if (db_open(d->fd, &db, &e) < 0)
                fail_msg("%s", e.text);
        return db;
}

struct text text_of(const char *literal)
{
        return (struct text){ .bytes = (char *) (uintptr_t) literal, .len = strlen(literal) };
}

const char *test_uuid(unsigned n, char buffer[37])
{
        (void) snprintf(buffer, 37, "00000000-0000-4000-8000-%012x", n);
        return buffer;
}

void sql_dir_log(const struct sql_dir *d, long long seq_id, int operation, const char *collection, const char *id, bool vector)
{
        sql_dir_exec(d, "INSERT INTO embeddings_queue (seq_id, operation, topic, id, vector) VALUES (%lld, %d, %Q, %Q, %s)", seq_id,
                     operation, collection, id, vector ? "x'00000000'" : "NULL");
}
