/*
 * Directories in a persist directory that no segment owns: what deleted collections leave (FORMAT 2, end).
 *
 * An orphan is a directory with a UUID's name that holds header.bin and is the id of no segment. A directory with a UUID's name and no
 * segment that lacks header.bin is listed too, as one that will not be removed. Nothing else is looked at: backups of other tools and
 * files of the user are none of our business.
 *
 * The directory is listed after the catalog was read: what a live Chroma has made in between looks like an orphan. Who removes one must
 * look again while nobody can write.
 */
#ifndef OPS_ORPHANS_H
#define OPS_ORPHANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/cleanup.h"
#include "ops/error.h"

#define ORPHANS_MAX 100000

struct orphan {
        char name[37];
        bool removable;
        const char *reason; /* static sentence: why it is taken for an orphan, or why not */
};

struct orphans {
        struct orphan *list; /* sorted by name */
        size_t count;
};

/* Lists them. The caller clears. -E2BIG when there are more than ORPHANS_MAX. */
int orphans_read(int persist_fd, const struct catalog *catalog, struct orphans *ret, struct error *e);
void orphans_clear(struct orphans *orphans);

#endif
