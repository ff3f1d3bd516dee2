/*
 * A new file that is written from its beginning to its end, in large parts, and synced.
 *
 * What was written is handed to the disk while the next part is being written, so that little is dirty at any time and the sync at the end is short.
 */
#ifndef OPS_HNSW_SAVE_FILE_H
#define OPS_HNSW_SAVE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"

struct save_file {
        int fd;
        const char *name;        /* for sentences; not copied */
        uint64_t offset;         /* of the next byte */
        uint64_t handed;         /* bytes that the disk was told to write */
        unsigned char *buffer;   /* SAVE_BUFFER bytes, for what comes in small pieces */
        size_t used;             /* of the buffer */
        db_cancel_fn *cancelled; /* may be NULL; asked for each part */
        void *context;
};

#define SAVE_BUFFER ((size_t) 256 << 10)

/* Makes `name` in dirfd: -EEXIST. The caller calls save_file_close, whatever happens. */
int save_file_open(struct save_file *f, int dirfd, const char *name, db_cancel_fn *cancelled, void *context, struct error *e);

/* Makes it `size` bytes long, zeros, with room on the disk where the file system can: what is put then overwrites them. -ENOSPC with the figure. */
int save_file_reserve(struct save_file *f, uint64_t size, struct error *e);

/* The next bytes. Few are gathered; many are written at once, without a copy. -ENOSPC, -EIO, -EINTR (cancelled) … */
int save_file_put(struct save_file *f, const void *bytes, size_t len, struct error *e);

/* Writes what is left, and waits until the disk has it all. */
int save_file_finish(struct save_file *f, struct error *e);

void save_file_close(struct save_file *f); /* of a zeroed one with fd -1 too */

#endif
