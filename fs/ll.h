/*
 * The file system's operations, on libfuse's low-level API. Userdata of the session is a struct mount.
 */
#ifndef FS_LL_H
#define FS_LL_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

extern const struct fuse_lowlevel_ops ll_operations;

#endif
