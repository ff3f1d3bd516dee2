/*
 * The operations that are tried, each on a directory in which it has work to do.
 */
#ifndef TESTS_FAULTS_SCENARIO_H
#define TESTS_FAULTS_SCENARIO_H

#include <stdbool.h>

#include "ops/operation/operation.h"
#include "tests/faults/call.h"

struct scenario {
        const char *name;
        const char *operation;              /* NULL: `wrong` instead */
        const struct operation_type *wrong; /* the harness must find out that it is */
        enum call_act found_by;             /* what it is wrong under */
        const char *line;                   /* of a backup: the target follows */
        const char *fixture;                /* what the directory is made from */
        const char *keep;                   /* names of collections, for SQL; the others go */
        const char *const *sql;    /* what is done to it then; ended by NULL; what is no table here is passed over; may be NULL */
        const char *in_collection; /* a name: the operation is for this one alone */
        void (*prepare)(const char *dir);
        bool backup;      /* the directory does not change; a copy appears */
        bool in_parts;    /* a collection with which something is wrong is left out; see `skip` */
        bool has_orphans; /* segment directories, each of which goes by itself */
        bool unchanging;  /* what the directory says does not change */
        bool one_by_one;  /* with in_parts: a collection that was done stays done when the next one fails */
        bool live;        /* a process has the directory open all the while */
        unsigned rejects; /* rows that are in rejected.jsonl afterwards */
        unsigned lost;    /* records that are in lost.jsonl afterwards */
};

#define SCENARIO_ORPHANS 2
extern const char *const scenario_orphans[SCENARIO_ORPHANS]; /* names of the directories */

extern const struct scenario scenarios[]; /* ended by one without a name */

/* Makes the directory `dir` from the unpacked fixtures in `fixtures`. */
void scenario_prepare(const struct scenario *scenario, const char *fixtures, const char *dir);

/* The id of the collection that the scenario is for; "" where there is none. */
void scenario_collection(const struct scenario *scenario, const char *dir, char ret[64]);

/* The ids of all collections, up to `size`. Returns how many. */
int scenario_collections(const char *dir, char (*ret)[64], int size);

#endif
