/*
 * Deletes the rows that were found, batch by batch: a batch is a number of runs with at most ORPHAN_RUN_MAX rows, or a single run,
 * and must delete as many rows as it has. The caller's transaction began with the change counter of the finding (write_db_begin),
 * so that anything else is a damaged table or index: then nothing is deleted at all.
 *
 * One statement for a batch, however short its runs are: FTS5 writes what it has in memory at the end of each statement, and a
 * statement for each row takes several times as long. Its ranges are parameters; those that a batch leaves over are NULL, and nothing
 * lies between NULL and NULL.
 *
 * A full-text table can only be changed through FTS5, which reads its own index for that, and finds damage there. Its deletions
 * have a savepoint of their own. A second one inside makes FTS5 write everything while the first can still be rolled back to. Some
 * damage makes FTS5 fail in rolling back, too; SQLite then ends the whole transaction.
 */
#include "ops/operation/orphan_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define BATCH_RUNS 1024

struct deleting {
        struct operation *op;
        struct write_db *w;
        uint64_t done, total;
};

struct batch {
        const struct orphan_run *runs;
        size_t count;
        uint32_t rows;
};

/* The next one of the list; `from` is where the one before ended. */
static struct batch next_batch(const struct orphan_list *list, size_t from)
{
        struct batch batch = { .runs = &list->runs[from] };
        for (size_t i = from; i < list->count && batch.count < BATCH_RUNS; i++) {
                if (batch.count > 0 && batch.rows + list->runs[i].rows > ORPHAN_RUN_MAX)
                        break;
                batch.rows += list->runs[i].rows;
                batch.count++;
        }
        return batch;
}

static int bind_runs(sqlite3_stmt *stmt, const struct batch *batch)
{
        int rc = sqlite3_clear_bindings(stmt);
        for (size_t i = 0; rc == SQLITE_OK && i < batch->count; i++) {
                int parameter = 2 * (int) i + 1;
                rc = sqlite3_bind_int64(stmt, parameter, batch->runs[i].first);
                if (rc == SQLITE_OK)
                        rc = sqlite3_bind_int64(stmt, parameter + 1, batch->runs[i].last);
        }
        return rc;
}

static int delete_batch(struct deleting *d, sqlite3_stmt *stmt, const char *table, const struct batch *batch)
{
        struct error *e = &d->op->error;
        (void) sqlite3_reset(stmt);
        if (bind_runs(stmt, batch) != SQLITE_OK)
                return write_db_fail(d->w, e, "binding ranges of rows");
        int r = write_db_step(d->w, stmt, e);
        if (r < 0)
                return r;
        int64_t deleted = sqlite3_changes64(write_db_handle(d->w));
        if (deleted != batch->rows)
                return error_set(e, EILSEQ, "table %s is damaged: %" PRId64 " rows went where there are %" PRIu32, table, deleted,
                                 batch->rows);
        d->done += batch->rows;
        return operation_progress(d->op, "deleting", d->done, d->total);
}

/* The caller frees it with sqlite3_free(); NULL without memory. */
static char *delete_sql(const struct orphan_table_type *type)
{
        sqlite3_str *sql = sqlite3_str_new(NULL);
        sqlite3_str_appendall(sql, "WITH runs(first, last) AS (VALUES (?, ?)");
        for (int i = 1; i < BATCH_RUNS; i++)
                sqlite3_str_appendall(sql, ", (?, ?)");
        sqlite3_str_appendf(sql,
                            ") DELETE FROM %s WHERE rowid IN (SELECT s.rowid FROM runs CROSS JOIN %s AS s"
                            " WHERE s.rowid BETWEEN runs.first AND runs.last)",
                            type->name, type->source);
        return sqlite3_str_finish(sql);
}

static int delete_list(struct deleting *d, enum orphan_table table, const struct orphan_list *list)
{
        if (list->count == 0)
                return 0;
        const struct orphan_table_type *type = &orphan_table_types[table];
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        char *sql = delete_sql(type);
        int r = sql == NULL ? error_set(&d->op->error, ENOMEM, "no memory for a statement")
                            : write_db_prepare(d->w, &stmt, &d->op->error, sql);
        sqlite3_free(sql);
        for (size_t from = 0; r == 0 && from < list->count;) {
                struct batch batch = next_batch(list, from);
                r = delete_batch(d, stmt, type->name, &batch);
                from += batch.count;
        }
        return r;
}

/* FTS5 has codes of its own for what it calls damage. Pages of the file that are damaged, or that the disk does not give (SQLite calls
   EIO that, too), are another matter: nobody knows what else is there. */
static bool is_fulltext_damage(struct deleting *d, int r)
{
        int rc = sqlite3_extended_errcode(write_db_handle(d->w));
        return r == -EILSEQ && ((rc & 0xff) != SQLITE_CORRUPT || rc == SQLITE_CORRUPT_VTAB);
}

/* 0 also when the table is damaged: then it is as it was, and `left`. -EAGAIN: it is, and there is no transaction any more. */
static int delete_fulltext(struct deleting *d, enum orphan_table table, struct orphan_list *list)
{
        struct error *e = &d->op->error;
        if (list->count == 0 || list->left)
                return 0;
        int r = write_db_exec(d->w, e, "SAVEPOINT fulltext");
        if (r < 0)
                return r;
        r = delete_list(d, table, list);
        if (r == 0)
                r = write_db_exec(d->w, e, "SAVEPOINT written");
        if (is_fulltext_damage(d, r)) {
                list->left = true;
                if (sqlite3_get_autocommit(write_db_handle(d->w)))
                        return error_set(e, EAGAIN, "the damaged table %s has ended the transaction",
                                         orphan_table_types[table].name);
                *e = (struct error){ 0 };
                r = write_db_exec(d->w, e, "ROLLBACK TO fulltext");
        }
        return r < 0 ? r : write_db_exec(d->w, e, "RELEASE fulltext");
}

int orphan_rows_delete(struct operation *op, struct write_db *w, struct orphan_rows *rows)
{
        struct deleting d = { .op = op, .w = w, .total = orphan_rows_count(rows) };
        struct orphan_list *lists = rows->lists;
        int r = delete_fulltext(&d, ORPHAN_FULLTEXT, &lists[ORPHAN_FULLTEXT]);
        if (r == 0)
                r = delete_fulltext(&d, ORPHAN_OLD_FULLTEXT, &lists[ORPHAN_OLD_FULLTEXT]);
        if (r == 0)
                lists[ORPHAN_EMBEDDINGS].left = lists[ORPHAN_FULLTEXT].left || lists[ORPHAN_OLD_FULLTEXT].left;
        for (int i = ORPHAN_METADATA_ARRAY; r == 0 && i < ORPHAN_TABLE_COUNT; i++)
                if (!lists[i].left)
                        r = delete_list(&d, (enum orphan_table) i, &lists[i]);
        return r;
}

/* They went together, so that one run tells. */
int orphan_rows_are_gone(struct write_db *w, const struct orphan_rows *rows, struct error *e)
{
        for (int i = 0; i < ORPHAN_TABLE_COUNT; i++) {
                const struct orphan_list *list = &rows->lists[i];
                if (list->left || list->count == 0)
                        continue;
                char sql[160];
                int64_t count = 0;
                (void) snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s WHERE rowid BETWEEN %" PRId64 " AND %" PRId64,
                                orphan_table_types[i].source, list->runs[0].first, list->runs[0].last);
                int r = write_db_number(w, 0, &count, e, sql);
                return r < 0 ? r : count == 0;
        }
        return 0;
}
