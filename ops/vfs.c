#include "ops/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "ops/db_file.h"

struct read_vfs {
        sqlite3_vfs base; /* first: SQLite's pointer to it is a pointer to this */
        sqlite3_vfs *real;
        int dirfd;
        char name[40];
        struct db_file *file; /* the one that is open, NULL */
        read_vfs_cancel_fn *cancelled;
        void *cancel_context;
        struct error error;
};

struct vfs_file {
        sqlite3_file base; /* first, as above */
        struct read_vfs *vfs;
        struct db_file file;
};

static struct vfs_file *file_of(sqlite3_file *file)
{
        return (struct vfs_file *) (void *) file;
}

static struct read_vfs *vfs_of(sqlite3_vfs *vfs)
{
        return (struct read_vfs *) (void *) vfs;
}

static int refuse(struct read_vfs *vfs, const char *what)
{
        (void) error_set(&vfs->error, EROFS, "%s was asked for, and refused: the database is only read", what);
        return SQLITE_READONLY;
}

/* SQLite's file methods. */

static int on_read(sqlite3_file *file, void *buffer, int len, sqlite3_int64 offset)
{
        if (len < 0 || offset < 0)
                return SQLITE_IOERR_READ;
        return db_file_read(&file_of(file)->file, buffer, (size_t) len, (uint64_t) offset);
}

static int on_file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
        uint64_t size = 0;
        int rc = db_file_size(&file_of(file)->file, &size);
        if (rc == SQLITE_OK)
                *ret = (sqlite3_int64) size;
        return rc;
}

static int on_lock(sqlite3_file *file, int level)
{
        struct vfs_file *f = file_of(file);
        if (level > SQLITE_LOCK_SHARED)
                return refuse(f->vfs, "a lock for writing");
        if (level < SQLITE_LOCK_SHARED)
                return SQLITE_OK;
        read_vfs_clear_error(f->vfs);
        f->file.cancelled = f->vfs->cancelled;
        f->file.cancel_context = f->vfs->cancel_context;
        return db_file_lock(&f->file);
}

static int on_unlock(sqlite3_file *file, int level)
{
        if (level < SQLITE_LOCK_SHARED)
                db_file_unlock(&file_of(file)->file);
        return SQLITE_OK;
}

static int on_check_reserved(sqlite3_file *file, int *ret)
{
        bool held = false;
        int rc = db_file_reserved(&file_of(file)->file, &held);
        if (rc == SQLITE_OK)
                *ret = held;
        return rc;
}

static int on_close(sqlite3_file *file)
{
        struct vfs_file *f = file_of(file);
        db_file_close(&f->file);
        f->vfs->file = NULL;
        return SQLITE_OK;
}

static int on_write(sqlite3_file *file, const void *buffer, int len, sqlite3_int64 offset)
{
        (void) buffer, (void) len, (void) offset;
        return refuse(file_of(file)->vfs, "a write");
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
        (void) size;
        return refuse(file_of(file)->vfs, "a truncation");
}

static int on_sync(sqlite3_file *file, int flags)
{
        (void) flags;
        return refuse(file_of(file)->vfs, "a sync");
}

static int on_file_control(sqlite3_file *file, int op, void *argument)
{
        (void) file, (void) op, (void) argument;
        return SQLITE_NOTFOUND;
}

static int on_sector_size(sqlite3_file *file)
{
        (void) file;
        return 4096;
}

static int on_device_characteristics(sqlite3_file *file)
{
        (void) file;
        return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* never IMMUTABLE: SQLite would take no locks */
}

/* Version 1: no shared memory, so no WAL, and no mapping of the file. */
static const sqlite3_io_methods file_methods = {
        .iVersion = 1,
        .xClose = on_close,
        .xRead = on_read,
        .xWrite = on_write,
        .xTruncate = on_truncate,
        .xSync = on_sync,
        .xFileSize = on_file_size,
        .xLock = on_lock,
        .xUnlock = on_unlock,
        .xCheckReservedLock = on_check_reserved,
        .xFileControl = on_file_control,
        .xSectorSize = on_sector_size,
        .xDeviceCharacteristics = on_device_characteristics,
};

/* SQLite's VFS methods. */

static int on_open(sqlite3_vfs *base, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
        struct read_vfs *vfs = vfs_of(base);
        struct vfs_file *f = file_of(file);
        memset(f, 0, sizeof(*f));
        if (name == NULL || (flags & SQLITE_OPEN_MAIN_DB) == 0 || (flags & SQLITE_OPEN_READONLY) == 0)
                return refuse(vfs, "a journal or temporary file");
        if (vfs->file != NULL)
                return refuse(vfs, "a second database");
        int rc = db_file_open(&f->file, vfs->dirfd, name, &vfs->error);
        if (rc < 0)
                return db_file_result(rc, SQLITE_CANTOPEN);
        f->vfs = vfs;
        f->base.pMethods = &file_methods;
        vfs->file = &f->file;
        if (ret_flags != NULL)
                *ret_flags = flags;
        return SQLITE_OK;
}

static int on_delete(sqlite3_vfs *base, const char *name, int sync)
{
        (void) name, (void) sync;
        return refuse(vfs_of(base), "a deletion");
}

/* No journal and no WAL is ever there, for SQLite: the overlay deals with the first, db_open with the second. */
static int on_access(sqlite3_vfs *base, const char *name, int flags, int *ret)
{
        (void) base, (void) name, (void) flags;
        *ret = 0;
        return SQLITE_OK;
}

static int on_full_pathname(sqlite3_vfs *base, const char *name, int size, char *ret)
{
        (void) base;
        int n = snprintf(ret, (size_t) size, "%s", name);
        return n >= 0 && n < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static void *on_dlopen(sqlite3_vfs *base, const char *name)
{
        (void) base, (void) name;
        return NULL;
}

static void on_dlerror(sqlite3_vfs *base, int size, char *ret)
{
        (void) base;
        (void) snprintf(ret, (size_t) size, "no extension is ever loaded");
}

static int on_randomness(sqlite3_vfs *base, int size, char *ret)
{
        sqlite3_vfs *real = vfs_of(base)->real;
        return real->xRandomness(real, size, ret);
}

static int on_sleep(sqlite3_vfs *base, int microseconds)
{
        sqlite3_vfs *real = vfs_of(base)->real;
        return real->xSleep(real, microseconds);
}

static int on_current_time(sqlite3_vfs *base, double *ret)
{
        sqlite3_vfs *real = vfs_of(base)->real;
        return real->xCurrentTime(real, ret);
}

static int on_last_error(sqlite3_vfs *base, int size, char *ret)
{
        if (size > 0)
                (void) snprintf(ret, (size_t) size, "%s", read_vfs_error(vfs_of(base)));
        return -read_vfs_errno(vfs_of(base));
}

static void fill_methods(struct read_vfs *vfs)
{
        vfs->base = (sqlite3_vfs){
                .iVersion = 1,
                .szOsFile = sizeof(struct vfs_file),
                .mxPathname = 512,
                .zName = vfs->name,
                .xOpen = on_open,
                .xDelete = on_delete,
                .xAccess = on_access,
                .xFullPathname = on_full_pathname,
                .xDlOpen = on_dlopen,
                .xDlError = on_dlerror,
                .xRandomness = on_randomness,
                .xSleep = on_sleep,
                .xCurrentTime = on_current_time,
                .xGetLastError = on_last_error,
        };
}

int read_vfs_new(int dirfd, struct read_vfs **ret, struct error *e)
{
        struct read_vfs *vfs = calloc(1, sizeof(*vfs));
        if (vfs == NULL)
                return error_set(e, ENOMEM, "no memory to open chroma.sqlite3");
        vfs->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
        if (vfs->dirfd < 0) {
                int err = errno;
                free(vfs);
                return error_set(e, err, "the directory's descriptor can't be duplicated: %s", strerror(err));
        }
        vfs->real = sqlite3_vfs_find(NULL);
        (void) snprintf(vfs->name, sizeof(vfs->name), "chromafs-%p", (void *) vfs);
        fill_methods(vfs);
        if (vfs->real == NULL || sqlite3_vfs_register(&vfs->base, 0) != SQLITE_OK) {
                (void) close(vfs->dirfd);
                free(vfs);
                return error_set(e, ENOMEM, "SQLite can't be given the means to read chroma.sqlite3");
        }
        *ret = vfs;
        return 0;
}

const char *read_vfs_name(const struct read_vfs *vfs)
{
        return vfs->name;
}

const char *read_vfs_error(const struct read_vfs *vfs)
{
        return vfs->error.text;
}

int read_vfs_errno(const struct read_vfs *vfs)
{
        return vfs->error.code;
}

void read_vfs_clear_error(struct read_vfs *vfs)
{
        vfs->error.code = 0;
        vfs->error.text[0] = '\0';
}

void read_vfs_set_cancel(struct read_vfs *vfs, read_vfs_cancel_fn *cancelled, void *context)
{
        vfs->cancelled = cancelled;
        vfs->cancel_context = context;
}

struct file_stamp read_vfs_stamp(const struct read_vfs *vfs)
{
        struct stat st;
        if (vfs->file == NULL || fstat(vfs->file->fd, &st) < 0)
                return (struct file_stamp){ .present = false };
        return file_stamp_of(&st);
}

bool read_vfs_is_hot(const struct read_vfs *vfs)
{
        return vfs->file != NULL && db_file_is_hot(vfs->file);
}

struct read_vfs *read_vfs_free(struct read_vfs *vfs)
{
        if (vfs != NULL) {
                (void) sqlite3_vfs_unregister(&vfs->base);
                (void) close(vfs->dirfd);
                free(vfs);
        }
        return NULL;
}
