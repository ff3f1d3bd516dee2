/*
 * From the plan to the end. What can be lost is on the disk before the COMMIT: the rejected rows first, then the index in its place.
 */
#include "ops/commit/collection.h"

#include <errno.h>
#include <string.h>

#include "ops/json.h"
#include "ops/commit/plan.h"

#define TRIES 5

void commit_outcome_clear(struct commit_outcome *outcome)
{
        json_object_put(outcome->collection);
        json_object_put(outcome->rebuilt);
        (void) commit_rejects_free(outcome->rejects);
        *outcome = (struct commit_outcome){ 0 };
}

/* What is known of it before anything is done. */
static int describe(struct commit_plan *plan, struct commit_outcome *outcome)
{
        struct error *e = &plan->session->op->error;
        if (plan->collection == NULL || outcome->collection != NULL)
                return 0;
        outcome->collection = operation_collection_json(plan->collection);
        return outcome->collection == NULL ? error_set(e, ENOMEM, "no memory for the result") : 0;
}

/* A dry run has the reason in its result. */
static int tell_rebuild(struct commit_plan *plan, struct commit_outcome *outcome)
{
        if (plan->session->rebuild == NULL)
                return 0;
        outcome->rebuilt = commit_plan_rebuilt(plan);
        if (outcome->rebuilt == NULL)
                return error_set(&plan->session->op->error, ENOMEM, "no memory for the result");
        int r = commit_plan_refuse_lost(plan);
        if (r < 0 && plan->session->op->command->dry_run) {
                outcome->reason = plan->session->op->error;
                plan->session->op->error = (struct error){ 0 };
                r = 0;
        }
        return r;
}

static void tell_plan(struct commit_plan *plan, struct commit_outcome *outcome)
{
        int64_t vector = plan->builds || plan->moves_vector ? commit_plan_vector_target(plan) : plan->vector_position;
        int64_t record = plan->last > plan->record_position ? plan->last : plan->record_position;
        outcome->position = vector < record ? vector : record;
        outcome->has_position = outcome->position > 0;
        outcome->rows = plan->rows;
        outcome->vectors = plan->vectors;
        outcome->recovered = plan->vector == NULL ? 0 : commit_vector_recovered(plan->vector);
        outcome->records = plan->records;
        outcome->memory = plan->memory;
        outcome->disk = plan->disk;
        outcome->seconds = plan->seconds;
        outcome->rejects = TAKE(plan->rejects);
}

static int refuse_rejects(struct commit_plan *plan)
{
        struct error *e = &plan->session->op->error;
        size_t count = plan->rejects == NULL ? 0 : commit_rejects_count(plan->rejects);
        if (count == 0)
                return 0;
        struct json_object *first = commit_rejects_json(plan->rejects, 1), *row = NULL, *seq_id = NULL, *why = NULL;
        if (first == NULL)
                return error_set(e, ENOMEM, "no memory for the result");
        row = json_object_array_get_idx(first, 0);
        (void) json_object_object_get_ex(row, "seq_id", &seq_id);
        (void) json_object_object_get_ex(row, "why", &why);
        int r = error_set(
                e, EILSEQ,
                "%zu rows of the log can't be applied, and strict=1 is set; the first is row %lld of collection %s: %.300s", count,
                (long long) json_object_get_int64(seq_id), plan->id, json_object_get_string(why));
        json_object_put(first);
        return r;
}

static int stage(struct commit_plan *plan, struct db *db, struct commit_switch **ret)
{
        CLEANUP(commit_switch_free)
        struct commit_switch *s = NULL;
        struct commit_session *session = plan->session;
        struct operation *op = session->op;
        int r = commit_switch_begin(op, plan->collection->vector, &s);
        if (r == 0)
                r = commit_vector_build(plan->vector, op, db, commit_switch_fd(s), (uint64_t) commit_plan_vector_target(plan),
                                        session->threads);
        if (r == 0)
                r = operation_progress(op, "placing", 0, 0);
        if (r == 0)
                r = commit_switch_place(s, &op->error);
        if (r == -EPERM)
                return error_prefix(&op->error, r, "collection %s", plan->id);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

/* With everything in its place but the transaction. */
static int prepare(struct commit_plan *plan, struct db *db, struct commit_switch **ret)
{
        struct operation *op = plan->session->op;
        size_t written = 0;
        int r = commit_plan_check_room(plan);
        if (r == 0 && plan->builds)
                r = stage(plan, db, ret);
        if (r == 0 && commit_rejects_count(plan->rejects) > 0)
                r = commit_rejects_write(plan->rejects, db, op->state, &written, &op->error);
        if (r == 0 && plan->session->rebuild != NULL)
                r = commit_plan_write_lost(plan);
        return r;
}

/* After the COMMIT nothing can fail any more: the old directory only takes up room. */
static void finish(struct commit_plan *plan, struct commit_switch *s, struct commit_outcome *outcome)
{
        struct operation *op = plan->session->op;
        const char *old = plan->collection->vector->id.bytes;
        outcome->status = COMMIT_DONE;
        if (s != NULL) {
                memcpy(outcome->old_id, old, sizeof(outcome->old_id));
                memcpy(outcome->new_id, commit_switch_id(s), sizeof(outcome->new_id));
                outcome->had_dir = file_stamp_at(op->dirfd, old).present;
                (void) commit_switch_end(s, &outcome->dir_left, &outcome->reason);
        }
        op->late = false;
}

/* A document may have nowhere to go. */
static int write_plan(struct commit_plan *plan, struct commit_switch *s, struct commit_counts *records)
{
        int r = commit_plan_write(plan, s, records);
        if (r == -EILSEQ && plan->cure == NULL && !plan->session->catalog->has_fts)
                plan->cure = "rebuild-fts";
        return r;
}

static int carry_out(struct commit_plan *plan, struct db **db, struct commit_outcome *outcome)
{
        CLEANUP(commit_switch_free)
        struct commit_switch *s = NULL;
        struct commit_counts records = { 0 };
        int r = prepare(plan, *db, &s);
        *db = db_close(*db);
        if (r == 0)
                r = write_plan(plan, s, &records);
        if (r < 0)
                return r;
        tell_plan(plan, outcome);
        outcome->records = records;
        finish(plan, s, outcome);
        return 0;
}

static int use_plan(struct commit_plan *plan, struct db **db, struct commit_outcome *outcome)
{
        struct commit_session *session = plan->session;
        int r = session->strict ? refuse_rejects(plan) : 0;
        if (r == 0)
                r = tell_rebuild(plan, outcome);
        if (r < 0)
                return r;
        if (commit_plan_has_work(plan) && !session->op->command->dry_run)
                return carry_out(plan, db, outcome);
        tell_plan(plan, outcome);
        outcome->status = commit_plan_has_work(plan) ? COMMIT_PLANNED : COMMIT_NOTHING;
        return 0;
}

static int try_once(struct commit_session *session, const char *id, struct commit_outcome *outcome)
{
        CLEANUP(db_close)
        struct db *db = NULL;
        CLEANUP(commit_plan_clear)
        struct commit_plan plan = { .session = session };
        int r = operation_read(session->op, &db);
        if (r == 0) {
                r = commit_plan_make(session, db, id, &plan);
                int described = describe(&plan, outcome);
                r = r < 0 ? r : described;
        }
        if (r == 0)
                r = use_plan(&plan, &db, outcome);
        bool is_itself = session->rebuild != NULL && plan.cure != NULL && strcmp(plan.cure, "rebuild-hnsw") == 0;
        outcome->cure = is_itself ? NULL : plan.cure;
        return r;
}

/* What is wrong with this collection alone. */
static bool is_its_own(int r)
{
        return r == -EILSEQ || r == -EAGAIN || r == -EOPNOTSUPP || r == -EOVERFLOW || r == -ESTALE;
}

int commit_collection(struct commit_session *session, const char *id, struct commit_outcome *ret)
{
        struct operation *op = session->op;
        int r = -ESTALE;
        *ret = (struct commit_outcome){ 0 };
        for (int i = 0; r == -ESTALE && i < TRIES; i++) {
                commit_outcome_clear(ret);
                r = try_once(session, id, ret);
        }
        if (r == -ENOENT && ret->collection == NULL && op->request->collection_id == NULL)
                return 0; /* deleted meanwhile */
        if (r == -ESTALE)
                (void) error_set(&op->error, EBUSY, "another process keeps changing the collection: try again when it is done");
        if (!is_its_own(r) || ret->collection == NULL)
                return r;
        ret->status = COMMIT_LEFT;
        ret->reason = op->error;
        op->error = (struct error){ 0 };
        return 0;
}

int commit_collection_strict(struct commit_session *session, const char *id)
{
        CLEANUP(db_close)
        struct db *db = NULL;
        CLEANUP(commit_plan_clear)
        struct commit_plan plan = { .session = session };
        int r = operation_read(session->op, &db);
        if (r < 0)
                return r;
        r = commit_plan_make(session, db, id, &plan);
        if (r == 0)
                return refuse_rejects(&plan);
        return is_its_own(r) || r == -ENOENT ? 0 : r; /* said later, or not at all */
}
