/*
 * Help for tests of the reading of databases: private directories, crashed writers, and comparisons of content. Every failure aborts the test.
 */
#ifndef TESTS_DB_FIXTURE_H
#define TESTS_DB_FIXTURE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fixture {
        char dir[64];
        char db[96];      /* dir/chroma.sqlite3 */
        char journal[96]; /* dir/chroma.sqlite3-journal */
        int fd;           /* of dir */
};

void fixture_make(struct fixture *f);
void fixture_remove(struct fixture *f);

/* A new fixture with copies of f's database and journal. */
void fixture_copy(const struct fixture *f, struct fixture *ret);

/* An ordinary SQLite connection for writing, with a busy timeout of 5 s; and a statement that must succeed on it. */
sqlite3 *fixture_open(const struct fixture *f);
void run_sql(sqlite3 *db, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t number_of(sqlite3 *db, const char *sql);

/* Names, sizes, times and bytes of all files of the directory. */
uint64_t fixture_state(const struct fixture *f);

/* All rows of all tables, and the schema; fails when `PRAGMA integrity_check` isn't ok. */
uint64_t content_of(sqlite3 *db);

/* Content as an ordinary connection sees it after rolling back a copy of f. */
uint64_t content_after_rollback(const struct fixture *f);

/* Runs fn in a child that never returns to the test: it ends with _exit(0), without SQLite's farewell. */
typedef void child_fn(const struct fixture *f, void *context);
pid_t child_start(const struct fixture *f, child_fn *fn, void *context);
void child_wait(pid_t pid);

uint64_t fixture_size(const char *path);
void pause_ms(int ms);
int64_t clock_ms(void);

#endif
