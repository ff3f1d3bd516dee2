/*
 * Requests that must wait for the measuring of the log, or for the check of an index: they wait in a list, and hold no thread, so that any number of them keeps nobody from anything else.
 *
 * One thread tries each of them again whenever there is hope, and answers those whose caller was ended by a signal. No look-up may wait, since the
 * kernel holds the directory locked meanwhile (libfuse 3.14 does not tell it that it need not).
 */
#ifndef FS_WAITING_H
#define FS_WAITING_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <stdbool.h>

#include "ops/error.h"

struct waiting;

struct waiting_for {
        fuse_ino_t number;
        const struct fuse_file_info *fi; /* of an open, else NULL */
        uint64_t
                moment; /* request->stream_moment of the first try: a later one might never be reached, as long as somebody writes; of a check, request->give_up_ms */
};

/* Tries again, without waiting; true when the request was answered. */
typedef bool waiting_try(fuse_req_t req, const struct waiting_for *what);

/* Starts the thread. */
int waiting_new(struct waiting **ret, struct error *e);

/* Takes the request over (all of *what is copied). 0, or -ENOMEM: then it is still the caller's. */
int waiting_add(struct waiting *w, fuse_req_t req, waiting_try *try, const struct waiting_for *what);

/* Ends the thread, and all that wait with EINTR. Before the session is destroyed. */
struct waiting *waiting_free(struct waiting *w); /* takes NULL, returns NULL */

#endif
