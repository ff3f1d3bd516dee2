/*
 * Where in its file system a directory is, as /proc/self/mountinfo tells: bind mounts lead to the same place under several paths.
 */
#ifndef OPS_OPERATION_MOUNT_PLACE_H
#define OPS_OPERATION_MOUNT_PLACE_H

#include <limits.h>
#include <stdbool.h>

#include "ops/error.h"

struct mount_place {
        char device[32];         /* "254:0" */
        char type[64];           /* "ext4", "fuse.chromafs" */
        char path[2 * PATH_MAX]; /* from the root of the file system, not of the mount */
};

/* The place of an open directory. -ENOENT when it is below no mount that we can see, or was removed. */
int mount_place_read(int fd, struct mount_place *ret, struct error *e);

/* Whether `place` is `top`, or below it. */
bool mount_place_within(const struct mount_place *place, const struct mount_place *top);

#endif
