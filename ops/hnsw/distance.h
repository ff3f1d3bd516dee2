/*
 * Distances of one vector to several, as Chroma's spaces define them (FORMAT 8): l2 is the sum of squares, ip and cosine (of normalised vectors) are one
 * minus the product.
 *
 * - Kernels for AVX-512, AVX2 with FMA, SSE2 and plain C, of which the fastest that the processor has is used; they sum in different orders, and so differ in the
 *   last bits. The exact ones sum as hnswlib's SSE build does, whatever the processor.
 * - A distance that is no number counts as infinite, so that an order always exists.
 */
#ifndef OPS_HNSW_DISTANCE_H
#define OPS_HNSW_DISTANCE_H

#include <stddef.h>

#include "ops/config.h"

/* The distances of `query` to `count` vectors of `dimension` floats, which need no alignment beyond a float's. */
typedef void hnsw_distances_fn(const float *query, const float *const *vectors, size_t count, size_t dimension, float *ret);

struct hnsw_kernel {
        const char *name; /* "avx512", "avx2", "sse2", "plain", "exact" */
        hnsw_distances_fn *l2, *ip;
};

/* NULL-terminated: those that this processor can run, the fastest first; "exact" is not among them. */
const struct hnsw_kernel *const *hnsw_kernels(void);

extern const struct hnsw_kernel hnsw_kernel_exact;

/* For a space that is known; cosine is ip. */
hnsw_distances_fn *hnsw_kernel_for(const struct hnsw_kernel *kernel, enum hnsw_space space);

/* hnswlib's norm for cosine: a float accumulator in the order of the vector. */
float hnsw_norm(const float *vector, size_t dimension);

/* vector / (norm + 1e-30), each in float. In place is allowed. */
void hnsw_normalise(const float *vector, size_t dimension, float norm, float *ret);

#endif
