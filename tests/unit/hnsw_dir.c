#include "tests/unit/hnsw_dir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ops/index_summary.h"

void hnsw_dir_make(struct hnsw_dir *d)
{
        (void) snprintf(d->path, sizeof(d->path), "/tmp/chromafs-hnsw-XXXXXX");
        assert_non_null(mkdtemp(d->path));
        d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(d->fd >= 0);
}

void hnsw_dir_empty(const struct hnsw_dir *d)
{
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                (void) unlinkat(d->fd, index_file_names[i], 0);
}

void hnsw_dir_remove(struct hnsw_dir *d)
{
        hnsw_dir_empty(d);
        assert_int_equal(close(d->fd), 0);
        assert_int_equal(rmdir(d->path), 0);
}

void hnsw_dir_put(const struct hnsw_dir *d, const char *name, const struct byte_buffer *bytes)
{
        (void) unlinkat(d->fd, name, 0);
        int fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(bytes->len == 0 ? 0 : write(fd, bytes->data, bytes->len), (ssize_t) bytes->len);
        assert_int_equal(close(fd), 0);
}

void hnsw_dir_put_image(const struct hnsw_dir *d, const struct index_image *image)
{
        hnsw_dir_put(d, "header.bin", &image->header);
        hnsw_dir_put(d, "data_level0.bin", &image->level0);
        hnsw_dir_put(d, "length.bin", &image->lengths);
        hnsw_dir_put(d, "link_lists.bin", &image->link_lists);
}

struct byte_buffer hnsw_dir_get(const struct hnsw_dir *d, const char *name)
{
        struct byte_buffer b = { 0 };
        unsigned char part[4096];
        ssize_t n;
        int fd = openat(d->fd, name, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        while ((n = read(fd, part, sizeof(part))) > 0)
                bytes_put(&b, part, (size_t) n);
        assert_int_equal(n, 0);
        assert_int_equal(close(fd), 0);
        return b;
}

static float next_number(uint32_t *state)
{
        *state = *state * 1664525u + 1013904223u;
        return (float) (*state >> 8) / (float) (1u << 23) - 1.0f;
}

static void fill(float *vector, uint32_t dimension, uint32_t *state)
{
        for (uint32_t i = 0; i < dimension; i++)
                vector[i] = next_number(state);
}

struct hnsw *hnsw_small(enum hnsw_space space, uint32_t dimension, uint32_t m, uint32_t count)
{
        struct hnsw_params params = {
                .space = space, .dimension = dimension, .m = m, .ef_construction = 20, .exact = true, .stage_fd = -1
        };
        struct hnsw *index;
        struct error e;
        uint32_t state = 7;
        float *vector = malloc(dimension * sizeof(*vector));
        assert_non_null(vector);
        assert_int_equal(hnsw_new(&params, count + 3, &index, &e), 0);
        for (uint32_t i = 0; i < count; i++) {
                fill(vector, dimension, &state);
                struct hnsw_item item = { .label = 10 * ((uint64_t) i + 1), .vector = vector };
                assert_int_equal(hnsw_add(index, &item, 1, 1, NULL, NULL, &e), 0);
        }
        for (uint32_t i = 2; i < count; i += 5)
                assert_int_equal(hnsw_delete(index, 10 * ((uint64_t) i + 1), &e), 0);
        for (uint32_t i = 0; i < count; i += 9) {
                fill(vector, dimension, &state);
                assert_int_equal(hnsw_update(index, 10 * ((uint64_t) i + 1), vector, &e), 0);
        }
        free(vector);
        return index;
}

struct hnsw *hnsw_dir_load(const struct hnsw_dir *d, enum hnsw_space space)
{
        struct hnsw *index;
        struct error e = { 0 };
        if (hnsw_load(d->fd, &(struct hnsw_params){ .space = space, .exact = true, .stage_fd = -1 }, 0, NULL, NULL, &index, &e) < 0)
                fail_msg("%s", e.text);
        return index;
}

static void assert_same_element(const struct hnsw *a, const struct hnsw *b, uint32_t id)
{
        assert_int_equal(hnsw_label(a, id), hnsw_label(b, id));
        assert_int_equal(hnsw_is_deleted(a, id), hnsw_is_deleted(b, id));
        assert_int_equal(hnsw_find(b, hnsw_label(a, id)), id);
        assert_memory_equal(hnsw_vector(a, id), hnsw_vector(b, id), hnsw_info(a).params.dimension * sizeof(float));
        float x = hnsw_length(a, id), y = hnsw_length(b, id);
        assert_memory_equal(&x, &y, sizeof(x));
        for (int level = 0;; level++) {
                uint32_t n, k;
                const uint32_t *links = hnsw_links(a, id, level, &n), *others = hnsw_links(b, id, level, &k);
                assert_int_equal(links == NULL, others == NULL);
                if (links == NULL)
                        return;
                assert_int_equal(n, k);
                assert_memory_equal(links, others, n * sizeof(*links));
        }
}

void hnsw_assert_same(const struct hnsw *a, const struct hnsw *b)
{
        struct hnsw_info x = hnsw_info(a), y = hnsw_info(b);
        assert_int_equal(x.count, y.count);
        assert_int_equal(x.deleted, y.deleted);
        assert_int_equal(x.max_level, y.max_level);
        assert_int_equal(x.entry_point, y.entry_point);
        assert_int_equal(x.record_size, y.record_size);
        assert_int_equal(x.upper_bytes, y.upper_bytes);
        assert_int_equal(x.params.m, y.params.m);
        assert_int_equal(x.params.dimension, y.params.dimension);
        assert_int_equal(x.params.ef_construction, y.params.ef_construction);
        for (uint32_t id = 0; id < x.count; id++)
                assert_same_element(a, b, id);
}
