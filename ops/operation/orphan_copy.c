/*
 * A second connection, and not ATTACH: a transaction over two databases writes a super-journal, and a crash would leave Chroma a
 * journal that names one. Here the copy is a file that is complete before the transaction that deletes begins; nothing has to
 * happen to both at once.
 *
 * The file is thrown away when anything fails, so SQLite needs neither a journal for it nor a sync until it is complete.
 *
 * What is in the file afterwards is compared with what was read from the database, by a digest of every value: PRAGMA
 * integrity_check would not see a value that is another one, and can't be cancelled.
 *
 * A VFS of its own hands names through as they are. SQLite's would follow /proc/self/fd/… to the path that the stage has at the
 * moment.
 */
#include "ops/operation/orphan_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#define PROGRESS_OPS 10000

struct orphan_copy {
        sqlite3_vfs vfs; /* first: SQLite gives it to full_name */
        bool registered;
        char vfs_name[48], path[64];
        struct operation *op; /* whose cancel ends what SQLite does */
        struct state_dir *state;
        int fd; /* of the file */
        sqlite3 *db;
        sqlite3_stmt *insert[ORPHAN_TABLE_COUNT];
        uint64_t rows[ORPHAN_TABLE_COUNT];
        uint64_t digest[ORPHAN_TABLE_COUNT]; /* of all values of these rows */
        bool moved;
};

static int fail(const struct orphan_copy *copy, const char *what, struct error *e)
{
        int rc = copy->db == NULL ? SQLITE_NOMEM : sqlite3_errcode(copy->db) & 0xff;
        if (rc == SQLITE_INTERRUPT)
                return error_set(e, ECANCELED, "%s was cancelled: the directory is as it was", copy->op->type->name);
        int err = rc == SQLITE_FULL ? ENOSPC : rc == SQLITE_NOMEM ? ENOMEM : rc == SQLITE_TOOBIG ? E2BIG : EIO;
        return error_set(e, err, "%s " ORPHAN_COPY_FILE ", the copy of the orphan rows: %s", what,
                         copy->db == NULL ? "no memory" : sqlite3_errmsg(copy->db));
}

static int execute(struct orphan_copy *copy, const char *sql, struct error *e)
{
        return sqlite3_exec(copy->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(copy, "writing", e);
}

static int full_name(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
        (void) vfs;
        int len = snprintf(ret, (size_t) size, "%s", name);
        return len < 0 || len >= size ? SQLITE_CANTOPEN : SQLITE_OK;
}

static int register_vfs(struct orphan_copy *copy, struct error *e)
{
        const sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
        if (unix_vfs == NULL)
                return error_set(e, ENOSYS, "SQLite has no VFS \"unix\"");
        copy->vfs = *unix_vfs;
        copy->vfs.pNext = NULL;
        (void) snprintf(copy->vfs_name, sizeof(copy->vfs_name), "chromafs-copy-%p", (void *) copy);
        copy->vfs.zName = copy->vfs_name;
        copy->vfs.xFullPathname = full_name;
        if (sqlite3_vfs_register(&copy->vfs, 0) != SQLITE_OK)
                return error_set(e, ENOMEM, "no memory for a copy of rows");
        copy->registered = true;
        return 0;
}

/* A file of ours: nobody else's link or FIFO is opened in its place, since it must not be there. */
static int make_file(struct orphan_copy *copy, struct error *e)
{
        int stage = state_dir_stage_fd(copy->state);
        if (unlinkat(stage, ORPHAN_COPY_FILE, 0) < 0 && errno != ENOENT)
                return error_set(e, errno, "an old " ORPHAN_COPY_FILE " in " STATE_DIR "/stage can't be removed: %s",
                                 strerror(errno));
        copy->fd = openat(stage, ORPHAN_COPY_FILE, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (copy->fd < 0 || fchmod(copy->fd, 0600) < 0)
                return error_set(e, errno, ORPHAN_COPY_FILE " can't be made in " STATE_DIR "/stage: %s", strerror(errno));
        (void) snprintf(copy->path, sizeof(copy->path), "/proc/self/fd/%d/" ORPHAN_COPY_FILE, stage);
        return state_dir_own(copy->state, copy->fd, e);
}

static int is_cancelled(void *op)
{
        return operation_is_cancelled(op);
}

static int open_file(struct orphan_copy *copy, int flags, struct error *e)
{
        if (sqlite3_open_v2(copy->path, &copy->db, flags | SQLITE_OPEN_NOMUTEX, copy->vfs_name) != SQLITE_OK)
                return fail(copy, "opening", e);
        sqlite3_progress_handler(copy->db, PROGRESS_OPS, is_cancelled, copy->op);
        return execute(copy, "PRAGMA temp_store = MEMORY", e);
}

int orphan_copy_new(struct operation *op, struct orphan_copy **ret)
{
        struct error *e = &op->error;
        CLEANUP(orphan_copy_free)
        struct orphan_copy *copy = calloc(1, sizeof(*copy));
        if (copy == NULL)
                return error_set(e, ENOMEM, "no memory for a copy of rows");
        copy->fd = -1;
        copy->op = op;
        copy->state = op->state;
        int r = register_vfs(copy, e);
        if (r == 0)
                r = make_file(copy, e);
        if (r == 0)
                r = open_file(copy, SQLITE_OPEN_READWRITE, e);
        if (r == 0)
                r = execute(copy, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; BEGIN", e);
        if (r < 0)
                return r;
        *ret = TAKE(copy);
        return 0;
}

/* Names of the columns of `row` from 1 on, quoted, each but the one that is the rowid without a type. */
static void append_columns(sqlite3_str *sql, sqlite3_stmt *row, const char *rowid)
{
        for (int i = 1; i < sqlite3_column_count(row); i++) {
                const char *name = sqlite3_column_name(row, i);
                bool is_rowid = rowid != NULL && name != NULL && sqlite3_stricmp(name, rowid) == 0;
                sqlite3_str_appendf(sql, "%s\"%w\"%s", i == 1 ? "" : ", ", name, is_rowid ? " INTEGER PRIMARY KEY" : "");
        }
}

static void append_create(sqlite3_str *sql, const struct orphan_table_type *type, sqlite3_stmt *row)
{
        sqlite3_str_appendf(sql, "CREATE TABLE %s (", type->name);
        if (type->names != NULL)
                sqlite3_str_appendall(sql, type->names);
        else
                append_columns(sql, row, type->rowid);
        sqlite3_str_appendall(sql, ")");
}

/* The first column of the row is the rowid: a table where another one is it, too, takes that. */
static int first_bound(const struct orphan_table_type *type)
{
        return type->rowid != NULL ? 1 : 0;
}

static void append_insert(sqlite3_str *sql, const struct orphan_table_type *type, sqlite3_stmt *row)
{
        sqlite3_str_appendf(sql, "INSERT INTO %s", type->name);
        if (type->names == NULL && type->rowid == NULL) {
                sqlite3_str_appendall(sql, " (rowid, ");
                append_columns(sql, row, NULL);
                sqlite3_str_appendall(sql, ")");
        }
        for (int i = first_bound(type); i < sqlite3_column_count(row); i++)
                sqlite3_str_appendall(sql, i == first_bound(type) ? " VALUES (?" : ", ?");
        sqlite3_str_appendall(sql, ")");
}

/* The digest of a table's rows so far, with one more: types, lengths and bytes. */
static uint64_t add_row(uint64_t digest, sqlite3_stmt *row)
{
        for (int i = 0; i < sqlite3_column_count(row); i++) {
                int type = sqlite3_column_type(row, i);
                int64_t integer = type == SQLITE_INTEGER ? sqlite3_column_int64(row, i) : 0;
                double real = type == SQLITE_FLOAT ? sqlite3_column_double(row, i) : 0;
                bool has_bytes = type == SQLITE_TEXT || type == SQLITE_BLOB;
                const void *bytes = has_bytes              ? sqlite3_column_blob(row, i)
                                    : type == SQLITE_FLOAT ? (const void *) &real
                                                           : &integer;
                size_t len = has_bytes ? (size_t) sqlite3_column_bytes(row, i) : sizeof(integer);
                digest = XXH3_64bits_withSeed(bytes == NULL ? "" : bytes, bytes == NULL ? 0 : len, digest + (uint64_t) type);
        }
        return digest;
}

typedef void append_fn(sqlite3_str *sql, const struct orphan_table_type *type, sqlite3_stmt *row);

/* The caller frees what is returned with sqlite3_free(); NULL without memory. */
static char *statement(append_fn *append, const struct orphan_table_type *type, sqlite3_stmt *row)
{
        sqlite3_str *sql = sqlite3_str_new(NULL);
        append(sql, type, row);
        return sqlite3_str_finish(sql);
}

static int make_table(struct orphan_copy *copy, enum orphan_table table, sqlite3_stmt *row, struct error *e)
{
        const struct orphan_table_type *type = &orphan_table_types[table];
        char *create = statement(append_create, type, row), *insert = statement(append_insert, type, row);
        int r = create == NULL || insert == NULL ? error_set(e, ENOMEM, "no memory for a copy of rows") : execute(copy, create, e);
        if (r == 0 && sqlite3_prepare_v2(copy->db, insert, -1, &copy->insert[table], NULL) != SQLITE_OK)
                r = fail(copy, "writing", e);
        sqlite3_free(create);
        sqlite3_free(insert);
        return r;
}

int orphan_copy_take(void *context, enum orphan_table table, sqlite3_stmt *row, struct error *e)
{
        struct orphan_copy *copy = context;
        if (copy->insert[table] == NULL) {
                int r = make_table(copy, table, row, e);
                if (r < 0)
                        return r;
        }
        sqlite3_stmt *insert = copy->insert[table];
        int first = first_bound(&orphan_table_types[table]), rc = SQLITE_OK;
        for (int i = first; rc == SQLITE_OK && i < sqlite3_column_count(row); i++)
                rc = sqlite3_bind_value(insert, i - first + 1, sqlite3_column_value(row, i));
        if (rc != SQLITE_OK || sqlite3_step(insert) != SQLITE_DONE) {
                int r = fail(copy, "writing", e);
                (void) sqlite3_reset(insert);
                return r;
        }
        (void) sqlite3_reset(insert);
        copy->rows[table]++;
        copy->digest[table] = add_row(copy->digest[table], row);
        return 0;
}

static void close_db(struct orphan_copy *copy)
{
        for (int i = 0; i < ORPHAN_TABLE_COUNT; i++) {
                (void) sqlite3_finalize(copy->insert[i]);
                copy->insert[i] = NULL;
        }
        (void) sqlite3_close(copy->db);
        copy->db = NULL;
}

static int read_digest(struct orphan_copy *copy, const struct orphan_table_type *type, uint64_t *ret, struct error *e)
{
        char sql[96];
        (void) snprintf(sql, sizeof(sql), "SELECT %s* FROM %s ORDER BY rowid", type->names == NULL ? "rowid, " : "", type->name);
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *row = NULL;
        uint64_t digest = 0;
        int rc = sqlite3_prepare_v2(copy->db, sql, -1, &row, NULL);
        while (rc == SQLITE_OK || rc == SQLITE_ROW) {
                rc = sqlite3_step(row);
                if (rc == SQLITE_ROW)
                        digest = add_row(digest, row);
        }
        if (rc != SQLITE_DONE)
                return fail(copy, "reading", e);
        *ret = digest;
        return 0;
}

static int check_table(struct orphan_copy *copy, enum orphan_table table, struct error *e)
{
        const struct orphan_table_type *type = &orphan_table_types[table];
        uint64_t digest = 0;
        int r = read_digest(copy, type, &digest, e);
        if (r == 0 && digest != copy->digest[table])
                r = error_set(e, EIO,
                              ORPHAN_COPY_FILE ", the copy of the orphan rows, has other rows of %s than were written to it",
                              type->name);
        return r;
}

/* As the file says: all of it is read, through a connection that has nothing in memory of what was written. */
static int check_file(struct orphan_copy *copy, const struct orphan_rows *rows, struct error *e)
{
        int r = open_file(copy, SQLITE_OPEN_READONLY, e);
        for (int i = 0; r == 0 && i < ORPHAN_TABLE_COUNT; i++)
                if (copy->rows[i] != rows->lists[i].rows)
                        r = error_set(e, EIO, "%s: %" PRIu64 " rows were copied of %" PRIu64, orphan_table_types[i].name,
                                      copy->rows[i], rows->lists[i].rows);
                else if (copy->rows[i] > 0)
                        r = check_table(copy, (enum orphan_table) i, e);
        close_db(copy);
        return r;
}

int orphan_copy_seal(struct orphan_copy *copy, const struct orphan_rows *rows, struct error *e)
{
        int r = execute(copy, "COMMIT", e);
        close_db(copy);
        if (r == 0)
                r = check_file(copy, rows, e);
        if (r == 0 && fsync(copy->fd) < 0)
                r = error_set(e, errno, ORPHAN_COPY_FILE " can't be synced: %s", strerror(errno));
        return r;
}

int orphan_copy_move(struct orphan_copy *copy, struct trash *trash, struct error *e)
{
        int r = trash_take(trash, state_dir_stage_fd(copy->state), ORPHAN_COPY_FILE, e);
        copy->moved = r == 0; /* else whatever is in the stage is removed */
        return r;
}

struct orphan_copy *orphan_copy_free(struct orphan_copy *copy)
{
        if (copy == NULL)
                return NULL;
        close_db(copy);
        if (copy->registered)
                (void) sqlite3_vfs_unregister(&copy->vfs);
        if (copy->fd >= 0) {
                (void) close(copy->fd);
                if (!copy->moved)
                        (void) unlinkat(state_dir_stage_fd(copy->state), ORPHAN_COPY_FILE, 0);
        }
        free(copy);
        return NULL;
}
