#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ops/hnsw/distance.h"
#include "tests/unit/hnsw_build.h"

#define VECTORS 9u
#define LARGEST 4096u

/* Bits of the distances of two vectors, random_floats(1000 + dimension, 2 * dimension), as hnswlib's SSE build has them. */
static const struct {
        size_t dimension;
        uint32_t l2, ip;
} hnswlib_distances[] = {
        { 1, 0x3ea434be, 0x3f843e8a },  { 2, 0x3e39674a, 0x3f5d49f0 },   { 3, 0x3f226c04, 0x3f53349f },
        { 4, 0x3f50600b, 0x3f8308fa },  { 5, 0x3f49f5d8, 0x3f67ea37 },   { 7, 0x3f0f1681, 0x3f107247 },
        { 8, 0x400fdaa5, 0x3f9bc94a },  { 15, 0x408cbfcb, 0x3fda2142 },  { 16, 0x406a02ba, 0x3fb62d7c },
        { 17, 0x4056bd52, 0x3fa73b20 }, { 19, 0x4078e228, 0x3fa2bfb2 },  { 20, 0x409b2fb9, 0x3fd39d54 },
        { 23, 0x408289ae, 0x3f50ef73 }, { 31, 0x40b3a9f6, 0x3f68c1ba },  { 32, 0x40ad331d, 0x3f69f02c },
        { 64, 0x4142945c, 0x3fcabab0 }, { 100, 0x4186e6c4, 0x3debd470 }, { 385, 0x42710392, 0xbf3adbbc },
};

static void as_hnswlib_sums(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof(hnswlib_distances) / sizeof(*hnswlib_distances); i++) {
                size_t dimension = hnswlib_distances[i].dimension;
                float *values = random_floats(1000 + dimension, 2 * dimension), l2, ip;
                const float *other = values + dimension;
                hnsw_kernel_exact.l2(values, &other, 1, dimension, &l2);
                hnsw_kernel_exact.ip(values, &other, 1, dimension, &ip);
                assert_memory_equal(&l2, &hnswlib_distances[i].l2, sizeof(l2));
                assert_memory_equal(&ip, &hnswlib_distances[i].ip, sizeof(ip));
                free(values);
        }
}

/* --- against double precision --- */

static size_t dimension_after(size_t dimension)
{
        static const size_t large[] = { 100, 384, 385, 768, 1536, LARGEST };
        if (dimension < 70)
                return dimension + 1;
        for (size_t i = 0; i < sizeof(large) / sizeof(*large); i++)
                if (large[i] > dimension)
                        return large[i];
        return 0;
}

static void assert_close(bool is_l2, const float *a, const float *b, size_t dimension, float got)
{
        double sum = 0, size = 0;
        for (size_t i = 0; i < dimension; i++) {
                double term = is_l2 ? ((double) a[i] - b[i]) * ((double) a[i] - b[i]) : (double) a[i] * b[i];
                sum += term;
                size += fabs(term);
        }
        double want = is_l2 ? sum : 1 - sum, margin = (size * (double) (dimension + 4) + 1) * FLT_EPSILON;
        assert_true(fabs(want - (double) got) <= margin);
}

/* Room that ends where nothing may be read. */
static float *guarded(size_t count, void **ret_map)
{
        size_t page = 4096, size = (count * sizeof(float) + page - 1) / page * page;
        char *map = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(map != MAP_FAILED);
        assert_int_equal(mprotect(map + size, page, PROT_NONE), 0);
        *ret_map = map;
        return (float *) (void *) (map + size) - count;
}

static void unguard(void *map, size_t count)
{
        size_t page = 4096, size = (count * sizeof(float) + page - 1) / page * page;
        (void) munmap(map, size + page);
}

static void check_distances(hnsw_distances_fn *distances, bool is_l2, const float *query, const float *const *vectors, size_t count,
                            size_t dimension)
{
        float got[VECTORS + 1];
        got[count] = 17;
        distances(query, vectors, count, dimension, got);
        for (size_t j = 0; j < count; j++) {
                float alone;
                assert_close(is_l2, query, vectors[j], dimension, got[j]);
                distances(query, &vectors[j], 1, dimension, &alone);
                assert_memory_equal(&alone, &got[j], sizeof(alone));
                distances(vectors[j], &query, 1, dimension, &alone);
                assert_memory_equal(&alone, &got[j], sizeof(alone));
        }
        assert_true(got[count] == 17);
}

/* Vectors follow each other without gaps, so that with odd dimensions no two are aligned alike, and the last one ends where nothing may be read. */
static void check_kernel(const struct hnsw_kernel *kernel, size_t dimension)
{
        void *map;
        size_t floats = (VECTORS + 1) * dimension;
        float *values = random_floats(dimension, floats), *room = guarded(floats, &map);
        const float *vectors[VECTORS];
        memcpy(room, values, floats * sizeof(*room));
        for (size_t j = 0; j < VECTORS; j++)
                vectors[j] = room + (j + 1) * dimension;
        for (size_t count = 0; count <= VECTORS; count++) {
                check_distances(kernel->l2, true, room, vectors, count, dimension);
                check_distances(kernel->ip, false, room, vectors, count, dimension);
        }
        unguard(map, floats);
        free(values);
}

static void each_kernel_is_right(void **state)
{
        (void) state;
        for (size_t dimension = 1; dimension != 0; dimension = dimension_after(dimension)) {
                for (const struct hnsw_kernel *const *kernel = hnsw_kernels(); *kernel != NULL; kernel++)
                        check_kernel(*kernel, dimension);
                check_kernel(&hnsw_kernel_exact, dimension);
        }
}

/* Each in the first, in the last and in a middle place of a vector. */
static void check_special(const struct hnsw_kernel *kernel, size_t dimension)
{
        float *values = random_floats(3, 2 * dimension), *other = values + dimension;
        for (size_t at = 0; at < dimension; at += at + 1 < dimension ? (dimension - at) / 2 : 1) {
                static const float special[] = { NAN, INFINITY, -INFINITY, FLT_MAX, FLT_TRUE_MIN, -FLT_MIN / 2 };
                float before = other[at], distance;
                for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++) {
                        const float *vector = other;
                        other[at] = special[i];
                        kernel->l2(values, &vector, 1, dimension, &distance);
                        assert_true(i < 4 ? isinf(distance) && distance > 0 : isfinite(distance));
                        kernel->l2(other, &vector, 1, dimension, &distance);
                        assert_true(i < 3 ? isinf(distance) && distance > 0 : distance == 0);
                        kernel->ip(values, &vector, 1, dimension, &distance);
                        assert_true(distance == distance);
                        assert_true(i == 0 ? isinf(distance) && distance > 0 : (i < 3) == (bool) isinf(distance));
                }
                other[at] = before;
        }
        free(values);
}

static void what_is_no_number_is_far_away(void **state)
{
        (void) state;
        static const size_t dimensions[] = { 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 100 };
        for (size_t i = 0; i < sizeof(dimensions) / sizeof(*dimensions); i++) {
                for (const struct hnsw_kernel *const *kernel = hnsw_kernels(); *kernel != NULL; kernel++)
                        check_special(*kernel, dimensions[i]);
                check_special(&hnsw_kernel_exact, dimensions[i]);
        }
}

static void denormals_count(void **state)
{
        (void) state;
        const float zero[5] = { 0 }, tiny[5] = { 1e-20f, 1e-20f, 1e-20f, 1e-20f, 1e-20f }, *vector = tiny;
        float distance;
        for (const struct hnsw_kernel *const *kernel = hnsw_kernels(); *kernel != NULL; kernel++) {
                (*kernel)->l2(zero, &vector, 1, 5, &distance);
                assert_true(distance > 4.9e-40f && distance < 5.1e-40f);
        }
}

static void kernels_are_there(void **state)
{
        (void) state;
        const struct hnsw_kernel *const *kernels = hnsw_kernels();
        size_t count = 0;
        for (; kernels[count] != NULL; count++)
                assert_true(hnsw_kernel_for(kernels[count], SPACE_L2) == kernels[count]->l2 &&
                            hnsw_kernel_for(kernels[count], SPACE_IP) == kernels[count]->ip &&
                            hnsw_kernel_for(kernels[count], SPACE_COSINE) == kernels[count]->ip);
        assert_string_equal(kernels[count - 1]->name, "plain");
#if defined(__x86_64__)
        bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        assert_int_equal(count, 2 + avx2 + (avx2 && __builtin_cpu_supports("avx512f")));
#endif
}

/* --- cosine --- */

static void normalised_as_hnswlib_does(void **state)
{
        (void) state;
        float *values = random_floats(9, 385), *got = calloc(385, sizeof(float));
        float norm = 0;
        for (size_t i = 0; i < 385; i++)
                norm += values[i] * values[i];
        norm = sqrtf(norm);
        assert_true(hnsw_norm(values, 385) == norm);
        hnsw_normalise(values, 385, norm, got);
        for (size_t i = 0; i < 385; i++)
                assert_true(got[i] == values[i] * (1.0f / (norm + 1e-30f)));
        hnsw_normalise(values, 385, norm, values);
        assert_memory_equal(values, got, 385 * sizeof(float));
        memset(values, 0, 385 * sizeof(float));
        hnsw_normalise(values, 385, hnsw_norm(values, 385), values);
        for (size_t i = 0; i < 385; i++)
                assert_true(values[i] == 0);
        free(values);
        free(got);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(as_hnswlib_sums),
                cmocka_unit_test(each_kernel_is_right),
                cmocka_unit_test(what_is_no_number_is_far_away),
                cmocka_unit_test(denormals_count),
                cmocka_unit_test(kernels_are_there),
                cmocka_unit_test(normalised_as_hnswlib_does),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
