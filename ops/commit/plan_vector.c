/*
 * Rows up to the positions are looked at again for what Chroma lost of them. Where it never applied them (FORMAT R1: the log was emptied, and numbers below the positions were handed out again), they
 * are not there for it, and must not be for us: half of them, their vectors, would be worse than nothing. A deleted vector of a record that is there can't be had back.
 */
#include "ops/commit/plan.h"

struct gathering {
        struct commit_plan *plan;
        uint64_t done;
};

static int take_row(void *context, sqlite3_stmt *stmt)
{
        struct gathering *g = context;
        struct operation *op = g->plan->session->op;
        struct error why = { 0 };
        struct commit_row row = { 0 };
        int r = commit_row_decode(stmt, &g->plan->rules, &row, &why, &op->error);
        if (r == 0)
                r = commit_vector_gather(g->plan->vector, &row, &op->error);
        commit_row_clear(&row);
        return r < 0 ? r : operation_progress(op, "reading", ++g->done, g->plan->rows);
}

/* A rebuild may need what the log has of others, since the index is perhaps in pieces. */
static int plan_above_position(struct commit_plan *plan, struct db *db)
{
        struct gathering g = { .plan = plan };
        struct error *e = &plan->session->op->error;
        CLEANUP(commit_vector_free)
        struct commit_vector *before = plan->vector;
        bool is_rebuild = plan->session->rebuild != NULL;
        plan->vector = NULL;
        int r = commit_plan_begin_vector(plan, true, is_rebuild ? before : NULL);
        if (r == 0)
                r = commit_log_walk(db, plan->runs, plan->id, is_rebuild ? INT64_MIN : plan->vector_position + 1, plan->last,
                                    take_row, &g, e);
        return r < 0 ? r : commit_vector_plan(plan->vector, db, &plan->vectors, e);
}

int commit_plan_vector(struct commit_plan *plan, struct db *db)
{
        bool is_borne_out = true;
        struct error *e = &plan->session->op->error;
        int r = commit_vector_plan(plan->vector, db, &plan->vectors, e);
        if (r == 0)
                r = commit_vector_is_borne_out(plan->vector, db, &is_borne_out, e);
        if (r == 0 && !is_borne_out)
                r = plan_above_position(plan, db);
        return r < 0 ? r : commit_vector_check_gone(plan->vector, db, e);
}
