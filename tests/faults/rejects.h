/*
 * rejected.jsonl: whether it has the rows that a commit has passed.
 */
#ifndef TESTS_FAULTS_REJECTS_H
#define TESTS_FAULTS_REJECTS_H

#include <stdbool.h>
#include <stdio.h>

/* So many whole lines, each a row's, and no two of them equal; the reason, where not, goes to `out`. */
bool rejects_check(const char *dir, unsigned rows, FILE *out);

#endif
