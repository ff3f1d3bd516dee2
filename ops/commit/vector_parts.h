/* Inside of vector*.c. */
#ifndef OPS_COMMIT_VECTOR_PARTS_H
#define OPS_COMMIT_VECTOR_PARTS_H

#include "ops/hnsw/hnsw.h"
#include "ops/hnsw/salvage.h"
#include "ops/key_sort.h"
#include "ops/commit/ids.h"
#include "ops/commit/state.h"
#include "ops/commit/vector.h"

#define COMMIT_METADB_POSITIONS 4 /* Chroma 0.5.6: positions are in max_seq_id from then on, not in the pickle */
#define COMMIT_BATCH_ROWS 4096u
#define COMMIT_BATCH_BYTES (32u << 20) /* of vectors; a batch has some rows even so */

struct commit_jobs { /* rows of the log, by seq_id, and numbers of ids */
        struct key_index *items;
        size_t count, allocated;
};

struct commit_vector {
        struct commit_vector_start start;
        struct hnsw_config config; /* of the index that is made */
        enum hnsw_space old_space; /* of the one that is there */
        struct operation *op;
        struct commit_state_rules rules;
        struct commit_ids ids;
        struct index_summary summary;
        struct index_metadata *metadata; /* of the old index; NULL: a new one is made. Of a rebuild: the salvage's */
        uint64_t rows_pending;           /* above the position */

        /* The plan. */
        struct commit_jobs adds, updates; /* the row that has the vector, by seq_id */
        uint64_t removals;                /* labels of the old index that go, those of replaced ids among them */
        uint64_t recovered;               /* ids whose row is not above the position */

        /* Of a rebuild (vector_salvage.c). */
        struct salvage *salvage; /* NULL: none */
        bool *keeps;             /* by entry */
        struct commit_saved saved;
        struct text *lost;
        size_t lost_allocated;
};

static inline const char *commit_segment_id(const struct commit_vector *v)
{
        return v->start.collection->vector->id.bytes;
}

/* A failure in terms of the index: damage gets the cure, what is the machine's stays what it is. */
int commit_vector_damage(const struct commit_vector *v, int code, const struct error *found, struct error *e);

/* --- vector_salvage.c: what a rebuild has --- */

/* Reads what is left of the old index. */
int commit_salvage_begin(struct commit_vector *v, struct error *e);

/* Adds the ids of the pickle to v->ids. */
int commit_salvage_entries(struct commit_vector *v, struct error *e);

/* What becomes of v->ids.items[i], whose action is decided when the log names it; `s` is the start that counts then. */
void commit_salvage_id(struct commit_vector *v, size_t i, enum commit_start s);

/* Holds the records against all vectors that there will be. */
int commit_salvage_records(struct commit_vector *v, struct db *db, struct error *e);
void commit_salvage_clear(struct commit_vector *v);

/* Adds the vectors that are kept to the empty index, with the labels 1, 2 … in the order of the old ones. The entries of v->metadata get them; those that go, 0. */
int commit_salvage_add(struct commit_vector *v, struct hnsw *index, unsigned threads, uint64_t *ret_count);

/* --- vector_log.c: rows by their seq_ids --- */

int commit_jobs_add(struct commit_jobs *jobs, uint64_t seq_id, uint64_t index, struct error *e);
int commit_jobs_sort(struct commit_jobs *jobs, struct error *e);
void commit_jobs_clear(struct commit_jobs *jobs);

struct commit_log_row {
        const struct key_index *job;
        const unsigned char *vector; /* dimension floats, unaligned; during the call only */
        const char *id;
        size_t id_len;
};
typedef int commit_log_fn(void *context, const struct commit_log_row *row);

struct commit_vector_log {
        struct commit_vector *v;
        struct db *db;
        const char *phase;    /* for progress, */
        uint64_t done, total; /* which counts on from here */
        struct error *e;
};

/* Calls `fn` with the rows of some jobs, in short transactions. -ESTALE when a row is not there any more, or is another one. */
int commit_log_read(struct commit_vector_log *log, const struct key_index *jobs, size_t count, commit_log_fn *fn, void *context);

/* commit_state_record() for an id that has a row in the log, in a transaction of its own. */
int commit_log_read_records(struct commit_vector_log *log, const struct key_index *jobs, size_t count);

/* --- vector_compare.c: the old index held against the log --- */

/* Sets in_index and equal of the ids that have an entry; the index is not read when there is none. -EILSEQ: it is damaged, or a record that the log does not name is lost. */
int commit_vector_compare(struct commit_vector *v, struct db *db, struct error *e);

/* --- vector_change.c: the index changed --- */

struct commit_added { /* entries of the pickle that come, by label */
        struct index_entry *entries;
        size_t count;
        struct commit_id_bytes *bytes; /* what their ids point into */
};

/* Deletes, updates and adds as planned; entries that go get label 0 in v->metadata. `next` is the first new label. */
int commit_vector_change(struct commit_vector *v, struct hnsw *index, struct db *db, uint64_t next, unsigned threads,
                         struct commit_added *ret);
void commit_added_clear(struct commit_added *added);

#endif
