/*
 * What was rendered last, of all open files together: so much and no more, whatever is open.
 *
 * Thread-safe.
 */
#ifndef OPS_WAL_SPANS_H
#define OPS_WAL_SPANS_H

#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/error.h"
#include "ops/wal/reader.h"

#define WAL_SPANS_BYTES (24u << 20)
#define WAL_SPANS_COUNT 64

struct wal_spans;

int wal_spans_new(struct wal_spans **ret, struct error *e);

/* The span of a file (any number of the caller's) that holds the offset: a reference, or NULL. */
struct wal_span *wal_spans_find(struct wal_spans *spans, uint64_t file, uint64_t offset);

/* Keeps a reference to it, and forgets what was not used for the longest time. One that is larger than a quarter of all is not kept. */
void wal_spans_keep(struct wal_spans *spans, uint64_t file, struct wal_span *span);

/* Forgets those of a file that end at or before an offset: who reads on does not come back. */
void wal_spans_pass(struct wal_spans *spans, uint64_t file, uint64_t offset);

/* Forgets those of a file. */
void wal_spans_drop(struct wal_spans *spans, uint64_t file);

struct wal_spans *wal_spans_free(struct wal_spans *spans); /* takes NULL, returns NULL */

#endif
