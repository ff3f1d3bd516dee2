/*
 * What a clean is going to do: which rows of the write-ahead log may go, collection by collection.
 *
 * - A row may go when both segments of its collection have applied it: its seq_id is below the smaller of their positions; the row at the position
 *   stays (FORMAT 4), and so does the row with the highest seq_id of all (R1).
 * - A plan is made from one state of the database (`counter`) and of the index files (each collection's stamps), and is only good for that.
 */
#ifndef OPS_OPERATION_CLEAN_PLAN_H
#define OPS_OPERATION_CLEAN_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "ops/catalog.h"
#include "ops/cleanup.h"
#include "ops/error.h"
#include "ops/index_summary.h"
#include "ops/operation/operation.h"

struct clean_index;

struct clean_reason {       /* why a collection keeps its rows */
        struct error error; /* code -EILSEQ, or -EAGAIN: being written */
        const char *cure;   /* a control's name, or NULL */
        bool has_row;       /* of the log, that the sentence is about */
        int64_t seq_id;
};

struct clean_collection {
        const struct collection *collection;
        bool wanted;
        bool has_vector_position, has_record_position;
        uint64_t vector_position, record_position;
        int64_t limit;           /* rows below it may go; INT64_MIN: none */
        uint64_t rows, rows_old; /* in the log, and below the limit; counted by clean_check() */
        int64_t last;            /* its highest row in the log, if rows > 0 */
        struct text topic;       /* of its first row; bytes NULL: it has none */
        struct clean_reason *kept;
        struct index_stamps *stamps; /* of the index that was checked; NULL: it was not */
        struct clean_index *index;   /* while it is checked */
        bool deferred;               /* to the next pass: this one has no memory for it */
        bool checked;
        UT_hash_handle by_id, by_segment; /* collection id; metadata segment id */
};

struct clean_plan {
        struct catalog *catalog;
        uint32_t counter; /* db_change_counter() */
        struct clean_collection *collections;
        size_t count;
        struct clean_collection *by_id, *by_segment;
        struct clean_collection *last; /* the one that was looked up last */
        uint64_t rows;                 /* of the log */
        bool has_position;
        uint64_t position;                /* the highest of all live collections */
        struct clean_collection *highest; /* which has it */
        bool sentinel;      /* I1 is violated: a row has to be put at `position`, and of the other collections at theirs */
        uint64_t sentinels; /* how many; counted by clean_check(), and by clean_write() when it has put them */
        struct text topic;  /* of any row of a collection; bytes NULL: there is none */
};

/* Reads the catalog and the positions. *ret is the caller's. -ENOENT when the collection that was asked for is not there; -EILSEQ when I1 is violated
   and can't be mended. */
int clean_plan_new(struct operation *op, struct db *db, struct clean_plan **ret);

/* The collection with this id (the last part of a topic), or NULL. */
struct clean_collection *clean_plan_find(struct clean_plan *plan, const void *id, size_t len);

/* Whether it gets a row at its position: the log has none of it there or behind. Chroma deletes a collection's rows with it, and then the others' must
   keep the counter up. */
bool clean_wants_sentinel(const struct clean_plan *plan, const struct clean_collection *item, int64_t *ret_seq_id);

/* Rows that the collection loses. */
uint64_t clean_rows_to_go(const struct clean_collection *item);
uint64_t clean_plan_rows_to_go(const struct clean_plan *plan);
size_t clean_plan_kept(const struct clean_plan *plan);

/* Keeps the collection's rows; the first reason counts. `e` has the sentence. 0 or -ENOMEM. */
int clean_keep(struct clean_collection *item, const struct error *e, const char *cure, const int64_t *seq_id);

struct clean_plan *clean_plan_free(struct clean_plan *plan); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct clean_plan *, clean_plan_free)

#endif
