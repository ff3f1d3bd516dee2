/*
 * A file of our own in .chromafs that lines are appended to: history.jsonl, rejected.jsonl.
 *
 * - Made in the stage and given its name with a rename, so that a crash of root can't leave one that its owner may not open.
 * - A stranger's input: it must be a plain file with one name, and of one of us, so that a link can't make us append to, or show, a file elsewhere: else -EPERM.
 */
#ifndef OPS_OPERATION_OWN_FILE_H
#define OPS_OPERATION_OWN_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "ops/error.h"
#include "ops/operation/state_dir.h"

struct own_file {
        const char *name;   /* in .chromafs */
        const char *staged; /* in its stage, with STAGE_TEMPORARY in front */
};

/* "… can't be WHAT: …" */
int own_file_fail(const struct own_file *file, int err, const char *what, struct error *e);

/* Opens it for reading and appending, made where it is missing. The descriptor, and *ret_size. */
int own_file_open(const struct own_file *file, struct state_dir *state, uint64_t *ret_size, struct error *e);

/* Whether an open file may be what we made, and its size. */
int own_file_check(const struct own_file *file, const struct state_dir *state, int fd, uint64_t *ret_size, struct error *e);

/* An empty file in the stage, for own_file_replace(); when that is not called the caller calls own_file_drop(). */
int own_file_stage(const struct own_file *file, struct state_dir *state, struct error *e);
int own_file_replace(const struct own_file *file, struct state_dir *state,
                     struct error *e); /* gives it the name, synced; a failure drops it */
void own_file_drop(const struct own_file *file, struct state_dir *state);

/* Writes all at the end; a failure may leave a part of it. */
int own_file_write(const struct own_file *file, int fd, const char *bytes, size_t len, struct error *e);

/* Syncs it. */
int own_file_sync(const struct own_file *file, int fd, struct error *e);

#endif
