/*
 * A segment's own files, byte for byte, in the one state in which they were opened.
 *
 * Chroma writes them in place, so a read whose file has another size, mtime or ctime than at open fails with ESTALE: nobody copies a
 * mixture of two states.
 */
#ifndef FS_RAW_H
#define FS_RAW_H

#include <sys/types.h>

#include "fs/inodes.h"
#include "ops/cleanup.h"

struct raw_file;

/* Opens the file of a raw node in the generation that `info` says. -ESTALE when it is in another one. */
int raw_open(struct request *request, const struct inode_info *info, struct raw_file **ret);

/* Reads up to `len` bytes at `offset`; the count, or a negative errno. */
ssize_t raw_read(const struct raw_file *raw, void *buffer, size_t len, off_t offset);

struct raw_file *raw_close(struct raw_file *raw); /* takes NULL, returns NULL */

#endif
