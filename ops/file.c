#include "ops/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct file_stamp file_stamp_of(const struct stat *st)
{
        return (struct file_stamp){
                .present = true,
                .dev = st->st_dev,
                .ino = st->st_ino,
                .size = (uint64_t) st->st_size,
                .allocated = (uint64_t) st->st_blocks * 512u,
                .mtime_ns = (int64_t) st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
                .ctime_ns = (int64_t) st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
                .mode = st->st_mode,
                .uid = st->st_uid,
                .gid = st->st_gid,
        };
}

struct file_stamp file_stamp_at(int dirfd, const char *path)
{
        struct stat st;
        if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return (struct file_stamp){ .present = false };
        return file_stamp_of(&st);
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
        return a->present == b->present && a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
               a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static int open_beneath(int dirfd, const char *path, uint64_t flags)
{
        struct open_how how = {
                .flags = flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        return fd < 0 ? -errno : (int) fd;
}

static int open_failed(int code, const char *path, struct error *e)
{
        if (code == -ELOOP || code == -EXDEV)
                return error_set(e, ELOOP, "%s is a symbolic link, or leads out of the directory", path);
        return error_set(e, -code, "%s can't be opened: %s", path, strerror(-code));
}

int file_open_dir(int dirfd, const char *name, struct error *e)
{
        int fd = open_beneath(dirfd, name, O_DIRECTORY);
        return fd < 0 ? open_failed(fd, name, e) : fd;
}

int file_open_regular(int dirfd, const char *path, struct file_stamp *ret_stamp, struct error *e)
{
        int fd = open_beneath(dirfd, path, 0);
        if (fd < 0)
                return open_failed(fd, path, e);
        struct stat st;
        if (fstat(fd, &st) < 0) {
                int err = errno;
                (void) close(fd);
                return error_set(e, err, "%s can't be examined: %s", path, strerror(err));
        }
        if (!S_ISREG(st.st_mode)) {
                (void) close(fd);
                return error_set(e, EILSEQ, "%s is no regular file", path);
        }
        if (ret_stamp != NULL)
                *ret_stamp = file_stamp_of(&st);
        return fd;
}

ssize_t file_pread(int fd, void *buffer, size_t len, uint64_t offset)
{
        size_t done = 0;
        while (done < len) {
                ssize_t n = pread(fd, (char *) buffer + done, len - done, (off_t) (offset + done));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                done += (size_t) n;
        }
        return (ssize_t) done;
}

int file_pread_exact(int fd, void *buffer, size_t len, uint64_t offset, const char *what, struct error *e)
{
        ssize_t n = file_pread(fd, buffer, len, offset);
        if (n < 0)
                return error_set(e, (int) -n, "%s can't be read: %s", what, strerror((int) -n));
        if ((size_t) n < len)
                return error_set(e, EIO, "%s ends after %llu bytes where %llu are needed", what,
                                 (unsigned long long) offset + (size_t) n, (unsigned long long) offset + len);
        return 0;
}

/* What a call of write() says: 0 with the bytes that it took in *done, or a negative errno. */
static int count_written(ssize_t n, size_t *done)
{
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -EIO;
        *done += (size_t) n;
        return 0;
}

int file_write(int fd, const void *bytes, size_t len)
{
        int r = 0;
        for (size_t done = 0; r == 0 && done < len;)
                r = count_written(write(fd, (const char *) bytes + done, len - done), &done);
        return r;
}

int file_pwrite(int fd, const void *bytes, size_t len, uint64_t offset)
{
        int r = 0;
        for (size_t done = 0; r == 0 && done < len;)
                r = count_written(pwrite(fd, (const char *) bytes + done, len - done, (off_t) (offset + done)), &done);
        return r;
}
