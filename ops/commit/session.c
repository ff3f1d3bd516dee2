/*
 * What the collections of a commit share: the catalog and where the rows are in the log, read again only when someone else has committed.
 */
#include <errno.h>

#include "ops/commit/plan.h"

int commit_session_init(struct commit_session *session, struct operation *op)
{
        *session = (struct commit_session){ .op = op, .log = commit_log_new() };
        const struct option_value *strict = command_option_or_null(op->command, "strict");
        session->strict = strict != NULL && strict->flag;
        session->threads = (unsigned) command_option(op->command, "threads")->count;
        return session->log == NULL ? error_set(&op->error, ENOMEM, "no memory for a commit") : 0;
}

void commit_session_clear(struct commit_session *session)
{
        session->catalog = catalog_free(session->catalog);
        session->log = commit_log_free(session->log);
}

int commit_session_counter(struct db *db, const char *id, uint32_t *ret_counter, uint64_t *ret_fingerprint, struct error *e)
{
        int r = db_begin(db, e);
        if (r < 0)
                return r;
        r = db_change_counter(db, ret_counter, e);
        if (r == 0 && id != NULL)
                r = commit_fingerprint(db, id, ret_fingerprint, e);
        db_end(db);
        return r;
}

/* An id that someone had used up and that was given out again would be taken for one that was seen. */
static int check_log(struct commit_session *session)
{
        const struct catalog *c = session->catalog;
        if (!commit_log_is_ahead(session->log, c->has_queue_max ? c->queue_max : 0))
                return 0;
        session->log = commit_log_free(session->log);
        session->log = commit_log_new();
        return session->log == NULL ? error_set(&session->op->error, ENOMEM, "no memory for a commit") : 0;
}

int commit_session_catch_up(struct commit_session *session, struct db *db, uint32_t counter)
{
        if (session->fresh && counter == session->counter)
                return 0;
        session->catalog = catalog_free(session->catalog);
        session->fresh = false;
        session->counter = counter;
        int r = catalog_read(db, &session->catalog, &session->op->error);
        if (r == 0)
                r = check_log(session);
        if (r == 0)
                r = commit_log_scan(session->op, db, session->op->request->collection_id, session->log);
        session->fresh = r == 0;
        return r;
}

int commit_session_refresh(struct commit_session *session, struct db *db)
{
        uint32_t counter = 0;
        int r = commit_session_counter(db, NULL, &counter, NULL, &session->op->error);
        return r < 0 ? r : commit_session_catch_up(session, db, counter);
}
