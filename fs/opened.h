/*
 * Everything that the kernel has open: files and directory listings, so that what it never closes (a connection that was aborted under
 * readers) is freed at the end all the same.
 *
 * An opened thing is the first member of what it opens. Thread-safe.
 */
#ifndef FS_OPENED_H
#define FS_OPENED_H

#include <pthread.h>
#include <stdint.h>

struct opened {
        struct opened *next, **link;
        void (*close)(struct opened *opened); /* frees it */
};

struct opened_list {
        pthread_mutex_t mutex;
        struct opened *first;
};

void opened_init(struct opened_list *list);

/* Adds it; returns what to give the kernel as the file handle. */
uint64_t opened_add(struct opened_list *list, struct opened *opened, void (*close)(struct opened *opened));

/* The thing of a file handle. */
struct opened *opened_of(uint64_t handle);

/* Takes the thing of a file handle from the list and closes it. */
void opened_close(struct opened_list *list, uint64_t handle);

/* Closes all that is left, when no request runs any more. */
void opened_clear(struct opened_list *list);

#endif
