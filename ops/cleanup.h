/*
 * Destructors at the declaration: `CLEANUP(free) char *p = NULL;` with gcc's and clang's cleanup attribute.
 *
 * DEFINE_CLEANUP(type, fn) makes `fn##_cleanup`, which calls fn on a variable of pointer type `type` when that is not NULL.
 */
#ifndef OPS_CLEANUP_H
#define OPS_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn##_cleanup)))

#define DEFINE_CLEANUP(type, fn)                                                                                                   \
        static inline __attribute__((unused)) void fn##_cleanup(type *p)                                                           \
        {                                                                                                                          \
                if (*p != NULL)                                                                                                    \
                        (void) fn(*p);                                                                                             \
        }

static inline __attribute__((unused)) void free_cleanup(void *p)
{
        free(*(void **) p);
}

static inline __attribute__((unused)) void close_cleanup(int *fd)
{
        if (*fd >= 0)
                (void) close(*fd);
}

/* Hands ownership out of a variable that has a cleanup attribute. */
#define TAKE(pointer)                                                                                                              \
        ({                                                                                                                         \
                __typeof__(pointer) taken_ = (pointer);                                                                            \
                (pointer) = NULL;                                                                                                  \
                taken_;                                                                                                            \
        })

#endif
