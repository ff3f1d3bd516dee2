/* The unpacked fixtures of real Chroma releases, where CHROMAFS_FIXTURES says; tests skip without it. */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H

#include <json-c/json.h>

#include "ops/catalog.h"
#include "ops/db.h"

struct fixture {
        char name[64]; /* "chroma-0.4.24" */
        int fd;        /* of the persist directory */
        struct db *db;
        struct catalog *catalog;
        struct json_object *truth; /* what Chroma itself says of it */
};

/* Calls `fn` with each fixture that has a truth; skips the test when there is none. */
void each_fixture(void (*fn)(const struct fixture *f));

/* What the truth says of a collection; every collection of the catalog must have it. */
struct json_object *fixture_truth(const struct fixture *f, const struct collection *collection);

#endif
