/*
 * Two lives of an id, since the segments apply rows independently:
 *
 *              record (metadata segment)             vector (index)
 *   ADD        made if there is none                 with a vector: put in if there is none; without: nothing (Python; 1.x never gets past it)
 *   UPDATE     changed if there is one               with a vector: replaced if there is one
 *   UPSERT     made or changed                       with a vector: put in or replaced
 *   DELETE     removed                               removed
 *
 * The log's beginning may be gone, so nothing is known of an id before its first row. An UPDATE then was applied if the id is still there, as
 * only ADD and UPSERT bring one. Of an ADD it is unknown whether there was a record already, whose vector the ADD's would not have replaced:
 * embeddings.seq_id, the row that was applied to the record last, is that of the ADD when it was applied and nothing else since, is
 * below it when it was not, and above it tells nothing; then the index must have one of the vectors that may count.
 *
 * That the metadata segment has got a row shows in embeddings.seq_id as well: it is not below the last one that was certainly applied. Nor is it above
 * the last one that the log has of the record, since a log only ever loses its beginning: where it is, the log was emptied and has handed
 * out its numbers again (FORMAT R1), and Chroma has ignored what got them. So such a row is found if it changes nothing but metadata, too.
 */
#include "ops/operation/clean_state.h"

#include <stddef.h>

/* Whether the row was certainly applied to the record, if there is one; `life` is what is known of it before. */
static void note_record_row(struct clean_id *id, const struct clean_row *row, unsigned life)
{
        switch (row->operation) {
        case CLEAN_ADD:
                if (life == LIFE_DEAD)
                        id->record_row = row->seq_id;
                id->record_unsure |= life == LIFE_UNKNOWN && !(row->goes && row->has_vector); /* else id->row has it */
                break;
        case CLEAN_UPDATE:
                if (life != LIFE_DEAD)
                        id->record_row = row->seq_id;
                break;
        case CLEAN_UPSERT:
                id->record_row = row->seq_id;
                break;
        case CLEAN_DELETE:
                id->record_row = 0;
                break;
        }
}

static void apply_to_record(struct clean_id *id, const struct clean_row *row)
{
        note_record_row(id, row, id->record);
        if (row->operation == CLEAN_DELETE)
                id->record = LIFE_DEAD;
        else if (row->operation != CLEAN_UPDATE)
                id->record = LIFE_ALIVE;
}

static void take_vector(struct clean_id *id, const struct clean_row *row)
{
        id->compared = 1;
        id->equal = row->equal;
        id->added = 0;
        id->row = row->seq_id;
}

static void take_unknown_add(struct clean_id *id, const struct clean_row *row, bool had_record)
{
        id->added = 1;
        id->added_to_record = had_record;
        id->added_equal = row->equal;
        id->row = row->seq_id;
}

static void remove_vector(struct clean_id *id, const struct clean_row *row)
{
        id->vector = LIFE_DEAD;
        id->compared = id->added = 0;
        id->row = row->seq_id;
}

static void apply_to_vector(struct clean_id *id, const struct clean_row *row, bool had_record)
{
        if (row->operation == CLEAN_DELETE) {
                remove_vector(id, row);
                return;
        }
        if (!row->has_vector)
                return;
        if (row->operation == CLEAN_ADD && id->vector == LIFE_UNKNOWN)
                take_unknown_add(id, row, had_record);
        else if (row->operation == CLEAN_UPSERT || (row->operation == CLEAN_ADD) == (id->vector == LIFE_DEAD))
                take_vector(id, row);
        if (row->operation != CLEAN_UPDATE)
                id->vector = LIFE_ALIVE;
}

static void note_later_record(struct clean_id *id, const struct clean_row *row)
{
        if (row->in_record_position && !id->record_unsure)
                note_record_row(id, row, id->record_later);
        if (row->operation == CLEAN_DELETE) {
                id->record_later = LIFE_DEAD;
                id->record_removed |= row->in_record_position;
        } else if (row->operation != CLEAN_UPDATE && (row->operation == CLEAN_UPSERT || id->record_later != LIFE_ALIVE)) {
                id->record_later = LIFE_ALIVE;
                id->record_brought |= row->in_record_position;
        }
}

static void note_later_vector(struct clean_id *id, const struct clean_row *row)
{
        if (row->operation == CLEAN_DELETE) {
                id->vector_later = LIFE_DEAD;
                id->vector_removed = 1;
                return;
        }
        bool ignored = row->operation == CLEAN_ADD      ? id->vector_later == LIFE_ALIVE
                       : row->operation == CLEAN_UPDATE ? id->vector_later == LIFE_DEAD
                                                        : false;
        if (!row->has_vector || ignored)
                return;
        bool certain = row->operation != CLEAN_ADD || id->vector_later == LIFE_DEAD;
        if (certain)
                id->later_equal |= row->equal;
        else
                id->later_add_equal |= row->equal;
        id->superseded |= certain && row->in_vector_position;
        if (row->operation != CLEAN_UPDATE) {
                id->vector_later = LIFE_ALIVE;
                id->vector_brought = 1;
                id->vector_coming |= !row->in_vector_position;
        }
}

void clean_state_apply(struct clean_id *id, const struct clean_row *row)
{
        if (row->goes) {
                if (!id->touched)
                        id->row = row->seq_id;
                bool had_record = id->record == LIFE_ALIVE;
                id->touched = 1;
                apply_to_record(id, row);
                apply_to_vector(id, row, had_record);
                id->record_later = id->record;
                id->vector_later = id->vector;
        } else if (id->touched) {
                note_later_record(id, row);
                note_later_vector(id, row);
        }
}

void clean_state_record(struct clean_id *id, int64_t seq_id)
{
        id->in_embeddings = 1;
        id->order = seq_id < id->row ? ORDER_BEFORE : seq_id == id->row ? ORDER_SAME : ORDER_AFTER;
        id->record_behind = seq_id < id->record_row;
        id->record_unchanged = seq_id == id->record_row;
        id->record_ahead = seq_id > id->record_row && seq_id > id->row && !id->record_unsure;
}

static const struct clean_fault no_record = { "the metadata segment lacks the record", NULL };
static const struct clean_fault has_record = { "the log says that the record was deleted, but the metadata segment has it", NULL };
static const struct clean_fault record_behind = { "the metadata segment has not applied the log's last row of the record", NULL };
static const struct clean_fault record_ahead = {
        "the metadata segment applied a later row to the record than the log has: numbers were "
        "given out again, and this row may never have been applied",
        NULL
};
static const struct clean_fault no_vector = { "the index lacks the record's vector", "commit" };
static const struct clean_fault has_vector = { "the log says that the record was deleted, but the index has it", "commit" };
/* Chroma ignores the UPDATE of a vector that is not there, and so does a commit. */
static const struct clean_fault no_vector_to_update = { "the row has a vector, but the index has none of the record", NULL };
static const struct clean_fault vector_alone = { "the index has a vector of the record, which the metadata segment lacks",
                                                 "rebuild-hnsw" };
static const struct clean_fault lost_update = {
        "the index lacks the vector of an UPDATE of the record before this row, which was ignored", NULL
};
static const struct clean_fault other_vector = { "the index has another vector of the record than the log", "commit" };

static const struct clean_fault *record_fault(const struct clean_id *id)
{
        if (id->record == LIFE_ALIVE && !id->in_embeddings && !id->record_removed)
                return &no_record;
        if (id->record == LIFE_DEAD && id->in_embeddings && !id->record_brought)
                return &has_record;
        if (id->in_embeddings && id->record_behind)
                return &record_behind;
        return id->in_embeddings && id->record_ahead ? &record_ahead : NULL;
}

static const struct clean_fault *presence_fault(const struct clean_id *id)
{
        bool indexed = id->element != CLEAN_NO_ELEMENT;
        if (id->vector == LIFE_ALIVE && !indexed && !id->vector_removed)
                return &no_vector;
        if (id->vector == LIFE_DEAD && indexed && !id->vector_brought)
                return &has_vector;
        if (id->vector != LIFE_UNKNOWN || id->vector_removed)
                return NULL;
        if (id->compared && !indexed && id->in_embeddings && !id->vector_coming)
                return &no_vector_to_update;
        return indexed && !id->in_embeddings && !id->vector_brought ? &vector_alone : NULL;
}

/* What embeddings.seq_id says of an ADD that went to a record of which nothing is known before. One that was not applied leaves the vector that there
   was: what the rows before it say counts. */
static bool added_vector_is_right(const struct clean_id *id)
{
        if (id->order == ORDER_SAME)
                return id->added_equal;
        if (id->order == ORDER_BEFORE && !id->added_to_record)
                return !id->compared || id->equal;
        return id->added_equal || (id->compared && id->equal);
}

/* Of an id that is in the index. Nobody wants the vector of a record that a row which stays deletes. */
static bool vector_is_right(const struct clean_id *id)
{
        if (id->vector == LIFE_DEAD || id->vector_removed || id->later_equal || id->superseded)
                return true;
        if (id->later_add_equal && !id->record_unchanged) /* else that ADD was not applied */
                return true;
        return id->added ? added_vector_is_right(id) : !id->compared || id->equal;
}

const struct clean_fault *clean_state_fault(const struct clean_id *id)
{
        if (!id->touched)
                return NULL;
        const struct clean_fault *fault = record_fault(id);
        if (fault == NULL)
                fault = presence_fault(id);
        if (fault == NULL && id->element != CLEAN_NO_ELEMENT && !vector_is_right(id))
                fault = id->added && id->added_equal ? &lost_update : &other_vector;
        return fault;
}
