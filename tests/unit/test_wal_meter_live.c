/* Measuring while others write: each test says what happens between two transactions of the meter's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/pieces.h"
#include "tests/unit/meter_clock.h"
#include "tests/unit/meter_model.h"

static int setup(void **state)
{
        static struct meter_bench b;
        meter_clock.look_ms = meter_clock.fine_look_ms = 0;
        bench_make(&b);
        *state = &b;
        return 0;
}

static int teardown(void **state)
{
        meter_clock.look_ms = meter_clock.fine_look_ms = 0;
        bench_remove(*state);
        return 0;
}

static void delete_collection(struct meter_bench *b, unsigned collection)
{
        bench_sql(b, "DELETE FROM embeddings_queue WHERE topic = %Q", bench_topic(collection));
}

/* A text that is large in all ways: characters of several bytes at any cut, and things to escape. */
static void append_large(struct meter_bench *b, unsigned collection, unsigned bytes)
{
        bench_sql(b,
                  "INSERT INTO embeddings_queue (operation, topic, id, vector, metadata) VALUES (0, %Q, 'large', randomblob(%u),"
                  " replace(hex(zeroblob(%u)), '0000000', 'a\\\"\u00e9\u20ac\U0001f600'))",
                  bench_topic(collection), bytes / 2, bytes / 4);
}

static void measure_quietly(struct meter_bench *b)
{
        b->at_begin = NULL;
        meter_clock.look_ms = 0;
        bench_check(b);
}

/* Transactions are short. */

static void a_transaction_for_each_row(void **state)
{
        struct meter_bench *b = *state;
        meter_clock.look_ms = PIECE_MS;
        bench_append(b, 1, 100);
        bench_check(b);
        assert_in_range(b->begins, 100, 102);
        b->begins = 0;
        bench_append(b, 2, 10);
        bench_append(b, 3, 10);
        bench_check(b);
        assert_in_range(b->begins, 21, 23);
        for (unsigned i = 10; i < 50; i++)
                bench_append(b, i, 1);
        bench_check(b);
        b->begins = 0;
        bench_check(b);
        assert_in_range(b->begins, 43, 45); /* each collection is verified in one of its own */
}

static void large_rows(void **state)
{
        struct meter_bench *b = *state;
        bench_append(b, 1, 3);
        append_large(b, 1, 1 << 20);
        bench_append(b, 1, 1);
        append_large(b, 2, 5 << 20);
        append_large(b, 2, 500000);
        bench_check(b);
        append_large(b, 1, 400000);
        bench_check(b);
        bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id < 5");
        bench_check(b);
        bench_sql(b, "UPDATE embeddings_queue SET metadata = metadata || 'x' WHERE seq_id = 8");
        assert_int_equal(bench_measure(b), 1);
        bench_anew(b);
        bench_check(b);
        delete_collection(b, 1);
        bench_append(b, 3, 1);
        bench_check(b);
}

static void a_transaction_for_a_piece_or_two(void **state)
{
        struct meter_bench *b = *state;
        meter_clock.look_ms = PIECE_MS;
        bench_append(b, 1, 3);
        append_large(b, 1, 1 << 20);
        append_large(b, 2, 5 << 20);
        bench_append(b, 1, 3);
        bench_check(b);
        assert_in_range(b->begins, 25, 50); /* the way to a piece is given as much time again */
}

/* Between two transactions. */

struct plan {
        unsigned at;     /* which begin */
        const char *sql; /* what happens before it */
};

static void follow_plan(struct meter_bench *b)
{
        const struct plan *plan = b->context;
        if (b->begins == plan->at)
                bench_sql(b, "%s", plan->sql);
}

/* With the plan, and afterwards without. Where rows are edited the meter may see that. */
static void measure_with(struct meter_bench *b, struct plan *plan, bool edits)
{
        b->context = plan;
        b->begins = 0;
        b->at_begin = follow_plan;
        int r = bench_measure(b);
        if (r == 1 && edits)
                bench_anew(b);
        else if (r != 0)
                fail_msg("before transaction %u: %d %s", plan->at, r, b->e.text);
        else
                bench_compare(b);
        b->context = NULL;
        unsigned begins = b->begins;
        measure_quietly(b);
        b->begins = begins;
}

/* Whatever happens, and whenever it does. */
static void measure_disturbed(struct meter_bench *b, void (*prepare)(struct meter_bench *b), const char *sql, bool edits)
{
        struct plan plan = { .sql = sql };
        do {
                plan.at++;
                meter_clock.look_ms = PIECE_MS;
                bench_sql(b, "DELETE FROM embeddings_queue");
                bench_anew(b);
                prepare(b);
                measure_with(b, &plan, edits);
        } while (plan.at <= b->begins);
        assert_in_range(plan.at, 7, 100);
}

static void two_collections(struct meter_bench *b)
{
        bench_append(b, 1, 5);
        bench_append(b, 2, 5);
}

static void two_collections_known(struct meter_bench *b)
{
        two_collections(b);
        assert_int_equal(bench_measure(b), 0);
        bench_append(b, 1, 2);
        bench_append(b, 2, 2);
}

static void with_large_rows(struct meter_bench *b)
{
        bench_append(b, 1, 2);
        append_large(b, 1, 400000);
        append_large(b, 2, 700000);
        bench_append(b, 2, 1);
}

static void disturbed_by_everything(struct meter_bench *b, void (*prepare)(struct meter_bench *b))
{
        char delete_and_append[1024], front[256];
        (void) snprintf(
                delete_and_append, sizeof(delete_and_append),
                "DELETE FROM embeddings_queue WHERE topic = '%s'; INSERT INTO embeddings_queue (operation, topic, id) VALUES"
                " (0, '%s', 'a'), (0, '%s', 'b'), (0, '%s', 'c'), (0, '%s', 'd'), (0, '%s', 'e'), (0, '%s', 'f')",
                bench_topic(2), bench_topic(1), bench_topic(1), bench_topic(1), bench_topic(1), bench_topic(3), bench_topic(3));
        (void) snprintf(front, sizeof(front), "DELETE FROM embeddings_queue WHERE topic = '%s' AND seq_id < 4", bench_topic(1));
        measure_disturbed(b, prepare, "DELETE FROM embeddings_queue", false);
        measure_disturbed(b, prepare, "DELETE FROM embeddings_queue WHERE seq_id < 8", false);
        measure_disturbed(b, prepare, "INSERT INTO embeddings_queue (operation, topic, id) VALUES (0, 't/1', 'a')", false);
        measure_disturbed(b, prepare, front, false);
        measure_disturbed(b, prepare, delete_and_append, false);
        measure_disturbed(b, prepare, "SELECT 1", false);
}

static void a_commit_while_all_is_new(void **state)
{
        disturbed_by_everything(*state, two_collections);
}

static void a_commit_while_some_is_known(void **state)
{
        disturbed_by_everything(*state, two_collections_known);
}

static void a_commit_while_rows_are_large(void **state)
{
        disturbed_by_everything(*state, with_large_rows);
}

/* What was rows of many pieces is another row, with the same number, when the meter comes back. */
static void a_large_row_becomes_another(void **state)
{
        measure_disturbed(*state, with_large_rows, "UPDATE embeddings_queue SET vector = randomblob(300000) WHERE seq_id = 4",
                          true);
        measure_disturbed(*state, with_large_rows, "UPDATE embeddings_queue SET metadata = 'small', vector = NULL WHERE seq_id = 4",
                          true);
}

static void append_at_each_begin(struct meter_bench *b)
{
        bench_append(b, b->begins % 5, 1);
}

static void delete_at_each_begin(struct meter_bench *b)
{
        delete_collection(b, b->begins % 7);
        bench_append(b, (b->begins + 3) % 7, 2);
}

static void a_writer_without_a_pause(void **state)
{
        struct meter_bench *b = *state;
        for (unsigned i = 0; i < 20; i++) {
                bench_append(b, 1, 100);
                b->at_begin = append_at_each_begin;
                meter_clock.look_ms = i;
                assert_int_equal(bench_measure(b), 0);
                measure_quietly(b);
        }
}

/* A row for a row: the end never comes nearer. */
static void a_writer_as_fast_as_we_are(void **state)
{
        struct meter_bench *b = *state;
        bench_append(b, 1, 100);
        b->at_begin = delete_at_each_begin;
        meter_clock.look_ms = 4;
        int r = bench_measure(b);
        assert_true(r == 0 || r == -EBUSY);
        measure_quietly(b);
}

_Noreturn static void write_for_ever(const struct meter_bench *b)
{
        sqlite3 *db = sql_dir_writer(&b->dir, 2000);
        for (unsigned i = 0; i < UINT32_MAX; i++) {
                char *sql = sqlite3_mprintf("INSERT INTO embeddings_queue (operation, topic, id, vector) VALUES (0, %Q, 'x', "
                                            "randomblob(1000)); DELETE FROM embeddings_queue WHERE topic = %Q AND seq_id < (SELECT "
                                            "max(seq_id) FROM embeddings_queue) - 300",
                                            bench_topic(i % 5), bench_topic(i % 5));
                if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                        _exit(1);
                sqlite3_free(sql);
                (void) usleep(300);
        }
        _exit(2);
}

static void a_writer_in_another_process(void **state)
{
        struct meter_bench *b = *state;
        bench_append(b, 1, 2000);
        pid_t writer = fork();
        if (writer == 0)
                write_for_ever(b);
        int r = 0, status = 0;
        for (unsigned i = 0; i < 50 && r == 0; i++) {
                r = bench_measure(b);
                (void) usleep(2000);
        }
        assert_int_equal(waitpid(writer, &status, WNOHANG), 0); /* never locked out */
        assert_int_equal(kill(writer, SIGKILL), 0);
        assert_int_equal(waitpid(writer, &status, 0), writer);
        if (r != 0)
                fail_msg("%d %s", r, b->e.text);
        measure_quietly(b);
}

/* Locks, journals, cancels, crashes. */

static void a_lock_that_stays(void **state)
{
        struct meter_bench *b = *state;
        bench_append(b, 1, 5);
        bench_sql(b, "BEGIN EXCLUSIVE");
        meter_clock.fine_look_ms = 200;
        assert_int_equal(bench_measure(b), -EBUSY);
        assert_int_equal(b->begins, 5);
        bench_sql(b, "COMMIT");
        measure_quietly(b);
}

/* Dies within a transaction of which much is in the file already. */
static void crash(struct meter_bench *b)
{
        sqlite3 *db = sql_dir_writer(&b->dir, 2000);
        if (sqlite3_exec(db,
                         "PRAGMA cache_size=5; PRAGMA cache_spill=5; BEGIN; DELETE FROM embeddings_queue WHERE seq_id % 3 = 0;"
                         "UPDATE embeddings_queue SET vector = randomblob(3000)",
                         NULL, NULL, NULL) != SQLITE_OK)
                _exit(1);
        _exit(0);
}

static void a_hot_journal(void **state)
{
        struct meter_bench *b = *state;
        for (unsigned i = 1; i < 4; i++)
                bench_append(b, i, 300);
        bench_check(b);
        bench_append(b, 2, 200);
        pid_t child = fork();
        int status = 1;
        if (child == 0)
                crash(b);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(faccessat(b->dir.fd, DB_FILE "-journal", F_OK, 0), 0);
        assert_int_equal(bench_measure(b), 0);
        assert_int_equal(faccessat(b->dir.fd, DB_FILE "-journal", F_OK, 0), 0);
        bench_compare(b); /* rolls back, as any writer would */
        measure_quietly(b);
}

static bool after_looks(void *context)
{
        unsigned *looks = context;
        return *looks == 0 || --*looks == 0;
}

static void cancelled(void **state)
{
        struct meter_bench *b = *state;
        b->cached = true;
        bench_anew(b);
        for (unsigned i = 1; i < 4; i++)
                bench_append(b, i, 3000);
        unsigned looks = 50;
        db_set_cancel(b->db, after_looks, &looks);
        assert_int_equal(bench_measure(b), -EINTR);
        uint64_t rows = wal_index_totals(b->index).rows;
        assert_in_range(rows, 1, 8999);
        /* What was measured is kept. */
        bench_anew(b);
        assert_int_equal(wal_index_totals(b->index).rows, rows);
        b->rows_read = 0;
        bench_check(b);
        assert_in_range(b->rows_read, 9000 - rows, 9000 - rows + 10);
}

static void die(struct meter_bench *b)
{
        if (b->begins == 120)
                _exit(0);
}

static void killed(void **state)
{
        struct meter_bench *b = *state;
        int status = 1;
        b->cached = true;
        for (unsigned i = 0; i < 30; i++) {
                bench_append(b, 1, 10);
                append_large(b, 2, 200000);
        }
        b->at_begin = die;
        meter_clock.look_ms = PIECE_MS;
        b->index = wal_index_put(b->index);
        pid_t child = fork();
        if (child == 0) {
                bench_anew(b);
                (void) bench_measure(b);
                _exit(1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        bench_anew(b);
        assert_in_range(wal_index_totals(b->index).rows, 50, 120);
        measure_quietly(b);
}

/* Anything, at any time. */

#define COLLECTIONS 6

struct disorder {
        uint64_t random;
        unsigned ids[COLLECTIONS], next_id; /* one that is empty gets another id, as Chroma's never come again */
        unsigned percent;                   /* of the transactions that something happens before */
};

static unsigned draw(struct disorder *d, unsigned below)
{
        d->random = d->random * 6364136223846793005u + 1442695040888963407u;
        return (unsigned) (d->random >> 33) % below;
}

static int64_t number_of(struct meter_bench *b, const char *format, const char *topic)
{
        sqlite3_stmt *stmt = NULL;
        char *sql = sqlite3_mprintf(format, topic);
        assert_int_equal(sqlite3_prepare_v2(b->writer, sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        int64_t number = sqlite3_column_int64(stmt, 0);
        (void) sqlite3_finalize(stmt);
        sqlite3_free(sql);
        return number;
}

static void renew_empty(struct meter_bench *b, struct disorder *d)
{
        for (unsigned i = 0; i < COLLECTIONS; i++)
                if (number_of(b, "SELECT count(*) FROM embeddings_queue WHERE topic = %Q", bench_topic(d->ids[i])) == 0)
                        d->ids[i] = d->next_id++;
}

static void do_anything(struct meter_bench *b, struct disorder *d)
{
        unsigned id = d->ids[draw(d, COLLECTIONS)], what = draw(d, 100);
        int64_t last = number_of(b, "SELECT coalesce(max(seq_id), 1) FROM embeddings_queue WHERE topic = %Q", bench_topic(id));
        if (what < 45)
                bench_append(b, id, 1 + draw(d, 12));
        else if (what < 50)
                append_large(b, id, 200000 + draw(d, 300000));
        else if (what < 75)
                bench_sql(b, "DELETE FROM embeddings_queue WHERE topic = %Q AND seq_id < %lld", bench_topic(id),
                          (long long) last - draw(d, 30));
        else if (what < 85)
                bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id < %lld", (long long) last - draw(d, 10));
        else if (what < 98)
                delete_collection(b, id);
        else
                bench_sql(b, "DELETE FROM embeddings_queue");
        renew_empty(b, d);
}

static void maybe_anything(struct meter_bench *b)
{
        struct disorder *d = b->context;
        if (draw(d, 100) < d->percent)
                do_anything(b, d);
}

static void disorder(struct meter_bench *b, uint64_t seed, unsigned steps)
{
        struct disorder d = { .random = seed, .next_id = COLLECTIONS };
        for (unsigned i = 0; i < COLLECTIONS; i++)
                d.ids[i] = i;
        b->context = &d;
        for (unsigned i = 0; i < steps; i++) {
                for (unsigned n = draw(&d, 4); n > 0; n--)
                        do_anything(b, &d);
                if (draw(&d, 10) == 0)
                        bench_anew(b);
                d.percent = draw(&d, 3) == 0 ? draw(&d, 60) : 0;
                meter_clock.look_ms = draw(&d, 2) == 0 ? 0 : draw(&d, PIECE_MS + 1);
                b->at_begin = maybe_anything;
                int r = bench_measure(b);
                if (r != 0)
                        fail_msg("seed %llu, step %u: %d %s", (unsigned long long) seed, i, r, b->e.text);
                measure_quietly(b);
        }
        b->context = NULL;
}

static void thousands_of_random_changes(void **state)
{
        struct meter_bench *b = *state;
        bench_sql(b, "PRAGMA journal_mode=MEMORY");
        for (unsigned seed = 1; seed <= 10; seed++) {
                b->cached = seed % 2 == 0;
                bench_sql(b, "DELETE FROM embeddings_queue");
                bench_anew(b);
                disorder(b, seed, 100);
        }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_transaction_for_each_row),
                TEST(large_rows),
                TEST(a_transaction_for_a_piece_or_two),
                TEST(a_commit_while_all_is_new),
                TEST(a_commit_while_some_is_known),
                TEST(a_commit_while_rows_are_large),
                TEST(a_large_row_becomes_another),
                TEST(a_writer_without_a_pause),
                TEST(a_writer_as_fast_as_we_are),
                TEST(a_writer_in_another_process),
                TEST(a_lock_that_stays),
                TEST(a_hot_journal),
                TEST(cancelled),
                TEST(killed),
                TEST(thousands_of_random_changes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
