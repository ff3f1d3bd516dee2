#include "ops/operation/operation_outcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ops/clock.h"
#include "ops/json.h"
#include "ops/operation/guard.h"

DEFINE_CLEANUP(struct json_object *, json_object_put)

/* json_add() takes NULL for JSON null, but these values can't be null. */
static int add(struct json_object *object, const char *key, struct json_object *value)
{
        return value == NULL ? -ENOMEM : json_add(object, key, value);
}

static int add_time(struct json_object *object, const char *key, time_t when)
{
        char text[32];
        struct tm tm;
        if (gmtime_r(&when, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                return json_add(object, key, NULL);
        return add(object, key, json_string(text));
}

static int add_name(struct json_object *object, const char *key, const char *name)
{
        return name == NULL || name[0] == '\0' ? json_add(object, key, NULL) : add(object, key, json_string(name));
}

/* The line as it was written, without its newline; what is too long for a command is cut. */
static int add_line(struct json_object *object, const struct operation_request *request)
{
        const char *bytes = request->written != NULL ? request->written->bytes : request->line;
        size_t len = request->written != NULL ? request->written->len : request->line_len;
        len -= len > 0 && bytes[len - 1] == '\n';
        struct text line = { .len = len < COMMAND_MAX ? len : COMMAND_MAX };
        if (text_copy(&line, bytes, line.len) < 0)
                return -ENOMEM;
        int r = add(object, "options", json_text(&line));
        free(line.bytes);
        return r;
}

static int add_status(struct json_object *object, int code, const struct error *error)
{
        const char *status = code == 0 ? "done" : code == -ECANCELED ? "canceled" : "failed";
        int r = add(object, "status", json_string(status));
        if (r == 0)
                r = add_name(object, "errno", code == 0 ? NULL : strerrorname_np(-code));
        return r < 0 ? r : add_name(object, "sentence", code == 0 ? NULL : error->text);
}

static int add_times(struct json_object *object, const struct outcome_times *times)
{
        int r = add_time(object, "started", times->started);
        if (r == 0)
                r = add_time(object, "finished", time(NULL));
        return r < 0 ? r : add(object, "seconds", json_double((double) (clock_ms() - times->started_ms) / 1000.0));
}

int operation_outcome(const struct operation_request *request, bool dry_run, const struct outcome_times *times, int code,
                      const struct error *error, struct json_object *result, struct json_object **ret)
{
        CLEANUP(json_object_put)
        struct json_object *outcome = json_object_new_object();
        if (outcome == NULL || add(outcome, "operation", json_string(request->type->name)) < 0 ||
            add_name(outcome, "collection", request->collection_id) < 0 || add_line(outcome, request) < 0 ||
            add(outcome, "dry_run", json_object_new_boolean(dry_run)) < 0 || add_times(outcome, times) < 0 ||
            add_status(outcome, code, error) < 0 || json_add(outcome, "result", json_object_get(result)) < 0)
                return -ENOMEM;
        *ret = TAKE(outcome);
        return 0;
}

int operation_add_user(struct json_object *result, const struct guard_finding *finding)
{
        if (!finding->writer && !finding->blind)
                return json_add(result, "in_use_by", NULL);
        CLEANUP(json_object_put)
        struct json_object *user = json_object_new_object();
        bool known = finding->writer && finding->pid > 0;
        if (user == NULL || (known ? add(user, "pid", json_object_new_int64(finding->pid)) : json_add(user, "pid", NULL)) < 0 ||
            add_name(user, "command", finding->writer ? finding->command : NULL) < 0 ||
            add_name(user, "file", finding->writer ? finding->file : NULL) < 0)
                return -ENOMEM;
        return json_add(result, "in_use_by", TAKE(user));
}
