/*
 * Files of lines in .chromafs: whether rejected.jsonl has the rows that a commit has passed, lost.jsonl the records that a rebuild left without a vector.
 */
#ifndef TESTS_FAULTS_REJECTS_H
#define TESTS_FAULTS_REJECTS_H

#include <stdbool.h>
#include <stdio.h>

/* So many whole lines, each a row's, and no two of them equal; the reason, where not, goes to `out`. */
bool rejects_check(const char *dir, unsigned rows, FILE *out);

/* The same, but for the times in them. */
bool lost_check(const char *dir, unsigned records, FILE *out);

#endif
