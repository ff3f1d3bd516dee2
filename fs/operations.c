#include "fs/operations.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/entry.h"
#include "ops/clock.h"
#include "ops/json.h"

#define NAME_SIZE 64
#define LINE_SHOWN 1024 /* bytes of what was written that status.json shows */
#define WAIT_MS 20
#define NS_PER_SECOND 1000000000

struct running {
        bool is, hidden, cancelled;
        char operation[NAME_SIZE], entry[ENTRY_SIZE], line[LINE_SHOWN], phase[NAME_SIZE];
        uint64_t done, total;
        int64_t phase_ms;    /* when the phase began: monotonic */
        uint64_t phase_done; /* and how far it was then */
        time_t started;
};

struct operations {
        pthread_mutex_t mutex;
        pthread_cond_t ended;
        struct running running;
        uint64_t run; /* how many began */
        bool awaited; /* someone waits for the end of what is hidden */
        struct error refusal;
        struct operations_times times;
        struct outcomes *outcomes;
};

static int64_t realtime_ns(void)
{
        struct timespec now;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t) now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

int operations_new(int dirfd, struct operations **ret, struct error *e)
{
        struct operations *o = calloc(1, sizeof(*o));
        if (o == NULL)
                return error_set(e, ENOMEM, "no memory");
        int r = outcomes_new(dirfd, &o->outcomes, e);
        if (r < 0) {
                free(o);
                return r;
        }
        (void) pthread_mutex_init(&o->mutex, NULL);
        (void) pthread_cond_init(&o->ended, NULL);
        *ret = o;
        return 0;
}

struct operations *operations_free(struct operations *operations)
{
        if (operations == NULL)
                return NULL;
        operations->outcomes = outcomes_free(operations->outcomes);
        (void) pthread_cond_destroy(&operations->ended);
        (void) pthread_mutex_destroy(&operations->mutex);
        free(operations);
        return NULL;
}

static void lock(struct operations *o)
{
        (void) pthread_mutex_lock(&o->mutex);
}

static void unlock(struct operations *o)
{
        (void) pthread_mutex_unlock(&o->mutex);
}

/* For WAIT_MS at most, with the lock, which is given up meanwhile. Whether who waits wants to go on. */
static bool wait_a_little(struct operations *o, db_cancel_fn *cancelled, void *context)
{
        int64_t until = realtime_ns() + WAIT_MS * 1000000;
        struct timespec t = { .tv_sec = (time_t) (until / NS_PER_SECOND), .tv_nsec = (long) (until % NS_PER_SECOND) };
        (void) pthread_cond_timedwait(&o->ended, &o->mutex, &t);
        unlock(o);
        bool go_on = !cancelled(context);
        lock(o);
        return go_on;
}

/* Without the newline; control characters would disturb who reads it. */
static void copy_line(char *to, size_t size, const char *bytes, size_t len)
{
        size_t n = 0;
        for (; n < len && n < size - 1; n++)
                to[n] = (unsigned char) bytes[n] < ' ' || bytes[n] == 0x7f ? ' ' : bytes[n];
        while (n > 0 && to[n - 1] == ' ')
                n--;
        to[n] = '\0';
}

static int busy(const struct running *r, struct error *e)
{
        bool one = r->entry[0] != '\0';
        return error_set(e, EBUSY,
                         "%s%s%s%s runs in this mount: wait for its end (status.json tells how far it is), or write 1 to cancel",
                         r->operation, one ? " (of collections/" : "", r->entry, one ? ")" : "");
}

static void note_start(struct operations *o, const struct operation_start *start)
{
        struct running *r = &o->running;
        *r = (struct running){ .is = true, .hidden = start->hidden, .phase_ms = clock_ms(), .started = time(NULL) };
        copy_line(r->operation, sizeof(r->operation), start->operation, strlen(start->operation));
        copy_line(r->entry, sizeof(r->entry), start->entry, strlen(start->entry));
        copy_line(r->line, sizeof(r->line), start->line.bytes, start->line.len);
        o->run++;
        if (!start->hidden)
                o->times.progress_ns = realtime_ns();
}

/* Waits, with the lock, for the end of what is hidden. One writer only, since each holds a thread of the mount; and of several only one could begin then. */
static int wait_for_hidden(struct operations *o, db_cancel_fn *cancelled, void *context, struct error *e)
{
        int r = 0;
        if (!o->running.is || !o->running.hidden)
                return 0;
        if (o->awaited)
                return busy(&o->running, e);
        o->awaited = true;
        while (r == 0 && o->running.is && o->running.hidden)
                if (!wait_a_little(o, cancelled, context))
                        r = error_set(e, ECANCELED, "stopped while it waited for what tidies the directory");
        o->awaited = false;
        return r;
}

int operations_begin(struct operations *operations, const struct operation_start *start, db_cancel_fn *cancelled, void *context,
                     struct error *e)
{
        lock(operations);
        int r = wait_for_hidden(operations, cancelled, context, e);
        if (r == 0 && operations->running.is)
                r = busy(&operations->running, e);
        if (r == 0)
                note_start(operations, start);
        unlock(operations);
        return r;
}

void operations_progress(struct operations *operations, const char *phase, uint64_t done, uint64_t total)
{
        lock(operations);
        struct running *r = &operations->running;
        if (strncmp(r->phase, phase, NAME_SIZE - 1) != 0) {
                copy_line(r->phase, sizeof(r->phase), phase, strlen(phase));
                r->phase_ms = clock_ms();
                r->phase_done = done;
        }
        r->done = done;
        r->total = total;
        if (!r->hidden)
                operations->times.progress_ns = realtime_ns();
        unlock(operations);
}

bool operations_is_cancelled(struct operations *operations)
{
        lock(operations);
        bool cancelled = operations->running.cancelled;
        unlock(operations);
        return cancelled;
}

void operations_end(struct operations *operations, struct json_object *outcome)
{
        if (outcome != NULL)
                outcomes_add(operations->outcomes, outcome);
        lock(operations);
        if (!operations->running.hidden)
                operations->times.progress_ns = operations->times.end_ns = realtime_ns();
        operations->running = (struct running){ 0 };
        (void) pthread_cond_broadcast(&operations->ended);
        unlock(operations);
}

int operations_cancel(struct operations *operations, db_cancel_fn *cancelled, void *context)
{
        int r = 0;
        lock(operations);
        uint64_t run = operations->run;
        operations->running.cancelled = operations->running.is;
        while (r == 0 && operations->running.is && operations->run == run)
                if (!wait_a_little(operations, cancelled, context))
                        r = -EINTR;
        unlock(operations);
        return r;
}

void operations_refuse(struct operations *operations, const char *path, const struct error *error)
{
        struct error refusal = *error;
        copy_line(refusal.text, sizeof(refusal.text), error->text, strlen(error->text));
        (void) error_prefix(&refusal, error->code, "%s", path);
        lock(operations);
        operations->refusal = refusal;
        operations->times.refusal_ns = realtime_ns();
        unlock(operations);
}

struct error operations_last_refusal(struct operations *operations)
{
        lock(operations);
        struct error refusal = operations->refusal;
        unlock(operations);
        return refusal;
}

static struct json_object *time_json(time_t seconds)
{
        struct tm tm;
        char text[32];
        if (gmtime_r(&seconds, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                return NULL;
        return json_string(text);
}

/* Speed and what is left, of the phase: null as long as nobody can tell. */
static void add_rate(struct json_object *o, const struct running *r)
{
        double seconds = (double) (clock_ms() - r->phase_ms) / 1000.0;
        double units = r->done > r->phase_done ? (double) (r->done - r->phase_done) : 0.0;
        double rate = seconds > 0.0 ? units / seconds : 0.0;
        bool known = rate > 0.0, whole = known && r->total >= r->done && r->total > 0;
        json_object_object_add(o, "rate", known ? json_double((double) (int64_t) (rate * 10.0) / 10.0) : NULL);
        json_object_object_add(o, "eta_seconds",
                               whole ? json_object_new_int64((int64_t) ((double) (r->total - r->done) / rate + 0.5)) : NULL);
}

static struct json_object *running_json(const struct running *r)
{
        struct json_object *o = json_object_new_object();
        if (o == NULL)
                return NULL;
        json_object_object_add(o, "operation", json_string(r->operation));
        json_object_object_add(o, "collection", r->entry[0] != '\0' ? json_string(r->entry) : NULL);
        json_object_object_add(o, "options", json_string(r->line));
        json_object_object_add(o, "phase", r->phase[0] != '\0' ? json_string(r->phase) : NULL);
        json_object_object_add(o, "done", json_object_new_uint64(r->done));
        json_object_object_add(o, "total", r->total > 0 ? json_object_new_uint64(r->total) : NULL);
        add_rate(o, r);
        json_object_object_add(o, "started", time_json(r->started));
        return o;
}

struct json_object *operations_running(struct operations *operations)
{
        lock(operations);
        struct running running = operations->running;
        unlock(operations);
        return running.is && !running.hidden ? running_json(&running) : NULL;
}

struct outcomes *operations_outcomes(struct operations *operations)
{
        return operations->outcomes;
}

struct operations_times operations_times(struct operations *operations)
{
        lock(operations);
        struct operations_times times = operations->times;
        unlock(operations);
        return times;
}
