/*
 * SQLite's unix VFS with its reach cut down to one directory: what write_db.c changes a stranger's database through.
 *
 * - Files are opened, written, locked and synced by SQLite's own code; only how names are found differs. Names are relative to the
 *   working directory, so that a directory that is renamed keeps its journal beside its database.
 * - Three names are let through: the database, its journal, and (to look whether it is there) its WAL. A hot journal can name a
 *   super-journal anywhere, which SQLite would read and delete: here that is an error.
 * - What is opened by name must be a regular file: no link, and no FIFO that would block.
 * - Temporary files go where write_vfs_new() says.
 * - From the first one on, SQLite in this process gives files to the owner of the database only when it has just made them.
 */
#ifndef OPS_OPERATION_WRITE_VFS_H
#define OPS_OPERATION_WRITE_VFS_H

#include <stdbool.h>

#include "ops/cleanup.h"
#include "ops/error.h"

struct write_vfs;

/* Registers a VFS of its own (not the default). `temporary_fd` is the directory for temporary files, which the caller keeps open;
   -1: the working directory. *ret is the caller's, and must outlive every connection opened with it. 0 or -ENOMEM. */
int write_vfs_new(int temporary_fd, struct write_vfs **ret, struct error *e);

/* The name to give to sqlite3_open_v2. */
const char *write_vfs_name(const struct write_vfs *vfs);

/* Moves the refusal that SQLite only knows as a code, if there was one, to *e (may be NULL): its negative errno, or 0. */
int write_vfs_take_error(struct write_vfs *vfs, struct error *e);

/* The errno of the first write, truncation or sync that failed since it was last asked for, 0 when none did: SQLite's own has been
   overwritten by its roll-back when a COMMIT returns. */
int write_vfs_take_errno(struct write_vfs *vfs);

struct write_vfs *write_vfs_free(struct write_vfs *vfs); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct write_vfs *, write_vfs_free)

#endif
