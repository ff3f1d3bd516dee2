/* The ids of a collection, against an array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ops/operation/clean_ids.h"

#define IDS 100000

static size_t name(char *buffer, unsigned i)
{
        return (size_t) snprintf(buffer, 32, "%sid %u", i % 3 == 0 ? "an " : "", i);
}

static void add_all(struct clean_ids *ids)
{
        char id[32];
        for (unsigned i = 0; i < IDS; i++) {
                size_t len = name(id, i);
                struct clean_id *item = clean_ids_add(ids, id, len);
                assert_non_null(item);
                assert_int_equal(item->element, CLEAN_NO_ELEMENT);
                assert_int_equal(item->row, 0);
                item->element = i;
        }
}

static void check_all(struct clean_ids *ids)
{
        char id[32];
        assert_int_equal(ids->count, IDS);
        for (unsigned i = 0; i < IDS; i++) {
                size_t len = name(id, i);
                struct clean_id *item = clean_ids_find(ids, id, len);
                assert_non_null(item);
                assert_int_equal(item->element, i);
                assert_ptr_equal(clean_ids_add(ids, id, len), item);
                assert_null(clean_ids_find(ids, id, len + 1)); /* with the NUL */
        }
        assert_int_equal(ids->count, IDS);
}

static void all_are_found(void **state)
{
        (void) state;
        struct clean_ids ids = { 0 };
        assert_null(clean_ids_find(&ids, "x", 1));
        add_all(&ids);
        check_all(&ids);
        assert_null(clean_ids_find(&ids, "x", 1));
        clean_ids_clear(&ids);
        assert_int_equal(ids.count, 0);
        assert_null(clean_ids_find(&ids, "id 1", 4));
}

static void reserved(void **state)
{
        (void) state;
        struct clean_ids ids = { 0 };
        assert_int_equal(clean_ids_reserve(&ids, IDS), 0);
        assert_int_equal(ids.count, 0);
        struct clean_id *items = ids.items;
        size_t capacity = ids.capacity;
        add_all(&ids);
        assert_ptr_equal(ids.items, items);
        assert_int_equal(ids.capacity, capacity);
        assert_int_equal(clean_ids_reserve(&ids, 1), 0);
        check_all(&ids);
        clean_ids_clear(&ids);
}

static void odd_ids(void **state)
{
        (void) state;
        struct clean_ids ids = { 0 };
        struct clean_id *empty = clean_ids_add(&ids, "", 0);
        assert_non_null(empty);
        empty->element = 1;
        clean_ids_add(&ids, "a\0b", 3)->element = 2;
        clean_ids_add(&ids, "a\0c", 3)->element = 3;
        clean_ids_add(&ids, "\xff\xfe", 2)->element = 4;
        assert_int_equal(clean_ids_find(&ids, "", 0)->element, 1);
        assert_int_equal(clean_ids_find(&ids, "a\0b", 3)->element, 2);
        assert_int_equal(clean_ids_find(&ids, "a\0c", 3)->element, 3);
        assert_null(clean_ids_find(&ids, "a", 1));
        assert_int_equal(clean_ids_find(&ids, "\xff\xfe", 2)->element, 4);
        clean_ids_clear(&ids);
}

static void too_many(void **state)
{
        (void) state;
        struct clean_ids ids = { 0 };
        assert_true(clean_ids_reserve(&ids, UINT32_MAX) < 0);
        clean_ids_clear(&ids);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(all_are_found),
                cmocka_unit_test(reserved),
                cmocka_unit_test(odd_ids),
                cmocka_unit_test(too_many),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
