/*
 * Inside of hnsw_check(): the links of all levels in memory, and what can be reached by them.
 *
 * Lists are put in as they are read, level 0 first, then those of each element from level 1 upwards; links to elements that are not there are left out.
 */
#ifndef OPS_HNSW_CHECK_GRAPH_H
#define OPS_HNSW_CHECK_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"
#include "ops/hnsw_file.h"

struct check_graph {
        uint64_t count;
        uint32_t *words; /* lists: a count and as many links */
        size_t used, room;
        size_t *base;          /* of each element: where its list of level 0 is in `words` */
        size_t *upper;         /* its list of level 1, behind which the others are; 0: none */
        unsigned char *levels; /* of each element */
        unsigned char *marks;  /* CHECK_DELETED, CHECK_REACHED */
};

#define CHECK_DELETED 1u
#define CHECK_REACHED 2u

/* For header's N. 0 or -ENOMEM with the figure. The owner clears it. */
int check_graph_new(const struct hnsw_header *header, struct check_graph *ret, struct error *e);
void check_graph_clear(struct check_graph *graph);

/* 0 or -ENOMEM. */
int check_graph_add_base(struct check_graph *graph, const struct hnsw_record *record, struct error *e);
int check_graph_add_upper(struct check_graph *graph, uint32_t id, uint32_t count, const unsigned char *links, struct error *e);

/* Marks what is reachable from the header's entry point. 0, -ENOMEM or -EINTR. */
int check_graph_reach(struct check_graph *graph, const struct hnsw_header *header, db_cancel_fn *cancelled, void *context,
                      struct error *e);

#endif
