/*
 * What the parts of a stream share (stream.c, stream_units.c); nobody else includes it.
 */
#ifndef OPS_WAL_STREAM_INTERNAL_H
#define OPS_WAL_STREAM_INTERNAL_H

#include "ops/wal/index_internal.h"

struct index_first { /* the first live position of a collection */
        uint64_t key, position;
};

struct index_root {
        unsigned references;             /* under the mutex */
        uint64_t end;                    /* P0 */
        uint64_t rows, size;             /* of what is before it */
        uint64_t rows_before;            /* that there ever were */
        uint64_t bytes_before;           /* the same */
        int64_t first_seq;               /* of the first row, 0 while there is none */
        struct index_collection *newest; /* has the last row before P0 */
        uint64_t *offsets;               /* of blocks that begin before P0 */
        uint32_t block_count;
        struct index_first *firsts; /* by key */
        size_t first_count;
};

struct wal_stream {
        unsigned references; /* under the mutex */
        struct wal_index *index;
        uint64_t id;
        struct index_root *root; /* NULL: a collection's stream */

        struct index_collection *collection;
        uint64_t rows_before, bytes_before; /* of the collection */
        int64_t first_seq;                  /* 0 while there is no row */
};

/* With the mutex. */
static inline uint64_t stream_size(const struct wal_stream *stream)
{
        const struct index_root *root = stream->root;
        if (root != NULL)
                return root->size + (stream->index->bytes - root->bytes_before);
        return stream->collection->bytes - stream->bytes_before;
}

int index_compare_firsts(const void *a, const void *b); /* by key */

#endif
