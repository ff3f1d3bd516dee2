/* A directory with a database of Chroma's tables for one test: filled by SQL, through SQLite's ordinary VFS. */
#ifndef TESTS_SQL_DIR_H
#define TESTS_SQL_DIR_H

#include <sqlite3.h>

#include "ops/catalog.h"
#include "ops/db.h"

struct sql_dir {
        char path[64];
        int fd;
};

/* Makes it, with the tables that hold records and the log. Every failure ends the test. */
void sql_dir_make(struct sql_dir *d);
void sql_dir_remove(struct sql_dir *d);

/* Runs SQL (printf's format, with %Q and so on as sqlite3_mprintf has them) on a connection of its own. */
void sql_dir_exec(const struct sql_dir *d, const char *format, ...);

/* A connection for writing, that waits for locks up to `wait_ms`; the caller closes it. */
sqlite3 *sql_dir_writer(const struct sql_dir *d, int wait_ms);

/* The connection under test. */
struct db *sql_dir_open(const struct sql_dir *d);

/* Text of a literal; not to be freed. */
struct text text_of(const char *literal);

/* Ids of collections and segments for tests: a UUID that ends with the number. */
const char *test_uuid(unsigned n, char buffer[37]);

/* A row of the log: `vector` in it or not. */
void sql_dir_log(const struct sql_dir *d, long long seq_id, int operation, const char *collection, const char *id, bool vector);

#endif
