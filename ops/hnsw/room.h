/*
 * The array of records: anonymous memory, or a file that has no name any more and is mapped.
 *
 * All of it is taken at once: a mapping of blocks that turn out to be missing would end the process with SIGBUS.
 */
#ifndef OPS_HNSW_ROOM_H
#define OPS_HNSW_ROOM_H

#include <stddef.h>

#include "ops/error.h"

struct hnsw_room {
        unsigned char *bytes;
        size_t size;
        int fd; /* -1: anonymous */
};

/* dirfd: a directory for the file, or -1. -ENOMEM or -ENOSPC with how much there is, and how much is needed. */
int hnsw_room_open(int dirfd, size_t size, struct hnsw_room *ret, struct error *e);

/* Larger, with the bytes that are in it; they may move. As it was when that fails. */
int hnsw_room_grow(struct hnsw_room *room, size_t size, struct error *e);
void hnsw_room_close(struct hnsw_room *room); /* of a zeroed one too */

#endif
