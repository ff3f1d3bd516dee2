#include "ops/labels.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ops/cleanup.h"
#include "ops/file.h"
#include "ops/text.h"
#include "tests/unit/byte_buffer.h"
#include "tests/unit/index_builder.h"
#include "tests/unit/pickle_builder.h"

static struct hnsw_header header_of(const struct index_image *image)
{
        struct hnsw_header h;
        assert_int_equal(hnsw_header_decode(image->header.data, &h, NULL), 0);
        return h;
}

static void set_label(struct index_image *image, uint32_t id, uint64_t label)
{
        bytes_set_int(&image->level0, id * image->record_size + image->label_offset, label, 8);
}

static int count(const struct index_image *image, const struct index_metadata *m, struct label_counts *ret, struct error *e)
{
        struct hnsw_header h = header_of(image);
        CLEANUP(close)
        int fd = bytes_memfd(image->level0.data, image->level0.len);
        return label_counts_read(fd, &h, m, NULL, NULL, ret, e);
}

/* A pickle with these labels. */
static struct index_metadata *metadata_of(const int32_t *labels, size_t n, int32_t total)
{
        struct byte_buffer b = pickle_build(STYLE_RUST, labels, n, total);
        char *bytes = malloc(b.len);
        assert_non_null(bytes);
        memcpy(bytes, b.data, b.len);
        struct index_metadata *m = NULL;
        assert_int_equal(index_metadata_decode(bytes, b.len, &m, NULL), 0);
        bytes_clear(&b);
        return m;
}

static void test_all_known(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        int32_t labels[20];
        size_t n = 0;
        for (int32_t id = 0; id < 20; id++)
                if (id == 0 || id % 5 != 0)
                        labels[n++] = id + 1;
        struct index_metadata *m = metadata_of(labels, n, 20);
        struct label_counts counts;
        assert_int_equal(count(&image, m, &counts, NULL), 0);
        assert_int_equal(counts.total, 20);
        assert_int_equal(counts.active, 17);
        assert_int_equal(counts.deleted, 3);
        assert_int_equal(counts.allocated, 30);
        assert_int_equal(counts.orphan_count, 0);
        assert_int_equal(counts.missing_count, 0);
        assert_true(index_fragmentation(m) == 15.0);
        label_counts_clear(&counts);
        index_metadata_free(m);
        index_files_clear(&image);
}

/* Records in another order than labels; labels on either side alone, at both ends and between. */
static void test_differences(void **state)
{
        (void) state;
        struct index_options o = { .count = 6, .m = 4, .dimension = 1, .links = 2, .deleted_every = 3 };
        struct index_image image = index_build(&o); /* element 3 is deleted */
        static const uint64_t labels[] = { 50, 10, UINT64_MAX, 7, 30, 20 };
        for (uint32_t id = 0; id < 6; id++)
                set_label(&image, id, labels[id]);
        static const int32_t known[] = { 1, 7, 20, 30, 40 };
        struct index_metadata *m = metadata_of(known, 5, 50);
        struct label_counts counts;
        assert_int_equal(count(&image, m, &counts, NULL), 0);
        assert_int_equal(counts.active, 5);
        assert_int_equal(counts.deleted, 1);
        assert_int_equal(counts.orphan_count, 3);
        assert_memory_equal(counts.orphans, ((uint64_t[]){ 10, 50, UINT64_MAX }), 24);
        assert_int_equal(counts.missing_count, 3);
        assert_memory_equal(counts.missing, ((uint64_t[]){ 1, 7, 40 }), 24); /* 7 is there, but deleted */
        assert_true(index_fragmentation(m) == 90.0);
        label_counts_clear(&counts);
        assert_null(counts.orphans);
        label_counts_clear(&counts);
        index_metadata_free(m);
        index_files_clear(&image);
}

static void test_without_pickle(void **state)
{
        (void) state;
        struct index_image image =
                index_build(&(struct index_options){ .count = 1000, .m = 4, .dimension = 1, .links = 2, .deleted_every = 10 });
        struct label_counts counts;
        assert_int_equal(count(&image, NULL, &counts, NULL), 0);
        assert_int_equal(counts.active, 901);
        assert_int_equal(counts.orphan_count, 901);
        assert_int_equal(counts.orphans[900], 1000);
        assert_int_equal(counts.missing_count, 0);
        label_counts_clear(&counts);
        index_files_clear(&image);
}

static void test_empty(void **state)
{
        (void) state;
        struct index_image image = index_build(&(struct index_options){ .count = 0, .m = 4, .dimension = 1 });
        static const int32_t one = 1;
        struct index_metadata *m = metadata_of(&one, 1, 1); /* what up to 0.5.3 leave of an index with one element */
        struct label_counts counts;
        assert_int_equal(count(&image, m, &counts, NULL), 0);
        assert_int_equal(counts.total, 0);
        assert_int_equal(counts.missing_count, 1);
        assert_int_equal(counts.missing[0], 1);
        label_counts_clear(&counts);
        index_metadata_free(m);
        m = metadata_of(NULL, 0, 0);
        assert_true(index_fragmentation(m) == 0.0);
        index_metadata_free(m);
        index_files_clear(&image);
}

static void refuse_labels(uint32_t id, uint64_t label, const char *sentence)
{
        struct index_image image = index_build(&index_small);
        set_label(&image, id, label);
        struct label_counts counts = { .total = 77 };
        struct error e = { 0 };
        int r = count(&image, NULL, &counts, &e);
        if (r != -EILSEQ || strstr(e.text, sentence) == NULL)
                fail_msg("%d '%s' where '%s' is expected", r, e.text, sentence);
        assert_int_equal(counts.total, 77); /* untouched */
        index_files_clear(&image);
}

static void test_bad_labels(void **state)
{
        (void) state;
        refuse_labels(3, 0, "element 3 has label 0");
        refuse_labels(5, 0, "element 5 has label 0");
        refuse_labels(3, 20, "two elements have label 20");
        refuse_labels(10, 6, "two elements have label 6");
        refuse_labels(3, 6, "one deleted, have label 6");
}

static void test_cut(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        image.level0.len--;
        struct label_counts counts;
        assert_int_equal(count(&image, NULL, &counts, NULL), -EIO);
        bytes_set_int(&image.level0, 0, 999, 2);
        image.level0.len++;
        assert_int_equal(count(&image, NULL, &counts, NULL), -EILSEQ);
        index_files_clear(&image);
}

/* A hole that is as long as an index of four billion elements would be. */
static void test_hole(void **state)
{
        (void) state;
        struct index_image image = index_build(&index_small);
        bytes_set_int(&image.header, HEADER_COUNT, 1u << 28, 8);
        bytes_set_int(&image.header, HEADER_MAX_ELEMENTS, 1u << 28, 8);
        struct hnsw_header h = header_of(&image);
        CLEANUP(close)
        int fd = bytes_memfd(NULL, 0);
        assert_int_equal(ftruncate(fd, (off_t) ((1ull << 28) * h.record_size)), 0);
        struct label_counts counts;
        struct error e = { 0 };
        assert_int_equal(label_counts_read(fd, &h, NULL, NULL, NULL, &counts, &e), -EILSEQ);
        assert_non_null(strstr(e.text, "element 0 has label 0"));
        index_files_clear(&image);
}

/* ---- real directories ---- */

static int open_in(int dir, const char *name)
{
        struct error e = { 0 };
        int fd = file_open_regular(dir, name, NULL, &e);
        if (fd < 0)
                fail_msg("%s", e.text);
        return fd;
}

static void must(int r, const char *where, const struct error *e)
{
        if (r != 0)
                fail_msg("%s: %s", where, e->text);
}

/* Elements of the pickle that the index lacks are a known defect of releases up to 0.5.3, with a single element; nothing else differs. */
static void check_labels(const char *where, int level0, const struct hnsw_header *h, const struct index_metadata *m)
{
        struct error e = { 0 };
        struct label_counts counts;
        must(label_counts_read(level0, h, m, NULL, NULL, &counts, &e), where, &e);
        assert_int_equal(counts.active + counts.deleted, h->count);
        assert_int_equal(counts.orphan_count, 0);
        assert_true(counts.missing_count == 0 || (h->count == 0 && counts.missing_count == 1));
        assert_int_equal(counts.active + counts.missing_count, m->count);
        assert_true(m->total_elements_added >= h->count);
        label_counts_clear(&counts);
}

static void check_segment(const char *where, int dir)
{
        CLEANUP(close)
        int header = open_in(dir, "header.bin");
        CLEANUP(close)
        int level0 = open_in(dir, "data_level0.bin");
        CLEANUP(close)
        int lengths = open_in(dir, "length.bin");
        CLEANUP(close)
        int links = open_in(dir, "link_lists.bin");
        struct hnsw_header h;
        struct error e = { 0 };
        must(hnsw_header_read(header, &h, &e), where, &e);
        must(hnsw_level0_check(level0, &h, &e), where, &e);
        must(hnsw_length_check(lengths, &h, &e), where, &e);
        must(hnsw_link_lists_check(links, &h, &e), where, &e);
        if (faccessat(dir, "index_metadata.pickle", F_OK, 0) < 0) {
                assert_int_equal(h.count, 0);
                return;
        }
        CLEANUP(close)
        int pickle = open_in(dir, "index_metadata.pickle");
        CLEANUP(index_metadata_free)
        struct index_metadata *m = NULL;
        must(index_metadata_read(pickle, NULL, NULL, &m, &e), where, &e);
        check_labels(where, level0, &h, m);
}

/* Every directory of a persist directory that is named by a UUID and holds an index. */
static size_t check_persist_dir(const char *path)
{
        DIR *dir = opendir(path);
        size_t checked = 0;
        for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
                if (!uuid_valid(d->d_name))
                        continue;
                CLEANUP(close)
                int fd = file_open_dir(dirfd(dir), d->d_name, NULL);
                if (fd < 0 || faccessat(fd, "header.bin", F_OK, 0) < 0)
                        continue;
                char where[2048];
                (void) snprintf(where, sizeof(where), "%s/%s", path, d->d_name);
                check_segment(where, fd);
                checked++;
        }
        if (dir != NULL)
                (void) closedir(dir);
        return checked;
}

static void test_fixtures(void **state)
{
        (void) state;
        const char *root = getenv("CHROMAFS_FIXTURES");
        if (root == NULL) {
                skip();
                return; /* for the analyzer */
        }
        DIR *dir = opendir(root);
        assert_non_null(dir);
        size_t checked = 0;
        for (struct dirent *d; (d = readdir(dir)) != NULL;) {
                char path[1024];
                (void) snprintf(path, sizeof(path), "%s/%s/dir", root, d->d_name);
                if (strncmp(d->d_name, "chroma-", 7) == 0)
                        checked += check_persist_dir(path);
        }
        (void) closedir(dir);
        assert_true(checked > 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_known), cmocka_unit_test(test_differences), cmocka_unit_test(test_without_pickle),
                cmocka_unit_test(test_empty),     cmocka_unit_test(test_bad_labels),  cmocka_unit_test(test_cut),
                cmocka_unit_test(test_hole),      cmocka_unit_test(test_fixtures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
