/*
 * A persist directory with a database of any schema generation, for tests: what Chroma's migrations leave behind, up to the number given
 * for each of the three lists. A test fails where a step of this fails.
 */
#ifndef TESTS_UNIT_SCHEMA_H
#define TESTS_UNIT_SCHEMA_H

#include <sqlite3.h>

#include "ops/db.h"

struct schema {
        char path[64];
        int dirfd;
        sqlite3 *sqlite; /* the writer's connection */
};

/* Makes the directory and its database; 0 leaves a list without any migration. */
void schema_make(struct schema *s, int sysdb, int metadb, int embeddings_queue);
void schema_exec(struct schema *s, const char *sql);
struct db *schema_open(const struct schema *s);
void schema_remove(struct schema *s);

#endif
