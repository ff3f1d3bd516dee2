/*
 * Sizes of directories on disk, apparent and allocated, without following links and without leaving the file system.
 *
 * - A file with several names (hard links) is counted once for each: what copying the directory without its links would take.
 * - A directory that can't be opened, or lies deeper than DIR_SIZE_DEPTH, is counted itself, but not what is in it.
 * - Sums that would not fit stay at the greatest number there is: sparse files can claim more than any disk has.
 */
#ifndef OPS_DIR_SIZE_H
#define OPS_DIR_SIZE_H

#include <stdint.h>

#include "ops/error.h"

struct dir_size {
        uint64_t apparent;  /* bytes, sum of st_size of regular files */
        uint64_t allocated; /* bytes on disk of regular files and directories, `name` included */
        uint64_t files;
        int64_t newest_ns;  /* newest mtime of any regular file or directory seen, 0 when all are before 1970 */
        int64_t changed_ns; /* newest ctime, likewise: it can't be set back */
};

/* Adds up everything below `name` (beneath dirfd; "." for itself), to a depth of DIR_SIZE_DEPTH; what vanishes meanwhile is left out.
   0 or the error of opening `name`. */
#define DIR_SIZE_DEPTH 16
int dir_size_read(int dirfd, const char *name, struct dir_size *ret, struct error *e);

#endif
