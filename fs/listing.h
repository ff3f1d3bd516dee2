/*
 * The entries of an open directory, as they were when it was opened.
 */
#ifndef FS_LISTING_H
#define FS_LISTING_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/node.h"

struct listing;

/* Lists the node, whose number is `self`. 0, or a negative errno. The caller frees *ret. */
int listing_read(struct request *request, const struct node *node, fuse_ino_t self, struct listing **ret);

/* Fills the buffer with directory entries from `offset` on, as many as fit; the bytes used. */
size_t listing_fill(const struct listing *listing, fuse_req_t req, char *buffer, size_t size, off_t offset);

/* The same, for fs/opened.h: a listing begins with a struct opened. */
void listing_close(struct opened *opened);

struct listing *listing_free(struct listing *listing); /* takes NULL, returns NULL */

#endif
