/*
 * Connections are kept in a list, the one that was used last in front: its cache is the warmest, and the others are not needed as long as
 * one reader reads.
 */
#include "ops/wal/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops/clock.h"

#define POLL_MS 20
#define CACHE_KIB 1024 /* the table is read from one end to the other: a large cache holds what nobody asks for again */

struct wal_pool {
        pthread_mutex_t mutex;
        pthread_cond_t returned;
        int dirfd;
        unsigned out;
        struct wal_connection *idle;
};

int wal_connection_open(int dirfd, struct wal_connection **ret, struct error *e)
{
        CLEANUP(wal_connection_close)
        struct wal_connection *c = calloc(1, sizeof(*c));
        if (c == NULL)
                return error_set(e, ENOMEM, "no memory");
        int r = db_open(dirfd, &c->db, e);
        if (r < 0)
                return r;
        db_set_cache(c->db, CACHE_KIB);
        r = wal_source_new(c->db, &c->source, e);
        if (r < 0)
                return r;
        *ret = TAKE(c);
        return 0;
}

struct wal_connection *wal_connection_close(struct wal_connection *connection)
{
        if (connection == NULL)
                return NULL;
        connection->source = wal_source_free(connection->source);
        connection->db = db_close(connection->db);
        free(connection);
        return NULL;
}

int wal_pool_new(int dirfd, struct wal_pool **ret, struct error *e)
{
        struct wal_pool *pool = calloc(1, sizeof(*pool));
        if (pool == NULL)
                return error_set(e, ENOMEM, "no memory");
        pool->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
        if (pool->dirfd < 0) {
                int err = errno;
                free(pool);
                return error_set(e, err, "a descriptor can't be had: %s", strerror(err));
        }
        (void) pthread_mutex_init(&pool->mutex, NULL);
        pthread_condattr_t monotonic;
        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&pool->returned, &monotonic);
        (void) pthread_condattr_destroy(&monotonic);
        *ret = pool;
        return 0;
}

static void wait_a_little(struct wal_pool *pool)
{
        int64_t to = clock_ms() + POLL_MS;
        struct timespec t = { .tv_sec = (time_t) (to / 1000), .tv_nsec = (long) (to % 1000) * 1000000 };
        (void) pthread_cond_timedwait(&pool->returned, &pool->mutex, &t);
}

/* Counts one more as out; *ret is an idle one, or NULL. */
static int admit(struct wal_pool *pool, db_cancel_fn *cancelled, void *context, struct wal_connection **ret, struct error *e)
{
        int r = 0;
        (void) pthread_mutex_lock(&pool->mutex);
        while (r == 0 && pool->out >= WAL_POOL_MAX) {
                wait_a_little(pool);
                if (cancelled != NULL && cancelled(context))
                        r = error_set(e, EINTR, "interrupted");
        }
        if (r == 0) {
                pool->out++;
                *ret = pool->idle;
                if (pool->idle != NULL)
                        pool->idle = pool->idle->next;
        }
        (void) pthread_mutex_unlock(&pool->mutex);
        return r;
}

static void leave(struct wal_pool *pool)
{
        (void) pthread_mutex_lock(&pool->mutex);
        pool->out--;
        (void) pthread_cond_signal(&pool->returned);
        (void) pthread_mutex_unlock(&pool->mutex);
}

int wal_pool_take(struct wal_pool *pool, bool fresh, db_cancel_fn *cancelled, void *context, struct wal_connection **ret,
                  struct error *e)
{
        struct wal_connection *c = NULL;
        int r = admit(pool, cancelled, context, &c, e);
        if (r < 0)
                return r;
        if (c != NULL && (fresh || db_replaced(c->db)))
                c = wal_connection_close(c);
        if (c == NULL)
                r = wal_connection_open(pool->dirfd, &c, e);
        if (r < 0) {
                leave(pool);
                return r;
        }
        db_set_cancel(c->db, cancelled, context);
        *ret = c;
        return 0;
}

void wal_pool_give(struct wal_pool *pool, struct wal_connection *connection)
{
        if (connection == NULL)
                return;
        db_set_cancel(connection->db, NULL, NULL);
        (void) pthread_mutex_lock(&pool->mutex);
        connection->next = pool->idle;
        pool->idle = connection;
        pool->out--;
        (void) pthread_cond_signal(&pool->returned);
        (void) pthread_mutex_unlock(&pool->mutex);
}

struct wal_pool *wal_pool_free(struct wal_pool *pool)
{
        if (pool == NULL)
                return NULL;
        while (pool->idle != NULL) {
                struct wal_connection *c = pool->idle;
                pool->idle = c->next;
                (void) wal_connection_close(c);
        }
        (void) close(pool->dirfd);
        (void) pthread_cond_destroy(&pool->returned);
        (void) pthread_mutex_destroy(&pool->mutex);
        free(pool);
        return NULL;
}
