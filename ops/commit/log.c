/*
 * The log has no index on its topics: one pass finds where each collection's rows are, so that many collections don't each read all of it. Only the beginning of a row is read for that.
 *
 * A run goes on over a few rows of others, which are passed over again when it is walked: a run for each row would cost more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "ops/commit/plan.h"
#include "ops/pieces.h"
#include "ops/topic.h"

#define FOREIGN_ROWS 64 /* of others, in a run */

static const char topics_sql[] = "SELECT seq_id, topic FROM embeddings_queue WHERE seq_id >= ?1 ORDER BY seq_id";
static const char rows_sql[] =
        "SELECT " COMMIT_ROW_COLUMNS " FROM embeddings_queue WHERE seq_id >= ?1 AND seq_id <= ?2 ORDER BY seq_id";
enum { COLUMN_SEQ_ID = 0, COLUMN_TOPIC = 3 };

struct log_entry {
        char id[COLLECTION_ID_SIZE];
        struct commit_runs runs;
        size_t room;
        uint64_t at; /* number of its last row */
        UT_hash_handle hh;
};

struct commit_log {
        struct log_entry *entries, *last;
        uint64_t rows;
        struct int_key key;
};

struct commit_log *commit_log_new(void)
{
        struct commit_log *log = calloc(1, sizeof(*log));
        if (log != NULL)
                log->key = INT_KEY_START;
        return log;
}

struct commit_log *commit_log_free(struct commit_log *log)
{
        struct log_entry *entry, *next;
        if (log == NULL)
                return NULL;
        HASH_ITER(hh, log->entries, entry, next)
        {
                HASH_DEL(log->entries, entry);
                free(entry->runs.list);
                free(entry);
        }
        free(log);
        return NULL;
}

/* The pass. */

static struct log_entry *find_entry(struct commit_log *log, const char *id)
{
        if (log->last != NULL && memcmp(log->last->id, id, COLLECTION_ID_SIZE - 1) == 0)
                return log->last;
        struct log_entry *entry = NULL;
        HASH_FIND(hh, log->entries, id, COLLECTION_ID_SIZE - 1, entry);
        if (entry != NULL || (entry = calloc(1, sizeof(*entry))) == NULL)
                return entry;
        memcpy(entry->id, id, COLLECTION_ID_SIZE - 1);
        HASH_ADD_KEYPTR(hh, log->entries, entry->id, COLLECTION_ID_SIZE - 1, entry);
        return entry;
}

static int add_row(struct commit_log *log, struct log_entry *entry, int64_t seq_id)
{
        struct commit_runs *runs = &entry->runs;
        bool goes_on = runs->count > 0 && log->rows - entry->at <= FOREIGN_ROWS;
        entry->at = log->rows;
        log->last = entry;
        if (goes_on) {
                runs->list[runs->count - 1].last = seq_id;
                return 0;
        }
        if (runs->count == entry->room) {
                size_t room = entry->room == 0 ? 2 : 2 * entry->room;
                struct commit_run *list = reallocarray(runs->list, room, sizeof(*list));
                if (list == NULL)
                        return -ENOMEM;
                runs->list = list;
                entry->room = room;
        }
        runs->list[runs->count++] = (struct commit_run){ seq_id, seq_id };
        return 0;
}

struct pass {
        struct operation *op;
        struct commit_log *log;
        const char *only;
};

static int bind_pass(void *context, sqlite3_stmt *stmt)
{
        return int_key_bind(&((struct pass *) context)->log->key, stmt, 1);
}

static int take_topic(void *context, sqlite3_stmt *stmt)
{
        struct pass *p = context;
        const char *id = NULL;
        size_t len = 0;
        int64_t seq_id;
        int r = int_key_take(&p->log->key, stmt, 0, "embeddings_queue", &seq_id, &p->op->error);
        if (r < 0)
                return r;
        p->log->rows++;
        bool ours = topic_collection_id(stmt, 1, &id, &len) && len == COLLECTION_ID_SIZE - 1 &&
                    (p->only == NULL || memcmp(p->only, id, len) == 0);
        struct log_entry *entry = ours ? find_entry(p->log, id) : NULL;
        if (ours && (entry == NULL || add_row(p->log, entry, seq_id) < 0))
                return error_set(&p->op->error, ENOMEM, "no memory for the rows of the log");
        return operation_progress(p->op, "looking", p->log->rows, 0);
}

int commit_log_scan(struct operation *op, struct db *db, const char *only, struct commit_log *log)
{
        struct pass pass = { op, log, only };
        struct pieces pieces;
        pieces_init(&pieces, db);
        return log->key.ended ? 0 : pieces_walk(&pieces, topics_sql, bind_pass, take_topic, &pass, &op->error);
}

bool commit_log_is_ahead(const struct commit_log *log, int64_t last)
{
        return log->rows > 0 && (log->key.ended || log->key.next - 1 > last);
}

const struct commit_runs *commit_log_runs(const struct commit_log *log, const char *id)
{
        struct log_entry *entry = NULL;
        HASH_FIND(hh, log->entries, id, strlen(id), entry);
        return entry == NULL ? NULL : &entry->runs;
}

/* Walking. */

struct walk {
        const char *id;
        int64_t to;
        struct int_key key;
        commit_log_row_fn *row;
        void *context;
        struct error *e;
};

static int take_row(void *context, sqlite3_stmt *stmt)
{
        struct walk *w = context;
        const char *id = NULL;
        size_t len = 0;
        int64_t seq_id;
        int r = int_key_take(&w->key, stmt, COLUMN_SEQ_ID, "embeddings_queue", &seq_id, w->e);
        if (r < 0)
                return r;
        bool ours = topic_collection_id(stmt, COLUMN_TOPIC, &id, &len) && len == strlen(w->id) && memcmp(id, w->id, len) == 0;
        return ours ? w->row(w->context, stmt) : 0;
}

static int bind_walk(void *context, sqlite3_stmt *stmt)
{
        struct walk *w = context;
        int r = int_key_bind(&w->key, stmt, 1);
        return r < 0 ? r : sqlite3_bind_int64(stmt, 2, w->to) == SQLITE_OK ? 0 : -ENOMEM;
}

/* The part of a run that lies between both; false when none does. */
static bool cut_run(const struct commit_run *run, int64_t from, int64_t to, struct walk *w)
{
        w->key = (struct int_key){ .next = run->first > from ? run->first : from };
        w->to = run->last < to ? run->last : to;
        return w->key.next <= w->to;
}

int commit_log_walk(struct db *db, const struct commit_runs *runs, const char *id, int64_t from, int64_t to, commit_log_row_fn *row,
                    void *context, struct error *e)
{
        struct walk w = { .id = id, .row = row, .context = context, .e = e };
        struct pieces pieces;
        int r = 0;
        pieces_init(&pieces, db);
        for (size_t i = 0; r == 0 && runs != NULL && i < runs->count; i++)
                if (cut_run(&runs->list[i], from, to, &w))
                        r = pieces_walk(&pieces, rows_sql, bind_walk, take_row, &w, e);
        return r;
}

int commit_log_walk_writing(struct write_db *w, const struct commit_runs *runs, const char *id, int64_t from, int64_t to,
                            commit_log_row_fn *row, void *context, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        struct walk walk = { .id = id, .row = row, .context = context, .e = e };
        int r = write_db_prepare(w, &stmt, e, rows_sql);
        for (size_t i = 0; r == 0 && runs != NULL && i < runs->count; i++) {
                if (!cut_run(&runs->list[i], from, to, &walk))
                        continue;
                if (bind_walk(&walk, stmt) < 0)
                        return error_set(e, ENOMEM, "no memory for the rows of the log");
                while (r == 0 && (r = write_db_step(w, stmt, e)) > 0)
                        r = take_row(&walk, stmt);
                (void) sqlite3_reset(stmt);
        }
        return r;
}
