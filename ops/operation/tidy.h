/*
 * What an operation that was killed has left in a persist directory.
 *
 * It only ever moves files of ours that lost (what is in stage/) to the trash, and empties old trash; it never puts an older file or row back. SQLite itself rolls a
 * torn transaction back.
 */
#ifndef OPS_OPERATION_TIDY_H
#define OPS_OPERATION_TIDY_H

#include <stdbool.h>

#include "ops/operation/operation.h"
#include "ops/operation/state_dir.h"

/* Whether there is anything to tidy: without changing anything. */
bool tidy_is_needed(int persist_fd);

/* Tidies, under the directory's lock, after the guard. 0 when there was nothing. */
int tidy(struct state_dir *state, struct error *e);

/* The part of it that other operations need done before them: stage/ only. */
int tidy_stage(struct state_dir *state, struct error *e);

/* The same as an operation, which a front end runs when it begins to serve a directory; with someone else in the directory it does nothing, and succeeds. */
extern const struct operation_type operation_tidy;

#endif
