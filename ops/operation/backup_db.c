/*
 * The copy of the database, through SQLite's backup API, from the read-only connection: what it reads is rolled back already where a hot
 * journal is.
 *
 * The pages are copied in windows of one read transaction each, BACKUP_HOLD_MS long, shorter when a writer waits. When someone commits
 * between two windows SQLite begins anew, at the first page; here this is told by the change counter. So a database is copied in the end if
 * that takes no longer than the writer's pauses, or than BACKUP_WAIT_MS, for which a writer may be kept waiting if that is enough for the
 * rest. After RESTARTS_MAX restarts backup_db_pages.c copies it in another way.
 *
 * The copy is written without a journal and without syncs: it is nothing until the whole backup is. unix-none takes no locks, which not every file
 * system has; nobody else can get at the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ops/clock.h"
#include "ops/operation/backup_parts.h"

#define STEP_PAGES 32
#define RESTARTS_MAX 3

/* SQLite's own but for names: it would take the path apart, following each link, which finds a path that is too long for it, or one that
   somebody else has exchanged meanwhile. The one given leads through our descriptor. */
struct copy_vfs {
        sqlite3_vfs base;
        char name[40];
};

struct page_copy {
        struct backup *b;
        struct copy_vfs vfs;
        sqlite3 *to;
        sqlite3_backup *backup;
        bool begun;
        uint32_t counter; /* of the source, since the last restart */
        unsigned restarts;
        int64_t spent_ms; /* on pages */
        uint64_t pages;   /* copied in that time */
};

static void close_copy(struct page_copy *c)
{
        if (c->backup != NULL)
                (void) sqlite3_backup_finish(c->backup);
        (void) sqlite3_close(c->to);
        if (c->vfs.base.zName != NULL)
                (void) sqlite3_vfs_unregister(&c->vfs.base);
        c->backup = NULL;
        c->to = NULL;
}

static int on_full_pathname(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
        (void) vfs;
        int n = snprintf(ret, (size_t) size, "%s", name);
        return n >= 0 && n < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int register_vfs(struct copy_vfs *vfs)
{
        const sqlite3_vfs *real = sqlite3_vfs_find("unix-none");
        if (real == NULL)
                return SQLITE_ERROR;
        (void) snprintf(vfs->name, sizeof(vfs->name), "chromafs-copy-%p", (void *) vfs);
        vfs->base = *real;
        vfs->base.pNext = NULL;
        vfs->base.xFullPathname = on_full_pathname;
        vfs->base.zName = vfs->name;
        int rc = sqlite3_vfs_register(&vfs->base, 0);
        if (rc != SQLITE_OK)
                vfs->base.zName = NULL;
        return rc;
}

/* So that SQLite makes none with a mode of its own. */
int backup_make_database(struct backup *b)
{
        struct error *e = &b->op->error;
        if (unlinkat(b->target.fd, DB_FILE, 0) < 0 && errno != ENOENT)
                return error_set(e, errno, "the copy of " DB_FILE " can't be replaced: %s", strerror(errno));
        int fd = openat(b->target.fd, DB_FILE, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        return fd >= 0 ? fd : error_set(e, errno, "the copy of " DB_FILE " can't be made: %s", strerror(errno));
}

static int open_copy(struct page_copy *c)
{
        char path[64];
        struct backup *b = c->b;
        int fd = backup_make_database(b);
        if (fd < 0)
                return fd;
        (void) close(fd);
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d/" DB_FILE, b->target.fd);
        int rc = register_vfs(&c->vfs);
        if (rc == SQLITE_OK)
                rc = sqlite3_open_v2(path, &c->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                                     c->vfs.name);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(c->to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA mmap_size=0", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                c->backup = sqlite3_backup_init(c->to, "main", db_handle(b->db), "main");
        if (c->backup != NULL)
                return 0;
        return error_set(&b->op->error, rc == SQLITE_NOMEM ? ENOMEM : EIO, "the copy of " DB_FILE " can't be begun: %s",
                         c->to != NULL ? sqlite3_errmsg(c->to) : sqlite3_errstr(rc));
}

static int step_failed(struct page_copy *c, int rc)
{
        struct error *e = &c->b->op->error;
        int system = c->to != NULL ? sqlite3_system_errno(c->to) : 0;
        switch (rc & 0xff) {
        case SQLITE_INTERRUPT:
                return error_set(e, ECANCELED, "cancelled");
        case SQLITE_NOMEM:
                return error_set(e, ENOMEM, "no memory to copy " DB_FILE);
        case SQLITE_FULL:
                return error_set(e, ENOSPC, "there is no room for the copy of " DB_FILE);
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return error_set(e, EILSEQ, DB_FILE " can't be copied: %s", sqlite3_errstr(rc));
        default:
                return error_set(e, system == EDQUOT || system == ENOSPC || system == EFBIG ? system : EIO,
                                 DB_FILE " can't be copied: %s", sqlite3_errstr(rc));
        }
}

/* Inside the hold: whether it is still the database that the copy was begun with. -EAGAIN when it changes all the time. */
static int note_counter(struct page_copy *c)
{
        struct backup_database *info = &c->b->database;
        uint32_t counter = 0;
        int r = db_change_counter(c->b->db, &counter, &c->b->op->error);
        if (r < 0)
                return r;
        if (c->begun && counter != c->counter && ++c->restarts > RESTARTS_MAX)
                return -EAGAIN;
        c->begun = true;
        c->counter = info->change_counter = counter;
        info->hot = db_is_hot(c->b->db);
        return 0;
}

/* What the remaining pages will take, by what those before took. */
static int64_t remaining_ms(const struct page_copy *c)
{
        uint64_t each_ms = c->spent_ms > 0 ? c->pages / (uint64_t) c->spent_ms : 0;
        return (int64_t) ((uint64_t) sqlite3_backup_remaining(c->backup) / (each_ms > 0 ? each_ms : 50));
}

static int step(struct page_copy *c)
{
        int64_t begin = clock_ms();
        int rc = sqlite3_backup_step(c->backup, STEP_PAGES);
        c->spent_ms += clock_ms() - begin;
        c->pages += STEP_PAGES;
        if (rc == SQLITE_DONE)
                return 0;
        return rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED ? 1 : step_failed(c, rc);
}

/* As many pages as one hold allows. 1 there are more, 0 done. */
static int copy_window(struct page_copy *c)
{
        struct backup *b = c->b;
        int r = backup_hold_begin(&b->hold, &b->op->error);
        if (r == 0)
                r = note_counter(c);
        if (r < 0)
                return r;
        do {
                r = step(c);
                b->done = (uint64_t) (sqlite3_backup_pagecount(c->backup) - sqlite3_backup_remaining(c->backup));
                b->total = (uint64_t) sqlite3_backup_pagecount(c->backup);
                if (r > 0)
                        r = operation_progress(b->op, b->phase, b->done, b->total) < 0 ? -ECANCELED : 1;
        } while (r > 0 && backup_hold_goes_on(&b->hold, remaining_ms(c)));
        return r;
}

static int copy_pages(struct page_copy *c)
{
        int r = open_copy(c);
        if (r < 0)
                return r;
        while ((r = copy_window(c)) > 0) {
                backup_hold_end(&c->b->hold);
                backup_hold_let_writer(&c->b->hold);
        }
        return r;
}

static int describe(struct backup *b)
{
        struct file_stamp stamp;
        unsigned char bytes[2] = { 0 };
        CLEANUP(close)
        int fd = file_open_regular(b->target.fd, DB_FILE, &stamp, &b->op->error);
        if (fd < 0)
                return fd;
        int r = file_pread_exact(fd, bytes, sizeof(bytes), 16, "the copy of " DB_FILE, &b->op->error);
        if (r < 0)
                return r;
        uint32_t size = (uint32_t) bytes[0] << 8 | bytes[1];
        b->database.page_size = size == 1 ? 65536 : size;
        b->database.bytes = stamp.size;
        return file_begin_write_out(fd, backup_is_cancelled, b, &b->op->error); /* goes on while the copy is checked */
}

int backup_copy_database(struct backup *b)
{
        struct page_copy c = { .b = b };
        b->phase = "copying the database";
        int r = copy_pages(&c);
        close_copy(&c);
        if (r == -EAGAIN) {
                backup_hold_end(&b->hold);
                r = backup_copy_database_pages(b);
        }
        backup_hold_end(&b->hold);
        return r < 0 ? r : describe(b);
}
