/*
 * What a persist directory says, whatever its bytes are: the rows of every table, the schema, SQLite's and FTS5's own checks, and every
 * other file outside .chromafs with its name, bytes, mode and owner.
 *
 * The database is read by an ordinary connection on a copy, as Chroma would open it: a torn transaction is rolled back by that.
 */
#ifndef TESTS_FAULTS_STATE_H
#define TESTS_FAULTS_STATE_H

#include <stdio.h>

/* Lines of text, the caller's. `scratch` is an empty directory for the copy; it is empty again then. */
char *state_of(const char *dir, const char *scratch);

/* The lines that only one of them has. */
void state_print_difference(FILE *out, const char *expected, const char *found);

/* Takes the lines that have `name` in them out of a state. They are the caller's. */
char *state_take(char *state, const char *name);

#endif
