/*
 * The jobs that an observer's background thread runs: each reads with the thread's own connection (or none), and its result is remembered under a name and a
 * state. A state is made from all that the job reads, so that equal states mean equal results.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "ops/index_ids.h"
#include "ops/observer_internal.h"

struct measure { /* the argument of a job */
        struct observer *observer;
        struct view *view;
        const struct collection *collection; /* of the view */
        char segment_id[37];
        struct labels_result *labels; /* of the collection's index; NULL: unknown, or there is none */
};

static struct labels_result *labels_put(struct labels_result *labels)
{
        if (labels != NULL)
                (void) result_put(&labels->shared);
        return NULL;
}

static void measure_free(void *argument)
{
        struct measure *m = argument;
        if (m == NULL)
                return;
        (void) view_put(m->view);
        (void) labels_put(m->labels);
        free(m);
}
DEFINE_CLEANUP(struct measure *, measure_free)

static struct measure *measure_new(struct observer *o, struct view *view, const struct collection *collection)
{
        struct measure *m = calloc(1, sizeof(*m));
        if (m == NULL)
                return NULL;
        m->observer = o;
        m->view = view != NULL ? view_get(view) : NULL;
        m->collection = collection;
        return m;
}

/* A connection for each view: one from before may have read a file that was written over since, without SQLite's knowing. */
static int measuring_db(const struct measure *m, db_cancel_fn *stop, void *context, struct db **ret, struct error *e)
{
        struct observer *o = m->observer;
        if (o->measuring_db != NULL && (o->measured_generation != m->view->generation || db_replaced(o->measuring_db)))
                o->measuring_db = db_close(o->measuring_db);
        int r = o->measuring_db == NULL ? db_open(o->dirfd, &o->measuring_db, e) : 0;
        if (r < 0)
                return r;
        o->measured_generation = m->view->generation;
        db_set_cancel(o->measuring_db, stop, context);
        *ret = o->measuring_db;
        return 0;
}

/* Whether nobody has committed since the view was read: the file is still in the state from before that. */
static bool is_still_of(const struct view *view, struct db *db)
{
        struct file_stamp now = db_stamp(db);
        return file_stamp_equal(&now, &view->database);
}

static int ask(struct observer *o, const struct background_job *job, const struct patience *patience, struct result **ret,
               bool *ret_current, struct error *e)
{
        if (job->argument == NULL)
                return error_set(e, ENOMEM, "no memory");
        return background_ask(o->background, job, patience->until_ms, patience->cancelled, patience->context, ret, ret_current, e);
}

/* The full-text index. */

static void fts_destroy(struct result *shared)
{
        free(shared);
}

static int run_fts(void *argument, db_cancel_fn *stop, void *context, struct result **ret, struct error *e)
{
        struct measure *m = argument;
        struct db *db;
        int r = measuring_db(m, stop, context, &db, e);
        if (r < 0)
                return r;
        struct fts_result *f = calloc(1, sizeof(*f));
        if (f == NULL)
                return error_set(e, ENOMEM, "no memory");
        result_init(&f->shared, fts_destroy);
        r = fts_audit_read(db, m->view->catalog, &f->audit, e);
        if (r < 0) {
                free(f);
                return r;
        }
        f->audit.exact = f->audit.exact && is_still_of(m->view, db);
        *ret = &f->shared;
        return 0;
}

int observer_fts(struct observer *o, struct view *view, const struct patience *patience, struct fts_result **ret, bool *ret_current,
                 struct error *e)
{
        struct background_job job = { .name = "fts",
                                      .state = view->generation,
                                      .run = run_fts,
                                      .argument = measure_new(o, view, NULL),
                                      .release = measure_free };
        struct result *result = NULL;
        int r = ask(o, &job, patience, &result, ret_current, e);
        if (r < 0)
                return r;
        *ret = (struct fts_result *) result;
        *ret_current = *ret_current && *ret != NULL && (*ret)->audit.exact;
        return 0;
}

/* Labels and links of an index. */

static void labels_destroy(struct result *shared)
{
        struct labels_result *l = (struct labels_result *) shared;
        index_audit_clear(&l->audit);
        free(l);
}

static int run_labels(void *argument, db_cancel_fn *stop, void *context, struct result **ret, struct error *e)
{
        struct measure *m = argument;
        struct labels_result *l = calloc(1, sizeof(*l));
        if (l == NULL)
                return error_set(e, ENOMEM, "no memory");
        result_init(&l->shared, labels_destroy);
        int r = index_audit_read(m->observer->dirfd, m->segment_id, stop, context, &l->audit, e);
        if (r < 0) {
                free(l);
                return r;
        }
        *ret = &l->shared;
        return 0;
}

uint64_t stamps_state(const struct index_stamps *stamps)
{
        XXH64_hash_t state = 0;
        for (int i = -1; i < INDEX_FILE_COUNT; i++) {
                const struct file_stamp *s = i < 0 ? &stamps->dir : &stamps->files[i];
                uint64_t words[] = { s->present, s->dev, s->ino, s->size, (uint64_t) s->mtime_ns, (uint64_t) s->ctime_ns };
                state = XXH3_64bits_withSeed(words, sizeof(words), state);
        }
        return state;
}

int observer_labels(struct observer *o, const struct segment *segment, const struct patience *patience, struct labels_result **ret,
                    bool *ret_current, struct error *e)
{
        char name[64];
        (void) snprintf(name, sizeof(name), "labels %s", segment->id.bytes);
        struct index_stamps stamps = index_stamps_read(o->dirfd, segment->id.bytes);
        struct background_job job = { .name = name,
                                      .state = stamps_state(&stamps),
                                      .run = run_labels,
                                      .argument = measure_new(o, NULL, NULL),
                                      .release = measure_free };
        if (job.argument != NULL)
                memcpy(((struct measure *) job.argument)->segment_id, segment->id.bytes,
                       sizeof(((struct measure *) 0)->segment_id));
        struct result *result = NULL;
        int r = ask(o, &job, patience, &result, ret_current, e);
        if (r < 0)
                return r;
        *ret = (struct labels_result *) result;
        return 0;
}

/* Records of a collection. */

static void records_destroy(struct result *shared)
{
        struct records_result *r = (struct records_result *) shared;
        record_audit_clear(&r->audit);
        free(r);
}

/* The ids that have a vector in the index; false when that can't be known, since the index can't be read. */
static int indexed_ids(const struct measure *m, struct id_set *ret, bool *ret_known, struct error *e)
{
        const struct segment *vector = m->collection->vector;
        *ret_known = vector != NULL && m->labels != NULL && m->labels->audit.damage.code == 0;
        if (!*ret_known)
                return 0;
        return index_ids_read(m->observer->dirfd, vector->id.bytes, &m->labels->audit, NULL, NULL, ret, e);
}

static int run_records(void *argument, db_cancel_fn *stop, void *context, struct result **ret, struct error *e)
{
        struct measure *m = argument;
        struct db *db;
        int r = measuring_db(m, stop, context, &db, e);
        if (r < 0)
                return r;
        struct id_set indexed = { 0 };
        struct records_result *result = calloc(1, sizeof(*result));
        if (result == NULL)
                return error_set(e, ENOMEM, "no memory");
        result_init(&result->shared, records_destroy);
        r = indexed_ids(m, &indexed, &result->vectors_known, e);
        uint64_t position = 0;
        bool has_position = observer_vector_position(m->observer, m->collection, &position);
        if (r == 0)
                r = record_audit_read(db, m->collection, has_position, position, &indexed, &result->audit, e);
        id_set_clear(&indexed);
        if (r < 0) {
                free(result);
                return r;
        }
        result->audit.exact = result->audit.exact && is_still_of(m->view, db);
        *ret = &result->shared;
        return 0;
}

static bool has_index(const struct collection *collection)
{
        return collection->vector != NULL && collection->vector->id_is_uuid;
}

/* Waits for the labels first: without them nobody knows which ids have a vector in the index. */
static int records_argument(struct observer *o, struct view *view, const struct collection *collection,
                            const struct patience *patience, struct measure **ret, uint64_t *ret_state, struct error *e)
{
        CLEANUP(measure_free)
        struct measure *m = measure_new(o, view, collection);
        if (m == NULL)
                return error_set(e, ENOMEM, "no memory");
        uint64_t state = view->generation;
        if (has_index(collection)) {
                bool current = false;
                int r = observer_labels(o, collection->vector, patience, &m->labels, &current, e);
                if (r == -EINTR)
                        return r;
                if (!current)
                        m->labels = labels_put(m->labels);
                if (m->labels != NULL)
                        state = XXH3_64bits_withSeed(&state, sizeof(state), stamps_state(&m->labels->audit.stamps));
        }
        *ret_state = state;
        *ret = TAKE(m);
        return 0;
}

int observer_records(struct observer *o, struct view *view, const struct collection *collection, const struct patience *patience,
                     struct records_result **ret, bool *ret_current, struct error *e)
{
        CLEANUP(free)
        char *name = NULL;
        if (asprintf(&name, "records %s", collection->id.bytes) < 0)
                return error_set(e, ENOMEM, "no memory");
        struct measure *m = NULL;
        uint64_t state = 0;
        int r = records_argument(o, view, collection, patience, &m, &state, e);
        if (r < 0)
                return r;
        struct background_job job = { .name = name, .state = state, .run = run_records, .argument = m, .release = measure_free };
        struct result *result = NULL;
        r = ask(o, &job, patience, &result, ret_current, e);
        if (r < 0)
                return r;
        *ret = (struct records_result *) result;
        *ret_current = *ret_current && *ret != NULL && (*ret)->audit.exact;
        return 0;
}
