/*
 * From a node to what the kernel is told of it: attributes, contents and the state that names its generation.
 */
#ifndef FS_CONTENTS_H
#define FS_CONTENTS_H

#include "fs/inodes.h"
#include "fs/node.h"

/* Everything about a node at this moment. *ret_content is the bytes of a file or the target of a link (the stream of a wal.jsonl; NULL for others, and for a file whose contents can't be
   had: ret->failure says why). 0; -ENOENT: there is no such node any more; -ESTALE: begin the request again; -EINTR. */
int contents_read(struct request *request, const struct node *node, struct inode_info *ret, struct content **ret_content);

#endif
