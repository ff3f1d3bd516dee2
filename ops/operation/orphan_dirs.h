/*
 * Directories that no segment owns (ops/orphans.h), and which of them may go: those that nobody holds open and nobody has written
 * to for a while.
 *
 * - Held open: a process has one of the index's files open for writing, told by a read lease on it (FUSE, "Who has the directory
 *   open").
 * - Taken one by one, each in one rename; what fails gives those back that were taken before it.
 */
#ifndef OPS_OPERATION_ORPHAN_DIRS_H
#define OPS_OPERATION_ORPHAN_DIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/error.h"
#include "ops/file.h"
#include "ops/operation/state_dir.h"

#define ORPHAN_DIR_AGE_S 60 /* since the newest mtime of it and its files */

struct orphan_dir {
        char name[37];
        struct file_stamp stamp;
        uint64_t bytes, files; /* apparent size of its files, and how many there are */
        const char *stays;     /* static sentence: why it stays; NULL: it goes */
        bool taken;
};

struct orphan_dirs {
        struct orphan_dir *list; /* sorted by name */
        size_t count;
};

/* Finds and judges them. `certain`: what no detector can tell about stays (where no guard has vouched for the directory). The
   caller clears. */
int orphan_dirs_find(int persist_fd, const struct catalog *catalog, bool certain, struct orphan_dirs *ret, struct error *e);
void orphan_dirs_clear(struct orphan_dirs *dirs);

/* How many go. */
size_t orphan_dirs_count(const struct orphan_dirs *dirs);

/* Judges dirs->list[i] again, as it is now, and moves it to the trash unless it has to stay. Call it inside a write transaction
   that began with the change counter of the catalog: then no segment can have got its name. */
int orphan_dirs_take(struct orphan_dirs *dirs, size_t i, int persist_fd, bool certain, struct trash *trash, struct error *e);

/* Moves back what was taken. 0, or the first failure, with a sentence that says where the directory is. */
int orphan_dirs_give_back(struct orphan_dirs *dirs, int persist_fd, const struct trash *trash, struct error *e);

#endif
