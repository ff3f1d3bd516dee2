/*
 * A clock that the test moves, for everything in the program that includes this (in one file): each look at the coarse clock takes `look_ms`, so that a meter ends its
 * transactions after a number of rows, or of pieces, that the test knows.
 */
#ifndef TESTS_METER_CLOCK_H
#define TESTS_METER_CLOCK_H

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct {
        int64_t look_ms;      /* a look at the coarse clock */
        int64_t fine_look_ms; /* a look at the other one */
        int64_t ahead_ms;
} meter_clock;

int clock_gettime(clockid_t id, struct timespec *ret)
{
        long r = syscall(SYS_clock_gettime, id, ret);
        if (id == CLOCK_MONOTONIC_COARSE)
                meter_clock.ahead_ms += meter_clock.look_ms;
        if (id == CLOCK_MONOTONIC)
                meter_clock.ahead_ms += meter_clock.fine_look_ms;
        int64_t ns = ret->tv_nsec + meter_clock.ahead_ms % 1000 * 1000000;
        ret->tv_sec += meter_clock.ahead_ms / 1000 + ns / 1000000000;
        ret->tv_nsec = ns % 1000000000;
        return (int) r;
}

#endif
