#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/hnsw/heap.h"

#define STEPS 120u

/* The ids as a std::priority_queue of libstdc++ 12 gave them, whose comparison looks at the distance only: four distances, so that nearly all are ties.
   Those that came out between the insertions, then the rest. */
static const uint32_t expected[] = {
        0,  1,  2,  3,  4,  5,  6,  10, 11, 7,  12, 15, 13, 18, 21, 25, 22, 27, 33, 29, 28, 32, 38, 40, 24, 42,
        34, 35, 45, 46, 48, 49, 51, 55, 56, 58, 57, 59, 63, 65, 61, 69, 68, 71, 64, 67, 70, 75, 66, 26, 41, 54,
        23, 39, 76, 74, 72, 73, 30, 16, 52, 9,  60, 44, 62, 20, 19, 37, 36, 53, 8,  50, 31, 14, 43, 17, 47,
};

static uint64_t next_number(uint64_t *state)
{
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

static void ties_come_out_as_from_a_priority_queue(void **state)
{
        (void) state;
        struct candidate items[STEPS];
        struct heap heap = { .items = items };
        uint64_t numbers = 7;
        uint32_t id = 0;
        size_t taken = 0;
        for (unsigned step = 0; step < STEPS; step++) {
                uint64_t number = next_number(&numbers);
                if ((number >> 33) % 3 != 0 || heap.count == 0)
                        heap_push(&heap, (struct candidate){ (float) ((number >> 40) % 4), id++ });
                else
                        assert_int_equal(heap_pop(&heap).id, expected[taken++]);
        }
        while (heap.count > 0)
                assert_int_equal(heap_pop(&heap).id, expected[taken++]);
        assert_int_equal(taken, sizeof(expected) / sizeof(*expected));
        assert_int_equal(taken, id);
}

static void the_farthest_comes_first(void **state)
{
        (void) state;
        struct candidate items[500];
        for (size_t count = 0; count <= 500; count += count < 20 ? 1 : 60) {
                struct heap heap = { .items = items };
                uint64_t numbers = count + 1;
                for (uint32_t i = 0; i < count; i++)
                        heap_push(&heap, (struct candidate){ (float) (next_number(&numbers) >> 44), i });
                float last = (float) (1 << 20);
                for (size_t i = 0; i < count; i++) {
                        struct candidate item = heap_pop(&heap);
                        assert_true(item.distance <= last);
                        last = item.distance;
                }
                assert_int_equal(heap.count, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ties_come_out_as_from_a_priority_queue),
                cmocka_unit_test(the_farthest_comes_first),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
