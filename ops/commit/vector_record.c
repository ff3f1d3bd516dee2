/* Whether the records agree with what is to be done for rows that both segments passed. Only ids that something is to be done with are looked up: mostly none. */
#include "ops/commit/vector_parts.h"

static bool is_asked(const struct commit_id *id)
{
        return id->passed != 0 && id->action != COMMIT_KEEP;
}

static int find_jobs(struct commit_vector *v, struct commit_jobs *jobs, struct error *e)
{
        int r = 0;
        for (size_t i = 0; i < v->ids.count && r == 0; i++) {
                struct commit_id *id = &v->ids.items[i];
                if (!is_asked(id))
                        continue;
                id->has_record = 0; /* it may have been asked by another row */
                r = commit_jobs_add(jobs, (uint64_t) id->passed, i, e);
        }
        return r == 0 ? commit_jobs_sort(jobs, e) : r;
}

bool commit_vector_contradicts(const struct commit_vector *v, const struct text *id)
{
        const struct commit_id *found = commit_ids_find(&v->ids, id->bytes, id->len);
        return found != NULL && found->is_contradicted;
}

int commit_vector_is_borne_out(struct commit_vector *v, struct db *db, bool *ret, struct error *e)
{
        struct commit_vector_log log = { .v = v, .db = db, .phase = "asking the records", .e = e };
        struct commit_jobs jobs = { 0 };
        bool is_borne_out = true;
        int r = find_jobs(v, &jobs, e);
        log.total = jobs.count;
        if (r == 0)
                r = commit_log_read_records(&log, jobs.items, jobs.count);
        for (size_t i = 0; i < jobs.count && r == 0; i++) {
                struct commit_id *id = &v->ids.items[jobs.items[i].index];
                id->is_contradicted = !(id->has_record ? id->is_borne_out : commit_state_may_be_dead(id));
                is_borne_out = is_borne_out && !id->is_contradicted;
        }
        commit_jobs_clear(&jobs);
        if (r == 0)
                *ret = is_borne_out;
        return r;
}
