/*
 * The kernels in plain C, and the choice among all. Elsewhere than on x86-64 the plain one is written so that a compiler may use vectors: 16 sums that
 * don't wait for each other.
 */
#include "ops/hnsw/distance.h"

#include <math.h>

#include "ops/hnsw/distance_kernels.h"

#define LANES 16u

static float sum_lanes(const float *lanes, size_t count)
{
        float sum = 0;
        for (size_t i = 0; i < count; i++)
                sum += lanes[i];
        return sum;
}

static float l2_plain(const float *a, const float *b, size_t dimension)
{
        float lanes[LANES] = { 0 }, rest = 0;
        size_t i = 0;
        for (; i + LANES <= dimension; i += LANES)
                for (size_t k = 0; k < LANES; k++)
                        lanes[k] += (a[i + k] - b[i + k]) * (a[i + k] - b[i + k]);
        for (; i < dimension; i++)
                rest += (a[i] - b[i]) * (a[i] - b[i]);
        return sum_lanes(lanes, LANES) + rest;
}

static float dot_plain(const float *a, const float *b, size_t dimension)
{
        float lanes[LANES] = { 0 }, rest = 0;
        size_t i = 0;
        for (; i + LANES <= dimension; i += LANES)
                for (size_t k = 0; k < LANES; k++)
                        lanes[k] += a[i + k] * b[i + k];
        for (; i < dimension; i++)
                rest += a[i] * b[i];
        return sum_lanes(lanes, LANES) + rest;
}

DISTANCES(distances_l2_plain, l2_plain, )
DISTANCES(distances_ip_plain, 1.0f - dot_plain, )

#if !KERNELS_X86
/* hnswlib with SSE: four lanes, one accumulator, as far as the dimension goes in blocks; the tail has an accumulator of its own. */
static size_t exact_block(size_t dimension)
{
        if (dimension % 4 == 0)
                return dimension;
        return dimension > 16 ? dimension / 16 * 16 : dimension > 4 ? dimension / 4 * 4 : 0;
}

static float l2_exact(const float *a, const float *b, size_t dimension)
{
        size_t block = exact_block(dimension), i = 0;
        float lanes[4] = { 0 }, rest = 0;
        for (; i < block; i += 4)
                for (size_t k = 0; k < 4; k++)
                        lanes[k] += (a[i + k] - b[i + k]) * (a[i + k] - b[i + k]);
        for (; i < dimension; i++)
                rest += (a[i] - b[i]) * (a[i] - b[i]);
        return sum_lanes(lanes, 4) + rest;
}

static float dot_exact(const float *a, const float *b, size_t dimension)
{
        size_t block = exact_block(dimension), i = 0;
        float lanes[4] = { 0 }, rest = 0;
        for (; i < block; i += 4)
                for (size_t k = 0; k < 4; k++)
                        lanes[k] += a[i + k] * b[i + k];
        for (; i < dimension; i++)
                rest += a[i] * b[i];
        return sum_lanes(lanes, 4) + rest;
}

DISTANCES(distances_l2_exact, l2_exact, )
DISTANCES(distances_ip_exact, 1.0f - dot_exact, )
#endif

const struct hnsw_kernel hnsw_kernel_exact = { "exact", distances_l2_exact, distances_ip_exact };
static const struct hnsw_kernel kernel_plain = { "plain", distances_l2_plain, distances_ip_plain };

#if KERNELS_X86
static const struct hnsw_kernel kernel_sse2 = { "sse2", distances_l2_sse2, distances_ip_sse2 };
static const struct hnsw_kernel kernel_avx2 = { "avx2", distances_l2_avx2, distances_ip_avx2 };
static const struct hnsw_kernel kernel_avx512 = { "avx512", distances_l2_avx512, distances_ip_avx512 };

const struct hnsw_kernel *const *hnsw_kernels(void)
{
        static const struct hnsw_kernel *const all[] = { &kernel_avx512, &kernel_avx2, &kernel_sse2, &kernel_plain, NULL };
        bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        return all + (avx2 && __builtin_cpu_supports("avx512f") ? 0 : avx2 ? 1 : 2);
}
#else
const struct hnsw_kernel *const *hnsw_kernels(void)
{
        static const struct hnsw_kernel *const all[] = { &kernel_plain, NULL };
        return all;
}
#endif

hnsw_distances_fn *hnsw_kernel_for(const struct hnsw_kernel *kernel, enum hnsw_space space)
{
        return space == SPACE_L2 ? kernel->l2 : kernel->ip;
}

float hnsw_norm(const float *vector, size_t dimension)
{
        float sum = 0;
        for (size_t i = 0; i < dimension; i++)
                sum += vector[i] * vector[i];
        return sqrtf(sum);
}

void hnsw_normalise(const float *vector, size_t dimension, float norm, float *ret)
{
        float factor = 1.0f / (norm + 1e-30f);
        for (size_t i = 0; i < dimension; i++)
                ret[i] = vector[i] * factor;
}
