/*
 * Memory, processes, and the calls that come through syscall() and ioctl().
 *
 * AddressSanitizer has a memory of its own: its functions are the next ones then, and it must be asked for each size as it was.
 */
#include "tests/faults/take.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define HOUR 3600

#ifdef FAULTS_ASAN
#define MEMORY(name) __interceptor_##name
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
        return "detect_leaks=0"; /* processes end at once, with whatever they have */
}
#else
#define MEMORY(name) __libc_##name
#endif

void *MEMORY(malloc)(size_t size);
void *MEMORY(calloc)(size_t count, size_t size);
void *MEMORY(realloc)(void *old, size_t size);
void *MEMORY(memalign)(size_t alignment, size_t size);

void *malloc(size_t size)
{
        struct call call;
        return call_enter(&call, CALL_MALLOC) ? NULL : MEMORY(malloc)(size);
}

void *calloc(size_t count, size_t size)
{
        struct call call;
        return call_enter(&call, CALL_MALLOC) ? NULL : MEMORY(calloc)(count, size);
}

void *realloc(void *old, size_t size)
{
        struct call call;
        return call_enter(&call, CALL_MALLOC) ? NULL : MEMORY(realloc)(old, size);
}

void *reallocarray(void *old, size_t count, size_t size)
{
        size_t all;
        if (!__builtin_mul_overflow(count, size, &all))
                return realloc(old, all);
        errno = ENOMEM;
        return NULL;
}

void *aligned_alloc(size_t alignment, size_t size)
{
        struct call call;
        return call_enter(&call, CALL_MALLOC) ? NULL : MEMORY(memalign)(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
        void *memory = aligned_alloc(alignment, size);
        if (memory == NULL)
                return ENOMEM;
        *ret = memory;
        return 0;
}

pid_t fork(void)
{
        struct call call;
        if (call_enter(&call, CALL_FORK))
                return -1;
        pid_t pid = CALL_NEXT(fork)();
        if (pid == 0)
                call_disarm();
        return pid;
}

int ioctl(int fd, unsigned long request, ...)
{
        va_list args;
        va_start(args, request);
        void *argument = va_arg(args, void *);
        va_end(args);
        if (request == FICLONE || request == FICLONERANGE)
                STAND_IN(CALL_COPY, int, power_writes(fd, 0, 0), CALL_NEXT(ioctl)(fd, request, argument));
        return CALL_NEXT(ioctl)(fd, request, argument);
}

static long pass_on(const long a[7])
{
        return CALL_NEXT(syscall)(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
}

static long open_raw(const long a[7])
{
        const struct open_how *how = (const struct open_how *) (uintptr_t) a[3];
        const char *path = (const char *) (uintptr_t) a[2];
        bool creates = (how->flags & (O_CREAT | O_TRUNC)) != 0 || (how->flags & O_TMPFILE) == O_TMPFILE;
        STAND_IN(creates ? CALL_CREATE : CALL_OPEN, long, power_opens((int) a[1], path, (int) how->flags), pass_on(a));
}

long syscall(long number, ...)
{
        long a[7] = { number };
        va_list args;
        va_start(args, number);
        for (int i = 1; i < 7; i++)
                a[i] = va_arg(args, long);
        va_end(args);
        if (number == SYS_openat2)
                return open_raw(a);
        if (number == SYS_renameat2)
                return renameat2((int) a[1], (const char *) (uintptr_t) a[2], (int) a[3], (const char *) (uintptr_t) a[4],
                                 (unsigned) a[5]);
        return pass_on(a);
}

/* A clock that goes on by a step each time somebody looks, whatever the machine does meanwhile: so an operation makes the same calls in each run. The
   time of the day is an hour ahead, so that what was prepared just now is old. */
int clock_gettime(clockid_t id, struct timespec *ret)
{
        static long ms;
        int r = CALL_NEXT(clock_gettime)(id, ret);
        if (!call_is_armed() || id == CLOCK_REALTIME) {
                ret->tv_sec += call_is_armed() ? HOUR : 0;
                return r;
        }
        ms += call_clock_step_ms();
        ret->tv_sec = HOUR + ms / 1000;
        ret->tv_nsec = ms % 1000 * 1000000;
        return r;
}

time_t time(time_t *ret)
{
        time_t now = CALL_NEXT(time)(NULL) + (call_is_armed() ? HOUR : 0);
        if (ret != NULL)
                *ret = now;
        return now;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
        int r = CALL_NEXT(gettimeofday)(ret, zone);
        if (call_is_armed())
                ret->tv_sec += HOUR;
        return r;
}
