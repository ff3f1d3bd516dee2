/*
 * A naive model of the write-ahead log's index: an array of rows, everything counted by going through it. The index is compared
 * with it.
 *
 * Whatever is appended, dropped or loaded through here happens to both; every difference ends the test.
 */
#ifndef TESTS_WAL_MODEL_H
#define TESTS_WAL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/wal/index.h"

#define MODEL_STREAMS 12

struct model_row {
        int64_t seq_id, created;
        uint64_t key, position, bytes;
        struct wal_unit *units;
        uint32_t count;
        bool live;
};

struct model_stream { /* a generation: these rows, and all from row `from` on */
        struct wal_stream *stream;
        bool root;
        uint64_t key;
        size_t *rows, row_count, from;
        uint64_t id;
};

struct wal_model {
        struct wal_index *index;
        uint64_t random;
        char path[64]; /* of the directory of the store's file */
        int dirfd;
        uint64_t hidden[4];
        size_t hidden_count;
        struct model_row *rows;
        size_t row_count, row_room;
        uint64_t end, flushed; /* positions */
        struct model_stream streams[MODEL_STREAMS];
};

void model_make(struct wal_model *m, uint64_t seed, const uint64_t *hidden, size_t hidden_count);
void model_remove(struct wal_model *m);

/* A number below `below`; 0 for 0. */
uint64_t model_random(struct wal_model *m, uint64_t below);

/* The greatest seq_id of a live row, 0 when there is none. */
int64_t model_last_seq(const struct wal_model *m);

/* A row of `pieces` pieces; 0: one that is not large. Its units have random lengths below `lengths`. */
void model_append(struct wal_model *m, uint64_t key, int64_t seq_id, uint32_t pieces, uint32_t lengths);
void model_drop(struct wal_model *m, uint64_t key, uint64_t rows);
void model_flush(struct wal_model *m);
void model_note_created(struct wal_model *m, uint64_t key, int64_t created);

/* The index goes away without a flush, and is loaded again. Returns false when the loader had to forget everything. */
bool model_reload(struct wal_model *m);

/* Takes the present generation into place `slot` of the held ones; checks that it is the one that others hold. */
void model_hold(struct wal_model *m, size_t slot, bool root, uint64_t key);

/* Compares everything. */
void model_check(struct wal_model *m);

#endif
