/*
 * The calls of the C library that an operation depends on, taken over by defining them here (take_*.c) and passed on with dlsym(RTLD_NEXT):
 * those of our library, of SQLite, of json-c and of libcrypto alike.
 *
 * - Each call is of a kind, and has an ordinal within it. A fault names a kind, an ordinal and an act: what happens at that call.
 * - Nothing happens outside call_arm() .. call_disarm(), nor in a process that the armed one forks: the guard's helper lives without faults.
 * - One armed process, one thread: this module is a state of the process, as the C library's functions that it stands in for.
 */
#ifndef TESTS_FAULTS_CALL_H
#define TESTS_FAULTS_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum call_kind {
        CALL_OPEN,
        CALL_CREATE, /* an open that may create or truncate */
        CALL_READ,
        CALL_WRITE,
        CALL_TRUNCATE,
        CALL_SYNC,
        CALL_RENAME,
        CALL_LINK,
        CALL_UNLINK,
        CALL_MKDIR,
        CALL_RMDIR,
        CALL_ATTRIBUTE, /* mode, owner, times, extended attributes */
        CALL_COPY,      /* copy_file_range, sendfile, reflinks */
        CALL_LOCK,
        CALL_STAT,
        CALL_CLOSE,
        CALL_LIST, /* readdir */
        CALL_MAP,
        CALL_FORK,
        CALL_MALLOC,
        CALL_ASK, /* the operation asks whether it was cancelled */
        CALL_END, /* the operation has returned */
        CALL_KINDS,
};

enum call_act {
        ACT_NONE,
        ACT_KILL_BEFORE,
        ACT_KILL_AFTER,
        ACT_TORN,       /* killed after half of what it was to write */
        ACT_POWER,      /* the machine dies before the call: everything that was not synced is gone */
        ACT_POWER_SOME, /* the same, with a part of it there */
        ACT_EIO,
        ACT_ENOSPC,
        ACT_EINTR,
        ACT_EPERM,
        ACT_ENOLCK,
        ACT_EAGAIN,
        ACT_ENOMEM,
        ACT_SHORT,  /* does half of it, and says so */
        ACT_FULL,   /* ENOSPC, and so for whatever needs room from there on */
        ACT_BROKEN, /* EIO, and so for every write, sync and removal from there on */
        ACT_CANCEL, /* yes, from there on */
        ACT_COUNT,
};

struct call_kind_type {
        const char *name;
        bool changes;  /* the directory */
        uint32_t acts; /* bits: 1 << enum call_act */
};

extern const struct call_kind_type call_kinds[CALL_KINDS];
extern const char *const call_act_names[ACT_COUNT];

#define CALL_FRAMES 18 /* some of them this harness's own */

struct call_fault {
        enum call_kind kind;
        uint32_t ordinal;
        enum call_act act; /* ACT_NONE: none at all */
};

struct call_event {
        uint64_t site; /* of the callers: the same in each process that runs this program */
        uint32_t ordinal;
        uint16_t kind;
};

/* What the armed process tells its parent: in shared memory, since it may die at any instant. */
struct call_report {
        bool record; /* in: keep the events */
        bool hurry;  /* in: see call_clock_step_ms() */
        bool hit;    /* the fault's call was made */
        int frame_count;
        void *frames[CALL_FRAMES]; /* who made it */
        uint32_t event_count;      /* may be larger than what fits */
        uint32_t event_size;       /* in */
        struct call_event events[];
};

void call_arm(const struct call_fault *fault, struct call_report *report);
void call_disarm(void);

/* For the functions that stand in for others: */

struct call {
        enum call_act act;
};

/* A call begins. True: it has failed, with errno set. */
bool call_enter(struct call *call, enum call_kind kind);

/* How much of n bytes it may do. */
size_t call_portion(const struct call *call, size_t n);

/* It has been done. Keeps errno. */
void call_leave(const struct call *call);

/* What is called between these two is the harness's own. */
void call_pause(void);
void call_resume(void);

/* Whether a process is armed, and the caller is not part of this harness's own work. */
bool call_is_armed(void);

/* How far the armed process's clock goes each time it is looked at: a little, or, where a cancel is tried, so far that the operation asks each time whether
   it was cancelled. */
long call_clock_step_ms(void);

/* The C library's function of that name. */
void *call_next(void **slot, const char *name);

#define CALL_NEXT(name)                                                                                                            \
        ({                                                                                                                         \
                static void *slot;                                                                                                 \
                (__typeof__(&name)) call_next(&slot, #name);                                                                       \
        })

#endif
