/*
 * A DELETE whose WHERE says which topics go, by a subquery or a function of ours, is slow: SQLite collects all rows first, or opens a savepoint, with
 * which it writes every page that becomes empty back to the file, only to free it. So the rows are looked at first, a batch at a time, and
 * deleted by ranges of seq_id that hold none which stays. The pages of a batch are still in the cache then.
 */
#include "ops/operation/clean_delete.h"

#include <errno.h>

#include "ops/pieces.h"
#include "ops/topic.h"

#define BATCH_ROWS 16384u
#define BATCH_RANGES 1024u
#define PROGRESS_ROWS 64u

static const char select_sql[] =
        "SELECT seq_id, topic FROM embeddings_queue NOT INDEXED WHERE seq_id >= ?1 AND seq_id < ?2 ORDER BY seq_id";
static const char delete_sql[] = "DELETE FROM embeddings_queue WHERE seq_id >= ?1 AND seq_id <= ?2";

struct deleting {
        struct operation *op;
        struct write_db *w;
        struct clean_plan *plan;
        sqlite3_stmt *select, *delete;
        struct int_key key;
        int64_t limit; /* no row from here on goes */
        bool finished;
        struct {
                int64_t first, last;
        } ranges[BATCH_RANGES];
        size_t range_count;
        bool open; /* the next row that goes belongs to the last range */
        uint64_t done, total;
};

static bool goes(struct clean_plan *plan, sqlite3_stmt *stmt, int64_t seq_id)
{
        const char *id;
        size_t len;
        if (!topic_collection_id(stmt, 1, &id, &len))
                return false;
        const struct clean_collection *item = clean_plan_find(plan, id, len);
        return item != NULL && item->kept == NULL && seq_id < item->limit;
}

/* 1: the batch is full, at a row that it does not take. */
static int take_row(struct deleting *d, int64_t seq_id)
{
        if (!goes(d->plan, d->select, seq_id)) {
                d->open = false;
                return 0;
        }
        if (!d->open && d->range_count == BATCH_RANGES)
                return 1;
        if (!d->open)
                d->ranges[d->range_count++].first = seq_id;
        d->ranges[d->range_count - 1].last = seq_id;
        d->open = true;
        return 0;
}

static int look_at_batch(struct deleting *d)
{
        int r = 0;
        for (unsigned i = 0; i < BATCH_ROWS; i++) {
                int64_t seq_id;
                struct int_key before = d->key;
                r = write_db_step(d->w, d->select, &d->op->error);
                d->finished = r == 0;
                if (r <= 0)
                        return r;
                r = int_key_take(&d->key, d->select, 0, "embeddings_queue", &seq_id, &d->op->error);
                if (r == 0)
                        r = take_row(d, seq_id);
                if (r > 0)
                        d->key = before;
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return 0;
}

static int bind_range(struct deleting *d, sqlite3_stmt *stmt, int64_t first, int64_t last)
{
        (void) sqlite3_reset(stmt);
        if (sqlite3_bind_int64(stmt, 1, first) != SQLITE_OK || sqlite3_bind_int64(stmt, 2, last) != SQLITE_OK)
                return write_db_fail(d->w, &d->op->error, "deleting rows of the log");
        return 0;
}

static int delete_ranges(struct deleting *d)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < d->range_count; i++) {
                r = bind_range(d, d->delete, d->ranges[i].first, d->ranges[i].last);
                if (r == 0)
                        r = write_db_step(d->w, d->delete, &d->op->error);
                if (r == 0)
                        d->done += (uint64_t) sqlite3_changes64(write_db_handle(d->w));
                if (r == 0 && i % PROGRESS_ROWS == 0)
                        r = operation_progress(d->op, "deleting", d->done, d->total);
        }
        return r;
}

static int delete_batch(struct deleting *d)
{
        d->range_count = 0;
        d->open = false;
        int r = bind_range(d, d->select, d->key.next, d->limit);
        if (r == 0)
                r = look_at_batch(d);
        (void) sqlite3_reset(d->select);
        return r < 0 ? r : delete_ranges(d);
}

static int64_t highest_limit(const struct clean_plan *plan)
{
        int64_t limit = INT64_MIN;
        for (size_t i = 0; i < plan->count; i++)
                if (clean_rows_to_go(&plan->collections[i]) > 0 && plan->collections[i].limit > limit)
                        limit = plan->collections[i].limit;
        return limit;
}

static int delete_all(struct deleting *d)
{
        int r = write_db_prepare(d->w, &d->select, &d->op->error, select_sql);
        if (r == 0)
                r = write_db_prepare(d->w, &d->delete, &d->op->error, delete_sql);
        while (r == 0 && !d->finished)
                r = delete_batch(d);
        return r;
}

int clean_delete(struct operation *op, struct write_db *w, struct clean_plan *plan)
{
        struct deleting d = {
                .op = op,
                .w = w,
                .plan = plan,
                .key = INT_KEY_START,
                .limit = highest_limit(plan),
                .total = clean_plan_rows_to_go(plan),
        };
        int r = operation_progress(op, "deleting", 0, d.total);
        if (r == 0 && d.total > 0)
                r = delete_all(&d);
        (void) sqlite3_finalize(d.select);
        (void) sqlite3_finalize(d.delete);
        if (r == 0 && d.done != d.total)
                r = error_set(&op->error, EILSEQ,
                              "%llu rows of the log would be deleted, where %llu were checked: nothing was changed",
                              (unsigned long long) d.done, (unsigned long long) d.total);
        return r;
}
