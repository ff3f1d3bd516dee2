/*
 * The four binary files, as ops/hnsw_file.c and ops/hnsw_upper.c say what they look like: the array of records is data_level0.bin already, and the rest is small.
 *
 * length.bin has the norms of the original vectors where the space is cosine; elsewhere Chroma never sets or uses it, but it wants as many bytes: zeros.
 */
#include "ops/hnsw/save.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ops/hnsw/graph.h"
#include "ops/hnsw/save_file.h"
#include "ops/index_summary.h"

struct saving {
        const struct hnsw *h;
        uint64_t max_elements;
        uint64_t size[INDEX_PICKLE]; /* of each file */
};

/* Not h->upper_bytes: when an addition has failed that counts lists of elements that are not there. */
static uint64_t upper_size(const struct hnsw *h)
{
        uint64_t levels = 0;
        for (uint64_t id = 0; id < h->count; id++)
                levels += h->level[id];
        return 4 * h->count + levels * h->upper_size;
}

static int plan(const struct hnsw *h, const struct hnsw_save *how, struct saving *ret, struct error *e)
{
        struct saving s = { .h = h, .max_elements = how->max_elements == 0 ? h->count : how->max_elements };
        uint64_t rows = how->with_room ? s.max_elements : h->count;
        if (s.max_elements < h->count)
                return error_set(e, EINVAL, "an index of %llu elements has no room for %llu", (unsigned long long) s.max_elements,
                                 (unsigned long long) h->count);
        if (s.max_elements > UINT32_MAX)
                return error_set(e, EINVAL, "%llu elements are more than an index can have", (unsigned long long) s.max_elements);
        s.size[INDEX_HEADER] = HNSW_HEADER_SIZE;
        s.size[INDEX_LEVEL0] = rows * h->record_size; /* below 2^32 * 2^23 */
        s.size[INDEX_LENGTH] = rows * sizeof(float);
        s.size[INDEX_LINK_LISTS] = upper_size(h);
        *ret = s;
        return 0;
}

uint64_t hnsw_save_size(const struct hnsw *h, const struct hnsw_save *how)
{
        struct saving s = { 0 };
        uint64_t all = 0;
        if (plan(h, how, &s, NULL) < 0)
                return UINT64_MAX;
        for (int i = 0; i < INDEX_PICKLE; i++)
                all += s.size[i];
        return all;
}

/* --- header.bin --- */

static unsigned char *put32(unsigned char *p, uint32_t value)
{
        value = htole32(value);
        memcpy(p, &value, sizeof(value));
        return p + sizeof(value);
}

static unsigned char *put64(unsigned char *p, uint64_t value)
{
        value = htole64(value);
        memcpy(p, &value, sizeof(value));
        return p + sizeof(value);
}

static int put_header(const struct saving *s, struct save_file *f, struct error *e)
{
        const struct hnsw *h = s->h;
        unsigned char bytes[HNSW_HEADER_SIZE], *p = bytes;
        double factor = 1 / log((double) h->params.m);
        uint64_t mult;
        memcpy(&mult, &factor, sizeof(mult));
        p = put32(p, 1);
        p = put64(p, 0);
        p = put64(p, s->max_elements);
        p = put64(p, h->count);
        p = put64(p, h->record_size);
        p = put64(p, h->label_offset);
        p = put64(p, h->data_offset);
        p = put32(p, (uint32_t) h->max_level);
        p = put32(p, h->entry_point);
        p = put64(p, h->params.m);
        p = put64(p, 2 * (uint64_t) h->params.m);
        p = put64(p, h->params.m);
        p = put64(p, mult);
        (void) put64(p, h->params.ef_construction);
        return save_file_put(f, bytes, sizeof(bytes), e);
}

/* --- the others --- */

static int put_records(const struct saving *s, struct save_file *f, struct error *e)
{
        return save_file_put(f, s->h->records.bytes, (size_t) s->h->count * s->h->record_size, e);
}

static int put_lengths(const struct saving *s, struct save_file *f, struct error *e)
{
        return s->h->length == NULL ? 0 : save_file_put(f, s->h->length, (size_t) s->h->count * sizeof(float), e);
}

static int put_link_lists(const struct saving *s, struct save_file *f, struct error *e)
{
        const struct hnsw *h = s->h;
        for (uint64_t id = 0; id < h->count; id++) {
                size_t len = h->level[id] * h->upper_size;
                unsigned char size[4];
                (void) put32(size, (uint32_t) len);
                int r = save_file_put(f, size, sizeof(size), e);
                if (r == 0 && len > 0)
                        r = save_file_put(f, h->upper[id], len, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

typedef int put_fn(const struct saving *s, struct save_file *f, struct error *e);

static put_fn *const put_file[INDEX_PICKLE] = {
        [INDEX_HEADER] = put_header,
        [INDEX_LEVEL0] = put_records,
        [INDEX_LENGTH] = put_lengths,
        [INDEX_LINK_LISTS] = put_link_lists,
};

/* All are made and have their room before the first one gets its bytes. */
static int write_files(const struct saving *s, struct save_file files[INDEX_PICKLE], int dirfd, db_cancel_fn *cancelled,
                       void *context, struct error *e)
{
        int r = 0;
        for (int i = 0; i < INDEX_PICKLE && r == 0; i++) {
                r = save_file_open(&files[i], dirfd, index_file_names[i], cancelled, context, e);
                if (r == 0)
                        r = save_file_reserve(&files[i], s->size[i], e);
        }
        for (int i = 0; i < INDEX_PICKLE && r == 0; i++) {
                r = put_file[i](s, &files[i], e);
                if (r == 0)
                        r = save_file_finish(&files[i], e);
        }
        return r;
}

int hnsw_save(const struct hnsw *h, const struct hnsw_save *how, int dirfd, db_cancel_fn *cancelled, void *context, struct error *e)
{
        struct saving s;
        struct save_file files[INDEX_PICKLE] = { { .fd = -1 }, { .fd = -1 }, { .fd = -1 }, { .fd = -1 } };
        int r = plan(h, how, &s, e);
        if (r == 0)
                r = write_files(&s, files, dirfd, cancelled, context, e);
        for (int i = 0; i < INDEX_PICKLE; i++)
                save_file_close(&files[i]);
        return r;
}
