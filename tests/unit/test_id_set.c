#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "ops/id_set.h"

static void empty_set_has_nothing(void **state)
{
        (void) state;
        struct id_set set = { 0 };
        assert_false(id_set_has(&set, "", 0));
        assert_false(id_set_has(&set, "a", 1));
        id_set_clear(&set);
}

static void bytes_and_length_are_the_id(void **state)
{
        (void) state;
        struct id_set set = { 0 };
        assert_int_equal(id_set_add(&set, "a\0b", 3), 0);
        assert_int_equal(id_set_add(&set, "", 0), 0);
        assert_int_equal(id_set_add(&set, "a\0b", 3), 0);
        assert_int_equal(set.count, 2);
        assert_true(id_set_has(&set, "a\0b", 3));
        assert_true(id_set_has(&set, "", 0));
        assert_false(id_set_has(&set, "a", 1));
        assert_false(id_set_has(&set, "a\0c", 3));
        id_set_clear(&set);
        assert_null(set.slots);
}

static void many_ids_at_a_bounded_load(void **state)
{
        (void) state;
        struct id_set set = { 0 };
        char id[32];
        for (int i = 0; i < 100000; i++) {
                int len = snprintf(id, sizeof(id), "record-%d", i);
                assert_int_equal(id_set_add(&set, id, (size_t) len), 0);
        }
        assert_int_equal(set.count, 100000);
        assert_true(set.count <= set.capacity / 4 * 3);
        assert_int_equal(set.capacity, 262144);
        for (int i = 0; i < 200000; i++) {
                int len = snprintf(id, sizeof(id), "record-%d", i);
                assert_int_equal(id_set_has(&set, id, (size_t) len), i < 100000);
        }
        id_set_clear(&set);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(empty_set_has_nothing),
                cmocka_unit_test(bytes_and_length_are_the_id),
                cmocka_unit_test(many_ids_at_a_bounded_load),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
