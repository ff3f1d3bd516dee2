/*
 * A directory in a place where a stranger may have put links, mounts and special files: opened, listed and synced.
 *
 * A plain name is one step: not empty, no '/', neither "." nor "..".
 */
#ifndef OPS_OPERATION_PLAIN_DIR_H
#define OPS_OPERATION_PLAIN_DIR_H

#include <dirent.h>
#include <stdbool.h>

#include "ops/cleanup.h"
#include "ops/error.h"

bool plain_name(const char *name);

/* Opens the directory `name` beneath dirfd: no link is followed and no mount point crossed. Returns a descriptor that the caller closes, or the negative errno
   of openat2(2), which says what it is: -ENOENT, -ELOOP a link, -ENOTDIR, -EXDEV a mount point. No sentence: callers know better. */
int plain_dir_open(int dirfd, const char *name);

/* Lists the directory fd, from its beginning, with a position of its own. *ret is the caller's. */
int plain_dir_list(int fd, DIR **ret, struct error *e);

/* The next name but "." and "..", valid until the next call. 1, 0 at the end, or a negative errno. */
int plain_dir_next(DIR *dir, const char **ret, struct error *e);

/* Whether there is anything in it but `except` (may be NULL). 1, 0, or a negative errno. */
int plain_dir_holds(int fd, const char *except, struct error *e);

/* Syncs the names in it. File systems that can't sync a directory are no failure. */
int plain_dir_sync(int fd, const char *what, struct error *e);

DEFINE_CLEANUP(DIR *, closedir)

#endif
