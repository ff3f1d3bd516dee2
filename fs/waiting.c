#include "fs/waiting.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/request.h"

#define POLL_NS 30000000

struct waiter {
        struct waiter *next;
        fuse_req_t req;
        waiting_try *try;
        struct waiting_for what;
        struct fuse_file_info fi; /* what.fi points to, if it is an open */
};

struct waiting {
        pthread_t thread;
        atomic_bool stop;
        pthread_mutex_t mutex; /* of the list */
        pthread_cond_t added;
        struct waiter *first;
};

/* True when it was answered, and is gone. */
static bool attend(struct waiting *waiting, struct waiter *w)
{
        bool answered = true;
        if (request_cancelled(w->req) || atomic_load(&waiting->stop))
                (void) fuse_reply_err(w->req, EINTR);
        else
                answered = w->try(w->req, &w->what);
        if (answered)
                free(w);
        return answered;
}

/* Takes the whole list; waits while there is none. */
static struct waiter *take_all(struct waiting *waiting)
{
        (void) pthread_mutex_lock(&waiting->mutex);
        while (waiting->first == NULL && !atomic_load(&waiting->stop))
                (void) pthread_cond_wait(&waiting->added, &waiting->mutex);
        struct waiter *all = waiting->first;
        waiting->first = NULL;
        (void) pthread_mutex_unlock(&waiting->mutex);
        return all;
}

static void put_back(struct waiting *waiting, struct waiter *w)
{
        (void) pthread_mutex_lock(&waiting->mutex);
        w->next = waiting->first;
        waiting->first = w;
        (void) pthread_mutex_unlock(&waiting->mutex);
}

static void *work(void *context)
{
        struct waiting *waiting = context;
        for (;;) {
                struct waiter *w = take_all(waiting);
                if (w == NULL)
                        return NULL;
                while (w != NULL) {
                        struct waiter *next = w->next;
                        if (!attend(waiting, w))
                                put_back(waiting, w);
                        w = next;
                }
                struct timespec pause = { .tv_nsec = POLL_NS };
                (void) nanosleep(&pause, NULL);
        }
}

int waiting_new(struct waiting **ret, struct error *e)
{
        struct waiting *waiting = calloc(1, sizeof(*waiting));
        if (waiting == NULL)
                return error_set(e, ENOMEM, "no memory");
        (void) pthread_mutex_init(&waiting->mutex, NULL);
        (void) pthread_cond_init(&waiting->added, NULL);
        int err = pthread_create(&waiting->thread, NULL, work, waiting);
        if (err != 0) {
                free(waiting);
                return error_set(e, err, "a thread can't be started: %s", strerror(err));
        }
        *ret = waiting;
        return 0;
}

int waiting_add(struct waiting *waiting, fuse_req_t req, waiting_try *try, const struct waiting_for *what)
{
        struct waiter *w = calloc(1, sizeof(*w));
        if (w == NULL)
                return -ENOMEM;
        w->req = req;
        w->try = try;
        w->what = *what;
        if (what->fi != NULL) {
                w->fi = *what->fi;
                w->what.fi = &w->fi;
        }
        (void) pthread_mutex_lock(&waiting->mutex);
        w->next = waiting->first;
        waiting->first = w;
        (void) pthread_cond_signal(&waiting->added);
        (void) pthread_mutex_unlock(&waiting->mutex);
        return 0;
}

struct waiting *waiting_free(struct waiting *waiting)
{
        if (waiting == NULL)
                return NULL;
        (void) pthread_mutex_lock(&waiting->mutex);
        atomic_store(&waiting->stop, true);
        (void) pthread_cond_signal(&waiting->added);
        (void) pthread_mutex_unlock(&waiting->mutex);
        (void) pthread_join(waiting->thread, NULL);
        (void) pthread_cond_destroy(&waiting->added);
        (void) pthread_mutex_destroy(&waiting->mutex);
        free(waiting);
        return NULL;
}
