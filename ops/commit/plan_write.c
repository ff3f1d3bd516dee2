/*
 * The transaction: what was planned on is looked at again, the metadata segment's rows are applied, the new index gets its id, and both positions move; or nothing of it.
 */
#include <errno.h>

#include "ops/commit/plan.h"

struct applying {
        struct commit_plan *plan;
        struct commit_metadata *metadata; /* NULL: rows are only hashed */
        int64_t position;                 /* of the metadata segment, now */
        uint64_t rows, rows_hash, done;
};

static struct error *error_of(const struct commit_plan *plan)
{
        return &plan->session->op->error;
}

static int stale(const struct commit_plan *plan, const char *what)
{
        return error_set(error_of(plan), ESTALE, "%s of collection %s changed meanwhile", what, plan->id);
}

/* Looking again. */

static int check_state(struct commit_plan *plan, struct write_db *w)
{
        uint64_t fingerprint = 0;
        int r = commit_fingerprint_writing(w, plan->id, &fingerprint, error_of(plan));
        if (r < 0)
                return r;
        return fingerprint == plan->fingerprint ? 0 : stale(plan, "the segments");
}

static int check_index(const struct commit_plan *plan)
{
        if (plan->vector == NULL)
                return 0;
        struct index_stamps now = index_stamps_read(plan->session->op->dirfd, plan->collection->vector->id.bytes);
        return index_stamps_equal(&now, commit_vector_stamps(plan->vector)) ? 0 : stale(plan, "the index");
}

/* Records. */

static int apply_row(struct applying *a, sqlite3_stmt *stmt)
{
        struct commit_row_rules rules = a->plan->rules;
        rules.metadata_position = a->position;
        struct operation *op = a->plan->session->op;
        struct error why = { 0 };
        struct commit_row row = { 0 };
        int r = commit_row_decode(stmt, &rules, &row, &why, &op->error);
        if (r >= 0 && row.seq_id > a->plan->passed) {
                a->rows++;
                a->rows_hash = commit_rows_hash(a->rows_hash, &row);
        }
        if (r == 0 && a->metadata != NULL && row.seq_id > a->position)
                r = commit_metadata_apply(a->metadata, &row, &op->error);
        commit_row_clear(&row);
        return r < 0 ? r : 0;
}

static int take_row(void *context, sqlite3_stmt *stmt)
{
        struct applying *a = context;
        int r = apply_row(a, stmt);
        return r < 0 ? r : operation_progress(a->plan->session->op, "applying", ++a->done, a->plan->rows);
}

/* `exact`: nobody has committed since it was planned. */
static int apply_rows(struct applying *a, struct write_db *w, bool exact)
{
        struct commit_plan *plan = a->plan;
        int64_t from = exact ? a->position : plan->passed;
        if (exact && a->metadata == NULL)
                return 0;
        int r = commit_log_walk_writing(w, plan->runs, plan->id, from + 1, plan->last, take_row, a, error_of(plan));
        if (r == 0 && !exact && (a->rows != plan->rows || a->rows_hash != plan->rows_hash))
                return stale(plan, "the log");
        return r;
}

static int write_records(struct commit_plan *plan, struct write_db *w, bool exact, struct commit_counts *ret)
{
        struct applying a = { .plan = plan };
        const struct collection *c = plan->collection;
        struct error *e = error_of(plan);
        int r = commit_record_position(w, c->metadata->id.bytes, &a.position, e);
        if (r == 0 && plan->last > a.position)
                r = commit_metadata_begin(w, plan->session->catalog, c, &a.metadata, e);
        if (r == 0)
                r = apply_rows(&a, w, exact);
        if (r == 0 && a.metadata != NULL)
                r = commit_metadata_end(a.metadata, plan->last, ret, e);
        (void) commit_metadata_free(a.metadata);
        return r;
}

/* Vectors. */

static int write_dimension(struct commit_plan *plan, struct write_db *w)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        struct error *e = error_of(plan);
        if (!plan->gives_dimension)
                return 0;
        int r = write_db_prepare(w, &stmt, e, "UPDATE collections SET dimension = ?1 WHERE id = ?2 AND dimension IS NULL");
        if (r == 0 && (sqlite3_bind_int64(stmt, 1, plan->rules.dimension) != SQLITE_OK ||
                       sqlite3_bind_text(stmt, 2, plan->id, -1, SQLITE_STATIC) != SQLITE_OK))
                r = write_db_fail(w, e, "the dimension of a collection");
        if (r == 0)
                r = write_db_step(w, stmt, e);
        return r < 0 ? r : 0;
}

static int write_vectors(struct commit_plan *plan, struct write_db *w, struct commit_switch *s)
{
        struct error *e = error_of(plan);
        const char *id = s != NULL ? commit_switch_id(s) : plan->collection->vector->id.bytes;
        int r = write_dimension(plan, w);
        if (r == 0 && s != NULL)
                r = commit_switch_write(s, w, e);
        if (r == 0 && plan->moves_vector)
                r = commit_set_position(w, &plan->rules.version, id, commit_plan_vector_target(plan), e);
        return r;
}

/* FORMAT I1: else the rows that Chroma writes next would be taken for old ones. */
static int check_counter(struct commit_plan *plan, struct write_db *w)
{
        int64_t highest = 0;
        int r = write_db_number(w, 0, &highest, error_of(plan), "SELECT seq_id FROM embeddings_queue ORDER BY seq_id DESC LIMIT 1");
        return r < 0 || highest >= plan->last ? r : stale(plan, "the log");
}

static int change(struct commit_plan *plan, struct write_db *w, struct commit_switch *s, bool exact, struct commit_counts *ret)
{
        int r = exact ? 0 : check_state(plan, w);
        if (r == 0)
                r = check_index(plan);
        if (r == 0)
                r = check_counter(plan, w);
        if (r == 0)
                r = write_records(plan, w, exact, ret);
        if (r == 0 && plan->change.count > 0)
                r = configure_change_write(w, &plan->rules.version, plan->collection, &plan->change, error_of(plan));
        if (r == 0)
                r = write_vectors(plan, w, s);
        return r < 0 ? r : operation_progress(plan->session->op, "committing", 0, 0);
}

/* Nobody else has committed: then the catalog is still right for all other collections. */
static void note_commit(struct commit_session *session, const struct commit_plan *plan, bool exact)
{
        session->fresh = exact && session->counter == plan->counter;
        session->counter++;
}

static int begin(struct commit_plan *plan, struct write_db *w, bool *ret_exact)
{
        int r = write_db_begin(w, &plan->counter, error_of(plan));
        *ret_exact = r == 0;
        return r == -ESTALE ? write_db_begin(w, NULL, error_of(plan)) : r;
}

int commit_plan_write(struct commit_plan *plan, struct commit_switch *s, struct commit_counts *ret_records)
{
        CLEANUP(write_db_close)
        struct write_db *w = NULL;
        struct operation *op = plan->session->op;
        bool exact = false;
        int r = operation_progress(op, "applying", 0, plan->rows);
        if (r == 0)
                r = operation_write(op, &w);
        if (r == 0)
                r = begin(plan, w, &exact);
        if (r < 0)
                return r;
        r = change(plan, w, s, exact, ret_records);
        if (r < 0) {
                write_db_rollback(w);
                return r;
        }
        op->late = true;
        r = write_db_commit(w, &op->error);
        op->late = r == 0;
        if (r == 0)
                note_commit(plan->session, plan, exact);
        return r;
}
