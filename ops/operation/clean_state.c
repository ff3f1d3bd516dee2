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
 * That the metadata segment has got a row shows in embeddings.seq_id as well: it is not below the last one that was certainly applied. A row
 * whose seq_id had been handed out before (FORMAT R1) is found so, if it has changed nothing but metadata, too.
 */
#include "ops/operation/clean_state.h"

#include <stddef.h>

static void apply_to_record(struct clean_id *id, const struct clean_row *row)
{
        switch (row->operation) {
        case CLEAN_ADD:
                if (id->record == LIFE_DEAD)
                        id->record_row = row->seq_id;
                id->record = LIFE_ALIVE;
                break;
        case CLEAN_UPDATE:
                if (id->record != LIFE_DEAD)
                        id->record_row = row->seq_id;
                break;
        case CLEAN_UPSERT:
                id->record = LIFE_ALIVE;
                id->record_row = row->seq_id;
                break;
        case CLEAN_DELETE:
                id->record = LIFE_DEAD;
                id->record_row = 0;
                break;
        }
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
        id->later_equal |= row->equal;
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
}

static const char *record_fault(const struct clean_id *id)
{
        if (id->record == LIFE_ALIVE && !id->in_embeddings && !id->record_removed)
                return "the metadata segment lacks the record";
        if (id->record == LIFE_DEAD && id->in_embeddings && !id->record_brought)
                return "the log says that the record was deleted, but the metadata segment has it";
        if (id->in_embeddings && id->record_behind)
                return "the metadata segment has not applied the log's last row of the record";
        return NULL;
}

static const char *presence_fault(const struct clean_id *id)
{
        bool indexed = id->element != CLEAN_NO_ELEMENT;
        if (id->vector == LIFE_ALIVE && !indexed && !id->vector_removed)
                return "the index lacks the record's vector";
        if (id->vector == LIFE_DEAD && indexed && !id->vector_brought)
                return "the log says that the record was deleted, but the index has it";
        if (id->vector != LIFE_UNKNOWN)
                return NULL;
        if (id->vector_removed)
                return NULL;
        if (id->compared && !indexed && id->in_embeddings && !id->vector_coming)
                return "the row has a vector, but the index has none of the record";
        if (indexed && !id->in_embeddings && !id->vector_brought)
                return "the index has a vector of the record, which the metadata segment lacks";
        return NULL;
}

/* Of an id that is in the index. Nobody wants the vector of a record that a row which stays deletes. */
static bool vector_is_right(const struct clean_id *id)
{
        if (id->vector == LIFE_DEAD || id->vector_removed || id->later_equal || id->superseded)
                return true;
        if (!id->added)
                return !id->compared || id->equal;
        if (id->added_equal || (id->compared && id->equal))
                return id->order != ORDER_SAME || id->added_equal;
        return id->order == ORDER_BEFORE && !id->compared && !id->added_to_record;
}

const char *clean_state_fault(const struct clean_id *id)
{
        if (!id->touched)
                return NULL;
        const char *fault = record_fault(id);
        if (fault == NULL)
                fault = presence_fault(id);
        if (fault == NULL && id->element != CLEAN_NO_ELEMENT && !vector_is_right(id))
                fault = "the index has another vector of the record than the log";
        return fault;
}
