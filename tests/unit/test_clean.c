/* The operation clean, from the line that starts it to what it leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/file.h"
#include "ops/index_summary.h"
#include "ops/operation/clean.h"
#include "ops/operation/clean_check.h"
#include "tests/unit/clean_dir.h"
#include "tests/unit/fixture.h"

DEFINE_CLEANUP(struct json_object *, json_object_put)

#define RESULT                                                                                                                     \
        CLEANUP(json_object_put)                                                                                                   \
        struct json_object *result = NULL

static int setup_rust(void **state)
{
        static struct clean_dir d;
        clean_dir_make(&d, CLEAN_RUST);
        *state = &d;
        return 0;
}

static int setup_python(void **state)
{
        static struct clean_dir d;
        clean_dir_make(&d, CLEAN_PYTHON);
        *state = &d;
        return 0;
}

static int setup_old(void **state)
{
        static struct clean_dir d;
        clean_dir_make(&d, CLEAN_TOPIC_COLUMN);
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        clean_dir_remove(*state);
        return 0;
}

static int64_t rows(const struct clean_dir *d)
{
        return clean_dir_number(d, "SELECT count(*) FROM embeddings_queue");
}

static int64_t first_row(const struct clean_dir *d)
{
        return clean_dir_number(d, "SELECT min(seq_id) FROM embeddings_queue");
}

static bool is_true(struct json_object *result, const char *object, const char *key)
{
        struct json_object *of = object == NULL ? result : json_object_object_get(result, object);
        return json_object_get_boolean(json_object_object_get(of, key));
}

/* What is deleted. */

static void below_both_positions(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        clean_dir_filled(d, 1, 8, 1, 6);
        sql_dir_exec(&d->sql, "UPDATE max_seq_id SET seq_id = 5 WHERE segment_id LIKE '%%0101'");
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        assert_int_equal(result_number(result, "rows_before"), 8);
        assert_int_equal(result_number(result, "rows_deleted"), 4);
        assert_int_equal(result_number(result, "rows_after"), 4);
        assert_int_equal(result_number(result, "kept"), 0);
        assert_int_equal(rows(d), 4);
        assert_int_equal(first_row(d), 5);
        struct json_object *one = result_collection(result, 1);
        assert_non_null(one);
        assert_int_equal(result_number(one, "rows_before"), 8);
        assert_int_equal(result_number(one, "rows_deleted"), 4);
        assert_int_equal(result_number(one, "up_to"), 5);
        assert_null(json_object_object_get(one, "kept"));
        assert_true(is_true(result, "vacuum", "done"));
        assert_false(is_true(result, NULL, "sentinel"));
        assert_int_equal(clean_dir_number(d, "PRAGMA freelist_count"), 0);
}

/* Each collection has its own limit. */
static void limits_differ(void **state)
{
        const struct clean_dir *d = *state;
        clean_dir_filled(d, 1, 6, 1, 4);
        clean_dir_filled(d, 2, 6, 11, 14);
        clean_dir_filled(d, 3, 6, 21, 26);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, NULL));
        assert_int_equal(clean_dir_number(d, "SELECT sum(seq_id) FROM embeddings_queue"), 4 + 5 + 6 + 14 + 15 + 16 + 26);
}

/* More rows, and more rows that stay among them, than are taken at once. */
static void long_log(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        clean_dir_filled(d, 1, 3, 1, 60000);
        sql_dir_exec(
                &d->sql,
                "WITH RECURSIVE c(x) AS (SELECT 1001 UNION ALL SELECT x + 1 FROM c WHERE x < 61000) INSERT INTO embeddings_queue"
                " (seq_id, operation, topic, id) SELECT x, 1, iif(x > 30000 AND x %% 2 = 0, 'a/nobody', "
                "'a/00000000-0000-4000-8000-000000000001'),"
                " 'never added' FROM c");
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        assert_int_equal(result_number(result, "rows_deleted"), 3 + 29000 + 15000);
        assert_int_equal(rows(d), 16000);
        assert_int_equal(clean_dir_number(d, "SELECT count(*) FROM embeddings_queue WHERE topic <> 'a/nobody' AND seq_id < 60000"),
                         0);
        assert_int_equal(clean_dir_number(d, "SELECT count(*) FROM embeddings_queue WHERE topic = 'a/nobody'"), 15500);
}

/* The metadata segment behind the vector segment, as a crash of 1.x leaves it: then its position counts. */
static void metadata_lags(void **state)
{
        const struct clean_dir *d = *state;
        clean_dir_filled(d, 1, 8, 1, 8);
        sql_dir_exec(&d->sql, "UPDATE max_seq_id SET seq_id = 3 WHERE segment_id LIKE '%%0201'");
        sql_dir_exec(&d->sql, "DELETE FROM embeddings WHERE seq_id > 3");
        assert_null(clean_dir_run(d, "1", NULL, NULL, 0, NULL));
        assert_int_equal(first_row(d), 3);
        assert_int_equal(rows(d), 6);
}

static void the_last_row_stays(void **state)
{
        const struct clean_dir *d = *state;
        clean_dir_filled(d, 1, 8, 1, 8);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, NULL));
        assert_int_equal(rows(d), 1);
        assert_int_equal(first_row(d), 8);
}

static void without_position_nothing_goes(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        char id[37];
        clean_dir_filled(d, 1, 4, 1, 4);
        clean_dir_filled(d, 2, 4, 11, 14);
        clean_dir_filled(d, 3, 4, 21, 24);
        sql_dir_exec(&d->sql, "DELETE FROM max_seq_id WHERE segment_id = %Q", test_uuid(CLEAN_METADATA + 1, id));
        sql_dir_exec(&d->sql, "DELETE FROM max_seq_id WHERE segment_id = %Q", test_uuid(CLEAN_VECTOR + 2, id));
        assert_int_equal(renameat(d->sql.fd, id, d->sql.fd, "elsewhere"), 0); /* so that no pickle tells it */
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        assert_int_equal(rows(d), 4 + 4 + 1);
        assert_int_equal(result_number(result, "kept"), 0);
        for (unsigned n = 1; n <= 2; n++) {
                assert_int_equal(result_number(result_collection(result, n), "rows_deleted"), 0);
                assert_null(json_object_object_get(result_collection(result, n), "up_to"));
                assert_null(json_object_object_get(result_collection(result, n), "kept"));
        }
}

/* Before 0.5.6 it is in the pickle: there 77. */
static void position_of_the_pickle(void **state)
{
        const struct clean_dir *d = *state;
        clean_dir_filled(d, 1, 3, 75, CLEAN_NONE);
        sql_dir_exec(&d->sql, "INSERT INTO max_seq_id VALUES ('00000000-0000-4000-8000-000000000201', x'0000000000000050')");
        clean_dir_log(d, 80, 3, 1, "nobody", false);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, NULL));
        assert_int_equal(first_row(d), 77);
        assert_int_equal(rows(d), 2);
}

static void topics(void **state)
{
        const struct clean_dir *d = *state;
        char id[37];
        clean_dir_filled(d, 1, 5, 1, 5);
        (void) test_uuid(1, id);
        /* The same collection by another setting; no collection; one that only contains the id; no slash; no text. */
        sql_dir_exec(&d->sql, "UPDATE embeddings_queue SET topic = 'persistent://other/place/%s' WHERE seq_id = 2", id);
        for (int i = 0; i < 4; i++)
                clean_dir_log(d, 100 + i, 0, 1, "other", true);
        sql_dir_exec(&d->sql, "UPDATE max_seq_id SET seq_id = 200");
        sql_dir_exec(&d->sql, "UPDATE embeddings_queue SET topic = topic || 'x' WHERE seq_id = 100");
        sql_dir_exec(&d->sql, "UPDATE embeddings_queue SET topic = topic || '/y' WHERE seq_id = 101");
        sql_dir_exec(&d->sql, "UPDATE embeddings_queue SET topic = %Q WHERE seq_id = 102", id);
        sql_dir_exec(&d->sql, "UPDATE embeddings_queue SET topic = CAST(topic AS BLOB) WHERE seq_id = 103");
        clean_dir_log(d, 300, 3, 9, "no such collection", false);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, NULL));
        assert_int_equal(rows(d), 5);
        assert_int_equal(first_row(d), 100);
}

static void only_what_was_asked_for(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        char id[37];
        clean_dir_filled(d, 1, 5, 1, 5);
        clean_dir_filled(d, 2, 5, 11, 15);
        assert_null(clean_dir_run(d, "", test_uuid(1, id), NULL, 0, &result));
        assert_int_equal(result_number(result, "rows_deleted"), 4);
        assert_int_equal(result_number(result, "collection_count"), 1);
        assert_int_equal(clean_dir_number(d, "SELECT count(*) FROM embeddings_queue WHERE seq_id > 10"), 5);
        assert_non_null(strstr(clean_dir_run(d, "", test_uuid(7, id), NULL, -ENOENT, NULL), "no collection"));
}

/* Nothing to do, and nothing done. */

static uint64_t file_hash(const struct clean_dir *d)
{
        uint64_t hash = 1469598103934665603u;
        unsigned char bytes[65536];
        int fd = openat(d->sql.fd, DB_FILE, O_RDONLY | O_CLOEXEC);
        ssize_t n;
        while ((n = read(fd, bytes, sizeof(bytes))) > 0)
                for (ssize_t i = 0; i < n; i++)
                        hash = (hash ^ bytes[i]) * 1099511628211u;
        (void) close(fd);
        return hash;
}

struct look {
        uint64_t hash;
        struct file_stamp stamp;
};

static struct look look_at(const struct clean_dir *d)
{
        return (struct look){ file_hash(d), file_stamp_at(d->sql.fd, DB_FILE) };
}

static void expect_same(const struct clean_dir *d, const struct look *before)
{
        struct look now = look_at(d);
        assert_true(now.hash == before->hash && file_stamp_equal(&now.stamp, &before->stamp));
}

static void nothing_to_do(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        clean_dir_filled(d, 1, 5, 1, 5);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, NULL));
        struct look before = look_at(d);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        expect_same(d, &before);
        assert_int_equal(result_number(result, "rows_deleted"), 0);
        assert_false(is_true(result, "vacuum", "done"));
}

static void dry_run(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        clean_dir_filled(d, 1, 5, 1, 5);
        struct look before = look_at(d);
        assert_null(clean_dir_run(d, "dry_run=1", NULL, NULL, 0, &result));
        expect_same(d, &before);
        assert_false(file_stamp_at(d->sql.fd, STATE_DIR).present);
        assert_int_equal(result_number(result, "rows_deleted"), 4);
        assert_int_equal(result_number(result, "rows_after"), 1);
}

static void without_vacuum(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        clean_dir_filled(d, 1, 5, 1, 5);
        sql_dir_exec(&d->sql, "UPDATE embeddings_queue SET metadata = zeroblob(100000) || 'secret text' WHERE seq_id = 1");
        int64_t pages = clean_dir_number(d, "PRAGMA page_count");
        assert_null(clean_dir_run(d, "vacuum=0", NULL, NULL, 0, &result));
        assert_int_equal(clean_dir_number(d, "PRAGMA page_count"), pages);
        assert_int_equal(rows(d), 1);
        assert_int_equal(result_number(result, "bytes_before"), result_number(result, "bytes_after"));
        assert_false(is_true(result, "vacuum", "done"));
        assert_null(clean_dir_run(d, "vacuum=1", NULL, NULL, 0, NULL));
        assert_true(clean_dir_number(d, "PRAGMA page_count") < pages);
}

/* What keeps a collection's rows. */

static void spoil_vector(const struct clean_dir *d)
{
        clean_dir_index(d, 1, 1, 77);
}

static void spoil_label(const struct clean_dir *d)
{
        clean_dir_patch(d, 1, "data_level0.bin", 2 * INDEX_DIR_RECORD - 8, "\x09\0\0\0\0\0\0", 8);
}

static void spoil_files(const struct clean_dir *d)
{
        char id[37];
        assert_int_equal(renameat(d->sql.fd, test_uuid(CLEAN_VECTOR + 1, id), d->sql.fd, "elsewhere"), 0);
}

static void spoil_header(const struct clean_dir *d)
{
        clean_dir_patch(d, 1, "header.bin", 0, "\x07", 1);
}

static void spoil_links(const struct clean_dir *d)
{
        clean_dir_patch(d, 1, "link_lists.bin", 0, "\xff\xff", 2);
}

/* Collection 1 with records 1 to 8, its rows 1 to 8, and then wrong in one way. */
static const struct spoiled {
        const char *sql;
        void (*files)(const struct clean_dir *d);
        const char *sentence, *cure;
        int64_t seq_id; /* 0: none */
} spoiled[] = {
        { NULL, spoil_vector, "row 2 of the log, record id2: the index has another vector", "commit", 2 },
        { NULL, spoil_label, "lacks 1 of the vectors that its pickle lists, label 2", "rebuild-hnsw", 0 },
        { NULL, spoil_files, "the log is the only copy", "commit", 0 },
        { NULL, spoil_header, "header.bin", "rebuild-hnsw", 0 },
        { NULL, spoil_links, "link_lists.bin", "rebuild-hnsw", 0 },
        { "DELETE FROM embeddings WHERE seq_id = 3", NULL, "row 3 of the log, record id3: the metadata segment lacks", NULL, 3 },
        { "UPDATE embeddings_queue SET operation = 3, vector = NULL, encoding = NULL WHERE seq_id = 4", NULL,
          "record id4: the log says that the record was deleted", NULL, 4 },
        { "UPDATE embeddings_queue SET operation = 1, vector = NULL WHERE seq_id = 5; UPDATE embeddings SET seq_id = 1 WHERE "
          "seq_id = 5",
          NULL, "record id5: the metadata segment has not applied", NULL, 5 },
        { "UPDATE embeddings_queue SET operation = 2 WHERE seq_id = 5; UPDATE embeddings SET seq_id = 'x' WHERE seq_id = 5", NULL,
          "record id5: the metadata segment applied a later row", NULL, 5 },
        { "UPDATE embeddings SET seq_id = 9 WHERE seq_id = 5", NULL, "record id5: the metadata segment applied a later row", NULL,
          5 },
        { "UPDATE embeddings_queue SET id = 'unheard of' WHERE seq_id = 6; INSERT INTO embeddings (segment_id, embedding_id, "
          "seq_id) VALUES"
          " ('00000000-0000-4000-8000-000000000201', 'unheard of', 6)",
          NULL, "record unheard of: the index lacks", "commit", 6 },
        { "UPDATE embeddings_queue SET encoding = 'INT32' WHERE seq_id = 7", NULL, "record id7: the index has another", NULL, 7 },
        { "UPDATE embeddings_queue SET encoding = NULL WHERE seq_id = 7", NULL, "record id7: the index has another", NULL, 7 },
        { "UPDATE embeddings_queue SET vector = x'0000' WHERE seq_id = 7", NULL, "record id7: the index has another", NULL, 7 },
        { "UPDATE embeddings_queue SET vector = x'0000e0400000e8400000f04000000000' WHERE seq_id = 7", NULL,
          "record id7: the index has another", NULL, 7 }, /* the right one, and a float more */
        { "UPDATE embeddings_queue SET vector = 'text' WHERE seq_id = 7", NULL, "record id7: the index has another", NULL, 7 },
        { "UPDATE embeddings_queue SET operation = 4 WHERE seq_id = 2", NULL, "row 2 of the log has an operation", NULL, 2 },
        { "UPDATE embeddings_queue SET operation = 'add' WHERE seq_id = 2", NULL, "row 2 of the log has an operation", NULL, 2 },
        { "UPDATE embeddings_queue SET id = x'6964' WHERE seq_id = 2", NULL, "row 2 of the log has an id that is no text", NULL,
          2 },
        { "UPDATE embeddings_queue SET seq_id = -5 WHERE seq_id = 2", NULL, "row -5 of the log has a number", NULL, -5 },
        { "UPDATE collections SET config_json_str = '[' WHERE name = 'c1'", NULL, "config_json_str", NULL, 0 },
        { "CREATE TABLE double AS SELECT * FROM collections; DROP TABLE collections; ALTER TABLE double RENAME TO collections;"
          "INSERT INTO collections SELECT * FROM collections WHERE name = 'c1'",
          NULL, "several collections", NULL, 0 },
        { "DELETE FROM segments WHERE scope = 'METADATA' AND collection LIKE '%0001'", NULL, "has no metadata segment", NULL, 0 },
        { "DELETE FROM segments WHERE scope = 'VECTOR' AND collection LIKE '%0001'", NULL, "has no vector segment", NULL, 0 },
        { "INSERT INTO segments VALUES ('another', 't', 'VECTOR', '00000000-0000-4000-8000-000000000001')", NULL,
          "more than two segments", NULL, 0 },
        { "UPDATE max_seq_id SET seq_id = 'x' WHERE segment_id LIKE '%0101'", NULL, "the position of the vector segment", NULL, 0 },
        { "UPDATE segments SET id = 'no-uuid' WHERE id LIKE '%0101'; UPDATE max_seq_id SET segment_id = 'no-uuid' WHERE segment_id "
          "LIKE '%0101'",
          NULL, "no UUID", NULL, 0 },
};

static void expect_kept(const struct clean_dir *d, const struct spoiled *s)
{
        RESULT;
        char id[37];
        struct look before = look_at(d);
        const char *sentence = clean_dir_run(d, "", test_uuid(1, id), NULL, -EILSEQ, NULL);
        if (strstr(sentence, s->sentence) == NULL)
                fail_msg("\"%s\", without \"%s\"", sentence, s->sentence);
        expect_same(d, &before);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        if (result_number(result, "kept") != 1)
                fail_msg("\"%s\": %s", s->sentence, json_object_to_json_string(result));
        assert_int_equal(result_number(result, "rows_deleted"), 3);
        assert_int_equal(rows(d), 8 + 1);
        struct json_object *one = result_collection(result, 1);
        assert_non_null(one);
        assert_int_equal(result_number(one, "rows_deleted"), 0);
        assert_non_null(strstr(json_object_get_string(json_object_object_get(one, "kept")), s->sentence));
        struct json_object *cure = json_object_object_get(one, "cure");
        assert_true(s->cure == NULL ? cure == NULL : strcmp(json_object_get_string(cure), s->cure) == 0);
        assert_int_equal(result_number(one, "seq_id"), s->seq_id);
        assert_int_equal(result_number(result_collection(result, 2), "rows_deleted"), 3);
}

/* Whether a clean takes the rows once that operation has run, whatever that says. */
static bool is_cured_by(const struct clean_dir *d, const char *name)
{
        char id[37];
        struct operation_request request = { .type = operation_find(name), .line = "", .collection_id = test_uuid(1, id) };
        struct error e = { 0 };
        for (int i = 0; i < 2; i++) {
                struct json_object *outcome = NULL;
                int r = operation_run(d->sql.fd, &request, NULL, &outcome, &e);
                json_object_put(outcome);
                if (i == 1)
                        return r == 0 && rows(d) < 8 + 1;
                request.type = &operation_clean;
        }
        return false;
}

/* commit is named where it cures, and nowhere else. */
static void expect_cure(const struct clean_dir *d, const struct spoiled *s)
{
        bool named = s->cure != NULL && strcmp(s->cure, "commit") == 0;
        if (is_cured_by(d, "commit") != named)
                fail_msg("\"%s\": commit %s", s->sentence, named ? "does not cure it" : "cures it");
}

static void a_difference_keeps_the_rows(void **state)
{
        (void) state;
        for (size_t i = 0; i < sizeof(spoiled) / sizeof(*spoiled); i++) {
                struct clean_dir d;
                clean_dir_make(&d, CLEAN_RUST);
                clean_dir_filled(&d, 1, 8, 1, 20);
                clean_dir_filled(&d, 2, 4, 31, 34);
                if (spoiled[i].sql != NULL)
                        sql_dir_exec(&d.sql, "%s", spoiled[i].sql);
                if (spoiled[i].files != NULL)
                        spoiled[i].files(&d);
                expect_kept(&d, &spoiled[i]);
                expect_cure(&d, &spoiled[i]);
                clean_dir_remove(&d);
        }
}

/* A collection whose pickle can't be read has no position, in the versions that keep it there; that is said. */
static void unreadable_pickle(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        clean_dir_filled(d, 1, 3, 1, CLEAN_NONE);
        clean_dir_patch(d, 1, "index_metadata.pickle", 2, "!", 1);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        assert_int_equal(result_number(result, "kept"), 1);
        assert_int_equal(rows(d), 3);
}

static void an_index_being_written(void **state)
{
        const struct clean_dir *d = *state;
        char id[37];
        clean_dir_filled(d, 1, 3, 1, 3);
        spoil_label(d);
        index_dir_age(d->sql.fd, test_uuid(CLEAN_VECTOR + 1, id), 0);
        assert_non_null(strstr(clean_dir_run(d, "", test_uuid(1, id), NULL, -EBUSY, NULL), "being written"));
}

/* The update of a lone element that Chroma never writes to its index (FORMAT 6.5): the row that has it must stay, also where others follow. */
static void lone_element(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        clean_dir_collection(d, 1, 1, 9, 9);
        clean_dir_record(d, 1, "id1", 9);
        clean_dir_log(d, 1, 0, 1, "id1", true);
        for (int64_t i = 2; i <= 8; i++)
                clean_dir_log(d, i, 1, 1, "id1", true);
        clean_dir_log(d, 9, 1, 1, "id1", false);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        assert_int_equal(result_number(result, "kept"), 1);
        assert_int_equal(rows(d), 9);
        /* The last row has it: that one stays anyway. */
        sql_dir_exec(&d->sql, "DELETE FROM embeddings_queue WHERE seq_id = 9");
        clean_dir_log(d, 9, 1, 1, "id1", true);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, NULL));
        assert_int_equal(rows(d), 1);
}

static void replace_index(const struct clean_dir *d, const struct index_dir *index)
{
        char id[37];
        assert_int_equal(renameat(d->sql.fd, test_uuid(CLEAN_VECTOR + 1, id), d->sql.fd, "before"), 0);
        index_dir_make(d->sql.fd, id, index);
}

/* A first element that hnswlib up to 0.7.3 never wrote, alone in its index. */
static void lone_first_element(void **state)
{
        const struct clean_dir *d = *state;
        char id[37];
        clean_dir_filled(d, 1, 1, 1, 5);
        replace_index(d, &(struct index_dir){ .count = 0, .extra_label = 1 });
        clean_dir_log(d, 5, 1, 1, "id1", false);
        assert_non_null(strstr(clean_dir_run(d, "", test_uuid(1, id), NULL, -EILSEQ, NULL), "the index is empty"));
        assert_int_equal(rows(d), 2);
}

static void emptied_index(void **state)
{
        const struct clean_dir *d = *state;
        clean_dir_filled(d, 1, 3, 1, 6);
        sql_dir_exec(&d->sql, "DELETE FROM embeddings");
        replace_index(d, &(struct index_dir){ .count = 3, .deleted = 3 });
        clean_dir_log(d, 4, 3, 1, "id1", false);
        clean_dir_log(d, 5, 3, 1, "id2", false);
        clean_dir_log(d, 6, 3, 1, "id3", false);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, NULL));
        assert_int_equal(rows(d), 1);
}

/* Rows that nobody applied, as after the log was emptied (R1). */
static void rows_with_used_numbers(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        clean_dir_filled(d, 1, 5, 11, 15);
        sql_dir_exec(&d->sql, "DELETE FROM embeddings_queue");
        clean_dir_log(d, 2, 0, 1, "new", true);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        assert_int_equal(result_number(result, "kept"), 1);
        assert_int_equal(first_row(d), 2);
}

/* An UPDATE of metadata alone, and an UPSERT of the vector that is there already: embeddings.seq_id is above their number. */
static void changes_with_used_numbers(void **state)
{
        const struct clean_dir *d = *state;
        for (int operation = 1; operation <= 2; operation++) {
                RESULT;
                if (operation == 1)
                        clean_dir_filled(d, 1, 5, 11, 15);
                sql_dir_exec(&d->sql, "DELETE FROM embeddings_queue");
                clean_dir_log(d, 11, operation, 1, "id2", operation == 2);
                clean_dir_index(d, 1, 1, 11);
                clean_dir_log(d, 16, 3, 1, "nobody", false);
                assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
                assert_int_equal(result_number(result, "kept"), 1);
                assert_int_equal(rows(d), 2);
        }
}

/* cosine: normalised in the index, its length beside it. */
static void cosine(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        sql_dir_exec(&d->sql, "INSERT INTO segment_metadata (segment_id, key, str_value) VALUES "
                              "('00000000-0000-4000-8000-000000000101', 'hnsw:space', 'cosine')");
        clean_dir_filled(d, 1, 5, 1, 5);
        for (int64_t i = 0; i < 5; i++) {
                float v[INDEX_DIR_DIMENSION], norm = 0;
                memcpy(v, clean_vector_of(i + 1), sizeof(v));
                for (unsigned k = 0; k < INDEX_DIR_DIMENSION; k++)
                        norm += v[k] * v[k];
                norm = sqrtf(norm);
                for (unsigned k = 0; k < INDEX_DIR_DIMENSION; k++)
                        v[k] *= 1.0f / (norm + 1e-30f);
                clean_dir_patch(d, 1, "data_level0.bin", (uint64_t) i * INDEX_DIR_RECORD + 8 * INDEX_DIR_M + 4, v, sizeof(v));
                clean_dir_patch(d, 1, "length.bin", (uint64_t) i * 4, &norm, sizeof(norm));
        }
        float length = 1.0f;
        clean_dir_patch(d, 1, "length.bin", 4, &length, sizeof(length));
        assert_null(clean_dir_run(d, "dry_run=1", NULL, NULL, 0, &result));
        assert_int_equal(result_number(result, "kept"), 1);
        length = sqrtf(2 * 2 + 2.25f * 2.25f + 2.5f * 2.5f);
        clean_dir_patch(d, 1, "length.bin", 4, &length, sizeof(length));
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, NULL));
        assert_int_equal(rows(d), 1);
}

/* The sentinel. */

static void expect_sentinel(const struct clean_dir *d, int64_t seq_id, const char *topic, const char *metadata)
{
        RESULT;
        char sql[512];
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        assert_true(is_true(result, NULL, "sentinel"));
        (void) snprintf(
                sql, sizeof(sql),
                "SELECT count(*) FROM embeddings_queue WHERE seq_id = %lld AND operation = 3 AND topic = '%s' AND metadata IS %s "
                "AND"
                " vector IS NULL AND encoding IS NULL AND created_at > '2020-' AND id NOT IN (SELECT embedding_id FROM embeddings)",
                (long long) seq_id, topic, metadata);
        assert_int_equal(clean_dir_number(d, sql), 1);
        assert_int_equal(clean_dir_number(d, "SELECT max(seq_id) FROM embeddings_queue"), seq_id);
        assert_int_equal(result_number(result, "rows_after"), rows(d));
        json_object_put(result);
        struct look before = look_at(d);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        assert_false(is_true(result, NULL, "sentinel"));
        expect_same(d, &before);
}

static void emptied_log(void **state)
{
        const struct clean_dir *d = *state;
        clean_dir_filled(d, 1, 5, 1, 5);
        clean_dir_filled(d, 2, 5, 11, 15);
        sql_dir_exec(&d->sql, "DELETE FROM embeddings_queue");
        const char *rust = d->format == CLEAN_RUST ? "'{}'" : "NULL";
        if (d->format == CLEAN_TOPIC_COLUMN)
                expect_sentinel(d, 15, "persistent://old/one/00000000-0000-4000-8000-000000000002", rust);
        else
                expect_sentinel(d, 15, "persistent://default/default/00000000-0000-4000-8000-000000000002", rust);
}

static void shortened_log(void **state)
{
        const struct clean_dir *d = *state;
        clean_dir_filled(d, 1, 5, 1, 5);
        clean_dir_filled(d, 2, 5, 11, 15);
        sql_dir_exec(&d->sql, "DELETE FROM embeddings_queue WHERE seq_id > 3; UPDATE embeddings_queue SET topic = replace(topic, "
                              "'default', 'mine')");
        expect_sentinel(d, 15, "persistent://mine/mine/00000000-0000-4000-8000-000000000002", "'{}'");
        /* Of collection 1 its own is left: Chroma deletes a collection's rows with it. */
        assert_int_equal(rows(d), 2);
        assert_int_equal(first_row(d), 5);
}

/* Two collections at one position, one that has its row, and one whose position is the pickle's. */
static void sentinels_of_all(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        clean_dir_filled(d, 1, 5, 1, 7);
        clean_dir_filled(d, 2, 5, 11, 15);
        clean_dir_filled(d, 3, 5, 21, 30);
        clean_dir_collection(d, 4, 0, 30, 30);
        clean_dir_collection(d, 5, 0, CLEAN_NONE, CLEAN_NONE);
        sql_dir_exec(&d->sql, "DELETE FROM embeddings_queue WHERE seq_id > 15");
        assert_null(clean_dir_run(d, "dry_run=1", NULL, NULL, 0, &result));
        assert_int_equal(result_number(result, "rows_before"), 10);
        json_object_put(result);
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        assert_int_equal(result_number(result, "rows_after"), rows(d));
        assert_int_equal(clean_dir_number(d, "SELECT sum(seq_id) FROM embeddings_queue"), 7 + 15 + 30 + 77);
        assert_int_equal(clean_dir_number(d, "SELECT count(DISTINCT topic) FROM embeddings_queue"), 4);
}

static void no_row_can_follow(void **state)
{
        const struct clean_dir *d = *state;
        clean_dir_filled(d, 1, 5, 1, 5);
        sql_dir_exec(&d->sql, "UPDATE max_seq_id SET seq_id = 9223372036854775807");
        struct look before = look_at(d);
        assert_non_null(strstr(clean_dir_run(d, "", NULL, NULL, -EILSEQ, NULL), "9223372036854775807"));
        expect_same(d, &before);
}

/* Positions of what is no live collection count for nothing. */
static void other_positions(void **state)
{
        const struct clean_dir *d = *state;
        RESULT;
        clean_dir_filled(d, 1, 5, 1, 5);
        sql_dir_exec(&d->sql, "INSERT INTO max_seq_id VALUES ('gone', 1000)");
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        assert_false(is_true(result, NULL, "sentinel"));
        assert_int_equal(rows(d), 1);
}

/* Others, and cancels. */

struct watcher {
        const struct clean_dir *d;
        const char *phase;
        int changes; /* how often it interferes */
        bool files;  /* writes to an index, not to the database */
        bool cancel;
        bool seen;
};

static void watch(void *context, const struct operation_progress *progress)
{
        struct watcher *w = context;
        if (strcmp(progress->phase, w->phase) != 0 || (w->changes == 0 && !w->cancel))
                return;
        w->seen = true;
        (void) usleep(30000); /* so that it is asked next time */
        if (w->changes == 0)
                return;
        w->changes--;
        if (w->files)
                clean_dir_patch(w->d, 1, "header.bin", 0, "\x01", 1);
        else
                clean_dir_log(w->d, 100 + w->changes, 3, 1, "nobody", false);
}

static bool is_cancelled(void *context)
{
        const struct watcher *w = context;
        return w->cancel && w->seen;
}

static void run_watched(struct watcher *w, const char *line, int expected, struct json_object **ret)
{
        struct operation_sink sink = { .context = w, .progress = watch, .cancelled = is_cancelled };
        (void) clean_dir_run(w->d, line, NULL, &sink, expected, ret);
}

static void someone_commits(void **state)
{
        RESULT;
        struct watcher w = { .d = *state, .phase = "looking", .changes = 2 };
        clean_dir_filled(w.d, 1, 5, 1, 5);
        run_watched(&w, "force=1", 0, &result);
        assert_int_equal(w.changes, 0);
        assert_int_equal(result_number(result, "rows_before"), 7);
        assert_int_equal(rows(w.d), 3);
        clean_dir_log(w.d, 4, 3, 1, "nobody", false);
        w.changes = 100;
        run_watched(&w, "force=1", -EBUSY, NULL);
        assert_int_equal(first_row(w.d), 4);
}

static void someone_writes_an_index(void **state)
{
        struct watcher w = { .d = *state, .phase = "checking the records", .changes = 1, .files = true };
        clean_dir_filled(w.d, 1, 5, 1, 5);
        run_watched(&w, "force=1", 0, NULL);
        assert_int_equal(w.changes, 0);
        assert_int_equal(rows(w.d), 1);
        clean_dir_log(w.d, 4, 3, 1, "nobody", false);
        w.changes = 100;
        struct look before = look_at(w.d);
        run_watched(&w, "force=1", -EBUSY, NULL);
        expect_same(w.d, &before);
}

static void cancelled(void **state)
{
        static const char *const phases[] = { "looking", "checking the log", "checking the records", "deleting" };
        const struct clean_dir *d = *state;
        clean_dir_filled(d, 1, 5, 1, 5);
        struct look before = look_at(d);
        for (size_t i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
                struct watcher w = { .d = d, .phase = phases[i], .cancel = true };
                run_watched(&w, "", -ECANCELED, NULL);
                struct look now = look_at(d);
                assert_true(now.hash == before.hash);
        }
}

/* What was deleted stays deleted; the result says what was not done. */
static void vacuum_cancelled(void **state)
{
        RESULT;
        struct watcher w = { .d = *state, .phase = "vacuum", .cancel = true };
        clean_dir_filled(w.d, 1, 5, 1, 5);
        sql_dir_exec(&w.d->sql, "CREATE TABLE bulk AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < "
                                "20000) SELECT x, randomblob(50) FROM c");
        run_watched(&w, "", 0, &result);
        assert_int_equal(rows(w.d), 1);
        assert_false(is_true(result, "vacuum", "done"));
        assert_string_equal(json_object_get_string(json_object_object_get(json_object_object_get(result, "vacuum"), "reason")),
                            "cancelled");
        /* With nothing deleted it is a cancel like any other. */
        run_watched(&w, "", -ECANCELED, NULL);
}

/* In several passes. */

static int check_in_passes(const struct clean_dir *d, uint64_t memory_max, struct clean_plan **ret_plan)
{
        struct operation_request request = { .type = &operation_clean };
        struct operation op = { .type = &operation_clean, .request = &request, .dirfd = d->sql.fd };
        CLEANUP(db_close)
        struct db *db = sql_dir_open(&d->sql);
        assert_int_equal(clean_plan_new(&op, db, ret_plan), 0);
        return clean_check(&op, db, *ret_plan, memory_max);
}

static void several_passes(void **state)
{
        const struct clean_dir *d = *state;
        for (unsigned n = 0; n < 4; n++)
                clean_dir_filled(d, 1 + n, 5, 1 + 10 * n, 5 + 10 * n);
        clean_dir_index(d, 3, 2, 99);
        for (uint64_t memory = 1; memory < 1u << 20; memory *= 32) {
                CLEANUP(clean_plan_free)
                struct clean_plan *plan = NULL;
                assert_int_equal(check_in_passes(d, memory, &plan), 0);
                assert_int_equal(plan->rows, 20);
                assert_int_equal(clean_plan_rows_to_go(plan), 12);
                assert_int_equal(clean_plan_kept(plan), 1);
                assert_int_equal(plan->collections[2].kept->seq_id, 23);
                for (size_t i = 0; i < plan->count; i++)
                        assert_int_equal(plan->collections[i].rows, 5);
        }
}

/* More indexes than are open at once, whose rows alternate. */
static void many_collections(void **state)
{
        const struct clean_dir *d = *state;
        enum { COLLECTIONS = 70, EACH = 3 };
        for (unsigned n = 0; n < COLLECTIONS; n++)
                clean_dir_filled(d, 1 + n, EACH, 1 + 10 * n, 2000);
        sql_dir_exec(&d->sql, "UPDATE embeddings_queue SET seq_id = -(seq_id %% 10) * 100 - seq_id / 10 - 1000; UPDATE "
                              "embeddings_queue SET seq_id = -seq_id - 1000;"
                              "UPDATE embeddings SET seq_id = (seq_id %% 10) * 100 + seq_id / 10");
        clean_dir_log(d, 3000, 3, 1, "nobody", false);
        RESULT;
        assert_null(clean_dir_run(d, "", NULL, NULL, 0, &result));
        assert_int_equal(result_number(result, "rows_deleted"), COLLECTIONS * EACH);
        assert_int_equal(result_number(result, "collection_count"), COLLECTIONS);
}

/* Real directories: what FORMAT's rule says, by other code. */

static uint64_t rule(const struct fixture *f, const struct collection *c)
{
        struct index_summary summary = { 0 };
        uint64_t vector = 0;
        index_summary_read(f->fd, c->vector->id.bytes, &summary);
        if (!vector_position(c->vector, &summary, &vector) || !c->metadata->has_position)
                return 0;
        uint64_t limit = vector < c->metadata->position ? vector : c->metadata->position;
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(
                db_prepare(f->db, &stmt, NULL, "SELECT count(*) FROM embeddings_queue WHERE topic LIKE '%/' || ?1 AND seq_id < ?2"),
                0);
        assert_int_equal(sqlite3_bind_text(stmt, 1, c->id.bytes, -1, SQLITE_STATIC), SQLITE_OK);
        assert_int_equal(sqlite3_bind_int64(stmt, 2, (int64_t) limit), SQLITE_OK);
        assert_int_equal(db_step(f->db, stmt, NULL), 1);
        return (uint64_t) sqlite3_column_int64(stmt, 0);
}

static void check_fixture(const struct fixture *f)
{
        struct operation_request request = { .type = &operation_clean };
        struct operation op = { .type = &operation_clean, .request = &request, .dirfd = f->fd };
        CLEANUP(clean_plan_free)
        struct clean_plan *plan = NULL;
        assert_int_equal(clean_plan_new(&op, f->db, &plan), 0);
        assert_int_equal(clean_check(&op, f->db, plan, CLEAN_MEMORY_MAX), 0);
        assert_false(plan->sentinel);
        for (size_t i = 0; i < plan->count; i++) {
                const struct clean_collection *item = &plan->collections[i];
                if (item->kept != NULL)
                        fail_msg("%s, %s: %s", f->name, item->collection->name.bytes, item->kept->error.text);
                assert_int_equal(clean_rows_to_go(item), rule(f, item->collection));
        }
}

static void fixtures(void **state)
{
        (void) state;
        each_fixture(check_fixture);
}

#define ON(setup, test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ON(setup_rust, below_both_positions),
                ON(setup_rust, limits_differ),
                ON(setup_rust, long_log),
                ON(setup_rust, metadata_lags),
                ON(setup_rust, the_last_row_stays),
                ON(setup_python, the_last_row_stays),
                ON(setup_python, without_position_nothing_goes),
                ON(setup_old, position_of_the_pickle),
                ON(setup_rust, topics),
                ON(setup_rust, only_what_was_asked_for),
                ON(setup_rust, nothing_to_do),
                ON(setup_python, nothing_to_do),
                ON(setup_rust, dry_run),
                ON(setup_rust, without_vacuum),
                cmocka_unit_test(a_difference_keeps_the_rows),
                ON(setup_old, unreadable_pickle),
                ON(setup_rust, an_index_being_written),
                ON(setup_rust, lone_element),
                ON(setup_python, lone_element),
                ON(setup_old, lone_first_element),
                ON(setup_rust, emptied_index),
                ON(setup_rust, rows_with_used_numbers),
                ON(setup_rust, changes_with_used_numbers),
                ON(setup_python, changes_with_used_numbers),
                ON(setup_python, cosine),
                ON(setup_rust, cosine),
                ON(setup_rust, emptied_log),
                ON(setup_python, emptied_log),
                ON(setup_old, emptied_log),
                ON(setup_rust, shortened_log),
                ON(setup_rust, sentinels_of_all),
                ON(setup_old, sentinels_of_all),
                ON(setup_rust, no_row_can_follow),
                ON(setup_rust, other_positions),
                ON(setup_rust, someone_commits),
                ON(setup_rust, someone_writes_an_index),
                ON(setup_rust, cancelled),
                ON(setup_rust, vacuum_cancelled),
                ON(setup_rust, several_passes),
                ON(setup_rust, many_collections),
                cmocka_unit_test(fixtures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
