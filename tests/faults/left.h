/*
 * Directories as faults left them, for real Chroma to read.
 *
 * Below the folder, for each scenario: its directory before ("old") and after it ("new") without faults, and "JOB-NUMBER", what an operation with a fault
 * left, with "JOB-NUMBER.fault", the fault. They are a sample of all that differ.
 */
#ifndef TESTS_FAULTS_LEFT_H
#define TESTS_FAULTS_LEFT_H

#include <stdint.h>

#include "tests/faults/call.h"

struct left {
        const char *dir; /* of the scenario; NULL: nothing is kept */
        unsigned job;
        uint32_t most; /* that a job keeps */
        uint32_t seen; /* how many it has been shown */
        uint64_t random;
};

/* Keeps the directory `work` under that name. */
void left_keep_as(const struct left *left, const char *work, const char *name);

/* Keeps it, or not: each of those shown has the same chance. */
void left_show(struct left *left, const char *work, const struct call_fault *fault);

#endif
