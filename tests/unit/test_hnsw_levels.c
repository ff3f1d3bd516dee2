#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "ops/hnsw/level_generator.h"

#define PYTHON 100, 16807
#define RUST 0, 48271

struct expected {
        uint64_t seed, factor;
        double m;
        int max;
        uint64_t sum;
        int first[16];
};

/* Of 100,000 elements, as std::minstd_rand0(100) and std::minstd_rand(0) of libstdc++ 12 gave them with std::uniform_real_distribution<double>(0, 1):
   (int) (-log(u) / log(m)); sum = sum * 1099511628211 + level + 1. */
static const struct expected table[] = {
        { PYTHON, 2, 17, 0x509c55a104261e28, { 2, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 4, 0, 1, 3, 2 } },
        { RUST, 2, 17, 0x0e85817c1eb1ba71, { 3, 0, 2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1 } },
        { PYTHON, 5, 7, 0xbc61423cfd52f2da, { 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0 } },
        { RUST, 5, 7, 0x9897538d8627dc86, { 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
        { PYTHON, 16, 4, 0x2a5dcfeac95e7dc8, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0 } },
        { RUST, 16, 4, 0xe7f3f88f5db94096, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
        { PYTHON, 100, 2, 0x7f22b4d84f684fca, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
        { RUST, 100, 2, 0xe8220a1bb3204e9a, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
};

static void as_the_libraries_draw_them(void **state)
{
        (void) state;
        for (size_t t = 0; t < sizeof(table) / sizeof(*table); t++) {
                const struct expected *e = &table[t];
                struct level_generator generator = level_generator_start(e->seed, e->factor, 1 / log(e->m));
                uint64_t sum = 0;
                int max = 0;
                for (int i = 0; i < 100000; i++) {
                        int level = level_generator_next(&generator);
                        if (i < 16)
                                assert_int_equal(level, e->first[i]);
                        sum = sum * UINT64_C(1099511628211) + (uint64_t) level + 1;
                        max = level > max ? level : max;
                }
                assert_int_equal(max, e->max);
                assert_true(sum == e->sum);
        }
}

static void seeds_that_are_equal(void **state)
{
        (void) state;
        struct level_generator zero = level_generator_start(0, 48271, 1), one = level_generator_start(1, 48271, 1);
        struct level_generator modulus = level_generator_start(2147483647, 48271, 1);
        assert_true(zero.state == 1 && one.state == 1 && modulus.state == 1);
}

/* With M 1 hnswlib divides by zero; a header may say so all the same. */
static void levels_are_bounded(void **state)
{
        (void) state;
        struct level_generator steep = level_generator_start(100, 16807, 1e300),
                               without_end = level_generator_start(100, 16807, INFINITY);
        for (int i = 0; i < 1000; i++) {
                assert_int_equal(level_generator_next(&steep), HNSW_LEVEL_MAX);
                assert_in_range(level_generator_next(&without_end), 0, HNSW_LEVEL_MAX);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(as_the_libraries_draw_them),
                cmocka_unit_test(seeds_that_are_equal),
                cmocka_unit_test(levels_are_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
