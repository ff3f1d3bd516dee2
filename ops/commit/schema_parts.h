/*
 * What schema.c and schema_extend.c share.
 */
#ifndef OPS_COMMIT_SCHEMA_PARTS_H
#define OPS_COMMIT_SCHEMA_PARTS_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "ops/commit/schema.h"

enum { SCHEMA_STRING, SCHEMA_INT, SCHEMA_FLOAT, SCHEMA_BOOL, SCHEMA_TYPES };

struct schema_key {
        UT_hash_handle hh;
        unsigned types; /* bits: 1 << SCHEMA_… */
        bool known;     /* while it is extended: the schema has it */
        size_t len;
        char name[];
};

struct commit_schema {
        struct schema_key *keys;
        size_t bytes; /* that the keys add at least */
};

#endif
