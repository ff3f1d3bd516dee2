/*
 * An index made anew of one that may be damaged, and the log: which vector each record gets, and which get none. The collection has the ids id1 to id6, with the vectors of rows 1 to 6. What the files of a damaged index still say:
 * test_hnsw_salvage.c.
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
#include <string.h>
#include <unistd.h>

#include "ops/hnsw/hnsw.h"
#include "ops/hnsw/salvage.h"
#include "tests/unit/commit_scene.h"

#define COUNT_ALL 6

static struct commit_scene scene;

static int make(void **state, enum clean_format format)
{
        commit_scene_make(&scene, format);
        scene.rebuild = &scene.config;
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

static const char *id_of(int i)
{
        static char id[16];
        (void) snprintf(id, sizeof(id), "id%d", i);
        return id;
}

static void fill(const struct commit_scene *s)
{
        commit_scene_collection(&scene, COUNT_ALL, COUNT_ALL);
        for (int i = 1; i <= COUNT_ALL; i++)
                clean_dir_record(&s->dir, 1, id_of(i), i);
}

static void log_adds(const struct commit_scene *s)
{
        for (int i = 1; i <= COUNT_ALL; i++)
                commit_scene_log(s, i, COMMIT_ADD, id_of(i), true);
}

static void cut(const struct commit_scene *s, const char *file, off_t len)
{
        char id[37], path[96];
        (void) snprintf(path, sizeof(path), "%s/%s", test_uuid(CLEAN_VECTOR + 1, id), file);
        int fd = openat(s->dir.sql.fd, path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, len), 0);
        assert_int_equal(close(fd), 0);
        index_dir_age(s->dir.sql.fd, id, 3600);
}

static off_t records(uint64_t count)
{
        return (off_t) (count * (8 * INDEX_DIR_M + 4 + 4 * INDEX_DIR_DIMENSION + 8));
}

static struct commit_saved saved(const struct commit_scene *s)
{
        return commit_vector_saved(s->v);
}

static void rebuild(struct commit_scene *s, uint64_t position)
{
        commit_scene_commit(s, position);
        assert_int_equal(s->metadata->total_elements_added, s->metadata->count);
        assert_true(commit_vector_has_work(s->v));
}

/* All six, with labels 1 to 6 and their vectors. */
static void assert_whole(const struct commit_scene *s)
{
        assert_int_equal(s->metadata->count, COUNT_ALL);
        for (int i = 1; i <= COUNT_ALL; i++) {
                assert_int_equal(commit_scene_label(s, id_of(i)), i);
                assert_int_equal(commit_scene_vector(s, id_of(i)), i);
        }
        assert_int_equal(saved(s).lost_count, 0);
}

static void test_whole_index(void **state)
{
        struct commit_scene *s = *state;
        fill(s);
        rebuild(s, COUNT_ALL);
        assert_whole(s);
        assert_true(saved(s).kept == COUNT_ALL && saved(s).logged == 0 && saved(s).orphans == 0);
        rebuild(s, COUNT_ALL + 1);
        assert_whole(s);
}

static void test_rows_of_the_log(void **state)
{
        struct commit_scene *s = *state;
        fill(s);
        commit_scene_log(s, 7, COMMIT_ADD, "new", true);
        commit_scene_log(s, 8, COMMIT_UPDATE, "id2", true);
        commit_scene_log(s, 9, COMMIT_DELETE, "id3", false);
        commit_scene_log(s, 10, COMMIT_DELETE, "id4", false);
        commit_scene_log(s, 11, COMMIT_ADD, "id4", true);
        commit_scene_log(s, 12, COMMIT_ADD, "id5", true);
        commit_scene_log(s, 13, COMMIT_UPDATE, "none", true);
        rebuild(s, 13);
        static const struct {
                const char *id;
                uint64_t label;
                int64_t row;
        } made[] = { { "id1", 1, 1 }, { "id5", 2, 5 }, { "id6", 3, 6 }, { "new", 4, 7 }, { "id2", 5, 8 }, { "id4", 6, 11 } };
        for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
                assert_int_equal(commit_scene_label(s, made[i].id), made[i].label);
                assert_int_equal(commit_scene_vector(s, made[i].id), made[i].row);
        }
        assert_int_equal(s->metadata->count, 6);
        assert_true(saved(s).kept == 3 && saved(s).logged == 3 && saved(s).lost_count == 0 && saved(s).orphans == 0);
        assert_true(s->counts.adds == 1 && s->counts.updates == 2 && s->counts.deletes == 1 && s->counts.ignored == 2);
}

/* Header, links and the ends of files are nothing that a rebuild needs. */
static void test_damage_that_costs_nothing(void **state)
{
        struct commit_scene *s = *state;
        fill(s);
        cut(s, "header.bin", 0);
        cut(s, "link_lists.bin", 3);
        cut(s, "length.bin", 0);
        rebuild(s, COUNT_ALL);
        assert_whole(s);
        assert_int_equal(saved(s).files->layout, SALVAGE_FROM_CONFIG);
}

static void assert_lost(const struct commit_scene *s, int from)
{
        struct commit_saved found = saved(s);
        assert_int_equal(found.lost_count, COUNT_ALL + 1 - from);
        for (int i = from; i <= COUNT_ALL; i++) {
                assert_true(text_is(&found.lost[i - from], id_of(i)));
                assert_int_equal(commit_scene_label(s, id_of(i)), 0);
        }
}

static void test_torn_records(void **state)
{
        struct commit_scene *s = *state;
        fill(s);
        cut(s, "data_level0.bin", records(3) + 5);
        rebuild(s, COUNT_ALL);
        assert_lost(s, 4);
        assert_int_equal(commit_scene_vector(s, "id3"), 3);
        assert_int_equal(s->metadata->count, 3);
}

/* The log still has what the files have lost. */
static void test_torn_records_with_the_log(void **state)
{
        struct commit_scene *s = *state;
        fill(s);
        log_adds(s);
        cut(s, "data_level0.bin", records(3) + 5);
        rebuild(s, COUNT_ALL);
        assert_whole(s);
        assert_true(saved(s).kept == 3 && saved(s).logged == 3);
}

/* Without ids nothing of the index is of use. */
static void test_torn_pickle(void **state)
{
        struct commit_scene *s = *state;
        fill(s);
        cut(s, "index_metadata.pickle", 40);
        rebuild(s, COUNT_ALL);
        assert_lost(s, 1);
        assert_int_equal(s->metadata->count, 0);
}

static void test_torn_pickle_with_the_log(void **state)
{
        struct commit_scene *s = *state;
        fill(s);
        log_adds(s);
        cut(s, "index_metadata.pickle", 40);
        rebuild(s, COUNT_ALL);
        assert_whole(s);
        assert_int_equal(saved(s).logged, COUNT_ALL);
}

static void test_lost_directory_with_half_the_log(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 0, COUNT_ALL);
        for (int i = 1; i <= COUNT_ALL; i++)
                clean_dir_record(&s->dir, 1, id_of(i), i);
        for (int i = 1; i <= 3; i++)
                commit_scene_log(s, i, COMMIT_ADD, id_of(i), true);
        rebuild(s, COUNT_ALL);
        assert_lost(s, 4);
        assert_int_equal(s->metadata->count, 3);
}

/* Vectors of ids that no record has. */
static void test_orphans(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, COUNT_ALL, COUNT_ALL);
        clean_dir_record(&s->dir, 1, "id2", 2);
        clean_dir_record(&s->dir, 1, "id5", 5);
        rebuild(s, COUNT_ALL);
        assert_int_equal(saved(s).orphans, 4);
        assert_int_equal(s->metadata->count, 2);
        assert_true(commit_scene_label(s, "id2") == 1 && commit_scene_label(s, "id5") == 2);
        assert_int_equal(commit_scene_vector(s, "id5"), 5);
}

/* Records that were added without a vector have lost none, as long as the log says so. */
static void test_records_without_vectors(void **state)
{
        struct commit_scene *s = *state;
        fill(s);
        commit_scene_log(s, 7, COMMIT_ADD, "bare", false);
        clean_dir_record(&s->dir, 1, "bare", 7);
        clean_dir_record(&s->dir, 1, "silent", 5);
        rebuild(s, 7);
        assert_int_equal(saved(s).bare, 1);
        assert_int_equal(saved(s).lost_count, 1);
        assert_true(text_is(&saved(s).lost[0], "silent"));
        assert_int_equal(s->metadata->count, COUNT_ALL);
}

/* An ADD of an id that was there, which Chroma passed over: the index wins. An UPDATE that it says to have applied, and the index has not: the log does. */
static void test_applied_rows(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, COUNT_ALL, 20);
        for (int i = 1; i <= COUNT_ALL; i++)
                clean_dir_record(&s->dir, 1, id_of(i), i);
        commit_scene_log(s, 15, COMMIT_ADD, "id4", true);
        rebuild(s, 20);
        assert_whole(s);
        assert_int_equal(saved(s).stale, 0);
        commit_scene_log(s, 16, COMMIT_UPDATE, "id5", true);
        rebuild(s, 21);
        assert_int_equal(saved(s).stale, 1);
        assert_int_equal(commit_scene_vector(s, "id5"), 16);
}

/* Of records that the pickle lacks, since it is too old: an ADD was passed over, as the record says, and is no vector of it; an UPDATE was not, and is all that is left of it. */
static void test_ids_that_the_pickle_lacks(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 4, 20);
        for (int i = 1; i <= 5; i++)
                clean_dir_record(&s->dir, 1, id_of(i), i);
        clean_dir_record(&s->dir, 1, "id6", 16);
        commit_scene_log(s, 15, COMMIT_ADD, "id5", true);
        commit_scene_log(s, 16, COMMIT_UPDATE, "id6", true);
        commit_scene_log(s, 17, COMMIT_UPDATE, "nobody", true);
        rebuild(s, 20);
        assert_int_equal(s->metadata->count, 5);
        assert_int_equal(commit_scene_vector(s, "id6"), 16);
        assert_int_equal(saved(s).lost_count, 1);
        assert_true(text_is(&saved(s).lost[0], "id5"));
}

/* There and back: what l2 has is what cosine makes of it, times its norm. */
static void test_spaces(void **state)
{
        struct commit_scene *s = *state;
        struct hnsw_config cosine = s->config, l2 = s->config;
        cosine.space = SPACE_COSINE;
        cosine.m = 7;
        fill(s);
        s->rebuild = &cosine;
        rebuild(s, COUNT_ALL);
        assert_int_equal(s->metadata->count, COUNT_ALL);
        s->config = cosine;
        s->rebuild = &cosine;
        rebuild(s, COUNT_ALL + 1);
        s->rebuild = &l2;
        rebuild(s, COUNT_ALL + 2);
        const struct hnsw_params params = { .space = SPACE_L2, .stage_fd = -1 };
        struct hnsw *index = NULL;
        assert_int_equal(hnsw_load(s->fd, &params, 0, NULL, NULL, &index, NULL), 0);
        assert_int_equal(hnsw_info(index).params.m, INDEX_DIR_M);
        for (int i = 1; i <= COUNT_ALL; i++) {
                const float *vector = hnsw_vector(index, hnsw_find(index, (uint64_t) i)), *wanted = clean_vector_of(i);
                for (unsigned k = 0; k < INDEX_DIR_DIMENSION; k++)
                        assert_true(fabsf(vector[k] - wanted[k]) <= 1e-6f * (fabsf(wanted[k]) + 1));
        }
        (void) hnsw_free(index);
}

/* The norms that a torn length.bin had: of those that the log has, they are known; the others stay normalised, and only they are counted. */
static void test_lost_norms(void **state)
{
        struct commit_scene *s = *state;
        struct hnsw_config cosine = s->config, l2 = s->config;
        cosine.space = SPACE_COSINE;
        fill(s);
        s->rebuild = &cosine;
        rebuild(s, COUNT_ALL);
        s->config = cosine;
        s->rebuild = &l2;
        cut(s, "length.bin", 0);
        commit_scene_log(s, 3, COMMIT_ADD, "id3", true);
        assert_int_equal(commit_scene_plan(s), 0);
        assert_int_equal(saved(s).normless, COUNT_ALL - 1);
        assert_true(saved(s).kept == COUNT_ALL - 1 && saved(s).logged == 1);
        rebuild(s, COUNT_ALL + 1);
        s->config = l2;
        assert_int_equal(commit_scene_vector(s, "id3"), 3);
        assert_int_equal(commit_scene_vector(s, "id4"), 0);
}

#define ROWS(f)                                                                                                                    \
        cmocka_unit_test_setup_teardown(f, setup_old, teardown), cmocka_unit_test_setup_teardown(f, setup_python, teardown),       \
                cmocka_unit_test_setup_teardown(f, setup_rust, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ROWS(test_whole_index),
                ROWS(test_rows_of_the_log),
                ROWS(test_damage_that_costs_nothing),
                ROWS(test_torn_records),
                ROWS(test_torn_records_with_the_log),
                ROWS(test_torn_pickle),
                ROWS(test_torn_pickle_with_the_log),
                ROWS(test_lost_directory_with_half_the_log),
                ROWS(test_orphans),
                ROWS(test_records_without_vectors),
                ROWS(test_ids_that_the_pickle_lacks),
                ROWS(test_applied_rows),
                ROWS(test_spaces),
                ROWS(test_lost_norms),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
