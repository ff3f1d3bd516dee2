#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "ops/clock.h"
#include "ops/commit/vector_parts.h"
#include "ops/pieces.h"

#define FIRST_JOBS 64u
#define BEGIN_ATTEMPTS 5 /* a writer that never pauses must not cost all that was done before */

static const char row_sql[] = "SELECT id, vector FROM embeddings_queue WHERE seq_id = ?1";
static const char record_sql[] = "SELECT e.seq_id FROM embeddings_queue q JOIN embeddings e ON e.embedding_id = q.id"
                                 " WHERE q.seq_id = ?1 AND e.segment_id = ?2";

/* --- jobs --- */

int commit_jobs_add(struct commit_jobs *jobs, uint64_t seq_id, uint64_t index, struct error *e)
{
        if (jobs->count == jobs->allocated) {
                size_t most = jobs->allocated < FIRST_JOBS ? FIRST_JOBS : jobs->allocated + jobs->allocated / 2;
                struct key_index *items = reallocarray(jobs->items, most, sizeof(*items));
                if (items == NULL)
                        return error_set(e, ENOMEM, "no memory for %zu rows of the log", most);
                jobs->items = items;
                jobs->allocated = most;
        }
        jobs->items[jobs->count++] = (struct key_index){ .key = seq_id, .index = index };
        return 0;
}

int commit_jobs_sort(struct commit_jobs *jobs, struct error *e)
{
        if (jobs->count == 0)
                return 0;
        CLEANUP(free)
        struct key_index *scratch = reallocarray(NULL, jobs->count, sizeof(*scratch));
        if (scratch == NULL)
                return error_set(e, ENOMEM, "no memory to sort %zu rows of the log", jobs->count);
        key_sort(jobs->items, scratch, jobs->count);
        return 0;
}

void commit_jobs_clear(struct commit_jobs *jobs)
{
        free(jobs->items);
        *jobs = (struct commit_jobs){ 0 };
}

/* --- reading --- */

typedef int job_fn(struct commit_vector_log *log, const struct key_index *job, sqlite3_stmt *stmt, void *context);

struct reading {
        struct commit_vector_log *log;
        sqlite3_stmt *stmt;
        const struct key_index *jobs;
        size_t count, next;
        bool may_be_absent;
        job_fn *take;
        commit_log_fn *fn;
        void *context;
};

static int gone(const struct commit_vector_log *log, uint64_t seq_id)
{
        return error_set(log->e, ESTALE, "row %llu of the log has changed, or is not there any more", (unsigned long long) seq_id);
}

static int read_job(struct reading *r, const struct key_index *job)
{
        struct commit_vector_log *log = r->log;
        int code = operation_progress(log->v->op, log->phase, log->done++, log->total);
        if (code < 0)
                return code;
        if (sqlite3_bind_int64(r->stmt, 1, (sqlite3_int64) job->key) != SQLITE_OK)
                return db_fail(log->db, log->e, "reading the log");
        code = db_step(log->db, r->stmt, log->e);
        if (code == 1)
                code = r->take(log, job, r->stmt, r);
        else if (code == 0 && !r->may_be_absent)
                code = gone(log, job->key);
        (void) sqlite3_reset(r->stmt);
        return code;
}

/* For PIECE_MS, at least one row. */
static int read_piece(struct reading *r)
{
        int64_t end = clock_ms() + PIECE_MS;
        int code = 0;
        do
                code = read_job(r, &r->jobs[r->next++]);
        while (code == 0 && r->next < r->count && clock_ms() < end);
        return code;
}

static int begin(const struct commit_vector_log *log)
{
        int r = -EBUSY;
        for (int i = 0; r == -EBUSY && i < BEGIN_ATTEMPTS; i++)
                r = db_begin(log->db, log->e);
        return r;
}

static int prepare(struct reading *r, const char *sql)
{
        struct commit_vector_log *log = r->log;
        int code = db_prepare(log->db, &r->stmt, log->e, sql);
        if (code < 0 || sqlite3_bind_parameter_count(r->stmt) < 2)
                return code;
        const struct text *id = &log->v->start.collection->metadata->id;
        if (id->len > INT_MAX || sqlite3_bind_text(r->stmt, 2, id->bytes, (int) id->len, SQLITE_STATIC) != SQLITE_OK)
                return db_fail(log->db, log->e, "reading the records");
        return 0;
}

static int read_all(struct reading *r, const char *sql)
{
        int code = 0;
        while (code == 0 && r->next < r->count) {
                code = begin(r->log);
                if (code < 0)
                        break;
                if (r->stmt == NULL)
                        code = prepare(r, sql);
                if (code == 0)
                        code = read_piece(r);
                db_end(r->log->db);
        }
        (void) sqlite3_finalize(r->stmt);
        return code;
}

/* --- rows --- */

static int take_row(struct commit_vector_log *log, const struct key_index *job, sqlite3_stmt *stmt, void *context)
{
        struct reading *r = context;
        const char *vector;
        struct commit_log_row row = { .job = job };
        size_t size;
        if (sqlite3_column_type(stmt, 0) != SQLITE_TEXT || sqlite3_column_type(stmt, 1) != SQLITE_BLOB ||
            !column_bytes(stmt, 0, &row.id, &row.id_len) || !column_bytes(stmt, 1, &vector, &size) ||
            size != 4 * (size_t) log->v->start.dimension)
                return gone(log, job->key);
        row.vector = (const unsigned char *) vector;
        return r->fn(r->context, &row);
}

int commit_log_read(struct commit_vector_log *log, const struct key_index *jobs, size_t count, commit_log_fn *fn, void *context)
{
        struct reading r = { .log = log, .jobs = jobs, .count = count, .take = take_row, .fn = fn, .context = context };
        return read_all(&r, row_sql);
}

static int take_record(struct commit_vector_log *log, const struct key_index *job, sqlite3_stmt *stmt, void *context)
{
        uint64_t seq_id = 0;
        (void) context;
        if (!position_decode(sqlite3_column_value(stmt, 0), &seq_id) || seq_id > INT64_MAX)
                seq_id = INT64_MAX; /* of no row: it tells nothing */
        commit_state_record(&log->v->ids.items[job->index], (int64_t) seq_id);
        return 0;
}

int commit_log_read_records(struct commit_vector_log *log, const struct key_index *jobs, size_t count)
{
        if (log->v->start.collection->metadata == NULL)
                return 0;
        struct reading r = { .log = log, .jobs = jobs, .count = count, .may_be_absent = true, .take = take_record };
        return read_all(&r, record_sql);
}
