/*
 * index_metadata.pickle: which label each user id has in a vector segment's index, and how many labels were ever handed out.
 *
 * - Reads the two shapes that Chroma writes (FORMAT 6.6): Python's instance of PersistentData and Rust's plain dict. It is a decoder of
 *   data, not an interpreter: a global other than that class, any opcode outside the list, and any other structure is -EILSEQ.
 * - Bounds: no recursion; memory is a fixed multiple of the file's size; every opcode consumes at least one byte of the file and costs
 *   a constant time (a dict is filled once, never copied); a length is checked against what is left before it is used.
 * - Ids are bytes as stored: any UTF-8, also Python's encoded surrogates, also NUL.
 */
#ifndef OPS_PICKLE_H
#define OPS_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/db.h"
#include "ops/error.h"

enum pickle_shape { PICKLE_INSTANCE, PICKLE_DICT };

struct index_entry {
        uint64_t label;
        uint64_t seq_id; /* of the last write, from id_to_seq_id; 0 when the pickle has none for the id */
        const char *id;  /* not NUL-terminated; points into the owning index_metadata */
        size_t id_len;
};

struct index_metadata {
        enum pickle_shape shape;
        bool has_dimensionality;
        uint64_t dimensionality;
        uint64_t total_elements_added;
        bool has_max_seq_id;
        uint64_t max_seq_id;
        size_t count;                /* live ids */
        struct index_entry *entries; /* ascending by label, labels unique and >= 1 */
        bool seq_ids_complete;       /* id_to_seq_id has every live id */
        size_t disagreeing;          /* of index_metadata_read_agreed(): ids that are left out */
        char *bytes;                 /* the file, which the ids point into */
};

/* Decodes `len` bytes, which must stay as they are until the result is freed when `ret` is to point into them: takes ownership of
   `bytes` (malloc'ed) in every case, failure included. Checks that label_to_id is the inverse of id_to_label, that labels are unique and
   >= 1, that total_elements_added is a count that fits (labels above it are allowed here: the caller reports them).
   0, -EILSEQ with a sentence that has the byte offset, or -ENOMEM. */
int index_metadata_decode(char *bytes, size_t len, struct index_metadata **ret, struct error *e);

/* Reads and decodes the open file. -EFBIG above 4 GiB; -EINTR when `cancelled` (may be NULL), which is asked now and then, says so. The caller frees *ret. */
int index_metadata_read(int fd, db_cancel_fn *cancelled, void *context, struct index_metadata **ret, struct error *e);

/* The same of a pickle whose id_to_label and label_to_id need not be each other's inverse: an id counts when both have it with one label. Labels that were handed out twice, after total_elements_added
   was set too low (FORMAT R5), are what makes them differ. */
int index_metadata_read_agreed(int fd, db_cancel_fn *cancelled, void *context, struct index_metadata **ret, struct error *e);

/* Entry of a label, or NULL. */
const struct index_entry *index_metadata_by_label(const struct index_metadata *m, uint64_t label);

struct index_metadata *index_metadata_free(struct index_metadata *m); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct index_metadata *, index_metadata_free)

#endif
