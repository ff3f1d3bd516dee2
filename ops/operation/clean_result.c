#include "ops/operation/clean_result.h"

#include <errno.h>

#include "ops/json.h"

static struct json_object *number(uint64_t n)
{
        return json_object_new_uint64(n);
}

static int add_reason(struct json_object *object, const struct clean_reason *kept)
{
        int r = json_add(object, "kept", kept == NULL ? NULL : json_string(kept->error.text));
        if (r == 0)
                r = json_add(object, "seq_id", kept == NULL || !kept->has_row ? NULL : json_object_new_int64(kept->seq_id));
        if (r == 0)
                r = json_add(object, "cure", kept == NULL || kept->cure == NULL ? NULL : json_string(kept->cure));
        return r;
}

static int add_collection(struct json_object *array, const struct clean_collection *item)
{
        struct json_object *object = operation_collection_json(item->collection);
        if (object == NULL)
                return -ENOMEM;
        int r = json_add(object, "rows_before", number(item->rows));
        if (r == 0)
                r = json_add(object, "rows_deleted", number(clean_rows_to_go(item)));
        if (r == 0)
                r = json_add(object, "up_to", item->limit == INT64_MIN ? NULL : json_object_new_int64(item->limit));
        if (r == 0)
                r = add_reason(object, item->kept);
        if (r < 0 || json_object_array_add(array, object) < 0) {
                json_object_put(object);
                return -ENOMEM;
        }
        return 0;
}

/* Only those that were asked for, and have something to be said of. */
static bool is_listed(const struct clean_collection *item)
{
        return item->wanted && item->rows > 0;
}

static int add_collections(struct json_object *result, const struct clean_plan *plan)
{
        struct json_object *array = json_object_new_array();
        size_t listed = 0, count = 0;
        int r = array == NULL ? -ENOMEM : 0;
        for (int kept = 1; kept >= 0; kept--)
                for (size_t i = 0; r == 0 && i < plan->count; i++) {
                        const struct clean_collection *item = &plan->collections[i];
                        if (!is_listed(item) || (item->kept != NULL) != (kept == 1))
                                continue;
                        count++;
                        if (listed++ < CLEAN_LISTED_MAX)
                                r = add_collection(array, item);
                }
        if (r < 0) {
                json_object_put(array);
                return r;
        }
        r = json_add(result, "collection_count", number(count));
        if (r < 0) {
                json_object_put(array);
                return r;
        }
        return json_add(result, "collections", array);
}

static int add_vacuum(struct json_object *result, const struct clean_vacuum *vacuum)
{
        struct json_object *object = json_object_new_object();
        if (object == NULL)
                return -ENOMEM;
        int r = json_add(object, "done", json_object_new_boolean(vacuum->done));
        if (r == 0)
                r = json_add(object, "reason", vacuum->done ? NULL : json_string(vacuum->reason));
        if (r < 0) {
                json_object_put(object);
                return r;
        }
        return json_add(result, "vacuum", object);
}

static int fill(struct json_object *result, const struct clean_plan *plan, const struct clean_outcome *outcome)
{
        uint64_t deleted = clean_plan_rows_to_go(plan);
        const struct {
                const char *name;
                uint64_t value;
        } numbers[] = {
                { "rows_deleted", deleted },
                { "rows_before", plan->rows },
                { "rows_after", plan->rows - deleted + plan->sentinels },
                { "bytes_before", outcome->bytes_before },
                { "bytes_after", outcome->bytes_after },
                { "kept", clean_plan_kept(plan) },
        };
        int r = 0;
        for (size_t i = 0; r == 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++)
                r = json_add(result, numbers[i].name, number(numbers[i].value));
        if (r == 0)
                r = json_add(result, "sentinel", json_object_new_boolean(plan->sentinel));
        if (r == 0)
                r = add_vacuum(result, &outcome->vacuum);
        return r < 0 ? r : add_collections(result, plan);
}

int clean_result(struct operation *op, const struct clean_plan *plan, const struct clean_outcome *outcome)
{
        return fill(op->result, plan, outcome) < 0 ? error_set(&op->error, ENOMEM, "no memory for the result") : 0;
}
