/*
 * Long measuring beside the requests: one thread that runs jobs in the order in which they were asked for, and remembers their results.
 *
 * - A job has a name (what is measured) and a state (a number that differs whenever what it reads has changed). A result is kept until
 *   one for another state replaces it, or until BACKGROUND_KEEP newer ones have come; one that is being waited for is never dropped.
 * - Asking waits for the result for a bounded time, and never holds a lock meanwhile. After that time the asker gets the result of an older state
 *   if there is one, or none.
 * - Results are shared and counted; they never change once they are there.
 * - A failure that may pass (-EAGAIN, -EBUSY, -EINTR, no memory, no descriptors) is not remembered.
 * - At most 256 jobs wait; who asks for one more gets what is there, and may ask again.
 */
#ifndef OPS_BACKGROUND_H
#define OPS_BACKGROUND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/db.h"
#include "ops/error.h"

#define BACKGROUND_KEEP 65536

/* The first member of every result. */
struct result {
        atomic_uint references;
        void (*destroy)(struct result *result);
};

void result_init(struct result *result, void (*destroy)(struct result *));
struct result *result_get(struct result *result);
struct result *result_put(struct result *result); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct result *, result_put)

struct background;

/* Measures. Runs in the background thread; `stop` (with its context) says when the thread is to end: long loops ask it. *ret is a new result. */
typedef int background_fn(void *argument, db_cancel_fn *stop, void *stop_context, struct result **ret, struct error *e);

struct background_job {
        const char *name;
        uint64_t state;
        background_fn *run;
        void *argument;
        void (*release)(void *argument); /* called once, when the job has run or was not needed */
};

/* Starts the thread (call it after any fork). */
int background_new(struct background **ret, struct error *e);

/* Result of the job: remembered, or run now. Waits until until_ms of the monotonic clock (clock_ms()) at most, and no longer than `cancelled` allows. 0 with *ret a reference
   (the caller puts it) and *ret_current (the result is of the asked state), 0 with *ret NULL when there is nothing yet, the job's own failure, or -EINTR. */
int background_ask(struct background *b, const struct background_job *job, int64_t until_ms, db_cancel_fn *cancelled, void *context,
                   struct result **ret, bool *ret_current, struct error *e);

/* The result of that name that is there, of whatever state, as a reference; NULL: none. Starts nothing, and waits for nothing. */
struct result *background_known(struct background *b, const char *name);

/* Ends the thread (a job that runs is told to stop) and drops everything. Takes NULL, returns NULL. */
struct background *background_free(struct background *b);

#endif
