/*
 * malloc and its kind, which fail when the test says so: its allocation_fails() says it, and sets errno. Found before the C library's.
 *
 * A sanitizer has an allocator of its own, which must not be stood in for: there OWN_ALLOCATOR is 0, and nothing fails.
 */
#ifndef TESTS_UNIT_MALLOC_FAILS_H
#define TESTS_UNIT_MALLOC_FAILS_H

#include <stdbool.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_ALLOCATOR 0
#endif
#endif

#ifndef OWN_ALLOCATOR
#define OWN_ALLOCATOR 1

static bool allocation_fails(void);

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
        return allocation_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
        return allocation_fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
        return allocation_fails() ? NULL : __libc_realloc(old, size);
}
#endif

#endif
