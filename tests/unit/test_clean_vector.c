/* Whether an index holds a vector of the log: the sums that real builds make, and differences that are none of theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "ops/operation/clean_vector.h"

#define DIMENSION_MAX 4096u

static uint32_t seed = 1;

/* Between -1 and 1, some of them small. */
static float random_float(void)
{
        seed = seed * 1664525u + 1013904223u;
        float f = (float) (int32_t) seed / 2147483648.0f;
        return seed % 7 == 0 ? f * 1e-4f : f;
}

static void fill(float *v, size_t n)
{
        for (size_t i = 0; i < n; i++)
                v[i] = random_float();
}

static float norm_in_lanes(const float *v, size_t n, size_t lane_count)
{
        float lanes[16] = { 0 }, sum = 0;
        for (size_t i = 0; i < n; i++)
                lanes[i % lane_count] += v[i] * v[i];
        for (size_t i = lane_count; i-- > 0;)
                sum += lanes[i];
        return sqrtf(sum);
}

static void normalise(const float *v, size_t n, float norm, float *ret)
{
        float factor = 1.0f / (norm + 1e-30f);
        for (size_t i = 0; i < n; i++)
                ret[i] = v[i] * factor;
}

static float next_float(float f, int steps)
{
        for (; steps > 0; steps--)
                f = nextafterf(f, INFINITY);
        for (; steps < 0; steps++)
                f = nextafterf(f, -INFINITY);
        return f;
}

static void same_bytes(void **state)
{
        (void) state;
        static const enum hnsw_space spaces[] = { SPACE_L2, SPACE_IP };
        float v[3] = { 1.5f, -0.0f, NAN }, w[3];
        memcpy(w, v, sizeof(v));
        for (size_t i = 0; i < 2; i++) {
                assert_true(clean_vector_equal(spaces[i], v, 0, w, 3));
                w[1] = 0.0f;
                assert_false(clean_vector_equal(spaces[i], v, 0, w, 3));
                w[1] = -0.0f;
                w[0] = next_float(w[0], 1);
                assert_false(clean_vector_equal(spaces[i], v, 0, w, 3));
                w[0] = v[0];
        }
}

static void every_order_of_sums(void **state)
{
        (void) state;
        static const size_t dimensions[] = { 1, 2, 3, 5, 19, 64, 384, 1536, DIMENSION_MAX }, lanes[] = { 1, 4, 8, 16 };
        static float v[DIMENSION_MAX], stored[DIMENSION_MAX];
        for (size_t d = 0; d < sizeof(dimensions) / sizeof(*dimensions); d++)
                for (size_t l = 0; l < sizeof(lanes) / sizeof(*lanes); l++)
                        for (int round = 0; round < 20; round++) {
                                size_t n = dimensions[d];
                                fill(v, n);
                                float norm = norm_in_lanes(v, n, lanes[l]);
                                normalise(v, n, norm, stored);
                                assert_true(clean_vector_equal(SPACE_COSINE, stored, norm, v, n));
                        }
}

static void unaligned(void **state)
{
        (void) state;
        float v[2] = { 3, 4 }, stored[2];
        unsigned char bytes[2][9];
        normalise(v, 2, 5, stored);
        memcpy(bytes[0] + 1, stored, 8);
        memcpy(bytes[1] + 1, v, 8);
        assert_true(clean_vector_equal(SPACE_COSINE, bytes[0] + 1, 5, bytes[1] + 1, 2));
        assert_false(clean_vector_equal(SPACE_L2, bytes[0] + 1, 5, bytes[1] + 1, 2));
}

static void within_the_bound(void **state)
{
        (void) state;
        float v[3] = { 1, -2, 2 }, stored[3];
        normalise(v, 3, 3, stored);
        for (size_t i = 0; i < 3; i++) {
                float right = stored[i];
                for (int steps = -2 * CLEAN_ULPS; steps <= 2 * CLEAN_ULPS; steps++) {
                        stored[i] = next_float(right, steps);
                        assert_int_equal(clean_vector_equal(SPACE_COSINE, stored, 3, v, 3),
                                         steps >= -CLEAN_ULPS && steps <= CLEAN_ULPS);
                }
                stored[i] = right;
        }
        for (int steps = 4 * CLEAN_ULPS; steps < 1000; steps *= 3) {
                float length = next_float(3, steps);
                normalise(v, 3, length, stored); /* in itself all right, but the length of another vector */
                assert_false(clean_vector_equal(SPACE_COSINE, stored, length, v, 3));
        }
}

/* The same direction is not the same vector: what get() gives is vector times length. */
static void same_direction(void **state)
{
        (void) state;
        float v[3] = { 1, -2, 2 }, longer[3] = { 2, -4, 4 }, stored[3];
        normalise(v, 3, 3, stored);
        assert_true(clean_vector_equal(SPACE_COSINE, stored, 3, v, 3));
        assert_false(clean_vector_equal(SPACE_COSINE, stored, 3, longer, 3));
        assert_false(clean_vector_equal(SPACE_COSINE, stored, 6, v, 3));
}

static void edges(void **state)
{
        (void) state;
        float zero[2] = { 0, -0.0f }, one[2] = { 1, 0 }, nan[2] = { NAN, 1 }, large[2] = { 1e30f, 1e30f }, gone[2] = { 0, 0 };
        assert_true(clean_vector_equal(SPACE_COSINE, zero, 0, zero, 2));
        assert_false(clean_vector_equal(SPACE_COSINE, zero, 0, one, 2));
        assert_false(clean_vector_equal(SPACE_COSINE, one, 1, zero, 2));
        assert_false(clean_vector_equal(SPACE_COSINE, nan, NAN, nan, 2));
        assert_false(clean_vector_equal(SPACE_COSINE, one, NAN, one, 2));
        /* The sum of squares is beyond all floats: the length is infinite and the vector nothing. */
        assert_true(clean_vector_equal(SPACE_COSINE, gone, INFINITY, large, 2));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(same_bytes),       cmocka_unit_test(every_order_of_sums), cmocka_unit_test(unaligned),
                cmocka_unit_test(within_the_bound), cmocka_unit_test(same_direction),      cmocka_unit_test(edges),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
