/*
 * .chromafs/history.jsonl: a line of JSON for each operation that was run on the directory through chromafs.
 */
#ifndef OPS_OPERATION_HISTORY_H
#define OPS_OPERATION_HISTORY_H

#include <json-c/json.h>

#include "ops/error.h"
#include "ops/operation/state_dir.h"
#include "ops/text.h"

#define HISTORY_FILE "history.jsonl"
#define HISTORY_SIZE_MAX (16u << 20) /* beyond, the older half of the lines goes, at a line's beginning */
#define HISTORY_LINE_MAX (4u << 20)  /* a longer line is written without its result */

/* Adds the outcome as one line, synced: all of it or nothing. A line that a crash tore is ended first. Under the directory's lock. -EPERM when the file is no
   plain file of our own (a link, or someone else's), -ENOSPC, … */
int history_add(struct state_dir *state, struct json_object *outcome, struct error *e);

/* All whole lines, as they are: each an object of JSON that parses, in UTF-8; others are left out, and what is beyond the newest HISTORY_SIZE_MAX bytes.
   *ret is the caller's. No history: 0 and an empty text. */
int history_read(int persist_fd, struct text *ret, struct error *e);

#endif
