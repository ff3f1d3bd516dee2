#include "fs/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/worker_wire.h"
#include "ops/cleanup.h"

#define REPORT_CHUNK 65536
#define ERRNO_MAX 511 /* that FUSE can answer with */

struct worker {
        pid_t pid;
        int requests, reports; /* the daemon's ends */
        const struct worker_watch *watch;
        bool told;  /* to cancel */
        bool ended; /* and waited for */
        int status; /* then */
        char *line; /* what came since the last whole line */
        size_t len, room;
        struct json_object *final;
};

/* --- starting -------------------------------------------------------------- */

/* A pipe whose ends are above all that the worker expects its own to be at, so that no dup2 in it overwrites another one's source. */
static int high_pipe(int ret[2], struct error *e)
{
        int low[2];
        if (pipe2(low, O_CLOEXEC) < 0)
                return error_set(e, errno, "can't make a pipe: %s", strerror(errno));
        for (int i = 0; i < 2; i++)
                ret[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 2 * WORKER_DESCRIPTORS);
        int failure = errno;
        (void) close(low[0]);
        (void) close(low[1]);
        if (ret[0] >= 0 && ret[1] >= 0)
                return 0;
        close_cleanup(&ret[0]);
        close_cleanup(&ret[1]);
        return error_set(e, failure, "can't make a pipe: %s", strerror(failure));
}

static int add_descriptors(posix_spawn_file_actions_t *actions, const int from[WORKER_DESCRIPTORS])
{
        int r = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        for (int fd = WORKER_DIRECTORY; r == 0 && fd < WORKER_DESCRIPTORS; fd++)
                r = posix_spawn_file_actions_adddup2(actions, from[fd], fd);
        return r;
}

/* Default signals, none blocked, and a process group of its own: see fs/worker.h. */
static int set_attributes(posix_spawnattr_t *attributes)
{
        sigset_t all, none;
        (void) sigfillset(&all);
        (void) sigemptyset(&none);
        int r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setsigmask(attributes, &none);
        return r == 0 ? posix_spawnattr_setpgroup(attributes, 0) : r;
}

/* The name in argv is for ps. */
static int spawn(const int from[WORKER_DESCRIPTORS], const char *operation, pid_t *ret)
{
        char program[] = "chromafs", argument[] = WORKER_ARGUMENT, name[64];
        char *argv[] = { program, argument, name, NULL };
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        (void) snprintf(name, sizeof(name), "%s", operation);
        int r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attributes);
        if (r == 0) {
                r = add_descriptors(&actions, from);
                if (r == 0)
                        r = set_attributes(&attributes);
                if (r == 0)
                        r = posix_spawn(ret, "/proc/self/exe", &actions, &attributes, argv, environ);
                (void) posix_spawnattr_destroy(&attributes);
        }
        (void) posix_spawn_file_actions_destroy(&actions);
        return -r;
}

static int start(struct worker *w, int dirfd, const char *operation, struct error *e)
{
        int requests[2] = { -1, -1 }, reports[2] = { -1, -1 }, directory = fcntl(dirfd, F_DUPFD_CLOEXEC, 2 * WORKER_DESCRIPTORS);
        int r = directory < 0 ? error_set(e, errno, "can't start a process: %s", strerror(errno)) : high_pipe(requests, e);
        if (r == 0)
                r = high_pipe(reports, e);
        if (r == 0) {
                const int from[WORKER_DESCRIPTORS] = {
                        [WORKER_DIRECTORY] = directory, [WORKER_REQUESTS] = requests[0], [WORKER_REPORTS] = reports[1]
                };
                r = spawn(from, operation, &w->pid);
                if (r < 0)
                        r = error_set(e, -r, "can't start a process: %s", strerror(-r));
        }
        close_cleanup(&directory);
        close_cleanup(&requests[0]);
        close_cleanup(&reports[1]);
        w->requests = requests[1];
        w->reports = reports[0];
        return r;
}

/* A worker that has died already is found out when it is waited for. */
static int send_request(const struct worker *w, const struct worker_request *request, struct error *e)
{
        struct text packed;
        if (worker_pack(request, &packed) < 0)
                return error_set(e, ENOMEM, "no memory");
        for (size_t sent = 0; sent < packed.len;) {
                ssize_t n = write(w->requests, packed.bytes + sent, packed.len - sent);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                sent += (size_t) n;
        }
        free(packed.bytes);
        return 0;
}

/* --- what it reports ------------------------------------------------------- */

static uint64_t number_in(struct json_object *o, const char *key)
{
        return json_object_get_uint64(json_object_object_get(o, key));
}

static void take_line(struct worker *w, const char *line, size_t len)
{
        struct json_object *o = NULL, *phase = NULL;
        struct json_tokener *tokener = json_tokener_new();
        if (tokener != NULL && len < INT32_MAX)
                o = json_tokener_parse_ex(tokener, line, (int) len);
        json_tokener_free(tokener);
        if (!json_object_is_type(o, json_type_object)) {
                (void) json_object_put(o);
        } else if (json_object_object_get_ex(o, "phase", &phase)) {
                if (phase != NULL)
                        w->watch->progress(w->watch->context, json_object_get_string(phase), number_in(o, "done"),
                                           number_in(o, "total"));
                (void) json_object_put(o);
        } else {
                (void) json_object_put(w->final);
                w->final = o;
        }
}

static void take_lines(struct worker *w)
{
        size_t begin = 0;
        for (char *end; (end = memchr(w->line + begin, '\n', w->len - begin)) != NULL; begin = (size_t) (end - w->line) + 1)
                take_line(w, w->line + begin, (size_t) (end - w->line) - begin);
        w->len -= begin;
        memmove(w->line, w->line + begin, w->len);
}

/* Reads what is there: false at the end. */
static bool receive(struct worker *w)
{
        if (w->room - w->len < REPORT_CHUNK) {
                char *larger = w->room < WORKER_REPORT_MAX ? realloc(w->line, 2 * w->room + REPORT_CHUNK) : NULL;
                if (larger == NULL)
                        return false;
                w->line = larger;
                w->room = 2 * w->room + REPORT_CHUNK;
        }
        ssize_t n = read(w->reports, w->line + w->len, w->room - w->len);
        if (n < 0)
                return errno == EINTR || errno == EAGAIN;
        if (n == 0)
                return false;
        w->len += (size_t) n;
        take_lines(w);
        return true;
}

static void tell_to_cancel(struct worker *w)
{
        w->told = true;
        (void) !write(w->requests, "c", 1);
}

static void look_for_end(struct worker *w)
{
        w->ended = waitpid(w->pid, &w->status, WNOHANG) == w->pid;
}

/* Until its end of the pipe is closed, which its own end does. What it started itself may outlive it and keep the pipe open: so its outcome is the end, too, and
   its own end when there is nothing more to read. */
static void watch_worker(struct worker *w)
{
        for (;;) {
                struct pollfd reports = { .fd = w->reports, .events = POLLIN };
                int n = poll(&reports, 1, WORKER_POLL_MS);
                if (n > 0 && !receive(w))
                        return;
                if (w->final != NULL || (n == 0 && w->ended))
                        return;
                if (n == 0)
                        look_for_end(w);
                if (!w->told && w->watch->cancelled(w->watch->context))
                        tell_to_cancel(w);
        }
}

/* --- its end --------------------------------------------------------------- */

static int died(int status, struct error *e)
{
        if (WIFSIGNALED(status))
                return error_set(
                        e, EIO,
                        "the process of the operation was killed by signal %d (%s): what it left is tidied before the next one",
                        WTERMSIG(status), strsignal(WTERMSIG(status)));
        return error_set(e, EIO, "the process of the operation ended with status %d and without a word",
                         WIFEXITED(status) ? WEXITSTATUS(status) : status);
}

/* A worker that has not ended yet then does: it sees a cancel, and nobody reads what it writes. */
static void hang_up(struct worker *w)
{
        close_cleanup(&w->requests);
        close_cleanup(&w->reports);
        w->requests = w->reports = -1;
}

static void wait_for_end(struct worker *w)
{
        while (!w->ended && waitpid(w->pid, &w->status, 0) < 0 && errno == EINTR)
                ;
        w->ended = true;
}

/* A code that is none is no success; and one that the kernel takes for no errno would leave the writer without an answer. */
static int outcome_of(struct worker *w, struct json_object **ret_outcome, struct error *e)
{
        struct json_object *o = NULL, *sentence = NULL, *number = NULL;
        if (w->final == NULL)
                return died(w->status, e);
        (void) json_object_object_get_ex(w->final, "code", &number);
        int code = json_object_is_type(number, json_type_int) ? json_object_get_int(number) : 1;
        if (code > 0 || code < -ERRNO_MAX)
                return error_set(e, EIO, "the process of the operation did not say what came of it");
        if (json_object_object_get_ex(w->final, "outcome", &o))
                *ret_outcome = json_object_get(o);
        if (code == 0)
                return 0;
        (void) json_object_object_get_ex(w->final, "sentence", &sentence);
        return error_set(e, -code, "%s", sentence != NULL ? json_object_get_string(sentence) : strerror(-code));
}

int worker_run(int dirfd, const struct worker_request *request, const struct worker_watch *watch, struct json_object **ret_outcome,
               struct error *e)
{
        struct worker w = { .requests = -1, .reports = -1, .watch = watch };
        *ret_outcome = NULL;
        int r = start(&w, dirfd, request->operation, e);
        if (r == 0) {
                r = send_request(&w, request, e);
                if (r == 0)
                        watch_worker(&w);
                hang_up(&w);
                wait_for_end(&w);
                if (r == 0)
                        r = outcome_of(&w, ret_outcome, e);
        }
        hang_up(&w);
        (void) json_object_put(w.final);
        free(w.line);
        return r;
}
