/*
 * What the log says of the vector of one id, row by row as Chroma applies them (FORMAT 7), and what is to be done so that the index agrees.
 *
 *   ADD        with a vector: put in if there is none
 *   UPDATE     with a vector: replaced if there is one
 *   UPSERT     with a vector: put in or replaced
 *   DELETE     removed
 *   ADD, UPSERT or UPDATE without a vector: nothing
 *
 * - Rows up to the position are applied already, and are looked at again since Chroma loses some (FORMAT 6.5). What they say is done again only where the index differs.
 * - The log's beginning may be gone: whether an ADD that it has was ignored is then not known from the log. Of an id that the index lacks it was not. Of one that it has the index's
 *   vector tells, or embeddings.seq_id: the row that was applied to the record last.
 */
#ifndef OPS_COMMIT_STATE_H
#define OPS_COMMIT_STATE_H

#include <stdbool.h>

#include "ops/commit/ids.h"
#include "ops/commit/row.h"

enum commit_action {
        COMMIT_KEEP,
        COMMIT_PUT,     /* under a new label; an entry that has no record goes */
        COMMIT_CHANGE,  /* another vector under the label that it has */
        COMMIT_REPLACE, /* its label goes, and it gets a new one */
        COMMIT_REMOVE,
        COMMIT_LOST, /* the pickle has a label that no record has, and the log has no vector of it */
};

struct commit_state_rules { /* of the collection */
        bool has_index;     /* an index was persisted; else one that was applied to is lost, or there never was one */
        bool has_position;
        bool is_salvage;    /* of what may have been lost, position and all: the record is asked in any case */
        bool is_lone;       /* at most one record of the index is alive: only then Chroma loses updates */
        bool is_normalised; /* equal vectors are not quite equal: a row that was not applied yet is applied even so */
        uint64_t position;
};

struct commit_state_row {
        int64_t seq_id; /* above 0 */
        enum commit_operation operation;
        bool has_vector;
        bool is_applied;   /* it is not above the vector segment's position */
        bool is_in_record; /* … the metadata segment's */
};

/* Rows come in the order of their seq_id. */
void commit_state_apply(struct commit_id *id, const struct commit_state_row *row);

/* Once entry, in_index and equal are known: whether embeddings.seq_id has to be asked. */
bool commit_state_is_unsure(const struct commit_id *id, const struct commit_state_rules *rules);

/* The id is in `embeddings`, with this seq_id. Sets is_borne_out: one of the two lives leaves the record as it is. */
void commit_state_record(struct commit_id *id, int64_t seq_id);

/* That the id is not in `embeddings` is what one of the two lives leaves. */
bool commit_state_may_be_dead(const struct commit_id *id);

/* Decides id->action. Returns the start that counts: id->vector[] of it has the row with the vector, and id->ignored[]. */
enum commit_start commit_state_decide(struct commit_id *id, const struct commit_state_rules *rules);

#endif
