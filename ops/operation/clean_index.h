/*
 * The index of one collection as a clean needs it: found to be whole, with its ids, and its vectors to compare with.
 */
#ifndef OPS_OPERATION_CLEAN_INDEX_H
#define OPS_OPERATION_CLEAN_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/config.h"
#include "ops/db.h"
#include "ops/error.h"
#include "ops/hnsw_file.h"
#include "ops/index_summary.h"
#include "ops/operation/clean_ids.h"

struct clean_index {
        struct clean_ids ids; /* those in the pickle, and others that are added */
        struct hnsw_header header;
        enum hnsw_space space;
        struct index_stamps stamps;
        float *lengths;        /* of the elements, for cosine */
        unsigned char *window; /* of data_level0.bin, while it is open */
        uint64_t window_first; /* the element at its beginning */
        uint64_t window_count; /* elements in it; 0: only a vector is */
        uint64_t last;         /* the element that was compared last */
        char path[64];         /* of data_level0.bin */
        int fd;                /* of it; -1: not open */
};

/* Loads it. *ret is the caller's; NULL when it is not whole: then *ret_fault says why (-EILSEQ, -EAGAIN being written, …),
   and *ret_cure names the control that mends it, or is NULL. */
int clean_index_load(int persist_fd, struct db *db, const struct catalog *catalog, const struct collection *collection,
                     db_cancel_fn *cancelled, void *context, struct clean_index **ret, struct error *ret_fault,
                     const char **ret_cure, struct error *e);

/* Bytes that it takes, roughly. */
uint64_t clean_index_size(const struct clean_index *index);

/* *ret: whether element `element` has this vector (of the log, `len` bytes). Must be open. */
int clean_index_compare(struct clean_index *index, uint32_t element, const void *vector, size_t len, bool *ret, struct error *e);

/* For comparing: a descriptor, and up to 64 KiB of memory (or a vector, when that is more), until it is closed. */
int clean_index_open(struct clean_index *index, int persist_fd, struct error *e);
void clean_index_close(struct clean_index *index);

struct clean_index *clean_index_free(struct clean_index *index); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct clean_index *, clean_index_free)

#endif
