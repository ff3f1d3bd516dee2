/*
 * What the log says of a record, against a model that runs all of it: every history of a few rows, every pair of positions, every state that the
 * index can be in.
 *
 * The vector of row n is the number n, or that of an earlier row that has the same one (struct history, same); 0 is none, FOREIGN is one that no
 * row has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ops/operation/clean_state.h"

#define ROWS_MAX 5
#define FOREIGN 99

enum { ADD_V, UPDATE_V, UPSERT_V, DELETE, UPDATE_0, KINDS, ADD_0 = KINDS, UPSERT_0, ALL_KINDS };

static const struct kind {
        enum clean_operation operation;
        bool vector;
        const char *name;
} kinds[] = {
        [ADD_V] = { CLEAN_ADD, true, "ADD" },           [UPDATE_V] = { CLEAN_UPDATE, true, "UPDATE" },
        [UPSERT_V] = { CLEAN_UPSERT, true, "UPSERT" },  [DELETE] = { CLEAN_DELETE, false, "DELETE" },
        [UPDATE_0] = { CLEAN_UPDATE, false, "update" }, [ADD_0] = { CLEAN_ADD, false, "add" },
        [UPSERT_0] = { CLEAN_UPSERT, false, "upsert" },
};

struct history {
        int kinds[ROWS_MAX], count;
        int gone;           /* so many rows at the beginning are not in the log any more */
        int vector, record; /* positions */
        int same[ROWS_MAX]; /* of each row: that whose vector it repeats, its own number or 0 if none's */
};

/* The row that had its vector first. */
static int vector_of(const struct history *h, int row)
{
        return row < 1 || row > h->count || h->same[row - 1] == 0 ? row : h->same[row - 1];
}

/* The true run. */
struct truth {
        int vector;   /* the row whose vector the index must have, 0: none */
        int record;   /* embeddings.seq_id, 0: no record */
        bool changed; /* the last row changed the vector */
};

static void run_vector(struct truth *t, int kind, int row)
{
        bool alive = t->vector != 0;
        int before = t->vector;
        if (kind == DELETE)
                t->vector = 0;
        else if (kinds[kind].vector && (kind == UPSERT_V || (kind == ADD_V && !alive) || (kind == UPDATE_V && alive)))
                t->vector = row;
        t->changed = t->vector != before;
}

static void run_record(struct truth *t, int kind, int row)
{
        enum clean_operation operation = kinds[kind].operation;
        bool alive = t->record != 0;
        if (operation == CLEAN_DELETE)
                t->record = 0;
        else if (operation == CLEAN_UPSERT || (operation == CLEAN_ADD) == !alive)
                t->record = row;
}

/* After rows 1 to `row`. */
static struct truth truth_at(const struct history *h, int row)
{
        struct truth t = { 0 };
        for (int i = 1; i <= row; i++) {
                run_vector(&t, h->kinds[i - 1], i);
                run_record(&t, h->kinds[i - 1], i);
        }
        return t;
}

static int limit_of(const struct history *h)
{
        return h->vector < h->record ? h->vector : h->record;
}

static struct clean_id read_log(const struct history *h, int indexed)
{
        struct clean_id id = { .element = indexed == 0 ? CLEAN_NO_ELEMENT : 0 };
        for (int i = h->gone + 1; i <= h->count; i++) {
                const struct kind *kind = &kinds[h->kinds[i - 1]];
                struct clean_row row = {
                        .seq_id = i,
                        .operation = kind->operation,
                        .has_vector = kind->vector,
                        .equal = kind->vector && vector_of(h, indexed) == vector_of(h, i),
                        .goes = i < limit_of(h),
                        .in_vector_position = i <= h->vector,
                        .in_record_position = i <= h->record,
                };
                clean_state_apply(&id, &row);
        }
        return id;
}

/* `record`: embeddings.seq_id, 0: there is no record. */
static const char *fault_of(const struct history *h, int indexed, int record)
{
        struct clean_id id = read_log(h, indexed);
        if (record != 0)
                clean_state_record(&id, record);
        const struct clean_fault *fault = clean_state_fault(&id);
        return fault == NULL ? NULL : fault->what;
}

static void fail_on(const struct history *h, int indexed, int record, const char *what)
{
        char rows[128] = "";
        for (int i = 0; i < h->count; i++)
                (void) snprintf(rows + strlen(rows), sizeof(rows) - strlen(rows), " %s", kinds[h->kinds[i]].name);
        for (int i = 0; i < h->count; i++)
                if (h->same[i] != 0)
                        (void) snprintf(rows + strlen(rows), sizeof(rows) - strlen(rows), " %d", h->same[i]);
        fail_msg("%s:%s; gone %d, positions %d and %d, index has %d, embeddings.seq_id %d", what, rows, h->gone, h->vector,
                 h->record, indexed, record);
}

/* Histories. */

typedef void history_fn(const struct history *h);

static void each_position(struct history *h, history_fn *fn)
{
        for (h->vector = 1; h->vector <= h->count; h->vector++)
                for (h->record = 1; h->record <= h->count; h->record++)
                        fn(h);
}

static void each_history(int count, int kind_count, history_fn *fn)
{
        int total = 1;
        for (int i = 0; i < count; i++)
                total *= kind_count;
        for (int n = 0; n < total; n++) {
                struct history h = { .count = count };
                for (int i = 0, rest = n; i < count; i++, rest /= kind_count)
                        h.kinds[i] = rest % kind_count;
                each_position(&h, fn);
        }
}

/* Whatever Chroma does right is found to be right, also when a crash left the index ahead of its position. */
static void right_is_right(const struct history *h)
{
        struct truth record = truth_at(h, h->record);
        for (int ahead = h->vector; ahead <= h->count; ahead++) {
                int indexed = truth_at(h, ahead).vector;
                if (fault_of(h, indexed, record.record) != NULL)
                        fail_on(h, indexed, record.record, fault_of(h, indexed, record.record));
        }
}

static void whole_log(void **state)
{
        (void) state;
        for (int count = 1; count <= 5; count++)
                each_history(count, KINDS, right_is_right);
}

/* The same with the log's beginning gone. Then an ADD followed by rows that say nothing of vectors is in doubt if its vector is not the index's: it may
   have been ignored. */
static bool may_doubt(const struct history *h)
{
        struct truth before = truth_at(h, h->gone);
        return before.vector != 0 && truth_at(h, h->record).record > h->gone;
}

static void right_without_beginning(const struct history *whole)
{
        struct history h = *whole;
        for (h.gone = 1; h.gone < limit_of(&h); h.gone++) {
                int record = truth_at(&h, h.record).record, indexed = truth_at(&h, h.vector).vector;
                if (fault_of(&h, indexed, record) != NULL && !may_doubt(&h))
                        fail_on(&h, indexed, record, fault_of(&h, indexed, record));
        }
}

static void log_without_beginning(void **state)
{
        (void) state;
        for (int count = 2; count <= 5; count++)
                each_history(count, KINDS, right_without_beginning);
}

/* Whether one of the rows from .. to (not included) is of the set of kinds. */
static bool has_kind(const struct history *h, int from, int to, unsigned set)
{
        for (int row = from; row < to; row++)
                if ((1u << h->kinds[row - 1] & set) != 0)
                        return true;
        return false;
}

#define BRINGS (1u << ADD_V | 1u << UPSERT_V)

/* No fault: then the rows that go are not the only ones to have what the record's vector was, or what it is going to be; nor the only ones to say that
   it was deleted. */
static bool is_safe(const struct history *h, int indexed)
{
        int limit = limit_of(h);
        int vector = truth_at(h, limit - 1).vector;
        if (vector == 0)
                return indexed == 0 || !has_kind(h, h->gone + 1, limit, 1u << DELETE) || has_kind(h, limit, h->count + 1, BRINGS);
        /* What is missing is put in by the next start, in a log whose beginning does not say what was there before. */
        if (h->gone > 0 && indexed == 0 && has_kind(h, h->vector + 1, h->count + 1, BRINGS))
                return true;
        if (vector <= h->gone || has_kind(h, limit, h->count + 1, 1u << DELETE))
                return true;
        for (int row = limit - 1; row <= h->count; row++)
                if (vector_of(h, truth_at(h, row).vector) == vector_of(h, indexed))
                        return true;
        for (int row = limit; row <= h->vector; row++) {
                struct truth t = truth_at(h, row);
                if (t.changed && t.vector == row && indexed != 0)
                        return true;
        }
        return false;
}

static bool is_named(const struct history *h)
{
        return limit_of(h) > h->gone + 1;
}

/* The index is stale, as after a write that was lost, or foreign; a vector that was never applied never comes into it. */
static bool was_right(const struct history *h, int indexed)
{
        for (int row = 0; row <= h->count; row++)
                if (truth_at(h, row).vector == indexed)
                        return true;
        return false;
}

/* Has a record that was added without a vector: with the beginning gone, an ADD that gives it one looks like one that was ignored. */
static bool is_vectorless(const struct history *h)
{
        return has_kind(h, 1, h->count + 1, 1u << ADD_0 | 1u << UPSERT_0);
}

/* An ADD behind UPDATEs, the beginning gone, and a row behind it that was applied to the record: nothing tells whether the ADD was applied or ignored. If
   the index has its vector, it counts. */
static bool is_undecided(const struct history *h, int indexed, int record)
{
        int row = h->gone + 1;
        while (row < record && has_kind(h, row, row + 1, 1u << UPDATE_V | 1u << UPDATE_0))
                row++;
        return h->gone > 0 && row > h->gone + 1 && row < record && h->kinds[row - 1] == ADD_V &&
               vector_of(h, row) == vector_of(h, indexed) &&
               !has_kind(h, row + 1, limit_of(h), 1u << UPDATE_V | 1u << UPSERT_V | 1u << DELETE);
}

static void lost_is_found(const struct history *whole)
{
        struct history h = *whole;
        int record = truth_at(&h, h.record).record;
        for (h.gone = 0; is_named(&h) && (h.gone == 0 || !is_vectorless(&h)); h.gone++)
                for (int indexed = 0; indexed <= h.count + 1; indexed++) {
                        int has = indexed > h.count ? FOREIGN : indexed;
                        if (has != FOREIGN && !was_right(&h, has))
                                continue;
                        if (fault_of(&h, has, record) == NULL && !is_safe(&h, has) && !is_undecided(&h, has, record))
                                fail_on(&h, has, record, "not found");
                }
}

/* With a record in the log's place: what was applied to it, and whether it is there. */
static void lost_record_is_found(const struct history *h)
{
        struct truth truth = truth_at(h, h->record), before = truth_at(h, limit_of(h) - 1);
        int indexed = truth_at(h, h->vector).vector;
        if (!is_named(h))
                return;
        if (truth.record != 0 && before.record != 0 && fault_of(h, indexed, 0) == NULL) {
                /* Else it was deleted and came again. */
                if (!has_kind(h, limit_of(h), h->record + 1, 1u << DELETE))
                        fail_on(h, indexed, 0, "not missed");
        }
        if (truth.record == 0 && before.record == 0 && fault_of(h, indexed, h->count) == NULL) {
                /* Nothing but a DELETE says that there is none. */
                if (has_kind(h, 1, limit_of(h), 1u << DELETE) && !has_kind(h, limit_of(h), h->record + 1, BRINGS))
                        fail_on(h, indexed, h->count, "not found to be too much");
        }
}

/* A change of the record that goes, and was never made: embeddings.seq_id still is an earlier one. */
static void lost_change_is_found(const struct history *h)
{
        struct truth before = truth_at(h, limit_of(h) - 1);
        int last = before.record;
        if (!is_named(h) || last < 2 || kinds[h->kinds[last - 1]].operation == CLEAN_ADD || truth_at(h, h->record).record == 0)
                return;
        int indexed = truth_at(h, h->vector).vector;
        if (fault_of(h, indexed, last - 1) == NULL)
                fail_on(h, indexed, last - 1, "not found to be behind");
}

static void each_repetition(const struct history *whole, int row, history_fn *fn)
{
        if (row > whole->count) {
                fn(whole);
                return;
        }
        struct history h = *whole;
        each_repetition(&h, row + 1, fn);
        for (int earlier = 1; earlier < row && kinds[h.kinds[row - 1]].vector; earlier++) {
                h.same[row - 1] = earlier;
                if (kinds[h.kinds[earlier - 1]].vector && whole->same[earlier - 1] == 0)
                        each_repetition(&h, row + 1, fn);
        }
}

static void repeated_loss_is_found(const struct history *h)
{
        each_repetition(h, 2, lost_is_found);
}

static void repeated_right_is_right(const struct history *h)
{
        each_repetition(h, 2, right_is_right);
        each_repetition(h, 2, right_without_beginning);
}

/* Rows that bring a vector that an earlier one had: a script that adds the same records at each start. */
static void repeated_vectors(void **state)
{
        (void) state;
        for (int count = 2; count <= 4; count++) {
                each_history(count, KINDS, repeated_right_is_right);
                each_history(count, KINDS, repeated_loss_is_found);
        }
}

/* Rows that got numbers which had been handed out before, and were ignored: embeddings.seq_id is above them. */
static void reused_number_is_found(const struct history *whole)
{
        struct history h = *whole;
        bool changes = has_kind(&h, 1, limit_of(&h), 1u << UPDATE_0 | 1u << UPDATE_V | 1u << UPSERT_V);
        if (!is_named(&h) || !changes)
                return;
        for (int i = 0; i < h.count; i++)
                h.same[i] = 1; /* what vectors they have, the index has */
        if (fault_of(&h, 1, h.count + 1) == NULL && !has_kind(&h, limit_of(&h), h.count + 1, 1u << ADD_V))
                fail_on(&h, 1, h.count + 1, "not found to be ignored");
}

static void losses(void **state)
{
        (void) state;
        for (int count = 1; count <= 5; count++) {
                each_history(count, KINDS, reused_number_is_found);
                each_history(count, KINDS, lost_is_found);
                each_history(count, KINDS, lost_record_is_found);
                each_history(count, KINDS, lost_change_is_found);
        }
}

/* Python's records without a vector: never a loss, and no alarm where the log says clearly what there was. */
static void vectorless_losses(void **state)
{
        (void) state;
        for (int count = 1; count <= 4; count++) {
                each_history(count, ALL_KINDS, lost_is_found);
                each_history(count, ALL_KINDS, lost_change_is_found);
        }
}

static const char *fault_at(const int *rows, int count, int gone, int position, int indexed, int record)
{
        struct history h = { .count = count, .gone = gone, .vector = position, .record = position };
        memcpy(h.kinds, rows, (size_t) count * sizeof(*rows));
        return fault_of(&h, indexed, record);
}

#define FAULT(gone, position, indexed, record, ...)                                                                                \
        fault_at((const int[]){ __VA_ARGS__ }, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int), gone, position, indexed, record)

static void single_cases(void **state)
{
        (void) state;
        /* Added without a vector: none is missed. */
        assert_null(FAULT(0, 2, 0, 1, ADD_0, UPDATE_0));
        assert_null(FAULT(0, 3, 0, 2, ADD_0, UPSERT_0, UPDATE_0));
        /* An UPDATE with one does nothing then; or the vector was lost: doubt. */
        assert_non_null(FAULT(0, 3, 0, 2, ADD_0, UPDATE_V, UPDATE_0));
        /* An ADD gives it one although there is a record. */
        assert_null(FAULT(0, 3, 2, 1, ADD_0, ADD_V, UPDATE_0));
        assert_non_null(FAULT(0, 3, FOREIGN, 1, ADD_0, ADD_V, UPDATE_0));
        /* Added again and again, which is ignored, the beginning gone: embeddings.seq_id tells. */
        assert_null(FAULT(2, 5, FOREIGN, 1, ADD_V, ADD_V, ADD_V, ADD_V, ADD_V));
        assert_non_null(FAULT(2, 5, FOREIGN, 3, ADD_V, ADD_V, ADD_V, ADD_V, ADD_V));
        assert_null(FAULT(2, 5, 3, 3, ADD_V, ADD_V, ADD_V, ADD_V, ADD_V));
        /* It was changed later: either vector may be right, no other one. */
        assert_null(FAULT(1, 5, 3, 5, ADD_V, UPDATE_V, ADD_V, UPDATE_0, UPDATE_0));
        assert_null(FAULT(1, 5, 2, 5, ADD_V, UPDATE_V, ADD_V, UPDATE_0, UPDATE_0));
        assert_non_null(FAULT(1, 5, FOREIGN, 5, ADD_V, UPDATE_V, ADD_V, UPDATE_0, UPDATE_0));
        /* A row that goes has a vector of a record that is not in the index, and may have been there. */
        assert_non_null(FAULT(1, 3, 0, 2, ADD_V, UPDATE_V, UPDATE_0));
        assert_null(FAULT(1, 3, 0, 0, ADD_V, UPDATE_V, UPDATE_0));
        /* The index has an id that the metadata segment lacks. */
        assert_non_null(FAULT(1, 3, FOREIGN, 0, ADD_V, UPDATE_0, UPDATE_0));
        /* The lone element (FORMAT 6.5). */
        assert_non_null(FAULT(0, 4, 1, 4, ADD_V, UPDATE_V, UPDATE_V, UPDATE_0));
        assert_null(FAULT(0, 4, 1, 4, ADD_V, UPDATE_V, UPDATE_V, UPDATE_V));
        /* Numbers were handed out again: what got them was ignored. */
        assert_non_null(FAULT(0, 3, 0, 7, UPDATE_0, UPDATE_0, UPDATE_0));
        assert_null(FAULT(0, 3, 0, 3, UPDATE_0, UPDATE_0, UPDATE_0));
}

static void untouched(void **state)
{
        (void) state;
        struct clean_id id = { .element = 3 };
        struct clean_row row = { .seq_id = 7, .operation = CLEAN_UPSERT, .has_vector = true };
        clean_state_apply(&id, &row);
        assert_false(id.touched);
        assert_null(clean_state_fault(&id));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(whole_log),         cmocka_unit_test(log_without_beginning), cmocka_unit_test(losses),
                cmocka_unit_test(vectorless_losses), cmocka_unit_test(repeated_vectors),      cmocka_unit_test(single_cases),
                cmocka_unit_test(untouched),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
