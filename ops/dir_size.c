#include "ops/dir_size.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "ops/cleanup.h"
#include "ops/file.h"

DEFINE_CLEANUP(DIR *, closedir)

static uint64_t add(uint64_t sum, uint64_t more)
{
        return sum > UINT64_MAX - more ? UINT64_MAX : sum + more;
}

static void note(struct dir_size *size, const struct file_stamp *stamp)
{
        size->allocated = add(size->allocated, stamp->allocated);
        if (S_ISREG(stamp->mode)) {
                size->apparent = add(size->apparent, stamp->size);
                size->files++;
        }
        if (stamp->mtime_ns > size->newest_ns)
                size->newest_ns = stamp->mtime_ns;
        if (stamp->ctime_ns > size->changed_ns)
                size->changed_ns = stamp->ctime_ns;
}

static void add_dir(int fd, uint64_t dev, unsigned depth, struct dir_size *size);

static void add_entry(int fd, const char *name, uint64_t dev, unsigned depth, struct dir_size *size)
{
        struct file_stamp stamp = file_stamp_at(fd, name);
        if (!stamp.present || stamp.dev != dev || (!S_ISREG(stamp.mode) && !S_ISDIR(stamp.mode)))
                return;
        if (S_ISREG(stamp.mode) || depth == DIR_SIZE_DEPTH) {
                note(size, &stamp);
                return;
        }
        int child = file_open_dir(fd, name, NULL);
        if (child >= 0)
                add_dir(child, dev, depth + 1, size);
        else if (child != -ENOENT)
                note(size, &stamp); /* can't be looked into: itself, at least */
}

/* Streams the entries, so that memory does not grow with their number: one buffer and one descriptor a level. Takes the descriptor. */
static void add_dir(int fd, uint64_t dev, unsigned depth, struct dir_size *size)
{
        struct stat st;
        CLEANUP(closedir)
        DIR *dir = fdopendir(fd);
        if (dir == NULL || fstat(fd, &st) < 0 || st.st_dev != dev) {
                if (dir == NULL)
                        (void) close(fd);
                return;
        }
        struct file_stamp stamp = file_stamp_of(&st);
        note(size, &stamp);
        const struct dirent *entry;
        while ((entry = readdir(dir)) != NULL)
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        add_entry(fd, entry->d_name, dev, depth, size);
}

int dir_size_read(int dirfd, const char *name, struct dir_size *ret, struct error *e)
{
        int fd = file_open_dir(dirfd, name, e);
        if (fd < 0)
                return fd;
        struct stat st;
        if (fstat(fd, &st) < 0) {
                int err = errno;
                (void) close(fd);
                return error_set(e, err, "%s can't be examined: %s", name, strerror(err));
        }
        struct dir_size size = { 0 };
        add_dir(fd, st.st_dev, 0, &size);
        *ret = size;
        return 0;
}
