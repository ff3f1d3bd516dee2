/*
 * A persist directory for tests of what no collection owns any more: a collection that lives, and what another one has left behind.
 * Ids are test_uuid(): PLACE_LIVE has the segments PLACE_VECTOR and PLACE_METADATA; of PLACE_GONE and its segments only leftovers
 * are there. No connection stays open: a guard would find it. A test fails where a step of this fails.
 */
#ifndef TESTS_UNIT_ORPHAN_PLACE_H
#define TESTS_UNIT_ORPHAN_PLACE_H

#include <stdint.h>

#include "tests/unit/schema.h"

#define PLACE_LIVE 1u
#define PLACE_VECTOR 0x11u
#define PLACE_METADATA 0x12u
#define PLACE_GONE 2u
#define PLACE_GONE_VECTOR 0x21u
#define PLACE_GONE_METADATA 0x22u

/* The living collection: records 1 to 3, log rows 1 to 3, and its segment's directory. */
void orphan_place_make(struct schema *s, int sysdb, int metadb, int embeddings_queue);

/* What the other has left: records 11 to 13 (rows of embeddings, metadata, arrays and full text), positions, metadata, and log rows
   4 to 6 below one of the living collection, 7; in a version's tables that there are. */
void orphan_place_leave(const struct schema *s);

void orphan_place_remove(struct schema *s);

/* Runs SQL: printf's format, with %Q and so on as sqlite3_mprintf has them. DEFENSIVE is off. */
void orphan_place_exec(const struct schema *s, const char *format, ...);
int64_t orphan_place_number(const struct schema *s, const char *sql);

/* All rows that `sql` gives in the database at `path` (NULL: the place's own), each value with its type and its bytes in hex; the
   caller frees it. */
char *orphan_place_dump(const struct schema *s, const char *path, const char *sql);

/* A digest of everything there is: names, file contents, and where links lead; without .chromafs. */
uint64_t orphan_place_state(const struct schema *s);

#endif
