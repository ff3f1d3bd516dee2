/*
 * The connection that changes a database, on write_vfs.c.
 *
 * Waiting. The busy handler sleeps a few milliseconds at a time, and gives up when WRITE_DB_WAIT_MS are over or the operation is
 * cancelled. A COMMIT waits for readers in the same way; it doesn't hear cancels, and what it can't finish is rolled back.
 *
 * Cancels. The progress handler is asked every PROGRESS_OPS operations of SQLite's virtual machine, and asks the cancel function at
 * most every CANCEL_MS: that one may be costly. A ROLLBACK, a COMMIT and the closing are never interrupted.
 *
 * What a failed COMMIT left. It is either rolled back, or it was complete and only giving up the lock failed (SQLITE_IOERR_UNLOCK, _RDLOCK),
 * which is success; the sync of the directory after the journal's deletion, which would be the other such case, write_vfs.c does
 * itself.
 */
#include "ops/operation/write_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ops/clock.h"
#include "ops/db_header.h"
#include "ops/operation/write_vfs.h"

#define POLL_NS (5 * 1000 * 1000)
#define PROGRESS_OPS 1000
#define CANCEL_MS 10
#define COUNTER_OFFSET 24
#define CACHE_KIB "32768"

struct write_db {
        sqlite3 *sqlite;
        struct write_vfs *vfs;
        db_cancel_fn *cancelled;
        void *cancel_context;
        bool deaf;           /* cancels don't count now */
        bool wait_cancelled; /* the last wait for a lock ended because of one */
        int64_t deadline_ms; /* of the wait */
        int64_t asked_ms;    /* when `cancelled` was called last */
};

static bool is_cancelled(struct write_db *w)
{
        return !w->deaf && w->cancelled != NULL && w->cancelled(w->cancel_context);
}

static int on_busy(void *context, int count)
{
        struct write_db *w = context;
        struct timespec moment = { .tv_nsec = POLL_NS };
        int64_t now = clock_ms();
        if (count == 0)
                w->deadline_ms = now + WRITE_DB_WAIT_MS;
        w->wait_cancelled = is_cancelled(w);
        if (w->wait_cancelled || now >= w->deadline_ms)
                return 0;
        (void) nanosleep(&moment, NULL);
        return 1;
}

/* Other than 0 interrupts the statement. */
static int on_progress(void *context)
{
        struct write_db *w = context;
        int64_t now = clock_ms();
        if (now - w->asked_ms < CANCEL_MS)
                return 0;
        w->asked_ms = now;
        return is_cancelled(w);
}

/* Failures. */

/* What the system said, where SQLite's code is too wide; 0 when it isn't one of these. */
static int system_errno(struct write_db *w)
{
        static const int telling[] = { ENOSPC, EDQUOT, EFBIG, EACCES, EPERM, EROFS, EMFILE, ENFILE, ENOMEM, ENOLCK };
        int failed = write_vfs_take_errno(w->vfs), err = failed != 0 ? failed : sqlite3_system_errno(w->sqlite);
        for (size_t i = 0; i < sizeof(telling) / sizeof(telling[0]); i++)
                if (err == telling[i])
                        return err;
        return 0;
}

static int readonly_errno(int rc)
{
        switch (rc) {
        case SQLITE_READONLY_DBMOVED:
                return ESTALE;
        case SQLITE_READONLY_DIRECTORY:
                return EACCES;
        default:
                return faccessat(AT_FDCWD, DB_FILE, W_OK, AT_EACCESS) < 0 && errno == EACCES ? EACCES : EROFS;
        }
}

static int errno_of(struct write_db *w, int rc)
{
        switch (rc & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return EBUSY;
        case SQLITE_INTERRUPT:
                return ECANCELED;
        case SQLITE_FULL:
                return ENOSPC;
        case SQLITE_NOMEM:
                return ENOMEM;
        case SQLITE_TOOBIG:
                return E2BIG;
        case SQLITE_READONLY:
                return readonly_errno(rc);
        case SQLITE_IOERR:
                if (rc == SQLITE_IOERR_NOMEM)
                        return ENOMEM;
                /* fall through */
        case SQLITE_CANTOPEN: {
                int err = system_errno(w);
                return err != 0 ? err : EIO;
        }
        case SQLITE_MISUSE:
                return EINVAL;
        default: /* CORRUPT, NOTADB, ERROR (no such table), CONSTRAINT: what is stored is not what it has to be */
                return EILSEQ;
        }
}

int write_db_fail(struct write_db *w, struct error *e, const char *what)
{
        int rc = sqlite3_extended_errcode(w->sqlite), err = errno_of(w, rc);
        if (write_vfs_take_error(w->vfs, e) < 0)
                return error_prefix(e, -err, "%s", what);
        switch (err) {
        case EBUSY:
                if (w->wait_cancelled)
                        return error_set(e, ECANCELED, "%s: cancelled while another process holds " DB_FILE " locked", what);
                return error_set(e, EBUSY,
                                 "%s: another process has held " DB_FILE " locked for %d seconds; try again when it is done", what,
                                 WRITE_DB_WAIT_MS / 1000);
        case ECANCELED:
                return error_set(e, ECANCELED, "%s: cancelled", what);
        case ENOSPC:
        case EDQUOT:
                return error_set(e, err, "%s: the file system has no room left", what);
        case ESTALE:
                return error_set(e, ESTALE, "%s: " DB_FILE " was replaced by another file", what);
        case EACCES:
        case EROFS:
                return error_set(e, err, "%s: " DB_FILE " or its directory can't be written: %s", what, sqlite3_errmsg(w->sqlite));
        default:
                return error_set(e, err, "%s: %s", what, sqlite3_errmsg(w->sqlite));
        }
}

/* Opening. */

static int set_up(struct write_db *w)
{
        int rc = db_harden(w->sqlite);
        return rc != SQLITE_OK ? rc
                               : sqlite3_exec(w->sqlite, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=FILE",
                                              NULL, NULL, NULL);
}

/* These read the schema. */
static int set_more(struct write_db *w)
{
        return sqlite3_exec(w->sqlite, "PRAGMA synchronous=EXTRA; PRAGMA secure_delete=ON; PRAGMA cache_size=-" CACHE_KIB, NULL,
                            NULL, NULL);
}

static void set_limits(sqlite3 *sqlite)
{
        static const struct {
                int limit, value;
        } limits[] = {
                { SQLITE_LIMIT_LENGTH, DB_LENGTH_MAX },     { SQLITE_LIMIT_COLUMN, 1000 },
                { SQLITE_LIMIT_EXPR_DEPTH, 100 },           { SQLITE_LIMIT_COMPOUND_SELECT, 20 },
                { SQLITE_LIMIT_VDBE_OP, 100000 },           { SQLITE_LIMIT_ATTACHED, 1 }, /* what VACUUM needs */
                { SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000 }, { SQLITE_LIMIT_TRIGGER_DEPTH, 1 },
                { SQLITE_LIMIT_WORKER_THREADS, 0 },
        };
        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
                (void) sqlite3_limit(sqlite, limits[i].limit, limits[i].value);
}

/* The working directory must be that of `state`, and the file what SQLite may open: opening a device can do things. */
static int check_place(struct state_dir *state, struct error *e)
{
        struct stat here, st;
        if (state != NULL && (stat(".", &here) < 0 || fstat(state_dir_persist_fd(state), &st) < 0 || here.st_dev != st.st_dev ||
                              here.st_ino != st.st_ino))
                return error_set(e, EINVAL, "the working directory is not the persist directory");
        if (fstatat(AT_FDCWD, DB_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return error_set(e, errno, DB_FILE " can't be opened: %s", strerror(errno));
        if (S_ISLNK(st.st_mode))
                return error_set(e, ELOOP, DB_FILE " is a symbolic link; name the directory that has the file itself");
        return S_ISREG(st.st_mode) ? 0 : error_set(e, EILSEQ, DB_FILE " is no regular file");
}

static int open_sqlite(struct write_db *w, struct error *e)
{
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
        int rc = sqlite3_open_v2(DB_FILE, &w->sqlite, flags, write_vfs_name(w->vfs));
        if (rc != SQLITE_OK)
                return w->sqlite == NULL ? error_set(e, ENOMEM, "no memory to open " DB_FILE)
                                         : write_db_fail(w, e, "opening " DB_FILE);
        (void) sqlite3_busy_handler(w->sqlite, on_busy, w);
        sqlite3_progress_handler(w->sqlite, PROGRESS_OPS, on_progress, w);
        set_limits(w->sqlite);
        return 0;
}

/* The file below SQLite's hands, and whether it is still the one that the name leads to. */
static int file_of(struct write_db *w, sqlite3_file **ret, struct error *e)
{
        int moved = 1;
        int rc = sqlite3_file_control(w->sqlite, "main", SQLITE_FCNTL_FILE_POINTER, ret);
        if (rc != SQLITE_OK || *ret == NULL || (*ret)->pMethods == NULL)
                return error_set(e, EIO, DB_FILE " is not open");
        rc = sqlite3_file_control(w->sqlite, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
        return rc == SQLITE_OK && !moved ? 0 : error_set(e, ESTALE, DB_FILE " was replaced by another file, or moved away");
}

/* Inside a transaction: SQLite has played back a hot journal, and holds a lock. */
static int check_header(struct write_db *w, uint32_t *ret_counter, struct error *e)
{
        sqlite3_file *file = NULL;
        unsigned char header[DB_HEADER_SIZE] = { 0 };
        sqlite3_int64 size = 0;
        int code = file_of(w, &file, e);
        if (code < 0)
                return code;
        int rc = file->pMethods->xFileSize(file, &size);
        if (rc == SQLITE_OK)
                rc = file->pMethods->xRead(file, header, sizeof(header), 0);
        if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ)
                return error_set(e, EIO, "the header of " DB_FILE " can't be read: %s", sqlite3_errstr(rc));
        const unsigned char *c = header + COUNTER_OFFSET;
        *ret_counter = (uint32_t) c[0] << 24 | (uint32_t) c[1] << 16 | (uint32_t) c[2] << 8 | c[3];
        return db_header_check(header, size < DB_HEADER_SIZE ? (size_t) size : DB_HEADER_SIZE, (uint64_t) size, e);
}

/* A transaction of reading: rolls a hot journal back, and says in words what is wrong with a file that SQLite calls damaged. */
static int check_file(struct write_db *w, struct error *e)
{
        struct error better;
        uint32_t counter;
        int rc = sqlite3_exec(w->sqlite, "BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);
        int code = rc == SQLITE_OK ? 0 : write_db_fail(w, e, "opening " DB_FILE);
        bool damaged = (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
        if (rc == SQLITE_OK)
                code = check_header(w, &counter, e);
        else if (damaged && check_header(w, &counter, &better) < 0)
                code = error_set(e, -better.code, "%s", better.text);
        write_db_rollback(w);
        if (code == 0 && !sqlite3_get_autocommit(w->sqlite)) /* no memory, say */
                code = write_db_fail(w, e, "opening " DB_FILE);
        return code;
}

int write_db_open(struct state_dir *state, db_cancel_fn *cancelled, void *context, struct write_db **ret, struct error *e)
{
        int code = check_place(state, e);
        if (code < 0)
                return code;
        CLEANUP(write_db_close)
        struct write_db *w = calloc(1, sizeof(*w));
        if (w == NULL)
                return error_set(e, ENOMEM, "no memory to open " DB_FILE);
        w->cancelled = cancelled;
        w->cancel_context = context;
        code = write_vfs_new(state == NULL ? -1 : state_dir_stage_fd(state), &w->vfs, e);
        if (code == 0)
                code = open_sqlite(w, e);
        if (code < 0)
                return code;
        if (sqlite3_db_readonly(w->sqlite, "main"))
                return error_set(e, readonly_errno(SQLITE_READONLY), DB_FILE " can't be written: %s",
                                 strerror(readonly_errno(SQLITE_READONLY)));
        if (set_up(w) != SQLITE_OK)
                return write_db_fail(w, e, "the settings of the connection");
        code = check_file(w, e);
        if (code < 0)
                return code;
        if (set_more(w) != SQLITE_OK)
                return write_db_fail(w, e, "the settings of the connection");
        *ret = TAKE(w);
        return 0;
}

sqlite3 *write_db_handle(struct write_db *w)
{
        return w->sqlite;
}

/* Transactions. */

int write_db_begin(struct write_db *w, const uint32_t *counter, struct error *e)
{
        uint32_t now = 0;
        if (!sqlite3_get_autocommit(w->sqlite))
                return error_set(e, EINVAL, "a transaction is open already");
        w->wait_cancelled = false;
        (void) write_vfs_take_errno(w->vfs);
        if (sqlite3_exec(w->sqlite, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
                return write_db_fail(w, e, "beginning to write");
        int code = check_header(w, &now, e);
        if (code == 0 && counter != NULL && now != *counter)
                code = error_set(e, ESTALE, "someone else has changed " DB_FILE " meanwhile");
        if (code < 0)
                write_db_rollback(w);
        return code;
}

/* A statement that still runs makes SQLite refuse a COMMIT, and keeps a lock behind a ROLLBACK. */
static void reset_statements(struct write_db *w)
{
        for (sqlite3_stmt *s = sqlite3_next_stmt(w->sqlite, NULL); s != NULL; s = sqlite3_next_stmt(w->sqlite, s))
                (void) sqlite3_reset(s);
}

int write_db_commit(struct write_db *w, struct error *e)
{
        if (sqlite3_get_autocommit(w->sqlite))
                return error_set(e, EINVAL, "no transaction is open: it was rolled back after a failure");
        reset_statements(w);
        w->deaf = true;
        w->wait_cancelled = false;
        int rc = sqlite3_exec(w->sqlite, "COMMIT", NULL, NULL, NULL);
        bool unlocking = rc == SQLITE_IOERR_UNLOCK || rc == SQLITE_IOERR_RDLOCK; /* behind the commit point */
        int code = rc == SQLITE_OK || unlocking ? 0 : write_db_fail(w, e, "committing");
        write_db_rollback(w);
        w->deaf = false;
        return code;
}

void write_db_rollback(struct write_db *w)
{
        bool deaf = w->deaf;
        if (sqlite3_get_autocommit(w->sqlite))
                return;
        w->deaf = true;
        reset_statements(w);
        (void) sqlite3_exec(w->sqlite, "ROLLBACK", NULL, NULL, NULL);
        w->deaf = deaf;
}

/* Statements. */

int write_db_exec(struct write_db *w, struct error *e, const char *sql)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int rc = write_db_prepare(w, &stmt, e, sql);
        while (rc >= 0) {
                rc = write_db_step(w, stmt, e);
                if (rc == 0)
                        return 0;
        }
        return rc;
}

int write_db_prepare(struct write_db *w, sqlite3_stmt **ret, struct error *e, const char *sql)
{
        sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(w->sqlite, sql, -1, &stmt, NULL) != SQLITE_OK)
                return write_db_fail(w, e, "preparing a statement");
        *ret = stmt;
        return 0;
}

int write_db_step(struct write_db *w, sqlite3_stmt *stmt, struct error *e)
{
        w->wait_cancelled = false;
        int rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW)
                return 1;
        return rc == SQLITE_DONE ? 0 : write_db_fail(w, e, "changing " DB_FILE);
}

int write_db_number(struct write_db *w, int64_t otherwise, int64_t *ret, struct error *e, const char *sql)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int rc = write_db_prepare(w, &stmt, e, sql);
        if (rc == 0)
                rc = write_db_step(w, stmt, e);
        if (rc >= 0)
                *ret = rc == 1 ? sqlite3_column_int64(stmt, 0) : otherwise;
        return rc < 0 ? rc : 0;
}

/* Settings for what some operations need. */

int write_db_set_secure_delete(struct write_db *w, bool on, struct error *e)
{
        return write_db_exec(w, e, on ? "PRAGMA secure_delete=ON" : "PRAGMA secure_delete=OFF");
}

int write_db_vacuum(struct write_db *w, struct error *e)
{
        reset_statements(w);
        return write_db_exec(w, e, "VACUUM");
}

int write_db_set_writable_schema(struct write_db *w, bool on, struct error *e)
{
        if (on && sqlite3_get_autocommit(w->sqlite))
                return error_set(e, EINVAL, "the schema is only repaired inside a transaction");
        if (on && sqlite3_db_config(w->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL) != SQLITE_OK)
                return write_db_fail(w, e, "repairing the schema");
        int code = write_db_exec(w, e, on ? "PRAGMA writable_schema=ON" : "PRAGMA writable_schema=RESET");
        if (!on && sqlite3_db_config(w->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK && code == 0)
                code = write_db_fail(w, e, "repairing the schema");
        return code;
}

struct write_db *write_db_close(struct write_db *w)
{
        if (w == NULL)
                return NULL;
        w->deaf = true;
        if (w->sqlite != NULL)
                write_db_rollback(w);
        if (sqlite3_close(w->sqlite) != SQLITE_OK)
                return NULL; /* a statement was not finalized: rather leaked than used after it is freed */
        w->vfs = write_vfs_free(w->vfs);
        free(w);
        return NULL;
}
