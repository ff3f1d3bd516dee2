/* What a commit is said to take: whatever the configuration says, a number that can be shown, and larger where there is more to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ops/commit/plan.h"
#include "tests/unit/commit_scene.h"

#define MIB (1u << 20)

static struct commit_scene scene;
static struct commit_session session;
static struct commit_run run;
static struct commit_runs runs = { &run, 1 };

static int setup(void **state)
{
        commit_scene_make(&scene, CLEAN_PYTHON);
        *state = &scene;
        return 0;
}

static int teardown(void **state)
{
        commit_scene_remove(*state);
        return 0;
}

/* A collection with `old` elements in its index, and `rows` rows that add one each. */
static void make_plan(struct commit_scene *s, uint64_t old, int64_t rows, struct commit_plan *ret)
{
        char id[16];
        commit_scene_collection(s, old, old == 0 ? CLEAN_NONE : (int64_t) old);
        for (int64_t n = (int64_t) old + 1; n <= (int64_t) old + rows; n++) {
                (void) snprintf(id, sizeof(id), "row%lld", (long long) n);
                commit_scene_log(s, n, COMMIT_ADD, id, true);
        }
        assert_int_equal(commit_scene_plan(s), 0);
        session = (struct commit_session){ .op = &s->op, .catalog = s->catalog, .threads = 1 };
        run = (struct commit_run){ (int64_t) old + 1, (int64_t) old + rows };
        *ret = (struct commit_plan){ .session = &session,
                                     .runs = &runs,
                                     .config = s->config,
                                     .rules = { .has_dimension = true, .dimension = s->dimension },
                                     .vector = s->v,
                                     .vectors = s->counts,
                                     .builds = true };
}

static double seconds_of(struct commit_plan *plan)
{
        commit_plan_estimate(plan);
        assert_true(plan->seconds >= 0 && plan->seconds <= 1e9);
        return plan->seconds;
}

static void test_impossible_parameters(void **state)
{
        static const int64_t numbers[] = { INT64_MIN, -1, 0, 1, 16, INT64_MAX };
        struct commit_plan plan;
        make_plan(*state, 0, 20, &plan);
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
                for (size_t j = 0; j < sizeof(numbers) / sizeof(numbers[0]); j++) {
                        plan.config.m = numbers[i];
                        plan.config.ef_construction = numbers[j];
                        assert_true(seconds_of(&plan) > 0);
                }
        plan.vectors.adds = plan.vectors.updates = plan.record_rows = plan.record_bytes = UINT64_MAX;
        plan.rules.dimension = UINT32_MAX;
        run = (struct commit_run){ INT64_MIN, INT64_MAX };
        assert_true(seconds_of(&plan) > 1e8);
}

static void test_time_grows_with_the_work(void **state)
{
        struct commit_plan plan;
        make_plan(*state, 0, 20, &plan);
        plan.vectors.adds = 20000;
        double before = seconds_of(&plan);
        plan.rules.dimension = 384;
        assert_true(seconds_of(&plan) > 2 * before);
        before = seconds_of(&plan);
        plan.config.ef_construction *= 2;
        assert_true(seconds_of(&plan) > 1.5 * before);
        before = seconds_of(&plan);
        plan.config.m = 64;
        assert_true(seconds_of(&plan) > 1.5 * before);
        before = seconds_of(&plan);
        plan.vectors.updates = 20000;
        assert_true(seconds_of(&plan) > 3 * before);
        before = seconds_of(&plan);
        plan.record_rows = 1000000;
        plan.record_bytes = 1000000000;
        assert_true(seconds_of(&plan) > before + 50);
}

/* More threads than processors make nothing faster. */
static void test_time_and_threads(void **state)
{
        struct commit_plan plan;
        make_plan(*state, 0, 20, &plan);
        plan.vectors.adds = 1000000;
        double alone = seconds_of(&plan);
        session.threads = 0;
        double all = seconds_of(&plan);
        session.threads = 1024;
        assert_true(seconds_of(&plan) == all);
        assert_true(all <= alone);
}

/* What is there already is not inserted again. */
static void test_time_of_an_index_that_grows(void **state)
{
        struct commit_plan plan;
        make_plan(*state, 90, 2, &plan);
        plan.config.ef_construction = INT32_MAX; /* so that it outweighs all else */
        double some = seconds_of(&plan);
        plan.vectors.adds = 92;
        assert_true(seconds_of(&plan) > 30 * some);
}

/* A rebuild of an index of that many, of which the log changes some. All weighs less than the insertions. */
static void make_rebuild(struct commit_scene *s, uint64_t old, int64_t changed, struct commit_plan *ret)
{
        static const struct commit_rebuild anew;
        char id[16];
        commit_scene_collection(s, old, (int64_t) old);
        for (int64_t n = 1; n <= (int64_t) old; n++) {
                (void) snprintf(id, sizeof(id), "id%lld", (long long) n);
                clean_dir_record(&s->dir, 1, id, n);
                if (n <= changed)
                        commit_scene_log(s, (int64_t) old + n, COMMIT_UPDATE, id, true);
        }
        s->rebuild = &s->config;
        assert_int_equal(commit_scene_plan(s), 0);
        session = (struct commit_session){ .op = &s->op, .catalog = s->catalog, .threads = 1, .rebuild = &anew };
        run = (struct commit_run){ (int64_t) old + 1, (int64_t) old + changed };
        *ret = (struct commit_plan){ .session = &session,
                                     .runs = &runs,
                                     .config = s->config,
                                     .change = { .before = s->config, .after = s->config },
                                     .rules = { .has_dimension = true, .dimension = s->dimension },
                                     .vector = s->v,
                                     .vectors = s->counts,
                                     .builds = true };
        ret->change.after.ef_construction = 1000000;
}

/* What is kept is inserted. */
static void test_time_of_a_rebuild(void **state)
{
        struct commit_plan plan;
        make_rebuild(*state, 60, 0, &plan);
        assert_true(commit_vector_saved(plan.vector).kept == 60);
        double anew = seconds_of(&plan);
        session.rebuild = NULL;
        plan.config = plan.change.after;
        plan.vectors.adds = 60; /* to what there is: they are no fewer insertions, and one by one dearer */
        assert_true(seconds_of(&plan) > anew && seconds_of(&plan) < 3 * anew);
        plan.vectors.adds = 0;
        assert_true(seconds_of(&plan) < anew / 100);
}

/* … and so is what the log changes: no links are mended. */
static void test_time_of_a_rebuild_with_changes(void **state)
{
        struct commit_plan plan;
        make_rebuild(*state, 60, 30, &plan);
        assert_true(commit_vector_saved(plan.vector).kept == 30 && commit_vector_saved(plan.vector).logged == 30);
        double some = seconds_of(&plan);
        plan.vectors.updates = 0;
        double none = seconds_of(&plan);
        assert_true(none >= some && none <= some);
        plan.change.after.ef_construction *= 2;
        assert_true(seconds_of(&plan) > 1.9 * some);
}

static void test_memory(void **state)
{
        struct commit_plan plan;
        make_plan(*state, 0, 20, &plan);
        commit_plan_estimate(&plan);
        uint64_t small = plan.memory, disk = plan.disk;
        assert_true(small > commit_vector_memory(plan.vector) && small < 32 * MIB);
        plan.record_rows = 100000;
        plan.record_bytes = 100 * MIB;
        commit_plan_estimate(&plan);
        assert_true(plan.memory > small + 16 * MIB && plan.memory < 64 * MIB);
        assert_true(plan.disk > disk + 100 * MIB);
        plan.record_rows = plan.record_bytes = UINT64_MAX;
        commit_plan_estimate(&plan);
        assert_true(plan.disk == UINT64_MAX);
        assert_true(commit_plan_check_room(&plan) == -ENOSPC);
}

static void test_nothing_to_do(void **state)
{
        struct commit_plan plan;
        make_plan(*state, 0, 1, &plan);
        plan.builds = false;
        commit_plan_estimate(&plan);
        assert_true(plan.memory == 0 && plan.disk == 0 && plan.seconds == 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_impossible_parameters),
                TEST(test_time_grows_with_the_work),
                TEST(test_time_and_threads),
                TEST(test_time_of_an_index_that_grows),
                TEST(test_time_of_a_rebuild),
                TEST(test_time_of_a_rebuild_with_changes),
                TEST(test_memory),
                TEST(test_nothing_to_do),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
