/*
 * The worker's side of fs/worker.h: reads the request, becomes the user that it names, runs the operation, writes what comes of it.
 *
 * Signals that ask a program to end are blocked and looked for instead, so that `systemctl stop`, which sends them to every process of a service, ends an operation
 * as a cancel does.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/worker_wire.h"
#include "ops/json.h"
#include "ops/operation/operation.h"

#define EXIT_USAGE 2

static const int ending_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
#define SIGNAL_COUNT (sizeof(ending_signals) / sizeof(*ending_signals))

static void prepare_signals(void)
{
        sigset_t set;
        (void) sigemptyset(&set);
        for (size_t i = 0; i < SIGNAL_COUNT; i++)
                (void) sigaddset(&set, ending_signals[i]);
        (void) sigprocmask(SIG_BLOCK, &set, NULL);
        (void) signal(SIGPIPE, SIG_IGN); /* a daemon that is gone is a cancel, see below */
}

static bool is_signalled(void)
{
        sigset_t set;
        if (sigpending(&set) < 0)
                return false;
        for (size_t i = 0; i < SIGNAL_COUNT; i++)
                if (sigismember(&set, ending_signals[i]) == 1)
                        return true;
        return false;
}

/* A byte, or the end of a daemon that was killed. */
static bool is_cancelled(void *context)
{
        (void) context;
        struct pollfd requests = { .fd = WORKER_REQUESTS, .events = POLLIN };
        return is_signalled() || (poll(&requests, 1, 0) > 0 && requests.revents != 0);
}

static bool read_exactly(int fd, char *bytes, size_t len)
{
        while (len > 0) {
                ssize_t n = read(fd, bytes, len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return false;
                bytes += n;
                len -= (size_t) n;
        }
        return true;
}

static bool read_request(struct text *ret)
{
        uint64_t len;
        if (!read_exactly(WORKER_REQUESTS, (char *) &len, sizeof(len)) || len > WORKER_REQUEST_MAX)
                return false;
        struct text packed = { .bytes = malloc((size_t) len + 1), .len = (size_t) len };
        if (packed.bytes == NULL || !read_exactly(WORKER_REQUESTS, packed.bytes, packed.len)) {
                free(packed.bytes);
                return false;
        }
        packed.bytes[packed.len] = '\0';
        *ret = packed;
        return true;
}

/* Takes the object. Nobody reads it any more when it can't be written. */
static void report(struct json_object *o)
{
        size_t len = 0;
        const char *text = o != NULL ? json_object_to_json_string_length(o, JSON_C_TO_STRING_PLAIN, &len) : NULL;
        while (text != NULL && len > 0) {
                ssize_t n = write(WORKER_REPORTS, text, len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                text += n;
                len -= (size_t) n;
        }
        (void) !write(WORKER_REPORTS, "\n", 1);
        (void) json_object_put(o);
}

static void report_progress(void *context, const struct operation_progress *progress)
{
        (void) context;
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "phase", json_string(progress->phase));
        json_object_object_add(o, "done", json_object_new_uint64(progress->done));
        json_object_object_add(o, "total", json_object_new_uint64(progress->total));
        report(o);
}

static void report_outcome(int code, const struct error *error, struct json_object *outcome)
{
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "code", json_object_new_int(code));
        json_object_object_add(o, "sentence", json_string(error->text));
        json_object_object_add(o, "outcome", outcome);
        report(o);
}

static int become(const struct worker_user *user, struct error *e)
{
        if (user == NULL)
                return 0;
        if (setgroups(user->group_count, user->groups) < 0 || setgid(user->gid) < 0 || setuid(user->uid) < 0)
                return error_set(
                        e, EACCES,
                        "this runs as the user who asks for it (uid %u), and chromafs (uid %u) can't become another one: ask "
                        "for it as the user who mounted",
                        user->uid, geteuid());
        return 0;
}

static int run(const struct worker_unpacked *unpacked, struct json_object **ret_outcome, struct error *e)
{
        const struct worker_request *asked = &unpacked->request;
        const struct operation_type *type = operation_find(asked->operation);
        if (type == NULL)
                return error_set(e, EOPNOTSUPP, "there is no operation %s", asked->operation);
        int r = become(asked->user, e);
        if (r < 0)
                return r;
        const struct operation_sink sink = { .progress = report_progress, .cancelled = is_cancelled };
        const struct operation_request request = {
                .type = type,
                .line = asked->line.bytes,
                .line_len = asked->line.len,
                .written = asked->written.len > 0 ? &asked->written : NULL,
                .collection_id = asked->collection_id,
                .skip = asked->skip,
                .skip_count = asked->skip_count,
        };
        return operation_run(WORKER_DIRECTORY, &request, &sink, ret_outcome, e);
}

static bool has_descriptors(void)
{
        for (int fd = WORKER_DIRECTORY; fd < WORKER_DESCRIPTORS; fd++)
                if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                        return false;
        return true;
}

int worker_main(void)
{
        CLEANUP(free)
        char *bytes = NULL;
        struct text packed;
        struct worker_unpacked unpacked;
        struct json_object *outcome = NULL;
        struct error error = { 0 };
        (void) close_range(WORKER_DESCRIPTORS, ~0u, 0);
        (void) prctl(PR_SET_NAME, "chromafs-worker"); /* run through /proc/self/exe it would be called exe */
        if (!has_descriptors() || !read_request(&packed)) {
                (void) fputs("chromafs: " WORKER_ARGUMENT " is for chromafs itself\n", stderr);
                return EXIT_USAGE;
        }
        bytes = packed.bytes;
        prepare_signals();
        (void) umask(S_IRWXG | S_IRWXO); /* whatever was the daemon's: its owner must be able to use what is made */
        int r = worker_unpack(&packed, &unpacked);
        if (r < 0)
                return EXIT_USAGE;
        r = run(&unpacked, &outcome, &error);
        report_outcome(r, &error, outcome);
        worker_unpacked_clear(&unpacked);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
