/*
 * Whether an index holds a vector that the write-ahead log has.
 *
 * - l2 and ip: the same bytes.
 * - cosine: the index has v * (1 / (|v| + 1e-30)) and, in length.bin, |v| (FORMAT 6.3), both as float. The summation behind |v| has another order in
 *   each build of hnswlib: so length.bin must be within CLEAN_ULPS units in the last place of the norm as any of the known orders gives it
 *   (exact; one float after another; float in 4, 8 or 16 lanes), and each component within CLEAN_ULPS of v * (1 / (length + 1e-30)).
 */
#ifndef OPS_OPERATION_CLEAN_VECTOR_H
#define OPS_OPERATION_CLEAN_VECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "ops/config.h"

#define CLEAN_ULPS 4

/* Both vectors are `dimension` little-endian floats, unaligned; `length` is the element's entry of length.bin, for cosine alone. */
bool clean_vector_equal(enum hnsw_space space, const void *stored, float length, const void *logged, size_t dimension);

#endif
