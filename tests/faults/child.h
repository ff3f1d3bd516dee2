/*
 * An operation, run in a child that may be killed at any instant.
 */
#ifndef TESTS_FAULTS_CHILD_H
#define TESTS_FAULTS_CHILD_H

#include "ops/operation/operation.h"
#include "tests/faults/call.h"

#define CHILD_SECONDS 30 /* a child that takes longer hangs */

struct child_request {
        const char *dir;
        const struct operation_type *type;
        const char *line;
        const char *collection_id; /* "" for none */
        const char *skip;          /* the id of a collection to leave out, "" for none */
        const char *log;           /* a file that gets what it prints */
};

enum child_end { CHILD_RETURNED, CHILD_DIED, CHILD_CRASHED, CHILD_HUNG };

struct child { /* in shared memory */
        enum child_end end;
        int signal, status; /* of one that crashed or died */
        bool promised;      /* it has returned success, before anything else happened */
        int code;           /* what the operation returned */
        int64_t kept;       /* its result's number of collections that were left as they are */
        int crash_count;    /* of crash_frames: where a signal found it */
        void *crash_frames[CALL_FRAMES];
        char outcome[16]; /* its status: "done" … */
        char sentence[512];
        struct call_report calls; /* last: it has the events */
};

struct child *child_new(uint32_t events);
void child_free(struct child *child);

enum child_mode { CHILD_QUIET, CHILD_RECORD, CHILD_RECORD_ASKS /* with a clock that makes it ask as often as it can */ };

/* Runs it with the fault. Events are kept where it is to record. */
void child_run(struct child *child, const struct child_request *request, const struct call_fault *fault, enum child_mode mode);

/* Puts the askings of another run in the place of those that were recorded. */
void child_take_asks(struct child *child, const struct child *asks);

#endif
