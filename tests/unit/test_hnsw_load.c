#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ops/index_audit.h"
#include "tests/unit/fixture.h"
#include "tests/unit/hnsw_dir.h"

static const struct hnsw_params any = { .space = SPACE_L2, .stage_fd = -1 };

static int setup(void **state)
{
        static struct hnsw_dir d;
        hnsw_dir_make(&d);
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        hnsw_dir_remove(*state);
        return 0;
}

static struct hnsw *load(const struct hnsw_dir *d, const struct hnsw_params *params, uint64_t more)
{
        struct hnsw *index;
        struct error e = { 0 };
        if (hnsw_load(d->fd, params, more, NULL, NULL, &index, &e) < 0)
                fail_msg("%s", e.text);
        return index;
}

static void refuse(const struct hnsw_dir *d, const struct hnsw_params *params, uint64_t more, int code, const char *sentence)
{
        struct hnsw *index = NULL;
        struct error e = { 0 };
        int r = hnsw_load(d->fd, params, more, NULL, NULL, &index, &e);
        if (r != code || e.code != code || strstr(e.text, sentence) == NULL)
                fail_msg("%d '%s' where %d '%s' is expected", r, e.text, code, sentence);
        assert_null(index);
}

/* --- what is right --- */

static void good(void **state)
{
        struct index_image image = index_build(&index_small);
        hnsw_dir_put_image(*state, &image);
        struct hnsw *h = load(*state, &any, 5);
        struct hnsw_info info = hnsw_info(h);
        assert_int_equal(info.count, 20);
        assert_int_equal(info.deleted, 3);
        assert_int_equal(info.capacity, 25);
        assert_int_equal(info.params.m, 4);
        assert_int_equal(info.params.dimension, 3);
        assert_int_equal(info.params.ef_construction, 100);
        assert_int_equal(info.max_level, 1);
        assert_int_equal(info.entry_point, 0);
        for (uint32_t id = 0; id < 20; id++) {
                uint32_t count;
                assert_int_equal(hnsw_label(h, id), id + 1);
                assert_int_equal(hnsw_find(h, id + 1), id);
                assert_true(hnsw_vector(h, id)[2] == (float) (id + 2));
                assert_true(hnsw_length(h, id) == 0);
                assert_int_equal(hnsw_is_deleted(h, id), id != 0 && id % 5 == 0);
                assert_int_equal(hnsw_links(h, id, 0, &count)[0], (id + 1) % 20);
                assert_int_equal(count, 6);
                assert_int_equal(hnsw_links(h, id, 1, &count) != NULL, id % 4 == 0);
                assert_null(hnsw_links(h, id, 2, &count));
        }
        assert_int_equal(hnsw_find(h, 21), UINT32_MAX);
        (void) hnsw_free(h);
        index_files_clear(&image);
}

/* What is loaded is as good as what was built: it grows, and finds. */
static void grows(void **state)
{
        struct index_image image = index_build(&index_small);
        hnsw_dir_put_image(*state, &image);
        struct hnsw *h = load(*state, &any, 1);
        struct error e;
        struct hnsw_item item = { .label = 21, .vector = (float[]){ 100, 100, 100 } };
        assert_int_equal(hnsw_add(h, &item, 1, 1, NULL, NULL, &e), 0);
        assert_int_equal(hnsw_update(h, 6, (float[]){ -50, -50, -50 }, &e), 0); /* deleted before */
        assert_int_equal(hnsw_delete(h, 1, &e), 0);
        struct hnsw_searcher *searcher = hnsw_searcher_new(h);
        struct hnsw_result result[3];
        assert_int_equal(hnsw_search(searcher, item.vector, 1, 10, result), 1);
        assert_int_equal(result[0].label, 21);
        assert_int_equal(hnsw_search(searcher, (float[]){ -40, -40, -40 }, 1, 10, result), 1);
        assert_int_equal(result[0].label, 6);
        (void) hnsw_searcher_free(searcher);
        (void) hnsw_free(h);
        index_files_clear(&image);
}

static void cosine_has_lengths(void **state)
{
        struct index_image image = index_build(&index_small);
        bytes_set_int(&image.lengths, 8, 0x41200000, 4); /* 10.0 */
        hnsw_dir_put_image(*state, &image);
        struct hnsw *h = load(*state, &(struct hnsw_params){ .space = SPACE_COSINE, .stage_fd = -1 }, 0);
        assert_true(hnsw_length(h, 1) == 1);
        assert_true(hnsw_length(h, 2) == 10);
        (void) hnsw_free(h);
        index_files_clear(&image);
}

static void in_a_stage(void **state)
{
        const struct hnsw_dir *d = *state;
        struct index_image image = index_build(&index_small);
        hnsw_dir_put_image(d, &image);
        struct hnsw *h = load(d, &(struct hnsw_params){ .space = SPACE_L2, .stage_fd = d->fd }, 0), *other = load(d, &any, 0);
        hnsw_assert_same(h, other);
        (void) hnsw_free(h);
        (void) hnsw_free(other);
        index_files_clear(&image);
}

static void empty(void **state)
{
        struct index_options options = index_small;
        options.count = 0;
        struct index_image image = index_build(&options);
        hnsw_dir_put_image(*state, &image);
        struct hnsw *h = load(*state, &any, 0);
        assert_int_equal(hnsw_info(h).count, 0);
        assert_int_equal(hnsw_info(h).max_level, -1);
        assert_int_equal(hnsw_info(h).entry_point, HNSW_NO_ENTRY_POINT);
        (void) hnsw_free(h);
        index_files_clear(&image);
}

static void garbage_behind(void **state)
{
        struct index_image image = index_build(&index_small);
        bytes_fill(&image.level0, 0xee, 1000);
        bytes_fill(&image.lengths, 0xee, 10);
        hnsw_dir_put_image(*state, &image);
        (void) hnsw_free(load(*state, &any, 0));
        index_files_clear(&image);
}

/* --- what the caller asks --- */

static void parameters(void **state)
{
        struct index_image image = index_build(&index_small);
        hnsw_dir_put_image(*state, &image);
        refuse(*state, &(struct hnsw_params){ .dimension = 4, .stage_fd = -1 }, 0, -EILSEQ, "3 dimensions where 4 belong");
        refuse(*state, &any, UINT32_MAX, -ENOMEM, "more than an index can have");
        refuse(*state, &any, UINT64_MAX, -ENOMEM, "more than an index can have");
        struct hnsw *h = load(*state, &(struct hnsw_params){ .dimension = 3, .ef_construction = 33, .m = 7, .stage_fd = -1 }, 0);
        assert_int_equal(hnsw_info(h).params.ef_construction, 33);
        assert_int_equal(hnsw_info(h).params.m, 4);
        (void) hnsw_free(h);
        bytes_set_int(&image.header, HEADER_EF_CONSTRUCTION, UINT64_C(1) << 31, 8);
        hnsw_dir_put_image(*state, &image);
        refuse(*state, &any, 0, -EILSEQ, "ef_construction is 2147483648");
        (void) hnsw_free(load(*state, &(struct hnsw_params){ .ef_construction = 33, .stage_fd = -1 }, 0));
        index_files_clear(&image);
}

static void other_m(void **state)
{
        struct index_options options = { .count = 0, .m = 4097, .dimension = 2 };
        struct index_image image = index_build(&options);
        hnsw_dir_put_image(*state, &image);
        refuse(*state, &any, 0, -EILSEQ, "M is 4097, and an index of M 2 to 4096 can be loaded");
        index_files_clear(&image);
}

/* --- damage --- */

enum part { HEADER, LEVEL0, LENGTHS, LISTS };

static struct byte_buffer *part_of(struct index_image *image, enum part part)
{
        struct byte_buffer *const parts[] = { &image->header, &image->level0, &image->lengths, &image->link_lists };
        return parts[part];
}

struct damage {
        enum part part;
        size_t offset;
        uint64_t value;
        size_t width;
        const char *sentence;
};

/* A record is 8*4+4+12+8 = 56 bytes. In link_lists.bin element 0 has 4+20 bytes, 1 to 3 have 4, 4 has 4+20. */
static const struct damage damages[] = {
        { HEADER, HEADER_VERSION, 2, 4, "persistence version" },
        { HEADER, HEADER_ENTRY_POINT, 1, 4, "entry point 1 is on level 0, not 1" },
        { HEADER, HEADER_MAX_LEVEL, 2, 4, "the highest level is 1, header.bin says 2" },
        { HEADER, HEADER_MAX_LEVEL, 0, 4, "the entry of element 0 has 20 bytes, not 0 to 0 times 20" },
        { LEVEL0, 56, 9, 2, "element 1 has 9 links, more than 8" },
        { LEVEL0, 58, 2, 1, "element 1 has marks 0x0002" },
        { LEVEL0, 59, 1, 1, "element 1 has marks 0x0100" },
        { LEVEL0, 60, 20, 4, "element 1 links to element 20 of 20" },
        { LEVEL0, 60, UINT32_MAX, 4, "element 1 links to element 4294967295 of 20" },
        { LEVEL0, 60, 1, 4, "element 1 links to itself" },
        { LEVEL0, 60, 3, 4, "element 1" }, /* twice */
        { LEVEL0, 56 + 48, 1, 8, "elements 0 and 1 have the same label, 1" },
        { LISTS, 0, 19, 4, "the entry of element 0 has 19 bytes" },
        { LISTS, 0, 40, 4, "the entry of element 0 has 40 bytes, not 0 to 1 times 20" },
        { LISTS, 0, UINT32_MAX - 15, 4, "the entry of element 0 has 4294967280 bytes" },
        { LISTS, 4, 5, 2, "element 0 has 0x5 for its number of links on level 1, more than 4" },
        { LISTS, 6, 1, 1, "element 0 has 0x10004 for its number" },
        { LISTS, 7, 1, 1, "element 0 has 0x1000004 for its number" },
        { LISTS, 8, 20, 4, "element 0 links to element 20 of 20" },
        { LISTS, 8, 0, 4, "element 0 links to itself" },
        { LISTS, 8, 8, 4, "element 0" }, /* twice */
        { LISTS, 8, 3, 4, "element 0 links on level 1 to element 3, which is not there" },
};

static void damage_of_fields(void **state)
{
        for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
                const struct damage *damage = &damages[i];
                struct index_image image = index_build(&index_small);
                bytes_set_int(part_of(&image, damage->part), damage->offset, damage->value, damage->width);
                hnsw_dir_put_image(*state, &image);
                refuse(*state, &any, 0, -EILSEQ, damage->sentence);
                index_files_clear(&image);
        }
}

static void cut_off(void **state)
{
        for (enum part part = HEADER; part <= LISTS; part++) {
                struct index_image whole = index_build(&index_small);
                for (size_t len = 0; len < part_of(&whole, part)->len; len++) {
                        struct index_image image = whole;
                        struct hnsw *index;
                        part_of(&image, part)->len = len;
                        hnsw_dir_put_image(*state, &image);
                        struct error e = { 0 };
                        int r = hnsw_load(((struct hnsw_dir *) *state)->fd, &any, 0, NULL, NULL, &index, &e);
                        if (r != -EIO && r != -EILSEQ)
                                fail_msg("file %d of %zu bytes: %d %s", (int) part, len, r, e.text);
                        assert_int_equal(e.code, r);
                }
                index_files_clear(&whole);
        }
}

static void too_long(void **state)
{
        struct index_image image = index_build(&index_small);
        bytes_fill(&image.link_lists, 0, 4);
        hnsw_dir_put_image(*state, &image);
        refuse(*state, &any, 0, -EILSEQ, "goes on for 4 bytes behind its last entry");
        index_files_clear(&image);
}

/* The file is a hole of that size, which costs its maker nothing. */
static void claims_much(void **state)
{
        const struct hnsw_dir *d = *state;
        struct index_image image = index_build(&index_small);
        bytes_set_int(&image.header, HEADER_COUNT, 4000000000u, 8);
        bytes_set_int(&image.header, HEADER_MAX_ELEMENTS, 4000000000u, 8);
        hnsw_dir_put_image(d, &image);
        refuse(d, &any, 0, -EIO, "its elements need");
        index_files_clear(&image);
        image = index_build(&index_small);
        hnsw_dir_put_image(d, &image);
        int fd = openat(d->fd, "link_lists.bin", O_WRONLY | O_CLOEXEC);
        if (ftruncate(fd, INT64_C(1) << 43) == 0)
                refuse(d, &any, 0, -ENOMEM, "more than the machine has memory");
        assert_int_equal(close(fd), 0);
        index_files_clear(&image);
}

static void other_files(void **state)
{
        const struct hnsw_dir *d = *state;
        for (int i = 0; i < INDEX_PICKLE; i++) {
                struct index_image image = index_build(&index_small);
                hnsw_dir_put_image(d, &image);
                index_files_clear(&image);
                assert_int_equal(unlinkat(d->fd, index_file_names[i], 0), 0);
                refuse(d, &any, 0, -ENOENT, index_file_names[i]);
                assert_int_equal(symlinkat("header.bin", d->fd, index_file_names[i]), 0);
                refuse(d, &any, 0, -ELOOP, index_file_names[i]);
                assert_int_equal(unlinkat(d->fd, index_file_names[i], 0), 0);
                assert_int_equal(mkfifoat(d->fd, index_file_names[i], 0600), 0);
                refuse(d, &any, 0, -EILSEQ, index_file_names[i]);
        }
}

/* Labels that agree in all bits that a plain multiplicative hash would look at: each would be compared with all before it, for minutes. */
static void hostile_labels(void **state)
{
        struct index_options options = { .count = 200000, .m = 2, .dimension = 1 };
        struct index_image image = index_build(&options);
        for (uint64_t id = 0; id < options.count; id++)
                bytes_set_int(&image.level0, (size_t) (id * image.record_size + image.label_offset), id << 44 | id >> 18, 8);
        hnsw_dir_put_image(*state, &image);
        struct hnsw *h = load(*state, &any, 0);
        assert_int_equal(hnsw_find(h, UINT64_C(199999) << 44), 199999);
        (void) hnsw_free(h);
        index_files_clear(&image);
}

/* --- what Chroma wrote --- */

static bool starts_with(const struct byte_buffer *a, const struct byte_buffer *b)
{
        return a->len >= b->len && memcmp(a->data, b->data, b->len) == 0;
}

static void assert_same_file(const struct hnsw_dir *theirs, const struct hnsw_dir *ours, const char *name, bool exactly)
{
        struct byte_buffer a = hnsw_dir_get(theirs, name), b = hnsw_dir_get(ours, name);
        if (strcmp(name, "header.bin") == 0)
                memcpy(b.data + HEADER_MAX_ELEMENTS, a.data + HEADER_MAX_ELEMENTS, 8);
        assert_true(starts_with(&a, &b));
        assert_true(!exactly || a.len == b.len);
        bytes_clear(&a);
        bytes_clear(&b);
}

/* Loaded and saved it is the same, byte by byte. As cosine, whatever it is, so that the lengths are loaded too. */
static void check_segment(const struct fixture *f, const struct segment *segment)
{
        struct index_audit audit;
        struct error e = { 0 };
        assert_int_equal(index_audit_read(f->fd, segment->id.bytes, NULL, NULL, &audit, &e), 0);
        struct hnsw_dir theirs = { .fd = openat(f->fd, segment->id.bytes, O_RDONLY | O_DIRECTORY | O_CLOEXEC) },
                        ours = { .fd = -1 };
        if (audit.has_labels && theirs.fd >= 0) {
                struct hnsw *h = hnsw_dir_load(&theirs, SPACE_COSINE);
                assert_int_equal(hnsw_info(h).count, audit.labels.total);
                assert_int_equal(hnsw_info(h).deleted, audit.labels.deleted);
                hnsw_dir_make(&ours);
                assert_int_equal(hnsw_save(h, &(struct hnsw_save){ 0 }, ours.fd, NULL, NULL, &e), 0);
                assert_same_file(&theirs, &ours, "header.bin", true);
                assert_same_file(&theirs, &ours, "data_level0.bin", false);
                assert_same_file(&theirs, &ours, "length.bin", false);
                assert_same_file(&theirs, &ours, "link_lists.bin", true);
                hnsw_dir_remove(&ours);
                (void) hnsw_free(h);
        }
        close_cleanup(&theirs.fd);
        index_audit_clear(&audit);
}

static void check_fixture(const struct fixture *f)
{
        for (size_t i = 0; i < f->catalog->collection_count; i++)
                check_segment(f, f->catalog->collections[i].vector);
}

static void fixtures(void **state)
{
        (void) state;
        each_fixture(check_fixture);
}

static bool at_zero(void *context)
{
        int *left = context;
        return (*left)-- <= 0;
}

/* Records in pieces, then two passes over more elements than are loaded without asking. */
static void cancelled(void **state)
{
        struct index_options options = index_small;
        options.count = 40000;
        struct index_image image = index_build(&options);
        hnsw_dir_put_image(*state, &image);
        struct hnsw *index = NULL;
        int asked = 0;
        for (int r = -EINTR; r != 0; asked++) {
                int left = asked;
                struct error e = { 0 };
                r = hnsw_load(((struct hnsw_dir *) *state)->fd, &any, 0, at_zero, &left, &index, &e);
                assert_true(r == 0 || (r == -EINTR && e.code == -EINTR && index == NULL));
        }
        assert_true(asked > 6);
        assert_int_equal(hnsw_info(index).count, options.count);
        (void) hnsw_free(index);
        index_files_clear(&image);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(good),        TEST(grows),          TEST(cosine_has_lengths),
                TEST(in_a_stage),  TEST(empty),          TEST(garbage_behind),
                TEST(parameters),  TEST(other_m),        TEST(damage_of_fields),
                TEST(cut_off),     TEST(too_long),       TEST(claims_much),
                TEST(other_files), TEST(hostile_labels), cmocka_unit_test(fixtures),
                TEST(cancelled),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
