/*
 * A child that ends without having returned was killed (by the fault, or by a library that can't live without memory): any state may be what it
 * left, but a torn one. Signals that tell of wrong code of ours are a failure of their own.
 */
#include "tests/faults/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/operation/operation.h"
#include "tests/faults/site.h"
#include "tests/faults/tree.h"

static size_t size_for(uint32_t events)
{
        return sizeof(struct child) + events * sizeof(struct call_event);
}

void child_free(struct child *child)
{
        (void) munmap(child, size_for(child->calls.event_size));
}

struct child *child_new(uint32_t events)
{
        size_t size = size_for(events);
        struct child *child = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (child == MAP_FAILED)
                give_up("memory for %u calls", events);
        child->calls.event_size = events;
        return child;
}

static bool asked(void *context)
{
        (void) context;
        struct call call;
        return call_enter(&call, CALL_ASK);
}

/* A crash is a library's own when none of our functions is nearer: without memory, json_tokener_parse_ex() of json-c 0.16 hands a NULL to
   freelocale(), and OpenSSL 3.0 can't get over a failure while it sets itself up. */
static struct child *crashing;

static void on_crash(int signal_number)
{
        call_disarm();                                                            /* NOLINT(bugprone-signal-handler) */
        crashing->crash_count = site_frames(crashing->crash_frames, CALL_FRAMES); /* NOLINT(bugprone-signal-handler) */
        (void) signal(signal_number, SIG_DFL);
        (void) raise(signal_number);
}

static void keep_result(struct child *child, struct json_object *outcome)
{
        struct json_object *status, *result, *kept;
        if (json_object_object_get_ex(outcome, "status", &status))
                (void) snprintf(child->outcome, sizeof(child->outcome), "%s", json_object_get_string(status));
        if (json_object_object_get_ex(outcome, "result", &result) && json_object_object_get_ex(result, "kept", &kept))
                child->kept = json_object_get_int64(kept);
        if (json_object_object_get_ex(outcome, "result", &result) && json_object_object_get_ex(result, "left", &kept))
                child->kept = json_object_get_int64(kept);
}

static void keep_outcome(struct child *child, int code, struct json_object *outcome, const struct error *e)
{
        child->code = code;
        keep_result(child, outcome);
        (void) snprintf(child->sentence, sizeof(child->sentence), "%s", e->text);
        child->end = CHILD_RETURNED;
}

static void operate(struct child *child, const struct child_request *request, const struct call_fault *fault)
{
        struct operation_request r = {
                .type = request->type,
                .line = request->line,
                .line_len = strlen(request->line),
                .collection_id = request->collection_id[0] == '\0' ? NULL : request->collection_id,
        };
        struct text skip = { .bytes = (char *) (uintptr_t) request->skip, .len = strlen(request->skip) };
        if (skip.len > 0) {
                r.skip = &skip;
                r.skip_count = 1;
        }
        const struct operation_sink sink = { .cancelled = asked };
        int fd = open(request->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                give_up("%s", request->dir);
        struct json_object *outcome = NULL;
        struct error e = { 0 };
        struct call end;
        call_arm(fault, &child->calls);
        int code = operation_run(fd, &r, &sink, &outcome, &e);
        child->promised = code == 0;
        (void) call_enter(&end, CALL_END);
        call_disarm();
        keep_outcome(child, code, outcome, &e);
}

static void set_up(struct child *child, const struct child_request *request)
{
        int log = open(request->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
                give_up("%s", request->log);
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) prctl(PR_SET_DUMPABLE, 1);
        (void) setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        (void) alarm(CHILD_SECONDS);
        crashing = child;
        (void) signal(SIGINT, SIG_DFL);
        (void) signal(SIGTERM, SIG_DFL);
        (void) signal(SIGSEGV, on_crash);
        (void) signal(SIGBUS, on_crash);
}

/* Libraries may end a process that is out of memory: uthash by exit(-1), others by abort(). */
static bool may_end(const struct child *child, enum call_act act)
{
        if (act == ACT_ENOMEM)
                return child->signal == SIGABRT || child->status == 255 ||
                       site_is_of(child->crash_frames, child->crash_count, "libjson-c") ||
                       site_is_of(child->crash_frames, child->crash_count, "libcrypto");
        return child->signal == SIGKILL && act < ACT_EIO;
}

static void judge_end(struct child *child, int status, enum call_act act)
{
        child->status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        child->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        if (child->end == CHILD_RETURNED && status == 0)
                return;
        child->end = child->signal == SIGALRM ? CHILD_HUNG : may_end(child, act) ? CHILD_DIED : CHILD_CRASHED;
}

void child_run(struct child *child, const struct child_request *request, const struct call_fault *fault, enum child_mode mode)
{
        uint32_t size = child->calls.event_size;
        memset(child, 0, sizeof(*child));
        child->calls.event_size = size;
        child->calls.record = mode != CHILD_QUIET;
        child->calls.hurry = mode == CHILD_RECORD_ASKS;
        child->end = CHILD_DIED;
        (void) fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
                set_up(child, request);
                operate(child, request, fault);
                _exit(0);
        }
        int status = 0;
        while (pid < 0 || waitpid(pid, &status, 0) < 0)
                if (pid < 0 || errno != EINTR)
                        give_up("a child for %s", request->type->name);
        judge_end(child, status, fault->act);
}

void child_take_asks(struct child *child, const struct child *asks)
{
        struct call_report *calls = &child->calls;
        uint32_t kept = 0;
        for (uint32_t i = 0; i < calls->event_count && i < calls->event_size; i++)
                if (calls->events[i].kind != CALL_ASK)
                        calls->events[kept++] = calls->events[i];
        for (uint32_t i = 0; i < asks->calls.event_count && i < asks->calls.event_size && kept < calls->event_size; i++)
                if (asks->calls.events[i].kind == CALL_ASK)
                        calls->events[kept++] = asks->calls.events[i];
        if (calls->event_count <= calls->event_size)
                calls->event_count = kept;
}
