/*
 * Collection by collection: each is one transaction of its own, and what was committed stays so, however the others end. One with damage is left as it is, and the others go on.
 *
 * strict=1 asks before the first change whether all rows can be applied.
 */
#include "ops/commit/commit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/commit/result.h"

#define THREADS_MAX 1024.0

static const struct option_spec options[] = {
        { .name = "strict",
          .type = OPTION_FLAG,
          .by_default = "0",
          .help = "1 changes nothing when the log has a row that can't be applied; else such rows are put into "
                  ".chromafs/rejected.jsonl, and the rest is applied" },
        { .name = "threads",
          .type = OPTION_COUNT,
          .min = 1,
          .max = THREADS_MAX,
          .by_default = "as many as the machine has",
          .help = "threads that build an index; with 1 the same log gives the same index" },
        { .name = NULL },
};

struct ids {
        struct text *list;
        size_t count;
};

static void ids_clear_cleanup(struct ids *ids)
{
        for (size_t i = 0; i < ids->count; i++)
                free(ids->list[i].bytes);
        free(ids->list);
}

static void commit_session_clear_cleanup(struct commit_session *session)
{
        commit_session_clear(session);
}

static void commit_result_clear_cleanup(struct commit_result *result)
{
        commit_result_clear(result);
}

static int no_memory(struct operation *op)
{
        return error_set(&op->error, ENOMEM, "no memory for the collections");
}

/* Which collections are wanted: the catalog may be another one later. */
static int list_collections(struct operation *op, const struct catalog *catalog, struct ids *ids)
{
        ids->list = calloc(catalog->collection_count + 1, sizeof(*ids->list));
        if (ids->list == NULL)
                return no_memory(op);
        for (size_t i = 0; i < catalog->collection_count; i++) {
                const struct collection *c = &catalog->collections[i];
                bool again = i > 0 && text_equal(&c->id, &c[-1].id);
                if (again || !operation_wants(op, c))
                        continue;
                if (text_copy(&ids->list[ids->count], c->id.bytes, c->id.len) < 0)
                        return no_memory(op);
                ids->count++;
        }
        const char *asked = op->request->collection_id;
        if (asked != NULL && ids->count == 0)
                return error_set(&op->error, ENOENT, "there is no collection with id %s any more", asked);
        return 0;
}

static int begin(struct operation *op, struct commit_session *session, struct ids *ids)
{
        CLEANUP(db_close)
        struct db *db = NULL;
        int r = commit_session_init(session, op);
        if (r == 0)
                r = operation_read(op, &db);
        if (r == 0)
                r = commit_session_refresh(session, db);
        return r < 0 ? r : list_collections(op, session->catalog, ids);
}

static int check_strict(struct commit_session *session, const struct ids *ids)
{
        int r = 0;
        for (size_t i = 0; r == 0 && session->strict && i < ids->count; i++)
                r = commit_collection_strict(session, ids->list[i].bytes);
        return r;
}

/* One that was asked for, and is left. */
static int check_asked(struct operation *op, const struct commit_outcome *outcome)
{
        const struct error *reason = &outcome->reason;
        if (op->request->collection_id == NULL || outcome->status != COMMIT_LEFT)
                return 0;
        bool passes = reason->code == -EAGAIN || reason->code == -EBUSY;
        return error_set(&op->error, passes ? EBUSY : EILSEQ, "%.400s; nothing was changed%s%s", reason->text,
                         outcome->cure != NULL ? "; what cures it: " : "", outcome->cure != NULL ? outcome->cure : "");
}

static int commit_one(struct commit_session *session, const char *id, struct commit_result *result)
{
        struct operation *op = session->op;
        struct commit_outcome outcome;
        int r = commit_collection(session, id, &outcome);
        if (r == 0 && outcome.collection != NULL) {
                r = commit_result_add(result, &outcome, &op->error);
                if (outcome.status == COMMIT_DONE)
                        r = operation_told(op, r);
        }
        if (r == 0)
                r = check_asked(op, &outcome);
        commit_outcome_clear(&outcome);
        return r;
}

/* What was done before stays, and the sentence must not say that it did not. */
static int explain(struct operation *op, const struct commit_result *result, int r)
{
        if (r == -EINTR || r == -ECANCELED)
                r = error_set(&op->error, ECANCELED, "commit was cancelled: %s",
                              result->committed == 0 || op->command->dry_run ? "the directory is as it was"
                                                                             : "the collection that it was at is as it was");
        if (result->committed > 0 && !op->command->dry_run) {
                struct error before = op->error;
                r = error_set(&op->error, -r,
                              result->committed == 1 ? "%.420s; %llu collection was committed before"
                                                     : "%.420s; %llu collections were committed before",
                              before.text, (unsigned long long) result->committed);
        }
        return r;
}

static int commit_all(struct commit_session *session, const struct ids *ids, struct commit_result *result)
{
        struct operation *op = session->op;
        int r = check_strict(session, ids);
        for (size_t i = 0; r == 0 && i < ids->count; i++)
                r = commit_one(session, ids->list[i].bytes, result);
        int filled = commit_result_fill(op, result);
        if (r < 0)
                return explain(op, result, r);
        return result->committed > 0 ? operation_told(op, filled) : filled;
}

static int run(struct operation *op)
{
        CLEANUP(commit_session_clear)
        struct commit_session session = { .op = op };
        CLEANUP(ids_clear)
        struct ids ids = { 0 };
        CLEANUP(commit_result_clear)
        struct commit_result result = { 0 };
        int r = commit_result_init(&result, &op->error);
        if (r == 0)
                r = begin(op, &session, &ids);
        return r < 0 ? r : commit_all(&session, &ids, &result);
}

const struct operation_type operation_commit = {
        .name = "commit",
        .summary = "Applies the write-ahead log to the segments of each collection, so that Chroma has nothing to read again",
        .forced = "it goes on, and nothing is lost: the new index is a new directory, and the old one stays while that process has "
                  "it open; "
                  "that process uses the old one until it starts again, Chroma 1.x until its next request, and its writes wait "
                  "meanwhile",
        .options = options,
        .run = run,
};
