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
        XXH3_state_t *hash;
};

/* Opens it, made where it is missing, owned like the directory. The caller closes what comes. */
int reject_file_open(struct state_dir *state, struct reject_file *ret, struct error *e);
void reject_file_close(struct reject_file *file);

/* Calls `line` with the hash of each line, its newline in it; of the last one as if it had one. -ECANCELED when db's caller wants to wait no longer. */
typedef void reject_line_fn(void *context, XXH128_hash_t hash);
int reject_file_scan(struct reject_file *file, struct db *db, reject_line_fn *line, void *context, struct error *e);

/* The first bytes of the tail, as text. */
#define REJECT_TAIL_MAX 40
int reject_file_tail(const struct reject_file *file, char ret[REJECT_TAIL_MAX], struct error *e);

/* Takes the tail away. */
int reject_file_cut(struct reject_file *file, struct error *e);

/* Writes at the end. */
int reject_file_append(const struct reject_file *file, const char *bytes, size_t len, struct error *e);
int reject_file_sync(const struct reject_file *file, struct error *e);

/* Back to file->size, after what failed with `r`: its errno and sentence, with more when this failed too. */
int reject_file_undo(const struct reject_file *file, int r, struct error *e);

#endif
