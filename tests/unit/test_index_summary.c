#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ops/index_summary.h"
#include "tests/unit/fixture.h"
#include "tests/unit/index_dir.h"
#include "tests/unit/sql_dir.h"

#define ID "00000000-0000-4000-8000-000000000001"

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

static struct index_summary read_index(const struct sql_dir *d)
{
        struct index_summary s;
        index_summary_read(d->fd, ID, &s);
        return s;
}

/* The summary says this code, and a sentence that contains this. */
static void assert_damage(const struct index_summary *s, int code, const char *part)
{
        if (s->damage.code != code || strstr(s->damage.text, part) == NULL)
                fail_msg("%d: %s", s->damage.code, s->damage.text);
}

static void good_index(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 10, .deleted = 3, .added = 14 });
        struct index_summary s = read_index(d);
        assert_string_equal(s.damage.text, "");
        assert_int_equal(s.stage, INDEX_PERSISTED);
        assert_true(s.has_header && s.has_pickle && s.has_dimensionality && s.has_max_seq_id);
        assert_int_equal(s.header.count, 10);
        assert_int_equal(s.dimensionality, INDEX_DIR_DIMENSION);
        assert_int_equal(s.total_elements_added, 14);
        assert_int_equal(s.total_labels, 7);
        assert_int_equal(s.max_seq_id, 77);
        assert_true(s.fragmentation == 50.0);
        assert_true(s.stamps.dir.present);
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                assert_true(s.stamps.files[i].present);
        struct index_stamps again = index_stamps_read(d->fd, ID);
        assert_true(index_stamps_equal(&again, &s.stamps));
}

static void stages_without_an_index(void **state)
{
        const struct sql_dir *d = *state;
        struct index_summary s = read_index(d);
        assert_int_equal(s.stage, INDEX_ABSENT);
        assert_int_equal(s.damage.code, 0);
        assert_false(s.stamps.dir.present);
        assert_int_equal(mkdirat(d->fd, ID, 0755), 0);
        s = read_index(d);
        assert_int_equal(s.stage, INDEX_EMPTY);
        assert_int_equal(s.damage.code, 0);
        assert_int_equal(unlinkat(d->fd, ID, AT_REMOVEDIR), 0);
        index_dir_make(d->fd, ID, &(struct index_dir){ .without_pickle = true });
        s = read_index(d);
        assert_int_equal(s.stage, INDEX_UNPERSISTED);
        assert_string_equal(s.damage.text, "");
        assert_string_equal(index_stage_name(s.stage), "unpersisted");
}

static void lost_pickle(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 5, .without_pickle = true });
        struct index_summary s = read_index(d);
        assert_int_equal(s.stage, INDEX_INCOMPLETE);
        assert_damage(&s, -ENOENT, "index_metadata.pickle is missing, but header.bin counts 5 elements");
}

static void each_missing_file(void **state)
{
        const struct sql_dir *d = *state;
        for (int i = 0; i < INDEX_PICKLE; i++) {
                char id[37], path[64];
                test_uuid((unsigned) i + 10, id);
                index_dir_make(d->fd, id, &(struct index_dir){ .count = 5 });
                (void) snprintf(path, sizeof(path), "%s/%s", id, index_file_names[i]);
                assert_int_equal(unlinkat(d->fd, path, 0), 0);
                index_dir_age(d->fd, id, 60);
                struct index_summary s;
                index_summary_read(d->fd, id, &s);
                assert_int_equal(s.stage, INDEX_INCOMPLETE);
                assert_damage(&s, -ENOENT, index_file_names[i]);
                assert_int_equal(s.has_header, i != INDEX_HEADER);
                assert_true(s.has_pickle);
        }
}

static void only_a_pickle(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 5 });
        for (int i = 0; i < INDEX_PICKLE; i++) {
                char path[64];
                (void) snprintf(path, sizeof(path), ID "/%s", index_file_names[i]);
                assert_int_equal(unlinkat(d->fd, path, 0), 0);
        }
        index_dir_age(d->fd, ID, 60);
        struct index_summary s = read_index(d);
        assert_int_equal(s.stage, INDEX_INCOMPLETE);
        assert_damage(&s, -ENOENT, "header.bin is missing");
        assert_int_equal(s.total_labels, 5);
}

static void sizes_against_the_header(void **state)
{
        static const struct {
                const char *file;
                size_t size;
                const char *sentence;
        } cases[] = {
                { "data_level0.bin", 10 * INDEX_DIR_RECORD - 1, "data_level0.bin has 559 bytes, too few for the 10 elements" },
                { "data_level0.bin", 0, "data_level0.bin has 0 bytes" },
                { "data_level0.bin", 10 * INDEX_DIR_RECORD + 999, NULL },
                { "length.bin", 39, "length.bin has 39 bytes, too few" },
                { "length.bin", 4000, NULL },
                { "link_lists.bin", 39, "link_lists.bin has 39 bytes, too few" },
                { "link_lists.bin", 41, "link_lists.bin has 41 bytes, more than" },
                { "link_lists.bin", 40, NULL },
        };
        const struct sql_dir *d = *state;
        static const char bytes[4096];
        for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                char id[37];
                index_dir_make(d->fd, test_uuid(i + 10, id), &(struct index_dir){ .count = 10 });
                index_dir_write(d->fd, id, cases[i].file, bytes, cases[i].size);
                struct index_summary s;
                index_summary_read(d->fd, id, &s);
                assert_int_equal(s.stage, INDEX_PERSISTED);
                if (cases[i].sentence != NULL)
                        assert_damage(&s, -EILSEQ, cases[i].sentence);
                else
                        assert_string_equal(s.damage.text, "");
        }
}

static void pickle_against_the_header(void **state)
{
        static const struct {
                struct index_dir index;
                const char *sentence;
        } cases[] = {
                { { .count = 0, .extra_label = 1 },
                  "the index is empty, but index_metadata.pickle knows label 1: the index lacks it" },
                { { .count = 3, .extra_label = 9 },
                  "counts 3 elements, but index_metadata.pickle has 4 labels: the index lacks 1 or more" },
                { { .count = 3, .deleted = 1, .extra_label = 9, .added = 8 },
                  "has label 9, but says that only 8 were ever given out" },
                { { .count = 10, .deleted = 10, .added = 9 }, "counts 10 elements, but index_metadata.pickle says that only 9" },
                { { .count = 10, .dimension = 4 }, "says dimension 4, but header.bin 3" },
                { { .count = 10, .deleted = 10 }, NULL },
                { { .count = 0 }, NULL },
        };
        const struct sql_dir *d = *state;
        for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                char id[37];
                index_dir_make(d->fd, test_uuid(i + 10, id), &cases[i].index);
                struct index_summary s;
                index_summary_read(d->fd, id, &s);
                assert_int_equal(s.stage, INDEX_PERSISTED);
                if (cases[i].sentence != NULL)
                        assert_damage(&s, -EILSEQ, cases[i].sentence);
                else
                        assert_string_equal(s.damage.text, "");
        }
}

/* Header of an emptied index before a pickle with many labels: the sentence stays short. */
static void many_lacking_labels(void **state)
{
        const struct sql_dir *d = *state;
        char other[37], from[64], to[64];
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 100 });
        index_dir_make(d->fd, test_uuid(2, other), &(struct index_dir){ .count = 0 });
        (void) snprintf(from, sizeof(from), ID "/index_metadata.pickle");
        (void) snprintf(to, sizeof(to), "%s/index_metadata.pickle", other);
        assert_int_equal(renameat(d->fd, from, d->fd, to), 0);
        index_dir_age(d->fd, other, 60);
        struct index_summary s;
        index_summary_read(d->fd, other, &s);
        assert_damage(&s, -EILSEQ, "knows labels 1, 2, 3, 4, 5, 6, 7, 8 and 92 more: the index lacks them");
}

static void broken_header_and_pickle(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 5 });
        index_dir_write(d->fd, ID, "header.bin", "short", 5);
        struct index_summary s = read_index(d);
        assert_int_equal(s.stage, INDEX_PERSISTED);
        assert_false(s.has_header);
        assert_true(s.has_pickle);
        assert_damage(&s, s.damage.code, "header.bin");
        assert_true(s.damage.code < 0);
        index_dir_write(d->fd, ID, "index_metadata.pickle", "", 0);
        s = read_index(d);
        assert_false(s.has_header || s.has_pickle);
        assert_damage(&s, s.damage.code, "header.bin"); /* the first */
}

static void no_regular_files(void **state)
{
        const struct sql_dir *d = *state;
        for (unsigned i = 0; i < 3 * INDEX_FILE_COUNT; i++) {
                char id[37], path[64], said[64];
                const char *file = index_file_names[i / 3];
                index_dir_make(d->fd, test_uuid(i + 10, id), &(struct index_dir){ .count = 5 });
                (void) snprintf(path, sizeof(path), "%s/%s", id, file);
                assert_int_equal(unlinkat(d->fd, path, 0), 0);
                if (i % 3 == 0)
                        assert_int_equal(mkfifoat(d->fd, path, 0644), 0);
                else if (i % 3 == 1)
                        assert_int_equal(mkdirat(d->fd, path, 0755), 0);
                else
                        assert_int_equal(symlinkat("other.bin", d->fd, path), 0);
                index_dir_age(d->fd, id, 60);
                struct index_summary s;
                index_summary_read(d->fd, id, &s);
                (void) snprintf(said, sizeof(said), "%s is %s", file, i % 3 == 2 ? "a symbolic link" : "no regular file");
                assert_damage(&s, i % 3 == 2 ? -ELOOP : -EILSEQ, said);
                assert_int_equal(s.stage, INDEX_PERSISTED);
        }
}

/* Damage is told when all files have been quiet, and none of them from the future keeps it back. */
static void young_files(void **state)
{
        static const struct {
                int age;
                bool damaged;
        } cases[] = { { 0, false }, { 3, true }, { -1000, true }, { 1000000, true } };
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 10 });
        index_dir_age(d->fd, ID, 0);
        struct index_summary s = read_index(d);
        assert_string_equal(s.damage.text, ""); /* what is right need not be old */
        index_dir_write(d->fd, ID, "length.bin", "", 0);
        for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                index_dir_age(d->fd, ID, cases[i].age);
                s = read_index(d);
                assert_damage(&s, cases[i].damaged ? -EILSEQ : -EAGAIN, cases[i].damaged ? "length.bin has 0" : "being written");
                assert_true(s.has_header && s.has_pickle);
        }
}

static void one_young_file(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 10 });
        index_dir_write(d->fd, ID, "length.bin", "", 0);
        for (int i = -1; i < INDEX_FILE_COUNT; i++) {
                char path[64];
                (void) snprintf(path, sizeof(path), ID "/%s", i < 0 ? "" : index_file_names[i]);
                index_dir_age(d->fd, ID, 60);
                assert_int_equal(utimensat(d->fd, path, NULL, 0), 0);
                struct index_summary s = read_index(d);
                assert_int_equal(s.damage.code, -EAGAIN);
        }
}

static void no_directory(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, "elsewhere", &(struct index_dir){ .count = 5 });
        assert_int_equal(symlinkat("elsewhere", d->fd, ID), 0);
        index_dir_age(d->fd, ID, 60);
        struct index_summary s = read_index(d);
        assert_int_equal(s.stage, INDEX_INCOMPLETE);
        assert_damage(&s, -ELOOP, "symbolic link");
        assert_false(s.stamps.files[INDEX_HEADER].present);
        assert_int_equal(unlinkat(d->fd, ID, 0), 0);
        assert_int_equal(mkfifoat(d->fd, ID, 0644), 0);
        index_dir_age(d->fd, ID, 60);
        s = read_index(d);
        assert_int_equal(s.stage, INDEX_INCOMPLETE);
        assert_int_equal(s.damage.code, -ENOTDIR);
}

/* In a child that gives up being root, as an ordinary user has it. */
static void files_that_may_not_be_read(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 5 });
        assert_int_equal(fchmodat(d->fd, ID "/index_metadata.pickle", 0, 0), 0);
        pid_t child = fork();
        if (child == 0) {
                if (geteuid() == 0 && (fchmod(d->fd, 0755) < 0 || setuid(65534) < 0))
                        _exit(2);
                struct index_summary s = read_index(d);
                _exit(s.has_header && !s.has_pickle && s.damage.code == -EACCES && s.stage == INDEX_PERSISTED ? 0 : 1);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
}

/* Two states whose mixture would be damage: every summary is one of them, or says that it could not be had. */
static void swap_for_ever(const struct sql_dir *d)
{
        for (;;) {
                if (renameat2(d->fd, ID, d->fd, "other", RENAME_EXCHANGE) < 0)
                        _exit(1);
                (void) usleep(1000);
        }
}

static void changes_meanwhile(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 50 });
        index_dir_make(d->fd, "other", &(struct index_dir){ .count = 5 });
        pid_t writer = fork();
        if (writer == 0)
                swap_for_ever(d);
        unsigned again = 0;
        for (int i = 0; i < 500; i++) {
                struct index_summary s = read_index(d);
                again += s.damage.code == -EAGAIN;
                if (s.damage.code == 0)
                        assert_true(s.total_labels == s.header.count);
                else
                        assert_damage(&s, -EAGAIN, "being written");
        }
        assert_int_equal(kill(writer, SIGKILL), 0);
        assert_int_equal(waitpid(writer, NULL, 0), writer);
        assert_true(again < 500);
}

_Noreturn static void touch_for_ever(const struct sql_dir *d)
{
        struct timespec times[2] = { 0 };
        for (;; times[1].tv_sec++)
                if (utimensat(d->fd, ID "/header.bin", times, 0) < 0)
                        _exit(1);
}

static void never_settles(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 50 });
        pid_t writer = fork();
        if (writer == 0)
                touch_for_ever(d);
        unsigned again = 0;
        time_t end = time(NULL) + 120; /* the writer may get little of a busy machine */
        while (again == 0 && time(NULL) < end)
                again += read_index(d).damage.code == -EAGAIN;
        assert_int_equal(kill(writer, SIGKILL), 0);
        assert_int_equal(waitpid(writer, NULL, 0), writer);
        assert_int_equal(again, 1);
}

static void positions(void **state)
{
        (void) state;
        uint64_t position = 0;
        struct segment segment = { .has_position = true, .position = 5 };
        struct index_summary s = { .has_max_seq_id = true, .max_seq_id = 9 };
        assert_true(vector_position(&segment, &s, &position));
        assert_int_equal(position, 5);
        segment.has_position = false;
        assert_true(vector_position(&segment, &s, &position));
        assert_int_equal(position, 9);
        segment.position_bad = true;
        assert_false(vector_position(&segment, &s, &position));
        segment.position_bad = s.has_max_seq_id = false;
        assert_false(vector_position(&segment, &s, &position));
        assert_false(vector_position(NULL, &s, &position));
        assert_int_equal(position, 9);
}

static void check_fixture(const struct fixture *f)
{
        for (size_t i = 0; i < f->catalog->segment_count; i++) {
                const struct segment *segment = &f->catalog->segments[i];
                struct index_summary s;
                index_summary_read(f->fd, segment->id.bytes, &s);
                if (s.damage.code != 0)
                        fail_msg("%s %s: %s", f->name, segment->collection->name.bytes, s.damage.text);
                if (segment->scope != SCOPE_VECTOR)
                        assert_int_equal(s.stage, INDEX_ABSENT);
                assert_int_not_equal(s.stage, INDEX_INCOMPLETE);
        }
}

static void fixtures(void **state)
{
        (void) state;
        each_fixture(check_fixture);
}

static bool always(void *context)
{
        ++*(int *) context;
        return true;
}

/* It is no damage, and not tried again. */
static void cancelled(void **state)
{
        const struct sql_dir *d = *state;
        struct hnsw_finding findings[HNSW_FINDING_KINDS];
        struct index_metadata *metadata = NULL;
        struct index_summary s;
        int asked = 0;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 10, .deleted = 3, .added = 14 });
        index_summary_read_all(d->fd, ID, always, &asked, &s, &metadata);
        assert_damage(&s, -EINTR, "cancelled");
        assert_null(metadata);
        index_summary_check(d->fd, ID, always, &asked, findings, &s, &metadata);
        assert_damage(&s, -EINTR, "cancelled");
        assert_int_equal(findings[HNSW_PICKLE].count, 0);
        assert_int_equal(asked, 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(good_index, setup, teardown),
                cmocka_unit_test_setup_teardown(stages_without_an_index, setup, teardown),
                cmocka_unit_test_setup_teardown(lost_pickle, setup, teardown),
                cmocka_unit_test_setup_teardown(each_missing_file, setup, teardown),
                cmocka_unit_test_setup_teardown(only_a_pickle, setup, teardown),
                cmocka_unit_test_setup_teardown(sizes_against_the_header, setup, teardown),
                cmocka_unit_test_setup_teardown(pickle_against_the_header, setup, teardown),
                cmocka_unit_test_setup_teardown(many_lacking_labels, setup, teardown),
                cmocka_unit_test_setup_teardown(broken_header_and_pickle, setup, teardown),
                cmocka_unit_test_setup_teardown(no_regular_files, setup, teardown),
                cmocka_unit_test_setup_teardown(young_files, setup, teardown),
                cmocka_unit_test_setup_teardown(one_young_file, setup, teardown),
                cmocka_unit_test_setup_teardown(no_directory, setup, teardown),
                cmocka_unit_test_setup_teardown(files_that_may_not_be_read, setup, teardown),
                cmocka_unit_test_setup_teardown(changes_meanwhile, setup, teardown),
                cmocka_unit_test_setup_teardown(never_settles, setup, teardown),
                cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
                cmocka_unit_test(positions),
                cmocka_unit_test(fixtures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
