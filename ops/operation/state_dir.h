/*
 * `.chromafs/` in a persist directory: what chromafs itself keeps there.
 *
 *   stage/            files being made; what a crash leaves there is tidied (tidy.h): STAGE_TEMPORARY… removed, all else moved to the trash
 *   trash/<time>/     what operations took away, and trash.json: by which operation, when, and for how many days it is kept
 *   history.jsonl     see history.h
 *
 * - Directories are 0700, files 0600, owned by the owner and group of chroma.sqlite3.
 * - Everything in it is a stranger's input: it is a directory, no link, of our owner, on the same file system; only plain names in it are
 *   followed, and only through descriptors. Else -EPERM with a sentence, and nothing is touched.
 * - "Our owner" is the owner of chroma.sqlite3 or of the persist directory, or who we are.
 * - New names are synced with the directory that they are in.
 */
#ifndef OPS_OPERATION_STATE_DIR_H
#define OPS_OPERATION_STATE_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/error.h"

#define STATE_DIR ".chromafs"
#define STAGE_TEMPORARY "tmp." /* how names begin of files in stage/ that are worth nothing to anyone */

struct state_dir;

/* Opens it, made where missing (with stage/ and trash/). *ret is the caller's. -EPERM, -ENOSPC, … */
int state_dir_open(int persist_fd, struct state_dir **ret, struct error *e);

/* The same, where it is there already, changing nothing: *ret is NULL when it is not. The descriptors of stage/ and trash/ are -1 where they are not. */
int state_dir_look(int persist_fd, struct state_dir **ret, struct error *e);

int state_dir_fd(const struct state_dir *state);
int state_dir_stage_fd(const struct state_dir *state);
int state_dir_trash_fd(const struct state_dir *state);
int state_dir_persist_fd(const struct state_dir *state);

/* Gives what we made the owner and group of chroma.sqlite3. -EPERM where we may not; a group that the mode gives nothing to is no failure. */
int state_dir_own(const struct state_dir *state, int fd, struct error *e);

struct state_dir *state_dir_free(struct state_dir *state); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct state_dir *, state_dir_free)

/* A folder of the trash, for one operation. */
struct trash;

/* Makes trash/<time>/ (`20261122T230000Z`, in UTC; with -2, -3 … behind it when that is there) and its trash.json, synced. *ret is the caller's;
   `state` must outlive it. */
int trash_new(struct state_dir *state, const char *operation, unsigned keep_days, struct trash **ret, struct error *e);
int trash_fd(const struct trash *trash);
const char *trash_name(const struct trash *trash); /* "trash/20261122T230000Z": relative to .chromafs */

/* Moves `name` (a plain name) of the directory `from` there, in one rename, and syncs both directories. A name that is there already gets -2, -3 …
   behind it. A crash or a failure leaves it in one of the two places, whole. */
int trash_take(struct trash *trash, int from, const char *name, struct error *e);

/* The operation failed and gave everything back: removes the folder if nothing but its trash.json is in it. */
void trash_give_up(struct trash *trash);

struct trash *trash_free(struct trash *trash); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct trash *, trash_free)

/* Removes the folders whose days are over (keep=0: at once), trash.json last. Days count from the time in the folder's name, and their number is trash.json's, or
   COMMAND_KEEP_DAYS where that is missing or not of our making. Folders stay whose name is not of our making, whose time lies in the future, that belong to
   someone else, and links. One that can't be removed does not keep the others: the first failure is returned. */
int trash_expire(struct state_dir *state, struct error *e);

/* Whether trash_expire() would remove any: changes nothing. */
bool trash_is_due(const struct state_dir *state);

/* Removes everything below `name` (a plain name) beneath dirfd, and itself: no link is followed, and no file system is left (-EXDEV). -ENOENT when it is not there.
   Goes on behind what can't be removed, and returns the first failure. Deeper than TREE_DEPTH_MAX: -ELOOP. Not synced. */
int tree_remove(int dirfd, const char *name, struct error *e);
#define TREE_DEPTH_MAX 128

/* The same with everything in the directory fd but the entry `except` (may be NULL); fd itself stays. */
int tree_empty(int fd, const char *except, struct error *e);

#endif
