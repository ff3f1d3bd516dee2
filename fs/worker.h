/*
 * An operation in a process of its own: the program executes itself again as a worker, which runs one operation and ends.
 *
 * - Why a process: an operation makes the persist directory its working directory, and its SQLite connection must not lose its locks because
 *   another thread closes the same file. Why executed and not forked: the daemon has threads.
 * - The worker has the persist directory, a pipe that it reads and a pipe that it writes, /dev/null, stderr and the environment; no other descriptor.
 * - It reads the request (struct worker_request, packed), and then nothing more: a byte or the end of that pipe means that it is to cancel. So it stops when
 *   the daemon is killed, too. It is in a process group of its own, so that a Ctrl-C at the daemon's terminal reaches only the daemon.
 * - It writes lines of JSON: progress, and at last the outcome.
 */
#ifndef FS_WORKER_H
#define FS_WORKER_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ops/error.h"
#include "ops/text.h"

#define WORKER_ARGUMENT "--worker-of-a-mount" /* what main() knows a worker by */
#define WORKER_POLL_MS 20

struct worker_user {
        uid_t uid;
        gid_t gid;
        gid_t *groups;
        size_t group_count;
};

struct worker_request {
        const char *operation; /* a name for operation_find() */
        struct text line;      /* any bytes */
        struct text written;   /* as the user wrote it */
        const char *collection_id;
        struct text *skip; /* ids of collections */
        size_t skip_count;
        const struct worker_user *user; /* whom to become; NULL: nobody else */
};

struct worker_watch { /* who looks on, in the thread that waits; all must be there */
        void *context;
        void (*progress)(void *context, const char *phase, uint64_t done, uint64_t total);
        bool (*cancelled)(void *context); /* asked every WORKER_POLL_MS */
};

/* Runs it, and returns when the worker has ended. *ret_outcome is what operation_run() gave, the caller's, also on failure; NULL when there is none. Returns 0 or the
   operation's negative errno with its sentence; -EIO when the worker died. */
int worker_run(int dirfd, const struct worker_request *request, const struct worker_watch *watch, struct json_object **ret_outcome,
               struct error *e);

/* The worker's side: the whole program. Returns its exit status. */
int worker_main(void);

#endif
