#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/tally.h"
#include "tests/unit/fixture.h"
#include "tests/unit/sql_dir.h"

static int setup(void **state)
{
        static struct sql_dir d;
        sql_dir_make(&d);
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        sql_dir_remove(*state);
        return 0;
}

/* Two collections with ids ...01 and ...02. */
static char ids[2][37];
static struct collection collections[2];

static struct catalog two_collections(void)
{
        for (unsigned i = 0; i < 2; i++)
                collections[i] = (struct collection){ .id = text_of(test_uuid(i + 1, ids[i])), .id_is_uuid = true };
        return (struct catalog){ .collections = collections, .collection_count = 2 };
}

static void count(const struct sql_dir *d, const struct catalog *catalog, const struct tally_positions *positions,
                  struct tally *ret)
{
        struct db *db = sql_dir_open(d);
        struct error e = { 0 };
        if (tally_read(db, catalog, positions, ret, &e) < 0)
                fail_msg("%s", e.text);
        (void) db_close(db);
}

static void insert(const struct sql_dir *d, long long seq_id, const char *topic_sql)
{
        sql_dir_exec(d, "INSERT INTO embeddings_queue (seq_id, operation, topic, id) VALUES (%lld, 0, %s, 'x')", seq_id, topic_sql);
}

static void empty_log(void **state)
{
        struct catalog catalog = two_collections();
        struct tally_positions positions[2] = { 0 };
        struct tally t;
        count(*state, &catalog, positions, &t);
        assert_int_equal(t.entries, 0);
        assert_int_equal(t.count, 2);
        assert_true(t.exact);
        tally_clear(&t);
}

static void gaps_of_each_segment(void **state)
{
        struct catalog catalog = two_collections();
        struct tally_positions positions[2] = { { .has_vector = true, .vector = 4, .has_metadata = true, .metadata = 5 },
                                                { .has_vector = true, .vector = 0 } };
        for (int i = 1; i <= 6; i++)
                insert(*state, i,
                       i % 2 == 0 ? "'persistent://default/default/00000000-0000-4000-8000-000000000001'"
                                  : "'persistent://any/thing/00000000-0000-4000-8000-000000000002'");
        struct tally t;
        count(*state, &catalog, positions, &t);
        assert_int_equal(t.entries, 6);
        assert_int_equal(t.orphan_entries, 0);
        assert_int_equal(t.rows[0].entries, 3);
        assert_int_equal(t.rows[0].vector_gap, 1); /* 6 */
        assert_int_equal(t.rows[0].metadata_gap, 1);
        assert_int_equal(t.rows[1].entries, 3);
        assert_int_equal(t.rows[1].vector_gap, 3);
        assert_int_equal(t.rows[1].metadata_gap, 3);
        tally_clear(&t);
}

static void extreme_seq_ids(void **state)
{
        struct catalog catalog = two_collections();
        struct tally_positions positions[2] = {
                { .has_vector = true, .vector = UINT64_MAX, .has_metadata = true, .metadata = INT64_MAX - 1 }, { 0 }
        };
        const char *topic = "'/00000000-0000-4000-8000-000000000001'";
        insert(*state, INT64_MIN, topic);
        insert(*state, -1, topic);
        insert(*state, 0, topic);
        insert(*state, INT64_MAX, topic);
        struct tally t;
        count(*state, &catalog, positions, &t);
        assert_int_equal(t.rows[0].entries, 4);
        assert_int_equal(t.rows[0].vector_gap, 0);
        assert_int_equal(t.rows[0].metadata_gap, 1);
        tally_clear(&t);
}

static void topics_of_nobody(void **state)
{
        static const char *const topics[] = {
                "'persistent://default/default/00000000-0000-4000-8000-000000000003'",
                "'00000000-0000-4000-8000-000000000001'",
                "'persistent://default/default/'",
                "''",
                "17",
                "x'2f30303030303030302d303030302d343030302d383030302d303030303030303030303031'",
                "'/00000000-0000-4000-8000-000000000001' || char(0) || 'x'",
                "'/00000000-0000-4000-8000-00000000000'",
                "'/00000000-0000-4000-8000-000000000001/'",
                "CAST(x'2fff' AS TEXT)",
                "'/' || hex(zeroblob(500000))",
        };
        const size_t n = sizeof(topics) / sizeof(*topics);
        struct catalog catalog = two_collections();
        struct tally_positions positions[2] = { 0 };
        for (size_t i = 0; i < n; i++)
                insert(*state, (long long) i, topics[i]);
        struct tally t;
        count(*state, &catalog, positions, &t);
        assert_int_equal(t.entries, n);
        assert_int_equal(t.orphan_entries, n);
        assert_int_equal(t.rows[0].entries + t.rows[1].entries, 0);
        tally_clear(&t);
}

static void null_topic_in_a_strange_table(void **state)
{
        sql_dir_exec(*state, "DROP TABLE embeddings_queue; CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, topic);"
                             "INSERT INTO embeddings_queue VALUES (1, NULL), (2, 5), (3, 1.5)");
        struct catalog catalog = two_collections();
        struct tally_positions positions[2] = { 0 };
        struct tally t;
        count(*state, &catalog, positions, &t);
        assert_int_equal(t.orphan_entries, 3);
        tally_clear(&t);
}

static void no_log(void **state)
{
        sql_dir_exec(*state, "DROP TABLE embeddings_queue");
        struct catalog catalog = two_collections();
        struct tally_positions positions[2] = { 0 };
        struct db *db = sql_dir_open(*state);
        struct tally t;
        struct error e = { 0 };
        assert_int_equal(tally_read(db, &catalog, positions, &t, &e), -EILSEQ);
        assert_non_null(strstr(e.text, "embeddings_queue"));
        (void) db_close(db);
}

_Noreturn static void write_for_ever(const struct sql_dir *d)
{
        sqlite3 *db = sql_dir_writer(d, 2000);
        while (sqlite3_exec(db, "INSERT INTO embeddings_queue (operation, topic, id) VALUES (0, '/later', 'x')", NULL, NULL,
                            NULL) == SQLITE_OK)
                (void) usleep(1000);
        _exit(1);
}

static void writers_commit_meanwhile(void **state)
{
        sql_dir_exec(*state,
                     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000) INSERT INTO embeddings_queue"
                     " (seq_id, operation, topic, id) SELECT i, 0, '/00000000-0000-4000-8000-000000000001', 'x' FROM n");
        pid_t writer = fork();
        if (writer == 0)
                write_for_ever(*state);
        (void) usleep(50000);
        struct catalog catalog = two_collections();
        struct tally_positions positions[2] = { 0 };
        struct tally t;
        count(*state, &catalog, positions, &t);
        int status = 0;
        assert_int_equal(waitpid(writer, &status, WNOHANG), 0); /* no commit of its was refused */
        assert_int_equal(kill(writer, SIGKILL), 0);
        assert_int_equal(waitpid(writer, &status, 0), writer);
        assert_int_equal(t.rows[0].entries, 500000);
        assert_true(t.orphan_entries > 0);
        assert_false(t.exact);
        tally_clear(&t);
}

/* The same counts by SQL's own means. */
static int64_t count_topic(struct db *db, const char *id)
{
        char *sql = sqlite3_mprintf("SELECT count(*) FROM embeddings_queue WHERE topic LIKE '%%/%q'", id);
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(db_begin(db, NULL), 0);
        assert_int_equal(db_prepare(db, &stmt, NULL, sql), 0);
        assert_int_equal(db_step(db, stmt, NULL), 1);
        int64_t n = sqlite3_column_int64(stmt, 0);
        (void) sqlite3_finalize(stmt);
        db_end(db);
        sqlite3_free(sql);
        return n;
}

static void check_fixture(const struct fixture *f)
{
        struct tally_positions *positions = calloc(f->catalog->collection_count + 1, sizeof(*positions));
        struct tally t;
        struct error e = { 0 };
        if (tally_read(f->db, f->catalog, positions, &t, &e) < 0)
                fail_msg("%s: %s", f->name, e.text);
        uint64_t sum = t.orphan_entries;
        for (size_t i = 0; i < t.count; i++) {
                assert_int_equal(t.rows[i].entries, count_topic(f->db, f->catalog->collections[i].id.bytes));
                assert_int_equal(t.rows[i].vector_gap, t.rows[i].entries);
                sum += t.rows[i].entries;
        }
        assert_int_equal(t.entries, sum);
        assert_true(t.entries > 0);
        assert_true(t.exact);
        tally_clear(&t);
        free(positions);
}

static void fixtures(void **state)
{
        (void) state;
        each_fixture(check_fixture);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(empty_log, setup, teardown),
                cmocka_unit_test_setup_teardown(gaps_of_each_segment, setup, teardown),
                cmocka_unit_test_setup_teardown(extreme_seq_ids, setup, teardown),
                cmocka_unit_test_setup_teardown(topics_of_nobody, setup, teardown),
                cmocka_unit_test_setup_teardown(null_topic_in_a_strange_table, setup, teardown),
                cmocka_unit_test_setup_teardown(no_log, setup, teardown),
                cmocka_unit_test_setup_teardown(writers_commit_meanwhile, setup, teardown),
                cmocka_unit_test(fixtures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
