/*
 * Where a backup goes: a directory that does not exist yet, built beside its name and renamed when it is whole.
 *
 * - `<parent>/.<name>.chromafs-<16 hexadecimal digits>`, 0700, locked with flock(2) while it is built. One that is not locked was left by a
 *   run that was killed, and the next backup to the same name removes it: only directories with exactly such a name, of our own user.
 * - Never inside the persist directory, whatever links and bind mounts lead there, and never on a mount of chromafs.
 */
#ifndef OPS_OPERATION_BACKUP_TARGET_H
#define OPS_OPERATION_BACKUP_TARGET_H

#include <limits.h>

#include "ops/error.h"
#include "ops/text.h"

struct backup_target {
        int parent_fd;
        char name[NAME_MAX + 1];
        int fd; /* of the directory that is built, -1 before and after */
        char partial[NAME_MAX + 1];
};

/* Looks where `to` (absolute) leads, and changes nothing. -EINVAL inside the persist directory or on a mount of ours, -EEXIST, -ENOENT without a parent. The
   caller clears *ret, which is set in any case. */
int backup_target_find(int persist_fd, const struct text *to, struct backup_target *ret, struct error *e);

/* Removes what earlier runs left, and makes the directory. */
int backup_target_begin(struct backup_target *t, struct error *e);

/* Gives it its name and syncs its parent. All below it is synced already. -EEXIST when the name was taken meanwhile. */
int backup_target_publish(struct backup_target *t, struct error *e);

/* Removes what was not published. */
void backup_target_clear(struct backup_target *t);

#endif
