/*
 * Opening and reading files of a directory that may be hostile.
 *
 * - Everything below a persist directory is opened relative to its descriptor with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS),
 *   O_NONBLOCK and O_NOCTTY: a symbolic link, a FIFO or a device there leads nowhere and blocks nobody.
 * - Reads are pread; nothing is mapped, since a mapped file that someone truncates kills the reader.
 * - A stamp says whether a file is still in the state in which it was seen: device, inode, size, mtime, ctime.
 */
#ifndef OPS_FILE_H
#define OPS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "ops/error.h"

struct file_stamp {
        bool present; /* false: there was no such file; all else is 0 then */
        uint64_t dev, ino;
        uint64_t size;      /* bytes, apparent */
        uint64_t allocated; /* bytes on disk */
        int64_t mtime_ns, ctime_ns;
        uint32_t mode, uid, gid;
};

struct file_stamp file_stamp_of(const struct stat *st);

/* Stamp of `path` below dirfd, not following links; an absent stamp when it is not there or can't be seen. */
struct file_stamp file_stamp_at(int dirfd, const char *path);

/* True when both say the same file in the same state (device, inode, size, mtime, ctime, or both absent). */
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);

/* Opens the directory `name` (relative, beneath dirfd, no links). Returns a descriptor that the caller closes, or a negative errno. */
int file_open_dir(int dirfd, const char *name, struct error *e);

/* Opens the regular file `path` beneath dirfd for reading. *ret_stamp (may be NULL) gets its stamp. Returns a descriptor that the caller
   closes, or a negative errno: -ELOOP for a link, -EFTYPE does not exist on Linux so -EILSEQ for what is no regular file. */
int file_open_regular(int dirfd, const char *path, struct file_stamp *ret_stamp, struct error *e);

/* Reads up to `len` bytes at `offset`; fewer only at the end of the file. Returns the count or a negative errno. */
ssize_t file_pread(int fd, void *buffer, size_t len, uint64_t offset);

/* Reads exactly `len` bytes at `offset`: -EIO when the file ends before, with a sentence that names `what`. */
int file_pread_exact(int fd, void *buffer, size_t len, uint64_t offset, const char *what, struct error *e);

/* Writes all `len` bytes, at the descriptor's own position or at `offset`. An interrupted call goes on, and one that takes nothing is -EIO. Returns 0
   or a negative errno: some of the bytes may have been written then. */
int file_write(int fd, const void *bytes, size_t len);
int file_pwrite(int fd, const void *bytes, size_t len, uint64_t offset);

#endif
