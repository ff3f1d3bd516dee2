/* A commit of one collection whose index is made anew. */
#include "ops/commit/rebuild.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "ops/commit/collection.h"
#include "ops/commit/result.h"
#include "ops/hnsw/hnsw.h"

#define UNCHANGED "as it is"
#define THREADS_MAX 1024.0
#define BATCH_MAX 1000000.0 /* 0.x makes room for that many vectors at once */
#define FACTOR_MAX 100.0

static const struct option_spec options[] = {
        { .name = "salvage",
          .type = OPTION_FLAG,
          .by_default = "0",
          .help = "1 rebuilds also when records have no vector anywhere: they stay, without one, and " STATE_DIR "/" LOST_FILE
                  " lists them" },
        { .name = "space",
          .type = OPTION_WORD,
          .words = setting_spaces,
          .by_default = UNCHANGED,
          .help = "the distance; from cosine to another one, vectors get their norms back" },
        { .name = "m",
          .type = OPTION_COUNT,
          .min = 2,
          .max = HNSW_M_MAX,
          .by_default = UNCHANGED,
          .help = "links of an element on each level; twice as many on the lowest" },
        { .name = "ef_construction",
          .type = OPTION_COUNT,
          .min = 1,
          .max = INT32_MAX,
          .by_default = UNCHANGED,
          .help = "how many candidates for links an insertion keeps" },
        { .name = "ef_search",
          .type = OPTION_COUNT,
          .min = 1,
          .max = INT32_MAX,
          .by_default = UNCHANGED,
          .help = "how many candidates a search keeps" },
        { .name = "num_threads",
          .type = OPTION_COUNT,
          .min = 1,
          .max = THREADS_MAX,
          .by_default = UNCHANGED,
          .help = "threads that Chroma uses for the index; Chroma before 1.0" },
        { .name = "resize_factor",
          .type = OPTION_REAL,
          .min = 1,
          .max = FACTOR_MAX,
          .by_default = UNCHANGED,
          .help = "how much room an index has beyond its elements; Chroma before 1.0" },
        { .name = "batch_size",
          .type = OPTION_COUNT,
          .min = 3,
          .max = BATCH_MAX,
          .by_default = UNCHANGED,
          .help = "vectors that are collected before they go into the index; Chroma before 1.0, and at most sync_threshold" },
        { .name = "sync_threshold",
          .type = OPTION_COUNT,
          .min = 2,
          .max = INT32_MAX,
          .by_default = UNCHANGED,
          .help = "log rows after which the index is written to disk; at least 3 before Chroma 1.0" },
        { .name = "threads",
          .type = OPTION_COUNT,
          .min = 1,
          .max = THREADS_MAX,
          .by_default = "as many as the machine has",
          .help = "threads that build the index now; with 1 the same vectors give the same index" },
        { .name = NULL },
};

static void commit_session_clear_cleanup(struct commit_session *session)
{
        commit_session_clear(session);
}

static void commit_result_clear_cleanup(struct commit_result *result)
{
        commit_result_clear(result);
}

static void commit_outcome_clear_cleanup(struct commit_outcome *outcome)
{
        commit_outcome_clear(outcome);
}

/* Damage that a rebuild can't mend is none of the files'. */
static int refuse_left(struct operation *op, const struct commit_outcome *outcome)
{
        const struct error *reason = &outcome->reason;
        if (outcome->status != COMMIT_LEFT)
                return 0;
        bool passes = reason->code == -EAGAIN || reason->code == -EBUSY;
        return error_set(&op->error, passes ? EBUSY : -reason->code, "%.400s; nothing was changed%s%s", reason->text,
                         outcome->cure != NULL ? "; what cures it: " : "", outcome->cure != NULL ? outcome->cure : "");
}

static int run(struct operation *op)
{
        CLEANUP(commit_session_clear)
        struct commit_session session = { .op = op };
        CLEANUP(commit_result_clear)
        struct commit_result result = { 0 };
        CLEANUP(commit_outcome_clear)
        struct commit_outcome outcome = { 0 };
        struct commit_rebuild rebuild = { .salvage = command_option(op->command, "salvage")->flag };
        if (op->request->collection_id == NULL)
                return error_set(&op->error, EINVAL,
                                 "rebuild-hnsw is of one collection: write to the control in the collection's folder");
        (void) settings_of(op->command, &rebuild.settings);
        int r = commit_result_init(&result, &op->error);
        if (r == 0)
                r = commit_session_init(&session, op);
        session.rebuild = &rebuild;
        if (r == 0)
                r = commit_collection(&session, op->request->collection_id, &outcome);
        if (outcome.collection == NULL)
                return r;
        struct error ignored = { 0 }; /* what ended it says more */
        int filled = commit_result_add(&result, &outcome, r < 0 ? &ignored : &op->error);
        if (filled == 0)
                filled = commit_result_fill(op, &result);
        if (r == 0)
                r = outcome.status == COMMIT_DONE ? operation_told(op, filled) : filled;
        return r < 0 ? r : refuse_left(op, &outcome);
}

const struct operation_type operation_rebuild_hnsw = {
        .name = "rebuild-hnsw",
        .summary = "Makes the vector index of a collection anew: whole where it was torn, without the places of deleted records, "
                   "with other parameters",
        .forced = "it goes on, and nothing is lost: the new index is a new directory, and the old one stays while that process has "
                  "it open; that process may use the old one until it starts again, and its writes wait meanwhile",
        .options = options,
        .run = run,
};
