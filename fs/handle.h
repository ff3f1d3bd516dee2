/*
 * Open files: what the kernel has a handle of.
 */
#ifndef FS_HANDLE_H
#define FS_HANDLE_H

#include "fs/control.h"
#include "fs/inodes.h"
#include "fs/opened.h"
#include "fs/raw.h"
#include "fs/waiting.h"
#include "ops/wal/wal.h"

struct handle { /* of an open file: one of the last four, or content and control */
        struct opened opened;
        struct content *content;
        struct raw_file *raw;
        struct wal_file *stream;
        struct control_file *control;
        bool live;
};

/* What `name` below the node, or the node itself without a name, is now; as contents_read(), in requests of its own. */
int examine(fuse_req_t req, const struct node *node, const char *name, struct inode_info *ret, struct content **ret_content);

/* Whether it has one inode whatever it shows: then nothing that it showed once is kept. */
bool is_live(const struct node_type *type);

/* What is answered to who wants to change something that can't be changed. */
int refusal(const struct mount *mount);

/* Whether a file may be opened for writing, truncated, or touched: 0, or the refusal. Doing it to a control changes nothing. */
int check_change(struct mount *mount, const struct node *node);

/* Opens the file that what->fi says; -EINPROGRESS when it has to wait for the log, or for a check. The caller closes *ret. */
int open_handle(fuse_req_t req, struct waiting_for *what, int64_t wait_ms, struct handle **ret);
void close_handle(struct opened *opened);

#endif
