/*
 * wal.jsonl: what the tree shows of the measured write-ahead log (ops/wal/).
 *
 * A stream is opened in its generation: the kernel knows each one by an inode of its own, asks for its attributes every time, and caches no
 * page of it, since a page can hold rows that have left beside rows that have not. So a shared mapping is refused by the kernel (ENODEV).
 */
#ifndef FS_STREAM_H
#define FS_STREAM_H

#include "fs/inodes.h"
#include "fs/node.h"
#include "ops/wal/file.h"
#include "ops/wal/wal.h"

/* The index as of the request's view, waiting until until_ms at most: *ret a reference, of a former moment when not *ret_current, NULL when the log was not measured yet. */
int stream_index(struct request *request, int64_t until_ms, struct wal_index **ret, bool *ret_current, struct error *e);

/* The state of an inode whose stream is not known yet: looked up before the log was measured as of the request's view. It becomes that of the generation which is
   there when its attributes are asked for, or when it is opened; the next look-up gives that generation its own inode. */
uint64_t stream_unmeasured(const struct request *request);

/* The present generation of the node's stream, and its attributes. -EINPROGRESS when the log is not measured yet as of the request's view. */
int stream_read(struct request *request, const struct node *node, struct inode_info *ret, struct wal_stream **ret_stream);

/* Puts what changes as rows are appended into the attributes of a generation. */
void stream_stat(struct wal_stream *stream, struct stat *st);

#endif
