/*
 * The file rejected.jsonl itself: opened, read by lines, appended to (reject.h).
 */
#ifndef OPS_COMMIT_REJECT_FILE_H
#define OPS_COMMIT_REJECT_FILE_H

#include <stdint.h>
#include <xxhash.h>

#include "ops/db.h"
#include "ops/operation/state_dir.h"

struct reject_file {
        int fd;
        uint64_t size; /* in bytes, as it was found, or as it was cut */
        uint64_t tail; /* where the last line begins that has no newline; size: there is none */
        uint64_t torn; /* where what a scan found unsynced begins; size: there is none */
        bool zeros;    /* in the line that is read */
        XXH3_state_t *hash;
};

/* Opens it, made where it is missing, owned like the directory. The caller closes what comes. */
int reject_file_open(struct state_dir *state, struct reject_file *ret, struct error *e);
void reject_file_close(struct reject_file *file);

/*
 * Calls `line` with the hash of each line, its newline in it; of the last one as if it had one; it returns whether the line is one that the caller writes now. -ECANCELED when db's
 * caller wants to wait no longer.
 *
 * Zeros are no JSON: where a machine lost its power while lines were appended, they stand for a write that did not arrive, while one behind it did. Such a line, and what follows it of
 * the caller's lines and of other such ones, to the end of the file, is torn.
 */
typedef bool reject_line_fn(void *context, XXH128_hash_t hash);
int reject_file_scan(struct reject_file *file, struct db *db, reject_line_fn *line, void *context, struct error *e);

/* The first bytes of the tail, as text. */
#define REJECT_TAIL_MAX 40
int reject_file_tail(const struct reject_file *file, char ret[REJECT_TAIL_MAX], struct error *e);

/* Takes away what begins there: the tail, or what is torn. */
int reject_file_cut(struct reject_file *file, uint64_t size, struct error *e);

/* Writes at the end. */
int reject_file_append(const struct reject_file *file, const char *bytes, size_t len, struct error *e);
int reject_file_sync(const struct reject_file *file, struct error *e);

/* Back to file->size, after what failed with `r`: its errno and sentence, with more when this failed too. */
int reject_file_undo(const struct reject_file *file, int r, struct error *e);

#endif
