/*
 * rebuild-hnsw as a whole, on made directories: what the collection has afterwards, what the result says, what is refused, and what changes nothing. Which vector each record gets: test_commit_salvage.c.
 */
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

#include "ops/commit/rebuild.h"
#include "ops/commit/reject.h"
#include "ops/config.h"
#include "ops/hnsw/check.h"
#include "ops/index_summary.h"
#include "tests/unit/clean_dir.h"
#include "tests/unit/schema.h"

#define LOST STATE_DIR "/" LOST_FILE

static struct clean_dir d;
static char collection[37];

static int setup(void **state)
{
        clean_dir_make(&d, **(enum clean_format **) state);
        (void) test_uuid(1, collection);
        return 0;
}

static int teardown(void **state)
{
        (void) state;
        clean_dir_remove(&d);
        return 0;
}

/* --- running --- */

static struct json_object *run_with(const char *line, const char *id, const struct operation_sink *sink, int expected,
                                    struct error *e)
{
        struct operation_request request = {
                .type = &operation_rebuild_hnsw, .line = line, .line_len = strlen(line), .collection_id = id
        };
        struct json_object *outcome = NULL;
        *e = (struct error){ 0 };
        int r = operation_run(d.sql.fd, &request, sink, &outcome, e);
        if (r != expected)
                fail_msg("\"%s\": %d, not %d: %s", line, r, expected, e->text);
        struct json_object *result = json_object_get(json_object_object_get(outcome, "result"));
        json_object_put(outcome);
        return result;
}

static struct json_object *run(const char *line)
{
        struct error e;
        return run_with(line, collection, &(struct operation_sink){ .context = NULL }, 0, &e);
}

static struct json_object *fails(const char *line, int err, const char *sentence)
{
        struct error e;
        struct json_object *result = run_with(line, collection, &(struct operation_sink){ .context = NULL }, -err, &e);
        if (strstr(e.text, sentence) == NULL)
                fail_msg("\"%s\" is not in: %s", sentence, e.text);
        return result;
}

/* --- what it says --- */

static struct json_object *one_of(struct json_object *result)
{
        struct json_object *one = result_collection(result, 1);
        if (one == NULL)
                fail_msg("the collection is not in %s", json_object_to_json_string(result));
        return one;
}

static struct json_object *rebuilt(struct json_object *result)
{
        struct json_object *object = json_object_object_get(one_of(result), "rebuild");
        if (object == NULL)
                fail_msg("no rebuild in %s", json_object_to_json_string(result));
        return object;
}

static const char *text_of_key(struct json_object *object, const char *key)
{
        const char *text = json_object_get_string(json_object_object_get(object, key));
        return text == NULL ? "" : text;
}

static void assert_parameter(struct json_object *result, const char *name, const char *before, const char *after)
{
        struct json_object *pair = json_object_object_get(json_object_object_get(rebuilt(result), "parameters"), name);
        assert_string_equal(text_of_key(pair, "before"), before);
        assert_string_equal(text_of_key(pair, "after"), after);
}

/* --- what there is --- */

static uint64_t hash_of(const char *path)
{
        int fd = openat(d.sql.fd, path, O_RDONLY | O_CLOEXEC);
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

static bool is_there(const char *path)
{
        struct stat st;
        return fstatat(d.sql.fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void vector_id(char ret[37])
{
        sqlite3 *db = sql_dir_writer(&d.sql, 1000);
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT id FROM segments WHERE scope = 'VECTOR'", -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        (void) snprintf(ret, 37, "%s", (const char *) sqlite3_column_text(stmt, 0));
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
}

static uint64_t file_hash(const char *file)
{
        char id[37], path[96];
        vector_id(id);
        (void) snprintf(path, sizeof(path), "%s/%s", id, file);
        return hash_of(path);
}

/* The index is whole, without a place for a record that is gone. */
static void assert_index(uint64_t labels, uint64_t m)
{
        char id[37];
        struct hnsw_check check;
        struct index_summary summary = { 0 };
        struct error e = { 0 };
        vector_id(id);
        index_summary_read(d.sql.fd, id, &summary);
        if (summary.damage.code != 0)
                fail_msg("%s", summary.damage.text);
        assert_int_equal(summary.stage, INDEX_PERSISTED);
        assert_int_equal(summary.total_labels, labels);
        assert_int_equal(summary.total_elements_added, labels);
        assert_int_equal(summary.header.count, labels);
        assert_int_equal(summary.header.m, m);
        assert_true(summary.fragmentation == 0.0);
        assert_int_equal(hnsw_check(d.sql.fd, id, NULL, NULL, &check, &e), 0);
        assert_false(check.is_fatal);
        assert_int_equal(check.deleted, 0);
}

static int64_t position_of(const char *scope)
{
        char sql[256];
        (void) snprintf(
                sql, sizeof(sql),
                "SELECT hex(seq_id), seq_id FROM max_seq_id WHERE segment_id = (SELECT id FROM segments WHERE scope = '%s')",
                scope);
        sqlite3 *db = sql_dir_writer(&d.sql, 1000);
        sqlite3_stmt *stmt = NULL;
        int64_t position = -1;
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
        if (sqlite3_step(stmt) == SQLITE_ROW)
                position = sqlite3_column_type(stmt, 1) == SQLITE_INTEGER
                                   ? sqlite3_column_int64(stmt, 1)
                                   : strtoll((const char *) sqlite3_column_text(stmt, 0), NULL, 16);
        (void) sqlite3_finalize(stmt);
        (void) sqlite3_close(db);
        return position;
}

struct snapshot {
        uint64_t database;
        char segment[37];
};

static struct snapshot snapshot_of(void)
{
        struct snapshot s = { .database = hash_of(DB_FILE) };
        vector_id(s.segment);
        return s;
}

static void assert_unchanged(const struct snapshot *before)
{
        struct snapshot now = snapshot_of();
        assert_int_equal(now.database, before->database);
        assert_string_equal(now.segment, before->segment);
}

/* --- what is made --- */

static void empty_log(void)
{
        sql_dir_exec(&d.sql, "DELETE FROM embeddings_queue");
}

/* id1 to id4 in the index, all applied, and the log has none of them any more. */
static void make_settled(void)
{
        clean_dir_filled(&d, 1, 4, 1, 4);
        sql_dir_exec(&d.sql, "UPDATE collections SET dimension = %d", INDEX_DIR_DIMENSION);
        empty_log();
}

static void make_pending(void)
{
        clean_dir_filled(&d, 1, 4, 1, 4);
        sql_dir_exec(&d.sql, "UPDATE collections SET dimension = %d", INDEX_DIR_DIMENSION);
        clean_dir_log(&d, 5, 0, 1, "id5", true);
        clean_dir_log(&d, 6, 1, 1, "id2", true);
        clean_dir_log(&d, 7, 3, 1, "id1", false);
        clean_dir_log(&d, 8, 0, 1, "id3", true); /* is there: ignored */
        clean_dir_log(&d, 9, 2, 1, "id6", true);
}

/* Another index: of so many elements the first ones are deleted. */
static void make_index(uint64_t count, uint64_t deleted)
{
        char id[37];
        vector_id(id);
        assert_int_equal(tree_remove(d.sql.fd, id, NULL), 0);
        index_dir_make(d.sql.fd, id, &(struct index_dir){ .count = count, .deleted = deleted });
}

/* Of a record of the index, which has M 16. */
static void replace_vector(unsigned record, const float vector[INDEX_DIR_DIMENSION])
{
        char id[37], path[96];
        const size_t size = 4 * INDEX_DIR_DIMENSION, offset = 8 * 16 + 4;
        vector_id(id);
        (void) snprintf(path, sizeof(path), "%s/data_level0.bin", id);
        int fd = openat(d.sql.fd, path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, vector, size, (off_t) (record * (offset + size + 8) + offset)), (ssize_t) size);
        (void) close(fd);
        index_dir_age(d.sql.fd, id, 3600);
}

/* Ends behind that many records, in the middle of the next one. */
static void cut_records(unsigned records)
{
        char id[37], path[96];
        vector_id(id);
        (void) snprintf(path, sizeof(path), "%s/data_level0.bin", id);
        int fd = openat(d.sql.fd, path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t) (records * INDEX_DIR_RECORD + 7)), 0);
        (void) close(fd);
        index_dir_age(d.sql.fd, id, 3600);
}

/* --- sound indexes --- */

static void test_sound_index(void **state)
{
        (void) state;
        char now[37], path[128];
        make_settled();
        struct snapshot before = snapshot_of();
        struct json_object *result = run("m=4");
        vector_id(now);
        assert_string_not_equal(before.segment, now);
        struct json_object *one = one_of(result), *made = rebuilt(result);
        assert_string_equal(text_of_key(one, "status"), "committed");
        assert_string_equal(text_of_key(one, "segment_id"), now);
        assert_string_equal(text_of_key(one, "old_segment_id"), before.segment);
        assert_string_equal(text_of_key(one, "old_directory"), "trash");
        static const char *const none[] = { "from_log", "without_vector", "lost",     "orphans", "stale",
                                            "doubtful", "impossible",     "unlisted", "deleted" };
        assert_int_equal(result_number(made, "kept"), 4);
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
                assert_int_equal(result_number(made, none[i]), 0);
        assert_int_equal(json_object_array_length(json_object_object_get(made, "damage")), 0);
        assert_true(result_number(made, "size_before") > 0);
        json_object_put(result);
        assert_index(4, 4);
        assert_false(is_there(before.segment));
        assert_false(is_there(LOST));
        (void) snprintf(path, sizeof(path), "%s/trash", STATE_DIR);
        assert_true(is_there(path));
        assert_int_equal(position_of("METADATA"), 4);
        assert_int_equal(clean_dir_number(&d, "SELECT count(*) FROM embeddings"), 4);
        assert_int_equal(clean_dir_number(&d, "SELECT count(*) FROM max_seq_id"), 2);
}

static void test_fragmented_index(void **state)
{
        (void) state;
        make_settled();
        make_index(6, 2); /* id3 to id6 are in it */
        sql_dir_exec(&d.sql, "UPDATE embeddings SET embedding_id = 'id5' WHERE embedding_id = 'id1'");
        sql_dir_exec(&d.sql, "UPDATE embeddings SET embedding_id = 'id6' WHERE embedding_id = 'id2'");
        struct json_object *result = run("m=4");
        assert_int_equal(result_number(rebuilt(result), "kept"), 4);
        assert_int_equal(result_number(rebuilt(result), "deleted"), 2);
        json_object_put(result);
        assert_index(4, 4);
}

static void test_rows_of_the_log(void **state)
{
        (void) state;
        make_pending();
        struct json_object *result = run("");
        assert_int_equal(result_number(json_object_object_get(one_of(result), "records"), "adds"), 2);
        assert_int_equal(result_number(json_object_object_get(one_of(result), "records"), "deletes"), 1);
        assert_int_equal(result_number(rebuilt(result), "kept"), 2);
        assert_int_equal(result_number(rebuilt(result), "from_log"), 3);
        json_object_put(result);
        assert_index(5, 16);
        assert_int_equal(position_of("METADATA"), 9);
        if (d.format != CLEAN_TOPIC_COLUMN)
                assert_int_equal(position_of("VECTOR"), 9);
        assert_int_equal(clean_dir_number(&d, "SELECT count(*) FROM embeddings"), 5);
}

/* With one thread the same vectors give the same bytes; and a rebuild has always something to do. */
static void test_twice(void **state)
{
        (void) state;
        make_pending();
        json_object_put(run("threads=1"));
        uint64_t records = file_hash("data_level0.bin"), links = file_hash("link_lists.bin"), header = file_hash("header.bin");
        struct snapshot before = snapshot_of();
        struct json_object *result = run("threads=1");
        assert_int_equal(result_number(result, "committed"), 1);
        assert_int_equal(result_number(rebuilt(result), "kept"), 5);
        json_object_put(result);
        assert_string_not_equal(snapshot_of().segment, before.segment);
        assert_int_equal(file_hash("data_level0.bin"), records);
        assert_int_equal(file_hash("link_lists.bin"), links);
        assert_int_equal(file_hash("header.bin"), header);
}

/* Nothing of the old one stays: whoever erases what was deleted relies on it. */
static void test_keep_nothing(void **state)
{
        (void) state;
        make_settled();
        struct json_object *result = run("keep=0");
        char path[128], old[37];
        (void) snprintf(old, sizeof(old), "%s", text_of_key(one_of(result), "old_segment_id"));
        json_object_put(result);
        (void) snprintf(path, sizeof(path), "%s/trash", STATE_DIR);
        struct stat st;
        assert_int_equal(fstatat(d.sql.fd, path, &st, 0), 0);
        assert_int_equal(st.st_nlink, 2); /* no folder in it */
        assert_false(is_there(old));
}

/* --- options --- */

static void test_options(void **state)
{
        (void) state;
        make_settled();
        struct json_object *result = run("m=8 space=cosine ef_construction=50 ef_search=33 sync_threshold=500");
        assert_parameter(result, "m", "16", "8");
        assert_parameter(result, "space", "l2", "cosine");
        assert_parameter(result, "ef_construction", "100", "50");
        assert_parameter(result, "sync_threshold", "1000", "500");
        json_object_put(result);
        assert_index(4, 8);
        result = run("m=8");
        assert_parameter(result, "m", "8", "8");
        assert_null(json_object_object_get(json_object_object_get(rebuilt(result), "parameters"), "space"));
        json_object_put(result);
        assert_index(4, 8);
        result = run("dry_run=1 space=l2 ef_search=33");
        assert_parameter(result, "space", "cosine", "l2");
        assert_parameter(result, "ef_search", "33", "33");
        json_object_put(result);
}

static void test_options_of_a_version(void **state)
{
        (void) state;
        make_settled();
        struct snapshot before = snapshot_of();
        if (d.format == CLEAN_RUST) {
                json_object_put(fails("batch_size=50", EINVAL, "batch_size"));
                assert_unchanged(&before);
                return;
        }
        json_object_put(fails("batch_size=5000", EINVAL, "sync_threshold"));
        assert_unchanged(&before);
        struct json_object *result = run("batch_size=50 num_threads=3 resize_factor=1.5");
        assert_parameter(result, "batch_size", "100", "50");
        json_object_put(result);
        assert_index(4, 16);
}

static void test_options_that_are_none(void **state)
{
        (void) state;
        static const char *const lines[] = { "m=1",          "m=0",     "space=hamming", "ef_search=0", "resize_factor=0.5",
                                             "batch_size=2", "skip=c1", "salvage=2",     "threads=0",   "m=4 m=8" };
        make_settled();
        struct snapshot before = snapshot_of();
        struct error e;
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
                json_object_put(fails(lines[i], EINVAL, ""));
        json_object_put(run_with("", NULL, &(struct operation_sink){ .context = NULL }, -EINVAL, &e));
        assert_non_null(strstr(e.text, "one collection"));
        assert_unchanged(&before);
}

/* As modify() of 1.x leaves a collection of cosine that 0.x made: another space is stored over what the metadata says (FORMAT 5). */
static void misread(void)
{
        json_object_put(run("threads=1 space=cosine ef_search=444")); /* the defaults would not count */
        sql_dir_exec(&d.sql, "INSERT INTO segment_metadata (segment_id, key, str_value)"
                             " SELECT id, 'hnsw:space', 'cosine' FROM segments WHERE scope = 'VECTOR'");
        sql_dir_exec(&d.sql, "UPDATE collections SET config_json_str = replace(config_json_str, '\"cosine\"', '\"l2\"'),"
                             " schema_str = replace(schema_str, '\"cosine\"', '\"l2\"')");
}

static void test_misread_space(void **state)
{
        (void) state;
        make_settled();
        misread();
        uint64_t norms = file_hash("length.bin"), records = file_hash("data_level0.bin");
        struct snapshot before = snapshot_of();
        json_object_put(fails("", EILSEQ, "space=cosine, which mends that"));
        json_object_put(fails("m=8", EILSEQ, "the stored configuration says l2"));
        assert_unchanged(&before);
        struct json_object *result = run("threads=1 space=cosine");
        assert_parameter(result, "space", "l2", "cosine");
        assert_int_equal(result_number(rebuilt(result), "kept"), 4);
        assert_int_equal(json_object_array_length(json_object_object_get(rebuilt(result), "damage")), 0);
        json_object_put(result);
        assert_int_equal(file_hash("length.bin"), norms);
        assert_int_equal(file_hash("data_level0.bin"), records);
}

/* One that was added as l2 since: nothing says then which of the others were normalised. */
static void test_misread_and_added_to(void **state)
{
        (void) state;
        static const float vector[INDEX_DIR_DIMENSION] = { 5 };
        make_settled();
        misread();
        replace_vector(2, vector);
        struct json_object *result = run("threads=1 space=cosine"), *damage = json_object_object_get(rebuilt(result), "damage");
        assert_int_equal(result_number(rebuilt(result), "kept"), 4);
        assert_int_equal(json_object_array_length(damage), 1);
        assert_non_null(strstr(json_object_get_string(json_object_array_get_idx(damage, 0)), "all are kept as they are"));
        json_object_put(result);
        assert_index(4, 16);
        json_object_put(run("m=8"));
}

/* --- what changes nothing --- */

static void test_dry_run(void **state)
{
        (void) state;
        make_pending();
        struct snapshot before = snapshot_of();
        struct json_object *result = run("dry_run=1 m=8");
        struct json_object *one = one_of(result);
        assert_string_equal(text_of_key(one, "status"), "planned");
        assert_int_equal(result_number(json_object_object_get(one, "records"), "adds"), 2);
        assert_int_equal(result_number(rebuilt(result), "kept"), 2);
        assert_int_equal(result_number(rebuilt(result), "from_log"), 3);
        assert_true(result_number(result, "memory") > 0 && result_number(result, "disk") > 0);
        json_object_put(result);
        assert_unchanged(&before);
        assert_false(is_there(STATE_DIR));
}

static void assert_lost(struct json_object *result)
{
        struct json_object *made = rebuilt(result), *ids = json_object_object_get(made, "lost_ids");
        assert_int_equal(result_number(made, "kept"), 2);
        assert_int_equal(result_number(made, "lost"), 2);
        assert_int_equal(json_object_array_length(ids), 2);
        assert_string_equal(json_object_get_string(json_object_array_get_idx(ids, 0)), "id3");
        assert_string_equal(json_object_get_string(json_object_array_get_idx(ids, 1)), "id4");
        json_object_put(result);
}

static void test_lost_records_refuse(void **state)
{
        (void) state;
        make_settled();
        cut_records(2);
        struct snapshot before = snapshot_of();
        uint64_t records = file_hash("data_level0.bin");
        assert_lost(fails("", EILSEQ, "salvage=1"));
        struct json_object *planned = run("dry_run=1");
        assert_string_equal(text_of_key(one_of(planned), "status"), "planned");
        assert_non_null(strstr(text_of_key(one_of(planned), "reason"), "salvage=1"));
        assert_lost(planned);
        planned = run("dry_run=1 salvage=1");
        assert_string_equal(text_of_key(one_of(planned), "reason"), "");
        assert_lost(planned);
        assert_unchanged(&before);
        assert_int_equal(file_hash("data_level0.bin"), records);
        assert_false(is_there(LOST));
}

/* --- salvage=1 --- */

/* The lines of the file that have this in them. */
static unsigned lines_with(const char *text)
{
        char bytes[4096] = "";
        int fd = openat(d.sql.fd, LOST, O_RDONLY | O_CLOEXEC);
        unsigned count = 0;
        assert_true(fd >= 0);
        ssize_t size = read(fd, bytes, sizeof(bytes) - 1);
        (void) close(fd);
        assert_true(size > 0 && bytes[size - 1] == '\n');
        for (char *line, *rest = bytes; (line = strsep(&rest, "\n")) != NULL;)
                count += *line != '\0' && strstr(line, text) != NULL;
        return count;
}

static void write_lost(const char *text)
{
        int fd = openat(d.sql.fd, LOST, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        (void) close(fd);
}

static void test_salvage(void **state)
{
        (void) state;
        make_settled();
        cut_records(2);
        struct snapshot before = snapshot_of();
        assert_lost(run("salvage=1 m=4"));
        assert_index(2, 4);
        assert_int_equal(clean_dir_number(&d, "SELECT count(*) FROM embeddings"), 4);
        assert_int_equal(lines_with(before.segment), 2);
        assert_int_equal(lines_with("\"id\":\"id3\""), 1);
        before = snapshot_of();
        json_object_put(fails("", EILSEQ, "salvage=1")); /* they are still without one */
        assert_lost(run("salvage=1"));
        assert_int_equal(lines_with("\"id\":\"id4\""), 1);
        assert_int_equal(lines_with(before.segment), 0);
}

/* A line that ends behind the segment, or with the id. */
#define LINE(segment) "{\"time\":\"x\",\"collection\":\"%s\",\"segment\":\"" segment "\",\"id\":"

/* What an attempt has written that was killed then is written once, and goes when it was wrong; all else stays, also half a line at the end. */
static void test_lost_file_of_a_crash(void **state)
{
        (void) state;
        char text[2048];
        make_settled();
        cut_records(2);
        json_object_put(fails("", EILSEQ, "salvage=1")); /* makes .chromafs */
        struct snapshot before = snapshot_of();
        const char *segment = before.segment, *c = collection;
        (void) snprintf(
                text, sizeof(text),
                LINE("%s") "\"id2\"}\n" LINE("%s") "\"id3\"}\n" LINE("old") "\"id2\"}\n" LINE(
                        "%s") "\"id4\"}\n"
                              "{\"collection\":\"other\",\"segment\":\"%s\",\"id\":\"\\\"collection\\\":\\\"%s\\\"\"}\n\n{\"ti",
                c, segment, c, segment, c, "other", segment, segment, c);
        write_lost(text);
        assert_lost(run("salvage=1"));
        assert_int_equal(lines_with("\"id\":\"id2\""), 1);
        assert_int_equal(lines_with("\"segment\":\"old\""), 1);
        assert_int_equal(lines_with("\"id\":\"id3\""), 1);
        assert_int_equal(lines_with("\"id\":\"id4\""), 2); /* another collection's, too */
        assert_int_equal(lines_with("\"other\""), 2);
        assert_int_equal(lines_with("{\"ti"), 5);
}

/* A link would make us write elsewhere. */
static void test_lost_file_of_a_stranger(void **state)
{
        (void) state;
        make_settled();
        cut_records(2);
        json_object_put(fails("", EILSEQ, "salvage=1"));
        assert_int_equal(symlinkat("../" DB_FILE, d.sql.fd, LOST), 0);
        struct snapshot before = snapshot_of();
        json_object_put(fails("salvage=1", EPERM, "symbolic link"));
        assert_unchanged(&before);
}

/* --- little or nothing to do --- */

static void test_collection_without_anything(void **state)
{
        (void) state;
        char id[37];
        clean_dir_collection(&d, 1, 0, CLEAN_NONE, CLEAN_NONE);
        vector_id(id);
        assert_int_equal(tree_remove(d.sql.fd, id, NULL), 0);
        struct snapshot before = snapshot_of();
        struct json_object *result = run("");
        assert_int_equal(result_number(result, "committed"), 0);
        assert_int_equal(result_number(result, "unchanged"), 1);
        json_object_put(result);
        assert_int_equal(hash_of(DB_FILE), before.database);
        result = run("m=8"); /* for the index that it will have */
        assert_int_equal(result_number(result, "committed"), 1);
        assert_parameter(result, "m", "16", "8");
        json_object_put(result);
        assert_false(is_there(id));
        assert_string_equal(snapshot_of().segment, before.segment);
}

/* Everything is in the log, and the directory never was, or is gone. */
static void test_absent_index(void **state)
{
        (void) state;
        char id[37];
        clean_dir_filled(&d, 1, 4, 1, 4);
        vector_id(id);
        assert_int_equal(tree_remove(d.sql.fd, id, NULL), 0);
        struct json_object *result = run("");
        assert_int_equal(result_number(rebuilt(result), "kept"), 0);
        assert_int_equal(result_number(rebuilt(result), "from_log"), 4);
        assert_string_equal(text_of_key(one_of(result), "old_directory"), "");
        json_object_put(result);
        assert_index(4, 16);
}

/* All of its elements were deleted. */
static void test_emptied_index(void **state)
{
        (void) state;
        make_settled();
        make_index(4, 4);
        sql_dir_exec(&d.sql, "DELETE FROM embeddings");
        struct json_object *result = run("");
        assert_int_equal(result_number(rebuilt(result), "kept"), 0);
        assert_int_equal(result_number(rebuilt(result), "deleted"), 4);
        json_object_put(result);
        assert_index(0, 16);
        assert_int_equal(position_of("METADATA"), 4);
}

static void test_full_text_table_that_is_missing(void **state)
{
        (void) state;
        make_pending();
        sql_dir_exec(&d.sql, "DROP TABLE IF EXISTS embedding_fulltext_search");
        sql_dir_exec(&d.sql, "UPDATE embeddings_queue SET metadata = '{\"chroma:document\": \"text\"}' WHERE seq_id = 9");
        struct snapshot before = snapshot_of();
        json_object_put(fails("", EILSEQ, "rebuild-fts"));
        assert_int_equal(hash_of(DB_FILE), before.database);
        empty_log();
        json_object_put(run("")); /* no document has to go there */
        assert_index(4, 16);
}

static void test_segment_without_a_uuid(void **state)
{
        (void) state;
        make_settled();
        sql_dir_exec(&d.sql, "UPDATE segments SET id = '../etc' WHERE scope = 'VECTOR'");
        uint64_t before = hash_of(DB_FILE);
        json_object_put(fails("salvage=1", EILSEQ, "no UUID"));
        assert_int_equal(hash_of(DB_FILE), before);
}

/* As for a commit. */
static void test_rows_that_cannot_be_applied(void **state)
{
        (void) state;
        make_pending();
        sql_dir_exec(&d.sql, "UPDATE embeddings_queue SET operation = 77 WHERE seq_id = 9");
        struct json_object *result = run("");
        assert_int_equal(result_number(result, "rejected"), 1);
        assert_int_equal(result_number(rebuilt(result), "from_log"), 2);
        json_object_put(result);
        assert_true(is_there(STATE_DIR "/" REJECTED_FILE));
        assert_index(4, 16);
        assert_int_equal(position_of("METADATA"), 9);
}

/* --- others --- */

static bool always(void *context)
{
        (void) context;
        return true;
}

static void test_cancelled(void **state)
{
        (void) state;
        struct error e;
        make_pending();
        struct snapshot before = snapshot_of();
        json_object_put(run_with("", collection, &(struct operation_sink){ .cancelled = always }, -ECANCELED, &e));
        assert_unchanged(&before);
}

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
        struct json_object *result = run_with("", collection, &sink, expected, e);
        assert_true(intruder->times > 0);
        return result;
}

static void test_row_that_comes_meanwhile(void **state)
{
        (void) state;
        struct error e;
        make_pending();
        struct intruder intruder = {
                .sql = "INSERT INTO embeddings_queue (operation, topic, id, vector, encoding) SELECT 0, topic, 'late%d', "
                       "vector, encoding FROM embeddings_queue WHERE seq_id = 5"
        };
        json_object_put(run_beside(&intruder, 0, &e));
        assert_index(5, 16);
        assert_int_equal(position_of("METADATA"), 9);
}

static void test_log_that_changes_meanwhile(void **state)
{
        (void) state;
        struct error e;
        make_pending();
        struct intruder intruder = { .sql = "UPDATE embeddings_queue SET id = 'other%d' WHERE seq_id = 9" };
        json_object_put(run_beside(&intruder, 0, &e));
        assert_index(5, 16);
        assert_int_equal(clean_dir_number(&d, "SELECT count(*) FROM embeddings WHERE embedding_id = 'other1'"), 1);
}

/* A record that is deleted while the index is built: it must not come back as a vector, or be lost. */
static void test_records_that_go_meanwhile(void **state)
{
        (void) state;
        struct error e;
        make_settled();
        struct intruder intruder = { .sql = "DELETE FROM embeddings WHERE embedding_id = 'id%d'" };
        json_object_put(run_beside(&intruder, 0, &e));
        char id[37];
        struct index_summary summary = { 0 };
        vector_id(id);
        index_summary_read(d.sql.fd, id, &summary);
        assert_in_range(summary.total_labels, 3, 4);
        json_object_put(run("m=4"));
        assert_index(3, 4);
}

static void assert_nothing_staged(void)
{
        struct stat st;
        assert_int_equal(fstatat(d.sql.fd, STATE_DIR "/stage", &st, 0), 0);
        assert_int_equal(st.st_nlink, 2);
}

static void test_segment_that_never_rests(void **state)
{
        (void) state;
        struct error e;
        make_pending();
        struct snapshot before = snapshot_of();
        struct intruder intruder = { .always = true, .sql = "UPDATE collections SET name = 'name%d'" };
        json_object_put(run_beside(&intruder, -EBUSY, &e));
        assert_non_null(strstr(e.text, "keeps changing"));
        assert_string_equal(snapshot_of().segment, before.segment);
        assert_int_equal(position_of("METADATA"), 4);
        assert_nothing_staged();
}

static void test_collection_that_goes_meanwhile(void **state)
{
        (void) state;
        struct error e;
        make_pending();
        struct intruder intruder = { .sql = "DELETE FROM collections" };
        json_object_put(run_beside(&intruder, -ENOENT, &e));
        assert_nothing_staged();
}

static enum clean_format formats[] = { CLEAN_TOPIC_COLUMN, CLEAN_PYTHON, CLEAN_RUST };

/* clang-format off */
#define ROW(test, format) { #test " (" #format ")", test, setup, teardown, &formats[format] }
/* clang-format on */
#define ROWS(test) ROW(test, CLEAN_TOPIC_COLUMN), ROW(test, CLEAN_PYTHON), ROW(test, CLEAN_RUST)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ROWS(test_sound_index),
                ROWS(test_fragmented_index),
                ROWS(test_rows_of_the_log),
                ROWS(test_twice),
                ROWS(test_keep_nothing),
                ROWS(test_options),
                ROWS(test_options_of_a_version),
                ROW(test_misread_space, CLEAN_RUST),
                ROW(test_misread_and_added_to, CLEAN_RUST),
                ROWS(test_options_that_are_none),
                ROWS(test_dry_run),
                ROWS(test_lost_records_refuse),
                ROWS(test_salvage),
                ROWS(test_lost_file_of_a_crash),
                ROWS(test_lost_file_of_a_stranger),
                ROWS(test_collection_without_anything),
                ROWS(test_absent_index),
                ROWS(test_emptied_index),
                ROWS(test_full_text_table_that_is_missing),
                ROWS(test_segment_without_a_uuid),
                ROWS(test_rows_that_cannot_be_applied),
                ROWS(test_cancelled),
                ROWS(test_row_that_comes_meanwhile),
                ROWS(test_log_that_changes_meanwhile),
                ROWS(test_records_that_go_meanwhile),
                ROWS(test_segment_that_never_rests),
                ROWS(test_collection_that_goes_meanwhile),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
