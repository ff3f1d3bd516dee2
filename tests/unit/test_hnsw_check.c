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
#include "tests/unit/pickle_builder.h"
#include "tests/unit/sql_dir.h"

#define ID "00000000-0000-4000-8000-000000000001"
#define KIND(kind) (1u << (kind))

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

/* ---- an index whose bytes a test has in hand ---- */

struct segment_files {
        struct byte_buffer files[INDEX_FILE_COUNT];
        uint64_t count, record, label_offset, m;
};

static uint64_t get(const struct byte_buffer *b, size_t offset, size_t width)
{
        uint64_t value = 0;
        assert_true(offset + width <= b->len);
        for (size_t i = 0; i < width; i++)
                value |= (uint64_t) b->data[offset + i] << (8 * i);
        return value;
}

static void note_shape(struct segment_files *s)
{
        s->count = get(&s->files[INDEX_HEADER], HEADER_COUNT, 8);
        s->record = get(&s->files[INDEX_HEADER], HEADER_RECORD_SIZE, 8);
        s->label_offset = get(&s->files[INDEX_HEADER], HEADER_LABEL_OFFSET, 8);
        s->m = get(&s->files[INDEX_HEADER], HEADER_M, 8);
}

static struct byte_buffer read_file(int dirfd, const char *directory, const char *name)
{
        char path[256];
        struct byte_buffer b = { 0 };
        struct stat st;
        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        bytes_fill(&b, 0, (size_t) st.st_size);
        assert_int_equal(read(fd, b.data, b.len), st.st_size);
        assert_int_equal(close(fd), 0);
        return b;
}

static struct segment_files read_segment(int dirfd, const char *directory)
{
        struct segment_files s = { 0 };
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                s.files[i] = read_file(dirfd, directory, index_file_names[i]);
        note_shape(&s);
        return s;
}

static struct segment_files small_segment(void)
{
        struct index_image image = index_build(&index_small);
        struct segment_files s = { .files = { image.header, image.level0, image.lengths, image.link_lists } };
        int32_t labels[20];
        size_t live = 0;
        for (int32_t i = 0; i < 20; i++)
                if (i == 0 || i % 5 != 0)
                        labels[live++] = i + 1;
        s.files[INDEX_PICKLE] = pickle_build(STYLE_RUST, labels, live, 30);
        note_shape(&s);
        return s;
}

static struct segment_files copy_of(const struct segment_files *s)
{
        struct segment_files copy = *s;
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                copy.files[i] = bytes_copy(&s->files[i]);
        return copy;
}

static void clear(struct segment_files *s)
{
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                bytes_clear(&s->files[i]);
}

static void write_segment(int dirfd, const struct segment_files *s)
{
        (void) mkdirat(dirfd, ID, 0755);
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                index_dir_write(dirfd, ID, index_file_names[i], s->files[i].data, s->files[i].len);
        index_dir_age(dirfd, ID, 3600);
}

static size_t record_at(const struct segment_files *s, uint64_t id)
{
        return (size_t) (id * s->record);
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

static uint64_t first_with(const struct segment_files *s, bool deleted)
{
        for (uint64_t id = 0; id < s->count; id++)
                if ((get(&s->files[INDEX_LEVEL0], record_at(s, id) + 2, 1) != 0) == deleted)
                        return id;
        fail_msg("there is no such element");
        return 0;
}

/* Where the first list of a level above 0 is that has a link; *ret_id has it. */
static size_t upper_list(const struct segment_files *s, uint64_t *ret_id)
{
        const struct byte_buffer *b = &s->files[INDEX_LINK_LISTS];
        size_t offset = 0;
        for (uint64_t id = 0; id < s->count; id++) {
                size_t bytes = (size_t) get(b, offset, 4);
                if (bytes > 0 && get(b, offset + 4, 2) > 0) {
                        *ret_id = id;
                        return offset + 4;
                }
                offset += 4 + bytes;
        }
        fail_msg("there are no upper links");
        return 0;
}

static uint64_t level_0_element(const struct segment_files *s)
{
        const struct byte_buffer *b = &s->files[INDEX_LINK_LISTS];
        size_t offset = 0;
        for (uint64_t id = 0; id < s->count; id++) {
                if (get(b, offset, 4) == 0)
                        return id;
                offset += 4 + (size_t) get(b, offset, 4);
        }
        fail_msg("all are above level 0");
        return 0;
}

static void poke_level0(struct segment_files *s, uint64_t id, uint64_t offset, uint64_t value, size_t width)
{
        bytes_set_int(&s->files[INDEX_LEVEL0], record_at(s, id) + (size_t) offset, value, width);
}

static void damage_header(struct segment_files *s)
{
        bytes_set_int(&s->files[INDEX_HEADER], HEADER_VERSION, 2, 4);
}

static void damage_lengths(struct segment_files *s)
{
        s->files[INDEX_LENGTH].len = 4 * s->count - 1;
}

static void damage_links_end(struct segment_files *s)
{
        bytes_put_int(&s->files[INDEX_LINK_LISTS], 0, 4);
}

static void damage_level(struct segment_files *s)
{
        bytes_set_int(&s->files[INDEX_HEADER], HEADER_MAX_LEVEL, get(&s->files[INDEX_HEADER], HEADER_MAX_LEVEL, 4) + 1, 4);
}

static void damage_entry_point(struct segment_files *s)
{
        bytes_set_int(&s->files[INDEX_HEADER], HEADER_ENTRY_POINT, level_0_element(s), 4);
}

static void damage_list(struct segment_files *s)
{
        poke_level0(s, 1, 3, 1, 1);
}

static void damage_upper_list(struct segment_files *s)
{
        uint64_t id;
        bytes_set_int(&s->files[INDEX_LINK_LISTS], upper_list(s, &id), s->m + 1, 4);
}

static void damage_link_range(struct segment_files *s)
{
        poke_level0(s, 1, 4, s->count, 4);
}

static void damage_link_self(struct segment_files *s)
{
        poke_level0(s, 1, 4, 1, 4);
}

static void damage_link_twice(struct segment_files *s)
{
        assert_true(get(&s->files[INDEX_LEVEL0], record_at(s, 1), 2) >= 2);
        poke_level0(s, 1, 4, get(&s->files[INDEX_LEVEL0], record_at(s, 1) + 8, 4), 4);
}

static void damage_link_level(struct segment_files *s)
{
        uint64_t id;
        bytes_set_int(&s->files[INDEX_LINK_LISTS], upper_list(s, &id) + 4, level_0_element(s), 4);
}

static void damage_label_twice(struct segment_files *s)
{
        uint64_t live = first_with(s, false), deleted = first_with(s, true);
        poke_level0(s, deleted, s->label_offset, get(&s->files[INDEX_LEVEL0], record_at(s, live) + s->label_offset, 8), 8);
}

static void damage_label_zero(struct segment_files *s)
{
        poke_level0(s, first_with(s, true), s->label_offset, 0, 8);
}

static void damage_label_range(struct segment_files *s)
{
        poke_level0(s, first_with(s, true), s->label_offset, 1ull << 40, 8);
}

static void damage_label_orphan(struct segment_files *s)
{
        poke_level0(s, first_with(s, true), 2, 0, 1);
}

static void damage_label_missing(struct segment_files *s)
{
        poke_level0(s, first_with(s, false), 2, 1, 1);
}

static void damage_pickle(struct segment_files *s)
{
        s->files[INDEX_PICKLE].len /= 2;
}

static void damage_vector(struct segment_files *s)
{
        poke_level0(s, first_with(s, false), s->label_offset - 4, 0x7fc00000, 4);
}

static void damage_deleted_vector(struct segment_files *s)
{
        poke_level0(s, first_with(s, true), 8 * s->m + 4, 0x7f800000, 4);
}

/* No list of any level has a link to it any more. */
static void unlink_element(struct byte_buffer *b, size_t list, uint64_t id)
{
        uint64_t count = get(b, list, 2), kept = 0;
        for (uint64_t i = 0; i < count; i++) {
                uint64_t link = get(b, list + 4 + 4 * i, 4);
                if (link != id)
                        bytes_set_int(b, list + 4 + 4 * kept++, link, 4);
        }
        bytes_set_int(b, list, kept, 2);
}

static void damage_reach(struct segment_files *s)
{
        struct byte_buffer *upper = &s->files[INDEX_LINK_LISTS];
        uint64_t lost = first_with(s, false);
        if (lost == get(&s->files[INDEX_HEADER], HEADER_ENTRY_POINT, 4))
                lost++;
        size_t offset = 0, list_size = 4 * (size_t) s->m + 4;
        for (uint64_t id = 0; id < s->count; id++) {
                unlink_element(&s->files[INDEX_LEVEL0], record_at(s, id), lost);
                size_t end = offset + 4 + (size_t) get(upper, offset, 4);
                for (offset += 4; offset < end; offset += list_size)
                        unlink_element(upper, offset, lost);
        }
}

static const struct damage {
        const char *name;
        void (*make)(struct segment_files *s);
        unsigned kinds;
        bool complete, reach_too; /* the elements behind what was damaged may be out of reach */
} damages[] = {
        { "header", damage_header, KIND(HNSW_HEADER), false, false },
        { "lengths", damage_lengths, KIND(HNSW_SIZE), false, false },
        { "links' end", damage_links_end, KIND(HNSW_SIZE), true, false },
        { "level", damage_level, KIND(HNSW_LEVEL), true, false },
        { "entry point", damage_entry_point, KIND(HNSW_LEVEL), true, true },
        { "list", damage_list, KIND(HNSW_LIST), true, false },
        { "upper list", damage_upper_list, KIND(HNSW_LIST), true, false },
        { "link range", damage_link_range, KIND(HNSW_LINK_RANGE), true, true },
        { "link self", damage_link_self, KIND(HNSW_LINK_SELF), true, true },
        { "link twice", damage_link_twice, KIND(HNSW_LINK_TWICE), true, true },
        { "link level", damage_link_level, KIND(HNSW_LINK_LEVEL), true, true },
        { "label twice", damage_label_twice, KIND(HNSW_LABEL_TWICE), true, false },
        { "label zero", damage_label_zero, KIND(HNSW_LABEL_RANGE), true, false },
        { "label range", damage_label_range, KIND(HNSW_LABEL_RANGE), true, false },
        { "label orphan", damage_label_orphan, KIND(HNSW_LABEL_ORPHAN), true, false },
        { "label missing", damage_label_missing, KIND(HNSW_LABEL_MISSING), true, false },
        { "pickle", damage_pickle, KIND(HNSW_PICKLE), false, false },
        { "vector", damage_vector, KIND(HNSW_VECTOR), true, false },
        { "vector of a deleted one", damage_deleted_vector, 0, true, false },
        { "reach", damage_reach, KIND(HNSW_UNREACHABLE), true, false },
};

static void check_damage(int dirfd, const struct segment_files *whole, const struct damage *damage)
{
        struct segment_files s = copy_of(whole);
        damage->make(&s);
        write_segment(dirfd, &s);
        struct hnsw_check c = check(dirfd, ID);
        unsigned also = damage->reach_too ? kinds_of(&c) & KIND(HNSW_UNREACHABLE) : 0;
        expect_kinds(&c, damage->name, damage->kinds | also);
        assert_int_equal(c.complete, damage->complete);
        assert_int_equal(c.has_header, damage->make != damage_header);
        clear(&s);
}

static void check_damages(int dirfd, const struct segment_files *whole)
{
        write_segment(dirfd, whole);
        struct hnsw_check c = check(dirfd, ID);
        expect_kinds(&c, "the whole one", 0);
        assert_true(hnsw_check_is_ok(&c));
        assert_int_equal(c.elements, whole->count);
        assert_int_equal(c.live + c.deleted, whole->count);
        for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++)
                check_damage(dirfd, whole, &damages[i]);
}

static void small_damages(void **state)
{
        struct segment_files whole = small_segment();
        check_damages(((const struct sql_dir *) *state)->fd, &whole);
        clear(&whole);
}

/* ---- counts, sentences ---- */

static void everything_is_counted(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = small_segment();
        for (uint64_t id = 3; id < 20; id++)
                poke_level0(&s, id, 4, id, 4);
        poke_level0(&s, 7, 8, 7, 4);
        poke_level0(&s, 9, s.label_offset, 77, 8);
        damage_links_end(&s);
        s.files[INDEX_LENGTH].len = 3;
        write_segment(d->fd, &s);
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
        clear(&s);
}

/* A label that three live records have, and the pickle once, is no orphan. */
static void label_of_three(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = small_segment();
        poke_level0(&s, 2, s.label_offset, 2, 8);
        poke_level0(&s, 3, s.label_offset, 2, 8);
        write_segment(d->fd, &s);
        struct hnsw_check c = check(d->fd, ID);
        expect_kinds(&c, "three", KIND(HNSW_LABEL_TWICE) | KIND(HNSW_LABEL_MISSING));
        assert_int_equal(c.findings[HNSW_LABEL_TWICE].count, 2);
        assert_int_equal(c.findings[HNSW_LABEL_TWICE].at, 2);
        assert_int_equal(c.findings[HNSW_LABEL_MISSING].count, 2);
        clear(&s);
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
        struct segment_files s = small_segment();
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                write_segment(d->fd, &s);
                char path[128];
                (void) snprintf(path, sizeof(path), ID "/%s", index_file_names[i]);
                assert_int_equal(unlinkat(d->fd, path, 0), 0);
                index_dir_age(d->fd, ID, 3600);
                struct hnsw_check c = check(d->fd, ID);
                expect_kinds(&c, index_file_names[i], KIND(HNSW_FILE));
                assert_false(c.complete);
        }
        clear(&s);
}

static void links_and_pipes(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = small_segment();
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                write_segment(d->fd, &s);
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
        clear(&s);
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
        struct segment_files whole = small_segment();
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                for (size_t len = 0; len < whole.files[i].len; len += 1 + len / 40) {
                        struct segment_files s = copy_of(&whole);
                        s.files[i].len = len;
                        write_segment(d->fd, &s);
                        struct hnsw_check c = check(d->fd, ID);
                        if (hnsw_check_is_ok(&c))
                                fail_msg("%s of %zu bytes is no matter", index_file_names[i], len);
                        clear(&s);
                }
        }
        clear(&whole);
}

static void noise(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files whole = small_segment();
        unsigned seed = 1;
        for (int round = 0; round < 300; round++) {
                struct segment_files s = copy_of(&whole);
                struct byte_buffer *b = &s.files[1 + round % 3];
                for (int i = 0; i < 1 + round % 50; i++) {
                        seed = seed * 1664525u + 1013904223u;
                        b->data[(seed >> 8) % b->len] = (unsigned char) (seed >> 24);
                }
                write_segment(d->fd, &s);
                struct hnsw_check c = check(d->fd, ID);
                (void) kinds_of(&c);
                clear(&s);
        }
        clear(&whole);
}

/* A header that counts four billion elements where the files have holes: no memory for them, and no time. */
static void hole(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = small_segment();
        const uint64_t count = 1u << 28;
        bytes_set_int(&s.files[INDEX_HEADER], HEADER_COUNT, count, 8);
        bytes_set_int(&s.files[INDEX_HEADER], HEADER_MAX_ELEMENTS, count, 8);
        write_segment(d->fd, &s);
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
        clear(&s);
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

static void changes_meanwhile(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = small_segment();
        int asked = 0;
        for (int at = 1; at <= 20; at++) {
                write_segment(d->fd, &s);
                struct meddler m = { .dirfd = d->fd, .change_at = at };
                struct hnsw_check c;
                struct error e = { 0 };
                int r = hnsw_check(d->fd, ID, meddle, &m, &c, &e);
                asked = m.asked;
                assert_int_equal(r, asked >= at ? -EAGAIN : 0);
        }
        assert_true(asked >= 5);
        clear(&s);
}

static void cancelled(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = small_segment();
        write_segment(d->fd, &s);
        for (int at = 1; at <= 5; at++) {
                struct meddler m = { .dirfd = d->fd, .stop_at = at };
                struct hnsw_check c = { .elements = 4711 };
                struct error e = { 0 };
                assert_int_equal(hnsw_check(d->fd, ID, meddle, &m, &c, &e), -EINTR);
                assert_int_equal(m.asked, at);
                assert_int_equal(c.elements, 4711);
        }
        clear(&s);
}

static void young_files(void **state)
{
        const struct sql_dir *d = *state;
        struct segment_files s = small_segment();
        struct hnsw_check c;
        struct error e = { 0 };
        write_segment(d->fd, &s);
        index_dir_age(d->fd, ID, 0);
        assert_int_equal(hnsw_check(d->fd, ID, NULL, NULL, &c, &e), 0);
        damage_list(&s);
        write_segment(d->fd, &s);
        index_dir_age(d->fd, ID, 0);
        assert_int_equal(hnsw_check(d->fd, ID, NULL, NULL, &c, &e), -EAGAIN);
        assert_int_equal(hnsw_check_own(d->fd, ID, NULL, NULL, &c, &e), 0);
        expect_kinds(&c, "young", KIND(HNSW_LIST));
        clear(&s);
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
                struct segment_files whole = read_segment(f->fd, vector->id.bytes);
                if (get(&whole.files[INDEX_HEADER], HEADER_MAX_LEVEL, 4) > 0) {
                        check_damages(d.fd, &whole);
                        damaged_segments++;
                }
                clear(&whole);
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
