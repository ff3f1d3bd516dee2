/*
 * A persist directory for tests of clean: collections with an index, records and a log, as SQL and files make them. Every failure ends the test.
 *
 * Collection n has the ids that test_uuid() makes of n, of CLEAN_VECTOR + n and CLEAN_METADATA + n for its segments; its index holds the ids "id1",
 * "id2" …
 */
#ifndef TESTS_CLEAN_DIR_H
#define TESTS_CLEAN_DIR_H

#include <json-c/json.h>

#include "ops/operation/operation.h"
#include "tests/unit/index_dir.h"
#include "tests/unit/sql_dir.h"

#define CLEAN_VECTOR 0x100u
#define CLEAN_METADATA 0x200u
#define CLEAN_NONE (-1) /* no position */

enum clean_format { CLEAN_TOPIC_COLUMN /* 0.4.24 */, CLEAN_PYTHON /* 0.6.3 */, CLEAN_RUST /* 1.5.9 */ };

struct clean_dir {
        struct sql_dir sql;
        enum clean_format format;
};

void clean_dir_make(struct clean_dir *d, enum clean_format format);
void clean_dir_remove(struct clean_dir *d); /* leaves the directory first */

/* The vector of row `seq_id` of the log. */
const float *clean_vector_of(int64_t seq_id);

/* A collection without records whose index has `count` elements with the vectors of rows 1, 2 … ; its segments are at these positions. */
void clean_dir_collection(const struct clean_dir *d, unsigned n, uint64_t count, int64_t vector_position, int64_t record_position);

/* Gives element `element` (from 0 on) of the index the vector of a row. */
void clean_dir_index(const struct clean_dir *d, unsigned n, uint64_t element, int64_t seq_id);

/* Replaces bytes of a file of the index, which then looks old. */
void clean_dir_patch(const struct clean_dir *d, unsigned n, const char *file, uint64_t offset, const void *bytes, size_t len);

/* A row of the log; its vector is clean_vector_of(seq_id), unless it is without. */
void clean_dir_log(const struct clean_dir *d, int64_t seq_id, int operation, unsigned n, const char *id, bool vector);

/* A record whose last row was `seq_id`. */
void clean_dir_record(const struct clean_dir *d, unsigned n, const char *id, int64_t seq_id);

/* Collection n with `count` records id1 …, added by rows first, first + 1 …, all applied, and both positions at `position`. */
void clean_dir_filled(const struct clean_dir *d, unsigned n, uint64_t count, int64_t first, int64_t position);

int64_t clean_dir_number(const struct clean_dir *d, const char *sql);

/* Runs clean. The result is the caller's when ret_result is not NULL. Ends the test when it does not return `expected`; NULL when that is 0, else the sentence,
   valid until the next call. */
const char *clean_dir_run(const struct clean_dir *d, const char *line, const char *collection_id, const struct operation_sink *sink,
                          int expected, struct json_object **ret_result);

int64_t result_number(struct json_object *result, const char *key);

/* The collection's object in the result; NULL when it is not there. */
struct json_object *result_collection(struct json_object *result, unsigned n);

#endif
