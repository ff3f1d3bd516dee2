/*
 * A hardened connection that changes a persist directory's chroma.sqlite3.
 *
 * - SQLite's own unix VFS and its POSIX locks, so that it and Chroma see each other's; but names are relative to the working
 *   directory, which is the persist directory by its descriptor: a directory that is renamed meanwhile keeps its journal beside its
 *   database. Temporary files go to .chromafs/stage/.
 * - Only in a process that has no other descriptor of the file: closing that would drop the locks. So: close what reads first.
 * - The file is a stranger's: triggers, views and trusted schema off, DEFENSIVE on, cell_size_check on, foreign keys off (FORMAT
 *   R8), no mmap, no extension; synchronous=EXTRA, since what was committed must stay so when the machine dies; journal_mode as it
 *   is. secure_delete on, unless write_db_set_secure_delete says otherwise.
 * - Waits for locks of others as long as the operation is not cancelled, at most WRITE_DB_WAIT_MS.
 */
#ifndef OPS_OPERATION_WRITE_DB_H
#define OPS_OPERATION_WRITE_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/db.h"
#include "ops/error.h"
#include "ops/operation/state_dir.h"

#define WRITE_DB_WAIT_MS 10000

struct write_db;

/* Opens DB_FILE of the working directory. A hot journal is rolled back, as whoever opens it next would. `state` (may be NULL) has
   the folder for temporary files, and must outlive it; without it they are made, and at once unlinked, beside the database. Links,
   what is no regular file, and WAL mode are refused. *ret is the caller's. -ENOENT, -ELOOP, -EACCES, -EROFS, -EILSEQ, -EBUSY,
   -ECANCELED, … */
int write_db_open(struct state_dir *state, db_cancel_fn *cancelled, void *context, struct write_db **ret, struct error *e);

sqlite3 *write_db_handle(struct write_db *w);

/* BEGIN IMMEDIATE. With `counter` (db_change_counter() of what was planned on): -ESTALE when someone has committed since, and then
   no transaction is open: plan again. Also when another file has taken the name: open it anew then. */
int write_db_begin(struct write_db *w, const uint32_t *counter, struct error *e);

/* COMMIT: 0, or a failure after which the transaction is rolled back. Cancels no longer count; statements that still run are reset.
   -EINVAL when no transaction is open, since SQLite has rolled it back after a failure. */
int write_db_commit(struct write_db *w, struct error *e);
void write_db_rollback(struct write_db *w); /* nothing outside a transaction */

/* Runs one statement without results. */
int write_db_exec(struct write_db *w, struct error *e, const char *sql);

/* Prepares; the caller finalizes. */
int write_db_prepare(struct write_db *w, sqlite3_stmt **ret, struct error *e, const char *sql);

/* Steps: 1 a row, 0 done, negative errno. */
int write_db_step(struct write_db *w, sqlite3_stmt *stmt, struct error *e);

/* The first column of the first row as a number; 0 rows: `otherwise`. */
int write_db_number(struct write_db *w, int64_t otherwise, int64_t *ret, struct error *e, const char *sql);

/* The last SQLite failure as errno and sentence; FULL is -ENOSPC, INTERRUPT -ECANCELED, READONLY -EROFS or -EACCES, BUSY -EBUSY. */
int write_db_fail(struct write_db *w, struct error *e, const char *what);

/* Off only where a VACUUM follows. */
int write_db_set_secure_delete(struct write_db *w, bool on, struct error *e);

/* VACUUM. A cancel is heard until its copying back begins. */
int write_db_vacuum(struct write_db *w, struct error *e);

/* Lets the schema be repaired (DROP of a table that lacks its shadow tables), inside a transaction of ours alone. */
int write_db_set_writable_schema(struct write_db *w, bool on, struct error *e);

struct write_db *write_db_close(struct write_db *w); /* rolls back; takes NULL, returns NULL */
DEFINE_CLEANUP(struct write_db *, write_db_close)

#endif
