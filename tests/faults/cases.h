/*
 * Which faults a run of an operation has room for, and which of them are tried.
 */
#ifndef TESTS_FAULTS_CASES_H
#define TESTS_FAULTS_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/faults/call.h"

struct place;

struct choice {
        bool all;
        enum call_act act;    /* no other than this one; ACT_NONE: any */
        bool sites;           /* each act at each distinct site, once */
        struct place **tried; /* with `sites`: those that were chosen before, which are not chosen again; NULL: of no concern */
        uint32_t sample;      /* and that many of the others, as `seed` chooses */
        uint32_t seed;
        struct call_fault only; /* this one; its act is ACT_NONE where there is none */
};

struct cases {
        struct call_fault *chosen;
        size_t count;
        size_t possible; /* every act at every call */
        size_t sites;    /* distinct callers */
};

/* What there is to try, from the calls of a run without faults. The arrays are the caller's. */
struct cases cases_choose(const struct call_report *calls, const struct choice *choice);

void cases_forget(struct place *tried);

/* "write:17:EIO" */
bool cases_parse(const char *text, struct call_fault *ret);

#endif
