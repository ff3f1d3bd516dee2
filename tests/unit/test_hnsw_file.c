#include "ops/hnsw_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ops/cleanup.h"
#include "tests/unit/byte_buffer.h"
#include "tests/unit/index_builder.h"

typedef int check_fn(int fd, const struct hnsw_header *header, struct error *e);

static int ignore(void *context, const struct hnsw_record *record)
{
        (void) record;
        if (context != NULL)
                (*(uint64_t *) context)++;
        return 0;
}

static int scan(int fd, const struct hnsw_header *header, struct error *e)
{
        return hnsw_level0_scan(fd, header, ignore, NULL, e);
}

static struct hnsw_header header_of(const struct index_image *image)
{
        struct hnsw_header h;
        struct error e = { 0 };
        assert_int_equal(image->header.len, HNSW_HEADER_SIZE);
        if (hnsw_header_decode(image->header.data, &h, &e) != 0)
                fail_msg("%s", e.text);
        return h;
}

static void expect(int r, int expected, const struct error *e, const char *sentence)
{
        if (r != expected || e->code != expected || strstr(e->text, sentence) == NULL)
                fail_msg("%d '%s' where %d '%s' is expected", r, e->text, expected, sentence);
}

static void refuse(check_fn *check, const struct byte_buffer *file, const struct hnsw_header *h, int code, const char *sentence)
{
        CLEANUP(close)
        int fd = bytes_memfd(file->data, file->len);
        struct error e = { 0 };
        expect(check(fd, h, &e), code, &e, sentence);
}

static void accept(check_fn *check, const struct byte_buffer *file, const struct hnsw_header *h)
{
        CLEANUP(close)
        int fd = bytes_memfd(file->data, file->len);
        struct error e = { 0 };
        if (check(fd, h, &e) != 0)
                fail_msg("%s", e.text);
}

/* ---- header.bin ---- */

static void refuse_field(size_t offset, uint64_t value, size_t width, const char *sentence)
{
        struct index_image image = index_build(&index_small);
        bytes_set_int(&image.header, offset, value, width);
        struct hnsw_header h;
        struct error e = { 0 };
        expect(hnsw_header_decode(image.header.data, &h, &e), -EILSEQ, &e, sentence);
        index_files_clear(&image);
}

static void test_header_good(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        struct hnsw_header h = header_of(&image);
        assert_int_equal(h.count, 20);
        assert_int_equal(h.max_elements, 30);
        assert_int_equal(h.m, 4);
        assert_int_equal(h.dimension, 3);
        assert_int_equal(h.record_size, 8 * 4 + 4 + 4 * 3 + 8);
        assert_int_equal(h.max_level, 1);
        assert_int_equal(h.entry_point, 0);
        assert_int_equal(h.ef_construction, 100);
        index_files_clear(&image);
        image = index_build(&(struct index_options){ .count = 0, .m = 32767, .dimension = 1 << 20 });
        h = header_of(&image);
        assert_int_equal(h.dimension, 1 << 20);
        assert_int_equal(h.entry_point, HNSW_NO_ENTRY_POINT);
        assert_int_equal(h.max_level, -1);
        index_files_clear(&image);
}

static void test_header_bad_fields(void **state)
{
        (void) state;
        refuse_field(HEADER_VERSION, 2, 4, "persistence version");
        refuse_field(HEADER_VERSION, UINT32_MAX, 4, "persistence version");
        refuse_field(HEADER_LINKS_OFFSET, 4, 8, "links' offset");
        refuse_field(HEADER_MAX_ELEMENTS, 19, 8, "number of elements");
        refuse_field(HEADER_COUNT, 31, 8, "number of elements");
        refuse_field(HEADER_COUNT, UINT64_MAX, 8, "number of elements");
        refuse_field(HEADER_COUNT, 0, 8, "no elements, but");
        refuse_field(HEADER_RECORD_SIZE, 0, 8, "record size");
        refuse_field(HEADER_RECORD_SIZE, UINT64_MAX, 8, "record size");
        refuse_field(HEADER_LABEL_OFFSET, 36, 8, "label's offset");
        refuse_field(HEADER_LABEL_OFFSET, 38, 8, "label's offset");
        refuse_field(HEADER_LABEL_OFFSET, 0, 8, "label's offset");
        refuse_field(HEADER_LABEL_OFFSET, UINT64_MAX - 7, 8, "label's offset");
        refuse_field(HEADER_LABEL_OFFSET, 36 + 4 * ((1u << 20) + 1), 8, "label's offset");
        refuse_field(HEADER_DATA_OFFSET, 40, 8, "vector's offset");
        refuse_field(HEADER_MAX_LEVEL, 99, 4, "highest level");
        refuse_field(HEADER_MAX_LEVEL, UINT32_MAX, 4, "highest level");
        refuse_field(HEADER_MAX_LEVEL, 0x80000000u, 4, "highest level");
        refuse_field(HEADER_ENTRY_POINT, 20, 4, "entry point");
        refuse_field(HEADER_ENTRY_POINT, HNSW_NO_ENTRY_POINT, 4, "entry point");
        refuse_field(HEADER_MAX_M, 5, 8, "maxM");
        refuse_field(HEADER_MAX_M0, 4, 8, "maxM0");
        refuse_field(HEADER_M, 0, 8, "M is 0");
        refuse_field(HEADER_M, 32768, 8, "M is 32768");
        refuse_field(HEADER_M, UINT64_MAX, 8, "M is");
        refuse_field(HEADER_MULT, 0, 8, "level factor");
        refuse_field(HEADER_MULT, 0x7ff8000000000000u, 8, "level factor"); /* NaN */
        refuse_field(HEADER_MULT, 0x7ff0000000000000u, 8, "level factor"); /* infinity */
        refuse_field(HEADER_EF_CONSTRUCTION, 3, 8, "ef_construction");
}

static void test_header_too_many(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        bytes_set_int(&image.header, HEADER_MAX_ELEMENTS, UINT64_MAX, 8);
        bytes_set_int(&image.header, HEADER_COUNT, UINT32_MAX, 8);
        struct hnsw_header h;
        struct error e = { 0 };
        expect(hnsw_header_decode(image.header.data, &h, &e), -EILSEQ, &e, "number of elements");
        bytes_set_int(&image.header, HEADER_COUNT, UINT32_MAX - 1, 8);
        assert_int_equal(hnsw_header_decode(image.header.data, &h, &e), 0);
        refuse(scan, &image.level0, &h, -EIO, "its elements need"); /* no memory is taken for 4 billion elements */
        refuse(hnsw_level0_check, &image.level0, &h, -EIO, "its elements need");
        refuse(hnsw_length_check, &image.lengths, &h, -EIO, "its elements need");
        refuse(hnsw_link_lists_check, &image.link_lists, &h, -EIO, "its elements need");
        index_files_clear(&image);
}

static void test_header_file(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        struct hnsw_header h;
        struct error e = { 0 };
        for (size_t len = 0; len <= HNSW_HEADER_SIZE + 1; len++) {
                if (len > HNSW_HEADER_SIZE)
                        bytes_put_int(&image.header, 0, 1);
                CLEANUP(close)
                int fd = bytes_memfd(image.header.data, len);
                int expected = len < HNSW_HEADER_SIZE ? -EIO : len > HNSW_HEADER_SIZE ? -EILSEQ : 0;
                assert_int_equal(hnsw_header_read(fd, &h, &e), expected);
        }
        assert_int_equal(hnsw_header_read(-1, &h, &e), -EBADF);
        index_files_clear(&image);
}

/* What 1.5.9 writes for M = 1: vectors are read, levels are not believed. */
static void test_m_1(void **state)
{
        (void) state;
        struct index_options o = { .count = 3, .m = 1, .dimension = 2, .links = 2 };
        struct index_image image = index_build(&o);
        bytes_set_int(&image.header, HEADER_MAX_LEVEL, 0x80000000u, 4);
        struct hnsw_header h = header_of(&image);
        accept(scan, &image.level0, &h);
        refuse(hnsw_link_lists_check, &image.link_lists, &h, -EILSEQ, "without a level");
        index_files_clear(&image);
}

/* ---- data_level0.bin ---- */

struct seen {
        uint64_t count, deleted;
        int stop_at; /* -1: never */
};

static int look(void *context, const struct hnsw_record *record)
{
        struct seen *seen = context;
        float first;
        memcpy(&first, record->vector, sizeof(first));
        assert_int_equal(record->internal_id, seen->count);
        assert_int_equal(record->label, seen->count + 1);
        assert_int_equal(record->link_count, 6);
        assert_int_equal(record->links[0], (seen->count + 1) % 20);
        assert_true(first == (float) seen->count);
        assert_int_equal(record->deleted, seen->count != 0 && seen->count % 5 == 0);
        seen->deleted += record->deleted;
        return (int) seen->count++ == seen->stop_at ? 42 : 0;
}

static void test_scan(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        struct hnsw_header h = header_of(&image);
        bytes_fill(&image.level0, 0xff, 1000); /* garbage behind the elements */
        CLEANUP(close)
        int fd = bytes_memfd(image.level0.data, image.level0.len);
        struct seen seen = { .stop_at = -1 };
        struct error e = { 0 };
        assert_int_equal(hnsw_level0_scan(fd, &h, look, &seen, &e), 0);
        assert_int_equal(seen.count, 20);
        assert_int_equal(seen.deleted, 3);
        seen = (struct seen){ .stop_at = 7 };
        assert_int_equal(hnsw_level0_scan(fd, &h, look, &seen, &e), 42);
        assert_int_equal(seen.count, 8);
        accept(hnsw_level0_check, &image.level0, &h);
        index_files_clear(&image);
}

/* More than a piece, and records larger than a piece. */
static void test_scan_pieces(void **state)
{
        (void) state;
        static const struct index_options many[] = { { .count = 30000, .m = 2, .dimension = 1, .links = 4 },
                                                     { .count = 3, .m = 2, .dimension = 200000, .links = 2 },
                                                     { .count = 7, .m = 2, .dimension = 50000, .links = 2 } };
        for (size_t i = 0; i < 3; i++) {
                struct index_image image = index_build(&many[i]);
                struct hnsw_header h = header_of(&image);
                CLEANUP(close)
                int fd = bytes_memfd(image.level0.data, image.level0.len);
                uint64_t count = 0;
                assert_int_equal(hnsw_level0_scan(fd, &h, ignore, &count, NULL), 0);
                assert_int_equal(count, many[i].count);
                accept(hnsw_level0_check, &image.level0, &h);
                index_files_clear(&image);
        }
}

static void test_level0_cut(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        struct hnsw_header h = header_of(&image);
        for (size_t len = 0; len < image.level0.len; len++) {
                struct byte_buffer cut = { .data = image.level0.data, .len = len };
                refuse(scan, &cut, &h, -EIO, "data_level0.bin");
        }
        accept(scan, &image.level0, &h);
        index_files_clear(&image);
}

static void refuse_level0(size_t offset, uint64_t value, size_t width, check_fn *check, const char *sentence)
{
        struct index_image image = index_build(&index_small);
        struct hnsw_header h = header_of(&image);
        bytes_set_int(&image.level0, 19 * image.record_size + offset, value, width);
        refuse(check, &image.level0, &h, -EILSEQ, sentence);
        index_files_clear(&image);
}

static void test_level0_bad(void **state)
{
        (void) state;
        refuse_level0(0, 9, 2, scan, "element 19 has 9 links");
        refuse_level0(0, 65535, 2, scan, "65535 links");
        refuse_level0(2, 2, 1, scan, "marks");
        refuse_level0(3, 1, 1, scan, "marks");
        refuse_level0(4, 20, 4, scan, "links to element 20 of 20");
        refuse_level0(24, UINT32_MAX, 4, scan, "links to element 4294967295");
        refuse_level0(8, 19, 4, scan, "links to itself");
        refuse_level0(8, 0, 4, hnsw_level0_check, "a link twice");
        refuse_level0(24, 20, 4, hnsw_level0_check, "links to element 20");
}

/* Stale links behind the number are of no interest; a double link is, in lists that are compared and in lists that are sorted. */
static void test_double_links(void **state)
{
        (void) state;
        static const uint32_t links[] = { 2, 63, 64, 65, 90 };
        for (size_t i = 0; i < 5; i++) {
                struct index_options o = { .count = 100, .m = 50, .dimension = 1, .links = links[i] };
                struct index_image image = index_build(&o);
                struct hnsw_header h = header_of(&image);
                accept(hnsw_level0_check, &image.level0, &h);
                bytes_set_int(&image.level0, 4 + 4 * (size_t) (links[i] - 1), 1, 4); /* the last is the first, 1 */
                accept(scan, &image.level0, &h);
                refuse(hnsw_level0_check, &image.level0, &h, -EILSEQ, "element 0 has a link twice");
                index_files_clear(&image);
        }
}

static int shrink(void *context, const struct hnsw_record *record)
{
        (void) record;
        return ftruncate(*(int *) context, 1000);
}

/* A file that gets shorter while it is read. */
static void test_level0_shrinks(void **state)
{
        (void) state;
        struct index_image image = index_build(&(struct index_options){ .count = 30000, .m = 2, .dimension = 1, .links = 4 });
        struct hnsw_header h = header_of(&image);
        CLEANUP(close)
        int fd = bytes_memfd(image.level0.data, image.level0.len);
        struct error e = { 0 };
        expect(hnsw_level0_scan(fd, &h, shrink, &fd, &e), -EIO, &e, "data_level0.bin ends after");
        index_files_clear(&image);
}

static void test_unreadable(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        struct hnsw_header h = header_of(&image);
        struct error e = { 0 };
        expect(scan(-1, &h, &e), -EBADF, &e, "data_level0.bin");
        expect(hnsw_length_check(-1, &h, &e), -EBADF, &e, "length.bin");
        expect(hnsw_link_lists_check(-1, &h, &e), -EBADF, &e, "link_lists.bin");
        index_files_clear(&image);
}

static void test_empty_index(void **state)
{
        (void) state;
        struct index_image image = index_build(&(struct index_options){ .count = 0, .m = 16, .dimension = 4 });
        struct hnsw_header h = header_of(&image);
        accept(scan, &image.level0, &h);
        accept(hnsw_level0_check, &image.level0, &h);
        accept(hnsw_length_check, &image.lengths, &h);
        accept(hnsw_link_lists_check, &image.link_lists, &h);
        bytes_put_int(&image.link_lists, 0, 4);
        refuse(hnsw_link_lists_check, &image.link_lists, &h, -EILSEQ, "can't need more than 0");
        index_files_clear(&image);
}

static void test_length(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        struct hnsw_header h = header_of(&image);
        accept(hnsw_length_check, &image.lengths, &h);
        image.lengths.len--;
        refuse(hnsw_length_check, &image.lengths, &h, -EIO, "length.bin has 79 bytes, its elements need 80");
        image.lengths.len = 0;
        refuse(hnsw_length_check, &image.lengths, &h, -EIO, "length.bin has 0 bytes");
        bytes_fill(&image.lengths, 0xff, 4001); /* garbage may follow */
        accept(hnsw_length_check, &image.lengths, &h);
        index_files_clear(&image);
}

/* ---- link_lists.bin ---- */

static void test_upper_good(void **state)
{
        (void) state;
        static const struct index_options options[] = {
                { .count = 20, .m = 4, .dimension = 3, .links = 6, .max_level = 1 },
                { .count = 1, .m = 16, .dimension = 3, .max_level = 1 },
                { .count = 5, .m = 16, .dimension = 3, .links = 2 },
                { .count = 40000, .m = 16, .dimension = 1, .links = 2, .max_level = 1 }, /* several pieces */
                { .count = 4, .m = 32767, .dimension = 1, .links = 2, .max_level = 1 },  /* the largest lists */
                { .count = 400, .m = 90, .dimension = 1, .links = 2, .max_level = 1 },   /* long ones */
        };
        for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
                struct index_image image = index_build(&options[i]);
                struct hnsw_header h = header_of(&image);
                accept(hnsw_link_lists_check, &image.link_lists, &h);
                index_files_clear(&image);
        }
}

static void test_upper_cut(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        struct hnsw_header h = header_of(&image);
        for (size_t len = 0; len < image.link_lists.len; len++) {
                struct byte_buffer cut = { .data = image.link_lists.data, .len = len };
                refuse(hnsw_link_lists_check, &cut, &h, -EIO, "link_lists.bin");
        }
        bytes_put_int(&image.link_lists, 0, 1);
        refuse(hnsw_link_lists_check, &image.link_lists, &h, -EILSEQ, "goes on for 1 bytes");
        bytes_fill(&image.link_lists, 0, 4000);
        refuse(hnsw_link_lists_check, &image.link_lists, &h, -EILSEQ, "can't need more than");
        index_files_clear(&image);
}

static void refuse_upper(uint32_t id, int offset, uint64_t value, size_t width, const char *sentence)
{
        struct index_image image = index_build(&index_small);
        struct hnsw_header h = header_of(&image);
        size_t list = index_upper_list(&image, &index_small, id);
        assert_int_not_equal(list, 0);
        bytes_set_int(&image.link_lists, (size_t) ((ptrdiff_t) list + offset), value, width);
        refuse(hnsw_link_lists_check, &image.link_lists, &h, -EILSEQ, sentence);
        index_files_clear(&image);
}

static void test_upper_bad(void **state)
{
        (void) state;
        refuse_upper(4, -4, 19, 4, "entry of element 4 has 19 bytes");
        refuse_upper(4, -4, UINT32_MAX, 4, "has 4294967295 bytes");
        refuse_upper(4, -4, 40, 4, "has 40 bytes"); /* level 2, above the highest */
        refuse_upper(4, 0, 5, 2, "number of links on level 1");
        refuse_upper(4, 2, 1, 2, "number of links on level 1");
        refuse_upper(4, 4, 20, 4, "links to element 20");
        refuse_upper(4, 4, 4, 4, "links to itself");
        refuse_upper(4, 4, 5, 4, "links on level 1 to element 5, which is not there");
        refuse_upper(4, 4, 8, 4, "a link twice");
}

static void test_upper_levels(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        bytes_set_int(&image.header, HEADER_MAX_LEVEL, 2, 4);
        struct hnsw_header h = header_of(&image);
        refuse(hnsw_link_lists_check, &image.link_lists, &h, -EILSEQ, "highest level is 1, header.bin says 2");
        bytes_set_int(&image.header, HEADER_MAX_LEVEL, 0, 4);
        h = header_of(&image);
        refuse(hnsw_link_lists_check, &image.link_lists, &h, -EILSEQ, "link_lists.bin");
        bytes_set_int(&image.header, HEADER_MAX_LEVEL, 1, 4);
        bytes_set_int(&image.header, HEADER_ENTRY_POINT, 3, 4);
        h = header_of(&image);
        refuse(hnsw_link_lists_check, &image.link_lists, &h, -EILSEQ, "entry point 3 is on level 0");
        index_files_clear(&image);
}

/* A hole of a terabyte is refused by its size, one of the possible size by what is in it. */
static void test_upper_sparse(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        struct hnsw_header h = header_of(&image);
        CLEANUP(close)
        int fd = bytes_memfd(NULL, 0);
        struct error e = { 0 };
        assert_int_equal(ftruncate(fd, 1ll << 40), 0);
        expect(hnsw_link_lists_check(fd, &h, &e), -EILSEQ, &e, "can't need more than 480");
        assert_int_equal(ftruncate(fd, 480), 0);
        expect(hnsw_link_lists_check(fd, &h, &e), -EILSEQ, &e, "goes on for 400 bytes");
        index_files_clear(&image);
}

/* No byte of any file may crash a check. */
static void test_every_byte_changed(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        struct hnsw_header h;
        for (size_t i = 0; i < image.header.len * 256; i++) {
                unsigned char was = image.header.data[i / 256];
                image.header.data[i / 256] = (unsigned char) i;
                (void) hnsw_header_decode(image.header.data, &h, NULL);
                image.header.data[i / 256] = was;
        }
        h = header_of(&image);
        CLEANUP(close)
        int fd = bytes_memfd(image.link_lists.data, image.link_lists.len);
        for (size_t i = 0; i < image.link_lists.len; i++)
                for (int bit = 0; bit < 8; bit++) {
                        unsigned char changed = (unsigned char) (image.link_lists.data[i] ^ (1 << bit));
                        assert_int_equal(pwrite(fd, &changed, 1, (off_t) i), 1);
                        (void) hnsw_link_lists_check(fd, &h, NULL);
                        assert_int_equal(pwrite(fd, image.link_lists.data + i, 1, (off_t) i), 1);
                }
        assert_int_equal(hnsw_link_lists_check(fd, &h, NULL), 0);
        index_files_clear(&image);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_header_good),
                cmocka_unit_test(test_header_bad_fields),
                cmocka_unit_test(test_header_too_many),
                cmocka_unit_test(test_header_file),
                cmocka_unit_test(test_m_1),
                cmocka_unit_test(test_scan),
                cmocka_unit_test(test_scan_pieces),
                cmocka_unit_test(test_level0_cut),
                cmocka_unit_test(test_level0_bad),
                cmocka_unit_test(test_double_links),
                cmocka_unit_test(test_level0_shrinks),
                cmocka_unit_test(test_unreadable),
                cmocka_unit_test(test_empty_index),
                cmocka_unit_test(test_length),
                cmocka_unit_test(test_upper_good),
                cmocka_unit_test(test_upper_cut),
                cmocka_unit_test(test_upper_bad),
                cmocka_unit_test(test_upper_levels),
                cmocka_unit_test(test_upper_sparse),
                cmocka_unit_test(test_every_byte_changed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
