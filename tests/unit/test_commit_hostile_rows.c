/* Logs that say what Chroma never did, and collections that no index can be built of: commit neither follows the one nor ends at the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/index_summary.h"
#include "ops/commit/commit.h"
#include "ops/commit/row.h"
#include "tests/unit/clean_dir.h"

static struct clean_dir d;

static int setup(void **state)
{
        clean_dir_make(&d, **(enum clean_format **) state);
        return 0;
}

static int teardown(void **state)
{
        (void) state;
        clean_dir_remove(&d);
        return 0;
}

static struct json_object *commit(void)
{
        struct error e = { 0 };
        struct operation_request request = { .type = &operation_commit, .line = "1", .line_len = 1 };
        struct json_object *outcome = NULL;
        struct operation_sink sink = { .context = NULL };
        if (operation_run(d.sql.fd, &request, &sink, &outcome, &e) < 0)
                fail_msg("%s", e.text);
        struct json_object *result = json_object_get(json_object_object_get(outcome, "result"));
        json_object_put(outcome);
        return result;
}

static int64_t commits(const char *what)
{
        struct json_object *result = commit();
        int64_t number = result_number(result, what);
        json_object_put(result);
        return number;
}

/* Of collection 1. */
static void read_ids(struct index_metadata **ret)
{
        char id[37];
        sqlite3 *db = sql_dir_writer(&d.sql, 1000);
        sqlite3_stmt *stmt = NULL;
        struct hnsw_finding findings[HNSW_FINDING_KINDS];
        struct index_summary summary;
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT id FROM segments WHERE scope = 'VECTOR'", -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        (void) snprintf(id, sizeof(id), "%s", (const char *) sqlite3_column_text(stmt, 0));
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
        index_summary_check(d.sql.fd, id, NULL, NULL, findings, &summary, ret);
        assert_non_null(*ret);
}

static bool has_vector(const char *id)
{
        struct index_metadata *m = NULL;
        bool found = false;
        read_ids(&m);
        for (size_t i = 0; i < m->count; i++)
                found |= m->entries[i].id_len == strlen(id) && memcmp(m->entries[i].id, id, m->entries[i].id_len) == 0;
        (void) index_metadata_free(m);
        return found;
}

/* The log of a collection at 20 was emptied, so that the next rows got the numbers from 1 on: Chroma passes over them. */
static void make_emptied(void)
{
        clean_dir_filled(&d, 1, 4, 11, 20);
        sql_dir_exec(&d.sql, "DELETE FROM embeddings_queue");
        clean_dir_log(&d, 1, (int) COMMIT_ADD, 1, "never", true);
        clean_dir_log(&d, 2, (int) COMMIT_UPDATE, 1, "id2", true);
        clean_dir_log(&d, 3, (int) COMMIT_DELETE, 1, "id3", false);
}

static void test_rows_that_were_never_applied(void **state)
{
        (void) state;
        make_emptied();
        assert_int_equal(commits("committed"), 0);
        assert_true(has_vector("id3"));
        assert_false(has_vector("never"));
}

/* The counter has passed the positions again: what comes then counts, what came before does not. */
static void test_rows_behind_them_are_applied(void **state)
{
        (void) state;
        make_emptied();
        clean_dir_log(&d, 21, (int) COMMIT_ADD, 1, "new", true);
        clean_dir_log(&d, 22, (int) COMMIT_UPDATE, 1, "id3", true); /* is there: row 3 was not applied */
        clean_dir_log(&d, 23, (int) COMMIT_UPDATE, 1, "never", true);
        struct json_object *result = commit();
        struct json_object *vectors = json_object_object_get(result_collection(result, 1), "vectors");
        assert_int_equal(result_number(result, "committed"), 1);
        assert_int_equal(result_number(vectors, "adds"), 1);
        assert_int_equal(result_number(vectors, "updates"), 1);
        assert_int_equal(result_number(vectors, "deletes"), 0);
        assert_int_equal(result_number(vectors, "ignored"), 1);
        json_object_put(result);
        assert_true(has_vector("id3") && has_vector("new"));
        assert_false(has_vector("never"));
}

/* A deletion that was applied to the record, while the index still has the vector, is made up for as ever. */
static void test_rows_that_were_applied_to_the_records(void **state)
{
        (void) state;
        clean_dir_filled(&d, 1, 4, 1, 9);
        clean_dir_log(&d, 9, (int) COMMIT_DELETE, 1, "id3", false);
        sql_dir_exec(&d.sql, "DELETE FROM embeddings WHERE embedding_id = 'id3'");
        assert_int_equal(commits("committed"), 1);
        assert_false(has_vector("id3"));
}

/* Chroma makes such a collection, and ends with the first index that it builds. The others don't wait for it. */
static void test_parameters_of_no_index(void **state)
{
        (void) state;
        char id[37];
        clean_dir_collection(&d, 1, 0, CLEAN_NONE, CLEAN_NONE);
        assert_int_equal(tree_remove(d.sql.fd, test_uuid(CLEAN_VECTOR + 1, id), NULL), 0);
        clean_dir_log(&d, 1, (int) COMMIT_ADD, 1, "a", true);
        clean_dir_filled(&d, 2, 4, 11, 14);
        clean_dir_log(&d, 15, (int) COMMIT_ADD, 2, "b", true);
        sql_dir_exec(&d.sql, "INSERT INTO segment_metadata (segment_id, key, int_value) VALUES (%Q, 'hnsw:M', 1)",
                     test_uuid(CLEAN_VECTOR + 1, id));
        struct json_object *result = commit();
        assert_int_equal(result_number(result, "committed"), 1);
        assert_int_equal(result_number(result, "left"), 1);
        json_object_put(result);
        sql_dir_exec(&d.sql, "UPDATE segment_metadata SET key = 'hnsw:construction_ef', int_value = 0");
        assert_int_equal(commits("committed"), 1); /* of below M hnswlib makes M */
}

/* Chroma was killed in its first persist, before the pickle: one collection less, and no more. */
static void test_first_persist_without_its_pickle(void **state)
{
        (void) state;
        char id[37], path[96];
        clean_dir_collection(&d, 1, 4, CLEAN_NONE, CLEAN_NONE);
        (void) snprintf(path, sizeof(path), "%s/index_metadata.pickle", test_uuid(CLEAN_VECTOR + 1, id));
        assert_int_equal(unlinkat(d.sql.fd, path, 0), 0);
        index_dir_age(d.sql.fd, id, 3600);
        clean_dir_log(&d, 1, (int) COMMIT_ADD, 1, "a", true);
        clean_dir_filled(&d, 2, 4, 11, 14);
        clean_dir_log(&d, 15, (int) COMMIT_ADD, 2, "b", true);
        struct json_object *result = commit();
        assert_int_equal(result_number(result, "committed"), 1);
        assert_int_equal(result_number(result, "left"), 1);
        assert_string_equal(json_object_get_string(json_object_object_get(result_collection(result, 1), "cure")), "rebuild-hnsw");
        json_object_put(result);
}

static void make_log_vector(int64_t seq_id, float x, float y)
{
        const float vector[INDEX_DIR_DIMENSION] = { x, y, 1 };
        unsigned char bytes[sizeof(vector)];
        char hex[2 * sizeof(vector) + 1];
        memcpy(bytes, vector, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes); i++)
                (void) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
        sql_dir_exec(&d.sql, "UPDATE embeddings_queue SET vector = x'%s' WHERE seq_id = %lld", hex, (long long) seq_id);
}

/* What can't be normalised is no reason to build the index anew each time. */
static void test_vectors_beyond_floats(void **state)
{
        (void) state;
        char id[37];
        clean_dir_collection(&d, 1, 0, CLEAN_NONE, CLEAN_NONE);
        assert_int_equal(tree_remove(d.sql.fd, test_uuid(CLEAN_VECTOR + 1, id), NULL), 0);
        sql_dir_exec(&d.sql, "INSERT INTO segment_metadata (segment_id, key, str_value) VALUES (%Q, 'hnsw:space', 'cosine')",
                     test_uuid(CLEAN_VECTOR + 1, id));
        for (int i = 1; i <= 5; i++) {
                (void) snprintf(id, sizeof(id), "id%d", i);
                clean_dir_log(&d, i, (int) COMMIT_ADD, 1, id, true);
        }
        make_log_vector(1, NAN, 1);
        make_log_vector(2, INFINITY, 1);
        make_log_vector(3, 3e38f, 3e38f);
        make_log_vector(4, -NAN, INFINITY);
        assert_int_equal(commits("committed"), 1);
        assert_int_equal(commits("committed"), 0);
}

#define IN(format, test)                                                                                                           \
        {                                                                                                                          \
#test " (" #format ")", test, setup, teardown, &formats[format]                                                    \
        }
#define IN_ALL(test) IN(CLEAN_TOPIC_COLUMN, test), IN(CLEAN_PYTHON, test), IN(CLEAN_RUST, test)

int main(void)
{
        static enum clean_format formats[] = { CLEAN_TOPIC_COLUMN, CLEAN_PYTHON, CLEAN_RUST };
        const struct CMUnitTest tests[] = {
                IN_ALL(test_rows_that_were_never_applied),          IN_ALL(test_rows_behind_them_are_applied),
                IN_ALL(test_rows_that_were_applied_to_the_records), IN_ALL(test_parameters_of_no_index),
                IN_ALL(test_first_persist_without_its_pickle),      IN_ALL(test_vectors_beyond_floats),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
