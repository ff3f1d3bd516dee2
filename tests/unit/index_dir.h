/* The directory of a vector segment for one test: a small index, right in all its files unless a test spoils it. */
#ifndef TESTS_INDEX_DIR_H
#define TESTS_INDEX_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_DIR_M 4u
#define INDEX_DIR_DIMENSION 3u
#define INDEX_DIR_RECORD (8u * INDEX_DIR_M + 4u + 4u * INDEX_DIR_DIMENSION + 8u)

/* Element i (internal id) has label i + 1; the pickle knows it as "id<i + 1>" unless it is deleted. */
struct index_dir {
        uint64_t count;       /* elements */
        uint64_t deleted;     /* the first so many are marked deleted */
        bool without_pickle;  /* as before the first persist, if count is 0 */
        uint64_t extra_label; /* in the pickle alone; 0: none */
        uint64_t added;       /* total_elements_added; 0: what fits */
        uint32_t dimension;   /* in the pickle; 0: the index's */
};

/* Writes the five files into a new directory `name` beneath dirfd; every failure ends the test. */
void index_dir_make(int dirfd, const char *name, const struct index_dir *index);

/* Makes it and its files look as if nobody had written to them for `seconds`; index_dir_make and index_dir_write give them an hour. */
void index_dir_age(int dirfd, const char *name, int seconds);

/* Replaces a file of it by these bytes. */
void index_dir_write(int dirfd, const char *name, const char *file, const void *bytes, size_t len);

#endif
