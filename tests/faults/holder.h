/*
 * A process that has a directory open, as Chroma does while it lives.
 */
#ifndef TESTS_FAULTS_HOLDER_H
#define TESTS_FAULTS_HOLDER_H

#include <sys/types.h>

/* Has chroma.sqlite3 and the files of all indexes open for writing, until holder_end(), or its parent's end. */
pid_t holder_start(const char *dir);

/* Waits for its end. Of 0: nothing. Returns 0. */
pid_t holder_end(pid_t holder);

#endif
