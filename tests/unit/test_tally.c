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
#include "ops/wal/wal.h"
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

struct counts { /* as one asks for them: what was measured, and of each collection */
        struct wal_totals totals;
        struct tally_orphans orphans;
        struct tally rows[2];
};

static struct wal *start(int dirfd)
{
        struct wal *wal = NULL;
        const struct wal_place nowhere = { .dirfd = -1 };
        assert_int_equal(wal_new(dirfd, &nowhere, false, &wal, NULL), 0);
        return wal;
}

static struct wal_index *measured(struct wal *wal)
{
        struct wal_index *index = NULL;
        struct error e = { 0 };
        bool current = false;
        if (wal_current(wal, 1, INT64_MAX, NULL, NULL, &index, &current, &e) < 0)
                fail_msg("%s", e.text);
        assert_true(current);
        return index;
}

static void count(const struct sql_dir *d, const struct catalog *catalog, const struct tally_positions *positions,
                  struct counts *ret)
{
        struct wal *wal = start(d->fd);
        struct wal_index *index = measured(wal);
        ret->totals = wal_index_totals(index);
        assert_int_equal(tally_orphans(index, catalog, &ret->orphans, NULL), 0);
        for (size_t i = 0; i < catalog->collection_count; i++)
                assert_int_equal(tally_read(index, &catalog->collections[i], &positions[i], &ret->rows[i], NULL), 0);
        (void) wal_index_put(index);
        (void) wal_free(wal);
}

static void insert(const struct sql_dir *d, long long seq_id, const char *topic_sql)
{
        sql_dir_exec(d, "INSERT INTO embeddings_queue (seq_id, operation, topic, id) VALUES (%lld, 0, %s, 'x')", seq_id, topic_sql);
}

static void empty_log(void **state)
{
        struct catalog catalog = two_collections();
        struct tally_positions positions[2] = { 0 };
        struct counts t;
        count(*state, &catalog, positions, &t);
        assert_int_equal(t.totals.rows, 0);
        assert_int_equal(t.orphans.rows, 0);
        assert_false(t.orphans.has_last);
        assert_int_equal(t.rows[0].entries, 0);
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
        struct counts t;
        count(*state, &catalog, positions, &t);
        assert_int_equal(t.totals.rows, 6);
        assert_int_equal(t.orphans.rows, 0);
        assert_int_equal(t.rows[0].entries, 3);
        assert_int_equal(t.rows[0].vector_gap, 1); /* 6 */
        assert_int_equal(t.rows[0].metadata_gap, 1);
        assert_int_equal(t.rows[1].entries, 3);
        assert_int_equal(t.rows[1].vector_gap, 3);
        assert_int_equal(t.rows[1].metadata_gap, 3);
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
        struct counts t;
        count(*state, &catalog, positions, &t);
        assert_int_equal(t.rows[0].entries, 4);
        assert_int_equal(t.rows[0].vector_gap, 0);
        assert_int_equal(t.rows[0].metadata_gap, 1);
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
        struct counts t;
        count(*state, &catalog, positions, &t);
        assert_int_equal(t.totals.rows, n);
        assert_int_equal(t.orphans.rows, n);
        assert_true(t.orphans.has_last);
        assert_int_equal(t.rows[0].entries + t.rows[1].entries, 0);
        insert(*state, (long long) n, "'/00000000-0000-4000-8000-000000000001'");
        count(*state, &catalog, positions, &t);
        assert_int_equal(t.orphans.rows, n);
        assert_false(t.orphans.has_last);
}

/* What measuring fails with. */
static int failure(const struct sql_dir *d, struct error *e)
{
        struct wal *wal = start(d->fd);
        struct wal_index *index = NULL;
        bool current = false;
        int r = wal_current(wal, 1, INT64_MAX, NULL, NULL, &index, &current, e);
        (void) wal_free(wal);
        return r;
}

static void a_table_without_columns(void **state)
{
        struct error e = { 0 };
        sql_dir_exec(*state, "DROP TABLE embeddings_queue; CREATE TABLE embeddings_queue (seq_id INTEGER PRIMARY KEY, topic)");
        assert_int_equal(failure(*state, &e), -EILSEQ);
        assert_non_null(strstr(e.text, "embeddings_queue"));
}

static void no_log(void **state)
{
        struct error e = { 0 };
        sql_dir_exec(*state, "DROP TABLE embeddings_queue");
        assert_int_equal(failure(*state, &e), -EILSEQ);
        assert_non_null(strstr(e.text, "embeddings_queue"));
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
        struct counts t;
        count(*state, &catalog, positions, &t);
        int status = 0;
        assert_int_equal(waitpid(writer, &status, WNOHANG), 0); /* no commit of its was refused */
        assert_int_equal(kill(writer, SIGKILL), 0);
        assert_int_equal(waitpid(writer, &status, 0), writer);
        assert_int_equal(t.rows[0].entries, 500000);
        assert_true(t.orphans.rows > 0);
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
        const struct tally_positions none = { 0 };
        struct wal *wal = start(f->fd);
        struct wal_index *index = measured(wal);
        struct tally_orphans orphans;
        uint64_t sum;
        assert_int_equal(tally_orphans(index, f->catalog, &orphans, NULL), 0);
        sum = orphans.rows;
        for (size_t i = 0; i < f->catalog->collection_count; i++) {
                struct tally t;
                assert_int_equal(tally_read(index, &f->catalog->collections[i], &none, &t, NULL), 0);
                assert_int_equal(t.entries, count_topic(f->db, f->catalog->collections[i].id.bytes));
                assert_int_equal(t.vector_gap, t.entries);
                sum += t.entries;
        }
        assert_int_equal(wal_index_totals(index).rows, sum);
        assert_true(sum > 0);
        (void) wal_index_put(index);
        (void) wal_free(wal);
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
                cmocka_unit_test_setup_teardown(a_table_without_columns, setup, teardown),
                cmocka_unit_test_setup_teardown(no_log, setup, teardown),
                cmocka_unit_test_setup_teardown(writers_commit_meanwhile, setup, teardown),
                cmocka_unit_test(fixtures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
