/*
 * What a persist directory holds that a backup has to have, with the stamps of one listing.
 *
 * - Everything but: .chromafs/, the database and SQLite's files beside it (the database is copied through SQLite), the manifest of a backup
 *   that this directory was restored from, and what can't be copied: sockets, FIFOs, devices, and directories on other file systems that
 *   are no segment's. The latter are listed, with the reason.
 * - Below a directory with a UUID's name everything belongs to a segment (an orphan too): its state matters. All else is the user's: it is copied
 *   as it is found.
 * - Links are recreated as links, and not followed.
 * - Sorted by path, so that a directory comes before what is in it.
 */
#ifndef OPS_OPERATION_BACKUP_TREE_H
#define OPS_OPERATION_BACKUP_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"
#include "ops/file.h"
#include "ops/operation/file_copy.h"

#define BACKUP_MANIFEST "chromafs-manifest.json"
#define BACKUP_DEPTH_MAX 32
#define BACKUP_ENTRIES_MAX 4000000

enum backup_kind { BACKUP_DIR, BACKUP_FILE, BACKUP_LINK, BACKUP_LEFT_OUT };

struct backup_entry {
        char *path; /* relative */
        enum backup_kind kind;
        bool segment;
        const char *reason; /* of BACKUP_LEFT_OUT; static */
        struct file_stamp stamp;
        bool copied;  /* in the state of `stamp` */
        bool gone;    /* a user's file that went away before it was copied */
        bool unowned; /* the copy could not be given its owner */
        bool hashed;  /* copy.sha256 is set */
        struct file_copy copy;
};

struct backup_tree {
        struct backup_entry *entries;
        size_t count, capacity;
        int64_t begun_ns; /* by the clock that stamps files, before the first was looked at */
};

/* Lists it. -EACCES for a directory that can't be read, -E2BIG, -ELOOP too deep, -ECANCELED. The caller clears. */
int backup_tree_read(int persist_fd, db_cancel_fn *cancelled, void *context, struct backup_tree *ret, struct error *e);
void backup_tree_clear(struct backup_tree *tree);

/* Marks what `before` has copied in the same state, and takes over how. Calls `stale` with each entry of `before` that is no longer there or
   became something else, the deepest first. */
typedef void backup_stale_fn(void *context, const struct backup_entry *entry);
void backup_tree_take_over(struct backup_tree *tree, const struct backup_tree *before, backup_stale_fn *stale, void *context);

/* Whether the segments are the same, with the same files in the same state. */
bool backup_tree_same_segments(const struct backup_tree *a, const struct backup_tree *b);

/* Whether a change of the file after it was listed could leave the stamp as it is: it was changed in the same tick of the clock that stamps files. */
bool backup_tree_is_racy(const struct backup_tree *tree, const struct file_stamp *stamp);

/* Whether the segments are between two persists, as far as their stamps can tell: none is racy, and where an index was written less than INDEX_QUIET_NS
   ago its pickle was written last, and the database after it. */
bool backup_tree_settled(const struct backup_tree *tree, const struct file_stamp *database);

/* Whether all of the segments was written before the last commit, as far as their stamps can tell: not by a transaction that is open. */
bool backup_tree_is_older(const struct backup_tree *tree, const struct file_stamp *database);

/* Bytes that copies of all files take at most; holes are not counted. */
uint64_t backup_tree_bytes(const struct backup_tree *tree);
uint64_t backup_tree_files(const struct backup_tree *tree);

#endif
