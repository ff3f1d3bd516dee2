/*
 * What state_dir.c and trash.c share.
 */
#ifndef OPS_OPERATION_STATE_DIR_PARTS_H
#define OPS_OPERATION_STATE_DIR_PARTS_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "ops/operation/state_dir.h"

struct state_dir {
        int persist_fd, fd, stage_fd, trash_fd;
        dev_t dev;              /* of the persist directory */
        uid_t uid, persist_uid; /* of chroma.sqlite3, of the persist directory */
        gid_t gid;
};

/* Opens the directory `name` beneath `parent` when it is one of ours; `shown` is its path for sentences. A descriptor, -ENOENT without a sentence, -EPERM, … */
int state_dir_open_ours(const struct state_dir *state, int parent, const char *name, const char *shown, struct error *e);

/* Makes it, and syncs it. A descriptor, -EEXIST without a sentence, or another failure, after which it is not there. */
int state_dir_make(const struct state_dir *state, int parent, const char *name, const char *shown, struct error *e);

/* The folders of the trash: 20261122T230000Z, or 20261122T230000Z-2 and so on, and what each has for a description. */
#define TRASH_JSON "trash.json"
#define TRASH_SAME_MAX 9999 /* folders of one second, or files of one name */
#define TRASH_NAME_SIZE 32
#define TRASH_TIME_LENGTH 16 /* of 20261122T230000Z */

/* The name of this second's first folder: TRASH_TIME_LENGTH characters. -ERANGE when the year has not four digits. */
int trash_format_name(time_t time, char name[TRASH_NAME_SIZE], struct error *e);

/* Whether the name is of our form, and its time. */
bool trash_parse_name(const char *name, time_t *ret);

#endif
