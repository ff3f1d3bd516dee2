/*
 * Parts of hnsw_load(): what ops/hnsw/load.c and ops/hnsw/load_upper.c hand to each other.
 */
#ifndef OPS_HNSW_LOAD_PARTS_H
#define OPS_HNSW_LOAD_PARTS_H

#include <errno.h>

#include "ops/hnsw/graph.h"
#include "ops/hnsw_file.h"
#include "ops/hnsw_links.h"

struct loading {
        struct hnsw *h;
        struct hnsw_header header;
        struct hnsw_link_set *links; /* for the search for doubles, with room for 2M of them */
        db_cancel_fn *cancelled;     /* may be NULL */
        void *context;
};

/* 0, or -EINTR with its sentence. */
static inline int load_ask(const struct loading *l, struct error *e)
{
        return l->cancelled != NULL && l->cancelled(l->context) ? error_set(e, EINTR, "cancelled") : 0;
}

/* Reads link_lists.bin and checks it: levels, entry point, links. The index has room, and nothing above level 0 yet. 0, -EILSEQ, -EIO, -ENOMEM, -EINTR. */
int load_upper(struct loading *l, int fd, struct error *e);

#endif
