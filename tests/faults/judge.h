/*
 * Whether a run left the old state or the new one, and what the next runs make of it.
 */
#ifndef TESTS_FAULTS_JUDGE_H
#define TESTS_FAULTS_JUDGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/faults/child.h"
#include "tests/faults/left.h"
#include "tests/faults/scenario.h"
#include "tests/faults/tree.h"

#define PARTS_MAX 16

struct verdict; /* of a directory that was seen before */

struct bench { /* where a worker works */
        const struct scenario *scenario;
        const struct operation_type *type;
        const char *prepared; /* the directory as it is before; never changed */
        char collection_id[64];
        const char *skip;         /* see struct child_request */
        char root[TREE_PATH / 4]; /* of what follows */
        char work[TREE_PATH / 2]; /* the directory of a run */
        char out[TREE_PATH / 2];  /* where backups go */
        char keep[TREE_PATH / 2]; /* see power.h */
        char scratch[TREE_PATH / 2], log[TREE_PATH / 2];
        char *old, *new;          /* states */
        char *partial[PARTS_MAX]; /* the states where one collection was left as it was */
        int64_t kept;             /* how many are, without faults */
        int indexes;              /* how many directories may be there that could be segments' */
        pid_t holder;             /* of a scenario that is `live`; 0: none */
        uint64_t source;          /* of a backup: the key of what must not change */
        struct child *child, *next;
        struct verdict *seen;
        struct left left; /* zeroed by bench_open(); the caller may set it then */
};

/* Makes the folders below root, which must not be there. */
void bench_open(struct bench *bench, const struct scenario *scenario, const char *prepared, const char *root, uint32_t events);
void bench_close(struct bench *bench);

/* The first run, without faults, which says what the new state is. False, with the reason on `out`, when it fails. Its calls are in bench->child. */
bool bench_learn(struct bench *bench, FILE *out);

/* Takes over what another one has learnt. */
void bench_teach(struct bench *bench, const struct bench *learnt);

/* Runs with a fault, and judges. False when it is not as it must be: the reasons are on `out`. */
bool bench_try(struct bench *bench, const struct call_fault *fault, FILE *out);

#endif
