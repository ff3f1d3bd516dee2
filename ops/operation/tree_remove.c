/*
 * Everything below a directory, removed through descriptors: an entry is unlinked first, which takes links, FIFOs and files for what they are,
 * and only what unlink(2) calls a directory is opened. One descriptor a level, so the depth is bounded.
 */
#include "ops/operation/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/operation/plain_dir.h"

static int fail(struct error *e, int err, const char *name)
{
        if (err == EXDEV)
                return error_set(e, EXDEV, "%s is another file system and is not removed: unmount it", name);
        return error_set(e, err, "%s can't be removed: %s", name, strerror(err));
}

static int empty(int fd, dev_t dev, const char *except, unsigned depth, struct error *e);

static int remove_dir(int parent, const char *name, dev_t dev, unsigned depth, struct error *e)
{
        if (depth > TREE_DEPTH_MAX)
                return error_set(e, ELOOP, "%s lies more than %d directories deep: remove it by hand", name, TREE_DEPTH_MAX);
        CLEANUP(close)
        int fd = plain_dir_open(parent, name);
        struct stat st;
        if (fd == -ENOENT)
                return fd;
        if (fd < 0 || fstat(fd, &st) < 0)
                return fail(e, fd < 0 ? -fd : errno, name);
        if (st.st_dev != dev)
                return fail(e, EXDEV, name);
        if (st.st_uid == geteuid() && (st.st_mode & S_IRWXU) != S_IRWXU)
                (void) fchmod(fd, S_IRWXU); /* what is in a directory that may not be written to could not be removed */
        int r = empty(fd, dev, NULL, depth, e);
        if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                r = fail(e, errno, name);
        return r;
}

static int remove_entry(int parent, const char *name, dev_t dev, unsigned depth, struct error *e)
{
        if (unlinkat(parent, name, 0) == 0)
                return 0;
        if (errno == ENOENT)
                return -ENOENT; /* someone else was quicker: no failure below the top */
        return errno == EISDIR ? remove_dir(parent, name, dev, depth, e) : fail(e, errno, name);
}

/* A streamed listing: what is removed behind the position does not move it. */
static int empty(int fd, dev_t dev, const char *except, unsigned depth, struct error *e)
{
        CLEANUP(closedir)
        DIR *dir = NULL;
        int first = 0, r = plain_dir_list(fd, &dir, e);
        if (r < 0)
                return r;
        const char *name = NULL;
        while ((r = plain_dir_next(dir, &name, first < 0 ? NULL : e)) > 0) {
                if (except != NULL && strcmp(name, except) == 0)
                        continue;
                r = remove_entry(fd, name, dev, depth + 1, first < 0 ? NULL : e);
                if (first == 0 && r != -ENOENT)
                        first = r;
        }
        return first < 0 ? first : r;
}

int tree_remove(int dirfd, const char *name, struct error *e)
{
        struct stat st;
        if (!plain_name(name))
                return error_set(e, EINVAL, "\"%s\" is no plain name", name);
        if (fstat(dirfd, &st) < 0)
                return fail(e, errno, name);
        int r = remove_entry(dirfd, name, st.st_dev, 0, e);
        return r == -ENOENT ? fail(e, ENOENT, name) : r;
}

int tree_empty(int fd, const char *except, struct error *e)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return error_set(e, errno, "a directory can't be examined: %s", strerror(errno));
        return empty(fd, st.st_dev, except, 0, e);
}
