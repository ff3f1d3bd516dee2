#include "ops/commit/result.h"

#include <errno.h>

#include "ops/json.h"

DEFINE_CLEANUP(struct json_object *, json_object_put)

int commit_result_init(struct commit_result *result, struct error *e)
{
        *result = (struct commit_result){ .left_list = json_object_new_array(), .done_list = json_object_new_array() };
        if (result->left_list != NULL && result->done_list != NULL)
                return 0;
        commit_result_clear(result);
        return error_set(e, ENOMEM, "no memory for the result");
}

void commit_result_clear(struct commit_result *result)
{
        json_object_put(result->left_list);
        json_object_put(result->done_list);
        *result = (struct commit_result){ 0 };
}

static struct json_object *number(uint64_t n)
{
        return json_object_new_uint64(n);
}

/* Adds what is not NULL; what could not be made is no memory. */
static int add(struct json_object *object, const char *key, struct json_object *value)
{
        return value == NULL ? -ENOMEM : json_add(object, key, value);
}

static int add_counts(struct json_object *object, const char *key, const struct commit_counts *counts)
{
        struct json_object *o = json_object_new_object();
        if (add(object, key, o) < 0 || add(o, "adds", number(counts->adds)) < 0 || add(o, "updates", number(counts->updates)) < 0 ||
            add(o, "deletes", number(counts->deletes)) < 0 || add(o, "ignored", number(counts->ignored)) < 0)
                return -ENOMEM;
        return 0;
}

static int add_rejected(struct json_object *object, const struct commit_rejects *rejects)
{
        size_t count = rejects == NULL ? 0 : commit_rejects_count(rejects);
        int r = add(object, "rejected", number(count));
        if (r < 0)
                return r;
        return add(object, "rejected_rows",
                   rejects == NULL ? json_object_new_array() : commit_rejects_json(rejects, COMMIT_REJECTED_LISTED_MAX));
}

static struct json_object *string_or_null(const char *s)
{
        return s == NULL || s[0] == '\0' ? NULL : json_string(s);
}

static int add_segment(struct json_object *object, const struct commit_outcome *outcome)
{
        const char *directory = !outcome->had_dir ? NULL : outcome->dir_left ? "stays" : "trash";
        int r = json_add(object, "segment_id", string_or_null(outcome->new_id));
        if (r == 0)
                r = json_add(object, "old_segment_id", string_or_null(outcome->old_id));
        return r < 0 ? r : json_add(object, "old_directory", string_or_null(directory));
}

static int add_estimate(struct json_object *object, uint64_t memory, uint64_t disk, double seconds)
{
        int r = add(object, "memory", number(memory));
        if (r == 0)
                r = add(object, "disk", number(disk));
        return r < 0 ? r : add(object, "estimated_seconds", json_double((double) (uint64_t) (seconds * 10 + 0.5) / 10));
}

static const char *status_name(enum commit_status status)
{
        switch (status) {
        case COMMIT_DONE:
                return "committed";
        case COMMIT_PLANNED:
                return "planned";
        case COMMIT_LEFT:
                return "left";
        case COMMIT_NOTHING:
                break;
        }
        return "unchanged";
}

static struct json_object *describe(const struct commit_outcome *outcome)
{
        CLEANUP(json_object_put)
        struct json_object *object = NULL;
        if (json_object_deep_copy(outcome->collection, &object, NULL) < 0 ||
            add(object, "status", json_string(status_name(outcome->status))) < 0 ||
            add(object, "rows", number(outcome->rows)) < 0 ||
            json_add(object, "position", outcome->has_position ? json_object_new_int64(outcome->position) : NULL) < 0 ||
            add_counts(object, "records", &outcome->records) < 0 || add_counts(object, "vectors", &outcome->vectors) < 0 ||
            add(object, "recovered", number(outcome->recovered)) < 0 || add_rejected(object, outcome->rejects) < 0 ||
            (outcome->rebuilt != NULL && add(object, "rebuild", json_object_get(outcome->rebuilt)) < 0) ||
            add_segment(object, outcome) < 0 || add_estimate(object, outcome->memory, outcome->disk, outcome->seconds) < 0 ||
            json_add(object, "reason", string_or_null(outcome->reason.text)) < 0 ||
            json_add(object, "cure", string_or_null(outcome->cure)) < 0)
                return NULL;
        return TAKE(object);
}

static void count(struct commit_result *result, const struct commit_outcome *outcome)
{
        result->unchanged += outcome->status == COMMIT_NOTHING;
        result->left += outcome->status == COMMIT_LEFT;
        result->committed += outcome->status == COMMIT_DONE || outcome->status == COMMIT_PLANNED;
        result->rejected += outcome->rejects == NULL ? 0 : commit_rejects_count(outcome->rejects);
        result->memory = outcome->memory > result->memory ? outcome->memory : result->memory;
        result->disk += outcome->disk;
        result->seconds += outcome->seconds;
}

int commit_result_add(struct commit_result *result, const struct commit_outcome *outcome, struct error *e)
{
        struct json_object *list = outcome->status == COMMIT_LEFT ? result->left_list : result->done_list;
        count(result, outcome);
        if (outcome->status == COMMIT_NOTHING || result->listed >= COMMIT_LISTED_MAX)
                return 0;
        struct json_object *object = describe(outcome);
        if (object == NULL || json_object_array_add(list, object) < 0) {
                json_object_put(object);
                return error_set(e, ENOMEM, "no memory for the result");
        }
        result->listed++;
        return 0;
}

static int add_list(struct json_object *array, struct json_object *list)
{
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *object = json_object_get(json_object_array_get_idx(list, i));
                if (json_object_array_add(array, object) < 0) {
                        json_object_put(object);
                        return -ENOMEM;
                }
        }
        return 0;
}

static int fill(struct json_object *o, const struct commit_result *result)
{
        struct json_object *array = json_object_new_array();
        if (add(o, "committed", number(result->committed)) < 0 || add(o, "unchanged", number(result->unchanged)) < 0 ||
            add(o, "left", number(result->left)) < 0 || add(o, "rejected", number(result->rejected)) < 0 ||
            json_add(o, "rejected_file", result->rejected == 0 ? NULL : json_string(STATE_DIR "/" REJECTED_FILE)) < 0 ||
            add_estimate(o, result->memory, result->disk, result->seconds) < 0 ||
            add(o, "collection_count", number(result->committed + result->left)) < 0) {
                json_object_put(array);
                return -ENOMEM;
        }
        int r = add(o, "collections", array);
        if (r == 0)
                r = add_list(array, result->left_list);
        return r < 0 ? r : add_list(array, result->done_list);
}

int commit_result_fill(struct operation *op, const struct commit_result *result)
{
        return fill(op->result, result) < 0 ? error_set(&op->error, ENOMEM, "no memory for the result") : 0;
}
