/*
 * One request: which view it sees, how long it waits, and when it gives up.
 *
 * - The view is got when something needs it (request_need() in fs/node.h), so that a database that is locked or damaged keeps nobody from
 *   what needs none.
 * - An interrupt ends a wait only when it is a signal that ends the caller: a resized terminal or a child that ends does not.
 */
#ifndef FS_REQUEST_H
#define FS_REQUEST_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/node.h"

#define REQUEST_PATIENCE_MS 1000
#define REQUEST_TRIES 8           /* of a request whose view moves on while it is answered */
#define REQUEST_STREAM_WAIT_MS 50 /* in the thread of the request: then it waits in fs/waiting.h */

/* The caller ends it in every case. */
void request_begin(struct request *request, struct mount *mount, fuse_req_t fuse);
void request_end(struct request *request);

/* Whether the caller of a request was ended by a signal: of a fuse_req_t that was not answered yet. */
bool request_cancelled(void *fuse);

#endif
