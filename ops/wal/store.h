/*
 * Where the measure of the write-ahead log is kept: units, in blocks of WAL_BLOCK_UNITS, in a file of the user's cache or in memory.
 *
 * - A unit is a row's line of wal.jsonl, or one piece of a large row's (ops/wal/row.h): what is needed to find its place and to know it
 *   again. Units stand in the order in which they were measured.
 * - The file is a cache: it may vanish, be cut, be a stranger's, be of another directory, or be written by a newer chromafs. Every
 *   block has a checksum that its number and the file's own random identity are part of; what stands behind the first block that is not
 *   whole is forgotten. Nothing is synced.
 * - The file is locked (flock) by the one who has it open; a second one works in memory. When it can't be written any more (disk full),
 *   what it holds moves to memory, and the file is removed. Neither is an error. The process must ignore SIGXFSZ if it has a limit.
 * - One writer; any number of readers at the same time.
 */
#ifndef OPS_WAL_STORE_H
#define OPS_WAL_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/error.h"

#define WAL_BLOCK_UNITS 255 /* with a header of 32 bytes, 8 KiB */

/* Of the file. To be raised with its format, and whenever what a unit says of the same row changes: its hash, its key, the length of its
   line, where a large row is cut. A file of another version begins anew. */
#define WAL_STORE_VERSION 1

struct wal_unit {
        int64_t seq_id;
        uint64_t key;    /* of the collection: wal_row_key() */
        uint64_t hash;   /* of what is stored */
        uint32_t length; /* rendered bytes */
        uint32_t piece;  /* of a large row: WAL_UNIT_LARGE | its number, | WAL_UNIT_LAST if it is the last one; 0 for a whole row */
};

#define WAL_UNIT_LARGE 0x80000000u
#define WAL_UNIT_LAST 0x40000000u /* tells a row that is whole from one that a crash cut off */

/* The number of the piece, 0 for a whole row. */
static inline uint32_t wal_unit_number(const struct wal_unit *unit)
{
        return unit->piece & ~(WAL_UNIT_LARGE | WAL_UNIT_LAST);
}

/* Whether a row begins here. */
static inline bool wal_unit_begins_row(const struct wal_unit *unit)
{
        return wal_unit_number(unit) == 0;
}

/* Whether a row ends here. */
static inline bool wal_unit_ends_row(const struct wal_unit *unit)
{
        return (unit->piece & WAL_UNIT_LARGE) == 0 || (unit->piece & WAL_UNIT_LAST) != 0;
}

struct wal_store;

/* In memory. 0 or -ENOMEM. *ret is the caller's. */
int wal_store_new(struct wal_store **ret, struct error *e);

/* In the file `name` of the directory cache_fd (which is duplicated). The file is made when it is not there, mode 0600. `subject` says of
   what it is (a hash of the persist directory's path): a file of another subject, of another owner, with links, writable by others, or
   of no whole header begins anew. -EBUSY when somebody else has it, or another errno: the caller then takes wal_store_new(). */
int wal_store_open(int cache_fd, const char *name, uint64_t subject, struct wal_store **ret, struct error *e);

/* Empties it; doesn't fail. A reader of before finds no block, or a new one. */
int wal_store_reset(struct wal_store *store, struct error *e);

/* How many blocks it has; all but the last are full. */
uint32_t wal_store_blocks(const struct wal_store *store);

/* Reads block `number`: its units and their count (1 to WAL_BLOCK_UNITS). -EIO, -EILSEQ when it is not there, or not whole any more. */
int wal_store_read(const struct wal_store *store, uint32_t number, struct wal_unit units[WAL_BLOCK_UNITS], uint32_t *ret_count,
                   struct error *e);

/* Writes the last block again, or one behind it when that is full: anything else is -EINVAL. -ENOMEM only. No reader reads a block while it
   is written: the caller sees to that. */
int wal_store_write(struct wal_store *store, uint32_t number, const struct wal_unit *units, uint32_t count, struct error *e);

/* Whether it is a file still. */
bool wal_store_is_cached(const struct wal_store *store);

struct wal_store *wal_store_free(struct wal_store *store); /* takes NULL, returns NULL; the file stays */
DEFINE_CLEANUP(struct wal_store *, wal_store_free)

#endif
