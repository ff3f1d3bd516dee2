/*
 * An open wal.jsonl: reads of any offset out of one stream, rendered ahead of a reader that goes from one byte to the next.
 *
 * - What was rendered is kept for as long as a reader is likely to want it (ops/wal/spans.h).
 * - Thread-safe; counted, since the reader may close it while something is read ahead.
 */
#ifndef OPS_WAL_FILE_H
#define OPS_WAL_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ops/wal/reader.h"
#include "ops/wal/wal.h"

#define WAL_READ_SPANS 16

struct wal_file;

/* Takes a reference to the stream; wal must outlive the file. */
int wal_file_open(struct wal *wal, struct wal_stream *stream, struct wal_file **ret, struct error *e);
struct wal_file *wal_file_get(struct wal_file *file);
struct wal_file *wal_file_put(struct wal_file *file); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct wal_file *, wal_file_put)

struct wal_read {                               /* what a read gives: its bytes where they stand */
        struct wal_span *spans[WAL_READ_SPANS]; /* references */
        struct iovec pieces[WAL_READ_SPANS];
        int count; /* 0: at or behind the end */
        size_t len;
};

/* Up to `size` bytes from `offset` on: less at the end, before a row that is not there any more, and when they come in too many pieces. -ESTALE when the row of the first byte has left or
   was changed, or when the offset is at the end of a stream that has no future; -EINTR; a failure of the database. Clear what comes. */
int wal_file_read(struct wal_file *file, uint64_t offset, size_t size, db_cancel_fn *cancelled, void *context, struct wal_read *ret,
                  struct error *e);
void wal_read_clear(struct wal_read *read);

/* Whether the file is of the generation that whoever opens it now gets: a row that is not there any more is then missing in what was measured last. */
bool wal_file_is_latest(const struct wal_file *file);

/* Has all measured anew, because of what the file gives. */
void wal_file_refute(struct wal_file *file);

/* After a read was answered: renders what comes next if the reader seems to go on, and has not got that far. */
void wal_file_ahead(struct wal_file *file);

#endif
