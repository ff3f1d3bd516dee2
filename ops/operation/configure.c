/*
 * One transaction, planned on what was read before it.
 *
 * automatically_purge is one row of JSON. Chroma 0.5.6 to 0.6.3 does not start without its "_type"; the text is that which the
 * version itself writes (FORMAT 4).
 */
#include "ops/operation/configure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ops/json.h"
#include "ops/operation/configure_settings.h"
#include "ops/operation/configure_store.h"

#define PLAN_TRIES 5
#define QUEUE_CONFIG 2 /* the migration of 0.5.6 that adds embeddings_queue_config */
#define SETTING_MAX 2147483647.0
#define BATCH_MAX 1000000.0 /* 0.x makes room for that many vectors at once */
#define THREADS_MAX 1024.0
#define FACTOR_MAX 100.0

struct plan {
        struct catalog *catalog;
        uint32_t counter;
        const struct collection *collection; /* NULL: automatically_purge */
        struct settings asked;
        struct configure_change change;
        bool purge_changes;
};

static void plan_clear_cleanup(struct plan *plan)
{
        plan->catalog = catalog_free(plan->catalog);
        configure_change_clear(&plan->change);
}

static const struct option_value *purge_option(const struct operation *op)
{
        return command_option(op->command, "automatically_purge");
}

/* Planning. */

static int plan_purge(struct operation *op, struct plan *plan)
{
        const struct catalog *c = plan->catalog;
        if (c->version.embeddings_queue < QUEUE_CONFIG)
                return error_set(&op->error, EINVAL,
                                 "automatically_purge: Chroma before 0.5.6, which wrote this directory, has no such setting, and "
                                 "never purges");
        plan->purge_changes = c->automatically_purge != (purge_option(op)->flag ? PURGE_ON : PURGE_OFF);
        return 0;
}

static int plan_collection(struct operation *op, struct db *db, struct plan *plan)
{
        struct collection_detail detail = { 0 };
        plan->collection = catalog_collection(plan->catalog, op->request->collection_id);
        if (plan->collection == NULL)
                return error_set(&op->error, ENOENT, "the collection is there no more");
        int r = db_begin(db, &op->error);
        if (r == 0)
                r = collection_detail_read(db, plan->collection, &detail, &op->error);
        db_end(db);
        if (r == 0)
                r = configure_change_make(&plan->catalog->version, &detail, &plan->asked, &plan->change, &op->error);
        collection_detail_clear(&detail);
        return r;
}

static int make_plan(struct operation *op, struct plan *plan)
{
        CLEANUP(db_close)
        struct db *db = NULL;
        int r = operation_read(op, &db);
        if (r == 0)
                r = db_begin(db, &op->error);
        if (r < 0)
                return r;
        r = db_change_counter(db, &plan->counter, &op->error);
        db_end(db);
        if (r == 0)
                r = catalog_read(db, &plan->catalog, &op->error);
        (void) settings_of(op->command, &plan->asked);
        if (r == 0)
                r = op->request->collection_id == NULL ? plan_purge(op, plan) : plan_collection(op, db, plan);
        return r;
}

/* The result. */

static struct json_object *purge_json(enum purge_setting setting)
{
        return setting == PURGE_ON || setting == PURGE_OFF ? json_object_new_boolean(setting == PURGE_ON) : NULL;
}

static int add_pair(struct json_object *parameters, const char *name, struct json_object *before, struct json_object *after)
{
        struct json_object *pair = json_object_new_object();
        if (pair == NULL || json_add(parameters, name, pair) < 0) {
                (void) json_object_put(before);
                (void) json_object_put(after);
                return -ENOMEM;
        }
        int r = json_add(pair, "before", before);
        int also = json_add(pair, "after", after);
        return r < 0 ? r : also;
}

static int add_parameters(struct operation *op, const struct plan *plan, struct json_object *parameters)
{
        if (plan->collection == NULL)
                return add_pair(parameters, "automatically_purge", purge_json(plan->catalog->automatically_purge),
                                json_object_new_boolean(purge_option(op)->flag));
        struct hnsw_config after = settings_apply(&plan->asked, &plan->change.before);
        int r = 0;
        for (enum setting s = 0; r == 0 && s < SETTING_COUNT; s++)
                if (plan->asked.given[s])
                        r = add_pair(parameters, setting_names[s].option, setting_json(&plan->change.before, s),
                                     setting_json(&after, s));
        return r;
}

static int add_written(const struct plan *plan, struct json_object *written)
{
        const struct {
                const char *name;
                bool is;
        } places[] = {
                { "segment_metadata", settings_any(&plan->change.segment) },
                { "collection_metadata", settings_any(&plan->change.collection) },
                { "config_json_str", plan->change.config.bytes != NULL },
                { "schema_str", plan->change.schema.bytes != NULL },
                { "embeddings_queue_config", plan->purge_changes },
        };
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
                struct json_object *name = places[i].is ? json_string(places[i].name) : NULL;
                if (places[i].is && (name == NULL || json_object_array_add(written, name) < 0)) {
                        (void) json_object_put(name);
                        return -ENOMEM;
                }
        }
        return 0;
}

/* The releases that have the defect can't be told from those that followed. */
static const char *warning_of(const struct operation *op, const struct plan *plan)
{
        bool purges = plan->collection == NULL && purge_option(op)->flag && !plan->catalog->version.rust;
        return purges ? "Chroma 0.5.6 to 0.5.12 purges the log of other collections as well, and loses records: use 0.5.13 or newer"
                      : NULL;
}

static int fill_result(struct operation *op, const struct plan *plan)
{
        struct json_object *o = op->result, *parameters = json_object_new_object(), *written = json_object_new_array();
        const char *warning = warning_of(op, plan);
        int r = json_add(o, "collection", plan->collection == NULL ? NULL : operation_collection_json(plan->collection));
        int second = json_add(o, "parameters", parameters), third = json_add(o, "written", written);
        if (r < 0 || second < 0 || third < 0 || parameters == NULL || written == NULL || add_parameters(op, plan, parameters) < 0 ||
            add_written(plan, written) < 0 || json_add(o, "warning", warning == NULL ? NULL : json_string(warning)) < 0)
                return error_set(&op->error, ENOMEM, "no memory for the result");
        return 0;
}

/* Writing. */

static int write_purge(struct operation *op, struct write_db *w, const struct plan *plan)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        char json[128];
        (void) snprintf(json, sizeof(json),
                        plan->catalog->version.rust
                                ? "{\"automatically_purge\":%s,\"_type\":\"EmbeddingsQueueConfigurationInternal\"}"
                                : "{\"automatically_purge\": %s, \"_type\": \"EmbeddingsQueueConfigurationInternal\"}",
                        purge_option(op)->flag ? "true" : "false");
        int r = write_db_exec(w, &op->error, "DELETE FROM embeddings_queue_config WHERE id = 1");
        if (r == 0)
                r = write_db_prepare(w, &stmt, &op->error,
                                     "INSERT INTO embeddings_queue_config (id, config_json_str) VALUES (1, ?1)");
        if (r == 0 && sqlite3_bind_text(stmt, 1, json, -1, SQLITE_STATIC) != SQLITE_OK)
                r = write_db_fail(w, &op->error, "writing automatically_purge");
        if (r == 0)
                r = write_db_step(w, stmt, &op->error);
        return r < 0 ? r : 0;
}

static int write_plan(struct operation *op, const struct plan *plan)
{
        CLEANUP(write_db_close)
        struct write_db *w = NULL;
        int r = operation_progress(op, "writing", 0, 0);
        if (r == 0)
                r = operation_write(op, &w);
        if (r == 0)
                r = write_db_begin(w, &plan->counter, &op->error);
        if (r < 0)
                return r;
        r = plan->collection == NULL
                    ? write_purge(op, w, plan)
                    : configure_change_write(w, &plan->catalog->version, plan->collection, &plan->change, &op->error);
        if (r == 0)
                r = operation_progress(op, "committing", 0, 0);
        if (r < 0)
                return r;
        op->late = true;
        return write_db_commit(w, &op->error);
}

static int try_once(struct operation *op)
{
        CLEANUP(plan_clear)
        struct plan plan = { .collection = NULL };
        int r = make_plan(op, &plan);
        if (r == 0 && !op->command->dry_run && (plan.change.count > 0 || plan.purge_changes))
                r = write_plan(op, &plan);
        return r < 0 ? r : operation_told(op, fill_result(op, &plan));
}

static int check_request(struct operation *op)
{
        struct settings settings;
        unsigned count = settings_of(op->command, &settings);
        if (op->request->collection_id == NULL && count > 0)
                return error_set(&op->error, EINVAL, "this is a setting of a collection: write to the collection's own config/");
        if (op->request->collection_id != NULL && purge_option(op)->given)
                return error_set(&op->error, EINVAL,
                                 "automatically_purge is a setting of the whole directory: write to config/ at its root");
        if (count == 0 && !purge_option(op)->given)
                return error_set(&op->error, EINVAL, "no setting is named");
        return 0;
}

static int run(struct operation *op)
{
        int r = check_request(op);
        for (int i = 0; r == 0 && i < PLAN_TRIES; i++) {
                r = try_once(op);
                if (r != -ESTALE)
                        return r;
                r = 0;
        }
        return r < 0 ? r : error_set(&op->error, EBUSY, "another process keeps changing " DB_FILE ": try again when it is done");
}

#define UNCHANGED "as it is"

static const struct option_spec options[] = {
        { .name = "automatically_purge",
          .type = OPTION_BOOL,
          .by_default = UNCHANGED,
          .help = "whether Chroma deletes log rows that all segments have; of the whole directory, from 0.5.6 on" },
        { .name = "ef_search",
          .type = OPTION_COUNT,
          .min = 1,
          .max = SETTING_MAX,
          .by_default = UNCHANGED,
          .help = "how many candidates a search keeps" },
        { .name = "num_threads",
          .type = OPTION_COUNT,
          .min = 1,
          .max = THREADS_MAX,
          .by_default = UNCHANGED,
          .help = "threads of an index; Chroma before 1.0" },
        { .name = "resize_factor",
          .type = OPTION_REAL,
          .min = 1,
          .max = FACTOR_MAX,
          .by_default = UNCHANGED,
          .help = "how much room an index has beyond its elements; Chroma before 1.0" },
        { .name = "batch_size",
          .type = OPTION_COUNT,
          .min = 3,
          .max = BATCH_MAX,
          .by_default = UNCHANGED,
          .help = "vectors that are collected before they go into the index; Chroma before 1.0, and at most sync_threshold" },
        { .name = "sync_threshold",
          .type = OPTION_COUNT,
          .min = 2,
          .max = SETTING_MAX,
          .by_default = UNCHANGED,
          .help = "log rows after which the index is written to disk; at least 3 before Chroma 1.0" },
        { .name = NULL },
};

const struct operation_type operation_configure = {
        .name = "configure",
        .summary = "Changes settings that need no index to be built again",
        .forced = "It goes on: a process that has the directory open takes a setting in when it starts again, and may write its "
                  "own over it before.",
        .options = options,
        .run = run,
};
