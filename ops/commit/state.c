/*
 * The two lives of an id (enum commit_start) become one with the first UPSERT or DELETE. Which of them was the true one, when they end differently:
 *
 * - The index lacks the id: it was not there. Where Chroma ignored an UPDATE of what it did not have, it stays ignored, so that a second commit does what the first one did: nothing.
 *   Only where a whole index is lost, the record in `embeddings` says that it was there.
 * - The index has it. Then an UPDATE before all others was applied, and an ADD was ignored, or is the one that brought it. The vectors tell; where the index has none of either, embeddings.seq_id; and
 *   where that tells nothing, since it is that of a later row, the vector is older than the log.
 */
#include "ops/commit/state.h"

static bool has_bit(unsigned bits, enum commit_start s)
{
        return (bits >> s & 1u) != 0;
}

static unsigned with_bit(unsigned bits, enum commit_start s, bool value)
{
        return (bits & ~(1u << s)) | (unsigned) value << s;
}

static bool is_alive(const struct commit_id *id, enum commit_start s)
{
        return has_bit(id->alive, s);
}

static void set_alive(struct commit_id *id, enum commit_start s, bool alive)
{
        id->alive = with_bit(id->alive, s, alive) & 3u;
}

/* --- rows --- */

static void count_ignored(struct commit_id *id, enum commit_start s, const struct commit_state_row *row)
{
        if (!row->is_applied && id->ignored[s] < UINT32_MAX)
                id->ignored[s]++;
}

static void apply_vector(struct commit_id *id, enum commit_start s, const struct commit_state_row *row)
{
        bool alive = is_alive(id, s);
        if (row->operation == COMMIT_DELETE) {
                if (!alive)
                        count_ignored(id, s, row);
                set_alive(id, s, false);
                id->vector[s] = 0;
                return;
        }
        if (!row->has_vector)
                return;
        if ((row->operation == COMMIT_ADD && alive) || (row->operation == COMMIT_UPDATE && !alive)) {
                count_ignored(id, s, row);
                return;
        }
        set_alive(id, s, true);
        id->vector[s] = row->seq_id;
}

static void set_record(struct commit_id *id, enum commit_start s, int64_t seq_id)
{
        id->record_alive = with_bit(id->record_alive, s, seq_id != 0) & 3u;
        id->record[s] = seq_id;
}

static void apply_record(struct commit_id *id, enum commit_start s, const struct commit_state_row *row)
{
        if (row->operation == COMMIT_DELETE)
                set_record(id, s, 0);
        else if (row->operation == COMMIT_UPSERT || has_bit(id->record_alive, s) == (row->operation == COMMIT_UPDATE))
                set_record(id, s, row->seq_id);
}

void commit_state_apply(struct commit_id *id, const struct commit_state_row *row)
{
        bool brings = row->operation == COMMIT_ADD || row->operation == COMMIT_UPSERT;
        id->without_vector |= brings && !row->has_vector && !is_alive(id, COMMIT_UNKNOWN);
        id->deleted_later |= row->operation == COMMIT_DELETE && !row->is_applied;
        for (enum commit_start s = 0; s < COMMIT_STARTS; s++) {
                apply_vector(id, s, row);
                if (row->is_in_record)
                        apply_record(id, s, row);
        }
}

/* --- decisions --- */

static bool is_equal(const struct commit_id *id, enum commit_start s)
{
        return has_bit(id->equal, s);
}

static bool starts_agree(const struct commit_id *id)
{
        return is_alive(id, COMMIT_KNOWN) == is_alive(id, COMMIT_UNKNOWN) && id->vector[COMMIT_KNOWN] == id->vector[COMMIT_UNKNOWN];
}

/* The index itself says that nothing needs to be asked. */
static bool index_tells(const struct commit_id *id)
{
        if (!id->in_index)
                return false;
        return !is_alive(id, COMMIT_UNKNOWN) || is_equal(id, COMMIT_KNOWN) ||
               (id->vector[COMMIT_KNOWN] == 0 && is_equal(id, COMMIT_UNKNOWN));
}

bool commit_state_is_unsure(const struct commit_id *id, const struct commit_state_rules *rules)
{
        if (starts_agree(id) || index_tells(id))
                return false;
        return id->entry != COMMIT_NO_ENTRY || (!rules->has_index && (rules->has_position || rules->is_salvage));
}

static bool leaves_record(const struct commit_id *id, enum commit_start s, int64_t seq_id)
{
        return has_bit(id->record_alive, s) && (id->record[s] == 0 || id->record[s] == seq_id);
}

bool commit_state_may_be_dead(const struct commit_id *id)
{
        return !has_bit(id->record_alive, COMMIT_KNOWN) || !has_bit(id->record_alive, COMMIT_UNKNOWN);
}

void commit_state_record(struct commit_id *id, int64_t seq_id)
{
        int64_t known = id->record[COMMIT_KNOWN], unknown = id->record[COMMIT_UNKNOWN];
        id->has_record = 1;
        id->is_same_known = known != 0 ? seq_id == known : unknown != 0 && seq_id < unknown;
        id->is_same_unknown = unknown != 0 && seq_id == unknown;
        id->is_borne_out = leaves_record(id, COMMIT_KNOWN, seq_id) || leaves_record(id, COMMIT_UNKNOWN, seq_id);
}

/* What embeddings.seq_id says. False: nothing. */
static bool record_tells(const struct commit_id *id, enum commit_start *ret)
{
        if (!id->has_record || id->is_same_known == id->is_same_unknown)
                return false;
        *ret = id->is_same_known ? COMMIT_KNOWN : COMMIT_UNKNOWN;
        return true;
}

static enum commit_start choose_of_absent(const struct commit_id *id, const struct commit_state_rules *rules)
{
        enum commit_start told = COMMIT_UNKNOWN;
        if (rules->has_index || !id->has_record || record_tells(id, &told) || !rules->has_position)
                return told;
        return id->vector[COMMIT_KNOWN] != 0 && !id->without_vector ? COMMIT_KNOWN : COMMIT_UNKNOWN;
}

/* Its label is in the pickle, and no record has it. */
static enum commit_start choose_of_lost(const struct commit_id *id)
{
        enum commit_start told = COMMIT_UNKNOWN;
        if (record_tells(id, &told))
                return told;
        return id->vector[COMMIT_KNOWN] != 0 ? COMMIT_KNOWN : COMMIT_UNKNOWN;
}

static enum commit_start choose_of_present(const struct commit_id *id, const struct commit_state_rules *rules)
{
        enum commit_start told = COMMIT_KNOWN;
        if (index_tells(id))
                return COMMIT_KNOWN;
        bool is_told = record_tells(id, &told);
        if (is_equal(id, COMMIT_UNKNOWN)) /* a record without a vector, which the ADD then gave it; or a lost update before it */
                return is_told && told == COMMIT_KNOWN && rules->is_lone ? COMMIT_KNOWN : COMMIT_UNKNOWN;
        return told;
}

static enum commit_start choose(const struct commit_id *id, const struct commit_state_rules *rules)
{
        if (starts_agree(id))
                return id->entry != COMMIT_NO_ENTRY ? COMMIT_KNOWN : COMMIT_UNKNOWN;
        if (id->entry == COMMIT_NO_ENTRY)
                return choose_of_absent(id, rules);
        /* Only an UPDATE can be before all others then: an id that the pickle has was there. */
        if (!is_alive(id, COMMIT_UNKNOWN))
                return COMMIT_KNOWN;
        return id->in_index ? choose_of_present(id, rules) : choose_of_lost(id);
}

static enum commit_action action_of_alive(const struct commit_id *id, enum commit_start s, const struct commit_state_rules *rules)
{
        int64_t row = id->vector[s];
        if (!id->in_index)
                return row != 0 ? COMMIT_PUT : id->entry != COMMIT_NO_ENTRY ? COMMIT_LOST : COMMIT_KEEP;
        bool is_applied = rules->has_position && (uint64_t) row <= rules->position;
        if (row == 0 || (is_equal(id, s) && (is_applied || !rules->is_normalised)))
                return COMMIT_KEEP;
        return id->deleted_later ? COMMIT_REPLACE : COMMIT_CHANGE;
}

/* Python applies the rows of a batch in another order (an UPDATE behind a DELETE counts there), and so can have given a record a vector that it has not by the log. Who has it keeps it. */
static enum commit_action action_of_dead(const struct commit_id *id, enum commit_start s)
{
        if (id->entry == COMMIT_NO_ENTRY)
                return COMMIT_KEEP;
        return id->in_index && !id->deleted_later && has_bit(id->record_alive, s) ? COMMIT_KEEP : COMMIT_REMOVE;
}

enum commit_start commit_state_decide(struct commit_id *id, const struct commit_state_rules *rules)
{
        enum commit_start s = choose(id, rules);
        enum commit_action action = is_alive(id, s) ? action_of_alive(id, s, rules) : action_of_dead(id, s);
        id->action = action & 7u;
        return s;
}
