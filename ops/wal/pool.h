/*
 * A few database connections for rendering the write-ahead log, opened when they are needed and used again.
 */
#ifndef OPS_WAL_POOL_H
#define OPS_WAL_POOL_H

#include "ops/cleanup.h"
#include "ops/db.h"
#include "ops/error.h"
#include "ops/wal/source.h"

#define WAL_POOL_MAX 4

struct wal_pool;

struct wal_connection {
        struct db *db;
        struct wal_source *source;
        struct wal_connection *next; /* the pool's business */
};

/* For chroma.sqlite3 beneath dirfd, which is duplicated. */
int wal_pool_new(int dirfd, struct wal_pool **ret, struct error *e);

/* A connection to the file that has the name now, for one thread. At most WAL_POOL_MAX are out at a time: then it waits, no longer than `cancelled` allows. `fresh`: one that
   has never read. -EINTR, or why the database can't be opened. */
int wal_pool_take(struct wal_pool *pool, bool fresh, db_cancel_fn *cancelled, void *context, struct wal_connection **ret,
                  struct error *e);
void wal_pool_give(struct wal_pool *pool, struct wal_connection *connection); /* takes NULL */

/* No connection may be out. */
struct wal_pool *wal_pool_free(struct wal_pool *pool); /* takes NULL, returns NULL */

/* Opens one outside of any pool, with the settings that suit the log, and closes it. */
int wal_connection_open(int dirfd, struct wal_connection **ret, struct error *e);
struct wal_connection *wal_connection_close(struct wal_connection *connection); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct wal_connection *, wal_connection_close)

#endif
