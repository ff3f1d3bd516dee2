/*
 * Four vectors at a time: their sums don't wait for each other, and a part of the query is loaded once for all four.
 */
#include "ops/hnsw/distance_kernels.h"

#if KERNELS_X86

#include <immintrin.h>

#define AT_ONCE 4u
#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#define TARGET_AVX512 __attribute__((target("avx512f")))

/*
 * SUMS(name, attributes, type, lanes, load, zero, step, load_rest, sum): the function `name`, which sums `step` over `count` <= AT_ONCE vectors.
 * Those that are missing are the first one again.
 */
#define SUMS(name, attributes, type, lanes, load, zero, step, load_rest, reduce)                                                   \
        attributes static inline void name(const float *query, const float *const *vectors, size_t dimension, float *ret)          \
        {                                                                                                                          \
                type sum[AT_ONCE];                                                                                                 \
                size_t i = 0;                                                                                                      \
                for (size_t j = 0; j < AT_ONCE; j++)                                                                               \
                        sum[j] = zero;                                                                                             \
                for (; i + (lanes) <= dimension; i += (lanes)) {                                                                   \
                        type q = load(query + i);                                                                                  \
                        for (size_t j = 0; j < AT_ONCE; j++)                                                                       \
                                sum[j] = step(q, load(vectors[j] + i), sum[j]);                                                    \
                }                                                                                                                  \
                if (i < dimension) {                                                                                               \
                        type q = load_rest(query + i, dimension - i);                                                              \
                        for (size_t j = 0; j < AT_ONCE; j++)                                                                       \
                                sum[j] = step(q, load_rest(vectors[j] + i, dimension - i), sum[j]);                                \
                }                                                                                                                  \
                for (size_t j = 0; j < AT_ONCE; j++)                                                                               \
                        ret[j] = reduce(sum[j]);                                                                                   \
        }

/* FOURS(name, attributes, sums, distance): a hnsw_distances_fn. */
#define FOURS(name, attributes, sums, distance)                                                                                    \
        attributes void name(const float *query, const float *const *vectors, size_t count, size_t dimension, float *ret)          \
        {                                                                                                                          \
                float four[AT_ONCE];                                                                                               \
                for (size_t j = 0; j < count; j += AT_ONCE) {                                                                      \
                        size_t rest = count - j < AT_ONCE ? count - j : AT_ONCE;                                                   \
                        const float *const some[AT_ONCE] = { vectors[j], vectors[j + (rest > 1 ? 1 : 0)],                          \
                                                             vectors[j + (rest > 2 ? 2 : 0)], vectors[j + (rest > 3 ? 3 : 0)] };   \
                        sums(query, some, dimension, four);                                                                        \
                        for (size_t k = 0; k < rest; k++)                                                                          \
                                ret[j + k] = distance_or_infinity(distance(four[k]));                                              \
                }                                                                                                                  \
        }

#define AS_IT_IS(sum) (sum)
#define FROM_ONE(sum) (1.0f - (sum))

/* --- SSE2 --- */

static inline __m128 step_l2_sse2(__m128 a, __m128 b, __m128 sum)
{
        __m128 d = _mm_sub_ps(a, b);
        return _mm_add_ps(sum, _mm_mul_ps(d, d));
}

static inline __m128 step_ip_sse2(__m128 a, __m128 b, __m128 sum)
{
        return _mm_add_ps(sum, _mm_mul_ps(a, b));
}

static inline __m128 load_rest_sse2(const float *from, size_t count)
{
        float four[4] = { from[0], count > 1 ? from[1] : 0, count > 2 ? from[2] : 0, 0 };
        return _mm_loadu_ps(four);
}

static inline float reduce_sse2(__m128 v)
{
        __m128 pairs = _mm_add_ps(v, _mm_movehl_ps(v, v));
        return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
}

SUMS(sums_l2_sse2, , __m128, 4, _mm_loadu_ps, _mm_setzero_ps(), step_l2_sse2, load_rest_sse2, reduce_sse2)
SUMS(sums_ip_sse2, , __m128, 4, _mm_loadu_ps, _mm_setzero_ps(), step_ip_sse2, load_rest_sse2, reduce_sse2)
FOURS(distances_l2_sse2, , sums_l2_sse2, AS_IT_IS)
FOURS(distances_ip_sse2, , sums_ip_sse2, FROM_ONE)

/* --- hnswlib's order: four lanes, one accumulator, as far as the dimension goes in blocks; what is left over has an accumulator of its own --- */

static size_t exact_block(size_t dimension)
{
        if (dimension % 4 == 0)
                return dimension;
        return dimension > 16 ? dimension / 16 * 16 : dimension > 4 ? dimension / 4 * 4 : 0;
}

static inline float reduce_exact(__m128 v)
{
        float lanes[4];
        _mm_storeu_ps(lanes, v);
        return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

static inline float step_l2_exact(float a, float b, float sum)
{
        return sum + (a - b) * (a - b);
}

static inline float step_ip_exact(float a, float b, float sum)
{
        return sum + a * b;
}

#define SUMS_EXACT(name, step, step_rest)                                                                                          \
        static inline void name(const float *query, const float *const *vectors, size_t dimension, float *ret)                     \
        {                                                                                                                          \
                size_t block = exact_block(dimension);                                                                             \
                __m128 sum[AT_ONCE];                                                                                               \
                float rest[AT_ONCE] = { 0 };                                                                                       \
                for (size_t j = 0; j < AT_ONCE; j++)                                                                               \
                        sum[j] = _mm_setzero_ps();                                                                                 \
                for (size_t i = 0; i < block; i += 4) {                                                                            \
                        __m128 q = _mm_loadu_ps(query + i);                                                                        \
                        for (size_t j = 0; j < AT_ONCE; j++)                                                                       \
                                sum[j] = step(q, _mm_loadu_ps(vectors[j] + i), sum[j]);                                            \
                }                                                                                                                  \
                for (size_t i = block; i < dimension; i++)                                                                         \
                        for (size_t j = 0; j < AT_ONCE; j++)                                                                       \
                                rest[j] = step_rest(query[i], vectors[j][i], rest[j]);                                             \
                for (size_t j = 0; j < AT_ONCE; j++)                                                                               \
                        ret[j] = reduce_exact(sum[j]) + rest[j];                                                                   \
        }

SUMS_EXACT(sums_l2_exact, step_l2_sse2, step_l2_exact)
SUMS_EXACT(sums_ip_exact, step_ip_sse2, step_ip_exact)
FOURS(distances_l2_exact, , sums_l2_exact, AS_IT_IS)
FOURS(distances_ip_exact, , sums_ip_exact, FROM_ONE)

/* --- AVX2 and FMA --- */

TARGET_AVX2 static inline __m256 step_l2_avx2(__m256 a, __m256 b, __m256 sum)
{
        __m256 d = _mm256_sub_ps(a, b);
        return _mm256_fmadd_ps(d, d, sum);
}

TARGET_AVX2 static inline __m256 step_ip_avx2(__m256 a, __m256 b, __m256 sum)
{
        return _mm256_fmadd_ps(a, b, sum);
}

TARGET_AVX2 static inline __m256 load_rest_avx2(const float *from, size_t count)
{
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        return _mm256_maskload_ps(from, _mm256_cmpgt_epi32(_mm256_set1_epi32((int) count), lane));
}

TARGET_AVX2 static inline float reduce_avx2(__m256 v)
{
        return reduce_sse2(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)));
}

SUMS(sums_l2_avx2, TARGET_AVX2, __m256, 8, _mm256_loadu_ps, _mm256_setzero_ps(), step_l2_avx2, load_rest_avx2, reduce_avx2)
SUMS(sums_ip_avx2, TARGET_AVX2, __m256, 8, _mm256_loadu_ps, _mm256_setzero_ps(), step_ip_avx2, load_rest_avx2, reduce_avx2)
FOURS(distances_l2_avx2, TARGET_AVX2, sums_l2_avx2, AS_IT_IS)
FOURS(distances_ip_avx2, TARGET_AVX2, sums_ip_avx2, FROM_ONE)

/* --- AVX-512 --- */

TARGET_AVX512 static inline __m512 step_l2_avx512(__m512 a, __m512 b, __m512 sum)
{
        __m512 d = _mm512_sub_ps(a, b);
        return _mm512_fmadd_ps(d, d, sum);
}

TARGET_AVX512 static inline __m512 step_ip_avx512(__m512 a, __m512 b, __m512 sum)
{
        return _mm512_fmadd_ps(a, b, sum);
}

TARGET_AVX512 static inline __m512 load_rest_avx512(const float *from, size_t count)
{
        return _mm512_maskz_loadu_ps((__mmask16) ((1u << count) - 1), from);
}

SUMS(sums_l2_avx512, TARGET_AVX512, __m512, 16, _mm512_loadu_ps, _mm512_setzero_ps(), step_l2_avx512, load_rest_avx512,
     _mm512_reduce_add_ps)
SUMS(sums_ip_avx512, TARGET_AVX512, __m512, 16, _mm512_loadu_ps, _mm512_setzero_ps(), step_ip_avx512, load_rest_avx512,
     _mm512_reduce_add_ps)
FOURS(distances_l2_avx512, TARGET_AVX512, sums_l2_avx512, AS_IT_IS)
FOURS(distances_ip_avx512, TARGET_AVX512, sums_ip_avx512, FROM_ONE)

#endif
