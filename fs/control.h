/*
 * Writing to controls: from the bytes of a write to an operation, and back to an errno and a sentence.
 *
 * - One write is one command, whatever its offset; it is answered when the operation has ended. Only flush and close could be answered later, and what they say
 *   is lost on shells: so nothing is done there, and opening or truncating runs nothing.
 * - The kernel holds the inode's lock during a write: another writer of the same control waits. A writer of another one gets EBUSY.
 * - What is no command of its own, but a second try or the rest of a line, runs nothing: fs/written.h.
 * - The sentence of a failure is what last_error shows (fs/operations.h).
 */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/node.h"

#define CONTROL_PATH_SIZE (2 * NODE_KEY_SIZE)

struct control_write { /* one write, as a store function of the node table gets it */
        fuse_req_t req;
        struct request *request;
        const struct node *node;
        struct text line;
};

struct control_file; /* an open control */

struct control_file *control_open(const struct node *node);    /* NULL without memory */
struct control_file *control_close(struct control_file *file); /* takes NULL, returns NULL */

/* Does what the bytes say, and replies. */
void control_reply_write(fuse_req_t req, struct control_file *file, const char *bytes, size_t size, off_t offset);

/* Remembers for last_error why a node that is no control can't be written to. */
void control_refuse(struct mount *mount, const struct node *node, int code);

/* Where the node of a static entry is, below the mount point. */
void control_path(const struct node *node, char ret[CONTROL_PATH_SIZE]);

/* Store functions of the node table. */
int store_operation(struct control_write *write, struct error *e); /* runs node->type->operation */
int store_setting(struct control_write *write,
                  struct error *e); /* runs it with the node's name and the line as an option; nothing when it is so already */
int store_cancel(struct control_write *write, struct error *e); /* stops what runs */

/* Tidies what a crash has left, in the thread that calls. */
void control_tidy(struct mount *mount);

#endif
