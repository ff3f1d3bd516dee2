/*
 * One operation at a time for a persist directory, across mounts and processes of ours: flock(2) on the directory's own descriptor, which leaves no
 * file and ends with the process.
 */
#ifndef OPS_OPERATION_DIR_LOCK_H
#define OPS_OPERATION_DIR_LOCK_H

#include "ops/error.h"

/* Locks. Returns a descriptor that holds the lock until it is closed, or -EBUSY with a sentence that names the process where /proc/locks tells it,
   or another failure (a file system without flock: -ENOLCK). */
int dir_lock(int persist_fd, struct error *e);

#endif
