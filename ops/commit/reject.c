/*
 * The list of rejected rows.
 */
#include "ops/commit/reject.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/json.h"
#include "ops/commit/reject_list.h"

static int no_memory(struct error *e)
{
        return error_set(e, ENOMEM, "no memory for rejected rows");
}

struct commit_rejects *commit_rejects_new(void)
{
        return calloc(1, sizeof(struct commit_rejects));
}

struct commit_rejects *commit_rejects_free(struct commit_rejects *rejects)
{
        for (size_t i = 0; rejects != NULL && i < REJECTS_WHY_MAX; i++)
                free(rejects->why[i]);
        free(rejects != NULL ? rejects->seq_ids : NULL);
        free(rejects);
        return NULL;
}

static int make_room(struct commit_rejects *rejects)
{
        if (rejects->count < rejects->allocated)
                return 0;
        size_t want = rejects->allocated == 0 ? 16 : 2 * rejects->allocated;
        int64_t *seq_ids = reallocarray(rejects->seq_ids, want, sizeof(*seq_ids));
        if (seq_ids == NULL)
                return -ENOMEM;
        rejects->seq_ids = seq_ids;
        rejects->allocated = want;
        return 0;
}

int commit_rejects_add(struct commit_rejects *rejects, int64_t seq_id, const char *why, struct error *e)
{
        if (rejects->count > 0 && rejects->seq_ids[rejects->count - 1] == seq_id)
                return 0;
        if (make_room(rejects) < 0)
                return no_memory(e);
        if (rejects->count < REJECTS_WHY_MAX) {
                char *copy = strdup(why);
                if (copy == NULL)
                        return no_memory(e);
                rejects->why[rejects->count] = copy;
        }
        rejects->seq_ids[rejects->count++] = seq_id;
        return 0;
}

size_t commit_rejects_count(const struct commit_rejects *rejects)
{
        return rejects->count;
}

static struct json_object *one_json(const struct commit_rejects *rejects, size_t i)
{
        struct json_object *object = json_object_new_object();
        if (object != NULL && json_add(object, "seq_id", json_object_new_int64(rejects->seq_ids[i])) == 0 &&
            json_add(object, "why", json_string(rejects->why[i])) == 0)
                return object;
        json_object_put(object);
        return NULL;
}

struct json_object *commit_rejects_json(const struct commit_rejects *rejects, size_t most)
{
        struct json_object *list = json_object_new_array();
        size_t count = rejects->count < REJECTS_WHY_MAX ? rejects->count : REJECTS_WHY_MAX;
        for (size_t i = 0; list != NULL && i < count && i < most; i++) {
                struct json_object *object = one_json(rejects, i);
                if (object == NULL || json_object_array_add(list, object) < 0) {
                        json_object_put(object);
                        json_object_put(list);
                        return NULL;
                }
        }
        return list;
}
