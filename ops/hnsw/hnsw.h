/*
 * An HNSW index in memory, with the structure and in the form that Chroma's library (hnswlib) has it on disk.
 *
 * - Elements are numbered from 0 in the order in which they were added (internal ids), and carry a label that the caller chose. Levels, links and
 *   entry point come out as hnswlib's do (FORMAT 8): built by one thread, with `exact`, it is the same graph bit by bit.
 * - A deleted element stays, and is passed through by searches, but is no result of one.
 * - Records (links of level 0, vector, label) lie in one array as in data_level0.bin, so that loading and saving is copying. The array is anonymous
 *   memory, or a file of the caller's stage that is unlinked at once, for an index that is larger than memory.
 * - Not thread-safe, but for what says so: hnsw_add() uses threads of its own; hnsw_search() may be called by several threads, each with its own
 *   searcher, while nothing changes the index.
 */
#ifndef OPS_HNSW_HNSW_H
#define OPS_HNSW_HNSW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/db.h"
#include "ops/error.h"
#include "ops/hnsw/distance.h"

#define HNSW_M_MAX 4096u /* what a header may say (ops/hnsw_file.c) */
#define HNSW_DIMENSION_MAX (1u << 20)

enum hnsw_library {              /* whose random levels */
                    HNSW_PYTHON, /* chroma-hnswlib's Linux wheels: minstd_rand0, seed 100 */
                    HNSW_RUST,   /* the crate of Chroma 1.x: minstd_rand, seed 0 */
};

struct hnsw_params {
        enum hnsw_space space;
        uint32_t dimension;       /* 1 to HNSW_DIMENSION_MAX */
        uint32_t m;               /* 2 to HNSW_M_MAX: links of an element on a level above 0; twice as many on level 0 */
        uint32_t ef_construction; /* at least 1; below m it is m */
        enum hnsw_library library;
        bool exact;   /* distances with the order of summation of hnswlib's SSE build */
        int stage_fd; /* a directory for the array of records, or -1: anonymous memory */
};

struct hnsw;

/* An empty index with room for `capacity` elements. -EINVAL for parameters that can't be; -ENOMEM or -ENOSPC, with the figure, when the room is not
   there: it is taken now. The caller frees *ret. */
int hnsw_new(const struct hnsw_params *params, uint64_t capacity, struct hnsw **ret, struct error *e);
struct hnsw *hnsw_free(struct hnsw *index); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct hnsw *, hnsw_free)

/* Reads the four files of a segment directory, with room for `more` elements; everything is checked (FORMAT 11, I3 and I4), but for what needs the
   pickle. m, dimension and, unless params->ef_construction is other than 0, ef_construction come from header.bin; the rest from `params`; a dimension
   there that differs from the file's is -EILSEQ, 0 is any. -EILSEQ or -EIO for damage, -EAGAIN when the files change meanwhile, -EINTR when `cancelled` (may be NULL), which is asked now and then, says so. The generator of
   levels starts anew, as hnswlib's does. */
int hnsw_load(int segment_fd, const struct hnsw_params *params, uint64_t more, db_cancel_fn *cancelled, void *context,
              struct hnsw **ret, struct error *e);

/* Room for `more` elements in addition to those that are there. Searchers get memory anew when they need it. -ENOMEM, -ENOSPC: it is as it was. */
int hnsw_reserve(struct hnsw *index, uint64_t more, struct error *e);

struct hnsw_item {
        uint64_t label;
        const float *vector; /* dimension floats, not normalised; read during the call only */
        bool is_stored;      /* for cosine: the vector is as another index has it, normalised, and is kept to the bit */
        float length;        /* … and the norm of the original vector */
};

/* Adds elements; none of their labels may be in the index, or twice (-EEXIST, nothing is added). `threads` at most are used, 1 keeps the order. Levels
   depend on the order of the items only. `cancelled` (may be NULL) is asked now and then, by the calling thread: -EINTR then, and the index must be thrown
   away; after every other failure it is as it was. -ENOSPC: there is no room (hnsw_reserve()). -ENOMEM. */
int hnsw_add(struct hnsw *index, const struct hnsw_item *items, size_t count, unsigned threads, db_cancel_fn *cancelled,
             void *context, struct error *e);

/* Gives an element another vector, and its surroundings other links, as hnswlib's updatePoint() does. A deleted one is undeleted. -ENOENT, -ENOMEM: the index is as it was. */
int hnsw_update(struct hnsw *index, uint64_t label, const float *vector, struct error *e);

/* Marks it deleted. -ENOENT when there is none, or it is deleted. */
int hnsw_delete(struct hnsw *index, uint64_t label, struct error *e);

struct hnsw_info {
        struct hnsw_params params;
        uint64_t count, deleted, capacity;
        int max_level;        /* -1 when empty */
        uint32_t entry_point; /* HNSW_NO_ENTRY_POINT when empty */
        size_t record_size;
        uint64_t upper_bytes; /* of link_lists.bin, without the sizes */
};
struct hnsw_info hnsw_info(const struct hnsw *index);

/* The element with that label, deleted or not: its internal id, or UINT32_MAX. */
uint32_t hnsw_find(const struct hnsw *index, uint64_t label);

/* What an internal id below the count has. The vector is as stored (normalised for cosine) and unaligned for anything but floats. */
uint64_t hnsw_label(const struct hnsw *index, uint32_t id);
bool hnsw_is_deleted(const struct hnsw *index, uint32_t id);
const float *hnsw_vector(const struct hnsw *index, uint32_t id);
float hnsw_length(const struct hnsw *index, uint32_t id); /* norm of the original vector; 0 where the space is not cosine */

/* Its links on a level: *ret_count internal ids. NULL above its level. */
const uint32_t *hnsw_links(const struct hnsw *index, uint32_t id, int level, uint32_t *ret_count);

struct hnsw_result {
        uint64_t label;
        float distance;
};

/* Memory of a thread that searches. */
struct hnsw_searcher *hnsw_searcher_new(const struct hnsw *index); /* NULL: no memory */
struct hnsw_searcher *hnsw_searcher_free(struct hnsw_searcher *searcher);
DEFINE_CLEANUP(struct hnsw_searcher *, hnsw_searcher_free)

/* The k nearest that a search with max(ef, k) finds, nearest first; returns how many, or -ENOMEM. `query` is not normalised. */
int64_t hnsw_search(struct hnsw_searcher *searcher, const float *query, uint32_t k, uint32_t ef, struct hnsw_result *ret);

#endif
