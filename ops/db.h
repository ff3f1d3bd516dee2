/*
 * A hardened, read-only connection to a persist directory's chroma.sqlite3.
 *
 * - The file is a stranger's: TRUSTED_SCHEMA, ENABLE_TRIGGER and ENABLE_VIEW are off, DEFENSIVE and cell_size_check on, no extension
 *   loads, no mmap, temp_store in memory, lengths limited (DB_LENGTH_MAX).
 * - Reading happens in transactions (db_begin, db_end) that callers keep below 50 ms: while one is open a writer's commit waits.
 * - A lock that another process holds is waited for, at most DB_WAIT_MS, and not beyond a cancel: then -EBUSY.
 * - One thread at a time; the caller locks.
 */
#ifndef OPS_DB_H
#define OPS_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/error.h"
#include "ops/file.h"
#include "ops/text.h"

#define DB_FILE "chroma.sqlite3"
#define DB_WAIT_MS 3000
#define DB_OPEN_WAIT_MS 300
#define DB_LENGTH_MAX (1000 * 1000 * 1000)

struct db;

/* True when the one who waits wants to wait no longer; called every few milliseconds, from the thread that waits. */
typedef bool db_cancel_fn(void *context);

/* Opens DB_FILE beneath dirfd (which is duplicated). Before SQLite sees it the file's own header is checked, through a hot journal if there is one: -ENOENT not there,
   -EILSEQ empty, no SQLite database, cut off (shorter than its page count says), or in WAL mode: each with its own sentence. *ret is the caller's.
   The check needs the SHARED lock: where another process keeps that for longer than DB_OPEN_WAIT_MS the opening succeeds nevertheless, and the
   first db_begin checks. */
int db_open(int dirfd, struct db **ret, struct error *e);

sqlite3 *db_handle(struct db *db);

/* What holds for every connection to a stranger's file, before its first statement: nothing that the schema says is run (triggers, views, foreign keys, functions with
   side effects), and nothing is loaded. Returns SQLite's code. */
int db_harden(sqlite3 *sqlite);

/* Who may end a wait for a lock, and any statement that runs; NULL for nobody. */
void db_set_cancel(struct db *db, db_cancel_fn *cancelled, void *context);

/* Whether that one wants to wait no longer: for what takes long without SQLite's asking. */
bool db_is_cancelled(struct db *db);

/* How much SQLite may remember of the file, in KiB; 8 MiB unless told before the first transaction. */
void db_set_cache(struct db *db, int kib);

/* Begins a read transaction and takes the SHARED lock at once (reads page 1). -EBUSY, -EINTR (cancelled), -EIO, -EILSEQ; -EINVAL inside another. */
int db_begin(struct db *db, struct error *e);

/* Ends it and gives up the lock, whatever statements still run: they are reset. Does nothing outside a transaction. */
void db_end(struct db *db);

/* True while a transaction is open and what it reads comes out of a hot journal in part. */
bool db_is_hot(const struct db *db);

/* SQLite's data_version: another value than last time when anyone else has committed. Inside or outside a transaction. */
int db_data_version(struct db *db, uint64_t *ret, struct error *e);

/* The file change counter of the header, which grows with every transaction. Inside a transaction. */
int db_change_counter(struct db *db, uint32_t *ret, struct error *e);

/* Stamp of the open database file (by its descriptor), and of what the name leads to now: when these differ in dev or ino the database
   was replaced, and the caller opens it anew. */
struct file_stamp db_stamp(const struct db *db);
bool db_replaced(const struct db *db);

/* Prepares `sql`; the caller finalizes. A missing table or column is -EILSEQ with SQLite's sentence. */
int db_prepare(struct db *db, sqlite3_stmt **ret, struct error *e, const char *sql);

/* Steps: 1 a row, 0 done, negative errno. */
int db_step(struct db *db, sqlite3_stmt *stmt, struct error *e);

/* Column as text of any bytes (also from a BLOB or number), copied. NULL gives {NULL, 0} and 0. */
int db_column_text(sqlite3_stmt *stmt, int column, struct text *ret, struct error *e);

/* Whether the schema has the table, or the column. Both are looked up in the schema as it is now. 1, 0, or negative errno. */
int db_has_table(struct db *db, const char *table, struct error *e);
int db_has_column(struct db *db, const char *table, const char *column, struct error *e);

/* The last SQLite failure as errno and sentence: BUSY -> -EBUSY, INTERRUPT -> -EINTR, NOMEM -> -ENOMEM, CORRUPT/NOTADB -> -EILSEQ, IOERR -> -EIO,
   ERROR (no such table, ...) -> -EILSEQ. `what` says what was being read. */
int db_fail(struct db *db, struct error *e, const char *what);

struct db *db_close(struct db *db); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct db *, db_close)

static inline __attribute__((unused)) void sqlite3_finalize_cleanup(sqlite3_stmt **stmt)
{
        (void) sqlite3_finalize(*stmt);
}

#endif
