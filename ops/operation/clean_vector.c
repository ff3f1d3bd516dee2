/*
 * A difference that is accepted is some ten-millionths of a component: what a sum of floats in another order makes. The direction is held
 * against the length that the index itself recorded, so that this tolerance does not grow with the dimension; only the length is held against
 * sums in several orders. With all of them missed the vectors count as different, and the log is kept.
 *
 * The sums are written out in their orders; a compiler keeps them, since it may not reorder floats (no -ffast-math here).
 */
#include "ops/operation/clean_vector.h"

#include <endian.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES_MAX 16u

static float get_float(const unsigned char *p)
{
        uint32_t bits;
        float value;
        memcpy(&bits, p, sizeof(bits));
        bits = le32toh(bits);
        memcpy(&value, &bits, sizeof(value));
        return value;
}

/* Floats as integers in the order of their values: neighbours differ by 1, and both zeros are 0. */
static int64_t place_of(float f)
{
        int32_t bits;
        memcpy(&bits, &f, sizeof(bits));
        return bits < 0 ? -(int64_t) (bits & INT32_MAX) : bits;
}

static bool close_enough(float a, float b)
{
        if (isnan(a) || isnan(b))
                return false;
        int64_t distance = place_of(a) - place_of(b);
        return distance >= -CLEAN_ULPS && distance <= CLEAN_ULPS;
}

/* Several sums, since each addition waits for the one before it. */
static float norm_exact(const unsigned char *v, size_t n)
{
        double sums[4] = { 0 };
        size_t i = 0;
        for (; i + 4 <= n; i += 4)
                for (size_t k = 0; k < 4; k++) {
                        double x = get_float(v + 4 * (i + k));
                        sums[k] += x * x;
                }
        for (; i < n; i++) {
                double x = get_float(v + 4 * i);
                sums[0] += x * x;
        }
        return (float) sqrt(sums[0] + sums[1] + sums[2] + sums[3]);
}

/* One lane: one float after another. */
static float norm_in_lanes(const unsigned char *v, size_t n, unsigned lane_count)
{
        float lanes[LANES_MAX] = { 0 }, sum = 0;
        for (size_t i = 0; i < n; i++) {
                float x = get_float(v + 4 * i);
                lanes[i % lane_count] += x * x;
        }
        for (unsigned i = 0; i < lane_count; i++)
                sum += lanes[i];
        return sqrtf(sum);
}

static bool is_norm(float length, const unsigned char *v, size_t n)
{
        if (close_enough(length, norm_exact(v, n)))
                return true;
        for (unsigned lanes = 1; lanes <= LANES_MAX; lanes = lanes == 1 ? 4 : 2 * lanes)
                if (close_enough(length, norm_in_lanes(v, n, lanes)))
                        return true;
        return false;
}

static bool cosine_equal(const unsigned char *stored, float length, const unsigned char *v, size_t n)
{
        float factor = 1.0f / (length + 1e-30f);
        for (size_t i = 0; i < n; i++) {
                float is = get_float(stored + 4 * i), should_be = get_float(v + 4 * i) * factor;
                if (is != should_be && !close_enough(is, should_be)) /* nearly always equal; NaN is not */
                        return false;
        }
        return is_norm(length, v, n);
}

bool clean_vector_equal(enum hnsw_space space, const void *stored, float length, const void *logged, size_t dimension)
{
        if (space == SPACE_COSINE)
                return cosine_equal(stored, length, logged, dimension);
        return memcmp(stored, logged, 4 * dimension) == 0;
}
