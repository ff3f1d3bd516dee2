/*
 * The connection: what it refuses and in which words, what it waits for and how long, and that readers and a live writer get along.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db_fixture.h"
#include "ops/db.h"

static struct db *open_db(const struct fixture *f)
{
        struct db *db = NULL;
        struct error e = { 0 };
        if (db_open(f->fd, &db, &e) < 0)
                fail_msg("%s", e.text);
        return db;
}

static void begin(struct db *db)
{
        struct error e = { 0 };
        if (db_begin(db, &e) < 0)
                fail_msg("%s", e.text);
}

static void fill(const struct fixture *f, const char *sql)
{
        sqlite3 *db = fixture_open(f);
        run_sql(db, "%s", sql);
        (void) sqlite3_close(db);
}

#define TABLE                                                                                                                      \
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) "    \
        "INSERT INTO t SELECT i, randomblob(500) FROM n"

static void expect_open(const struct fixture *f, int code, const char *sentence)
{
        struct db *db = NULL;
        struct error e = { 0 };
        int64_t start = clock_ms();
        assert_int_equal(db_open(f->fd, &db, &e), code);
        assert_null(db);
        assert_int_equal(e.code, code);
        if (strstr(e.text, sentence) == NULL)
                fail_msg("'%s' lacks '%s'", e.text, sentence);
        assert_true(clock_ms() - start < 1000);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        assert_true(fd >= 0 && write(fd, bytes, len) == (ssize_t) len);
        (void) close(fd);
}

static void test_refused_files(void **state)
{
        (void) state;
        struct fixture f;
        fixture_make(&f);
        expect_open(&f, -ENOENT, "chroma.sqlite3");
        write_file(f.db, "", 0);
        expect_open(&f, -EILSEQ, "is empty");
        write_file(f.db, "PK\3\4 this is no database, and it is long enough for a header, that is: one hundred bytes and some more",
                   102);
        expect_open(&f, -EILSEQ, "no SQLite database");
        write_file(f.db, "SQLite f", 8);
        expect_open(&f, -EILSEQ, "cut off within its header");
        (void) unlink(f.db);
        assert_int_equal(symlink("/etc/passwd", f.db), 0);
        expect_open(&f, -ELOOP, "symbolic link");
        (void) unlink(f.db);
        assert_int_equal(mkfifo(f.db, 0600), 0);
        expect_open(&f, -EILSEQ, "no regular file");
        (void) unlink(f.db);
        assert_int_equal(mkdir(f.db, 0700), 0);
        expect_open(&f, -EILSEQ, "no regular file");
        (void) rmdir(f.db);
        fill(&f, "PRAGMA journal_mode=wal; " TABLE);
        expect_open(&f, -EILSEQ, "PRAGMA journal_mode=delete");
        fill(&f, "PRAGMA journal_mode=delete");
        struct db *db = open_db(&f);
        db = db_close(db);
        write_file(f.db, "", 0);
        (void) unlink(f.db);
        fill(&f, TABLE);
        char wal[128];
        (void) snprintf(wal, sizeof(wal), "%s-wal", f.db);
        write_file(wal, "something", 9);
        expect_open(&f, -EILSEQ, "-wal is there");
        (void) unlink(wal);
        assert_int_equal(truncate(f.db, (off_t) fixture_size(f.db) - 4096), 0);
        expect_open(&f, -EILSEQ, "is cut off: it has");
        fixture_remove(&f);
}

/* The header that a crash left is nothing; the journal has the right one. */
static void crash_child(const struct fixture *f, void *context)
{
        (void) context;
        sqlite3 *db = fixture_open(f);
        run_sql(db,
                "PRAGMA cache_size=1; BEGIN; CREATE TABLE extra(x); UPDATE t SET v=randomblob(600); DELETE FROM t WHERE id>100");
}

static void test_hot(void **state)
{
        (void) state;
        struct fixture f;
        fixture_make(&f);
        fill(&f, "PRAGMA auto_vacuum=FULL; " TABLE);
        child_wait(child_start(&f, crash_child, NULL));
        write_file(f.db, "", 0); /* emptied: to SQLite the journal is not hot then */
        expect_open(&f, -EILSEQ, "is empty");
        (void) unlink(f.journal);
        (void) unlink(f.db);
        fill(&f, "PRAGMA auto_vacuum=FULL; " TABLE);
        child_wait(child_start(&f, crash_child, NULL));
        int fd = open(f.db, O_WRONLY);
        assert_int_equal(pwrite(fd, "ruined by the crash", 19, 0), 19);
        (void) close(fd);
        uint64_t before = fixture_state(&f), content = content_after_rollback(&f);
        struct db *db = open_db(&f);
        begin(db);
        assert_true(db_is_hot(db));
        assert_int_equal(number_of(db_handle(db), "SELECT count(*) FROM t"), 500);
        assert_int_equal(db_has_table(db, "extra", NULL), 0);
        assert_true(content_of(db_handle(db)) == content);
        db_end(db);
        assert_false(db_is_hot(db));
        assert_true(fixture_state(&f) == before);
        fill(&f, "UPDATE t SET v='new' WHERE id=1");
        assert_int_equal(number_of(db_handle(db), "SELECT v='new' FROM t WHERE id=1"), 1);
        db = db_close(db);
        fixture_remove(&f);
}

static bool cancel_at(void *context)
{
        return clock_ms() >= *(int64_t *) context;
}

/* Keeps EXCLUSIVE until killed; the journal tells that it has it. */
static void exclusive_child(const struct fixture *f, void *context)
{
        (void) context;
        sqlite3 *db = fixture_open(f);
        run_sql(db, "BEGIN EXCLUSIVE; UPDATE t SET v=1 WHERE id=1");
        (void) pause();
}

static void test_locked(void **state)
{
        (void) state;
        struct fixture f;
        struct error e = { 0 };
        uint64_t version = 0;
        fixture_make(&f);
        fill(&f, TABLE);
        pid_t pid = child_start(&f, exclusive_child, NULL);
        while (fixture_size(f.journal) == 0)
                pause_ms(1);
        int64_t start = clock_ms();
        struct db *db = open_db(&f);
        assert_true(clock_ms() - start < DB_OPEN_WAIT_MS + 200);
        start = clock_ms();
        assert_int_equal(db_begin(db, &e), -EBUSY);
        assert_non_null(strstr(e.text, "another process holds chroma.sqlite3 locked"));
        assert_true(clock_ms() - start >= DB_WAIT_MS - 50 && clock_ms() - start < DB_WAIT_MS + 500);
        int64_t when = clock_ms() + 100;
        db_set_cancel(db, cancel_at, &when);
        start = clock_ms();
        assert_int_equal(db_begin(db, &e), -EINTR);
        assert_true(clock_ms() - start >= 95 && clock_ms() - start < 200);
        db_set_cancel(db, NULL, NULL);
        assert_int_equal(kill(pid, SIGKILL), 0);
        child_wait(pid);
        begin(db); /* now the first check happens, too */
        db_end(db);
        /* And once it was checked: waiting goes through SQLite's busy handler. */
        pid = child_start(&f, exclusive_child, NULL);
        while (db_data_version(db, &version, &e) == 0)
                pause_ms(1);
        assert_int_equal(e.code, -EBUSY);
        start = clock_ms();
        assert_int_equal(db_begin(db, &e), -EBUSY);
        assert_true(clock_ms() - start >= DB_WAIT_MS - 50 && clock_ms() - start < DB_WAIT_MS + 500);
        assert_non_null(strstr(e.text, "another process holds chroma.sqlite3 locked"));
        when = clock_ms() + 100;
        db_set_cancel(db, cancel_at, &when);
        assert_int_equal(db_begin(db, &e), -EINTR);
        assert_true(clock_ms() - when < 100);
        assert_int_equal(kill(pid, SIGKILL), 0);
        child_wait(pid);
        db_set_cancel(db, NULL, NULL);
        begin(db);
        assert_int_equal(db_begin(db, &e), -EINVAL);
        db_end(db);
        db_end(db);
        db = db_close(db);
        fixture_remove(&f);
}

/* An ordinary connection of the same process. */
static void test_own_process(void **state)
{
        (void) state;
        struct fixture f;
        struct error e = { 0 };
        fixture_make(&f);
        fill(&f, TABLE);
        struct db *db = open_db(&f);
        sqlite3 *writer = fixture_open(&f);
        int64_t when = 0;
        run_sql(writer, "BEGIN EXCLUSIVE");
        db_set_cancel(db, cancel_at, &when);
        assert_int_equal(db_begin(db, &e), -EINTR);
        run_sql(writer, "ROLLBACK; BEGIN IMMEDIATE; UPDATE t SET v=1");
        db_set_cancel(db, NULL, NULL);
        begin(db);
        assert_int_equal(number_of(db_handle(db), "SELECT count(*) FROM t WHERE v=1"), 0);
        (void) sqlite3_busy_timeout(writer, 0);
        assert_int_equal(sqlite3_exec(writer, "COMMIT", NULL, NULL, NULL), SQLITE_BUSY);
        db_end(db);
        run_sql(writer, "COMMIT");
        (void) sqlite3_close(writer);
        db = db_close(db);
        fixture_remove(&f);
}

/* Two accounts, whose sum is always 1000, in a table each; sometimes large, so that it spills. */
static void writer_child(const struct fixture *f, void *context)
{
        int64_t end = *(int64_t *) context;
        sqlite3 *db = fixture_open(f);
        (void) sqlite3_busy_timeout(db, 1000);
        run_sql(db, "PRAGMA cache_size=4; PRAGMA synchronous=OFF"); /* many commits, however slow the disk */
        for (int i = 0; clock_ms() < end; i++) {
                run_sql(db,
                        "BEGIN IMMEDIATE; UPDATE x SET n=n-%d; UPDATE pad SET v=randomblob(%d) WHERE id%%3=%d; UPDATE y SET "
                        "n=n+%d; %s",
                        i % 17, 100 + i % 2000, i % 3, i % 17, i % 5 == 4 ? "ROLLBACK" : "COMMIT");
        }
        _exit(0);
}

static void test_beside_a_writer(void **state)
{
        (void) state;
        struct fixture f;
        struct error e = { 0 };
        fixture_make(&f);
        fill(&f, "CREATE TABLE x(n); INSERT INTO x VALUES(600); CREATE TABLE y(n); INSERT INTO y VALUES(400);"
                 "CREATE TABLE pad(id INTEGER PRIMARY KEY, v); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE "
                 "i<60) "
                 "INSERT INTO pad SELECT i, randomblob(1000) FROM n");
        int64_t end = clock_ms() + 4000;
        pid_t pid = child_start(&f, writer_child, &end);
        struct db *db = open_db(&f);
        uint64_t version = 0, last = 0;
        int changes = 0, reads = 0;
        for (; clock_ms() < end; reads++) {
                if (db_begin(db, &e) < 0)
                        fail_msg("%s", e.text);
                assert_int_equal(number_of(db_handle(db), "SELECT (SELECT n FROM x)+(SELECT n FROM y)"), 1000);
                assert_int_equal(db_data_version(db, &version, NULL), 0);
                if (reads % 50 == 0)
                        (void) content_of(db_handle(db));
                assert_false(db_is_hot(db));
                db_end(db);
                changes += version != last;
                last = version;
        }
        child_wait(pid); /* never SQLITE_BUSY: run_sql would have aborted */
        print_message("%d transactions read, %d different states\n", reads, changes);
        assert_true(changes > 10);
        db = db_close(db);
        fixture_remove(&f);
}

static void test_data_version(void **state)
{
        (void) state;
        struct fixture f;
        uint64_t first = 0, second = 0;
        fixture_make(&f);
        fill(&f, TABLE);
        struct db *db = open_db(&f);
        assert_int_equal(db_data_version(db, &first, NULL), 0);
        assert_int_equal(db_data_version(db, &second, NULL), 0);
        assert_true(first == second);
        fill(&f, "UPDATE t SET v=1");
        assert_int_equal(db_data_version(db, &second, NULL), 0);
        assert_true(first != second);
        begin(db);
        assert_int_equal(db_data_version(db, &first, NULL), 0);
        assert_true(first == second);
        db_end(db);
        assert_int_equal(db_data_version(db, &first, NULL), 0);
        assert_true(first == second);
        db = db_close(db);
        fixture_remove(&f);
}

static void test_replaced(void **state)
{
        (void) state;
        struct fixture f;
        char other[128];
        fixture_make(&f);
        fill(&f, TABLE);
        struct db *db = open_db(&f);
        assert_false(db_replaced(db));
        fill(&f, "UPDATE t SET v=2");
        assert_false(db_replaced(db));
        struct file_stamp open = db_stamp(db), named = file_stamp_at(f.fd, DB_FILE);
        assert_true(file_stamp_equal(&open, &named));
        (void) snprintf(other, sizeof(other), "%s/other", f.dir);
        write_file(other, "x", 1);
        assert_int_equal(rename(other, f.db), 0);
        assert_true(db_replaced(db));
        assert_int_equal(unlink(f.db), 0);
        assert_true(db_replaced(db));
        db = db_close(db);
        fixture_remove(&f);
}

static bool count_down(void *context)
{
        return --*(int *) context < 0;
}

static void test_cancelled_statement(void **state)
{
        (void) state;
        struct fixture f;
        struct error e = { 0 };
        int left = 100, rc;
        fixture_make(&f);
        fill(&f, TABLE);
        struct db *db = open_db(&f);
        begin(db);
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(db_prepare(db, &stmt, &e, "SELECT count(*) FROM t a, t b, t c, t d"), 0);
        db_set_cancel(db, count_down, &left);
        while ((rc = db_step(db, stmt, &e)) > 0)
                ;
        assert_int_equal(rc, -EINTR);
        assert_non_null(strstr(e.text, "cancelled"));
        db_end(db);
        (void) sqlite3_finalize(TAKE(stmt));
        db_set_cancel(db, NULL, NULL);
        begin(db);
        db_end(db);
        /* A statement in the middle of its rows doesn't keep the lock beyond db_end. */
        begin(db);
        assert_int_equal(db_prepare(db, &stmt, &e, "SELECT v FROM t"), 0);
        assert_int_equal(db_step(db, stmt, &e), 1);
        db_end(db);
        fill(&f, "UPDATE t SET v=5");
        (void) sqlite3_finalize(TAKE(stmt));
        db = db_close(db);
        fixture_remove(&f);
}

static bool always(void *context)
{
        (void) context;
        return true;
}

/* The index of a hot journal may take long; the connection is none the worse when it was given up. */
static void test_cancelled_index(void **state)
{
        (void) state;
        for (int checked = 0; checked < 2; checked++) {
                struct fixture f;
                struct error e = { 0 };
                fixture_make(&f);
                fill(&f, "PRAGMA page_size=512; PRAGMA auto_vacuum=FULL; " TABLE);
                pid_t pid = checked ? 0 : child_start(&f, exclusive_child, NULL);
                while (!checked && fixture_size(f.journal) == 0)
                        pause_ms(1);
                struct db *db = open_db(&f); /* while it is locked: not checked */
                if (!checked) {
                        assert_int_equal(kill(pid, SIGKILL), 0);
                        child_wait(pid);
                }
                child_wait(child_start(&f, crash_child, NULL));
                db_set_cancel(db, always, NULL);
                assert_int_equal(db_begin(db, &e), -EINTR);
                assert_non_null(strstr(e.text, "cancelled"));
                db_set_cancel(db, NULL, NULL);
                begin(db);
                assert_true(db_is_hot(db));
                assert_int_equal(number_of(db_handle(db), "SELECT count(*) FROM t"), 500);
                db_end(db);
                db = db_close(db);
                fixture_remove(&f);
        }
}

static void test_columns(void **state)
{
        (void) state;
        struct fixture f;
        struct error e = { 0 };
        fixture_make(&f);
        fill(&f, TABLE
             "; CREATE VIEW w AS SELECT id AS other FROM t; CREATE VIRTUAL TABLE s USING fts5(string_value, tokenize='trigram');"
             "INSERT INTO s VALUES('hello world')");
        struct db *db = open_db(&f);
        begin(db);
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(db_prepare(db, &stmt, &e, "SELECT 'a', x'6200ff', 42, NULL, '', x'', 1.5"), 0);
        assert_int_equal(db_step(db, stmt, &e), 1);
        static const struct text expected[] = { { (char *) (uintptr_t) "a", 1 },  { (char *) (uintptr_t) "b\0\xff", 3 },
                                                { (char *) (uintptr_t) "42", 2 }, { NULL, 0 },
                                                { (char *) (uintptr_t) "", 0 },   { (char *) (uintptr_t) "", 0 },
                                                { (char *) (uintptr_t) "1.5", 3 } };
        for (int i = 0; i < 7; i++) {
                struct text value = { 0 };
                assert_int_equal(db_column_text(stmt, i, &value, &e), 0);
                assert_int_equal(value.len, expected[i].len);
                assert_int_equal(value.bytes == NULL, expected[i].bytes == NULL);
                if (value.bytes != NULL)
                        assert_memory_equal(value.bytes, expected[i].bytes, value.len + 1);
                free(value.bytes);
        }
        assert_int_equal(db_step(db, stmt, &e), 0);
        (void) sqlite3_finalize(TAKE(stmt));
        assert_int_equal(db_has_table(db, "t", &e), 1);
        assert_int_equal(db_has_table(db, "T", &e), 1);
        assert_int_equal(db_has_table(db, "s", &e), 1);
        assert_int_equal(db_has_table(db, "w", &e), 0);
        assert_int_equal(db_has_table(db, "t'", &e), 0);
        assert_int_equal(db_has_column(db, "t", "V", &e), 1);
        assert_int_equal(db_has_column(db, "t", "x", &e), 0);
        assert_int_equal(db_has_column(db, "w", "other", &e), 0);
        assert_int_equal(db_has_column(db, "s", "string_value", &e), 1);
        assert_int_equal(db_has_column(db, "nowhere", "v", &e), 0);
        assert_int_equal(number_of(db_handle(db), "SELECT count(*) FROM s WHERE s MATCH 'wor'"), 1);
        assert_int_equal(db_prepare(db, &stmt, &e, "SELECT q FROM t"), -EILSEQ);
        assert_non_null(strstr(e.text, "no such column: q"));
        assert_null(stmt);
        assert_int_equal(db_prepare(db, &stmt, &e, "SELECT * FROM w"), -EILSEQ); /* views are off */
        db_end(db);
        db = db_close(db);
        fixture_remove(&f);
}

static void test_hardening(void **state)
{
        (void) state;
        static const int options[][2] = { { SQLITE_DBCONFIG_DEFENSIVE, 1 },
                                          { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
                                          { SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
                                          { SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
                                          { SQLITE_DBCONFIG_ENABLE_FKEY, 0 },
                                          { SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0 },
                                          { SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
                                          { SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0 } };
        struct fixture f;
        struct error e = { 0 };
        fixture_make(&f);
        fill(&f, TABLE);
        uint64_t before = fixture_state(&f);
        struct db *db = open_db(&f);
        for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
                int on = -1;
                (void) sqlite3_db_config(db_handle(db), options[i][0], -1, &on);
                assert_int_equal(on, options[i][1]);
        }
        begin(db);
        assert_int_equal(number_of(db_handle(db), "PRAGMA cell_size_check"), 1);
        assert_int_equal(number_of(db_handle(db), "PRAGMA query_only"), 1);
        assert_int_equal(number_of(db_handle(db), "PRAGMA temp_store"), 2);
        assert_int_equal(number_of(db_handle(db), "PRAGMA cache_size"), -8192);
        assert_int_equal(sqlite3_limit(db_handle(db), SQLITE_LIMIT_LENGTH, -1), DB_LENGTH_MAX);
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(db_prepare(db, &stmt, &e, "DELETE FROM t"), 0);
        assert_int_equal(db_step(db, stmt, &e), -EROFS);
        (void) sqlite3_finalize(TAKE(stmt));
        db_end(db);
        assert_int_not_equal(sqlite3_exec(db_handle(db), "ATTACH ':memory:' AS other", NULL, NULL, NULL), SQLITE_OK);
        assert_int_not_equal(sqlite3_exec(db_handle(db), "VACUUM INTO '/tmp/never'", NULL, NULL, NULL), SQLITE_OK);
        db = db_close(db);
        assert_true(fixture_state(&f) == before);
        fixture_remove(&f);
}

/* See "Lengths" in db.c. */
static void test_length_limit(void **state)
{
        (void) state;
        struct fixture f;
        struct error e = { 0 };
        fixture_make(&f);
        fill(&f, "CREATE TABLE q(id INTEGER PRIMARY KEY, a TEXT, big BLOB, z TEXT);"
                 "INSERT INTO q VALUES(1, 'before', randomblob(2000000), 'behind'), (2, 'a', x'00', 'z')");
        struct db *db = open_db(&f);
        (void) sqlite3_limit(db_handle(db), SQLITE_LIMIT_LENGTH, 1000000);
        begin(db);
        assert_int_equal(number_of(db_handle(db), "SELECT count(*) FROM q WHERE a='before' AND z='behind' AND length(big)=2000000"),
                         1);
        assert_int_equal(number_of(db_handle(db), "SELECT id FROM q ORDER BY z DESC LIMIT 1"), 2);
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(db_prepare(db, &stmt, &e, "SELECT big FROM q WHERE id=1"), 0);
        assert_int_equal(db_step(db, stmt, &e), -E2BIG);
        (void) sqlite3_finalize(TAKE(stmt));
        db_end(db);
        db = db_close(db);
        fixture_remove(&f);
}

/* Another file's bytes in place of the ones that were checked. */
static void test_turned_into_wal(void **state)
{
        (void) state;
        struct fixture f;
        struct error e = { 0 };
        fixture_make(&f);
        fill(&f, TABLE);
        struct db *db = open_db(&f);
        begin(db);
        db_end(db);
        sqlite3 *other = fixture_open(&f);
        run_sql(other, "PRAGMA journal_mode=wal; UPDATE t SET v=1");
        assert_int_equal(db_begin(db, &e), -EILSEQ);
        assert_non_null(strstr(e.text, "is in WAL mode"));
        run_sql(other, "PRAGMA journal_mode=delete");
        (void) sqlite3_close(other);
        begin(db);
        assert_int_equal(number_of(db_handle(db), "SELECT count(*) FROM t WHERE v=1"), 500);
        db_end(db);
        db = db_close(db);
        fixture_remove(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_refused_files),   cmocka_unit_test(test_hot),
                cmocka_unit_test(test_locked),          cmocka_unit_test(test_own_process),
                cmocka_unit_test(test_beside_a_writer), cmocka_unit_test(test_data_version),
                cmocka_unit_test(test_replaced),        cmocka_unit_test(test_cancelled_statement),
                cmocka_unit_test(test_cancelled_index), cmocka_unit_test(test_columns),
                cmocka_unit_test(test_hardening),       cmocka_unit_test(test_length_limit),
                cmocka_unit_test(test_turned_into_wal),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
