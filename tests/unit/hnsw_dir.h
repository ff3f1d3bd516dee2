/*
 * A directory of one segment for tests of loading and saving, and small indexes to put into it. Every failure ends the test.
 */
#ifndef TESTS_HNSW_DIR_H
#define TESTS_HNSW_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/hnsw/save.h"
#include "tests/unit/byte_buffer.h"
#include "tests/unit/index_builder.h"

struct hnsw_dir {
        char path[64];
        int fd;
};

void hnsw_dir_make(struct hnsw_dir *d);
void hnsw_dir_remove(struct hnsw_dir *d);
void hnsw_dir_empty(const struct hnsw_dir *d); /* removes the five files */

void hnsw_dir_put(const struct hnsw_dir *d, const char *name, const struct byte_buffer *bytes); /* replaces it */
void hnsw_dir_put_image(const struct hnsw_dir *d, const struct index_image *image);
struct byte_buffer hnsw_dir_get(const struct hnsw_dir *d, const char *name);

/* One thread, exact: `count` elements with labels 10, 20 …, of which some are deleted and some have another vector than they had first. */
struct hnsw *hnsw_small(enum hnsw_space space, uint32_t dimension, uint32_t m, uint32_t count);

struct hnsw *hnsw_dir_load(const struct hnsw_dir *d, enum hnsw_space space);
void hnsw_assert_same(const struct hnsw *a, const struct hnsw *b); /* in all that is to be seen */

#endif
