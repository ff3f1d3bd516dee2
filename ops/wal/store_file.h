/*
 * The cache file of a store (ops/wal/store.h): its format, and reading and writing its blocks.
 *
 * - All blocks are checked when it is opened; each one again when it is read, since anybody may change the file meanwhile. It is never
 *   mapped.
 * - Nothing here takes a lock or counts blocks: that is the store's. Reading needs a file that is neither cleared nor closed meanwhile.
 */
#ifndef OPS_WAL_STORE_FILE_H
#define OPS_WAL_STORE_FILE_H

#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/error.h"
#include "ops/wal/store.h"

struct store_file;

struct store_extent {
        uint32_t blocks;
        uint32_t last; /* units of the last block, 0 if there is none */
};

/* Opens or makes it as wal_store_open() says; what stands behind its last good block is cut off. *ret is the caller's. */
int store_file_open(int cache_fd, const char *name, uint64_t subject, struct store_file **ret, struct store_extent *ret_extent,
                    struct error *e);

/* Begins it anew, with another identity: blocks from before are strangers. */
int store_file_clear(struct store_file *file, struct error *e);

/* Reads block `number`, which must have `count` units. -EIO, or -EILSEQ when it is another one. */
int store_file_read(const struct store_file *file, uint32_t number, uint32_t count, struct wal_unit *units, struct error *e);

/* Writes block `number`, its header and so many units. 0 or a negative errno: the block is in an unknown state then. */
int store_file_write(const struct store_file *file, uint32_t number, uint32_t count, const struct wal_unit *units);

/* Removes it from its directory, unless something else has its name now. It can still be read and written. */
void store_file_remove(const struct store_file *file);

struct store_file *store_file_close(struct store_file *file); /* takes NULL, returns NULL; gives up the lock */
DEFINE_CLEANUP(struct store_file *, store_file_close)

#endif
