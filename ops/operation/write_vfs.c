/*
 * A copy of the struct of SQLite's unix VFS, with four methods of ours before the original ones. The copy is enough: the original
 * methods find all that they need (pAppData, mxPathname) in whichever struct they are given, and we give them the original.
 *
 *   xFullPathname  hands the name through. SQLite derives the journal's name from it, opens and deletes that relative to the
 *                  working directory, and syncs "." as its directory (os_unix.c, openDirectory). unixOpen uses O_NOFOLLOW.
 *   xOpen          checks the name and the kind of file; gives temporary files (which have no name) one in the temporary directory,
 *                  through /proc/self/fd, so that nobody can exchange a directory on the way. SQLite unlinks them as soon as they
 *                  are open.
 *   xDelete        checks the name. Deleting the journal is what commits: when only the sync of the directory after it fails,
 *                  SQLite would report a failed COMMIT that has happened, and the caller would throw away the files that the
 *                  database now refers to. So the sync is done here, tried again, and its failure is no failure.
 *   xWrite, xTruncate, xSync
 *                  remember errno. A file's methods are a copy as well, which knows the VFS that it is of.
 *   xAccess        checks the name. An empty WAL, which no reader would use, is not there.
 *
 * One system call is replaced, for all of SQLite in this process: fchown(), with which root's SQLite gives every journal that it opens to the owner of the
 * database. That owner can move any file in reach, root's too, to the journal's name.
 */
#include "ops/operation/write_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/db.h"
#include "ops/operation/state_dir.h"

#define JOURNAL_FILE DB_FILE "-journal"
#define WAL_FILE DB_FILE "-wal"
#define SYNC_TRIES 3

struct write_vfs;

struct methods {
        sqlite3_io_methods base; /* first: a file's pointer to it is a pointer to this */
        const sqlite3_io_methods *real;
        struct write_vfs *vfs;
};

struct write_vfs {
        sqlite3_vfs base; /* first: SQLite's pointer to it is a pointer to this */
        sqlite3_vfs *real;
        struct methods methods[2]; /* of the database, which is locked, and of other files */
        int failed;                /* errno */
        int temporary_fd;
        char name[48];
        char temporary_name[96]; /* the last one; SQLite keeps the pointer, and uses it no more once the file is unlinked */
        struct error error;
};

static struct write_vfs *vfs_of(sqlite3_vfs *vfs)
{
        return (struct write_vfs *) (void *) vfs;
}

static bool is_ours(const char *name)
{
        return strcmp(name, DB_FILE) == 0 || strcmp(name, JOURNAL_FILE) == 0;
}

/* Returns `rc`, with the sentence kept for write_vfs_take_error(). */
static int refuse_name(struct write_vfs *vfs, const char *name, int rc)
{
        if (strcmp(name, WAL_FILE) == 0)
                (void) error_set(
                        &vfs->error, EILSEQ,
                        DB_FILE
                        " is in WAL mode, which no Chroma sets; close every program that uses it and run: sqlite3 …/" DB_FILE
                        " 'PRAGMA journal_mode=delete'");
        else
                (void) error_set(&vfs->error, EILSEQ,
                                 "the journal of " DB_FILE
                                 " belongs to a transaction over several databases, which no Chroma makes; open " DB_FILE
                                 " with sqlite3 where these are, to roll it back");
        return rc;
}

/* What is not there is in order: SQLite makes it, or says so. */
static int check_kind(struct write_vfs *vfs, const char *name)
{
        struct stat st;
        if (fstatat(AT_FDCWD, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode)) {
                (void) error_set(&vfs->error, S_ISLNK(st.st_mode) ? ELOOP : EILSEQ, "%s is no regular file%s", name,
                                 S_ISLNK(st.st_mode) ? ", but a symbolic link" : "");
                return SQLITE_CANTOPEN;
        }
        return SQLITE_OK;
}

/* The methods of a file. */

static const struct methods *methods_of(const sqlite3_file *file)
{
        return (const struct methods *) (const void *) file->pMethods;
}

static int remember(sqlite3_file *file, int rc)
{
        struct write_vfs *vfs = methods_of(file)->vfs;
        if (rc != SQLITE_OK && vfs->failed == 0)
                vfs->failed = errno;
        return rc;
}

static int on_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 offset)
{
        return remember(file, methods_of(file)->real->xWrite(file, bytes, len, offset));
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
        return remember(file, methods_of(file)->real->xTruncate(file, size));
}

static int on_sync(sqlite3_file *file, int flags)
{
        return remember(file, methods_of(file)->real->xSync(file, flags));
}

static void take_methods(struct write_vfs *vfs, sqlite3_file *file, int flags)
{
        struct methods *methods = &vfs->methods[(flags & SQLITE_OPEN_MAIN_DB) == 0];
        methods->base = *file->pMethods;
        methods->base.xWrite = on_write;
        methods->base.xTruncate = on_truncate;
        methods->base.xSync = on_sync;
        methods->real = file->pMethods;
        methods->vfs = vfs;
        file->pMethods = &methods->base;
}

/* The methods of the VFS. */

static const char *temporary_name(struct write_vfs *vfs)
{
        uint64_t random = 0;
        (void) vfs->real->xRandomness(vfs->real, sizeof(random), (char *) &random);
        if (vfs->temporary_fd < 0)
                (void) snprintf(vfs->temporary_name, sizeof(vfs->temporary_name), ".chromafs-%016llx.tmp",
                                (unsigned long long) random);
        else
                (void) snprintf(vfs->temporary_name, sizeof(vfs->temporary_name),
                                "/proc/self/fd/%d/" STAGE_TEMPORARY "sqlite-%016llx", vfs->temporary_fd,
                                (unsigned long long) random);
        return vfs->temporary_name;
}

/* SQLite, where it can't make a file, tries to open it for reading, and tells of that. */
static int why_none_is_made(void)
{
        CLEANUP(close)
        int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        return fd < 0 && (errno == ENOSPC || errno == EDQUOT) ? errno : 0;
}

static int on_open(sqlite3_vfs *base, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
        struct write_vfs *vfs = vfs_of(base);
        int rc = SQLITE_OK;
        file->pMethods = NULL;
        if (name == NULL)
                name = temporary_name(vfs);
        else if (!is_ours(name))
                rc = refuse_name(vfs, name, SQLITE_CANTOPEN);
        else
                rc = check_kind(vfs, name);
        if (rc == SQLITE_OK)
                rc = vfs->real->xOpen(vfs->real, name, file, flags, ret_flags);
        if (rc == SQLITE_OK)
                take_methods(vfs, file, flags);
        else if (rc == SQLITE_CANTOPEN && (flags & SQLITE_OPEN_CREATE) != 0 && vfs->failed == 0)
                vfs->failed = why_none_is_made();
        return rc;
}

static void sync_directory(void)
{
        CLEANUP(close)
        int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int i = 0; fd >= 0 && i < SYNC_TRIES; i++)
                if (fsync(fd) == 0)
                        return;
}

static int on_delete(sqlite3_vfs *base, const char *name, int sync)
{
        struct write_vfs *vfs = vfs_of(base);
        if (!is_ours(name) || strcmp(name, DB_FILE) == 0)
                return refuse_name(vfs, name, SQLITE_IOERR_DELETE);
        int rc = vfs->real->xDelete(vfs->real, name, 0);
        if (rc == SQLITE_OK && sync)
                sync_directory();
        return rc;
}

static int on_access(sqlite3_vfs *base, const char *name, int flags, int *ret)
{
        struct write_vfs *vfs = vfs_of(base);
        struct stat st;
        if (is_ours(name))
                return vfs->real->xAccess(vfs->real, name, flags, ret);
        if (strcmp(name, WAL_FILE) != 0)
                return refuse_name(vfs, name, SQLITE_IOERR_ACCESS);
        *ret = fstatat(AT_FDCWD, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0;
        return SQLITE_OK;
}

static int on_full_pathname(sqlite3_vfs *base, const char *name, int size, char *ret)
{
        (void) base;
        int n = snprintf(ret, (size_t) size, "%s", name);
        return n >= 0 && n < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* Only what SQLite has just made. */
static int give_away(int fd, uid_t uid, gid_t gid)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -1;
        return st.st_size == 0 && st.st_nlink == 1 ? fchown(fd, uid, gid) : 0;
}

static void replace_fchown(sqlite3_vfs *real)
{
        if (real->iVersion >= 3 && real->xSetSystemCall != NULL)
                (void) real->xSetSystemCall(real, "fchown", (sqlite3_syscall_ptr) give_away);
}

int write_vfs_new(int temporary_fd, struct write_vfs **ret, struct error *e)
{
        struct write_vfs *vfs = calloc(1, sizeof(*vfs));
        if (vfs == NULL)
                return error_set(e, ENOMEM, "no memory to open " DB_FILE);
        vfs->real = sqlite3_vfs_find("unix");
        if (vfs->real != NULL) {
                vfs->base = *vfs->real;
                vfs->base.pNext = NULL;
                vfs->base.zName = vfs->name;
                vfs->base.xOpen = on_open;
                vfs->base.xDelete = on_delete;
                vfs->base.xAccess = on_access;
                vfs->base.xFullPathname = on_full_pathname;
                replace_fchown(vfs->real);
        }
        vfs->temporary_fd = temporary_fd;
        (void) snprintf(vfs->name, sizeof(vfs->name), "chromafs-write-%p", (void *) vfs);
        if (vfs->real == NULL || sqlite3_vfs_register(&vfs->base, 0) != SQLITE_OK) {
                free(vfs);
                return error_set(e, ENOMEM, "SQLite can't be given the means to write " DB_FILE);
        }
        *ret = vfs;
        return 0;
}

const char *write_vfs_name(const struct write_vfs *vfs)
{
        return vfs->name;
}

int write_vfs_take_error(struct write_vfs *vfs, struct error *e)
{
        int code = vfs->error.code;
        if (code < 0)
                (void) error_set(e, -code, "%s", vfs->error.text);
        vfs->error = (struct error){ 0 };
        return code;
}

int write_vfs_take_errno(struct write_vfs *vfs)
{
        int err = vfs->failed;
        vfs->failed = 0;
        return err;
}

struct write_vfs *write_vfs_free(struct write_vfs *vfs)
{
        if (vfs != NULL) {
                (void) sqlite3_vfs_unregister(&vfs->base);
                free(vfs);
        }
        return NULL;
}
