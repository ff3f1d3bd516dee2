/*
 * What the kernel knows of the tree: inodes, by number.
 *
 * - A directory or link has one inode. A file has one per generation: the number is a hash of the node and of the state of its contents, so that the
 *   kernel's pages of one state are never mixed with those of another, numbers survive a remount, and an open file keeps its moment.
 * - An inode lives as long as the kernel has looked it up more often than it has forgotten it; requests work on copies.
 * - The stream of a wal.jsonl's generation is kept as long as its inode.
 * - The contents of recently looked-up files are kept (INODES_CONTENT_MAX bytes in all), so that the open that follows a lookup has the bytes whose
 *   size the lookup told. One that was dropped is made again, and is the same or gives ESTALE, upon which the kernel looks up again.
 * - Thread-safe.
 */
#ifndef FS_INODES_H
#define FS_INODES_H

#include <stdint.h>
#include <sys/stat.h>

#include "fs/node.h"
#include "ops/wal/index.h"

#define INODES_CONTENT_MAX (16u << 20)

struct content { /* of a file or link: bytes, or a stream */
        struct result shared;
        struct text text;
        struct wal_stream *stream;
};

struct content *content_new(struct text *text); /* takes the bytes over; NULL without memory, and then they are freed */
struct content *content_of_stream(struct wal_stream *stream); /* as above: takes the reference over */
struct content *content_put(struct content *content);         /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct content *, content_put)

struct inode_info { /* a copy of what an inode says */
        struct node node;
        uint64_t state;
        int failure; /* negative errno: the file is there, but its contents can't be had */
        struct stat attributes;
};

struct inodes;

struct inodes *inodes_new(void); /* NULL without memory; holds the root, whose number is 1 */
struct inodes *inodes_free(struct inodes *inodes);

/* The inode for info's node and state, made when there is none, looked up once more. Sets info->attributes.st_ino and stores the attributes.
   `content` (may be NULL) is kept for the next open. 0 or -ENOMEM. */
int inodes_look_up(struct inodes *inodes, struct inode_info *info, struct content *content);

void inodes_forget(struct inodes *inodes, uint64_t number, uint64_t lookups);

/* Copies what the inode says. False when there is no such number. */
bool inodes_info(struct inodes *inodes, uint64_t number, struct inode_info *ret);

/* Gives an inode without contents these. True when they are its own now, or it has others already. */
bool inodes_settle(struct inodes *inodes, uint64_t number, struct content *content);

/* The contents that are kept for it, as a reference, or NULL. */
struct content *inodes_content(struct inodes *inodes, uint64_t number);

/* A number for the node in this state: its inode's, unless another one has it already. */
uint64_t inode_number(const struct node *node, uint64_t state);

#endif
