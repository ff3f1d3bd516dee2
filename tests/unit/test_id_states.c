#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ops/id_states.h"

static void empty(void **state)
{
        (void) state;
        struct id_states map = { 0 };
        assert_int_equal(id_states_get(&map, "a", 1), 0);
        assert_int_equal(id_states_count(&map, 1), 0);
        id_states_clear(&map);
}

static void replaces(void **state)
{
        (void) state;
        struct id_states map = { 0 };
        for (unsigned i = 1; i <= 3; i++) {
                assert_int_equal(id_states_set(&map, "a", 1, i), 0);
                assert_int_equal(id_states_get(&map, "a", 1), i);
                assert_int_equal(map.count, 1);
        }
        assert_int_equal(id_states_set(&map, "", 0, 1), 0);
        assert_int_equal(id_states_get(&map, "", 0), 1);
        assert_int_equal(id_states_get(&map, "a\0b", 3), 0);
        id_states_clear(&map);
        assert_int_equal(id_states_get(&map, "a", 1), 0);
}

#define MANY 100000u

static void many(void **state)
{
        (void) state;
        struct id_states map = { 0 };
        char id[16];
        for (int pass = 0; pass < 2; pass++)
                for (unsigned i = 0; i < MANY; i++) {
                        (void) snprintf(id, sizeof(id), "%u", i);
                        assert_int_equal(id_states_set(&map, id, strlen(id), 1 + (i + (unsigned) pass) % 3), 0);
                }
        for (unsigned i = 0; i < 2 * MANY; i++) {
                (void) snprintf(id, sizeof(id), "%u", i);
                assert_int_equal(id_states_get(&map, id, strlen(id)), i < MANY ? 1 + (i + 1) % 3 : 0);
        }
        assert_int_equal(map.count, MANY);
        assert_int_equal(id_states_count(&map, 1), MANY / 3);
        assert_int_equal(id_states_count(&map, 1) + id_states_count(&map, 2) + id_states_count(&map, 3), MANY);
        assert_true(map.capacity * sizeof(*map.slots) <= MANY * 48);
        id_states_clear(&map);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(empty), cmocka_unit_test(replaces), cmocka_unit_test(many) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
