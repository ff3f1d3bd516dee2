/*
 * The operations of this mount: what runs now, what came of the last ones, why the last write was refused.
 *
 * - One runs at a time. What other mounts and processes of ours run is excluded by the operation itself (ops/operation/dir_lock.h).
 * - The one that tidies at the beginning is not shown, and waited for: by one writer; others get EBUSY, as they would behind that one.
 * - Thread-safe.
 */
#ifndef FS_OPERATIONS_H
#define FS_OPERATIONS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/outcomes.h"
#include "ops/db.h"
#include "ops/error.h"
#include "ops/text.h"

struct operations;

struct operation_start {
        const char *operation;
        const char *entry; /* of the collection; "": the whole directory */
        struct text line;
        bool hidden; /* tidying */
};

/* Duplicates dirfd. *ret is the caller's. */
int operations_new(int dirfd, struct operations **ret, struct error *e);
struct operations *operations_free(struct operations *operations); /* takes NULL, returns NULL */

/* Begins one. -EBUSY when another one runs, with a sentence that names it; -ECANCELED when who waits for tidying does so no longer.
   `cancelled` is asked without a lock. */
int operations_begin(struct operations *operations, const struct operation_start *start, db_cancel_fn *cancelled, void *context,
                     struct error *e);

/* What runs got so far. */
void operations_progress(struct operations *operations, const char *phase, uint64_t done, uint64_t total);

/* Whether what runs was asked to stop. */
bool operations_is_cancelled(struct operations *operations);

/* Ends what operations_begin() began. `outcome` may be NULL. */
void operations_end(struct operations *operations, struct json_object *outcome);

/* Asks what runs to stop, and waits until it has ended: 0, also when nothing runs. -EINTR when the caller waits no longer. */
int operations_cancel(struct operations *operations, db_cancel_fn *cancelled, void *context);

/* Remembers why a write was refused; `path` is that of the control in the mount. */
void operations_refuse(struct operations *operations, const char *path, const struct error *error);

/* The last one that was remembered, as "path: sentence"; code 0: none. */
struct error operations_last_refusal(struct operations *operations);

/* {operation, collection, options, phase, done, total, rate, eta_seconds, started}, or NULL (JSON null) when nothing runs. */
struct json_object *operations_running(struct operations *operations);

struct outcomes *operations_outcomes(struct operations *operations);

struct operations_times {    /* by the realtime clock; 0: never */
        int64_t progress_ns; /* something began, told how far it is, or ended */
        int64_t end_ns;
        int64_t refusal_ns;
};

struct operations_times operations_times(struct operations *operations);

#endif
