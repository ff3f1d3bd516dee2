/*
 * A file that belongs to this user and this process alone, in a directory where something else may stand under its name.
 *
 * - What is no regular file, has another owner or other names, or may be written by others is removed (not: followed, opened for long, or
 *   written to), and a new file takes its place. A directory stays, and is a failure.
 * - The file is locked (flock) until its descriptor is closed; nothing waits for a lock, a FIFO or a device.
 */
#ifndef OPS_WAL_PRIVATE_FILE_H
#define OPS_WAL_PRIVATE_FILE_H

#include "ops/error.h"

/* Opens the file `name` of a directory for reading and writing, and makes it, mode 0600, when it is not there. Returns a descriptor
   that the caller closes, -EBUSY when somebody else has the lock, or another negative errno. */
int private_file_open(int dirfd, const char *name, struct error *e);

/* Removes it, if the name still leads to what fd is. */
void private_file_remove(int dirfd, const char *name, int fd);

#endif
