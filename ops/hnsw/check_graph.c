/*
 * Reachability, one level after the other: the queue has all that was reached on the levels above, each of which is followed by the links that it has on this one. So
 * each list is looked at once, and each element is put in once, whatever the links are.
 */
#include "ops/hnsw/check_graph.h"

#include <errno.h>
#include <stdlib.h>

#include "ops/cleanup.h"
#include "ops/hnsw_links.h"

#define CANCEL_ELEMENTS 16384u /* between two looks whether to go on: some milliseconds */
#define AHEAD 8u               /* lists that are fetched from memory before their turn */

int check_graph_new(const struct hnsw_header *header, struct check_graph *ret, struct error *e)
{
        size_t n = (size_t) header->count;
        struct check_graph g = { .count = n, .used = 1 }; /* so that 0 is no place of a list */
        g.base = calloc(n + 1, sizeof(*g.base));
        g.upper = calloc(n + 1, sizeof(*g.upper));
        g.levels = calloc(n + 1, 1);
        g.marks = calloc(n + 1, 1);
        if (g.base == NULL || g.upper == NULL || g.levels == NULL || g.marks == NULL) {
                check_graph_clear(&g);
                return error_set(e, ENOMEM, "no memory to check %zu elements: %zu bytes", n,
                                 n * (sizeof(*g.base) + sizeof(*g.upper) + 2));
        }
        *ret = g;
        return 0;
}

void check_graph_clear(struct check_graph *graph)
{
        free(graph->words);
        free(graph->base);
        free(graph->upper);
        free(graph->levels);
        free(graph->marks);
        *graph = (struct check_graph){ 0 };
}

static int make_room(struct check_graph *g, size_t words, struct error *e)
{
        if (words <= g->room - g->used && g->room > 0)
                return 0;
        size_t room = g->room + g->room / 2 + words + 65536;
        uint32_t *grown = reallocarray(g->words, room, sizeof(*grown));
        if (grown == NULL)
                return error_set(e, ENOMEM, "no memory for %zu links", room);
        g->words = grown;
        g->room = room;
        return 0;
}

static int add_list(struct check_graph *g, uint32_t count, const unsigned char *links, struct error *e)
{
        int r = make_room(g, (size_t) count + 1, e);
        if (r < 0)
                return r;
        uint32_t *list = g->words + g->used, kept = 0;
        for (uint32_t i = 0; i < count; i++) {
                uint32_t link = hnsw_link(links, i);
                list[1 + kept] = link;
                kept += link < g->count;
        }
        list[0] = kept;
        g->used += (size_t) kept + 1;
        return 0;
}

int check_graph_add_base(struct check_graph *graph, const struct hnsw_record *record, struct error *e)
{
        graph->base[record->internal_id] = graph->used;
        if (record->deleted)
                graph->marks[record->internal_id] |= CHECK_DELETED;
        return add_list(graph, record->link_count, record->links, e);
}

int check_graph_add_upper(struct check_graph *graph, uint32_t id, uint32_t count, const unsigned char *links, struct error *e)
{
        if (graph->upper[id] == 0)
                graph->upper[id] = graph->used;
        return add_list(graph, count, links, e);
}

struct reach {
        struct check_graph *graph;
        uint32_t *queue;
        size_t queued;
};

static void visit(struct reach *r, uint32_t id)
{
        if ((r->graph->marks[id] & CHECK_REACHED) != 0)
                return;
        r->graph->marks[id] |= CHECK_REACHED;
        r->queue[r->queued++] = id;
}

/* Its list on a level, or NULL: a link may lead to an element that is not on the level. */
static const uint32_t *list_on(const struct check_graph *g, uint32_t id, uint32_t level)
{
        if (level == 0)
                return g->words + g->base[id];
        if (g->levels[id] < level)
                return NULL;
        const uint32_t *list = g->words + g->upper[id];
        for (uint32_t i = 1; i < level; i++)
                list += list[0] + 1;
        return list;
}

static int reach_on(struct reach *r, uint32_t level, db_cancel_fn *cancelled, void *context, struct error *e)
{
        for (size_t i = 0; i < r->queued; i++) {
                if (cancelled != NULL && i % CANCEL_ELEMENTS == 0 && cancelled(context))
                        return error_set(e, EINTR, "cancelled");
                if (level == 0 && i + AHEAD < r->queued)
                        __builtin_prefetch(list_on(r->graph, r->queue[i + AHEAD], 0));
                const uint32_t *list = list_on(r->graph, r->queue[i], level);
                for (uint32_t j = 1; list != NULL && j <= list[0]; j++)
                        visit(r, list[j]);
        }
        return 0;
}

int check_graph_reach(struct check_graph *graph, const struct hnsw_header *header, db_cancel_fn *cancelled, void *context,
                      struct error *e)
{
        if (graph->count == 0)
                return 0;
        CLEANUP(free)
        uint32_t *queue = calloc((size_t) graph->count, sizeof(*queue));
        if (queue == NULL)
                return error_set(e, ENOMEM, "no memory to check %llu elements", (unsigned long long) graph->count);
        struct reach reach = { .graph = graph, .queue = queue };
        visit(&reach, header->entry_point);
        int r = 0;
        for (int level = header->max_level; r == 0 && level >= 0; level--)
                r = reach_on(&reach, (uint32_t) level, cancelled, context, e);
        return r;
}
