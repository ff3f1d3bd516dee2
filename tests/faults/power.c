/*
 * The log. Everything here is the harness's own work: call_pause() keeps it out of the count.
 */
#include "tests/faults/power.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/call.h"
#include "tests/faults/power_log.h"
#include "tests/faults/tree.h"

struct power_log power_log;

void power_set_keep(const char *path)
{
        struct stat st;
        if (stat(path, &st) < 0)
                give_up("%s", path);
        power_log.device = st.st_dev;
        (void) snprintf(power_log.root, sizeof(power_log.root), "%s", path);
        *strrchr(power_log.root, '/') = '\0';
}

void power_begin(bool on)
{
        char path[TREE_PATH];
        if (on)
                power_log.keep = open(tree_path(path, power_log.root, "keep"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (on && power_log.keep < 0)
                give_up("%s", path);
        power_log.on = on;
}

/* Whether a call counts, and from now on is the harness's own; with true, call_resume() must follow. Keeps errno. */
static bool begin(int *ret_errno)
{
        if (!power_log.on || !call_is_armed())
                return false;
        *ret_errno = errno;
        call_pause();
        return true;
}

static void end(int saved_errno)
{
        call_resume();
        errno = saved_errno;
}

/* One more element; *array grows by doubling. */
static void *add(void **array, size_t *count, size_t *size, size_t element)
{
        if (*count == *size) {
                *size = *size == 0 ? 64 : 2 * *size;
                *array = reallocarray(*array, *size, element);
                if (*array == NULL)
                        give_up("memory");
        }
        void *added = (char *) *array + (*count)++ * element;
        memset(added, 0, element);
        return added;
}

/* Bytes. */

static bool counts(int fd, struct stat *st)
{
        return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_dev == power_log.device;
}

/* Of a file that is open for writing only, through another descriptor. */
static ssize_t read_old(int fd, uint8_t *old, size_t n, off_t offset)
{
        ssize_t r = pread(fd, old, n, offset);
        if (r >= 0 || errno != EBADF)
                return r;
        char path[64];
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int again = open(path, O_RDONLY | O_CLOEXEC);
        if (again < 0)
                return -1;
        r = pread(again, old, n, offset);
        (void) close(again);
        return r;
}

static void log_bytes(int fd, const struct stat *st, off_t offset, size_t n)
{
        struct power_bytes *b = add((void **) &power_log.bytes, &power_log.byte_count, &power_log.byte_size, sizeof(*b));
        off_t there = st->st_size > offset ? st->st_size - offset : 0;
        b->file = st->st_ino;
        b->offset = offset;
        b->size = st->st_size;
        b->written = n;
        b->old_count = (off_t) n < there ? n : (size_t) there;
        b->old = malloc(b->old_count + 1);
        if (b->old == NULL || read_old(fd, b->old, b->old_count, offset) != (ssize_t) b->old_count)
                give_up("what was in a file");
}

void power_writes(int fd, off_t offset, size_t n)
{
        struct stat st;
        int e;
        if (!begin(&e))
                return;
        if (counts(fd, &st)) {
                if (offset < 0)
                        offset = (fcntl(fd, F_GETFL) & O_APPEND) != 0 ? st.st_size : lseek(fd, 0, SEEK_CUR);
                log_bytes(fd, &st, offset, n);
        }
        end(e);
}

void power_cuts(int fd, off_t size)
{
        struct stat st;
        int e;
        if (!begin(&e))
                return;
        if (counts(fd, &st))
                log_bytes(fd, &st, size, st.st_size > size ? (size_t) (st.st_size - size) : 0);
        end(e);
}

static void sync_names(ino_t dir)
{
        for (size_t i = power_log.name_synced; i < power_log.name_count; i++)
                if (power_log.names[i].dir_inode == dir || power_log.names[i].to_dir_inode == dir)
                        power_log.name_synced = i + 1;
}

void power_syncs(int fd)
{
        struct stat st;
        int e;
        if (!begin(&e))
                return;
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
                sync_names(st.st_ino);
        else
                for (size_t i = 0; i < power_log.byte_count; i++)
                        power_log.bytes[i].synced |= power_log.bytes[i].file == st.st_ino;
        end(e);
}

void power_syncs_all(void)
{
        power_log.name_synced = power_log.name_count;
        for (size_t i = 0; i < power_log.byte_count; i++)
                power_log.bytes[i].synced = true;
}

/* Names. */

/* Opens the directory that the last part of a path is in, and gives that part. -1 where it is none of ours. */
static int open_parent(int dirfd, const char *path, char name[NAME_MAX + 1], ino_t *ret_inode)
{
        char parent[TREE_PATH];
        struct stat st;
        const char *slash = strrchr(path, '/');
        (void) snprintf(name, NAME_MAX + 1, "%s", slash == NULL ? path : slash + 1);
        (void) snprintf(parent, sizeof(parent), "%.*s", slash == NULL ? 1 : (int) (slash - path + 1), slash == NULL ? "." : path);
        int fd = openat(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == power_log.device) {
                *ret_inode = st.st_ino;
                return fd;
        }
        if (fd >= 0)
                (void) close(fd);
        return -1;
}

/* NULL where it is none of ours. */
static struct power_name *log_name(enum power_change change, int dirfd, const char *path)
{
        char name[NAME_MAX + 1];
        ino_t inode;
        int dir = open_parent(dirfd, path, name, &inode);
        if (dir < 0)
                return NULL;
        struct power_name *n = add((void **) &power_log.names, &power_log.name_count, &power_log.name_size, sizeof(*n));
        n->change = change;
        n->dir = n->to_dir = dir;
        n->dir_inode = n->to_dir_inode = inode;
        memcpy(n->name, name, sizeof(name));
        return n;
}

/* Keeps the file that is about to lose this name. */
static bool keep(int dir, const char *name)
{
        char kept[32];
        (void) snprintf(kept, sizeof(kept), "%zu", power_log.name_count - 1);
        return linkat(dir, name, power_log.keep, kept, 0) == 0;
}

static void log_opening(int dirfd, const char *path, int flags)
{
        struct stat st;
        bool there = fstatat(dirfd, path, &st, 0) == 0;
        if (!there && (flags & O_CREAT) != 0)
                (void) log_name(POWER_MADE, dirfd, path);
        if (!there || (flags & O_TRUNC) == 0)
                return;
        int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && counts(fd, &st))
                log_bytes(fd, &st, 0, (size_t) st.st_size);
        if (fd >= 0)
                (void) close(fd);
}

void power_opens(int dirfd, const char *path, int flags)
{
        int e;
        if ((flags & (O_CREAT | O_TRUNC)) == 0 || (flags & O_TMPFILE) == O_TMPFILE || !begin(&e))
                return;
        log_opening(dirfd, path, flags);
        end(e);
}

void power_makes(int dirfd, const char *path)
{
        struct stat st;
        int e;
        if (!begin(&e))
                return;
        if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                (void) log_name(POWER_MADE, dirfd, path);
        end(e);
}

/* One that is going to fail must leave no trace in the log. */
static bool can_remove(int dirfd, const char *path, const struct stat *st)
{
        if (!S_ISDIR(st->st_mode))
                return true;
        int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        bool empty = fd >= 0 && tree_is_empty(fd);
        if (fd >= 0)
                (void) close(fd);
        return empty;
}

void power_removes(int dirfd, const char *path, int flags)
{
        struct stat st;
        int e;
        if (!begin(&e))
                return;
        bool wants_dir = (flags & AT_REMOVEDIR) != 0;
        if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && wants_dir == S_ISDIR(st.st_mode) &&
            can_remove(dirfd, path, &st)) {
                struct power_name *n = log_name(wants_dir ? POWER_REMOVED_DIR : POWER_REMOVED, dirfd, path);
                if (n != NULL) {
                        n->mode = st.st_mode & 07777;
                        n->gone = st.st_ino;
                        n->kept = !wants_dir && keep(n->dir, n->name);
                }
        }
        end(e);
}

static void log_rename(int from, const char *old, int to, const char *new, unsigned flags)
{
        struct stat st, target;
        bool replaces = fstatat(to, new, &target, AT_SYMLINK_NOFOLLOW) == 0;
        if (fstatat(from, old, &st, AT_SYMLINK_NOFOLLOW) < 0 || (replaces && (flags & RENAME_NOREPLACE) != 0))
                return;
        struct power_name *n = log_name((flags & RENAME_EXCHANGE) != 0 ? POWER_EXCHANGED : POWER_RENAMED, from, old);
        if (n == NULL)
                return;
        n->to_dir = open_parent(to, new, n->to_name, &n->to_dir_inode);
        n->kept = replaces && n->change == POWER_RENAMED && !S_ISDIR(target.st_mode) && keep(n->to_dir, n->to_name);
}

void power_renames(int from, const char *old, int to, const char *new, unsigned flags)
{
        int e;
        if (!begin(&e))
                return;
        log_rename(from, old, to, new, flags);
        end(e);
}
