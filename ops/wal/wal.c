/*
 * One thread measures; everybody else asks for a moment and waits on a condition. A pass that began after a moment's number was heard of has seen
 * all that was committed by then, since whoever knows the number has seen it already.
 */
#include "ops/wal/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops/clock.h"
#include "ops/wal/meter.h"

#define POLL_MS 20

struct seen { /* of the database, when it was last measured */
        uint64_t dev, ino;
        uint32_t counter;
};

struct wal {
        pthread_t thread;
        atomic_bool stop;
        int dirfd;
        struct wal_pool *pool;
        struct wal_spans *spans;
        struct wal_progress progress;
        atomic_int files;
        uint64_t indexes; /* that there were */
        _Atomic uint64_t epoch;

        pthread_mutex_t mutex; /* of all that follows */
        pthread_cond_t asked_more, passed;
        uint64_t asked, done; /* moments */
        uint64_t passes;      /* that have ended, well or badly */
        bool wanted;          /* by someone, since the last pass began: nobody else has a pass that failed tried again */
        bool idle_until_asked, whole, anew;
        struct wal_index *index;
        uint64_t *hidden;
        size_t hidden_count;
        struct error failure; /* of the last pass; code 0 when it went well */
        uint64_t failed;      /* its moment, when it failed and will fail again */

        int cache_fd; /* what follows is the thread's own, once it runs */
        char *cache_name;
        uint64_t subject;
        bool cached; /* the cache file is ours */
        struct seen seen;
};

static bool stopping(void *context)
{
        return atomic_load(&((struct wal *) context)->stop);
}

/* The thread. */

static int open_store(struct wal *w, struct wal_store **ret, struct error *e)
{
        /* A file that was put in the place of the database is another subject: nobody need look through it to find out where it differs. */
        uint64_t subject = w->subject ^ (w->seen.ino * UINT64_C(0x9e3779b97f4a7c15));
        int r = w->cache_fd >= 0 ? wal_store_open(w->cache_fd, w->cache_name, subject, ret, NULL) : -ENOENT;
        w->cached = r == 0;
        return r == 0 ? 0 : wal_store_new(ret, e);
}

/* The keys that are hidden now, copied: what reads the store takes long, and keeps nobody waiting. */
static int hidden_keys(struct wal *w, uint64_t **ret, size_t *ret_count, struct error *e)
{
        (void) pthread_mutex_lock(&w->mutex);
        uint64_t *keys = malloc(w->hidden_count * sizeof(*keys) + 1);
        if (keys != NULL && w->hidden_count > 0)
                memcpy(keys, w->hidden, w->hidden_count * sizeof(*keys));
        *ret_count = w->hidden_count;
        w->anew = false; /* whoever hides others from now on sets it again */
        (void) pthread_mutex_unlock(&w->mutex);
        *ret = keys;
        return keys != NULL ? 0 : error_set(e, ENOMEM, "no memory");
}

/* The old index may be read for as long as someone has a file of it open: it keeps its cache file, which loses its name. */
static int forget_cache(struct wal *w)
{
        if (w->index == NULL || w->cache_fd < 0)
                return 0;
        if (w->cached)
                return unlinkat(w->cache_fd, w->cache_name, 0);
        (void) close(w->cache_fd); /* the file is another mount's, or can't be written */
        w->cache_fd = -1;
        return 0;
}

static int new_index(struct wal *w, struct wal_index **ret, struct error *e)
{
        CLEANUP(free)
        uint64_t *keys = NULL;
        size_t count = 0;
        struct wal_store *store = NULL;
        (void) forget_cache(w);
        int r = hidden_keys(w, &keys, &count, e);
        if (r == 0)
                r = open_store(w, &store, e);
        if (r == 0)
                r = wal_index_new(store, keys, count, ret, e);
        if (r == 0)
                wal_index_set_number(*ret, w->indexes++);
        return r;
}

static int begin_anew(struct wal *w, struct error *e)
{
        struct wal_index *index = NULL;
        int r = new_index(w, &index, e);
        (void) pthread_mutex_lock(&w->mutex);
        if (r == 0) {
                struct wal_index *old = w->index;
                w->index = index;
                index = old;
                w->whole = false;
                w->done = 0;
                (void) atomic_fetch_add(&w->epoch, 1);
        } else {
                w->anew = true;
        }
        (void) pthread_mutex_unlock(&w->mutex);
        (void) wal_index_put(index);
        return r;
}

static int look_at(struct db *db, struct seen *ret, struct error *e)
{
        int r = db_begin(db, e);
        if (r < 0)
                return r;
        r = db_change_counter(db, &ret->counter, e);
        db_end(db);
        struct file_stamp stamp = db_stamp(db);
        ret->dev = stamp.dev;
        ret->ino = stamp.ino;
        return r;
}

/* Whether the database is another file than before, or an older state of it. */
static bool is_another(const struct seen *now, const struct seen *before)
{
        return now->dev != before->dev || now->ino != before->ino || (int32_t) (now->counter - before->counter) < 0;
}

static bool must_begin_anew(struct wal *w, const struct seen *now)
{
        (void) pthread_mutex_lock(&w->mutex);
        bool anew = w->anew || w->index == NULL;
        (void) pthread_mutex_unlock(&w->mutex);
        return anew || is_another(now, &w->seen) || (atomic_load(&w->files) == 0 && wal_index_is_worn(w->index));
}

/* A connection for each pass: one from before may have read a file that was written over since, without SQLite's knowing. */
static int meter_once(struct wal *w, bool anew, struct error *e)
{
        CLEANUP(wal_connection_close)
        struct wal_connection *c = NULL;
        struct seen now = { 0 };
        int r = wal_connection_open(w->dirfd, &c, e);
        if (r < 0)
                return r;
        db_set_cancel(c->db, stopping, w);
        r = look_at(c->db, &now, e);
        if (r == 0) {
                anew = anew || must_begin_anew(w, &now);
                w->seen = now;
                r = anew ? begin_anew(w, e) : 0;
        }
        return r < 0 ? r : wal_meter(c->db, c->source, w->index, &w->progress, e);
}

#define ANEW_TRIES 4 /* of a table that is not what it was a moment ago, again and again */

static int pass(struct wal *w, struct error *e)
{
        int r = 1;
        for (int i = 0; r == 1 && i < ANEW_TRIES; i++)
                r = meter_once(w, i > 0, e);
        return r == 1 ? error_set(e, EAGAIN, "the write-ahead log changes in ways that Chroma never changes it") : r;
}

/* What may be otherwise the next time, although nothing has changed. */
static bool passing(int code)
{
        return code == -EBUSY || code == -EINTR || code == -EAGAIN || code == -ENOMEM || code == -EMFILE || code == -ENFILE;
}

static void end_pass(struct wal *w, uint64_t moment, int r, const struct error *e)
{
        (void) pthread_mutex_lock(&w->mutex);
        w->failure = r < 0 ? *e : (struct error){ 0 };
        w->failure.code = r;
        w->failed = r < 0 && !passing(r) ? moment : 0;
        w->passes++;
        if (r == 0 && !w->anew) {
                w->done = moment;
                w->whole = true;
        }
        (void) pthread_cond_broadcast(&w->passed);
        (void) pthread_mutex_unlock(&w->mutex);
}

static bool has_work(const struct wal *w, bool first)
{
        if (first)
                return !w->idle_until_asked || w->asked > 0;
        bool in_vain = w->failure.code < 0 && (!w->wanted || w->failed >= w->asked);
        return (w->anew || w->asked > w->done) && !in_vain;
}

/* Waits for work; the moment that is asked for. */
static uint64_t next_moment(struct wal *w, bool first)
{
        (void) pthread_mutex_lock(&w->mutex);
        while (!stopping(w) && !has_work(w, first))
                (void) pthread_cond_wait(&w->asked_more, &w->mutex);
        uint64_t moment = w->asked;
        w->wanted = false;
        (void) pthread_mutex_unlock(&w->mutex);
        return moment;
}

static void *work(void *context)
{
        struct wal *w = context;
        bool first = true;
        for (;;) {
                uint64_t moment = next_moment(w, first);
                if (stopping(w))
                        return NULL;
                first = false;
                struct error e = { 0 };
                int r = pass(w, &e);
                end_pass(w, moment, r, &e);
                if (r < 0 && !stopping(w)) {
                        struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
                        (void) nanosleep(&pause, NULL);
                }
        }
}

/* Asking. */

static void wait_a_little(struct wal *w, int64_t until_ms)
{
        int64_t now = clock_ms(), to = now + POLL_MS < until_ms ? now + POLL_MS : until_ms;
        struct timespec t = { .tv_sec = (time_t) (to / 1000), .tv_nsec = (long) (to % 1000) * 1000000 };
        (void) pthread_cond_timedwait(&w->passed, &w->mutex, &t);
}

static bool is_current(const struct wal *w, uint64_t moment)
{
        return w->whole && !w->anew && w->done >= moment;
}

static void want(struct wal *w)
{
        w->wanted = true;
        (void) pthread_cond_signal(&w->asked_more);
}

static int take_failure(const struct wal *w, struct error *e)
{
        if (e != NULL)
                *e = w->failure;
        return w->failure.code;
}

/* Until the moment is seen, or a pass that began after it was asked for has failed: the pass that runs now may have begun before. */
static int await(struct wal *w, uint64_t moment, int64_t until_ms, db_cancel_fn *cancelled, void *context, struct error *e)
{
        uint64_t before = w->passes;
        if (w->failed >= moment && w->failed > 0)
                return take_failure(w, e);
        if (moment > w->asked)
                w->asked = moment;
        want(w);
        while (!is_current(w, moment) && clock_ms() < until_ms) {
                if (stopping(w) || (cancelled != NULL && cancelled(context)))
                        return error_set(e, EINTR, "interrupted");
                if ((w->passes >= before + 2 && w->failure.code < 0) || (w->failed >= moment && w->failed > 0))
                        return take_failure(w, e);
                wait_a_little(w, until_ms);
                want(w);
        }
        return 0;
}

int wal_current(struct wal *wal, uint64_t moment, int64_t until_ms, db_cancel_fn *cancelled, void *context, struct wal_index **ret,
                bool *ret_current, struct error *e)
{
        (void) pthread_mutex_lock(&wal->mutex);
        int r = is_current(wal, moment) ? 0 : await(wal, moment, until_ms, cancelled, context, e);
        if (r == 0) {
                *ret_current = is_current(wal, moment);
                *ret = wal->whole ? wal_index_get(wal->index) : NULL;
        }
        (void) pthread_mutex_unlock(&wal->mutex);
        return r;
}

static void ask_anew(struct wal *w)
{
        w->anew = true;
        w->done = 0;
        (void) atomic_fetch_add(&w->epoch, 1);
        (void) pthread_cond_signal(&w->asked_more);
}

int wal_hide(struct wal *wal, const uint64_t *keys, size_t count, struct error *e)
{
        size_t size = count * sizeof(*keys);
        int r = 0;
        (void) pthread_mutex_lock(&wal->mutex);
        if (count != wal->hidden_count || (count > 0 && memcmp(keys, wal->hidden, size) != 0)) {
                uint64_t *copy = malloc(size + 1);
                if (copy == NULL) {
                        r = error_set(e, ENOMEM, "no memory");
                } else {
                        if (count > 0)
                                memcpy(copy, keys, size);
                        free(wal->hidden);
                        wal->hidden = copy;
                        wal->hidden_count = count;
                        if (wal->index != NULL)
                                ask_anew(wal);
                }
        }
        (void) pthread_mutex_unlock(&wal->mutex);
        return r;
}

void wal_refute(struct wal *wal, const struct wal_index *index)
{
        (void) pthread_mutex_lock(&wal->mutex);
        if (wal->index == index && !wal->anew)
                ask_anew(wal);
        (void) pthread_mutex_unlock(&wal->mutex);
}

uint64_t wal_epoch(struct wal *wal)
{
        return atomic_load(&wal->epoch);
}

bool wal_is_present(struct wal *wal, const struct wal_index *index)
{
        (void) pthread_mutex_lock(&wal->mutex);
        bool present = wal->index == index && !wal->anew;
        (void) pthread_mutex_unlock(&wal->mutex);
        return present;
}

static double share(const struct wal_progress *p)
{
        double from = (double) atomic_load(&p->from), to = (double) atomic_load(&p->to), at = (double) atomic_load(&p->at);
        double done = to > from ? (at - from) / (to - from) : 0.0;
        return done < 0.0 ? 0.0 : done > 0.999 ? 0.999 : done;
}

double wal_measured(struct wal *wal)
{
        (void) pthread_mutex_lock(&wal->mutex);
        bool whole = wal->whole && !wal->anew;
        (void) pthread_mutex_unlock(&wal->mutex);
        return whole ? 1.0 : share(&wal->progress);
}

void wal_count_file(struct wal *wal, int change)
{
        (void) atomic_fetch_add(&wal->files, change);
}

struct wal_pool *wal_pool_of(struct wal *wal)
{
        return wal->pool;
}

struct wal_spans *wal_spans_of(struct wal *wal)
{
        return wal->spans;
}

/* Beginning and end. */

static int init(struct wal *w, int dirfd, const struct wal_place *place, struct error *e)
{
        w->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
        w->cache_fd = place->dirfd >= 0 ? fcntl(place->dirfd, F_DUPFD_CLOEXEC, 3) : -1;
        if (w->dirfd < 0 || (place->dirfd >= 0 && w->cache_fd < 0))
                return error_set(e, errno, "a descriptor can't be had: %s", strerror(errno));
        w->subject = place->subject;
        w->cache_name = strdup(place->name != NULL ? place->name : "");
        if (w->cache_name == NULL)
                return error_set(e, ENOMEM, "no memory");
        int r = wal_spans_new(&w->spans, e);
        return r < 0 ? r : wal_pool_new(dirfd, &w->pool, e);
}

static void destroy(struct wal *w)
{
        w->index = wal_index_put(w->index);
        w->pool = wal_pool_free(w->pool);
        w->spans = wal_spans_free(w->spans);
        if (w->dirfd >= 0)
                (void) close(w->dirfd);
        if (w->cache_fd >= 0)
                (void) close(w->cache_fd);
        free(w->cache_name);
        free(w->hidden);
        (void) pthread_cond_destroy(&w->asked_more);
        (void) pthread_cond_destroy(&w->passed);
        (void) pthread_mutex_destroy(&w->mutex);
        free(w);
}

int wal_new(int dirfd, const struct wal_place *place, bool later, struct wal **ret, struct error *e)
{
        struct wal *w = calloc(1, sizeof(*w));
        if (w == NULL)
                return error_set(e, ENOMEM, "no memory");
        w->dirfd = w->cache_fd = -1;
        w->idle_until_asked = later;
        (void) pthread_mutex_init(&w->mutex, NULL);
        (void) pthread_cond_init(&w->asked_more, NULL);
        pthread_condattr_t monotonic;
        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&w->passed, &monotonic);
        (void) pthread_condattr_destroy(&monotonic);
        int r = init(w, dirfd, place, e);
        int err = r == 0 ? pthread_create(&w->thread, NULL, work, w) : 0;
        if (err != 0)
                r = error_set(e, err, "the thread that measures the log can't be started: %s", strerror(err));
        if (r < 0) {
                destroy(w);
                return r;
        }
        *ret = w;
        return 0;
}

struct wal *wal_free(struct wal *wal)
{
        if (wal == NULL)
                return NULL;
        (void) pthread_mutex_lock(&wal->mutex);
        atomic_store(&wal->stop, true);
        (void) pthread_cond_broadcast(&wal->asked_more);
        (void) pthread_cond_broadcast(&wal->passed);
        (void) pthread_mutex_unlock(&wal->mutex);
        (void) pthread_join(wal->thread, NULL);
        destroy(wal);
        return NULL;
}
