/*
 * A read-only SQLite VFS over one directory descriptor: what lets chromafs read a database without ever writing a byte.
 *
 * - Opens exactly one file, by name beneath the directory's descriptor, O_RDONLY, with the rules of ops/file.h (no links, a regular
 *   file). Every write, truncate, sync or delete that SQLite might ask for is refused with SQLITE_READONLY; no temporary files.
 * - Takes SQLite's own SHARED lock (PENDING and SHARED bytes of the unix VFS) as open-file-description locks: they exclude the POSIX locks of every
 *   other process and of other connections of this one, and are not lost when some other descriptor of the file is closed. (The reverse doesn't
 *   hold: closing ours drops the POSIX locks that an ordinary SQLite connection of this process has on the file. Close first, then write.)
 * - A hot journal (a writer died inside its transaction: the journal is there with a valid header, and nobody holds RESERVED) is not
 *   rolled back but overlaid: when the SHARED lock is taken the before-images of the journal are indexed, and reads of those pages and
 *   of the file's size answer what a roll-back would leave. The file stays as it is. Format: https://www.sqlite.org/fileformat2.html section 3.
 * - A database in WAL mode is not for this VFS (no Chroma makes one): see db_open.
 */
#ifndef OPS_VFS_H
#define OPS_VFS_H

#include <stdbool.h>

#include "ops/cleanup.h"
#include "ops/error.h"
#include "ops/file.h"

struct read_vfs;

/* Registers a VFS of its own (not the default) for files beneath dirfd, which it duplicates. *ret is the caller's; it must outlive every
   connection opened with it. 0 or -ENOMEM, -EMFILE, ... */
int read_vfs_new(int dirfd, struct read_vfs **ret, struct error *e);

/* The name to give to sqlite3_open_v2. */
const char *read_vfs_name(const struct read_vfs *vfs);

/* The sentence of the last failure inside the VFS (SQLite itself only hands on a code), or "" ; not thread-safe, one connection at a time. */
const char *read_vfs_error(const struct read_vfs *vfs);

/* The negative errno of that failure, 0 when there was none. */
int read_vfs_errno(const struct read_vfs *vfs);

/* Forgets the last failure, so that the next one can't be taken for it. */
void read_vfs_clear_error(struct read_vfs *vfs);

/* True when the one who waits wants to wait no longer: asked while a hot journal, which may be as large as the database, is indexed. */
typedef bool read_vfs_cancel_fn(void *context);
void read_vfs_set_cancel(struct read_vfs *vfs, read_vfs_cancel_fn *cancelled, void *context);

/* Stamp of the file that is open, by its descriptor; absent when none is. */
struct file_stamp read_vfs_stamp(const struct read_vfs *vfs);

/* True while the SHARED lock is held and a hot journal is overlaid. */
bool read_vfs_is_hot(const struct read_vfs *vfs);

struct read_vfs *read_vfs_free(struct read_vfs *vfs); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct read_vfs *, read_vfs_free)

#endif
