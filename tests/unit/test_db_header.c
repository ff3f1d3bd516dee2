/*
 * The header of a database, field by field.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "ops/db_header.h"

static void test_header(void **state)
{
        (void) state;
        unsigned char h[DB_HEADER_SIZE] = "SQLite format 3";
        h[16] = 0x10;
        h[18] = h[19] = 1;
        h[27] = h[95] = 9;
        h[31] = 3;
        assert_int_equal(db_header_check(h, sizeof(h), 3 * 4096, NULL), 0);
        assert_int_equal(db_header_check(h, sizeof(h), 9 * 4096, NULL), 0); /* longer: in order */
        assert_int_equal(db_header_check(h, sizeof(h), 3 * 4096 - 1, NULL), -EILSEQ);
        h[95] = 8; /* the page count is of an older writer: not to be believed */
        assert_int_equal(db_header_check(h, sizeof(h), 4096, NULL), 0);
        h[95] = 9;
        h[31] = 0;
        assert_int_equal(db_header_check(h, sizeof(h), 4096, NULL), 0);
        h[16] = 0, h[17] = 1, h[31] = 1;
        assert_int_equal(db_header_check(h, sizeof(h), 65536, NULL), 0);
        assert_int_equal(db_header_check(h, sizeof(h), 65535, NULL), -EILSEQ);
        for (int size = 0; size < 512; size++)
                if (size != 1) {
                        h[16] = (unsigned char) (size >> 8), h[17] = (unsigned char) size;
                        assert_int_equal(db_header_check(h, sizeof(h), 65536, NULL), -EILSEQ);
                }
        assert_int_equal(db_header_check(h, 0, 0, NULL), -EILSEQ);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_header),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
