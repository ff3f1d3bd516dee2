/* What a rebuild finds, as a result. */
#include <errno.h>
#include <stdio.h>

#include "ops/commit/plan.h"
#include "ops/commit/rebuild.h"
#include "ops/hnsw/salvage.h"
#include "ops/json.h"

DEFINE_CLEANUP(struct json_object *, json_object_put)

static int add(struct json_object *object, const char *key, struct json_object *value)
{
        return value == NULL ? -ENOMEM : json_add(object, key, value);
}

static int add_parameters(struct json_object *object, const struct commit_plan *plan)
{
        struct json_object *parameters = json_object_new_object();
        const struct settings *asked = &plan->session->rebuild->settings;
        int r = add(object, "parameters", parameters);
        for (enum setting s = 0; r == 0 && s < SETTING_COUNT; s++) {
                if (!asked->given[s])
                        continue;
                struct json_object *pair = json_object_new_object();
                r = add(parameters, setting_names[s].option, pair);
                if (r == 0)
                        r = json_add(pair, "before", setting_json(&plan->change.before, s));
                if (r == 0)
                        r = json_add(pair, "after", setting_json(&plan->change.after, s));
        }
        return r;
}

/* Takes what it gets. */
static int append(struct json_object *array, struct json_object *value)
{
        if (value != NULL && json_object_array_add(array, value) == 0)
                return 0;
        json_object_put(value);
        return -ENOMEM;
}

static int add_lost(struct json_object *object, const struct commit_plan *plan, const struct commit_saved *saved)
{
        bool is_listed = saved->lost_count > 0 && plan->session->rebuild->salvage;
        struct json_object *ids = json_object_new_array();
        int r = add(object, "lost_ids", ids);
        for (size_t i = 0; r == 0 && i < saved->lost_count && i < LOST_LISTED_MAX; i++)
                r = append(ids, json_text(&saved->lost[i]));
        return r < 0 ? r : json_add(object, "lost_file", !is_listed ? NULL : json_string(STATE_DIR "/" LOST_FILE));
}

/* The first of them. */
static int add_marked(struct json_object *object, const struct commit_plan *plan, const char *key, unsigned mark)
{
        struct json_object *ids = json_object_new_array();
        int r = add(object, key, ids);
        size_t next = 0;
        for (size_t n = 0; r == 0 && n < LOST_LISTED_MAX; n++) {
                const struct index_entry *entry = commit_vector_marked(plan->vector, mark, next, &next);
                if (entry == NULL)
                        return 0;
                r = append(ids, json_bytes(entry->id, entry->id_len));
        }
        return r;
}

/* What the files lack, though they could be read. */
static int add_gaps(struct json_object *list, const struct commit_saved *saved)
{
        const struct salvage *files = saved->files;
        char sentence[160];
        int r = 0;
        if (files->layout == SALVAGE_FROM_CONFIG || files->layout == SALVAGE_FROM_LABELS)
                r = append(list, json_string("header.bin does not say how long a record of data_level0.bin is"));
        if (r == 0 && files->metadata != NULL && files->live < files->metadata->count) {
                (void) snprintf(sentence, sizeof(sentence), "data_level0.bin has no record of %zu of the %zu labels of the pickle",
                                files->metadata->count - (size_t) files->live, files->metadata->count);
                r = append(list, json_string(sentence));
        }
        if (r == 0 && files->normless > 0) {
                (void) snprintf(sentence, sizeof(sentence), "length.bin has no norm of %llu of %llu vectors",
                                (unsigned long long) files->normless, (unsigned long long) files->live);
                r = append(list, json_string(sentence));
        }
        if (r == 0 && saved->is_mixed)
                r = append(list,
                           json_string("vectors that were normalised for cosine can't be told from those that were added under "
                                       "another space since: all are kept as they are"));
        return r;
}

static int add_damage(struct json_object *object, const struct commit_saved *saved)
{
        const struct salvage *files = saved->files;
        struct json_object *list = json_object_new_array();
        const struct error *found[] = { &files->pickle_error, &files->records_error };
        int r = add(object, "damage", list);
        for (size_t i = 0; r == 0 && i < 2; i++) {
                if (found[i]->code != 0)
                        r = append(list, json_string(found[i]->text));
        }
        return r < 0 ? r : add_gaps(list, saved);
}

static uint64_t size_of(const struct index_stamps *stamps)
{
        uint64_t size = 0;
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                size += stamps->files[i].size;
        return size;
}

static int add_numbers(struct json_object *object, const struct commit_saved *saved)
{
        const struct salvage *files = saved->files;
        const struct {
                const char *name;
                uint64_t number;
        } numbers[] = {
                { "kept", saved->kept },
                { "from_log", saved->logged },
                { "without_vector", saved->bare },
                { "lost", saved->lost_count },
                { "orphans", saved->orphans },
                { "stale", saved->stale },
                { "doubtful", saved->doubtful },
                { "uncounted", saved->uncounted },
                { "impossible", files->bad },
                { "normalised", saved->normless },
                { "unlisted", files->unlisted },
                { "deleted", files->deleted },
                { "size_before", size_of(&files->stamps) },
        };
        int r = 0;
        for (size_t i = 0; r == 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++)
                r = add(object, numbers[i].name, json_object_new_uint64(numbers[i].number));
        return r;
}

struct json_object *commit_plan_rebuilt(const struct commit_plan *plan)
{
        CLEANUP(json_object_put)
        struct json_object *object = json_object_new_object();
        struct commit_saved saved = { 0 };
        int r = object == NULL ? -ENOMEM : add_parameters(object, plan);
        if (plan->vector != NULL) {
                saved = commit_vector_saved(plan->vector);
                if (r == 0)
                        r = add_numbers(object, &saved);
                if (r == 0)
                        r = add_lost(object, plan, &saved);
                if (r == 0)
                        r = add_marked(object, plan, "doubtful_ids", SALVAGE_DOUBTFUL);
                if (r == 0)
                        r = add_marked(object, plan, "uncounted_ids", SALVAGE_UNCOUNTED);
                if (r == 0)
                        r = add_marked(object, plan, "normalised_ids", SALVAGE_NORMLESS);
                if (r == 0)
                        r = add_damage(object, &saved);
        }
        return r < 0 ? NULL : TAKE(object);
}

int commit_plan_refuse_lost(const struct commit_plan *plan)
{
        if (plan->vector == NULL || plan->session->rebuild->salvage)
                return 0;
        struct commit_saved saved = commit_vector_saved(plan->vector);
        if (saved.lost_count == 0)
                return 0;
        return error_set(
                &plan->session->op->error, EILSEQ,
                "%zu record%s no vector anywhere, neither in the index nor in the log; the first is %.200s: salvage=1 rebuilds "
                "the index without them",
                saved.lost_count, saved.lost_count == 1 ? " has" : "s have", saved.lost[0].bytes);
}
