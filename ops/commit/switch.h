/*
 * A new index takes the place of the old one: under a new segment id, made valid by the transaction that changes everything else (FORMAT 7).
 *
 * - The directory is staged as .chromafs/stage/<new id>, with stage/<new id>.json beside it that names both ids, and renamed to <new id> in the persist directory before
 *   the transaction. Killed before the COMMIT it is an orphan, and the note says so: tidying takes the directory of whichever id SQLite does not have to the trash.
 * - The attributes (owner, mode, ACL, xattrs) are those of the old directory and its files; where there are none, those of the persist directory and of chroma.sqlite3.
 * - The old directory stays while someone has a file of it open for writing, or may have: then the note stays too, and tidying takes the directory when nobody has.
 */
#ifndef OPS_COMMIT_SWITCH_H
#define OPS_COMMIT_SWITCH_H

#include "ops/catalog.h"
#include "ops/operation/operation.h"
#include "ops/operation/write_db.h"

struct commit_switch;

/* Makes the note and the empty stage directory with a new id. `segment` is the vector segment, whose id is a UUID. *ret is the caller's. */
int commit_switch_begin(struct operation *op, const struct segment *segment, struct commit_switch **ret);
int commit_switch_fd(const struct commit_switch *s);         /* of the new directory */
const char *commit_switch_id(const struct commit_switch *s); /* the new id */

/* Renames it into the persist directory, gives it and its files their attributes, and syncs them. -EPERM when it can't have those. */
int commit_switch_place(struct commit_switch *s, struct error *e);

/* Inside the transaction: segments.id, segment_metadata.segment_id, max_seq_id.segment_id. -ESTALE when the old id is not there any more. */
int commit_switch_write(struct commit_switch *s, struct write_db *w, struct error *e);

/* After the COMMIT, with no connection open for writing: the old directory goes to the trash, and the note goes. *ret_left: the directory is still there (also on failure). */
int commit_switch_end(struct commit_switch *s, bool *ret_left, struct error *e);

/* Without an end: the new directory and the note go, unless the COMMIT may have come to pass: SQLite is asked. Close the connection for writing before. */
struct commit_switch *commit_switch_free(struct commit_switch *s);
DEFINE_CLEANUP(struct commit_switch *, commit_switch_free)

/* For tidying: does what the note `name` in stage/ asks for. 1 when it is one (and stays perhaps, until nobody has the directory open), 0 when it is none of ours. */
int commit_switch_tidy(struct state_dir *state, const char *name, struct error *e);

#endif
