/* The vector segment of a collection brought to the end of its log. What becomes of one id: test_commit_state.c. */
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

#include "tests/unit/commit_scene.h"

static struct commit_scene scene;

static int make(void **state, enum clean_format format)
{
        commit_scene_make(&scene, format);
        *state = &scene;
        return 0;
}

static int setup_old(void **state)
{
        return make(state, CLEAN_TOPIC_COLUMN);
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

static void assert_counts(const struct commit_scene *s, uint64_t adds, uint64_t updates, uint64_t deletes, uint64_t ignored)
{
        assert_int_equal(s->counts.adds, adds);
        assert_int_equal(s->counts.updates, updates);
        assert_int_equal(s->counts.deletes, deletes);
        assert_int_equal(s->counts.ignored, ignored);
}

static void assert_done(struct commit_scene *s)
{
        assert_int_equal(commit_scene_plan(s), 0);
        assert_counts(s, 0, 0, 0, 0);
        assert_false(commit_vector_has_work(s->v));
        assert_int_equal(commit_vector_disk(s->v), 0);
}

static void assert_damaged(struct commit_scene *s, int r, const char *what)
{
        if (r != -EILSEQ || strstr(s->op.error.text, "rebuild-hnsw") == NULL || strstr(s->op.error.text, what) == NULL)
                fail_msg("%d: %s", r, s->op.error.text);
}

/* --- what is made --- */

/* Labels from 1 on, in the order of the log; one row of an id counts. */
static void test_new_index(void **state)
{
        struct commit_scene *s = *state;
        char large[301];
        memset(large, 'x', sizeof(large) - 1);
        large[300] = '\0';
        commit_scene_collection(s, 0, CLEAN_NONE);
        commit_scene_log(s, 1, COMMIT_ADD, "a", true);
        commit_scene_log(s, 2, COMMIT_ADD, "\xc3\xbc\xf0\x9f\x99\x82", true);
        commit_scene_log(s, 3, COMMIT_ADD, large, true);
        commit_scene_log(s, 4, COMMIT_UPDATE, "none", true);
        commit_scene_log(s, 5, COMMIT_UPSERT, "b", true);
        commit_scene_log(s, 6, COMMIT_DELETE, "a", false);
        commit_scene_log(s, 7, COMMIT_ADD, "b", true);
        commit_scene_log(s, 8, COMMIT_UPDATE, large, true);
        commit_scene_log(s, 9, COMMIT_ADD, "without", false);
        commit_scene_commit(s, 9);
        assert_counts(s, 3, 0, 0, 2);
        assert_int_equal(s->metadata->count, 3);
        assert_int_equal(s->metadata->total_elements_added, 3);
        assert_int_equal(commit_scene_label(s, "\xc3\xbc\xf0\x9f\x99\x82"), 1);
        assert_int_equal(commit_scene_label(s, "b"), 2);
        assert_int_equal(commit_scene_label(s, large), 3);
        assert_int_equal(commit_scene_vector(s, "\xc3\xbc\xf0\x9f\x99\x82"), 2);
        assert_int_equal(commit_scene_vector(s, "b"), 5);
        assert_int_equal(commit_scene_vector(s, large), 8);
        assert_done(s);
}

static void change(struct commit_scene *s)
{
        commit_scene_collection(s, 6, 6); /* id1 … id6, with the vectors of rows 1 to 6 */
        commit_scene_log(s, 7, COMMIT_ADD, "new", true);
        commit_scene_log(s, 8, COMMIT_UPDATE, "id2", true);
        commit_scene_log(s, 9, COMMIT_DELETE, "id3", false);
        commit_scene_log(s, 10, COMMIT_DELETE, "id4", false);
        commit_scene_log(s, 11, COMMIT_ADD, "id4", true);
        commit_scene_log(s, 12, COMMIT_ADD, "id5", true);
        commit_scene_log(s, 13, COMMIT_UPSERT, "id2", true);
        commit_scene_log(s, 14, COMMIT_UPDATE, "id6", false);
        commit_scene_commit(s, 14);
        assert_counts(s, 1, 2, 1, 1);
        assert_int_equal(commit_vector_recovered(s->v), 0);
        assert_int_equal(s->metadata->count, 6);
        assert_int_equal(s->metadata->total_elements_added, 8);
        assert_int_equal(commit_scene_label(s, "id1"), 1);
        assert_int_equal(commit_scene_label(s, "id2"), 2);
        assert_int_equal(commit_scene_label(s, "id3"), 0);
        assert_int_equal(commit_scene_label(s, "new"), 7);
        assert_int_equal(commit_scene_label(s, "id4"), 8);
        assert_int_equal(commit_scene_vector(s, "id1"), 1);
        assert_int_equal(commit_scene_vector(s, "id2"), 13);
        assert_int_equal(commit_scene_vector(s, "id4"), 11);
        assert_int_equal(commit_scene_vector(s, "id5"), 5);
        assert_int_equal(commit_scene_vector(s, "new"), 7);
}

static void test_changes_before_0_5_6(void **state)
{
        struct commit_scene *s = *state;
        change(s);
        assert_int_equal(s->metadata->shape, PICKLE_INSTANCE);
        assert_true(s->metadata->has_max_seq_id && s->metadata->has_dimensionality && s->metadata->seq_ids_complete);
        assert_int_equal(s->metadata->max_seq_id, 14);
        assert_int_equal(s->metadata->dimensionality, 3);
        assert_done(s);
}

static void test_changes_of_python(void **state)
{
        struct commit_scene *s = *state;
        change(s);
        assert_int_equal(s->metadata->shape, PICKLE_INSTANCE);
        assert_true(!s->metadata->has_max_seq_id && s->metadata->has_dimensionality && s->metadata->seq_ids_complete);
        static const uint64_t seq_ids[] = { 6, 13, 6, 6, 7, 11 };
        for (size_t i = 0; i < s->metadata->count; i++)
                assert_int_equal(s->metadata->entries[i].seq_id, seq_ids[i]);
        assert_done(s);
}

static void test_changes_of_rust(void **state)
{
        struct commit_scene *s = *state;
        change(s);
        assert_int_equal(s->metadata->shape, PICKLE_DICT);
        assert_false(s->metadata->has_max_seq_id);
        for (size_t i = 0; i < s->metadata->count; i++)
                assert_int_equal(s->metadata->entries[i].seq_id, 0);
        assert_done(s);
}

static void test_cosine(void **state)
{
        struct commit_scene *s = *state;
        s->config.space = SPACE_COSINE;
        commit_scene_collection(s, 0, CLEAN_NONE);
        commit_scene_log(s, 1, COMMIT_ADD, "a", true);
        commit_scene_log(s, 2, COMMIT_ADD, "b", true);
        commit_scene_commit(s, 2);
        assert_done(s); /* the normalised vectors are the log's */
        commit_scene_log(s, 3, COMMIT_UPDATE, "a", true);
        assert_int_equal(commit_scene_plan(s), 0);
        assert_counts(s, 0, 1, 0, 0);
}

/* 1.x starts over. */
static uint64_t delete_all(struct commit_scene *s)
{
        commit_scene_collection(s, 2, 2);
        commit_scene_log(s, 3, COMMIT_DELETE, "id1", false);
        commit_scene_log(s, 4, COMMIT_DELETE, "id2", false);
        commit_scene_commit(s, 4);
        assert_counts(s, 0, 0, 2, 0);
        assert_int_equal(s->metadata->count, 0);
        commit_scene_log(s, 5, COMMIT_ADD, "id1", true);
        commit_scene_commit(s, 5);
        assert_int_equal(commit_scene_vector(s, "id1"), 5);
        uint64_t label = commit_scene_label(s, "id1");
        assert_done(s);
        return label;
}

static void test_empty_pickle_of_rust(void **state)
{
        assert_int_equal(delete_all(*state), 1);
}

static void test_empty_pickle_of_python(void **state)
{
        assert_int_equal(delete_all(*state), 3);
}

/* A label above the count of the pickle would be handed out twice. */
static void test_label_above_total(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 3, 3);
        commit_scene_index(s, &(struct index_dir){ .count = 3, .deleted = 1, .added = 3 });
        uint64_t label = 9;
        clean_dir_patch(&s->dir, 1, "data_level0.bin", INDEX_DIR_RECORD - 8, &label, sizeof(label));
        commit_scene_log(s, 4, COMMIT_ADD, "new", true);
        commit_scene_commit(s, 4);
        assert_int_equal(commit_scene_label(s, "new"), 10);
        assert_int_equal(s->metadata->total_elements_added, 10);
}

/* --- what was lost --- */

static void test_lost_update_of_a_lone_element(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 1, 3);
        clean_dir_record(&s->dir, 1, "id1", 3);
        commit_scene_log(s, 1, COMMIT_ADD, "id1", true);
        commit_scene_log(s, 3, COMMIT_UPDATE, "id1", true);
        commit_scene_commit(s, 3);
        assert_counts(s, 0, 1, 0, 0);
        assert_int_equal(commit_vector_recovered(s->v), 1);
        assert_int_equal(commit_scene_label(s, "id1"), 1);
        assert_int_equal(commit_scene_vector(s, "id1"), 3);
        assert_done(s);
}

static void test_ignored_add(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 2, 5);
        clean_dir_record(&s->dir, 1, "id1", 1);
        clean_dir_record(&s->dir, 1, "id2", 2);
        commit_scene_log(s, 4, COMMIT_ADD, "id1", true);
        commit_scene_log(s, 5, COMMIT_ADD, "id2", true);
        assert_done(s);
}

static void test_lost_label(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 2, 3);
        commit_scene_index(s, &(struct index_dir){ .count = 2, .extra_label = 3 });
        assert_int_equal(commit_scene_plan(s), 0); /* nothing names it: not seen, and nothing to be done */
        commit_scene_log(s, 4, COMMIT_ADD, "other", true);
        assert_int_equal(commit_scene_plan(s), 0);
        assert_damaged(s, commit_scene_build(s, 4), "lacks");
        commit_scene_log(s, 5, COMMIT_UPDATE, "id1", true);
        assert_damaged(s, commit_scene_plan(s), "lacks");
        commit_scene_log(s, 6, COMMIT_UPDATE, "id3", false);
        assert_damaged(s, commit_scene_plan(s), "label 3");
        assert_int_equal(unlinkat(s->dir.sql.fd, "out", AT_REMOVEDIR), 0);
        commit_scene_log(s, 3, COMMIT_ADD, "id3", true);
        commit_scene_commit(s, 6);
        assert_int_equal(commit_vector_recovered(s->v), 1);
        assert_int_equal(commit_scene_vector(s, "id3"), 3);
        assert_int_equal(commit_scene_label(s, "id3"), 4);
        assert_int_equal(s->metadata->count, 4);
        assert_done(s);
}

/* hnswlib up to 0.7.3 did not write an index's only element. */
static void test_lost_lone_element(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 1, 1);
        commit_scene_index(s, &(struct index_dir){ .count = 0, .extra_label = 1 });
        commit_scene_log(s, 2, COMMIT_UPDATE, "other", true);
        assert_int_equal(commit_scene_plan(s), 0);
        assert_int_equal(commit_vector_has_work(s->v), s->dir.format == CLEAN_TOPIC_COLUMN);
        commit_scene_log(s, 1, COMMIT_ADD, "id1", true);
        commit_scene_commit(s, 2);
        assert_int_equal(commit_scene_vector(s, "id1"), 1);
        assert_int_equal(commit_scene_label(s, "id1"), 2);
        assert_done(s);
}

static void test_lost_index(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 0, 4);
        clean_dir_record(&s->dir, 1, "id1", 2);
        clean_dir_record(&s->dir, 1, "id2", 4);
        commit_scene_log(s, 2, COMMIT_UPDATE, "id1", true);
        commit_scene_log(s, 3, COMMIT_ADD, "id1", true);
        commit_scene_log(s, 4, COMMIT_ADD, "id2", true);
        commit_scene_commit(s, 4);
        assert_int_equal(commit_vector_recovered(s->v), 2);
        assert_int_equal(commit_scene_vector(s, "id1"), 2);
        assert_int_equal(commit_scene_vector(s, "id2"), 4);
        assert_done(s);
}

/* --- nothing to do --- */

static void ignore(struct commit_scene *s)
{
        commit_scene_collection(s, 2, 2);
        if (s->dir.format == CLEAN_TOPIC_COLUMN)
                sql_dir_exec(&s->dir.sql, "UPDATE max_seq_id SET seq_id = x'0000000000000002'");
        commit_scene_log(s, 3, COMMIT_UPDATE, "none", true);
        commit_scene_log(s, 4, COMMIT_DELETE, "none", false);
        commit_scene_log(s, 5, COMMIT_UPDATE, "id1", false);
        assert_int_equal(commit_scene_plan(s), 0);
        assert_counts(s, 0, 0, 0, 2);
}

static void test_ignored_rows(void **state)
{
        ignore(*state);
        assert_false(commit_vector_has_work(scene.v));
}

/* The pickle has the position. */
static void test_ignored_rows_before_0_5_6(void **state)
{
        ignore(*state);
        assert_true(commit_vector_has_work(scene.v));
        commit_scene_commit(*state, 5);
        assert_int_equal(scene.metadata->max_seq_id, 5);
        assert_done(*state);
}

static void test_without_dimension(void **state)
{
        struct commit_scene *s = *state;
        s->dimension = 0;
        commit_scene_collection(s, 0, CLEAN_NONE);
        commit_scene_log(s, 1, COMMIT_DELETE, "none", false);
        assert_int_equal(commit_scene_plan(s), 0);
        assert_false(commit_vector_has_work(s->v));
        commit_scene_log(s, 2, COMMIT_ADD, "a", true);
        assert_int_equal(commit_scene_plan(s), -EINVAL);
}

/* --- failures --- */

static void test_unknown_type(void **state)
{
        struct commit_scene *s = *state;
        s->config.source = CONFIG_UNSUPPORTED;
        commit_scene_collection(s, 1, 1);
        assert_int_equal(commit_scene_begin(s), -EOPNOTSUPP);
}

/* What a stranger's database may say; no index is that. */
static void test_impossible_parameters(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 0, CLEAN_NONE);
        commit_scene_log(s, 1, COMMIT_ADD, "a", true);
        s->config.m = INT64_MIN;
        assert_int_equal(commit_scene_plan(s), 0);
        assert_true(commit_vector_memory(s->v) < 1 << 20 && commit_vector_disk(s->v) < 1 << 20);
        assert_int_equal(commit_scene_build(s, 1), -EOPNOTSUPP);
        s->config.m = 4;
        s->config.ef_construction = -1;
        assert_int_equal(commit_scene_plan(s), 0);
        assert_int_equal(unlinkat(s->dir.sql.fd, "out", AT_REMOVEDIR), 0);
        assert_int_equal(commit_scene_build(s, 1), -EOPNOTSUPP);
}

static void test_damage(void **state)
{
        struct commit_scene *s = *state;
        char id[37];
        commit_scene_collection(s, 3, 3);
        commit_scene_log(s, 4, COMMIT_UPDATE, "id1", true);
        s->dimension = 4;
        assert_damaged(s, commit_scene_begin(s), "dimension");
        s->dimension = 3;
        uint32_t link = 77;
        clean_dir_patch(&s->dir, 1, "data_level0.bin", 2 * INDEX_DIR_RECORD + 4, &link, sizeof(link));
        assert_damaged(s, commit_scene_plan(s), "data_level0.bin");
        index_dir_age(s->dir.sql.fd, test_uuid(CLEAN_VECTOR + 1, id), 0);
        assert_int_equal(commit_scene_plan(s), -EAGAIN);
        index_dir_write(s->dir.sql.fd, id, "header.bin", "x", 1);
        index_dir_age(s->dir.sql.fd, id, 3600);
        assert_damaged(s, commit_scene_begin(s), "header.bin");
}

static void test_orphan_label(void **state)
{
        struct commit_scene *s = *state;
        uint64_t label = 8;
        commit_scene_collection(s, 3, 3);
        clean_dir_patch(&s->dir, 1, "data_level0.bin", 3 * INDEX_DIR_RECORD - 8, &label, sizeof(label));
        commit_scene_log(s, 4, COMMIT_ADD, "new", true);
        assert_int_equal(commit_scene_plan(s), 0);
        assert_damaged(s, commit_scene_build(s, 4), "label 8");
        commit_scene_log(s, 5, COMMIT_UPDATE, "id1", true);
        assert_damaged(s, commit_scene_plan(s), "label 8");
}

static void test_changes_behind_the_plan(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 3, 3);
        commit_scene_log(s, 4, COMMIT_ADD, "new", true);
        assert_int_equal(commit_scene_plan(s), 0);
        sql_dir_exec(&s->dir.sql, "UPDATE embeddings_queue SET id = 'other'");
        assert_int_equal(commit_scene_build(s, 4), -ESTALE);
        assert_int_equal(unlinkat(s->dir.sql.fd, "out/none", 0), -1);
        sql_dir_exec(&s->dir.sql, "DELETE FROM embeddings_queue");
        assert_int_equal(commit_vector_build(s->v, &s->op, s->db, s->fd, 4, 1), -ESTALE);
        clean_dir_index(&s->dir, 1, 0, 50);
        assert_int_equal(commit_vector_build(s->v, &s->op, s->db, s->fd, 4, 1), -EAGAIN);
}

static int asked, most;

static bool is_cancelled(void *context)
{
        (void) context;
        return ++asked > most;
}

static void test_cancel(void **state)
{
        struct commit_scene *s = *state;
        char id[16];
        commit_scene_collection(s, 3, 3);
        for (int64_t row = 4; row < 50; row++) {
                (void) snprintf(id, sizeof(id), "new%d", (int) row);
                commit_scene_log(s, row, COMMIT_ADD, id, true);
        }
        commit_scene_log(s, 50, COMMIT_UPDATE, "id1", true);
        assert_int_equal(commit_scene_plan(s), 0);
        s->sink.cancelled = is_cancelled;
        assert_int_equal(commit_scene_build(s, 50), -ECANCELED);
        s->op.cancelled = false;
        s->op.asked_ms = 0;
        asked = 0;
        assert_int_equal(commit_scene_plan(s), -ECANCELED);
}

#define TEST(name, version) cmocka_unit_test_setup_teardown(name, setup_##version, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_new_index, old),
                TEST(test_new_index, python),
                TEST(test_new_index, rust),
                TEST(test_changes_before_0_5_6, old),
                TEST(test_changes_of_python, python),
                TEST(test_changes_of_rust, rust),
                TEST(test_cosine, python),
                TEST(test_cosine, rust),
                TEST(test_empty_pickle_of_rust, rust),
                TEST(test_empty_pickle_of_python, python),
                TEST(test_label_above_total, rust),
                TEST(test_lost_update_of_a_lone_element, python),
                TEST(test_lost_update_of_a_lone_element, rust),
                TEST(test_ignored_add, python),
                TEST(test_lost_label, python),
                TEST(test_lost_lone_element, old),
                TEST(test_lost_lone_element, rust),
                TEST(test_lost_index, rust),
                TEST(test_ignored_rows, rust),
                TEST(test_ignored_rows_before_0_5_6, old),
                TEST(test_without_dimension, rust),
                TEST(test_unknown_type, rust),
                TEST(test_impossible_parameters, rust),
                TEST(test_damage, python),
                TEST(test_orphan_label, rust),
                TEST(test_changes_behind_the_plan, rust),
                TEST(test_cancel, rust),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
