/* commit as a whole, on made directories: what each collection has afterwards, what is left, and what changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "ops/hnsw/check.h"
#include "ops/index_summary.h"
#include "ops/commit/commit.h"
#include "ops/commit/reject.h"
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

static struct json_object *run_with(const char *line, const char *collection, const struct operation_sink *sink, int expected,
                                    struct error *ret_error)
{
        struct error e = { 0 };
        struct operation_request request = {
                .type = &operation_commit, .line = line, .line_len = strlen(line), .collection_id = collection
        };
        struct json_object *outcome = NULL;
        int r = operation_run(d.sql.fd, &request, sink, &outcome, &e);
        if (r != expected)
                fail_msg("\"%s\": %d, not %d: %s", line, r, expected, e.text);
        struct json_object *result = json_object_get(json_object_object_get(outcome, "result"));
        json_object_put(outcome);
        if (ret_error != NULL)
                *ret_error = e;
        return result;
}

static struct json_object *run(const char *line)
{
        return run_with(line, NULL, &(struct operation_sink){ .context = NULL }, 0, NULL);
}

static void fails(const char *line, const char *collection, int err, const char *sentence)
{
        struct error e = { 0 };
        json_object_put(run_with(line, collection, &(struct operation_sink){ .context = NULL }, -err, &e));
        if (strstr(e.text, sentence) == NULL)
                fail_msg("\"%s\" is not in: %s", sentence, e.text);
}

static const char *text_of_key(struct json_object *object, const char *key)
{
        const char *text = json_object_get_string(json_object_object_get(object, key));
        return text == NULL ? "" : text;
}

static int64_t count_of(struct json_object *result, unsigned n, const char *side, const char *key)
{
        struct json_object *one = result_collection(result, n);
        if (one == NULL)
                fail_msg("collection %u is not in %s", n, json_object_to_json_string(result));
        return json_object_get_int64(json_object_object_get(json_object_object_get(one, side), key));
}

/* A hash of the database's bytes. */
static uint64_t database_state(void)
{
        int fd = openat(d.sql.fd, DB_FILE, O_RDONLY | O_CLOEXEC);
        struct stat st = { 0 };
        assert_true(fd >= 0 && fstat(fd, &st) == 0);
        unsigned char *bytes = malloc((size_t) st.st_size + 1);
        assert_non_null(bytes);
        assert_int_equal(read(fd, bytes, (size_t) st.st_size), st.st_size);
        uint64_t hash = XXH3_64bits(bytes, (size_t) st.st_size);
        free(bytes);
        (void) close(fd);
        return hash;
}

/* When a name in the directory came or went last. */
static int64_t directory_state(void)
{
        struct file_stamp stamp = file_stamp_at(d.sql.fd, ".");
        assert_true(stamp.present);
        return stamp.mtime_ns;
}

static void vector_id(unsigned n, char ret[37])
{
        char sql[128], id[37];
        sqlite3 *db = sql_dir_writer(&d.sql, 1000);
        sqlite3_stmt *stmt = NULL;
        (void) snprintf(sql, sizeof(sql), "SELECT id FROM segments WHERE scope = 'VECTOR' AND collection = '%s'", test_uuid(n, id));
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        (void) snprintf(ret, 37, "%s", (const char *) sqlite3_column_text(stmt, 0));
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
}

/* Live vectors of the index, which is whole. */
static uint64_t labels_of(unsigned n)
{
        char id[37];
        struct index_summary summary = { 0 };
        vector_id(n, id);
        index_summary_read(d.sql.fd, id, &summary);
        if (summary.damage.code != 0)
                fail_msg("%s", summary.damage.text);
        assert_int_equal(summary.stage, INDEX_PERSISTED);
        return summary.total_labels;
}

static int64_t position_of(const char *scope, unsigned n)
{
        char sql[256], id[37];
        (void) snprintf(
                sql, sizeof(sql),
                "SELECT CASE typeof(seq_id) WHEN 'integer' THEN seq_id ELSE ('0x' || hex(seq_id)) END FROM max_seq_id WHERE "
                "segment_id = (SELECT id FROM segments WHERE scope = '%s' AND collection = '%s')",
                scope, test_uuid(n, id));
        sqlite3 *db = sql_dir_writer(&d.sql, 1000);
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
        int64_t position = -1;
        if (sqlite3_step(stmt) == SQLITE_ROW)
                position = strtoll((const char *) sqlite3_column_text(stmt, 0), NULL, 0);
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
        return position;
}

/* id1 to id4 are in the index, rows 5 to 9 are not. */
static void make_work(unsigned n, int64_t record_position)
{
        clean_dir_filled(&d, n, 4, 1, 4);
        clean_dir_log(&d, 5, 0, n, "id5", true);
        clean_dir_log(&d, 6, 1, n, "id2", true);
        clean_dir_log(&d, 7, 3, n, "id1", false);
        clean_dir_log(&d, 8, 0, n, "id3", true); /* is there: ignored */
        clean_dir_log(&d, 9, 2, n, "id6", true);
        if (record_position == 4)
                return;
        char id[37];
        sql_dir_exec(&d.sql, "UPDATE max_seq_id SET seq_id = %lld WHERE segment_id = %Q", (long long) record_position,
                     test_uuid(CLEAN_METADATA + n, id));
}

static void test_both_segments(void **state)
{
        (void) state;
        char old[37], now[37];
        make_work(1, 4);
        vector_id(1, old);
        struct json_object *result = run("");
        vector_id(1, now);
        assert_string_not_equal(old, now);
        assert_int_equal(result_number(result, "committed"), 1);
        assert_int_equal(count_of(result, 1, "vectors", "adds"), 2);
        assert_int_equal(count_of(result, 1, "vectors", "updates"), 1);
        assert_int_equal(count_of(result, 1, "vectors", "deletes"), 1);
        assert_int_equal(count_of(result, 1, "records", "adds"), 2);
        assert_int_equal(count_of(result, 1, "records", "updates"), 1);
        assert_int_equal(count_of(result, 1, "records", "deletes"), 1);
        assert_int_equal(count_of(result, 1, "records", "ignored"), 1);
        struct json_object *one = result_collection(result, 1);
        assert_string_equal(text_of_key(one, "status"), "committed");
        assert_string_equal(text_of_key(one, "segment_id"), now);
        assert_string_equal(text_of_key(one, "old_segment_id"), old);
        assert_string_equal(text_of_key(one, "old_directory"), "trash");
        assert_int_equal(result_number(one, "position"), 9);
        json_object_put(result);
        assert_int_equal(labels_of(1), 5);
        assert_int_equal(position_of("METADATA", 1), 9);
        if (d.format != CLEAN_TOPIC_COLUMN)
                assert_int_equal(position_of("VECTOR", 1), 9);
        assert_int_equal(clean_dir_number(&d, "SELECT count(*) FROM embeddings"), 5);
        assert_int_equal(clean_dir_number(&d, "SELECT count(*) FROM max_seq_id"), 2);
}

static void test_nothing_to_do_changes_nothing(void **state)
{
        (void) state;
        make_work(1, 4);
        json_object_put(run("threads=1"));
        uint64_t before = database_state();
        int64_t names = directory_state();
        struct json_object *result = run("");
        assert_int_equal(result_number(result, "committed"), 0);
        assert_int_equal(result_number(result, "unchanged"), 1);
        json_object_put(result);
        assert_int_equal(database_state(), before);
        assert_int_equal(directory_state(), names);
}

static void test_dry_run(void **state)
{
        (void) state;
        make_work(1, 4);
        uint64_t before = database_state();
        int64_t names = directory_state();
        struct json_object *result = run("dry_run=1");
        assert_int_equal(count_of(result, 1, "records", "adds"), 2);
        assert_int_equal(count_of(result, 1, "records", "ignored"), 1);
        assert_int_equal(count_of(result, 1, "vectors", "adds"), 2);
        assert_string_equal(text_of_key(result_collection(result, 1), "status"), "planned");
        assert_true(result_number(result, "memory") > 0 && result_number(result, "disk") > 0);
        json_object_put(result);
        assert_int_equal(database_state(), before);
        assert_int_equal(directory_state(), names);
}

/* The metadata segment has what the index lacks, as in every Python directory. */
static void test_records_that_are_applied_already(void **state)
{
        (void) state;
        char id[37];
        clean_dir_collection(&d, 1, 4, 4, 9);
        for (int i = 5; i <= 9; i++) {
                (void) snprintf(id, sizeof(id), "id%d", i);
                clean_dir_log(&d, i, 0, 1, id, true);
                clean_dir_record(&d, 1, id, i);
        }
        struct json_object *result = run("");
        assert_int_equal(count_of(result, 1, "vectors", "adds"), 5);
        assert_int_equal(count_of(result, 1, "records", "adds"), 0);
        json_object_put(result);
        assert_int_equal(labels_of(1), 9);
        assert_int_equal(position_of("METADATA", 1), 9);
}

static void spoil(unsigned n)
{
        clean_dir_patch(&d, n, "header.bin", 76, "\xff\xff\xff", 3);
}

static void test_damage_leaves_one_alone(void **state)
{
        (void) state;
        char id[37], before[37], after[37];
        make_work(1, 4);
        clean_dir_filled(&d, 2, 4, 11, 14);
        clean_dir_log(&d, 15, 0, 2, "id5", true);
        spoil(1);
        vector_id(1, before);
        struct json_object *result = run("");
        vector_id(1, after);
        assert_string_equal(before, after);
        assert_int_equal(result_number(result, "left"), 1);
        assert_int_equal(result_number(result, "committed"), 1);
        struct json_object *one = result_collection(result, 1);
        assert_string_equal(text_of_key(one, "status"), "left");
        assert_string_equal(text_of_key(one, "cure"), "rebuild-hnsw");
        assert_true(strstr(text_of_key(one, "reason"), "header.bin") != NULL);
        json_object_put(result);
        assert_int_equal(labels_of(2), 5);
        fails("", test_uuid(1, id), EILSEQ, "nothing was changed; what cures it: rebuild-hnsw");
        assert_int_equal(position_of("METADATA", 1), 4);
}

/* Which shows only when the index is loaded. */
static void test_damage_of_links(void **state)
{
        (void) state;
        static const char many[] = "\xff\xff\xff\xff";
        make_work(1, 4);
        clean_dir_patch(&d, 1, "data_level0.bin", 0, many, 4);
        struct json_object *result = run(""), *one = result_collection(result, 1);
        assert_string_equal(text_of_key(one, "status"), "left");
        assert_string_equal(text_of_key(one, "cure"), "rebuild-hnsw");
        json_object_put(result);
        assert_int_equal(position_of("METADATA", 1), 4);
}

/* A document has nowhere to go. */
static void test_full_text_table_that_is_missing(void **state)
{
        (void) state;
        make_work(1, 4);
        sql_dir_exec(&d.sql, "DROP TABLE IF EXISTS embedding_fulltext_search");
        sql_dir_exec(&d.sql, "UPDATE embeddings_queue SET metadata = '{\"chroma:document\": \"text\"}' WHERE seq_id = 9");
        uint64_t before = database_state();
        struct json_object *result = run("");
        struct json_object *one = result_collection(result, 1);
        assert_string_equal(text_of_key(one, "status"), "left");
        assert_string_equal(text_of_key(one, "cure"), "rebuild-fts");
        json_object_put(result);
        assert_int_equal(database_state(), before);
}

static void test_rows_that_cannot_be_applied(void **state)
{
        (void) state;
        make_work(1, 4);
        sql_dir_exec(&d.sql, "UPDATE embeddings_queue SET operation = 77 WHERE seq_id = 9");
        uint64_t before = database_state();
        fails("strict=1", NULL, EILSEQ, "row 9");
        struct json_object *planned = run("dry_run=1");
        assert_int_equal(result_number(planned, "rejected"), 1);
        json_object_put(planned);
        assert_int_equal(database_state(), before);
        assert_int_equal(position_of("METADATA", 1), 4);
        struct json_object *result = run("");
        assert_int_equal(result_number(result, "rejected"), 1);
        assert_string_equal(text_of_key(result, "rejected_file"), STATE_DIR "/" REJECTED_FILE);
        json_object_put(result);
        struct stat st;
        assert_int_equal(fstatat(d.sql.fd, STATE_DIR "/" REJECTED_FILE, &st, 0), 0);
        assert_true(st.st_size > 0);
        assert_int_equal(position_of("METADATA", 1), 9);
        assert_int_equal(labels_of(1), 4);
        json_object_put(run("strict=1")); /* it is behind the positions now */
}

static void test_collection_without_an_index(void **state)
{
        (void) state;
        char id[37];
        clean_dir_collection(&d, 1, 0, CLEAN_NONE, CLEAN_NONE);
        vector_id(1, id);
        assert_int_equal(tree_remove(d.sql.fd, id, NULL), 0);
        clean_dir_log(&d, 1, 0, 1, "a", true);
        clean_dir_log(&d, 2, 0, 1, "b", true);
        struct json_object *result = run("");
        assert_int_equal(count_of(result, 1, "vectors", "adds"), 2);
        json_object_put(result);
        assert_int_equal(labels_of(1), 2);
        assert_int_equal(clean_dir_number(&d, "SELECT dimension FROM collections"), INDEX_DIR_DIMENSION);
}

static bool always(void *context)
{
        (void) context;
        return true;
}

static void test_cancelled(void **state)
{
        (void) state;
        struct error e = { 0 };
        make_work(1, 4);
        json_object_put(run_with("", NULL, &(struct operation_sink){ .cancelled = always }, -ECANCELED, &e));
        assert_non_null(strstr(e.text, "as it was"));
        assert_int_equal(position_of("METADATA", 1), 4);
}

static bool after_the_first(void *context)
{
        (void) context;
        return clean_dir_number(&d, "SELECT count(*) FROM max_seq_id WHERE typeof(seq_id) = 'integer' AND seq_id = 9") == 2;
}

/* Whether there is a cancel is asked only now and then: a small commit would be over before the next time. */
static void take_a_while(void *context, const struct operation_progress *progress)
{
        (void) context;
        (void) progress;
        usleep(30000);
}

/* What was committed before stays, and is listed. */
static void test_cancelled_between_two(void **state)
{
        (void) state;
        struct error e = { 0 };
        if (d.format != CLEAN_RUST)
                return;
        make_work(1, 4);
        clean_dir_filled(&d, 2, 4, 11, 14);
        clean_dir_log(&d, 15, 0, 2, "id5", true);
        struct operation_sink sink = { .cancelled = after_the_first, .progress = take_a_while };
        struct json_object *result = run_with("", NULL, &sink, -ECANCELED, &e);
        assert_non_null(strstr(e.text, "1 collection was committed before"));
        assert_string_equal(text_of_key(result_collection(result, 1), "status"), "committed");
        assert_int_equal(position_of("METADATA", 2), 14);
        json_object_put(result);
}

/* Others, who write between planning and the transaction. */

struct intruder {
        const char *sql;
        bool always; /* again at each try */
        int times;
};

static void intrude(void *context, const struct operation_progress *progress)
{
        struct intruder *i = context;
        if (strcmp(progress->phase, "placing") != 0 || (i->times > 0 && !i->always))
                return;
        sql_dir_exec(&d.sql, i->sql, ++i->times);
}

static struct json_object *run_beside(struct intruder *intruder, int expected, struct error *e)
{
        struct operation_sink sink = { .context = intruder, .progress = intrude };
        struct json_object *result = run_with("", NULL, &sink, expected, e);
        assert_true(intruder->times > 0);
        return result;
}

/* A row behind those that were planned: what is staged is still right, and the row stays for the next time. */
static void test_row_that_comes_meanwhile(void **state)
{
        (void) state;
        make_work(1, 4);
        struct intruder intruder = {
                .sql = "INSERT INTO embeddings_queue (operation, topic, id, vector, encoding) SELECT 0, topic, 'late%d', "
                       "vector, encoding FROM embeddings_queue WHERE seq_id = 5"
        };
        struct json_object *result = run_beside(&intruder, 0, NULL);
        assert_int_equal(intruder.times, 1);
        assert_int_equal(result_number(result, "committed"), 1);
        json_object_put(result);
        assert_int_equal(position_of("METADATA", 1), 9);
        assert_int_equal(labels_of(1), 5);
        json_object_put(run(""));
        assert_int_equal(labels_of(1), 6);
        assert_int_equal(position_of("METADATA", 1), 10);
}

/* Python applies a row to the metadata segment as it writes it: the position must not go back. */
static void test_records_that_go_on_meanwhile(void **state)
{
        (void) state;
        if (d.format != CLEAN_RUST)
                return;
        make_work(1, 4);
        struct intruder intruder = {
                .sql = "UPDATE max_seq_id SET seq_id = 9 + %d WHERE segment_id IN (SELECT id FROM segments WHERE scope = "
                       "'METADATA')"
        };
        json_object_put(run_beside(&intruder, 0, NULL));
        assert_int_equal(position_of("METADATA", 1), 10);
        assert_int_equal(position_of("VECTOR", 1), 9);
        assert_int_equal(clean_dir_number(&d, "SELECT count(*) FROM embeddings"), 4); /* none was applied by us */
}

/* A row that was planned is another one: it is planned again. */
static void test_log_that_changes_meanwhile(void **state)
{
        (void) state;
        make_work(1, 4);
        struct intruder intruder = { .sql = "UPDATE embeddings_queue SET id = 'other%d' WHERE seq_id = 9" };
        struct json_object *result = run_beside(&intruder, 0, NULL);
        assert_int_equal(result_number(result, "committed"), 1);
        json_object_put(result);
        assert_int_equal(clean_dir_number(&d, "SELECT count(*) FROM embeddings WHERE embedding_id = 'other1'"), 1);
        assert_int_equal(labels_of(1), 5);
}

/* Bounded: and then the collection is left, with nothing of the tries. */
static void test_segment_that_never_rests(void **state)
{
        (void) state;
        char old[37], now[37];
        make_work(1, 4);
        vector_id(1, old);
        struct intruder intruder = { .always = true, .sql = "UPDATE collections SET name = 'name%d'" };
        struct json_object *result = run_beside(&intruder, 0, NULL);
        vector_id(1, now);
        assert_string_equal(old, now);
        assert_int_equal(result_number(result, "left"), 1);
        assert_non_null(strstr(text_of_key(result_collection(result, 1), "reason"), "keeps changing"));
        json_object_put(result);
        assert_int_equal(labels_of(1), 4);
        assert_int_equal(position_of("METADATA", 1), 4);
        struct stat st;
        assert_int_equal(fstatat(d.sql.fd, STATE_DIR "/stage", &st, 0), 0);
        assert_int_equal(st.st_nlink, 2);
}

static enum clean_format formats[] = { CLEAN_TOPIC_COLUMN, CLEAN_PYTHON, CLEAN_RUST };

/* clang-format off */
#define ROW(test, format) { #test " (" #format ")", test, setup, teardown, &formats[format] }
/* clang-format on */
#define ROWS(test) ROW(test, CLEAN_TOPIC_COLUMN), ROW(test, CLEAN_PYTHON), ROW(test, CLEAN_RUST)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ROWS(test_both_segments),
                ROWS(test_nothing_to_do_changes_nothing),
                ROWS(test_dry_run),
                ROWS(test_records_that_are_applied_already),
                ROWS(test_damage_leaves_one_alone),
                ROWS(test_damage_of_links),
                ROWS(test_full_text_table_that_is_missing),
                ROWS(test_rows_that_cannot_be_applied),
                ROWS(test_collection_without_an_index),
                ROWS(test_cancelled),
                ROWS(test_cancelled_between_two),
                ROWS(test_row_that_comes_meanwhile),
                ROWS(test_records_that_go_on_meanwhile),
                ROWS(test_log_that_changes_meanwhile),
                ROWS(test_segment_that_never_rests),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
