#include "ops/background.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uthash.h>

#include "ops/clock.h"

#define POLL_MS 20
#define QUEUE_MAX 256 /* jobs that wait: each holds on to what it is about */

struct memory { /* what is known of one name */
        UT_hash_handle hh;
        struct memory *next; /* in the queue */
        char *name;
        unsigned waiters;
        bool queued, running;
        uint64_t running_state;
        struct background_job job; /* the newest that was asked for; its name is not used */
        uint64_t state;            /* of `result` or `failure` */
        struct result *result;
        struct error failure;
};

struct background {
        pthread_t thread;
        pthread_mutex_t mutex;
        pthread_cond_t work, done;
        atomic_bool stop;
        struct memory *memories; /* uthash: in the order of first asking */
        struct memory *first, *last;
        unsigned queued;
};

void result_init(struct result *result, void (*destroy)(struct result *))
{
        atomic_init(&result->references, 1);
        result->destroy = destroy;
}

struct result *result_get(struct result *result)
{
        atomic_fetch_add(&result->references, 1);
        return result;
}

struct result *result_put(struct result *result)
{
        if (result != NULL && atomic_fetch_sub(&result->references, 1) == 1)
                result->destroy(result);
        return NULL;
}

static bool passing(int code)
{
        return code == -EAGAIN || code == -EBUSY || code == -EINTR || code == -ENOMEM || code == -EMFILE || code == -ENFILE;
}

static void release(struct background_job *job)
{
        if (job->release != NULL)
                job->release(job->argument);
        *job = (struct background_job){ 0 };
}

static void forget(struct background *b, struct memory *m)
{
        HASH_DEL(b->memories, m);
        (void) result_put(m->result);
        release(&m->job);
        free(m->name);
        free(m);
}

static void forget_oldest(struct background *b)
{
        struct memory *m, *next;
        HASH_ITER(hh, b->memories, m, next)
        {
                if (HASH_COUNT(b->memories) <= BACKGROUND_KEEP)
                        return;
                if (m->waiters == 0 && !m->queued && !m->running)
                        forget(b, m);
        }
}

static struct memory *remember(struct background *b, const char *name)
{
        struct memory *m;
        HASH_FIND_STR(b->memories, name, m);
        if (m != NULL)
                return m;
        m = calloc(1, sizeof(*m));
        if (m == NULL || (m->name = strdup(name)) == NULL) {
                free(m);
                return NULL;
        }
        m->waiters = 1; /* the asker, already: what is waited for is not forgotten */
        HASH_ADD_KEYPTR(hh, b->memories, m->name, strlen(m->name), m);
        forget_oldest(b);
        m->waiters = 0;
        return m;
}

static bool stopping(void *context)
{
        return atomic_load(&((struct background *) context)->stop);
}

static void store(struct memory *m, uint64_t state, struct result *result, const struct error *failure)
{
        if (result == NULL && passing(failure->code)) {
                m->failure = *failure;
                return;
        }
        (void) result_put(m->result);
        m->state = state;
        m->result = result;
        m->failure = *failure;
}

static void run_one(struct background *b, struct memory *m)
{
        struct background_job job = m->job;
        m->job = (struct background_job){ 0 };
        m->queued = false;
        m->running = true;
        m->running_state = job.state;
        b->queued--;
        m->failure.code = 0;
        (void) pthread_mutex_unlock(&b->mutex);

        struct result *result = NULL;
        struct error failure = { 0 };
        failure.code = job.run(job.argument, stopping, b, &result, &failure);
        uint64_t state = job.state;
        release(&job);

        (void) pthread_mutex_lock(&b->mutex);
        m->running = false;
        store(m, state, result, &failure);
        (void) pthread_cond_broadcast(&b->done);
}

static void *work(void *context)
{
        struct background *b = context;
        (void) pthread_mutex_lock(&b->mutex);
        while (!stopping(b)) {
                struct memory *m = b->first;
                if (m == NULL) {
                        (void) pthread_cond_wait(&b->work, &b->mutex);
                        continue;
                }
                b->first = m->next;
                m->next = NULL;
                run_one(b, m);
        }
        (void) pthread_mutex_unlock(&b->mutex);
        return NULL;
}

int background_new(struct background **ret, struct error *e)
{
        struct background *b = calloc(1, sizeof(*b));
        if (b == NULL)
                return error_set(e, ENOMEM, "no memory");
        (void) pthread_mutex_init(&b->mutex, NULL);
        (void) pthread_cond_init(&b->work, NULL);
        pthread_condattr_t monotonic;
        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&b->done, &monotonic);
        (void) pthread_condattr_destroy(&monotonic);
        int err = pthread_create(&b->thread, NULL, work, b);
        if (err != 0) {
                free(b);
                return error_set(e, err, "the measuring thread can't be started: %s", strerror(err));
        }
        *ret = b;
        return 0;
}

static void enqueue(struct background *b, struct memory *m, struct background_job *job)
{
        release(&m->job);
        m->job = *job;
        *job = (struct background_job){ 0 };
        if (m->queued)
                return;
        m->queued = true;
        m->next = NULL;
        b->queued++;
        if (b->first == NULL)
                b->first = m;
        else
                b->last->next = m;
        b->last = m;
        (void) pthread_cond_signal(&b->work);
}

static void wait_a_little(struct background *b, int64_t until_ms)
{
        int64_t now = clock_ms(), to = now + POLL_MS < until_ms ? now + POLL_MS : until_ms;
        struct timespec t = { .tv_sec = (time_t) (to / 1000), .tv_nsec = (long) (to % 1000) * 1000000 };
        (void) pthread_cond_timedwait(&b->done, &b->mutex, &t);
}

/* Whether the memory answers for `state`: with a result, a lasting failure, or a passing one of a run that has just ended. */
static bool answers(const struct memory *m, uint64_t state)
{
        bool lasting = m->result != NULL || (m->failure.code < 0 && !passing(m->failure.code));
        return (lasting && m->state == state) || (!m->queued && !m->running && passing(m->failure.code));
}

/* Whether the job is queued or running for this state already; also when there are so many that this one must be asked for later. */
static bool is_under_way(const struct background *b, const struct memory *m, uint64_t state)
{
        if (m->queued)
                return m->job.state == state;
        return (m->running && m->running_state == state) || b->queued >= QUEUE_MAX;
}

static int await(struct background *b, struct memory *m, uint64_t state, int64_t until, db_cancel_fn *cancelled, void *context)
{
        while (!answers(m, state) && !stopping(b) && clock_ms() < until) {
                wait_a_little(b, until);
                if (cancelled != NULL && cancelled(context))
                        return -EINTR;
        }
        return 0;
}

static int answer(struct memory *m, uint64_t state, struct result **ret, bool *ret_current, struct error *e)
{
        bool current = m->state == state;
        if (m->result != NULL) {
                *ret = result_get(m->result);
                *ret_current = current;
                return 0;
        }
        if (current && m->failure.code < 0 && !passing(m->failure.code))
                return error_set(e, -m->failure.code, "%s", m->failure.text);
        *ret = NULL;
        *ret_current = false;
        return 0;
}

int background_ask(struct background *b, const struct background_job *asked, int64_t until_ms, db_cancel_fn *cancelled,
                   void *context, struct result **ret, bool *ret_current, struct error *e)
{
        struct background_job job = *asked;
        int r = 0;
        (void) pthread_mutex_lock(&b->mutex);
        struct memory *m = remember(b, job.name);
        if (m == NULL) {
                r = error_set(e, ENOMEM, "no memory");
        } else {
                m->waiters++;
                uint64_t state = job.state;
                if (!answers(m, state) || passing(m->failure.code)) {
                        m->failure.code = passing(m->failure.code) ? 0 : m->failure.code;
                        if (!is_under_way(b, m, state))
                                enqueue(b, m, &job);
                        r = await(b, m, state, until_ms, cancelled, context);
                }
                m->waiters--;
                r = r < 0 ? error_set(e, -r, "interrupted") : answer(m, state, ret, ret_current, e);
        }
        (void) pthread_mutex_unlock(&b->mutex);
        release(&job);
        return r;
}

struct result *background_known(struct background *b, const char *name)
{
        struct memory *m;
        (void) pthread_mutex_lock(&b->mutex);
        HASH_FIND_STR(b->memories, name, m);
        struct result *result = m != NULL && m->result != NULL ? result_get(m->result) : NULL;
        (void) pthread_mutex_unlock(&b->mutex);
        return result;
}

struct background *background_free(struct background *b)
{
        if (b == NULL)
                return NULL;
        (void) pthread_mutex_lock(&b->mutex);
        atomic_store(&b->stop, true);
        (void) pthread_cond_broadcast(&b->work);
        (void) pthread_cond_broadcast(&b->done);
        (void) pthread_mutex_unlock(&b->mutex);
        (void) pthread_join(b->thread, NULL);
        struct memory *m, *next;
        HASH_ITER(hh, b->memories, m, next)
        forget(b, m);
        (void) pthread_cond_destroy(&b->done);
        (void) pthread_cond_destroy(&b->work);
        (void) pthread_mutex_destroy(&b->mutex);
        free(b);
        return NULL;
}
