/*
 * What is to be done with the vector of an id, against a model that runs all of the log: every history of a few rows, every beginning of it that is gone, every pair of positions.
 *
 * The vector of row n is the number n; 0 is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ops/commit/state.h"

#define ROWS_MAX 5

enum { ADD_V, UPDATE_V, UPSERT_V, DELETE, UPDATE_0, KINDS, ADD_0 = KINDS, UPSERT_0, ALL_KINDS };

static const struct kind {
        enum commit_operation operation;
        bool vector;
        const char *name;
} kinds[] = {
        [ADD_V] = { COMMIT_ADD, true, "ADD" },           [UPDATE_V] = { COMMIT_UPDATE, true, "UPDATE" },
        [UPSERT_V] = { COMMIT_UPSERT, true, "UPSERT" },  [DELETE] = { COMMIT_DELETE, false, "DELETE" },
        [UPDATE_0] = { COMMIT_UPDATE, false, "update" }, [ADD_0] = { COMMIT_ADD, false, "add" },
        [UPSERT_0] = { COMMIT_UPSERT, false, "upsert" },
};

struct history {
        int kinds[ROWS_MAX], count;
        int gone;           /* so many rows at the beginning are not in the log any more */
        int vector, record; /* positions */
        bool is_lone, is_index_lost;
        int same; /* the row whose vector row 3 repeats; 0: none */
};

struct truth {
        int vector, record; /* the row that the index has the vector of; embeddings.seq_id; 0: none */
        int before;         /* the vector that an update of an element replaced last, if nothing has changed it since */
        int lost;           /* that update */
};

static struct truth run(const struct history *h, int rows)
{
        struct truth t = { 0 };
        for (int row = 1; row <= rows; row++) {
                const struct kind *kind = &kinds[h->kinds[row - 1]];
                if (kind->operation == COMMIT_DELETE) {
                        t = (struct truth){ 0 };
                        continue;
                }
                if (kind->operation == COMMIT_UPSERT || (kind->operation == COMMIT_ADD) == (t.record == 0))
                        t.record = row;
                if (!kind->vector || (kind->operation == COMMIT_ADD && t.vector != 0) ||
                    (kind->operation == COMMIT_UPDATE && t.vector == 0))
                        continue;
                t.before = t.vector;
                t.lost = row;
                t.vector = row;
        }
        return t;
}

static int vector_of(const struct history *h, int row)
{
        return row == 3 && h->same != 0 ? h->same : row;
}

/* What the index has after a commit, when it had `vector` before. */
static int commit(const struct history *h, int vector, struct commit_id *id)
{
        struct commit_state_rules rules = { .has_index = !h->is_index_lost,
                                            .has_position = h->vector > 0,
                                            .is_lone = h->is_lone,
                                            .position = (uint64_t) h->vector };
        *id = (struct commit_id){ .entry = vector != 0 ? 0 : COMMIT_NO_ENTRY,
                                  .in_index = vector != 0,
                                  .alive = 1u << COMMIT_KNOWN };
        id->record_alive = id->alive;
        for (int row = h->gone + 1; row <= h->count; row++) {
                const struct kind *kind = &kinds[h->kinds[row - 1]];
                commit_state_apply(id, &(struct commit_state_row){ .seq_id = row,
                                                                   .operation = kind->operation,
                                                                   .has_vector = kind->vector,
                                                                   .is_applied = row <= h->vector,
                                                                   .is_in_record = row <= h->record });
        }
        for (unsigned s = 0; vector != 0 && s < COMMIT_STARTS; s++)
                id->equal = (id->equal | (unsigned) (vector_of(h, (int) id->vector[s]) == vector_of(h, vector)) << s) & 3u;
        int record = run(h, h->record).record;
        if (commit_state_is_unsure(id, &rules) && record != 0)
                commit_state_record(id, record);
        enum commit_start s = commit_state_decide(id, &rules);
        switch ((enum commit_action) id->action) {
        case COMMIT_KEEP:
                return vector;
        case COMMIT_REMOVE:
                return 0;
        case COMMIT_LOST:
                return -1;
        default:
                return (int) id->vector[s];
        }
}

static void fail_history(const struct history *h, int vector, int expected, int found)
{
        char text[256] = "";
        for (int row = 1; row <= h->count; row++) {
                size_t len = strlen(text);
                (void) snprintf(text + len, sizeof(text) - len, " %s", kinds[h->kinds[row - 1]].name);
        }
        fail_msg("%s; %d gone, positions %d and %d, the index has %d: %d, not %d", text, h->gone, h->vector, h->record, vector,
                 found, expected);
}

typedef void check_fn(const struct history *h);

static void each_position(struct history *h, check_fn *check)
{
        for (h->gone = 0; h->gone <= h->count; h->gone++)
                for (h->vector = h->gone; h->vector <= h->count; h->vector++)
                        for (h->record = h->gone; h->record <= h->count; h->record++)
                                check(h);
}

static void each_history(int rows, int kind_count, bool is_lone, check_fn *check)
{
        int all = 1;
        for (int i = 0; i < rows; i++)
                all *= kind_count;
        for (int n = 0; n < all; n++) {
                struct history h = { .count = rows, .is_lone = is_lone };
                for (int i = 0, rest = n; i < rows; i++, rest /= kind_count)
                        h.kinds[i] = rest % kind_count;
                each_position(&h, check);
        }
}

/* An index that has what was applied comes to have what all rows say, and a second commit changes nothing. */
static void check_right(const struct history *h)
{
        struct commit_id id;
        int vector = run(h, h->vector).vector, expected = run(h, h->count).vector;
        int found = commit(h, vector, &id);
        if (found != expected)
                fail_history(h, vector, expected, found);
        struct history again = *h;
        again.vector = again.record = h->count;
        if (commit(&again, found, &id) != found || id.action != COMMIT_KEEP)
                fail_history(&again, found, found, -1);
}

/* The update of an element was lost: it is done again, unless the log does not have it any more. */
static void check_lost(const struct history *h)
{
        struct commit_id id;
        struct truth applied = run(h, h->vector), all = run(h, h->count);
        if (applied.vector == 0 || applied.before == 0 || applied.lost <= h->gone)
                return;
        int found = commit(h, applied.before, &id);
        if (found != all.vector)
                fail_history(h, applied.before, all.vector, found);
}

/* A vector that never came into the index, or was lost with its label: it is put in. */
static void check_absent(const struct history *h)
{
        struct commit_id id;
        struct truth applied = run(h, h->vector), all = run(h, h->count);
        int first = h->gone + 1;
        if (applied.vector <= h->gone || run(h, h->gone).record != 0 || first > h->count)
                return;
        int found = commit(h, 0, &id);
        if (found != all.vector)
                fail_history(h, 0, all.vector, found);
}

/* The whole index was lost: the record says whether the log's first row of it found one. A row of metadata alone, applied last, hides that. */
static void check_index_lost(const struct history *h)
{
        struct commit_id id;
        struct truth applied = run(h, h->vector), all = run(h, h->count);
        if (applied.vector <= h->gone || h->record < h->count || !kinds[h->kinds[all.record == 0 ? 0 : all.record - 1]].vector)
                return;
        struct history lost = *h;
        lost.is_index_lost = true;
        int found = commit(&lost, 0, &id);
        if (found != all.vector)
                fail_history(&lost, 0, all.vector, found);
}

/* What an update had replaced, and then was lost, came again in an ADD that was ignored. */
static void test_lost_update_before_an_add(void **state)
{
        struct commit_id id;
        struct history h = {
                .kinds = { ADD_V, UPDATE_V, ADD_V }, .count = 3, .gone = 1, .vector = 3, .record = 3, .is_lone = true, .same = 1
        };
        (void) state;
        assert_int_equal(commit(&h, 1, &id), 2);
        h.is_lone = false; /* then it was a record without a vector before */
        assert_int_equal(commit(&h, 1, &id), 1);
}

/* After a crash the index is ahead of its position: what was ignored then stays ignored. */
static void test_index_ahead(void **state)
{
        struct commit_id id;
        struct history h = { .kinds = { UPDATE_V, UPDATE_V, ADD_V }, .count = 3, .gone = 1, .vector = 1, .record = 3 };
        (void) state;
        assert_int_equal(commit(&h, 3, &id), 3);
}

/* Python applied an UPDATE behind a DELETE; the record is there, and has the vector for which it was meant. */
static void test_resurrected_vector(void **state)
{
        struct commit_id id;
        struct history h = { .kinds = { DELETE, UPDATE_V, ADD_0 }, .count = 3, .vector = 3, .record = 3 };
        (void) state;
        assert_int_equal(commit(&h, 2, &id), 2);
        assert_int_equal(id.action, COMMIT_KEEP);
        h.count = h.vector = h.record = 2; /* without a record nobody has it */
        assert_int_equal(commit(&h, 2, &id), 0);
}

static void test_lost_index(void **state)
{
        (void) state;
        for (int rows = 1; rows <= 5; rows++)
                each_history(rows, KINDS, false, check_index_lost);
}

static void test_right(void **state)
{
        (void) state;
        for (int rows = 1; rows <= 4; rows++)
                each_history(rows, ALL_KINDS, false, check_right);
        each_history(5, KINDS, false, check_right);
}

static void test_right_of_a_lone_one(void **state)
{
        (void) state;
        for (int rows = 1; rows <= 5; rows++)
                each_history(rows, KINDS, true, check_right);
}

static void test_lost_update(void **state)
{
        (void) state;
        for (int rows = 1; rows <= 5; rows++)
                each_history(rows, KINDS, true, check_lost);
}

static void test_absent_vector(void **state)
{
        (void) state;
        for (int rows = 1; rows <= 4; rows++)
                each_history(rows, ALL_KINDS, false, check_absent);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_right),
                cmocka_unit_test(test_right_of_a_lone_one),
                cmocka_unit_test(test_lost_update),
                cmocka_unit_test(test_absent_vector),
                cmocka_unit_test(test_lost_update_before_an_add),
                cmocka_unit_test(test_index_ahead),
                cmocka_unit_test(test_resurrected_vector),
                cmocka_unit_test(test_lost_index),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
