/*
 * Backups: whether one is complete, and whether a failed one left anything.
 */
#ifndef TESTS_FAULTS_COPIES_H
#define TESTS_FAULTS_COPIES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A key of every byte of a persist directory outside .chromafs. */
uint64_t copies_key(const char *dir);

/* A directory that is missing is empty, too. */
bool copies_is_empty(const char *dir);

enum copies_rule {
        COPIES_EQUAL,
        COPIES_ANY_MODE /* files may be for their owner alone: who can't give a copy its mode does that */
};

/* The copy says what its source does (`state`), each file of its manifest has the size and SHA-256 that are there, and there is no other one. The
   reasons, where not, go to `out`. */
bool copies_check_one(const char *copy, const char *state, const char *scratch, enum copies_rule rule, FILE *out);

/* The same of everything in the directory, which has at least one. */
bool copies_check(const char *dir, const char *state, const char *scratch, enum copies_rule rule, FILE *out);

#endif
