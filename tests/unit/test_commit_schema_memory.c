/* Each allocation fails once: the schema is what it would have been, or there is no memory.. Sanitizers have allocators of their own: there is
   nothing to test with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ops/commit/schema.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_ALLOCATOR 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 0
#endif
#ifndef OWN_ALLOCATOR
#define OWN_ALLOCATOR 1
#endif

static long until_failure = -1; /* so many allocations succeed yet; -1: all; counted only with OWN_ALLOCATOR */

#if OWN_ALLOCATOR
static bool fails(void)
{
        if (until_failure < 0 || until_failure-- > 0)
                return false;
        errno = ENOMEM;
        return true;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
        return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
        return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
        return fails() ? NULL : __libc_realloc(old, size);
}
#endif

static struct text text_at(const char *literal)
{
        return (struct text){ (char *) (uintptr_t) literal, strlen(literal) };
}

static void note(struct commit_schema *schema, const char *key, enum commit_value_type type)
{
        struct error e;
        struct commit_value value = { .key = text_at(key), .type = type };
        assert_int_equal(commit_schema_note(schema, &value, &e), 0);
}

/* With keys that are there (one with an escape), one that lacks a type, one that has it as null, numbers that json-c clears errno for, and two that are new. */
static void test_nothing_is_lost(void **state)
{
        static const char before[] = "{\"keys\":{\"a\":{\"int\":{\"x\":1}},\"b\\u0022\":{\"int\":{\"y\":2}},\"c\":{\"string\":{}},"
                                     "\"d\":{\"int\":null}},\"defaults\":{\"int\":{\"i\":[1,2]},\"string\":{}}}";
        static const char after[] = "{\"keys\":{\"new\":{\"int\":{\"i\":[1,2]}},\"n\\\"w\":{\"string\":{}},\"a\":{\"int\":{\"x\":1}"
                                    "},\"b\\u0022\":{\"int\":{"
                                    "\"y\":2}},\"c\":{\"int\":{\"i\":[1,2]},\"string\":{}},\"d\":{\"int\":{\"i\":[1,2]}}},"
                                    "\"defaults\":{\"int\":{\"i\":[1,2]},"
                                    "\"string\":{}}}";
        struct commit_schema *schema = commit_schema_new();
        long failed = 0;
        bool reached = true;
        (void) state;
        note(schema, "a", COMMIT_INT);
        note(schema, "b\"", COMMIT_INT);
        note(schema, "c", COMMIT_INT);
        note(schema, "d", COMMIT_INT);
        note(schema, "new", COMMIT_INT);
        note(schema, "n\"w", COMMIT_STRING);
        for (long nth = 0; reached; nth++) {
                struct error e;
                struct text json = text_at(before), ret = { NULL, 0 };
                until_failure = nth;
                int r = commit_schema_extend(schema, &json, &ret, &e);
                reached = until_failure < 0;
                until_failure = -1;
                assert_true(r == 1 || (r == -ENOMEM && reached));
                if (r == 1)
                        assert_string_equal(ret.bytes, after);
                failed += r == -ENOMEM;
                free(ret.bytes);
        }
        assert_true(!OWN_ALLOCATOR || failed > 4);
        (void) commit_schema_free(schema);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_is_lost),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
