/*
 * Owner, mode and mtime of a node: from the files that it is made from (`sources` of its row).
 *
 * - Owner and group are those of chroma.sqlite3, or of the file itself for a raw file. A class of users may read what it may read in
 *   every source; where owner or group of a source differ, the stricter of the classes that they could be in counts.
 * - Under allow_other every directory above the sources counts too: who can't search it can't read what is below. Where that can't be
 *   told, or an ACL is there, only the owner reads.
 * - mtime is the newest mtime or ctime of the sources. While that second is not over yet the second before is shown, since another change
 *   may come in it, and rsync compares seconds: once the second is over, no later content has the same one.
 */
#ifndef FS_ATTRIBUTES_H
#define FS_ATTRIBUTES_H

#include <sys/stat.h>

#include "fs/node.h"

/* Fills *ret but for st_size, and for st_ino, which is that of the source of a raw file. 0, or -ENOENT when a raw file is gone. request->view may be NULL. */
int attributes_read(struct request *request, const struct node *node, struct stat *ret);

/* The mtime of contents that are not final (something was not known yet): now, so that it moves. */
void attributes_partial(struct stat *st);

#endif
