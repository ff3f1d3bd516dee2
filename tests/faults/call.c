/*
 * What happens at a call: counted, recorded, made to fail, or the end of the process.
 *
 * The armed process kills itself: at that instant nothing else of it runs, so what it leaves is what the calls before have done.
 */
#include "tests/faults/call.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/faults/power.h"
#include "tests/faults/site.h"

#define KILLS (1u << ACT_KILL_BEFORE | 1u << ACT_KILL_AFTER | 1u << ACT_POWER | 1u << ACT_POWER_SOME)
#define IO (1u << ACT_EIO)
#define ROOM (1u << ACT_ENOSPC | 1u << ACT_FULL)
#define SIGNAL (1u << ACT_EINTR)
#define BROKEN (1u << ACT_BROKEN)

const struct call_kind_type call_kinds[CALL_KINDS] = {
        [CALL_OPEN] = { "open", false, IO | SIGNAL },
        [CALL_CREATE] = { "create", true, KILLS | IO | ROOM | SIGNAL | BROKEN },
        [CALL_READ] = { "read", false, IO | SIGNAL | 1u << ACT_SHORT },
        [CALL_WRITE] = { "write", true, KILLS | 1u << ACT_TORN | IO | ROOM | SIGNAL | BROKEN | 1u << ACT_SHORT },
        [CALL_TRUNCATE] = { "truncate", true, KILLS | IO | SIGNAL | BROKEN },
        [CALL_SYNC] = { "sync", true, KILLS | IO | 1u << ACT_ENOSPC | SIGNAL | BROKEN },
        [CALL_RENAME] = { "rename", true, KILLS | IO | 1u << ACT_ENOSPC | BROKEN },
        [CALL_LINK] = { "link", true, KILLS | IO | ROOM | BROKEN },
        [CALL_UNLINK] = { "unlink", true, KILLS | IO | BROKEN },
        [CALL_MKDIR] = { "mkdir", true, KILLS | IO | ROOM | BROKEN },
        [CALL_RMDIR] = { "rmdir", true, KILLS | IO | BROKEN },
        [CALL_ATTRIBUTE] = { "attribute", true, KILLS | IO | 1u << ACT_ENOSPC | 1u << ACT_EPERM },
        [CALL_COPY] = { "copy", true, KILLS | IO | ROOM | SIGNAL | BROKEN | 1u << ACT_SHORT },
        [CALL_LOCK] = { "lock", false, 1u << ACT_ENOLCK | IO | SIGNAL },
        [CALL_STAT] = { "stat", false, IO },
        [CALL_CLOSE] = { "close", false, IO },
        [CALL_LIST] = { "list", false, IO },
        [CALL_MAP] = { "map", false, 1u << ACT_ENOMEM },
        [CALL_FORK] = { "fork", false, 1u << ACT_EAGAIN },
        [CALL_MALLOC] = { "malloc", false, 1u << ACT_ENOMEM },
        [CALL_ASK] = { "ask", false, 1u << ACT_CANCEL },
        [CALL_END] = { "end", true, 1u << ACT_POWER | 1u << ACT_POWER_SOME },
};

const char *const call_act_names[ACT_COUNT] = { "none",   "kill",   "killed", "torn",   "power",  "power-some",
                                                "EIO",    "ENOSPC", "EINTR",  "EPERM",  "ENOLCK", "EAGAIN",
                                                "ENOMEM", "short",  "full",   "broken", "cancel" };

/* What an error of each act is; 0: the act is none. */
static const int errors[ACT_COUNT] = {
        [ACT_EIO] = EIO,       [ACT_ENOSPC] = ENOSPC, [ACT_EINTR] = EINTR, [ACT_EPERM] = EPERM, [ACT_ENOLCK] = ENOLCK,
        [ACT_EAGAIN] = EAGAIN, [ACT_ENOMEM] = ENOMEM, [ACT_FULL] = ENOSPC, [ACT_BROKEN] = EIO,
};

static struct {
        struct call_fault fault;
        struct call_report *report;
        bool armed, busy; /* busy: the harness itself is at work */
        enum call_act lasting;
        uint32_t counts[CALL_KINDS];
} state;

void *call_next(void **slot, const char *name)
{
        if (*slot == NULL)
                *slot = dlsym(RTLD_NEXT, name);
        if (*slot == NULL)
                abort();
        return *slot;
}

void call_arm(const struct call_fault *fault, struct call_report *report)
{
        state.fault = *fault;
        state.report = report;
        state.lasting = ACT_NONE;
        for (int i = 0; i < CALL_KINDS; i++)
                state.counts[i] = 0;
        power_begin(fault->act == ACT_POWER || fault->act == ACT_POWER_SOME);
        state.busy = false;
        state.armed = true;
}

void call_disarm(void)
{
        state.armed = false;
}

bool call_is_armed(void)
{
        return state.armed && !state.busy;
}

long call_clock_step_ms(void)
{
        return state.report->hurry || state.fault.act == ACT_CANCEL ? 25 : 1;
}

void call_pause(void)
{
        state.busy = true;
}

void call_resume(void)
{
        state.busy = false;
}

static void record(enum call_kind kind, uint32_t ordinal)
{
        struct call_report *report = state.report;
        uint32_t at = report->event_count++;
        if (at >= report->event_size)
                return;
        void *frames[CALL_FRAMES];
        int count = site_frames(frames, CALL_FRAMES);
        report->events[at] = (struct call_event){ .site = site_hash(frames, count), .ordinal = ordinal, .kind = (uint16_t) kind };
}

static _Noreturn void die(void)
{
        (void) kill(getpid(), SIGKILL);
        for (;;)
                (void) pause();
}

static void note_hit(void)
{
        if (state.report->hit)
                return;
        state.report->frame_count = site_frames(state.report->frames, CALL_FRAMES);
        state.report->hit = true;
}

/* Whether the act that has begun earlier goes on with this call. */
static bool goes_on(enum call_kind kind)
{
        return state.lasting != ACT_NONE && (call_kinds[kind].acts & 1u << state.lasting) != 0;
}

static bool fails(struct call *call, enum call_kind kind)
{
        if (state.fault.act == ACT_KILL_BEFORE)
                die();
        if (state.fault.act == ACT_POWER || state.fault.act == ACT_POWER_SOME) {
                power_fail(state.fault.act == ACT_POWER_SOME, state.fault.ordinal * CALL_KINDS + kind);
                die();
        }
        call->act = state.fault.act;
        if (call->act == ACT_FULL || call->act == ACT_BROKEN || call->act == ACT_CANCEL)
                state.lasting = call->act;
        errno = errors[call->act];
        return errno != 0 || call->act == ACT_CANCEL;
}

static bool begin(struct call *call, enum call_kind kind)
{
        uint32_t ordinal = state.counts[kind]++;
        if (state.report->record)
                record(kind, ordinal);
        if (goes_on(kind)) {
                errno = errors[state.lasting];
                return true;
        }
        if (state.fault.act == ACT_NONE || kind != state.fault.kind || ordinal != state.fault.ordinal)
                return false;
        note_hit();
        return fails(call, kind);
}

bool call_enter(struct call *call, enum call_kind kind)
{
        call->act = ACT_NONE;
        if (!call_is_armed())
                return false;
        int before = errno;
        errno = 0;
        state.busy = true;
        bool failed = begin(call, kind);
        state.busy = false;
        if (!failed)
                errno = before;
        return failed;
}

size_t call_portion(const struct call *call, size_t n)
{
        return call->act == ACT_TORN || call->act == ACT_SHORT ? (n + 1) / 2 : n;
}

void call_leave(const struct call *call)
{
        if (call->act == ACT_KILL_AFTER || call->act == ACT_TORN)
                die();
}
