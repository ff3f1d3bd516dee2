/*
 * What the parts of the index share (index.c, index_rows.c, index_load.c, index_look.c, stream.c); nobody else includes it.
 *
 * - Position: a unit's number since the beginning, block * WAL_BLOCK_UNITS + slot.
 * - Of a collection, rows and bytes are counted since the beginning too, those that left included: `rows` and `bytes` never go
 *   back, and what is live begins at `gone_rows` and `gone_bytes`.
 * - The writer is one thread at a time: it takes the mutex to change something, and needs none to read what it alone changes.
 *   Readers take it always, but never while they read a block from the store.
 */
#ifndef OPS_WAL_INDEX_INTERNAL_H
#define OPS_WAL_INDEX_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

/* A key is a hash already: it only has to be folded. */
#define HASH_FUNCTION(key_pointer, key_length, ret) ((ret) = index_fold(key_pointer))
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "ops/wal/index.h"

static inline unsigned index_fold(const void *key)
{
        uint64_t bits;
        memcpy(&bits, key, sizeof(bits));
        return (unsigned) (bits * 0x9e3779b97f4a7c15u >> 32);
}

struct index_entry { /* of a collection: a block in which it has units */
        uint32_t block;
        uint32_t rows;  /* of the collection that begin before the block */
        uint64_t bytes; /* of the collection before the block */
};

struct index_collection {
        UT_hash_handle hh;
        TAILQ_ENTRY(index_collection) live;
        uint64_t key;
        struct index_entry *entries;
        uint32_t entry_count, entry_room;
        bool hidden;
        uint64_t rows, bytes;
        uint64_t gone_rows, gone_bytes;
        uint64_t first_position;   /* of the first live row, like the next */
        int64_t first_seq;         /* only while there is one */
        int64_t last_seq, created; /* of the last row that there ever was */
        struct wal_stream *stream; /* of the present generation, if anyone has it; no reference */
        bool asked;                /* for it */
        uint64_t generations;      /* that somebody asked for, and that ended */
};

TAILQ_HEAD(index_collections, index_collection);

struct index_block {
        uint64_t before; /* bytes of all units before it, but for hidden ones */
        uint32_t live;   /* bytes in it that have not left, but for hidden ones */
};

struct index_gap { /* positions from..to - 1 hold pieces of a row that was never whole */
        uint64_t from, to;
};

struct index_root;

struct wal_index {
        atomic_uint references;
        struct wal_store *store;
        uint64_t *hidden; /* ascending */
        size_t hidden_count;
        struct index_gap *gaps; /* ascending; don't change after loading */
        uint32_t gap_count, gap_room;
        uint64_t number; /* among the indexes of the process */

        pthread_mutex_t mutex;                /* of all that follows */
        struct index_collection *collections; /* uthash by key; they stay as long as the index */
        struct index_collection *recent;      /* the one that was looked up last */
        struct index_collections live;        /* by last_seq, ascending: who gets a row moves to the end */
        size_t live_count;
        struct index_block *blocks;
        uint32_t block_count, block_room;
        uint64_t end;                    /* the position behind the last unit */
        uint64_t rows, bytes;            /* ever, but for hidden ones, like the next three */
        uint64_t live_rows, live_bytes;  /* now */
        struct index_collection *newest; /* got the last row */
        uint64_t generations;            /* of the root that ended */
        struct index_root *root;         /* the present generation, or NULL; a reference */
        struct wal_stream *root_stream;  /* of it, if anyone has it; no reference */

        /* The units from `held_block` on: those that are not in the store yet, and behind `end` the pieces of a row that is not whole. */
        struct wal_unit *held;
        uint32_t held_count, held_room;
        uint32_t held_block;
        uint64_t flushed; /* what `end` was at the last flush */
};

struct index_units { /* of one block */
        uint32_t count;
        struct wal_unit units[WAL_BLOCK_UNITS];
};

struct index_mark {           /* a row */
        uint64_t rows, bytes; /* of the collection, before it */
        uint64_t position;    /* of its first unit */
        int64_t seq_id;
};

/* Memory (index_rows.c). These are called with the mutex. */

/* An array with room for `need` items, or NULL: then the old one is as it was. */
void *index_grow(void *array, uint32_t *room, uint64_t need, size_t size);

/* NULL when it is not known. */
struct index_collection *index_find(struct wal_index *index, uint64_t key);
/* Makes it when it is not known; NULL: no memory. */
struct index_collection *index_find_or_add(struct wal_index *index, uint64_t key);

/* A whole row takes its place. -ENOMEM, or it can't fail any more and is committed. */
int index_commit(struct wal_index *index, struct index_collection *c, const struct wal_unit *units, uint32_t count,
                 uint64_t position, int64_t created, struct error *e);

/* Makes blocks up to `position`, which is to be the end. */
int index_extend(struct wal_index *index, uint64_t position, struct error *e);

/* All live rows before `to` leave. */
void index_leave(struct wal_index *index, struct index_collection *c, const struct index_mark *to);
void index_leave_whole(struct wal_index *index, struct index_collection *c);

/* The last entry that begins at or before this. There is one. */
uint32_t index_entry_of_bytes(const struct index_collection *c, uint64_t bytes);
uint32_t index_entry_of_row(const struct index_collection *c, uint64_t row);

/* Forgets all rows. */
void index_clear(struct wal_index *index);

static inline uint64_t index_live_rows(const struct index_collection *c)
{
        return c->rows - c->gone_rows;
}

/* The others are called without it. */

static inline void index_lock(struct wal_index *index)
{
        (void) pthread_mutex_lock(&index->mutex);
}

static inline void index_unlock(struct wal_index *index)
{
        (void) pthread_mutex_unlock(&index->mutex);
}

bool index_is_hidden(const struct wal_index *index, uint64_t key);
bool index_is_gap(const struct wal_index *index, uint64_t position);

/* Whether a unit is one that chromafs can have measured: its length and piece. */
bool index_is_plausible(const struct wal_unit *unit);
/* Whether it is the next piece after `before`. */
bool index_continues(const struct wal_unit *unit, const struct wal_unit *before);

/* The units of a block, only whole rows, from the store or from memory. */
int index_read_block(struct wal_index *index, uint32_t number, struct index_units *ret, struct error *e);

/* Row `row` of a collection, counted since the beginning (index_look.c). */
int index_find_row(struct wal_index *index, struct index_collection *c, uint64_t row, struct index_mark *ret,
                   struct wal_unit *ret_unit, struct error *e);

/* All blocks of the store (index_load.c). -EILSEQ when it can't be, -EIO, -ENOMEM: then the index is in disorder. */
int index_load(struct wal_index *index, struct error *e);

/* Streams (stream.c), with the mutex. */
void stream_first_row(struct wal_index *index, struct index_collection *c, int64_t seq_id); /* of a collection that had none */
void stream_row_leaves(struct wal_index *index, struct index_collection *c);
void stream_forget_root(struct wal_index *index);

#endif
