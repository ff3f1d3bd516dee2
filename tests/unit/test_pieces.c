#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ops/pieces.h"
#include "tests/unit/sql_dir.h"

static int setup(void **state)
{
        static struct sql_dir d;
        sql_dir_make(&d);
        sql_dir_exec(
                &d,
                "CREATE TABLE t (k INTEGER PRIMARY KEY, v);"
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO t SELECT i, 0 FROM n");
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        sql_dir_remove(*state);
        return 0;
}

struct seen {
        struct int_key key;
        int64_t first, last;
        unsigned rows;
        unsigned pause_us; /* a row */
        unsigned pieces;
        int stop_with;
        struct error e;
};

static int bind(void *context, sqlite3_stmt *stmt)
{
        struct seen *seen = context;
        seen->pieces++;
        return int_key_bind(&seen->key, stmt, 1);
}

static int take(void *context, sqlite3_stmt *stmt)
{
        struct seen *seen = context;
        int64_t key;
        int r = int_key_take(&seen->key, stmt, 0, "t", &key, &seen->e);
        if (r < 0)
                return r;
        if (seen->rows++ == 0)
                seen->first = key;
        seen->last = key;
        if (seen->pause_us > 0)
                (void) usleep(seen->pause_us);
        return seen->stop_with;
}

static int walk(struct pieces *p, const char *sql, struct seen *seen)
{
        seen->key = INT_KEY_START;
        return pieces_walk(p, sql, bind, take, seen, &seen->e);
}

#define SQL "SELECT k FROM t WHERE k >= ? ORDER BY k"

static void every_row_once_in_many_pieces(void **state)
{
        struct db *db = sql_dir_open(*state);
        struct pieces p;
        struct seen seen = { .pause_us = 1000 };
        pieces_init(&p, db);
        assert_int_equal(walk(&p, SQL, &seen), 0);
        assert_int_equal(seen.rows, 400);
        assert_int_equal(seen.first, 1);
        assert_int_equal(seen.last, 400);
        assert_in_range(seen.pieces, 400 / PIECE_MS - 4, 100);
        assert_true(p.exact);
        (void) db_close(db);
}

static void ends_of_the_key_range(void **state)
{
        sql_dir_exec(*state, "DELETE FROM t; INSERT INTO t VALUES (-9223372036854775807 - 1, 0), (0, 0), (9223372036854775807, 0)");
        struct db *db = sql_dir_open(*state);
        struct pieces p;
        /* A pause beyond PIECE_MS: each row is a piece of its own, the one after the greatest key included. */
        struct seen seen = { .pause_us = 30000 };
        pieces_init(&p, db);
        assert_int_equal(walk(&p, SQL, &seen), 0);
        assert_int_equal(seen.rows, 3);
        assert_int_equal(seen.first, INT64_MIN);
        assert_int_equal(seen.last, INT64_MAX);
        assert_int_equal(seen.pieces, 4);
        (void) db_close(db);
}

static void keys_that_no_honest_table_has(void **state)
{
        sql_dir_exec(*state, "CREATE TABLE twice (k); INSERT INTO twice VALUES (1), (1); CREATE TABLE words (k); INSERT INTO words "
                             "VALUES ('x')");
        struct db *db = sql_dir_open(*state);
        struct pieces p;
        struct seen seen = { 0 };
        pieces_init(&p, db);
        assert_int_equal(walk(&p, "SELECT k FROM twice WHERE k >= ? ORDER BY k", &seen), -EILSEQ);
        assert_string_equal(seen.e.text, "table t: key 1 occurs twice or out of order");
        assert_int_equal(walk(&p, "SELECT k FROM words WHERE k >= ? ORDER BY k", &seen), -EILSEQ);
        assert_string_equal(seen.e.text, "table t: a key is no integer");
        assert_int_equal(walk(&p, "SELECT k FROM absent WHERE k >= ?", &seen), -EILSEQ);
        /* The failures left no transaction behind. */
        assert_int_equal(db_begin(db, NULL), 0);
        db_end(db);
        (void) db_close(db);
}

static void a_row_can_end_the_walk(void **state)
{
        struct db *db = sql_dir_open(*state);
        struct pieces p;
        struct seen seen = { .stop_with = 7 };
        pieces_init(&p, db);
        assert_int_equal(walk(&p, SQL, &seen), 7);
        assert_int_equal(seen.rows, 1);
        (void) db_close(db);
}

static bool yes(void *context)
{
        return *(bool *) context;
}

static void cancelled(void **state)
{
        sql_dir_exec(*state, "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) INSERT INTO t "
                             "SELECT i, 0 FROM n");
        struct db *db = sql_dir_open(*state);
        bool now = true;
        db_set_cancel(db, yes, &now);
        struct pieces p;
        struct seen seen = { 0 };
        pieces_init(&p, db);
        assert_int_equal(walk(&p, SQL, &seen), -EINTR);
        (void) db_close(db);
}

/* Commits until it is killed; exits with 1 as soon as it was kept waiting too long. */
_Noreturn static void write_for_ever(const struct sql_dir *d)
{
        sqlite3 *db = sql_dir_writer(d, 2000);
        while (sqlite3_exec(db, "UPDATE t SET v = v + 1 WHERE k = 1", NULL, NULL, NULL) == SQLITE_OK)
                (void) usleep(1000);
        _exit(1);
}

static void writers_commit_meanwhile(void **state)
{
        pid_t writer = fork();
        if (writer == 0)
                write_for_ever(*state);
        (void) usleep(50000);
        struct db *db = sql_dir_open(*state);
        struct pieces p;
        struct seen seen = { .pause_us = 1000 };
        pieces_init(&p, db);
        int r = walk(&p, SQL, &seen);
        int status = 0;
        assert_int_equal(waitpid(writer, &status, WNOHANG), 0); /* never locked out */
        assert_int_equal(kill(writer, SIGKILL), 0);
        assert_int_equal(waitpid(writer, &status, 0), writer);
        if (r < 0)
                fail_msg("%s", seen.e.text);
        assert_int_equal(seen.rows, 400);
        assert_false(p.exact);
        (void) db_close(db);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(every_row_once_in_many_pieces, setup, teardown),
                cmocka_unit_test_setup_teardown(ends_of_the_key_range, setup, teardown),
                cmocka_unit_test_setup_teardown(keys_that_no_honest_table_has, setup, teardown),
                cmocka_unit_test_setup_teardown(a_row_can_end_the_walk, setup, teardown),
                cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
                cmocka_unit_test_setup_teardown(writers_commit_meanwhile, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
