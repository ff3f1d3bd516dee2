/*
 * The read transaction in which a backup looks at several things at one moment. Nobody can commit while it is open, so it is given up before a
 * writer has waited for long: the writer's PENDING lock shows that it wants to commit.
 */
#ifndef OPS_OPERATION_BACKUP_HOLD_H
#define OPS_OPERATION_BACKUP_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"

#define BACKUP_HOLD_MS 20 /* when nobody is seen waiting: other hosts' locks may not be visible */
#define BACKUP_WAIT_MS 35 /* what a writer waits for us at most */

struct backup_hold {
        struct db *db;
        int fd; /* of the database, to look at its locks */
        bool held;
        int64_t begun, waited_since; /* CLOCK_MONOTONIC ms; the latter 0 while nobody waits */
};

/* The caller ends it. `db` stays the caller's. */
int backup_hold_init(struct backup_hold *h, int persist_fd, struct db *db, struct error *e);
void backup_hold_clear(struct backup_hold *h);

/* Begins the transaction, when none is held. A writer that never pauses is waited for several times DB_WAIT_MS, then -EBUSY. */
int backup_hold_begin(struct backup_hold *h, struct error *e);
void backup_hold_end(struct backup_hold *h);

/* Whether what still needs `ms` may go on: ends the transaction when not. False when none is held. */
bool backup_hold_goes_on(struct backup_hold *h, int64_t ms);

/* Whether someone is in a writing transaction, or waits to commit one. */
bool backup_hold_has_writer(const struct backup_hold *h);
bool backup_hold_is_waited_for(const struct backup_hold *h);

/* Gives one who waits a moment to commit: without that, too, its PENDING lock would keep the next hold away, but only by waiting. */
void backup_hold_let_writer(const struct backup_hold *h);

#endif
