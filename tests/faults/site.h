/*
 * Who makes a call: the return addresses above it, relative to their modules, so that each run of a program has the same.
 */
#ifndef TESTS_FAULTS_SITE_H
#define TESTS_FAULTS_SITE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Once, before the others: finds the modules. */
void site_init(void);

/* The callers of the function that stands in for another one. Returns how many. */
int site_frames(void **frames, int size);

uint64_t site_hash(void *const *frames, int count);

/* Whether the innermost caller outside the C library and the stand-ins is of a library with such a name. Frame 0 is left out. */
bool site_is_of(void *const *frames, int count, const char *library);

/* A line for each frame of this program or a library, with function and place where addr2line can tell. */
void site_print(FILE *out, void *const *frames, int count);

#endif
