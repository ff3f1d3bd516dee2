/*
 * What could lead rebuild-hnsw to a wrong vector, or to give up one that is there: vectors of another index behind the last element, another dimension, files that can't be read, positions that are wrong. The
 * collection has the ids id1 to id6, whose vectors in the index are those of the rows 1 to 6.
 */
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

#include "ops/commit/rebuild.h"
#include "ops/hnsw/hnsw.h"
#include "ops/hnsw/salvage.h"
#include "tests/unit/commit_scene.h"
#include "tests/unit/pickle_builder.h"
#include "tests/unit/schema.h"

#define COUNT_ALL 6
#define HEADER_COUNT_AT 20
#define POSITION_OF_VECTORS "SELECT seq_id FROM max_seq_id WHERE segment_id = (SELECT id FROM segments WHERE scope = 'VECTOR')"

static struct commit_scene scene;

static int make(void **state, enum clean_format format)
{
        commit_scene_make(&scene, format);
        scene.rebuild = &scene.config;
        *state = &scene;
        return 0;
}

static int setup_python(void **state)
{
        return make(state, CLEAN_PYTHON);
}

static int setup_rust(void **state)
{
        return make(state, CLEAN_RUST);
}

static int teardown(void **state)
{
        commit_scene_remove(*state);
        return 0;
}

static const char *id_of(int i)
{
        static char id[16];
        (void) snprintf(id, sizeof(id), "id%d", i);
        return id;
}

static void fill(struct commit_scene *s, int64_t vector_position, int64_t record_position)
{
        clean_dir_collection(&s->dir, 1, COUNT_ALL, vector_position, record_position);
        for (int i = 1; i <= COUNT_ALL; i++)
                clean_dir_record(&s->dir, 1, id_of(i), i);
}

static void set_record(const struct commit_scene *s, const char *id, int64_t seq_id)
{
        sql_dir_exec(&s->dir.sql, "DELETE FROM embeddings WHERE embedding_id = %Q", id);
        clean_dir_record(&s->dir, 1, id, seq_id);
}

static const char *path_of(const char *file)
{
        static char path[96];
        char id[37];
        (void) snprintf(path, sizeof(path), "%s/%s", test_uuid(CLEAN_VECTOR + 1, id), file);
        return path;
}

static void set_age(const struct commit_scene *s, int seconds)
{
        char id[37];
        index_dir_age(s->dir.sql.fd, test_uuid(CLEAN_VECTOR + 1, id), seconds);
}

static void cut(const struct commit_scene *s, const char *file, off_t len)
{
        int fd = openat(s->dir.sql.fd, path_of(file), O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, len), 0);
        assert_int_equal(close(fd), 0);
        set_age(s, 3600);
}

static void set_count(const struct commit_scene *s, uint64_t count)
{
        clean_dir_patch(&s->dir, 1, "header.bin", HEADER_COUNT_AT, &count, sizeof(count));
}

static struct commit_saved saved(const struct commit_scene *s)
{
        return commit_vector_saved(s->v);
}

/* data_level0.bin is made of memory that may have had another index in it, with the same labels; and hnswlib up to 0.7.3 never wrote a lone element. Who has a row of the log gets its vector, and not what stands
   there. */
static void test_memory_of_another_index(void **state)
{
        struct commit_scene *s = *state;
        clean_dir_collection(&s->dir, 1, 1, 10, 10);
        clean_dir_record(&s->dir, 1, "id1", 1);
        set_count(s, 0);
        assert_int_equal(commit_scene_plan(s), 0);
        assert_true(saved(s).uncounted == 1 && saved(s).kept == 1);
        commit_scene_log(s, 8, COMMIT_ADD, "id1", true);
        commit_scene_log(s, 9, COMMIT_UPDATE, "id1", false);
        set_record(s, "id1", 9);
        commit_scene_commit(s, 11);
        assert_int_equal(commit_scene_vector(s, "id1"), 8);
        assert_true(saved(s).uncounted == 0 && saved(s).kept == 0 && saved(s).logged == 1);
}

/* A count that is below that of the pickle is torn: the index's vector counts, as always. */
static void test_count_too_low(void **state)
{
        struct commit_scene *s = *state;
        fill(s, 10, 10);
        set_count(s, 2);
        commit_scene_log(s, 3, COMMIT_ADD, "id3", true);
        commit_scene_log(s, 9, COMMIT_ADD, "id4", true); /* which Chroma passed over */
        commit_scene_log(s, 10, COMMIT_UPDATE, "id4", false);
        set_record(s, "id4", 10);
        commit_scene_commit(s, 11);
        for (int i = 1; i <= COUNT_ALL; i++)
                assert_int_equal(commit_scene_vector(s, id_of(i)), i);
        assert_true(saved(s).uncounted == 0 && saved(s).kept == COUNT_ALL && saved(s).lost_count == 0);
}

static void expect_no_beginning(struct commit_scene *s, int expected, const char *sentence)
{
        assert_int_equal(commit_scene_begin(s), expected);
        assert_non_null(strstr(s->op.error.text, sentence));
        s->op.error = (struct error){ 0 };
}

/* 4 links and 3 dimensions are as long as 3 links and 5 dimensions: links would be taken for vectors. */
static void test_another_dimension(void **state)
{
        struct commit_scene *s = *state;
        fill(s, COUNT_ALL, COUNT_ALL);
        s->dimension = 5;
        expect_no_beginning(s, -EILSEQ, "dimension");
        cut(s, "header.bin", 0);
        expect_no_beginning(s, -EILSEQ, "dimension");
        s->dimension = INDEX_DIR_DIMENSION;
        assert_int_equal(commit_scene_plan(s), 0);
        assert_int_equal(saved(s).kept, COUNT_ALL);
}

/* Chroma makes room for 1,000 elements and more at once: those that are none yet say nothing of how long a record is. Two records of 3 dimensions together are as long as one of another M. */
static void test_much_room(void **state)
{
        struct commit_scene *s = *state;
        fill(s, COUNT_ALL, COUNT_ALL);
        for (int i = 0; i < 2; i++) {
                cut(s, "data_level0.bin", 1000 * (off_t) INDEX_DIR_RECORD);
                assert_int_equal(commit_scene_plan(s), 0);
                assert_int_equal(saved(s).files->layout, i == 0 ? SALVAGE_FROM_HEADER : SALVAGE_FROM_CONFIG);
                assert_true(saved(s).kept == COUNT_ALL && saved(s).files->m == INDEX_DIR_M);
                cut(s, "header.bin", 50);
        }
        s->config.m = 13;
        assert_int_equal(commit_scene_plan(s), 0);
        assert_int_equal(saved(s).files->layout, SALVAGE_FROM_LABELS);
        assert_true(saved(s).kept == COUNT_ALL && saved(s).files->m == INDEX_DIR_M);
}

/* A link leads to someone's files, which Chroma follows and we don't: that is no reason to give vectors up. */
static void test_links(void **state)
{
        struct commit_scene *s = *state;
        fill(s, COUNT_ALL, COUNT_ALL);
        s->config.space = SPACE_COSINE;
        static const char *const files[] = { "header.bin", "data_level0.bin", "length.bin", "index_metadata.pickle" };
        for (size_t i = 0; i < 4; i++) {
                assert_int_equal(renameat(s->dir.sql.fd, path_of(files[i]), s->dir.sql.fd, "kept"), 0);
                assert_int_equal(symlinkat("../kept", s->dir.sql.fd, path_of(files[i])), 0);
                expect_no_beginning(s, -ELOOP, "link");
                assert_int_equal(renameat(s->dir.sql.fd, "kept", s->dir.sql.fd, path_of(files[i])), 0);
        }
        char id[37];
        assert_int_equal(renameat(s->dir.sql.fd, test_uuid(CLEAN_VECTOR + 1, id), s->dir.sql.fd, "kept"), 0);
        assert_int_equal(symlinkat("kept", s->dir.sql.fd, id), 0);
        expect_no_beginning(s, -ELOOP, "link");
}

/* As somebody whom the modes mean. */
static int salvage_as_nobody(const struct commit_scene *s, struct error *e)
{
        char id[37];
        struct salvage_start start = { .persist_fd = s->dir.sql.fd,
                                       .segment_id = test_uuid(CLEAN_VECTOR + 1, id),
                                       .dimension = INDEX_DIR_DIMENSION,
                                       .m = INDEX_DIR_M,
                                       .space = SPACE_COSINE };
        CLEANUP(salvage_free)
        struct salvage *found = NULL;
        uid_t self = geteuid();
        assert_int_equal(self == 0 ? seteuid(65534) : 0, 0);
        int r = salvage_read(&start, &found, e);
        assert_int_equal(self == 0 ? seteuid(0) : 0, 0);
        return r;
}

static void test_no_permission(void **state)
{
        struct commit_scene *s = *state;
        struct error e = { 0 };
        static const char *const files[] = { "header.bin", "data_level0.bin", "length.bin", "index_metadata.pickle", "." };
        fill(s, COUNT_ALL, COUNT_ALL);
        assert_int_equal(fchmod(s->dir.sql.fd, 0755), 0);
        assert_int_equal(salvage_as_nobody(s, &e), 0);
        for (size_t i = 0; i < 5; i++) {
                assert_int_equal(fchmodat(s->dir.sql.fd, path_of(files[i]), 0, 0), 0);
                assert_int_equal(salvage_as_nobody(s, &e), -EACCES);
                assert_non_null(strstr(e.text, "ermission"));
                assert_int_equal(fchmodat(s->dir.sql.fd, path_of(files[i]), 0755, 0), 0);
        }
}

/* A row without a vector does not say of an id that is in the pickle that it never had one. */
static void test_record_that_had_a_vector(void **state)
{
        struct commit_scene *s = *state;
        fill(s, 10, 10);
        cut(s, "data_level0.bin", 5 * (off_t) INDEX_DIR_RECORD);
        commit_scene_log(s, 8, COMMIT_UPSERT, "id6", false);
        set_record(s, "id6", 8);
        assert_int_equal(commit_scene_plan(s), 0);
        assert_true(saved(s).lost_count == 1 && saved(s).bare == 0);
        assert_true(text_is(&saved(s).lost[0], "id6"));
}

/* Files that do not fit each other are damaged, or half of what someone writes. */
static void test_young_damage(void **state)
{
        struct commit_scene *s = *state;
        fill(s, COUNT_ALL, COUNT_ALL);
        cut(s, "index_metadata.pickle", 40);
        set_age(s, 0);
        expect_no_beginning(s, -EAGAIN, "being written");
        set_age(s, 3600);
        assert_int_equal(commit_scene_begin(s), 0);
}

static void set_vector(const struct commit_scene *s, uint64_t element, const float vector[INDEX_DIR_DIMENSION], float length)
{
        clean_dir_patch(&s->dir, 1, "data_level0.bin", element * INDEX_DIR_RECORD + 8 * INDEX_DIR_M + 4, vector,
                        4 * INDEX_DIR_DIMENSION);
        clean_dir_patch(&s->dir, 1, "length.bin", 4 * element, &length, sizeof(length));
}

/* v / (|v| + 1e-30), as hnswlib normalises. */
static void test_vectors_that_are_all_but_nothing(void **state)
{
        struct commit_scene *s = *state;
        static const float tiny[] = { 0, 0.5f, 0 }, whole[] = { 0.6f, 0, -0.8f };
        fill(s, COUNT_ALL, COUNT_ALL);
        s->config.space = SPACE_COSINE;
        for (uint64_t i = 0; i < COUNT_ALL; i++)
                set_vector(s, i, whole, 2);
        set_vector(s, 1, tiny, 1e-30f);
        set_vector(s, 2, tiny, 0.5f);
        set_vector(s, 3, tiny, 0); /* its squares are 0 */
        assert_int_equal(commit_scene_plan(s), 0);
        assert_true(saved(s).files->bad == 1 && saved(s).lost_count == 1 && saved(s).files->normless == 0);
        assert_true(text_is(&saved(s).lost[0], "id3"));
}

/* A pickle whose labels were given out twice: {id-0: 4, id-1: 5, id-2: 6, id-3: 4}, and {4: id-0, 5: id-1, 6: id-2, 7: id-3}, say. An id counts when both have it with one label. */
static void set_pickle(const struct commit_scene *s, const int32_t labels[4], const int32_t owned[4], size_t owners)
{
        char id[37];
        struct byte_buffer b = { 0 };
        static const int32_t seq_ids[] = { 11, 12, 13, 14 };
        pickle_header(&b, STYLE_RUST);
        pickle_key_int(&b, "dimensionality", INDEX_DIR_DIMENSION);
        pickle_key_int(&b, "total_elements_added", 6);
        pickle_ids_to_numbers(&b, "id_to_label", labels, 4);
        pickle_numbers_to_ids(&b, "label_to_id", owned, owners);
        pickle_ids_to_numbers(&b, "id_to_seq_id", seq_ids, 4);
        pickle_footer(&b, STYLE_RUST);
        index_dir_write(s->dir.sql.fd, test_uuid(CLEAN_VECTOR + 1, id), "index_metadata.pickle", b.data, b.len);
        bytes_clear(&b);
}

static void expect_entries(struct commit_scene *s, const uint64_t *labels, size_t count)
{
        assert_int_equal(commit_scene_begin(s), 0);
        const struct salvage *files = saved(s).files;
        assert_non_null(files->metadata);
        assert_int_equal(files->metadata->count, count);
        assert_int_equal(files->metadata->disagreeing, 4 - count);
        assert_true((files->pickle_error.code != 0) == (count < 4));
        for (size_t i = 0; i < count; i++) {
                const struct index_entry *entry = &files->metadata->entries[i];
                assert_int_equal(entry->label, labels[i]);
                assert_int_equal(files->record_of[i], labels[i] - 1);
                assert_int_equal(entry->id_len, 4);
                assert_int_equal(entry->seq_id, 11 + entry->id[3] - '0');
        }
}

static void test_labels_given_out_twice(void **state)
{
        struct commit_scene *s = *state;
        fill(s, COUNT_ALL, COUNT_ALL);
        set_pickle(s, (int32_t[4]){ 4, 5, 6, 1 }, (int32_t[4]){ 4, 5, 6, 1 }, 4);
        expect_entries(s, (uint64_t[]){ 1, 4, 5, 6 }, 4);
        set_pickle(s, (int32_t[4]){ 5, 4, 6, 5 }, (int32_t[4]){ 5, 4, 6 }, 3); /* id-0 has 5, not id-3 */
        expect_entries(s, (uint64_t[]){ 4, 5, 6 }, 3);
        assert_memory_equal(saved(s).files->metadata->entries[1].id, "id-0", 4);
        set_pickle(s, (int32_t[4]){ 5, 4, 6, 5 }, (int32_t[4]){ 1, 4, 6, 5 }, 4); /* id-3 has */
        expect_entries(s, (uint64_t[]){ 4, 5, 6 }, 3);
        assert_memory_equal(saved(s).files->metadata->entries[1].id, "id-3", 4);
        set_pickle(s, (int32_t[4]){ 5, 4, 6, 5 }, (int32_t[4]){ 5, 4, 6, 5 }, 4); /* nobody knows who */
        expect_entries(s, (uint64_t[]){ 4, 6 }, 2);
        set_pickle(s, (int32_t[4]){ 2, 3, 4, 5 }, (int32_t[4]){ 3, 4, 5, 6 }, 4);
        expect_entries(s, NULL, 0);
        set_pickle(s, (int32_t[4]){ 2, 3, 4, 5 }, NULL, 0);
        expect_entries(s, NULL, 0);
}

/* --- the whole operation --- */

static const char *run(const struct commit_scene *s, const char *line, int expected)
{
        static struct error e;
        char id[37];
        struct operation_request request = {
                .type = &operation_rebuild_hnsw, .line = line, .line_len = strlen(line), .collection_id = test_uuid(1, id)
        };
        struct json_object *outcome = NULL;
        e = (struct error){ 0 };
        int r = operation_run(s->dir.sql.fd, &request, &s->sink, &outcome, &e);
        json_object_put(outcome);
        if (r != expected)
                fail_msg("\"%s\": %d, not %d: %s", line, r, expected, e.text);
        return e.text;
}

static void set_dimension(const struct commit_scene *s)
{
        sql_dir_exec(&s->dir.sql, "UPDATE collections SET dimension = 3");
}

/* What would be written next would be passed over, and then purged. */
static void test_position_above_the_log(void **state)
{
        struct commit_scene *s = *state;
        fill(s, 1000, 8);
        set_dimension(s);
        commit_scene_log(s, 8, COMMIT_UPDATE, "id1", true);
        set_record(s, "id1", 8);
        (void) run(s, "1", 0);
        const char *sql = s->dir.format == CLEAN_RUST ? POSITION_OF_VECTORS " AND seq_id = 8"
                                                      : "SELECT count(*) FROM max_seq_id WHERE seq_id = x'0000000000000008'";
        assert_int_equal(clean_dir_number(&s->dir, sql), s->dir.format == CLEAN_RUST ? 8 : 2);
}

/* A log that is whole: what Chroma ignored at its beginning is known. */
static void test_never_persisted(void **state)
{
        struct commit_scene *s = *state;
        char id[37];
        clean_dir_collection(&s->dir, 1, COUNT_ALL, CLEAN_NONE, 4);
        set_dimension(s);
        assert_int_equal(renameat(s->dir.sql.fd, test_uuid(CLEAN_VECTOR + 1, id), s->dir.sql.fd, "gone"), 0);
        commit_scene_log(s, 1, COMMIT_UPDATE, "x", true);
        commit_scene_log(s, 2, COMMIT_ADD, "x", true);
        commit_scene_log(s, 4, COMMIT_UPDATE, "x", false);
        clean_dir_record(&s->dir, 1, "x", 4);
        (void) run(s, "1", 0);
        s->db = sql_dir_open(&s->dir.sql);
        struct error e = { 0 };
        struct hnsw *index = NULL;
        const struct hnsw_params params = { .space = SPACE_L2, .stage_fd = -1 };
        assert_int_equal(catalog_read(s->db, &s->catalog, &e), 0);
        int fd = file_open_dir(s->dir.sql.fd, s->catalog->collections[0].vector->id.bytes, &e);
        assert_true(fd >= 0);
        assert_int_equal(hnsw_load(fd, &params, 0, NULL, NULL, &index, &e), 0);
        assert_int_equal(hnsw_info(index).count, 1);
        assert_memory_equal(hnsw_vector(index, 0), clean_vector_of(2), 4 * INDEX_DIR_DIMENSION);
        (void) hnsw_free(index);
        assert_int_equal(close(fd), 0);
}

/* A number that was handed out again says nothing of other ids: what the log has of these is all that is left. Without salvage=1 it would fail. */
static void test_one_row_never_applied(void **state)
{
        struct commit_scene *s = *state;
        fill(s, 10, 10);
        set_dimension(s);
        for (int i = 1; i <= COUNT_ALL; i++)
                commit_scene_log(s, i, COMMIT_ADD, id_of(i), true);
        commit_scene_log(s, COUNT_ALL + 1, COMMIT_ADD, "never", true);
        cut(s, "index_metadata.pickle", 0);
        (void) run(s, "1", 0);
}

/* Its space would change, and the vectors would not. */
static void test_index_without_a_dimension(void **state)
{
        struct commit_scene *s = *state;
        fill(s, COUNT_ALL, COUNT_ALL);
        assert_non_null(strstr(run(s, "space=cosine", -EILSEQ), "dimension"));
        set_dimension(s);
        (void) run(s, "space=cosine", 0);
}

#define BOTH(f) cmocka_unit_test_setup_teardown(f, setup_python, teardown), cmocka_unit_test_setup_teardown(f, setup_rust, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                BOTH(test_memory_of_another_index),
                BOTH(test_count_too_low),
                BOTH(test_another_dimension),
                BOTH(test_much_room),
                BOTH(test_links),
                BOTH(test_no_permission),
                BOTH(test_record_that_had_a_vector),
                BOTH(test_young_damage),
                BOTH(test_vectors_that_are_all_but_nothing),
                BOTH(test_labels_given_out_twice),
                BOTH(test_position_above_the_log),
                BOTH(test_never_persisted),
                BOTH(test_index_without_a_dimension),
                BOTH(test_one_row_never_applied),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
