/*
 * What all operations share: an operation changes a persist directory (or copies it), and leaves it as it was when it fails.
 *
 * - operation_run() does everything around the operation itself, in this order: parses the line, refuses a format that is too new
 *   (-EOPNOTSUPP) and a directory that is not the caller's (-EACCES), locks the directory against other operations (ops/operation/dir_lock.h), asks the
 *   guard who else writes (guard.h), tidies what a crash left (tidy.h), runs it, writes a line of history, empties old trash.
 * - It runs in a process of its own, with one thread: it makes the persist directory its working directory, and the locks of the SQLite
 *   connection that it writes with must not be lost because someone else in the process closes the file. The front end starts that
 *   process, and reads progress and outcome from it.
 * - An operation reports through operation_progress(), which is also where it learns that it was cancelled: at least every 50 ms.
 * - dry_run: plans, fills the result, and changes nothing, not even .chromafs/: op->state is NULL then. Nobody is refused: the result's "in_use_by" says who
 *   would be, or, with force=1, who was there: null, or {pid, command, file}, each null when unknown (all three: nobody can tell who is there).
 */
#ifndef OPS_OPERATION_OPERATION_H
#define OPS_OPERATION_OPERATION_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/db.h"
#include "ops/error.h"
#include "ops/operation/command.h"
#include "ops/operation/state_dir.h"
#include "ops/operation/write_db.h"
#include "ops/text.h"

struct operation;

struct operation_type {
        const char *name;                  /* "clean": the control's name */
        const char *summary;               /* one sentence, for usage and manual */
        const char *forced;                /* what force=1 does beside a process that has the directory open; a sentence */
        const struct option_spec *options; /* its own; ended by a row without a name; may be NULL */
        bool beside_live;                  /* needs no guard */
        bool silent; /* tidy: no history; nothing left behind, or someone else at work, is success, and run() is not called */
        int (*run)(struct operation *op); /* 0, or a negative errno with op->error set; -ECANCELED when cancelled */
};

struct operation_progress {
        const char *phase;    /* "checking", "deleting", "vacuum" …: static text */
        uint64_t done, total; /* of a unit that the phase has; total 0: unknown */
};

struct operation_sink { /* who looks on; any may be NULL */
        void *context;
        void (*progress)(void *context, const struct operation_progress *progress);
        bool (*cancelled)(void *context);
};

struct operation_request {
        const struct operation_type *type;
        const char *line; /* as the user wrote it */
        size_t line_len;
        const struct text *written; /* NULL, or the line as it was before the front end took its own options out: for the outcome */
        const char *collection_id;  /* NULL: the whole directory */
        const struct text *skip;    /* ids of collections to leave out */
        size_t skip_count;
};

struct operation { /* what run() gets */
        const struct operation_type *type;
        const struct operation_request *request;
        const struct command *command;
        int dirfd;                  /* of the persist directory, which is the working directory too */
        struct state_dir *state;    /* NULL under dry_run, and beside_live where it can't be had */
        struct json_object *result; /* an object that run() fills, also as far as it came when it fails */
        struct error error;
        const struct operation_sink *sink;
        struct operation_progress reported; /* for operation_progress */
        int64_t reported_ms, asked_ms;      /* when the sink was last told, and asked */
        bool cancelled;                     /* it said so once: that stays */
        bool late;                          /* a cancel comes too late: operation_progress only reports */
        bool live;                          /* forced (or dry), and someone else may have the directory open for writing */
};

/* The operations there are, ended by NULL. */
extern const struct operation_type *const operation_types[];
const struct operation_type *operation_find(const char *name); /* or NULL */

/* Runs it, from the beginning to the end. *ret_outcome is the caller's, also on failure (NULL only without memory):
   {operation, collection, options, dry_run, started, finished, seconds, status: "done" | "failed" | "canceled", errno: "EBUSY" | null,
   sentence, result}; and, behind them, history_error and trash_error, sentences of what went wrong after the operation was over, which are no failure of it.
   Ignores SIGIO (which leases send), SIGPIPE and SIGXFSZ (so that a limit is an errno) from now on, and makes the persist directory the working directory.
   Returns 0 or a negative errno with its sentence; -EINTR never. */
int operation_run(int dirfd, const struct operation_request *request, const struct operation_sink *sink,
                  struct json_object **ret_outcome, struct error *e);

/* For run(): */

/* Tells how far it is. 0, or -ECANCELED with the sentence. Cheap: call it for every row. */
int operation_progress(struct operation *op, const char *phase, uint64_t done, uint64_t total);

/* A db_cancel_fn for what the operation opens; the context is the operation. */
bool operation_is_cancelled(void *op);

/* Whether the collection is one of those that were asked for. */
bool operation_wants(const struct operation *op, const struct collection *collection);

/* Opens the database for reading, cancelled with the operation; close it before operation_write(). */
int operation_read(struct operation *op, struct db **ret);

/* Opens it for writing. */
int operation_write(struct operation *op, struct write_db **ret);

/* What run() returns once it has changed something, given what filling op->result returned: that is a failure only under dry_run. */
int operation_told(struct operation *op, int filled);

/* A description of a collection for results: {id, name, tenant, database}. NULL without memory. */
struct json_object *operation_collection_json(const struct collection *collection);

#endif
