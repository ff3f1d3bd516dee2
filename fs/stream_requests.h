/*
 * What the kernel asks of a wal.jsonl: its attributes, to open it, to read. The first two can have to wait until the log is measured.
 */
#ifndef FS_STREAM_REQUESTS_H
#define FS_STREAM_REQUESTS_H

#include <stdint.h>

#include "fs/inodes.h"
#include "fs/waiting.h"
#include "ops/wal/file.h"

/* Answers, now or later. */
void stream_getattr(fuse_req_t req, fuse_ino_t number);

/* Opens the generation of the inode. -EINPROGRESS: the log was not measured within wait_ms, and `what` says for what to wait; -ESTALE: it
   is to be looked up again; or why it can't be had. */
int stream_open(fuse_req_t req, struct waiting_for *what, const struct inode_info *info, int64_t wait_ms, struct wal_file **ret);

/* Answers a read. */
void stream_reply_read(fuse_req_t req, struct wal_file *file, size_t size, off_t offset);

#endif
