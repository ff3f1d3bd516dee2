/*
 * Indexes of vectors that are the same on every machine, and what must hold of every index.
 */
#ifndef TESTS_HNSW_BUILD_H
#define TESTS_HNSW_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/hnsw/hnsw.h"

/* `count` numbers in [-0.5, 0.5); the caller frees them. */
float *random_floats(uint64_t seed, size_t count);

/* l2, m 16, ef_construction 100, the Python library, exact, anonymous memory. */
struct hnsw_params plain_params(uint32_t dimension);

/* Items for `count` vectors that follow each other, with the labels from `label` on; the caller frees them. */
struct hnsw_item *make_items(const float *vectors, size_t count, uint32_t dimension, uint64_t label);

/* hnsw_add() of them; returns what it does. */
int add_vectors(struct hnsw *index, const float *vectors, size_t count, uint64_t label, unsigned threads);

/* An index of them, with the labels 1, 2 …; the test fails if that does. */
struct hnsw *build_index(const struct hnsw_params *params, const float *vectors, size_t count, unsigned threads);

/* A number made from all links, in their order, as tests/unit/test_hnsw_graph.c says. */
uint64_t graph_sum(const struct hnsw *index);

/* FORMAT 11, I3, and that what is counted is there: NULL, or what is wrong. */
const char *graph_fault(const struct hnsw *index);

/* How many of the live elements are their own nearest, when k = 1 is searched for with ef. */
uint64_t count_found(const struct hnsw *index, uint32_t ef);

#endif
