/*
 * For the files that stand in for functions of the C library (take_*.c). Included first: the fortified headers define some of these functions.
 */
#ifndef TESTS_FAULTS_TAKE_H
#define TESTS_FAULTS_TAKE_H

#undef _FORTIFY_SOURCE

#include <errno.h>

#include "tests/faults/call.h"
#include "tests/faults/power.h"

/* The body of a function that returns -1 when it fails, and does all or nothing. */
#define STAND_IN(kind, result, prepare, forward)                                                                                   \
        do {                                                                                                                       \
                struct call in_call;                                                                                               \
                if (call_enter(&in_call, kind))                                                                                    \
                        return -1;                                                                                                 \
                prepare;                                                                                                           \
                result in_value = forward;                                                                                         \
                call_leave(&in_call);                                                                                              \
                return in_value;                                                                                                   \
        } while (0)

#endif
