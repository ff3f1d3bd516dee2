/* The request that goes to a worker: what is packed comes out again, and nothing else is taken for one. */
#include "fs/worker_wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PREFIX sizeof(uint64_t)

static struct text text_of(const char *string)
{
        struct text text;
        assert_int_equal(text_copy(&text, string, strlen(string)), 0);
        return text;
}

/* What worker_main() reads: without the eight bytes. */
static struct text packed_of(const struct worker_request *request)
{
        struct text whole, body;
        uint64_t len;
        assert_int_equal(worker_pack(request, &whole), 0);
        memcpy(&len, whole.bytes, PREFIX);
        assert_int_equal(len, whole.len - PREFIX);
        assert_int_equal(text_copy(&body, whole.bytes + PREFIX, whole.len - PREFIX), 0);
        free(whole.bytes);
        return body;
}

static void all_fields_come_back(void **state)
{
        (void) state;
        gid_t groups[] = { 7, 8, 65534 };
        struct worker_user user = { .uid = 1000, .gid = 1001, .groups = groups, .group_count = 3 };
        struct text skip[] = { text_of("one"), text_of("two") };
        char line[] = "to=/a\0b \xff\n";
        struct worker_request request = { .operation = "backup",
                                          .line = { .bytes = line, .len = sizeof(line) - 1 },
                                          .collection_id = "id",
                                          .skip = skip,
                                          .skip_count = 2,
                                          .user = &user };
        struct text packed = packed_of(&request);
        struct worker_unpacked unpacked;
        assert_int_equal(worker_unpack(&packed, &unpacked), 0);
        assert_string_equal(unpacked.request.operation, "backup");
        assert_int_equal(unpacked.request.line.len, sizeof(line) - 1);
        assert_memory_equal(unpacked.request.line.bytes, line, sizeof(line));
        assert_string_equal(unpacked.request.collection_id, "id");
        assert_int_equal(unpacked.request.skip_count, 2);
        assert_string_equal(unpacked.request.skip[0].bytes, "one");
        assert_string_equal(unpacked.request.skip[1].bytes, "two");
        assert_ptr_equal(unpacked.request.user, &unpacked.user);
        assert_int_equal(unpacked.user.uid, 1000);
        assert_int_equal(unpacked.user.gid, 1001);
        assert_int_equal(unpacked.user.group_count, 3);
        assert_memory_equal(unpacked.user.groups, groups, sizeof(groups));
        worker_unpacked_clear(&unpacked);
        free(packed.bytes);
        free(skip[0].bytes);
        free(skip[1].bytes);
}

static void what_is_not_there_is_null(void **state)
{
        (void) state;
        struct worker_request request = { .operation = "clean" };
        struct text packed = packed_of(&request);
        struct worker_unpacked unpacked;
        assert_int_equal(worker_unpack(&packed, &unpacked), 0);
        assert_null(unpacked.request.collection_id);
        assert_null(unpacked.request.user);
        assert_int_equal(unpacked.request.skip_count, 0);
        assert_int_equal(unpacked.request.line.len, 0);
        assert_string_equal(unpacked.request.line.bytes, "");
        worker_unpacked_clear(&unpacked);
        free(packed.bytes);
}

/* Every beginning of it that is shorter, and every length that is another one. */
static void what_is_torn_is_none(void **state)
{
        (void) state;
        struct text skip = text_of("one");
        struct worker_request request = { .operation = "clean", .line = { .bytes = skip.bytes, .len = skip.len } };
        struct text packed = packed_of(&request);
        struct worker_unpacked unpacked;
        for (size_t len = 0; len < packed.len; len++) {
                struct text torn;
                assert_int_equal(text_copy(&torn, packed.bytes, len), 0);
                assert_int_equal(worker_unpack(&torn, &unpacked), -EINVAL);
                free(torn.bytes);
        }
        for (int value = 0; value < 256; value++) {
                if (value == (int) strlen("clean"))
                        continue;
                packed.bytes[0] = (char) value;
                assert_int_equal(worker_unpack(&packed, &unpacked), -EINVAL);
        }
        memset(packed.bytes, 0xff, sizeof(uint64_t));
        assert_int_equal(worker_unpack(&packed, &unpacked), -EINVAL);
        free(packed.bytes);
        free(skip.bytes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(all_fields_come_back),
                cmocka_unit_test(what_is_not_there_is_null),
                cmocka_unit_test(what_is_torn_is_none),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
