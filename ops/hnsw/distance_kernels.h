/*
 * Inside of the distances: what the kernels of distance.c and distance_x86.c share.
 */
#ifndef OPS_HNSW_DISTANCE_KERNELS_H
#define OPS_HNSW_DISTANCE_KERNELS_H

#include <math.h>
#include <stdbool.h>

#include "ops/hnsw/distance.h"

#if defined(__x86_64__)
#define KERNELS_X86 1
#else
#define KERNELS_X86 0
#endif

static inline float distance_or_infinity(float distance)
{
        return distance == distance ? distance : INFINITY;
}

/* A hnsw_distances_fn from an expression of one pair, with attributes. */
#define DISTANCES(name, pair, attributes)                                                                                          \
        attributes void name(const float *query, const float *const *vectors, size_t count, size_t dimension, float *ret)          \
        {                                                                                                                          \
                for (size_t j = 0; j < count; j++)                                                                                 \
                        ret[j] = distance_or_infinity(pair(query, vectors[j], dimension));                                         \
        }

hnsw_distances_fn distances_l2_plain, distances_ip_plain, distances_l2_exact, distances_ip_exact;
#if KERNELS_X86
hnsw_distances_fn distances_l2_sse2, distances_ip_sse2, distances_l2_avx2, distances_ip_avx2, distances_l2_avx512,
        distances_ip_avx512;
#endif

#endif
