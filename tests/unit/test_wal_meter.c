#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
        bench_remove(*state);
        return 0;
}

/* What is known can't be; measured anew it is right. */
static void check_anew(struct meter_bench *b)
{
        assert_int_equal(bench_measure(b), 1);
        bench_anew(b);
        bench_check(b);
}

/* Collections 1 to `collections`, in turns. */
static void append_rounds(struct meter_bench *b, unsigned collections, unsigned rounds, unsigned rows)
{
        for (unsigned i = 0; i < rounds; i++)
                for (unsigned c = 1; c <= collections; c++)
                        bench_append(b, c, rows);
}

static void delete_collection(struct meter_bench *b, unsigned collection)
{
        bench_sql(b, "DELETE FROM embeddings_queue WHERE topic = %Q", bench_topic(collection));
}

/* Chroma's purge of one collection. */
static void purge(struct meter_bench *b, unsigned collection, long long below)
{
        bench_sql(b, "DELETE FROM embeddings_queue WHERE topic = %Q AND seq_id < %lld", bench_topic(collection), below);
}

/* Edits the row of a collection that stands `offset` behind its first one. */
static void edit(struct meter_bench *b, unsigned collection, unsigned offset)
{
        bench_sql(b,
                  "UPDATE embeddings_queue SET id = id || 'x' WHERE seq_id ="
                  " (SELECT seq_id FROM embeddings_queue WHERE topic = %Q ORDER BY seq_id LIMIT 1 OFFSET %u)",
                  bench_topic(collection), offset);
}

/* What is new. */

static void an_empty_table(void **state)
{
        bench_check(*state);
        bench_check(*state);
}

static void rows_are_appended(void **state)
{
        struct meter_bench *b = *state;
        for (unsigned i = 1; i <= 20; i++) {
                append_rounds(b, 3, i, i);
                bench_check(b);
        }
        b->rows_read = 0;
        bench_append(b, 2, 5);
        bench_check(b);
        assert_in_range(b->rows_read, 5, 5 + 3 * 2 + 4);
}

static void nothing_is_read_twice(void **state)
{
        struct meter_bench *b = *state;
        append_rounds(b, 50, 4, 30);
        bench_check(b);
        b->rows_read = 0;
        bench_check(b);
        /* The first one and the last one of each; the lowest and the highest of all. */
        assert_in_range(b->rows_read, 1, 50 * 2 + 2);
        bench_sql(b, "CREATE TABLE other (a); INSERT INTO other VALUES (1)");
        b->rows_read = 0;
        bench_check(b);
        assert_in_range(b->rows_read, 1, 50 * 2 + 2);
}

static void the_progress(void **state)
{
        struct meter_bench *b = *state;
        bench_sql(b, "INSERT INTO embeddings_queue (seq_id, operation, topic, id) VALUES (-7, 0, 't/1', 'a'), (20, 0, 't/1', 'b')");
        bench_check(b);
        assert_int_equal(b->progress.from, -7);
        assert_int_equal(b->progress.to, 20);
        assert_int_equal(b->progress.at, 20);
        bench_check(b);
        assert_int_equal(b->progress.from, -7);
        bench_append(b, 1, 3);
        bench_check(b);
        assert_int_equal(b->progress.from, 21);
        assert_int_equal(b->progress.to, 23);
        assert_int_equal(b->progress.at, 23);
}

/* What has left. */

static void the_front_of_a_collection_leaves(void **state)
{
        struct meter_bench *b = *state;
        for (unsigned left = 1; left < 40; left++) {
                append_rounds(b, 2, 2, 20);
                bench_check(b);
                bench_sql(b,
                          "DELETE FROM embeddings_queue WHERE seq_id IN (SELECT seq_id FROM embeddings_queue WHERE topic = %Q"
                          " ORDER BY seq_id LIMIT %u)",
                          bench_topic(1), left);
                b->rows_read = 0;
                bench_check(b);
                assert_in_range(b->rows_read, 1, 18);
                delete_collection(b, 1);
                delete_collection(b, 2);
                bench_check(b);
        }
}

static void everything_but_the_last_row_leaves(void **state)
{
        struct meter_bench *b = *state;
        append_rounds(b, 3, 3, 1000);
        bench_check(b);
        for (unsigned c = 1; c <= 3; c++)
                purge(b, c, 6000 + (int) c * 1000);
        b->rows_read = 0;
        bench_check(b);
        assert_in_range(b->rows_read, 1, 3 * 16);
        bench_append(b, 2, 10);
        bench_check(b);
}

/* Chroma 0.5.6 to 0.5.12 purge all collections at once. */
static void the_front_of_all_collections_leaves(void **state)
{
        struct meter_bench *b = *state;
        append_rounds(b, 20, 3, 10);
        bench_check(b);
        static const int below[] = { 2, 11, 200, 201, 209, 395, 411, 590, 600, 601 };
        for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
                bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id < %d", below[i]);
                bench_check(b);
        }
        append_rounds(b, 3, 1, 10);
        bench_check(b);
}

static void the_table_is_emptied(void **state)
{
        struct meter_bench *b = *state;
        for (unsigned i = 0; i < 3; i++) {
                append_rounds(b, 4 + i, 2, 40);
                bench_check(b);
                bench_sql(b, "DELETE FROM embeddings_queue");
                bench_check(b);
        }
        /* The same collections, and the same numbers. */
        append_rounds(b, 4, 2, 40);
        bench_check(b);
        bench_sql(b, "DELETE FROM embeddings_queue");
        append_rounds(b, 4, 2, 30);
        check_anew(b);
}

static void numbers_are_used_again(void **state)
{
        struct meter_bench *b = *state;
        append_rounds(b, 3, 2, 50);
        bench_append(b, 4, 100);
        bench_check(b);
        delete_collection(b, 4);
        bench_append(b, 5, 60); /* fewer, as many, and more than there were */
        bench_check(b);
        delete_collection(b, 5);
        bench_append(b, 2, 60);
        bench_check(b);
        bench_append(b, 6, 10);
        bench_check(b);
        delete_collection(b, 6);
        bench_append(b, 1, 300);
        bench_check(b);
}

/* Rows of two collections in turns; then one of them is gone, and a third one has some of its numbers. */
static void numbers_in_between_are_used_again(void **state)
{
        struct meter_bench *b = *state;
        append_rounds(b, 2, 30, 1);
        bench_check(b);
        delete_collection(b, 2);
        purge(b, 1, 30);
        append_rounds(b, 3, 10, 1);
        bench_check(b);
        delete_collection(b, 1);
        delete_collection(b, 3);
        bench_append(b, 4, 1);
        bench_check(b);
        bench_append(b, 5, 100);
        bench_check(b);
}

static void a_collection_is_deleted_and_comes_again(void **state)
{
        struct meter_bench *b = *state;
        append_rounds(b, 2, 1, 20);
        bench_check(b);
        /* Behind those of another one. */
        delete_collection(b, 1);
        bench_append(b, 1, 20);
        bench_check(b);
        /* With the same numbers. */
        delete_collection(b, 1);
        bench_append(b, 1, 20);
        check_anew(b);
        delete_collection(b, 1);
        bench_append(b, 1, 25);
        check_anew(b);
}

static void ten_thousand_collections(void **state)
{
        struct meter_bench *b = *state;
        bench_sql(b, "BEGIN");
        append_rounds(b, 10000, 3, 1);
        bench_sql(b, "COMMIT");
        bench_check(b);
        b->rows_read = 0;
        bench_check(b);
        assert_in_range(b->rows_read, 10000, 20002);
        bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id < 10500");
        bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id %% 10000 > 9000");
        bench_append(b, 5, 3);
        bench_append(b, 20000, 3);
        bench_check(b);
}

/* What no Chroma does. */

static void rows_are_edited(void **state)
{
        struct meter_bench *b = *state;
        append_rounds(b, 3, 1, 30);
        bench_append(b, 4, 1);
        bench_check(b);
        edit(b, 2, 15);
        assert_int_equal(bench_measure(b), 0); /* the reader sees it */
        edit(b, 2, 29);
        check_anew(b);
        edit(b, 2, 0);
        check_anew(b);
        edit(b, 4, 0);
        check_anew(b);
}

static void single_rows_leave(void **state)
{
        struct meter_bench *b = *state;
        append_rounds(b, 2, 1, 40);
        bench_append(b, 3, 2);
        bench_check(b);
        bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id = 80");
        check_anew(b);
        bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id = 82");
        check_anew(b);
        /* The first and the last; only some of the middle. */
        bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id = 1 OR seq_id = 40");
        check_anew(b);
        bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id < 20 OR seq_id = 39");
        check_anew(b);
}

static void copy(sqlite3 *from, sqlite3 *to)
{
        sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
        assert_non_null(backup);
        assert_int_equal(sqlite3_backup_step(backup, -1), SQLITE_DONE);
        assert_int_equal(sqlite3_backup_finish(backup), SQLITE_OK);
}

static void an_older_copy_comes_back(void **state)
{
        struct meter_bench *b = *state;
        sqlite3 *old = NULL;
        assert_int_equal(sqlite3_open(":memory:", &old), SQLITE_OK);
        append_rounds(b, 3, 2, 20);
        bench_check(b);
        copy(b->writer, old);
        append_rounds(b, 3, 1, 10);
        bench_check(b);
        copy(old, b->writer);
        check_anew(b);
        /* Another future, shorter and longer than the one that is known. */
        append_rounds(b, 3, 1, 10);
        bench_check(b);
        for (unsigned rows = 9; rows < 12; rows++) {
                copy(old, b->writer);
                append_rounds(b, 3, 1, rows);
                check_anew(b);
        }
        (void) sqlite3_close(old);
}

/* The only row that both have is the last one of the old one. */
static void an_older_copy_with_rows_that_had_left(void **state)
{
        struct meter_bench *b = *state;
        sqlite3 *old = NULL;
        assert_int_equal(sqlite3_open(":memory:", &old), SQLITE_OK);
        bench_append(b, 1, 50);
        bench_append(b, 2, 1);
        copy(b->writer, old);
        bench_append(b, 1, 50);
        purge(b, 1, 90);
        bench_check(b);
        copy(old, b->writer);
        check_anew(b);
        (void) sqlite3_close(old);
}

static void the_ends_of_all_numbers(void **state)
{
        struct meter_bench *b = *state;
        bench_sql(b, "INSERT INTO embeddings_queue (seq_id, operation, topic, id) VALUES (-9223372036854775807 - 1, 0, 't/a', 'a'),"
                     " (-5, 0, 't/b', 'b'), (0, 0, 't/a', 'c'), (1 << 40, 0, 't/b', 'd')");
        bench_check(b);
        bench_sql(b, "INSERT INTO embeddings_queue (seq_id, operation, topic, id) VALUES (9223372036854775807, 0, 't/c', 'e')");
        bench_check(b);
        bench_check(b);
        /* From here on SQLite takes any number. */
        bench_append(b, 1, 3);
        check_anew(b);
        bench_check(b);
        bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id <= 0");
        bench_check(b);
        bench_append(b, 1, 1);
        bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id = 9223372036854775807");
        check_anew(b);
        bench_append(b, 1, 1);
        bench_check(b);
}

static void values_of_all_kinds(void **state)
{
        struct meter_bench *b = *state;
        bench_sql(b,
                  "DROP TABLE embeddings_queue; CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, created_at, operation,"
                  " topic, id, vector, encoding, metadata)");
        static const char *const values[] = { "NULL",
                                              "1",
                                              "-1.5e300",
                                              "9e999",
                                              "'x'",
                                              "''",
                                              "x''",
                                              "x'ff00c328'",
                                              "CAST(x'61c32800' AS TEXT)",
                                              "'persistent://default/default/00000000-0000-4000-8000-000000000001'",
                                              "'a/' || hex(zeroblob(2000))",
                                              "zeroblob(100)" };
        size_t count = sizeof(values) / sizeof(values[0]);
        for (size_t i = 0; i < count * 6; i++) {
                const char *v[6];
                for (size_t j = 0; j < 6; j++)
                        v[j] = values[(i * (j + 1) + j) % count];
                bench_sql(b,
                          "INSERT INTO embeddings_queue (created_at, operation, topic, id, vector, metadata) VALUES (%s, %s, %s, "
                          "%s, %s, %s)",
                          v[0], v[1], v[2], v[3], v[4], v[5]);
                if (i % 10 == 0)
                        bench_check(b);
        }
        bench_check(b);
        bench_sql(b, "DELETE FROM embeddings_queue WHERE topic = ''");
        bench_sql(b, "DELETE FROM embeddings_queue WHERE seq_id < 20");
        if (bench_measure(b) != 0)
                bench_anew(b);
        bench_check(b);
}

static void tables_of_other_kinds(void **state)
{
        struct meter_bench *b = *state;
        bench_append(b, 1, 10);
        bench_check(b);
        bench_sql(b, "ALTER TABLE embeddings_queue RENAME TO kept");
        assert_int_equal(bench_measure(b), -EILSEQ);
        bench_sql(b, "CREATE VIEW embeddings_queue AS SELECT * FROM kept");
        assert_int_equal(bench_measure(b), -EILSEQ);
        bench_sql(b, "DROP VIEW embeddings_queue; CREATE TABLE embeddings_queue (seq_id, created_at, operation, topic, id, vector, "
                     "encoding, metadata)");
        assert_int_equal(bench_measure(b), -EILSEQ);
        bench_sql(b, "DROP TABLE embeddings_queue; ALTER TABLE kept RENAME TO embeddings_queue");
        bench_check(b);
}

/* The cache. */

static void what_is_cached_is_not_read_again(void **state)
{
        struct meter_bench *b = *state;
        b->cached = true;
        bench_anew(b);
        append_rounds(b, 3, 3, 200);
        bench_check(b);
        b->rows_read = 0;
        bench_anew(b);
        bench_check(b);
        assert_in_range(b->rows_read, 1, 3 * 2 + 2);
        purge(b, 2, 1000);
        delete_collection(b, 3);
        bench_append(b, 1, 10);
        bench_anew(b);
        b->rows_read = 0;
        bench_check(b);
        assert_in_range(b->rows_read, 10, 50);
}

/* Somebody cuts the file while it is in use. */
static void a_cache_that_vanishes(void **state)
{
        struct meter_bench *b = *state;
        b->cached = true;
        bench_anew(b);
        append_rounds(b, 3, 2, 200);
        bench_check(b);
        int fd = openat(b->dir.fd, "wal-cache", O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, 4096), 0);
        (void) close(fd);
        check_anew(b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(an_empty_table),
                TEST(rows_are_appended),
                TEST(nothing_is_read_twice),
                TEST(the_progress),
                TEST(the_front_of_a_collection_leaves),
                TEST(everything_but_the_last_row_leaves),
                TEST(the_front_of_all_collections_leaves),
                TEST(the_table_is_emptied),
                TEST(numbers_are_used_again),
                TEST(numbers_in_between_are_used_again),
                TEST(a_collection_is_deleted_and_comes_again),
                TEST(ten_thousand_collections),
                TEST(rows_are_edited),
                TEST(single_rows_leave),
                TEST(an_older_copy_comes_back),
                TEST(an_older_copy_with_rows_that_had_left),
                TEST(the_ends_of_all_numbers),
                TEST(values_of_all_kinds),
                TEST(tables_of_other_kinds),
                TEST(what_is_cached_is_not_read_again),
                TEST(a_cache_that_vanishes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
