/*
 * The write-ahead log of a persist directory, measured and kept up to date by a thread of its own.
 *
 * - Measuring begins at once, with what the cache still knows (ops/wal/store.h). Afterwards the thread works when someone asks for a moment that it has not
 *   seen yet: it reads what is new, and looks what has left (ops/wal/meter.h).
 * - When what is known can't be true any more (another content under a known seq_id), all is measured anew, in a new index. Streams of the
 *   old one still give the rows that have not changed, but nothing behind their end.
 * - Thread-safe, all of it.
 */
#ifndef OPS_WAL_WAL_H
#define OPS_WAL_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"
#include "ops/wal/index.h"
#include "ops/wal/pool.h"
#include "ops/wal/spans.h"

struct wal;

struct wal_place {        /* where the measure is kept */
        int dirfd;        /* a directory for such files, or -1: in memory */
        const char *name; /* of the file in it */
        uint64_t subject; /* tells persist directories apart */
};

/* Starts the thread (call it after any fork). Both descriptors are duplicated. With `later` measuring begins when it is first asked for. */
int wal_new(int dirfd, const struct wal_place *place, bool later, struct wal **ret, struct error *e);
struct wal *wal_free(struct wal *wal); /* takes NULL, returns NULL */

/* The index as it was at `moment` or later: moments are numbers that grow (a view's generation), and the log has been looked at for one when that began after its number was first
   heard of. Waits for it until until_ms (clock_ms(); INT64_MAX: for ever), and no longer than `cancelled` allows. 0 with *ret a reference (the
   caller puts it), and *ret_current false when it is of an older moment, or NULL when the log was never measured whole; the failure of
   the measuring that was waited for; -EINTR. */
int wal_current(struct wal *wal, uint64_t moment, int64_t until_ms, db_cancel_fn *cancelled, void *context, struct wal_index **ret,
                bool *ret_current, struct error *e);

/* Which collections no root stream shows; when they are others than before, all is measured anew. `keys` is copied. 0 or -ENOMEM. */
int wal_hide(struct wal *wal, const uint64_t *keys, size_t count, struct error *e);

/* What was measured turned out not to be so: measures anew. Nothing happens when `index` is not the present one. */
void wal_refute(struct wal *wal, const struct wal_index *index);

/* Grows whenever measuring begins anew. */
uint64_t wal_epoch(struct wal *wal);

/* Whether the index is still being kept up to date. */
bool wal_is_present(struct wal *wal, const struct wal_index *index);

/* How much of the log is measured, from 0 to 1: 1 as soon as it has been measured whole once. */
double wal_measured(struct wal *wal);

/* Counts the files that are open: as long as there are any, nothing is measured anew only to save room. */
void wal_count_file(struct wal *wal, int change);

/* The connections that render, and what they rendered last. */
struct wal_pool *wal_pool_of(struct wal *wal);
struct wal_spans *wal_spans_of(struct wal *wal);

#endif
