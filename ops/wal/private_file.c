/*
 * Opening is a race with others who open, remove and replace: the lock counts only while the name leads to the file that is locked, so
 * that is looked at when the lock is there, and everything begins again if not. What does not belong there is removed once: who puts it
 * back is no cache of ours.
 */
#include "ops/wal/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 8 /* of others who remove it in between */

enum verdict { OURS, NOT_OURS, GONE }; /* or a negative errno */

static bool leads_to(int dirfd, const char *name, const struct stat *file)
{
        struct stat st;
        return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == file->st_dev && st.st_ino == file->st_ino;
}

static bool is_private(const struct stat *st)
{
        return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1 && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* OURS: it is locked. */
static int examine(int dirfd, const char *name, int fd)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_nlink == 0 || !leads_to(dirfd, name, &st)) /* for a moment both a removed file and its name are to be seen */
                return GONE;
        if (!is_private(&st))
                return NOT_OURS;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        return leads_to(dirfd, name, &st) ? OURS : GONE;
}

/* What openat says of a link, a socket, a device without a driver, and a file that we may not open. */
static bool is_objection(int err)
{
        return err == ELOOP || err == ENXIO || err == ENODEV || err == EACCES;
}

/* *ret_fd is closed and -1 unless the verdict is OURS; *ret_err says what speaks against what is there. */
static int attempt(int dirfd, const char *name, int *ret_fd, int *ret_err)
{
        *ret_err = EPERM;
        *ret_fd = openat(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
        if (*ret_fd < 0) {
                *ret_err = errno;
                return is_objection(errno) ? NOT_OURS : -errno;
        }
        int r = examine(dirfd, name, *ret_fd);
        if (r != OURS) {
                (void) close(*ret_fd);
                *ret_fd = -1;
        }
        return r;
}

static int open_failed(int err, const char *name, struct error *e)
{
        if (err == EBUSY)
                return error_set(e, EBUSY, "cache file %s is in use by another process", name);
        if (err == EPERM)
                return error_set(e, EPERM, "cache file %s is not this user's alone, and comes back when it is removed", name);
        return error_set(e, err, "cache file %s can't be opened: %s", name, strerror(err));
}

int private_file_open(int dirfd, const char *name, struct error *e)
{
        bool replaced = false;
        for (int i = 0; i < TRIES; i++) {
                int fd, err;
                int r = attempt(dirfd, name, &fd, &err);
                if (r == OURS)
                        return fd;
                if (r == NOT_OURS && replaced)
                        r = -err;
                else if (r == NOT_OURS && unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
                        r = -errno;
                if (r < 0)
                        return open_failed(-r, name, e);
                replaced = replaced || r == NOT_OURS;
        }
        return error_set(e, EBUSY, "cache file %s is removed by somebody again and again", name);
}

void private_file_remove(int dirfd, const char *name, int fd)
{
        struct stat st;
        if (fstat(fd, &st) == 0 && leads_to(dirfd, name, &st))
                (void) unlinkat(dirfd, name, 0);
}
