/*
 * One request: which view it sees, how long it waits, and when it gives up.
 *
 * - A view that can't be had (the database is locked, or damaged) leaves request->view NULL and the reason in request->error: the nodes
 *   that need none still work.
 * - An interrupt ends a wait only when it is a signal that ends the caller: a resized terminal or a child that ends does not.
 */
#ifndef FS_REQUEST_H
#define FS_REQUEST_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/node.h"

#define REQUEST_PATIENCE_MS 1000

/* Begins: `fuse` may be NULL. The caller ends it in every case. */
void request_begin(struct request *request, struct mount *mount, fuse_req_t fuse);
void request_end(struct request *request);

#endif
