/*
 * What goes through the pipes between the daemon and its worker (fs/worker.h). Both ends are the same program.
 */
#ifndef FS_WORKER_WIRE_H
#define FS_WORKER_WIRE_H

#include "fs/worker.h"

enum worker_descriptor { WORKER_DIRECTORY = 3, WORKER_REQUESTS, WORKER_REPORTS, WORKER_DESCRIPTORS };

/* A request as bytes: eight of their number, then texts, each behind its length. *ret is the caller's. -ENOMEM. */
int worker_pack(const struct worker_request *request, struct text *ret);

struct worker_unpacked { /* points into what it was unpacked from, but for the lists */
        struct worker_request request;
        struct worker_user user;
};

/* The same, backwards, without the eight bytes. -EINVAL, -ENOMEM. The caller clears *ret. */
int worker_unpack(const struct text *packed, struct worker_unpacked *ret);
void worker_unpacked_clear(struct worker_unpacked *unpacked);

#define WORKER_REQUEST_MAX (64u << 20)
#define WORKER_REPORT_MAX (256u << 20)

#endif
