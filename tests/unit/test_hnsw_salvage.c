/*
 * What is saved of a small index (20 elements, labels 1 to 20, of which 6, 11 and 16 are deleted; dimension 3; M 4) that has been damaged. What is recoverable is worked out here from how it was damaged: a vector
 * of element i is (i, i + 1, i + 2), whatever reads it.
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

#include "ops/hnsw/salvage.h"
#include "tests/unit/index_builder.h"
#include "tests/unit/index_dir.h"
#include "tests/unit/pickle_builder.h"
#include "tests/unit/segment_files.h"
#include "tests/unit/sql_dir.h"

#define ID SEGMENT_FILES_ID
#define ELEMENTS 20u
#define LIVE 17u
#define DIMENSION 3u

static struct sql_dir d;

static int setup(void **state)
{
        (void) state;
        sql_dir_make(&d);
        return 0;
}

static int teardown(void **state)
{
        (void) state;
        sql_dir_remove(&d);
        return 0;
}

static struct salvage *look_as(enum hnsw_space space, uint32_t m)
{
        struct salvage_start start = { .persist_fd = d.fd, .segment_id = ID, .dimension = DIMENSION, .m = m, .space = space };
        struct salvage *s = NULL;
        struct error e = { 0 };
        if (salvage_read(&start, &s, &e) < 0)
                fail_msg("%s", e.text);
        return s;
}

static struct salvage *look(void)
{
        return look_as(SPACE_L2, 4);
}

static bool is_deleted(uint64_t label)
{
        return label > 1 && (label - 1) % 5 == 0;
}

/* The records of the labels 1 to `last` are found, where they are, with their vectors; those above it are not. */
static void expect_up_to(const struct salvage *s, uint64_t last)
{
        uint64_t live = 0;
        assert_non_null(s->metadata);
        assert_int_equal(s->metadata->count, LIVE);
        for (size_t i = 0; i < LIVE; i++) {
                uint64_t label = s->metadata->entries[i].label;
                float vector[DIMENSION], length = -1;
                assert_false(is_deleted(label));
                if (label > last) {
                        assert_int_equal(s->record_of[i], SALVAGE_NO_RECORD);
                        continue;
                }
                live++;
                assert_int_equal(s->record_of[i], label - 1);
                assert_int_equal(salvage_vector(s, i, vector, &length, NULL), 0);
                assert_true(length == 1);
                for (uint32_t k = 0; k < DIMENSION; k++)
                        assert_true(vector[k] == (float) (label - 1 + k));
        }
        assert_int_equal(s->live, live);
}

static void expect_all(const struct segment_files *files, enum salvage_layout layout, uint32_t m)
{
        segment_write(d.fd, files);
        struct salvage *s = look_as(SPACE_L2, m);
        assert_int_equal(s->layout, layout);
        assert_int_equal(s->m, 4);
        assert_int_equal(s->records_error.code, 0);
        expect_up_to(s, ELEMENTS);
        (void) salvage_free(s);
}

static void whole(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        expect_all(&files, SALVAGE_FROM_HEADER, 4);
        struct salvage *s = look();
        assert_int_equal(s->records, ELEMENTS);
        assert_int_equal(s->deleted, ELEMENTS - LIVE);
        assert_true(s->unlisted == 0 && s->doubled == 0 && s->doubtful == 0);
        (void) salvage_free(s);
        segment_clear(&files);
}

/* Neither its counts nor the entry point, the version or the levels are believed. */
static void wrong_headers(void **state)
{
        (void) state;
        static const struct {
                size_t offset, width;
                uint64_t value;
        } wrong[] = {
                { HEADER_VERSION, 4, 2 },         { HEADER_MAX_ELEMENTS, 8, 0 },    { HEADER_MAX_ELEMENTS, 8, UINT64_MAX },
                { HEADER_COUNT, 8, 0 },           { HEADER_COUNT, 8, 3 },           { HEADER_COUNT, 8, ELEMENTS * 1000000000ull },
                { HEADER_MAX_LEVEL, 4, 77 },      { HEADER_ENTRY_POINT, 4, 12345 }, { HEADER_MULT, 8, 0 },
                { HEADER_EF_CONSTRUCTION, 8, 0 },
        };
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                struct segment_files files = segment_small();
                bytes_set_int(&files.files[INDEX_HEADER], wrong[i].offset, wrong[i].value, wrong[i].width);
                expect_all(&files, SALVAGE_FROM_HEADER, 16);
                segment_clear(&files);
        }
}

/* A header that says nothing of use: the configuration does, or, where that was changed since, the labels themselves. */
static void no_header(void **state)
{
        (void) state;
        static const size_t cut[] = { 0, 1, 43, 51, 99 };
        for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
                struct segment_files files = segment_small();
                files.files[INDEX_HEADER].len = cut[i];
                expect_all(&files, SALVAGE_FROM_CONFIG, 4);
                expect_all(&files, SALVAGE_FROM_LABELS, 16);
                expect_all(&files, SALVAGE_FROM_LABELS, 0);
                segment_clear(&files);
        }
        static const size_t offsets[] = { HEADER_RECORD_SIZE, HEADER_LABEL_OFFSET, HEADER_DATA_OFFSET };
        for (size_t i = 0; i < 3; i++) {
                struct segment_files files = segment_small();
                bytes_set_int(&files.files[INDEX_HEADER], offsets[i], UINT64_MAX - 3, 8);
                expect_all(&files, SALVAGE_FROM_CONFIG, 4);
                segment_clear(&files);
        }
}

/* A header of another index, whose sizes fit each other and the dimension: the labels say that it is none of this one. */
static void header_of_another_index(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        struct byte_buffer *header = &files.files[INDEX_HEADER];
        bytes_set_int(header, HEADER_DATA_OFFSET, 8 * 5 + 4, 8);
        bytes_set_int(header, HEADER_LABEL_OFFSET, 8 * 5 + 4 + 4 * DIMENSION, 8);
        bytes_set_int(header, HEADER_RECORD_SIZE, 8 * 5 + 4 + 4 * DIMENSION + 8, 8);
        expect_all(&files, SALVAGE_FROM_CONFIG, 4);
        expect_all(&files, SALVAGE_FROM_LABELS, 7);
        segment_clear(&files);
}

static void list_only(struct segment_files *files, const int32_t *labels, size_t count)
{
        bytes_clear(&files->files[INDEX_PICKLE]);
        files->files[INDEX_PICKLE] = pickle_build(STYLE_RUST, labels, count, 30);
        segment_write(d.fd, files);
}

/* A pickle that is too old lists few of the records; one record in nine, with the length of nine, has a label that is listed. */
static void pickle_of_few(void **state)
{
        (void) state;
        static const int32_t labels[] = { 1, 2, 9 };
        struct segment_files files = segment_small();
        list_only(&files, labels, 3);
        struct salvage *s = look();
        assert_true(s->layout == SALVAGE_FROM_HEADER && s->m == 4 && s->live == 3);
        (void) salvage_free(s);
        files.files[INDEX_HEADER].len = 0;
        segment_write(d.fd, &files);
        s = look_as(SPACE_L2, 7);
        assert_true(s->layout == SALVAGE_FROM_LABELS && s->m == 4 && s->live == 3);
        (void) salvage_free(s);
        segment_clear(&files);
}

/* No configuration is believed against all labels: what it would give as vectors are none. */
static void length_of_none(void **state)
{
        (void) state;
        static const int32_t labels[] = { 21, 22, 23 };
        struct segment_files files = segment_small();
        files.files[INDEX_HEADER].len = 0;
        for (size_t at = 2; at < files.files[INDEX_LEVEL0].len; at += 8 * 4 + 4 + 4 * DIMENSION + 8)
                files.files[INDEX_LEVEL0].data[at] = 0; /* none is deleted */
        list_only(&files, labels, 3);
        struct salvage *s = look();
        assert_true(s->layout == SALVAGE_NO_LAYOUT && s->live == 0 && s->records_error.code == -EILSEQ);
        (void) salvage_free(s);
        segment_clear(&files);
}

/* Records of another dimension are no vectors of this one, whatever length they have. */
static void another_dimension(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        segment_write(d.fd, &files);
        struct salvage_start start = {
                .persist_fd = d.fd, .segment_id = ID, .dimension = DIMENSION + 1, .m = 4, .space = SPACE_L2
        };
        struct salvage *s = NULL;
        struct error e = { 0 };
        assert_int_equal(salvage_read(&start, &s, &e), -EILSEQ);
        assert_non_null(strstr(e.text, "dimension"));
        segment_clear(&files);
}

/* Pages that never came to the disk are zeros. */
static void zeros_before(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        struct byte_buffer *level0 = &files.files[INDEX_LEVEL0], small = bytes_copy(level0);
        bytes_clear(level0);
        bytes_fill(level0, 0, 100 * files.record);
        bytes_put(level0, small.data, small.len);
        bytes_clear(&small);
        files.files[INDEX_HEADER].len = 0;
        segment_write(d.fd, &files);
        for (uint32_t m = 4; m <= 5; m++) {
                struct salvage *s = look_as(SPACE_L2, m);
                assert_true(s->m == 4 && s->live == LIVE && s->record_of[0] == 100);
                (void) salvage_free(s);
        }
        segment_clear(&files);
}

/* Links of any kind: they are never read. */
static void wild_links(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        for (uint64_t id = 0; id < ELEMENTS; id++) {
                segment_poke(&files, id, 0, 0xffff, 2);
                segment_poke(&files, id, 4, UINT32_MAX, 4);
        }
        files.files[INDEX_LINK_LISTS].len = 1;
        expect_all(&files, SALVAGE_FROM_HEADER, 4);
        segment_clear(&files);
}

/* Every length that a torn file can have. */
static void cut_records(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        size_t full = files.files[INDEX_LEVEL0].len;
        for (size_t len = 0; len < full; len++) {
                if (len % files.record > 2 && len % files.record < files.record - 2)
                        continue;
                files.files[INDEX_LEVEL0].len = len;
                segment_write(d.fd, &files);
                struct salvage *s = look();
                assert_int_equal(s->records, len / files.record);
                expect_up_to(s, len / files.record);
                (void) salvage_free(s);
        }
        files.files[INDEX_LEVEL0].len = full;
        segment_clear(&files);
}

/* What stands behind the last record: zeros, copies of records, and records that the pickle does not know. */
static void garbage_behind(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        struct byte_buffer *level0 = &files.files[INDEX_LEVEL0];
        struct byte_buffer small = bytes_copy(level0);
        bytes_fill(level0, 0, 5 * files.record + 7);
        expect_all(&files, SALVAGE_FROM_HEADER, 4);
        level0->len -= 7;
        bytes_put(level0, small.data + 3 * files.record, files.record); /* label 4 once more, */
        bytes_put(level0, small.data + 7 * files.record, files.record); /* label 8, */
        bytes_set_int(level0, level0->len - 12, 0x7f, 1);               /* with another vector, */
        bytes_put(level0, small.data + 8 * files.record, files.record); /* and a label that nobody knows */
        bytes_set_int(level0, level0->len - 8, 4000, 8);
        expect_all(&files, SALVAGE_FROM_HEADER, 4);
        struct salvage *s = look();
        assert_true(s->doubled == 2 && s->doubtful == 1 && s->unlisted == 1);
        for (size_t i = 0; i < LIVE; i++)
                assert_true(s->marks[i] == (s->metadata->entries[i].label == 8 ? SALVAGE_DOUBTFUL : 0));
        (void) salvage_free(s);
        bytes_clear(&small);
        segment_clear(&files);
}

/* The count of the header is below the number of records that the file holds, and elements come behind it: they count. A file of terabytes that is one hole is no work. */
static void hole_behind(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        segment_write(d.fd, &files);
        int fd = openat(d.fd, ID "/data_level0.bin", O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        if (ftruncate(fd, (off_t) 1 << 41) < 0) {
                assert_int_equal(close(fd), 0);
                segment_clear(&files);
                skip();
        }
        assert_int_equal(close(fd), 0);
        index_dir_age(d.fd, ID, 3600);
        struct salvage *s = look();
        expect_up_to(s, ELEMENTS);
        assert_true(s->records > 1000000000);
        (void) salvage_free(s);
        segment_clear(&files);
}

static void pickles(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        size_t full = files.files[INDEX_PICKLE].len;
        static const size_t cut[] = { 0, 1, 40 };
        for (size_t i = 0; i < 3; i++) {
                files.files[INDEX_PICKLE].len = cut[i];
                segment_write(d.fd, &files);
                struct salvage *s = look();
                assert_null(s->metadata);
                assert_true(s->pickle_error.code < 0 && s->pickle_error.text[0] != '\0');
                assert_true(s->live == 0 && s->unlisted == LIVE);
                (void) salvage_free(s);
        }
        files.files[INDEX_PICKLE].len = full;
        assert_int_equal(unlinkat(d.fd, ID "/index_metadata.pickle", 0), 0);
        struct salvage *s = look();
        assert_true(s->metadata == NULL && s->pickle_error.code == 0);
        (void) salvage_free(s);
        segment_clear(&files);
}

static void nothing_there(void **state)
{
        (void) state;
        struct salvage *s = look();
        assert_true(s->metadata == NULL && s->live == 0 && s->records == 0 && s->records_error.code == -ENOENT);
        (void) salvage_free(s);
        assert_int_equal(mkdirat(d.fd, ID, 0755), 0);
        assert_int_equal(mkdirat(d.fd, ID "/data_level0.bin", 0755), 0);
        assert_int_equal(mkdirat(d.fd, ID "/index_metadata.pickle", 0755), 0);
        s = look();
        assert_true(s->metadata == NULL && s->pickle_error.code < 0 && s->records_error.code < 0);
        (void) salvage_free(s);
}

/* A record that a label was put into with the mark of a deleted one: its id was deleted since the pickle was written. */
static void deleted_since(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        segment_poke(&files, 8, 2, 1, 1);
        segment_write(d.fd, &files);
        struct salvage *s = look();
        assert_true(s->live == LIVE - 1 && s->deleted == ELEMENTS - LIVE + 1);
        for (size_t i = 0; i < LIVE; i++)
                assert_true((s->record_of[i] == SALVAGE_NO_RECORD) == (s->metadata->entries[i].label == 9));
        (void) salvage_free(s);
        segment_clear(&files);
}

/* --- cosine --- */

static void set_vector(struct segment_files *files, uint64_t id, float a, float b, float c)
{
        const float vector[DIMENSION] = { a, b, c };
        memcpy(files->files[INDEX_LEVEL0].data + id * files->record + files->label_offset - sizeof(vector), vector, sizeof(vector));
}

static void set_norm(struct segment_files *files, uint64_t id, float norm)
{
        memcpy(files->files[INDEX_LENGTH].data + 4 * id, &norm, sizeof(norm));
}

static float length_of(const struct salvage *s, uint64_t label, unsigned marks)
{
        float vector[DIMENSION], length = -1;
        const struct index_entry *entry = index_metadata_by_label(s->metadata, label);
        assert_non_null(entry);
        size_t i = (size_t) (entry - s->metadata->entries);
        assert_true(s->record_of[i] != SALVAGE_NO_RECORD && s->marks[i] == marks);
        assert_int_equal(salvage_vector(s, i, vector, &length, NULL), 0);
        return length;
}

static void norms(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        for (uint64_t id = 0; id < ELEMENTS; id++) {
                set_vector(&files, id, 0.6f, 0, -0.8f);
                set_norm(&files, id, (float) (id + 1));
        }
        set_vector(&files, 0, 0, 0, 0);
        set_norm(&files, 0, 0);
        set_vector(&files, 1, 3, 4, 5);
        set_norm(&files, 2, 0);
        set_norm(&files, 3, -1);
        set_norm(&files, 4, NAN);
        files.files[INDEX_LENGTH].len = 9 * 4 + 3;
        segment_write(d.fd, &files);
        struct salvage *s = look_as(SPACE_COSINE, 4);
        assert_true(length_of(s, 1, 0) == 0);
        for (uint64_t label = 3; label <= 5; label++)
                assert_true(length_of(s, label, SALVAGE_NORMLESS) == 1);
        assert_true(length_of(s, 9, 0) == 9);
        assert_true(length_of(s, 10, SALVAGE_NORMLESS) == 1);
        assert_true(s->bad == 1 && s->live == LIVE - 1 && s->record_of[1] == SALVAGE_NO_RECORD);
        assert_int_equal(s->normless, 3 + LIVE - 8); /* 1, 2, 3, 4, 5, 7, 8 and 9 come before */
        (void) salvage_free(s);
        segment_clear(&files);
}

static bool yes(void *context)
{
        (void) context;
        return true;
}

static void cancelled(void **state)
{
        (void) state;
        struct segment_files files = segment_small();
        segment_write(d.fd, &files);
        struct salvage_start start = {
                .persist_fd = d.fd, .segment_id = ID, .dimension = DIMENSION, .m = 4, .space = SPACE_L2, .cancelled = yes
        };
        struct salvage *s = NULL;
        struct error e = { 0 };
        assert_int_equal(salvage_read(&start, &s, &e), -EINTR);
        assert_null(s);
        segment_clear(&files);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(whole),        TEST(wrong_headers), TEST(no_header),      TEST(header_of_another_index),
                TEST(wild_links),   TEST(cut_records),   TEST(garbage_behind), TEST(hole_behind),
                TEST(pickles),      TEST(nothing_there), TEST(deleted_since),  TEST(norms),
                TEST(cancelled),    TEST(pickle_of_few), TEST(length_of_none), TEST(another_dimension),
                TEST(zeros_before),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
