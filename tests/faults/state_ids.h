/*
 * Segment ids that an operation makes by chance, under names that say whose they are: so that two runs of it are the same.
 */
#ifndef TESTS_FAULTS_STATE_IDS_H
#define TESTS_FAULTS_STATE_IDS_H

#include <sqlite3.h>
#include <stdio.h>

struct state_ids;

/* The vector segments that the database has; none when it can't be read. Never NULL. */
struct state_ids *state_ids_read(sqlite3 *db);

/* "vector of <collection id>", or NULL when it is none of their ids. */
const char *state_ids_name(const struct state_ids *ids, const char *text);

/* Writes the lines of a tree's list, sorted, with these names in the place of the ids. A directory that could be a segment's but is nobody's is left out, unless it is one of the scenario's orphans: an index before its
   COMMIT, or after it the one that it replaced. */
void state_ids_list(FILE *out, const struct state_ids *ids, char *list);

void state_ids_free(struct state_ids *ids);

#endif
