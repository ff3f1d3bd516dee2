/*
 * Work done in a process of its own, so that libraries are as new in the harness, and in the operations that it forks, as in a program that has just begun: what they
 * set up once they then set up under the faults.
 */
#ifndef TESTS_FAULTS_ASIDE_H
#define TESTS_FAULTS_ASIDE_H

#include <stdio.h>

/* Returns what fn has written, the caller's. Ends the program when fn's process does not end well. */
char *aside(void (*fn)(FILE *out, void *context), void *context);

#endif
