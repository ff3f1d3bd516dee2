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

#include "ops/hnsw/check.h"
#include "tests/unit/fixture.h"
#include "tests/unit/index_builder.h"
#include "tests/unit/index_dir.h"
#include "tests/unit/segment_files.h"
#include "tests/unit/sql_dir.h"

#define ID SEGMENT_FILES_ID

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

/* ---- looking ---- */

static struct hnsw_check check(int dirfd, const char *id)
{
        struct hnsw_check c;
        struct error e = { 0 };
        if (hnsw_check(dirfd, id, NULL, NULL, &c, &e) < 0)
                fail_msg("%s", e.text);
        return c;
}

static unsigned kinds_of(const struct hnsw_check *c)
{
        unsigned kinds = 0;
        for (int i = 0; i < HNSW_FINDING_KINDS; i++) {
                kinds |= c->findings[i].count > 0 ? KIND(i) : 0;
                assert_int_equal(c->findings[i].count > 0, c->findings[i].first.text[0] != '\0');
        }
        return kinds;
}

static void expect_kinds(const struct hnsw_check *c, const char *what, unsigned expected)
{
        for (int i = 0; i < HNSW_FINDING_KINDS; i++)
                if ((kinds_of(c) ^ expected) & KIND(i))
                        fail_msg("%s: %s %s: %s", what, hnsw_finding_name((enum hnsw_finding_kind) i),
                                 expected & KIND(i) ? "was expected" : "was not expected", c->findings[i].first.text);
        assert_int_equal(hnsw_check_is_ok(c), expected == 0 && c->complete);
        assert_int_equal(c->is_fatal, (expected & ~(KIND(HNSW_VECTOR) | KIND(HNSW_UNREACHABLE))) != 0);
}

/* ---- one damage of each kind ---- */

static void check_damage(int dirfd, const struct segment_files *whole, const struct segment_damage *damage)
{
        struct segment_files s = segment_copy(whole);
        damage->make(&s);
        segment_write(dirfd, &s);
        struct hnsw_check c = check(dirfd, ID);
        unsigned also = damage->reach_too ? kinds_of(&c) & KIND(HNSW_UNREACHABLE) : 0;
        expect_kinds(&c, damage->name, damage->kinds | also);
        assert_int_equal(c.complete, damage->complete);
        assert_int_equal(c.has_header, damage->make != segment_damage_header);
        segment_clear(&s);
}

static void check_damages(int dirfd, const struct segment_files *whole)
{
        segment_write(dirfd, whole);
        struct hnsw_check c = check(dirfd, ID);
        expect_kinds(&c, "the whole one", 0);
        assert_true(hnsw_check_is_ok(&c));
        assert_int_equal(c.elements, whole->count);
        assert_int_equal(c.live + c.deleted, whole->count);
        for (size_t i = 0; i < segment_damage_count; i++)
                check_damage(dirfd, whole, &segment_damages[i]);
}

static void small_damages(void **state)
{
        struct segment_files whole = segment_small();
        check_damages(((const struct sql_dir *) *state)->fd, &whole);
        segment_clear(&whole);
}

/* ---- counts, sentences ---- */

static void everything_is_counted(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = segment_small();
        for (uint64_t id = 3; id < 20; id++)
                segment_poke(&s, id, 4, id, 4);
        segment_poke(&s, 7, 8, 7, 4);
        segment_poke(&s, 9, s.label_offset, 77, 8);
        segment_damage_links_end(&s);
        s.files[INDEX_LENGTH].len = 3;
        segment_write(d->fd, &s);
        struct hnsw_check c = check(d->fd, ID);
        expect_kinds(&c, "many",
                     KIND(HNSW_LINK_SELF) | KIND(HNSW_LINK_TWICE) | KIND(HNSW_LABEL_RANGE) | KIND(HNSW_LABEL_ORPHAN) |
                             KIND(HNSW_LABEL_MISSING) | KIND(HNSW_SIZE));
        assert_int_equal(c.findings[HNSW_LINK_SELF].count, 18);
        assert_int_equal(c.findings[HNSW_LINK_SELF].at, 3);
        assert_string_equal(c.findings[HNSW_LINK_SELF].first.text, "data_level0.bin: element 3 links to itself");
        assert_int_equal(c.findings[HNSW_LINK_TWICE].count, 1);
        assert_int_equal(c.findings[HNSW_LINK_TWICE].at, 7);
        assert_int_equal(c.findings[HNSW_SIZE].count, 2);
        assert_int_equal(c.findings[HNSW_LABEL_ORPHAN].at, 77);
        assert_int_equal(c.findings[HNSW_LABEL_MISSING].at, 10);
        assert_false(c.complete);
        assert_int_equal(c.live, 17);
        assert_int_equal(c.deleted, 3);
        segment_clear(&s);
}

/* A label that three live records have, and the pickle once, is no orphan. */
static void label_of_three(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = segment_small();
        segment_poke(&s, 2, s.label_offset, 2, 8);
        segment_poke(&s, 3, s.label_offset, 2, 8);
        segment_write(d->fd, &s);
        struct hnsw_check c = check(d->fd, ID);
        expect_kinds(&c, "three", KIND(HNSW_LABEL_TWICE) | KIND(HNSW_LABEL_MISSING));
        assert_int_equal(c.findings[HNSW_LABEL_TWICE].count, 2);
        assert_int_equal(c.findings[HNSW_LABEL_TWICE].at, 2);
        assert_int_equal(c.findings[HNSW_LABEL_MISSING].count, 2);
        segment_clear(&s);
}

/* ---- files that are not there, or not what they should be ---- */

static void never_persisted(void **state)
{
        const struct sql_dir *d = *state;
        struct hnsw_check c = check(d->fd, ID);
        assert_true(hnsw_check_is_ok(&c));
        assert_false(c.has_header);
        index_dir_make(d->fd, ID, &(struct index_dir){ .without_pickle = true });
        c = check(d->fd, ID);
        assert_true(hnsw_check_is_ok(&c));
        assert_int_equal(c.stage, INDEX_UNPERSISTED);
        assert_true(c.has_header);
}

static void missing_files(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = segment_small();
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                segment_write(d->fd, &s);
                char path[128];
                (void) snprintf(path, sizeof(path), ID "/%s", index_file_names[i]);
                assert_int_equal(unlinkat(d->fd, path, 0), 0);
                index_dir_age(d->fd, ID, 3600);
                struct hnsw_check c = check(d->fd, ID);
                expect_kinds(&c, index_file_names[i], KIND(HNSW_FILE));
                assert_false(c.complete);
        }
        segment_clear(&s);
}

static void links_and_pipes(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = segment_small();
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                segment_write(d->fd, &s);
                char path[128];
                (void) snprintf(path, sizeof(path), ID "/%s", index_file_names[i]);
                assert_int_equal(unlinkat(d->fd, path, 0), 0);
                assert_int_equal(i % 2 == 0 ? symlinkat("/dev/zero", d->fd, path) : mkfifoat(d->fd, path, 0600), 0);
                index_dir_age(d->fd, ID, 3600);
                struct hnsw_check c = check(d->fd, ID);
                expect_kinds(&c, index_file_names[i], KIND(HNSW_FILE));
                assert_int_equal(c.findings[HNSW_FILE].count, 1);
                assert_int_equal(unlinkat(d->fd, path, 0), 0);
        }
        segment_clear(&s);
}

static void directory_is_a_link(void **state)
{
        const struct sql_dir *d = *state;
        assert_int_equal(symlinkat("/", d->fd, ID), 0);
        index_dir_age(d->fd, ID, 3600);
        struct hnsw_check c = check(d->fd, ID);
        expect_kinds(&c, "link", KIND(HNSW_FILE));
        assert_false(c.complete);
}

/* Whatever the length of a file, the answer is a finding or none, and never a failure. */
static void every_cut(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files whole = segment_small();
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                for (size_t len = 0; len < whole.files[i].len; len += 1 + len / 40) {
                        struct segment_files s = segment_copy(&whole);
                        s.files[i].len = len;
                        segment_write(d->fd, &s);
                        struct hnsw_check c = check(d->fd, ID);
                        if (hnsw_check_is_ok(&c))
                                fail_msg("%s of %zu bytes is no matter", index_file_names[i], len);
                        segment_clear(&s);
                }
        }
        segment_clear(&whole);
}

static void noise(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files whole = segment_small();
        unsigned seed = 1;
        for (int round = 0; round < 300; round++) {
                struct segment_files s = segment_copy(&whole);
                struct byte_buffer *b = &s.files[1 + round % 3];
                for (int i = 0; i < 1 + round % 50; i++) {
                        seed = seed * 1664525u + 1013904223u;
                        b->data[(seed >> 8) % b->len] = (unsigned char) (seed >> 24);
                }
                segment_write(d->fd, &s);
                struct hnsw_check c = check(d->fd, ID);
                (void) kinds_of(&c);
                segment_clear(&s);
        }
        segment_clear(&whole);
}

/* A header that counts four billion elements where the files have holes: no memory for them, and no time. */
static void hole(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = segment_small();
        const uint64_t count = 1u << 28;
        bytes_set_int(&s.files[INDEX_HEADER], HEADER_COUNT, count, 8);
        bytes_set_int(&s.files[INDEX_HEADER], HEADER_MAX_ELEMENTS, count, 8);
        segment_write(d->fd, &s);
        struct hnsw_check c = check(d->fd, ID);
        assert_int_equal(c.findings[HNSW_SIZE].count, 3);
        const struct {
                const char *path;
                uint64_t size;
        } files[] = { { ID "/data_level0.bin", count * s.record },
                      { ID "/length.bin", count * 4 },
                      { ID "/link_lists.bin", count * 4 } };
        for (size_t i = 0; i < 3; i++) {
                int fd = openat(d->fd, files[i].path, O_WRONLY | O_CLOEXEC);
                assert_int_equal(ftruncate(fd, (off_t) files[i].size), 0);
                assert_int_equal(close(fd), 0);
        }
        index_dir_age(d->fd, ID, 3600);
        c = check(d->fd, ID);
        assert_false(c.complete);
        assert_int_equal(c.findings[HNSW_SIZE].count, 1);
        assert_int_equal(c.findings[HNSW_SIZE].at, 20);
        segment_clear(&s);
}

/* ---- while it is read ---- */

struct meddler {
        int dirfd, asked, change_at, stop_at;
};

static bool meddle(void *context)
{
        struct meddler *m = context;
        m->asked++;
        if (m->asked == m->change_at)
                index_dir_write(m->dirfd, ID, "length.bin", "", 0);
        return m->asked == m->stop_at;
}

#define PICKLE_ASKS 4 /* a change before the next one is noticed by the summary, which reads again */

static void changes_meanwhile(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = segment_small();
        int asked = 0;
        for (int at = 1; at <= 20; at++) {
                segment_write(d->fd, &s);
                struct meddler m = { .dirfd = d->fd, .change_at = at };
                struct hnsw_check c;
                struct error e = { 0 };
                int r = hnsw_check(d->fd, ID, meddle, &m, &c, &e);
                asked = m.asked;
                assert_int_equal(r, at > PICKLE_ASKS && asked >= at ? -EAGAIN : 0);
        }
        assert_true(asked >= PICKLE_ASKS + 5);
        segment_clear(&s);
}

static void cancelled(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = segment_small();
        segment_write(d->fd, &s);
        for (int at = 1; at <= 5; at++) {
                struct meddler m = { .dirfd = d->fd, .stop_at = at };
                struct hnsw_check c = { .elements = 4711 };
                struct error e = { 0 };
                assert_int_equal(hnsw_check(d->fd, ID, meddle, &m, &c, &e), -EINTR);
                assert_int_equal(m.asked, at);
                assert_int_equal(c.elements, 4711);
        }
        segment_clear(&s);
}

static void young_files(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = segment_small();
        struct hnsw_check c;
        struct error e = { 0 };
        segment_write(d->fd, &s);
        index_dir_age(d->fd, ID, 0);
        assert_int_equal(hnsw_check(d->fd, ID, NULL, NULL, &c, &e), 0);
        segment_damage_list(&s);
        segment_write(d->fd, &s);
        index_dir_age(d->fd, ID, 0);
        assert_int_equal(hnsw_check(d->fd, ID, NULL, NULL, &c, &e), -EAGAIN);
        assert_int_equal(hnsw_check_own(d->fd, ID, NULL, NULL, &c, &e), 0);
        expect_kinds(&c, "young", KIND(HNSW_LIST));
        segment_clear(&s);
}

/* ---- real directories ---- */

static struct hnsw_check check_vector(const struct fixture *f, const struct segment *vector)
{
        struct hnsw_check c = check(f->fd, vector->id.bytes);
        expect_kinds(&c, f->name, 0);
        assert_true(hnsw_check_is_ok(&c));
        return c;
}

static void check_fixture(const struct fixture *f)
{
        for (size_t i = 0; i < f->catalog->collection_count; i++) {
                const struct segment *vector = f->catalog->collections[i].vector;
                if (vector != NULL)
                        (void) check_vector(f, vector);
        }
}

static void fixtures_are_well(void **state)
{
        (void) state;
        each_fixture(check_fixture);
}

static unsigned damaged_segments;

/* Of each version, the segments that have all that can be damaged. */
static void damage_fixture(const struct fixture *f)
{
        struct sql_dir d;
        sql_dir_make(&d);
        for (size_t i = 0; i < f->catalog->collection_count; i++) {
                const struct segment *vector = f->catalog->collections[i].vector;
                struct hnsw_check c = vector != NULL ? check_vector(f, vector) : (struct hnsw_check){ 0 };
                if (c.stage != INDEX_PERSISTED || c.deleted == 0 || c.live < 20)
                        continue;
                struct segment_files whole = segment_read(f->fd, vector->id.bytes);
                if (segment_get(&whole.files[INDEX_HEADER], HEADER_MAX_LEVEL, 4) > 0) {
                        check_damages(d.fd, &whole);
                        damaged_segments++;
                }
                segment_clear(&whole);
        }
        sql_dir_remove(&d);
}

static void fixtures_damaged(void **state)
{
        (void) state;
        damaged_segments = 0;
        each_fixture(damage_fixture);
        assert_true(damaged_segments > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(small_damages),
                TEST(everything_is_counted),
                TEST(label_of_three),
                TEST(never_persisted),
                TEST(missing_files),
                TEST(links_and_pipes),
                TEST(directory_is_a_link),
                TEST(every_cut),
                TEST(noise),
                TEST(hole),
                TEST(changes_meanwhile),
                TEST(cancelled),
                TEST(young_files),
                TEST(fixtures_are_well),
                TEST(fixtures_damaged),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
