/*
 * A database connection through ops/vfs.c.
 *
 * Waiting. The VFS never waits for a lock; SQLite asks the busy handler, which sleeps a few milliseconds at a time and gives up at the deadline or
 * when cancelled. Nothing is asked for a lock in db_open but the check of the header, and that is put off when the lock can't be had:
 * the pragmas used there don't touch the file (cache_size does, since it looks up the schema, and so waits for the first transaction).
 *
 * Lengths. SQLITE_LIMIT_LENGTH counts a value or a row as it is built, not a row that is stored: with the limit at 1,000,000 and rows of 2,000,000
 * bytes in one column, all other columns, before it and behind it, could be read, length() of the big column too, and only the big value itself was
 * SQLITE_TOOBIG (measured with 3.40.1, tests/unit/test_db.c). Rows above SQLite's own maximum can't be made. So the limit hurts nobody, and memory
 * is spent on a value only when that value is asked for.
 */
#include "ops/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ops/db_header.h"
#include "ops/vfs.h"

#define POLL_NS (3 * 1000 * 1000)
#define PROGRESS_OPS 1000
#define CACHE_KIB 8192

struct db {
        sqlite3 *sqlite;
        struct read_vfs *vfs;
        int dirfd;
        sqlite3_stmt *data_version; /* also what takes the lock in db_begin */
        db_cancel_fn *cancelled;
        void *cancel_context;
        bool checked; /* the header was, under the lock */
        int cache_kib;
        bool cache_set;      /* cache_size was given */
        bool deadline_given; /* by db_begin; else a wait begins its own */
        bool wait_cancelled; /* the last wait ended because of the cancel function */
        int64_t deadline;    /* of the wait, CLOCK_MONOTONIC ns */
        bool ending;         /* db_end runs: not to be interrupted */
};

static int64_t now_ns(void)
{
        struct timespec t;
        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool is_cancelled(struct db *db)
{
        return db->cancelled != NULL && !db->ending && db->cancelled(db->cancel_context);
}

static bool on_index(void *context)
{
        return is_cancelled(context);
}

/* Runs inside SQLite's virtual machine; other than 0 interrupts the statement. */
static int on_progress(void *context)
{
        return is_cancelled(context);
}

static void wait_begin(struct db *db, int ms)
{
        db->wait_cancelled = false;
        db->deadline = now_ns() + (int64_t) ms * 1000000;
}

/* Sleeps a moment; false when there is no more waiting. */
static bool wait_more(struct db *db)
{
        struct timespec moment = { .tv_nsec = POLL_NS };
        db->wait_cancelled = is_cancelled(db);
        if (db->wait_cancelled || now_ns() >= db->deadline)
                return false;
        (void) nanosleep(&moment, NULL);
        return true;
}

static int on_busy(void *context, int count)
{
        struct db *db = context;
        if (count == 0 && !db->deadline_given)
                wait_begin(db, DB_WAIT_MS);
        return wait_more(db);
}

/* Settings. */

int db_harden(sqlite3 *sqlite)
{
        static const struct {
                int option, on;
        } flags[] = {
                { SQLITE_DBCONFIG_DEFENSIVE, 1 },
                { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
                { SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
                { SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
                { SQLITE_DBCONFIG_ENABLE_FKEY, 0 },
                { SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0 },
                { SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
                { SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0 },
        };
        for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
                int rc = sqlite3_db_config(sqlite, flags[i].option, flags[i].on, NULL);
                if (rc != SQLITE_OK)
                        return rc;
        }
        return SQLITE_OK;
}

static int set_pragmas(sqlite3 *sqlite)
{
        return sqlite3_exec(sqlite, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA query_only=ON",
                            NULL, NULL, NULL);
}

static void set_limits(struct db *db)
{
        static const struct {
                int limit, value;
        } limits[] = {
                { SQLITE_LIMIT_LENGTH, DB_LENGTH_MAX },     { SQLITE_LIMIT_COLUMN, 1000 },     { SQLITE_LIMIT_EXPR_DEPTH, 100 },
                { SQLITE_LIMIT_COMPOUND_SELECT, 20 },       { SQLITE_LIMIT_VDBE_OP, 100000 },  { SQLITE_LIMIT_ATTACHED, 0 },
                { SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000 }, { SQLITE_LIMIT_TRIGGER_DEPTH, 1 }, { SQLITE_LIMIT_WORKER_THREADS, 0 },
        };
        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
                (void) sqlite3_limit(db->sqlite, limits[i].limit, limits[i].value);
}

static int set_up(struct db *db, struct error *e)
{
        (void) sqlite3_busy_handler(db->sqlite, on_busy, db);
        sqlite3_progress_handler(db->sqlite, PROGRESS_OPS, on_progress, db);
        read_vfs_set_cancel(db->vfs, on_index, db);
        set_limits(db);
        int rc = db_harden(db->sqlite);
        if (rc == SQLITE_OK)
                rc = set_pragmas(db->sqlite);
        if (rc == SQLITE_OK)
                rc = sqlite3_prepare_v3(db->sqlite, "PRAGMA data_version", -1, SQLITE_PREPARE_PERSISTENT, &db->data_version, NULL);
        return rc == SQLITE_OK ? 0 : db_fail(db, e, "the settings of the connection");
}

/* The check of the file, through SQLite's own file object, while SQLite itself holds no lock. */

static int check_locked(sqlite3_file *file, struct db *db, struct error *e)
{
        unsigned char header[DB_HEADER_SIZE] = { 0 };
        sqlite3_int64 size = 0;
        int rc = file->pMethods->xFileSize(file, &size);
        if (rc == SQLITE_OK)
                rc = file->pMethods->xRead(file, header, sizeof(header), 0);
        if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ)
                return error_set(e, EIO, "the header of " DB_FILE ": %s", read_vfs_error(db->vfs));
        struct file_stamp wal = file_stamp_at(db->dirfd, DB_FILE "-wal");
        int code = db_header_check(header, size < DB_HEADER_SIZE ? (size_t) size : DB_HEADER_SIZE, (uint64_t) size, e);
        if (code == 0 && wal.present && wal.size > 0)
                return error_set(e, EILSEQ,
                                 DB_FILE "-wal is there, which no Chroma leaves, and may hold what " DB_FILE
                                         " lacks; close every program "
                                         "that uses the database and run: sqlite3 …/" DB_FILE " 'PRAGMA journal_mode=delete'");
        return code;
}

/* Waits for the lock as long as wait_begin said. 0 checked, -EBUSY or -EINTR the lock wasn't to be had, else what is wrong. */
static int check_file(struct db *db, struct error *e)
{
        sqlite3_file *file = NULL;
        if (sqlite3_txn_state(db->sqlite, "main") != SQLITE_TXN_NONE)
                return 0; /* SQLite holds the lock itself: giving it up here would pull it away */
        int rc = sqlite3_file_control(db->sqlite, "main", SQLITE_FCNTL_FILE_POINTER, &file);
        if (rc != SQLITE_OK || file == NULL || file->pMethods == NULL)
                return error_set(e, EIO, DB_FILE " is not open");
        do
                rc = file->pMethods->xLock(file, SQLITE_LOCK_SHARED);
        while (rc == SQLITE_BUSY && wait_more(db));
        if (rc == SQLITE_BUSY)
                return error_set(e, db->wait_cancelled ? EINTR : EBUSY, "another process holds " DB_FILE " locked%s",
                                 db->wait_cancelled ? "; cancelled while waiting for it" : "");
        if (rc != SQLITE_OK)
                return error_set(e, -read_vfs_errno(db->vfs), "%s", read_vfs_error(db->vfs));
        int code = check_locked(file, db, e);
        (void) file->pMethods->xUnlock(file, SQLITE_LOCK_NONE);
        db->checked = code == 0;
        return code;
}

static int open_sqlite(struct db *db, struct error *e)
{
        int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
        int rc = sqlite3_open_v2(DB_FILE, &db->sqlite, flags, read_vfs_name(db->vfs));
        if (rc == SQLITE_OK)
                return 0;
        if (read_vfs_errno(db->vfs) < 0)
                return error_set(e, -read_vfs_errno(db->vfs), "%s", read_vfs_error(db->vfs));
        return error_set(e, rc == SQLITE_NOMEM ? ENOMEM : EIO, DB_FILE " can't be opened: %s", sqlite3_errstr(rc));
}

int db_open(int dirfd, struct db **ret, struct error *e)
{
        CLEANUP(db_close)
        struct db *db = calloc(1, sizeof(*db));
        if (db == NULL)
                return error_set(e, ENOMEM, "no memory to open " DB_FILE);
        db->cache_kib = CACHE_KIB;
        db->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
        if (db->dirfd < 0)
                return error_set(e, errno, "the directory's descriptor can't be duplicated: %s", strerror(errno));
        int rc = read_vfs_new(dirfd, &db->vfs, e);
        if (rc == 0)
                rc = open_sqlite(db, e);
        if (rc == 0)
                rc = set_up(db, e);
        if (rc < 0)
                return rc;
        wait_begin(db, DB_OPEN_WAIT_MS);
        rc = check_file(db, e);
        if (rc < 0 && rc != -EBUSY)
                return rc;
        *ret = TAKE(db);
        return 0;
}

sqlite3 *db_handle(struct db *db)
{
        return db->sqlite;
}

void db_set_cancel(struct db *db, db_cancel_fn *cancelled, void *context)
{
        db->cancelled = cancelled;
        db->cancel_context = context;
}

bool db_is_cancelled(struct db *db)
{
        return is_cancelled(db);
}

void db_set_cache(struct db *db, int kib)
{
        db->cache_kib = kib;
}

/* Transactions. */

static void set_cache(struct db *db)
{
        char sql[64];
        (void) snprintf(sql, sizeof(sql), "PRAGMA cache_size=-%d", db->cache_kib);
        db->cache_set = sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static int step_data_version(struct db *db, uint64_t *ret)
{
        int rc = sqlite3_step(db->data_version);
        if (rc == SQLITE_ROW)
                *ret = (uint64_t) sqlite3_column_int64(db->data_version, 0);
        return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* SQLite's code for a file that turned into something else since it was checked says little: look again, for a better sentence. */
static int begin_failed(struct db *db, int rc, struct error *e)
{
        int code = db_fail(db, e, "beginning to read");
        (void) sqlite3_reset(db->data_version);
        db_end(db);
        if ((rc & 0xff) != SQLITE_CANTOPEN && (rc & 0xff) != SQLITE_NOTADB && (rc & 0xff) != SQLITE_CORRUPT)
                return code;
        struct error again = { 0 };
        int better = check_file(db, &again);
        return better == -EILSEQ ? error_set(e, EILSEQ, "%s", again.text) : code;
}

static int begin(struct db *db, struct error *e)
{
        uint64_t version;
        int rc = db->checked ? 0 : check_file(db, e);
        if (rc < 0)
                return rc;
        rc = sqlite3_exec(db->sqlite, "BEGIN", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = step_data_version(db, &version);
        if (rc != SQLITE_OK)
                return begin_failed(db, rc, e);
        (void) sqlite3_reset(db->data_version);
        if (!db->cache_set)
                set_cache(db);
        return 0;
}

int db_begin(struct db *db, struct error *e)
{
        if (!sqlite3_get_autocommit(db->sqlite))
                return error_set(e, EINVAL, "a read transaction is open already");
        wait_begin(db, DB_WAIT_MS);
        db->deadline_given = true;
        int rc = begin(db, e);
        db->deadline_given = false;
        return rc;
}

void db_end(struct db *db)
{
        if (sqlite3_get_autocommit(db->sqlite))
                return;
        db->ending = true;
        /* A statement that still runs would keep the lock, and a writer waiting, beyond the end of the transaction. */
        for (sqlite3_stmt *s = sqlite3_next_stmt(db->sqlite, NULL); s != NULL; s = sqlite3_next_stmt(db->sqlite, s))
                (void) sqlite3_reset(s);
        if (sqlite3_exec(db->sqlite, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
                (void) sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
        db->ending = false;
}

bool db_is_hot(const struct db *db)
{
        return read_vfs_is_hot(db->vfs);
}

int db_data_version(struct db *db, uint64_t *ret, struct error *e)
{
        uint64_t version = 0;
        int rc = step_data_version(db, &version);
        int code = rc == SQLITE_OK ? 0 : db_fail(db, e, DB_FILE);
        (void) sqlite3_reset(db->data_version);
        if (code == 0)
                *ret = version;
        return code;
}

int db_change_counter(struct db *db, uint32_t *ret, struct error *e)
{
        sqlite3_file *file = NULL;
        unsigned char bytes[4];
        int rc = sqlite3_file_control(db->sqlite, "main", SQLITE_FCNTL_FILE_POINTER, &file);
        if (rc == SQLITE_OK)
                rc = file->pMethods->xRead(file, bytes, sizeof(bytes), 24);
        if (rc != SQLITE_OK)
                return error_set(e, EIO, "the header of " DB_FILE ": %s", read_vfs_error(db->vfs));
        *ret = (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3];
        return 0;
}

struct file_stamp db_stamp(const struct db *db)
{
        return read_vfs_stamp(db->vfs);
}

bool db_replaced(const struct db *db)
{
        struct file_stamp open = db_stamp(db), named = file_stamp_at(db->dirfd, DB_FILE);
        return !open.present || !named.present || open.dev != named.dev || open.ino != named.ino;
}

/* Statements. */

int db_prepare(struct db *db, sqlite3_stmt **ret, struct error *e, const char *sql)
{
        sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(db->sqlite, sql, -1, &stmt, NULL) != SQLITE_OK)
                return db_fail(db, e, "preparing a query");
        *ret = stmt;
        return 0;
}

int db_step(struct db *db, sqlite3_stmt *stmt, struct error *e)
{
        int rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW)
                return 1;
        return rc == SQLITE_DONE ? 0 : db_fail(db, e, "reading");
}

int db_column_text(sqlite3_stmt *stmt, int column, struct text *ret, struct error *e)
{
        int type = sqlite3_column_type(stmt, column);
        if (type == SQLITE_NULL) {
                *ret = (struct text){ NULL, 0 };
                return 0;
        }
        /* The order matters: a conversion happens in the first call, and the count is that of its result. */
        const void *bytes = type == SQLITE_BLOB ? sqlite3_column_blob(stmt, column) : sqlite3_column_text(stmt, column);
        int len = sqlite3_column_bytes(stmt, column);
        if (bytes == NULL && (type != SQLITE_BLOB || len > 0))
                return error_set(e, ENOMEM, "no memory for a value of the database");
        int rc = text_copy(ret, bytes == NULL ? "" : bytes, (size_t) len);
        return rc < 0 ? error_set(e, -rc, "no memory for a value of %d bytes", len) : 0;
}

/* 1 when `sql`, given the two texts (the second may be NULL), has a row. */
static int has_row(struct db *db, const char *sql, const char *first, const char *second, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int rc = db_prepare(db, &stmt, e, sql);
        if (rc < 0)
                return rc;
        if (sqlite3_bind_text(stmt, 1, first, -1, SQLITE_STATIC) != SQLITE_OK ||
            (second != NULL && sqlite3_bind_text(stmt, 2, second, -1, SQLITE_STATIC) != SQLITE_OK))
                return db_fail(db, e, "looking up the schema");
        return db_step(db, stmt, e);
}

int db_has_table(struct db *db, const char *table, struct error *e)
{
        return has_row(db, "SELECT 1 FROM sqlite_schema WHERE type='table' AND name=?1 COLLATE NOCASE LIMIT 1", table, NULL, e);
}

int db_has_column(struct db *db, const char *table, const char *column, struct error *e)
{
        int rc = db_has_table(db, table, e); /* not a view, whose columns a hostile schema could make costly */
        if (rc <= 0)
                return rc;
        return has_row(db, "SELECT 1 FROM pragma_table_info(?1) WHERE name=?2 COLLATE NOCASE LIMIT 1", table, column, e);
}

/* Failures. */

static int errno_of(int rc)
{
        switch (rc & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return EBUSY;
        case SQLITE_INTERRUPT:
                return EINTR;
        case SQLITE_NOMEM:
                return ENOMEM;
        case SQLITE_TOOBIG:
                return E2BIG;
        case SQLITE_READONLY:
                return EROFS;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_FORMAT:
        case SQLITE_ERROR:
        case SQLITE_SCHEMA:
                return EILSEQ;
        default:
                return EIO;
        }
}

int db_fail(struct db *db, struct error *e, const char *what)
{
        int rc = sqlite3_extended_errcode(db->sqlite), primary = rc & 0xff;
        bool from_vfs = read_vfs_errno(db->vfs) < 0;
        if (primary == SQLITE_BUSY && db->wait_cancelled)
                return error_set(e, EINTR, "%s: cancelled while another process holds " DB_FILE " locked", what);
        if (primary == SQLITE_BUSY)
                return error_set(e, EBUSY, "%s: another process holds " DB_FILE " locked", what);
        if (primary == SQLITE_INTERRUPT)
                return error_set(e, EINTR, "%s: cancelled", what);
        if (from_vfs &&
            (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN || primary == SQLITE_READONLY || primary == SQLITE_NOMEM))
                return error_set(e, -read_vfs_errno(db->vfs), "%s: %s", what, read_vfs_error(db->vfs));
        return error_set(e, errno_of(rc), "%s: %s", what, sqlite3_errmsg(db->sqlite));
}

struct db *db_close(struct db *db)
{
        if (db == NULL)
                return NULL;
        (void) sqlite3_finalize(db->data_version);
        if (sqlite3_close(db->sqlite) != SQLITE_OK)
                return NULL; /* a statement was not finalized: rather leaked than used after it is freed */
        db->vfs = read_vfs_free(db->vfs);
        if (db->dirfd >= 0)
                (void) close(db->dirfd);
        free(db);
        return NULL;
}
