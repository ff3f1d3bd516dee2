/*
 * What an operation's own code calls while it runs. Progress is told, and the front end asked for a cancel, only every so many milliseconds, since both
 * cost system calls and the callers call for every row.
 */
#include "ops/operation/operation.h"

#include <errno.h>
#include <string.h>

#include "ops/clock.h"
#include "ops/json.h"

#define REPORT_MS 100
#define ASK_MS 20

DEFINE_CLEANUP(struct json_object *, json_object_put)

/* Asks, and remembers a yes. */
static bool ask(struct operation *op, int64_t now)
{
        const struct operation_sink *sink = op->sink;
        if (op->cancelled || sink == NULL || sink->cancelled == NULL || now - op->asked_ms < ASK_MS)
                return op->cancelled;
        op->asked_ms = now;
        op->cancelled = sink->cancelled(sink->context);
        return op->cancelled;
}

bool operation_is_cancelled(void *context)
{
        struct operation *op = context;
        return !op->late && ask(op, clock_ms());
}

static void report(struct operation *op, const struct operation_progress *now, int64_t now_ms)
{
        const char *before = op->reported.phase;
        bool same = before == now->phase || (before != NULL && now->phase != NULL && strcmp(before, now->phase) == 0);
        op->reported = *now;
        if (same && now_ms - op->reported_ms < REPORT_MS)
                return;
        op->reported_ms = now_ms;
        if (op->sink != NULL && op->sink->progress != NULL)
                op->sink->progress(op->sink->context, now);
}

int operation_progress(struct operation *op, const char *phase, uint64_t done, uint64_t total)
{
        int64_t now_ms = clock_ms();
        report(op, &(struct operation_progress){ phase, done, total }, now_ms);
        if (!op->late && ask(op, now_ms))
                return error_set(&op->error, ECANCELED, "%s was cancelled: the directory is as it was", op->type->name);
        return 0;
}

bool operation_wants(const struct operation *op, const struct collection *collection)
{
        const struct operation_request *request = op->request;
        if (request->collection_id != NULL && !text_is(&collection->id, request->collection_id))
                return false;
        for (size_t i = 0; i < request->skip_count; i++)
                if (text_equal(&collection->id, &request->skip[i]))
                        return false;
        return true;
}

int operation_read(struct operation *op, struct db **ret)
{
        struct db *db = NULL;
        int r = db_open(op->dirfd, &db, &op->error);
        if (r < 0)
                return r;
        db_set_cancel(db, operation_is_cancelled, op);
        *ret = db;
        return 0;
}

int operation_write(struct operation *op, struct write_db **ret)
{
        return write_db_open(op->state, operation_is_cancelled, op, ret, &op->error);
}

static int add_text(struct json_object *object, const char *key, const struct text *value)
{
        struct json_object *text = json_text(value);
        return text == NULL ? -ENOMEM : json_add(object, key, text);
}

struct json_object *operation_collection_json(const struct collection *collection)
{
        CLEANUP(json_object_put)
        struct json_object *object = json_object_new_object();
        if (object == NULL || add_text(object, "id", &collection->id) < 0 || add_text(object, "name", &collection->name) < 0 ||
            add_text(object, "tenant", &collection->tenant) < 0 || add_text(object, "database", &collection->database) < 0)
                return NULL;
        return TAKE(object);
}

int operation_told(struct operation *op, int filled)
{
        if (filled == 0 || op->command->dry_run)
                return filled;
        op->error = (struct error){ 0 };
        return 0;
}
