/*
 * One transaction, and then VACUUM, which is another: who commits in between is copied as well, and who holds the database for long only costs the
 * VACUUM. A VACUUM that does not come to pass leaves the rows' content in free pages (secure_delete is off for it).
 */
#include "ops/operation/clean_write.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ops/operation/clean_delete.h"

#define TOPIC_DEFAULT "persistent://default/default/"
#define SYSDB_TOPIC_GONE 5 /* the migration that dropped collections.topic */

/* Inside the transaction. */

static int check_indexes(struct operation *op, const struct clean_plan *plan)
{
        for (size_t i = 0; i < plan->count; i++) {
                const struct clean_collection *item = &plan->collections[i];
                if (clean_rows_to_go(item) == 0)
                        continue;
                struct index_stamps now = index_stamps_read(op->dirfd, item->collection->vector->id.bytes);
                if (item->stamps == NULL || !index_stamps_equal(&now, item->stamps))
                        return error_set(&op->error, ESTALE, "the index of segment %s has changed meanwhile",
                                         item->collection->vector->id.bytes);
        }
        return 0;
}

/* The topic up to the collection's id, as the directory's rows have it. */
static int read_stored_topic(struct operation *op, struct write_db *w, const struct clean_plan *plan, const struct text *id,
                             struct text *ret)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        if (plan->catalog->version.sysdb >= SYSDB_TOPIC_GONE)
                return 0;
        int r = write_db_prepare(w, &stmt, &op->error, "SELECT topic FROM collections WHERE id = ?1 AND typeof(topic) = 'text'");
        if (r == 0 && sqlite3_bind_text64(stmt, 1, id->bytes, id->len, SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK)
                r = write_db_fail(w, &op->error, "the topic of a collection");
        if (r == 0)
                r = write_db_step(w, stmt, &op->error);
        if (r > 0)
                r = db_column_text(stmt, 0, ret, &op->error);
        return r < 0 ? r : 0;
}

static bool ends_with_id(const struct text *topic, const struct text *id)
{
        return topic->bytes != NULL && topic->len > id->len && topic->bytes[topic->len - id->len - 1] == '/' &&
               memcmp(topic->bytes + topic->len - id->len, id->bytes, id->len) == 0;
}

/* Of a row of the same collection, else what table collections says, else like any other row's, else the default. */
static int make_topic(struct operation *op, struct write_db *w, const struct clean_plan *plan, const struct clean_collection *item,
                      struct text *ret)
{
        const struct text *id = &item->collection->id, *like = &item->topic;
        CLEANUP(free)
        char *stored_bytes = NULL;
        struct text stored = { 0 };
        int r = like->bytes == NULL ? read_stored_topic(op, w, plan, id, &stored) : 0;
        stored_bytes = stored.bytes;
        if (r < 0)
                return r;
        if (like->bytes == NULL)
                like = ends_with_id(&stored, id) ? &stored : &plan->topic;
        const char *slash = like->bytes == NULL ? NULL : memrchr(like->bytes, '/', like->len);
        size_t len = slash == NULL ? strlen(TOPIC_DEFAULT) : (size_t) (slash + 1 - like->bytes);
        char *bytes = malloc(len + id->len + 1);
        if (bytes == NULL)
                return error_set(&op->error, ENOMEM, "no memory for a topic");
        memcpy(bytes, slash == NULL ? TOPIC_DEFAULT : like->bytes, len);
        memcpy(bytes + len, id->bytes, id->len + 1);
        *ret = (struct text){ bytes, len + id->len };
        return 0;
}

/* A DELETE of an id that there is not: nothing to whoever applies it (FORMAT I1). Of collections with the same position one gets it. */
static int put_sentinel(struct operation *op, struct write_db *w, const struct clean_plan *plan,
                        const struct clean_collection *item, int64_t seq_id)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        struct text topic = { 0 };
        int r = make_topic(op, w, plan, item, &topic);
        CLEANUP(free)
        char *bytes = topic.bytes;
        if (r == 0)
                r = write_db_prepare(
                        w, &stmt, &op->error,
                        "INSERT OR IGNORE INTO embeddings_queue (seq_id, operation, topic, id, vector, encoding, metadata)"
                        " VALUES (?1, 3, ?2, 'chromafs-sentinel-' || lower(hex(randomblob(16))), NULL, NULL, ?3)");
        if (r < 0)
                return r;
        const char *metadata = plan->catalog->version.rust ? "{}" : NULL;
        if (sqlite3_bind_int64(stmt, 1, seq_id) != SQLITE_OK ||
            sqlite3_bind_text64(stmt, 2, bytes, topic.len, SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK ||
            sqlite3_bind_text(stmt, 3, metadata, -1, SQLITE_STATIC) != SQLITE_OK)
                return write_db_fail(w, &op->error, "a row of the log");
        r = write_db_step(w, stmt, &op->error);
        return r < 0 ? r : 0;
}

static int put_sentinels(struct operation *op, struct write_db *w, struct clean_plan *plan)
{
        int64_t seq_id, before = sqlite3_total_changes64(write_db_handle(w));
        int r = 0;
        for (size_t i = 0; r == 0 && i < plan->count; i++)
                if (clean_wants_sentinel(plan, &plan->collections[i], &seq_id))
                        r = put_sentinel(op, w, plan, &plan->collections[i], seq_id);
        plan->sentinels = (uint64_t) (sqlite3_total_changes64(write_db_handle(w)) - before);
        return r;
}

/* FORMAT I1, of what is about to be committed. */
static int check_counter(struct operation *op, struct write_db *w, const struct clean_plan *plan)
{
        int64_t highest = 0;
        int r = write_db_number(w, 0, &highest, &op->error, "SELECT seq_id FROM embeddings_queue ORDER BY seq_id DESC LIMIT 1");
        if (r < 0)
                return r;
        if (plan->has_position && (highest < 0 || (uint64_t) highest < plan->position))
                return error_set(
                        &op->error, EILSEQ,
                        "the log would end at row %lld, below the position %llu: new rows would be lost; nothing was changed",
                        (long long) highest, (unsigned long long) plan->position);
        return 0;
}

static int change(struct operation *op, struct write_db *w, struct clean_plan *plan)
{
        int r = check_indexes(op, plan);
        if (r == 0 && plan->sentinel)
                r = put_sentinels(op, w, plan);
        if (r == 0)
                r = clean_delete(op, w, plan);
        return r < 0 ? r : check_counter(op, w, plan);
}

static int transact(struct operation *op, struct write_db *w, struct clean_plan *plan)
{
        int r = write_db_begin(w, &plan->counter, &op->error);
        if (r < 0)
                return r;
        r = change(op, w, plan);
        if (r < 0) {
                write_db_rollback(w);
                return r;
        }
        return write_db_commit(w, &op->error);
}

/* With nothing changed before, a cancel leaves everything as it was, and says so. */
static int run_vacuum(struct operation *op, struct write_db *w, bool changed, struct clean_vacuum *ret)
{
        struct error e = { 0 };
        (void) operation_progress(op, "vacuum", 0, 0);
        int r = write_db_vacuum(w, &e);
        op->late = true;
        if (r == -ECANCELED && !changed)
                return r;
        ret->done = r == 0;
        (void) snprintf(ret->reason, sizeof(ret->reason), "%s", ret->done ? "" : r == -ECANCELED ? "cancelled" : e.text);
        return 0;
}

int clean_write(struct operation *op, struct clean_plan *plan, bool vacuum, struct clean_vacuum *ret)
{
        CLEANUP(write_db_close)
        struct write_db *w = NULL;
        bool changes = plan->sentinel || clean_plan_rows_to_go(plan) > 0;
        int r = operation_write(op, &w);
        if (r == 0)
                r = write_db_set_secure_delete(w, !vacuum, &op->error);
        if (r == 0 && changes)
                r = transact(op, w, plan);
        if (r < 0)
                return r;
        op->late = !vacuum;
        r = vacuum ? run_vacuum(op, w, changes, ret) : 0;
        if (r == 0)
                op->error = (struct error){ 0 }; /* of a cancel that came too late */
        return r;
}
