/*
 * The measured write-ahead log: which rows there are, of which collection, and where in each wal.jsonl their lines stand, by block
 * and not by row.
 *
 * - Units (ops/wal/store.h) are only ever appended; a unit's position is its number since the beginning. Rows leave from the front
 *   of their collection (Chroma's purge), or with the whole collection: that moves the collection's first live position, and
 *   changes no unit.
 * - A stream is one generation of a wal.jsonl: of one collection, or of the root (every row, in the order of the units). An offset
 *   in it means the same byte for ever; rows that are appended stand behind; rows that leave keep their place (their units are
 *   given as before, whether the table still has them is not known here). When rows leave, the next wal_index_stream() is another
 *   generation, in which they have no place.
 * - Hidden collections (-o skip) are in no root stream, and in no total.
 * - The last block is held here until it is full, or wal_index_flush() writes it to the store. A large row is seen when its last
 *   piece has come, not before.
 * - Memory: 24 bytes for each block, and 16 for each collection that has units in it; of rows that left, too.
 * - Any number of threads read while one writes (append, drop, flush): a lock inside. Reading a block happens outside of it.
 * - Counted: an index lives as long as someone refers to it, and a stream refers to its index.
 */
#ifndef OPS_WAL_INDEX_H
#define OPS_WAL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/background.h"
#include "ops/cleanup.h"
#include "ops/error.h"
#include "ops/wal/store.h"

struct wal_index;

/* Takes the store over, also on failure, with all that it holds. What can't be (seq_ids not ascending among what is left, pieces
   out of order, lengths of 0 or beyond WAL_LENGTH_MAX), or can't be read, empties the store. Where a seq_id is not above the one
   before, all earlier units from that seq_id on had left: seq_ids were used again. A row that a crash cut off is left out. `hidden`
   (copied) are keys. 0 with *ret the caller's reference, or -ENOMEM. */
int wal_index_new(struct wal_store *store, const uint64_t *hidden, size_t hidden_count, struct wal_index **ret, struct error *e);
struct wal_index *wal_index_get(struct wal_index *index);
struct wal_index *wal_index_put(struct wal_index *index); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct wal_index *, wal_index_put)

/* Tells the indexes of one process apart (0 unless told): ids of streams depend on it. Before anyone asks for a stream. */
void wal_index_set_number(struct wal_index *index, uint64_t number);

/* Writing. */

/* Appends a unit whose seq_id is above that of every live unit (or the same, and the next piece). `created` is of its row: seconds
   since 1970. 0, -ENOMEM or -EINVAL (a piece or seq_id out of order, a length that can't be): then the index is as before. The last
   piece of a large row has WAL_UNIT_LAST; when another row begins before it, the pieces that came are forgotten. */
int wal_index_append(struct wal_index *index, const struct wal_unit *unit, int64_t created, struct error *e);

/* The first `rows` live rows of a collection have left (all of them, if there are not more). 0, or as wal_store_read. */
int wal_index_drop(struct wal_index *index, uint64_t key, uint64_t rows, struct error *e);

/* Says when the last live row of a collection was created: a store does not know. */
void wal_index_note_created(struct wal_index *index, uint64_t key, int64_t created);

/* Writes the last block to the store if it has changed. -ENOMEM only. */
int wal_index_flush(struct wal_index *index, struct error *e);

/* Looking. */

struct wal_topic { /* a collection that has live rows */
        uint64_t key;
        uint64_t rows, bytes; /* live */
        int64_t first_seq, last_seq;
        int64_t created; /* of the last row; 0 when it is not known */
        bool hidden;
};

/* Copies those of all collections with live rows, by last_seq; the caller frees *ret (NULL when there are none). */
int wal_index_topics(struct wal_index *index, struct wal_topic **ret, size_t *ret_count, struct error *e);

/* The same of one collection; false when it has no live row. */
bool wal_index_topic(struct wal_index *index, uint64_t key, struct wal_topic *ret);

/* The first unit of live row `row` (counted from 0) of a collection. -ENOENT when there are not that many; else as wal_store_read.
   */
int wal_index_row(struct wal_index *index, uint64_t key, uint64_t row, struct wal_unit *ret, struct error *e);

/* The first unit of the row that left last from the front of a collection. -ENOENT when none has; else as above. */
int wal_index_row_before(struct wal_index *index, uint64_t key, struct wal_unit *ret, struct error *e);

/* How many live rows of a collection have a seq_id above `position`. */
int wal_index_rows_above(struct wal_index *index, uint64_t key, int64_t position, uint64_t *ret, struct error *e);

struct wal_totals { /* live, hidden ones not included */
        uint64_t rows, bytes;
};
struct wal_totals wal_index_totals(struct wal_index *index);

/* Whether so many rows have left that it is cheaper to measure the rest anew than to keep what is known of them. */
bool wal_index_is_worn(struct wal_index *index);

/* Streams. */

struct wal_stream;

struct wal_stat {      /* of a stream, at this moment */
        uint64_t size; /* bytes */
        uint64_t rows;
        int64_t first_seq, last_seq; /* 0 when there are no rows */
        int64_t mtime_sec;           /* created_at of the newest row, 0 if there is none */
        uint32_t mtime_nsec;         /* a hash of (first_seq, last_seq, rows, size): of nothing else */
};

/* The present generation of the root's stream, or of a collection's (one without rows has an empty stream). The same object for as
   long as someone has it and no row leaves, and until a row leaves one with the same id. *ret is the caller's reference. */
int wal_index_root(struct wal_index *index, struct wal_stream **ret, struct error *e);
int wal_index_stream(struct wal_index *index, uint64_t key, struct wal_stream **ret, struct error *e);
struct wal_stream *wal_stream_get(struct wal_stream *stream);
struct wal_stream *wal_stream_put(struct wal_stream *stream); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct wal_stream *, wal_stream_put)

struct wal_stat wal_stream_stat(struct wal_stream *stream);

/* A number that differs between the generations of one process. Another process that begins with the same log gives the same numbers. */
uint64_t wal_stream_id(const struct wal_stream *stream);

/* Whether no later generation has been begun: wal_index_root() or wal_index_stream() would give this one. */
bool wal_stream_is_latest(struct wal_stream *stream);

struct wal_index *wal_stream_index(const struct wal_stream *stream); /* no reference */

/* Units of the stream from the one that holds `offset` on: as many as there are, up to `max`, and only as many as have together no
   more than `bytes` bytes from `offset` on (but at least one). *ret_count 0: the offset is at or behind the end. *ret_offset is
   that of the first one's first byte. Fails as wal_store_read, but only if it can't have the first one. */
int wal_stream_units(struct wal_stream *stream, uint64_t offset, uint64_t bytes, struct wal_unit *units, size_t max,
                     size_t *ret_count, uint64_t *ret_offset, struct error *e);

#endif
