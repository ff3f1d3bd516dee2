/*
 * .chromafs/rejected.jsonl: rows of the log that can't be applied, or not wholly, in the format of wal.jsonl, so that an import can read them back.
 *
 * - Appended and synced before any position passes them. A commit that is killed or rolled back afterwards rejects them again at its next run: a line that stands in the file is not
 *   written twice. (A line has the row's seq_id, created_at and topic in it: one that is equal is the same row.)
 * - The file is ours alone, like history.jsonl: a link, a second name of another file, or someone else's file is -EPERM. Nothing that stands in it is changed or taken away, but for what
 *   a crash left at its end, and only when those rows are written now: the beginning of a line, or zeros in place of one and the lines behind them.
 * - No memory grows with the length of a row; 32 bytes are needed for each row, and the sentences of the first REJECTS_WHY_MAX are kept.
 */
#ifndef OPS_COMMIT_REJECT_H
#define OPS_COMMIT_REJECT_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/db.h"
#include "ops/error.h"
#include "ops/operation/state_dir.h"

#define REJECTED_FILE "rejected.jsonl"
#define REJECTS_WHY_MAX 100u

struct commit_rejects; /* rows that were found, in order */

struct commit_rejects *commit_rejects_new(void); /* NULL: no memory */
/* In the order of seq_id; the same one again is no other. `why` is copied. 0 or -ENOMEM. */
int commit_rejects_add(struct commit_rejects *rejects, int64_t seq_id, const char *why, struct error *e);
size_t commit_rejects_count(const struct commit_rejects *rejects);
/* The first `most`, and no more than REJECTS_WHY_MAX, as [{"seq_id", "why"}], for the result. NULL: no memory. */
struct json_object *commit_rejects_json(const struct commit_rejects *rejects, size_t most);

/* Renders the rows from the table and appends them, synced; nothing when there are none. *ret_written: how many were new. Outside of a transaction of db: it makes its own, short
   ones. After a failure the file is as it was. -ESTALE when a row has left the log, or is another one than before: plan again. -ECANCELED or -EINTR, -EPERM, -ENOSPC, … */
int commit_rejects_write(const struct commit_rejects *rejects, struct db *db, struct state_dir *state, size_t *ret_written,
                         struct error *e);

struct commit_rejects *commit_rejects_free(struct commit_rejects *rejects);
DEFINE_CLEANUP(struct commit_rejects *, commit_rejects_free)

#endif
