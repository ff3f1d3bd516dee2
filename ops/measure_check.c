/*
 * The check of an index as a job of the background thread (see ops/measure.c). What it found is remembered for the state of the index's files; that it could not be checked is too,
 * but only for RETRY_MS, so that who waits for a quiet moment does not have a large index read without a pause.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ops/clock.h"
#include "ops/observer_internal.h"

#define RETRY_MS 500

struct check_job {
        struct observer *observer;
        char segment_id[37];
};

static void check_destroy(struct result *shared)
{
        free(shared);
}

static int64_t now_ns(void)
{
        struct timespec t;
        (void) clock_gettime(CLOCK_REALTIME, &t);
        return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

static int run_check(void *argument, db_cancel_fn *stop, void *context, struct result **ret, struct error *e)
{
        const struct check_job *job = argument;
        struct check_result *c = calloc(1, sizeof(*c));
        if (c == NULL)
                return error_set(e, ENOMEM, "no memory");
        result_init(&c->shared, check_destroy);
        struct index_stamps before = index_stamps_read(job->observer->dirfd, job->segment_id);
        int r = hnsw_check(job->observer->dirfd, job->segment_id, stop, context, &c->check, &c->failure);
        if (r == -EINTR) { /* the thread is to end */
                *e = c->failure;
                free(c);
                return r;
        }
        if (r < 0)
                c->check.stamps = before;
        c->failure.code = r;
        c->ended_ns = now_ns();
        *ret = &c->shared;
        return 0;
}

static struct check_result *known(struct observer *o, const char *name)
{
        return (struct check_result *) background_known(o->background, name);
}

static struct check_result *check_put(struct check_result *c)
{
        if (c != NULL)
                (void) result_put(&c->shared);
        return NULL;
}

static bool answers_for(const struct check_result *c, const struct index_stamps *stamps)
{
        return c != NULL && c->failure.code == 0 && index_stamps_equal(&c->check.stamps, stamps);
}

struct name {
        char text[64];
};

static struct name name_of(const char *segment_id)
{
        struct name name;
        (void) snprintf(name.text, sizeof(name.text), "check %s", segment_id);
        return name;
}

struct check_result *observer_known_check(struct observer *o, const char *segment_id, const struct index_stamps *stamps)
{
        struct check_result *c = known(o, name_of(segment_id).text);
        return answers_for(c, stamps) ? c : check_put(c);
}

static struct check_job *job_new(struct observer *o, const char *segment_id)
{
        struct check_job *job = calloc(1, sizeof(*job));
        if (job != NULL) {
                job->observer = o;
                (void) snprintf(job->segment_id, sizeof(job->segment_id), "%s", segment_id);
        }
        return job;
}

/* Another state than that of the files as long as they could not be checked. */
static uint64_t state_of(const struct check_result *last, const struct index_stamps *stamps)
{
        uint64_t failed = last != NULL && last->failure.code < 0 ? (uint64_t) (clock_ms() / RETRY_MS) : 0;
        return stamps_state(stamps) + failed;
}

int observer_check(struct observer *o, const struct segment *segment, const struct patience *patience, struct check_result **ret,
                   bool *ret_current, struct error *e)
{
        const char *id = segment->id.bytes;
        struct name name = name_of(id);
        struct index_stamps stamps = index_stamps_read(o->dirfd, id);
        struct check_result *last = known(o, name.text);
        if (answers_for(last, &stamps)) {
                *ret = last;
                *ret_current = true;
                return 0;
        }
        struct background_job job = {
                .name = name.text, .state = state_of(last, &stamps), .run = run_check, .argument = job_new(o, id), .release = free
        };
        (void) check_put(last);
        if (job.argument == NULL)
                return error_set(e, ENOMEM, "no memory");
        struct result *result = NULL;
        int r = background_ask(o->background, &job, patience->until_ms, patience->cancelled, patience->context, &result,
                               ret_current, e);
        if (r < 0)
                return r;
        *ret = (struct check_result *) result;
        stamps = index_stamps_read(o->dirfd, id);
        *ret_current = *ret != NULL && index_stamps_equal(&(*ret)->check.stamps, &stamps);
        return 0;
}
