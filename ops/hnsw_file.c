/*
 * header.bin and data_level0.bin, and the size of length.bin. All little-endian, packed.
 *
 *   header.bin                                      a record of data_level0.bin, number i at i*S
 *    0 i32 version, 1                               0          u16 number of links, at most 2M
 *    4 u64 offset of the links in a record, 0       2          u8 bit 0: deleted; u8 0
 *   12 u64 capacity in elements                     4          u32 links[2M]; those behind the number are stale
 *   20 u64 N, elements in use, deleted included     8M+4       f32 vector[dimension]
 *   28 u64 S, bytes of a record                     8M+4+4*dim u64 label
 *   36 u64 offset of the label in a record
 *   44 u64 offset of the vector in a record
 *   52 i32 highest level, -1 when empty             An element's internal id is the number of its record. Elements never go away: a
 *   56 u32 entry point, 2^32-1 when empty           deleted one is only marked, and still leads searches to others.
 *   60 u64 maxM = M, 68 u64 maxM0 = 2M, 76 u64 M
 *   84 f64 1/ln(M), 92 u64 ef_construction, at least M
 *
 * So all sizes follow from M and the dimension, and a header that says anything else was damaged. Limits, so that no size overflows and
 * one record fits into memory easily:
 *   - M is 1 to 32767: the number of links, up to 2M, is stored in 16 bits.
 *   - the dimension is 1 to 2^20, some hundred times that of the largest models: a record is below 5 MiB.
 *   - N is below 2^32 - 1, since internal ids are 32 bits and the last one means none.
 *   - the highest level is at most -ln(2^-62)/ln(M): it is drawn as -ln(u)/ln(M), and u is made of two numbers of 31 bits.
 *   - M = 1 divides by ln(1) = 0. The Python releases fail at the first element; 1.x goes on with infinity for the factor and the least
 *     integer for each level, and a link_lists.bin that was cut. Its vectors and labels are good, so it is read up to there.
 *
 * data_level0.bin is as long as the capacity once was or longer, and what is behind N records is garbage.
 */
#include "ops/hnsw_file.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "ops/cleanup.h"
#include "ops/file.h"
#include "ops/index_fit.h"
#include "ops/hnsw_links.h"

#define M_MIN 1u
#define M_MAX 32767u
#define DIMENSION_MAX (1u << 20)
#define LEVEL_ENTROPY 42.98 /* 62 * ln(2), rounded up */
#define PIECE_SIZE ((size_t) 512 << 10)

/* ---- header.bin ---- */

static uint32_t get32(const unsigned char *p)
{
        uint32_t value;
        memcpy(&value, p, sizeof(value));
        return le32toh(value);
}

static uint64_t get64(const unsigned char *p)
{
        uint64_t value;
        memcpy(&value, p, sizeof(value));
        return le64toh(value);
}

static int wrong(struct error *e, const char *what, uint64_t value, uint64_t expected)
{
        return error_set(e, EILSEQ, "header.bin: %s is %llu where %llu belongs", what, (unsigned long long) value,
                         (unsigned long long) expected);
}

static int out_of_range(struct error *e, const char *what, uint64_t value, uint64_t low, uint64_t high)
{
        return error_set(e, EILSEQ, "header.bin: %s is %llu, which is not between %llu and %llu", what, (unsigned long long) value,
                         (unsigned long long) low, (unsigned long long) high);
}

static int check_m(const unsigned char *bytes, const struct hnsw_header *h, struct error *e)
{
        if (h->m < M_MIN || h->m > M_MAX)
                return out_of_range(e, "M", h->m, M_MIN, M_MAX);
        if (get64(bytes + 60) != h->m)
                return wrong(e, "maxM", get64(bytes + 60), h->m);
        if (get64(bytes + 68) != 2 * h->m)
                return wrong(e, "maxM0", get64(bytes + 68), 2 * h->m);
        double expected = 1 / log((double) h->m);
        if (h->mult != expected && !(fabs(h->mult - expected) < 1e-9)) /* so that NaN is wrong and infinity can be right */
                return error_set(e, EILSEQ, "header.bin: the level factor is %g where %g belongs", h->mult, expected);
        if (h->ef_construction < h->m)
                return out_of_range(e, "ef_construction", h->ef_construction, h->m, UINT64_MAX);
        return 0;
}

static int check_sizes(struct hnsw_header *h, struct error *e)
{
        if (h->data_offset != 8 * h->m + 4)
                return wrong(e, "the vector's offset", h->data_offset, 8 * h->m + 4);
        uint64_t highest = h->data_offset + 4 * (uint64_t) DIMENSION_MAX;
        if (h->label_offset < h->data_offset + 4 || h->label_offset > highest || h->label_offset % 4 != 0)
                return out_of_range(e, "the label's offset", h->label_offset, h->data_offset + 4, highest);
        if (h->record_size != h->label_offset + 8)
                return wrong(e, "the record size", h->record_size, h->label_offset + 8);
        h->dimension = (uint32_t) ((h->label_offset - h->data_offset) / 4);
        return 0;
}

static int check_counts(const struct hnsw_header *h, struct error *e)
{
        if (h->count >= UINT32_MAX)
                return out_of_range(e, "the number of elements", h->count, 0, UINT32_MAX - 1);
        if (h->count > h->max_elements)
                return out_of_range(e, "the number of elements", h->count, 0, h->max_elements);
        if (h->count == 0) {
                if (h->entry_point != HNSW_NO_ENTRY_POINT || h->max_level != -1)
                        return error_set(e, EILSEQ, "header.bin: no elements, but entry point %u and level %d", h->entry_point,
                                         h->max_level);
                return 0;
        }
        if (h->entry_point >= h->count)
                return out_of_range(e, "the entry point", h->entry_point, 0, h->count - 1);
        if (h->m == 1 && h->max_level == INT32_MIN)
                return 0;
        int highest = h->m == 1 ? 0 : (int) (LEVEL_ENTROPY / log((double) h->m));
        if (h->max_level < 0 || h->max_level > highest)
                return error_set(e, EILSEQ, "header.bin: the highest level is %d, which is not between 0 and %d", h->max_level,
                                 highest);
        return 0;
}

static struct hnsw_header header_fields(const unsigned char *bytes)
{
        struct hnsw_header h = {
                .max_elements = get64(bytes + 12),
                .count = get64(bytes + 20),
                .record_size = get64(bytes + 28),
                .label_offset = get64(bytes + 36),
                .data_offset = get64(bytes + 44),
                .max_level = (int32_t) get32(bytes + 52),
                .entry_point = get32(bytes + 56),
                .m = get64(bytes + 76),
                .ef_construction = get64(bytes + 92),
        };
        uint64_t mult = get64(bytes + 84);
        memcpy(&h.mult, &mult, sizeof(h.mult));
        return h;
}

int hnsw_header_decode(const unsigned char bytes[HNSW_HEADER_SIZE], struct hnsw_header *ret, struct error *e)
{
        if (get32(bytes) != 1)
                return wrong(e, "the persistence version", get32(bytes), 1);
        if (get64(bytes + 4) != 0)
                return wrong(e, "the links' offset", get64(bytes + 4), 0);
        struct hnsw_header h = header_fields(bytes);
        int r = check_m(bytes, &h, e);
        if (r == 0)
                r = check_sizes(&h, e);
        if (r == 0)
                r = check_counts(&h, e);
        if (r < 0)
                return r;
        *ret = h;
        return 0;
}

static int file_size(int fd, const char *name, uint64_t *ret, struct error *e)
{
        struct stat st;
        if (fstat(fd, &st) < 0) {
                int err = errno;
                return error_set(e, err, "%s can't be examined: %s", name, strerror(err));
        }
        *ret = (uint64_t) st.st_size;
        return 0;
}

int hnsw_header_read(int fd, struct hnsw_header *ret, struct error *e)
{
        uint64_t size = 0;
        int r = file_size(fd, "header.bin", &size, e);
        if (r < 0)
                return r;
        if (size > HNSW_HEADER_SIZE)
                return error_set(e, EILSEQ, "header.bin has %llu bytes, more than %u", (unsigned long long) size, HNSW_HEADER_SIZE);
        unsigned char bytes[HNSW_HEADER_SIZE];
        r = file_pread_exact(fd, bytes, sizeof(bytes), 0, "header.bin", e);
        return r < 0 ? r : hnsw_header_decode(bytes, ret, e);
}

/* ---- sizes ---- */

int hnsw_fault_read(struct hnsw_faults *f, const struct error *failure)
{
        bool ours = index_is_ours(failure->code);
        return error_set(ours ? f->e : hnsw_fault(f, HNSW_FILE, HNSW_NOWHERE), -failure->code, "%s", failure->text);
}

static int need_size(int fd, const char *name, uint64_t need, struct hnsw_faults *f)
{
        uint64_t size = 0;
        struct error failure;
        if (file_size(fd, name, &size, &failure) < 0)
                return hnsw_fault_read(f, &failure);
        if (size < need)
                return error_set(hnsw_fault(f, HNSW_SIZE, HNSW_NOWHERE), EIO, "%s has %llu bytes, its elements need %llu", name,
                                 (unsigned long long) size, (unsigned long long) need);
        return 0;
}

int hnsw_length_read(int fd, const struct hnsw_header *header, struct hnsw_faults *f)
{
        return need_size(fd, "length.bin", 4 * header->count, f);
}

int hnsw_length_check(int fd, const struct hnsw_header *header, struct error *e)
{
        return hnsw_length_read(fd, header, &(struct hnsw_faults){ .e = e });
}

int hnsw_level0_size(int fd, const struct hnsw_header *header, struct hnsw_faults *f)
{
        return need_size(fd, "data_level0.bin", header->count * header->record_size, f);
}

int hnsw_level0_size_check(int fd, const struct hnsw_header *header, struct error *e)
{
        return hnsw_level0_size(fd, header, &(struct hnsw_faults){ .e = e });
}

/* ---- data_level0.bin ---- */

struct scan {
        int fd;
        const struct hnsw_header *header;
        struct hnsw_link_set *set; /* may be NULL */
        hnsw_record_fn *fn;
        void *context;
        struct hnsw_faults *f;
};

/* Two bytes count the links, the third has the deleted mark. */
static int check_head(const struct scan *s, uint32_t head, struct hnsw_record *record)
{
        uint32_t id = record->internal_id;
        int r = 0;
        if (record->link_count > 2 * s->header->m) {
                r = error_set(hnsw_fault(s->f, HNSW_LIST, id), EILSEQ, "data_level0.bin: element %u has %u links, more than %llu",
                              id, record->link_count, (unsigned long long) (2 * s->header->m));
                record->link_count = 0;
        } else if ((head & 0xfffe0000u) != 0) {
                r = error_set(hnsw_fault(s->f, HNSW_LIST, id), EILSEQ,
                              "data_level0.bin: element %u has marks 0x%04x, where only bit 0 has a meaning", id, head >> 16);
        }
        return hnsw_fault_code(s->f, r);
}

static int record_decode(const struct scan *s, const unsigned char *bytes, uint32_t id, struct hnsw_record *ret)
{
        uint32_t head = get32(bytes);
        ret->internal_id = id;
        ret->deleted = (head & 0x10000u) != 0;
        ret->label = get64(bytes + s->header->label_offset);
        ret->link_count = (uint16_t) head;
        ret->links = bytes + 4;
        ret->vector = bytes + s->header->data_offset;
        int r = check_head(s, head, ret);
        if (r == 0)
                r = hnsw_links_check(ret->links, ret->link_count, id, s->header->count, "data_level0.bin", s->f);
        if (r == 0 && s->set != NULL)
                r = hnsw_links_unique(s->set, ret->links, ret->link_count, id, "data_level0.bin", s->f);
        return r;
}

int hnsw_record_decode(const unsigned char *bytes, uint32_t id, const struct hnsw_header *header, struct hnsw_record *ret,
                       struct error *e)
{
        struct hnsw_faults faults = { .e = e };
        struct scan s = { .header = header, .f = &faults };
        return record_decode(&s, bytes, id, ret);
}

/* Records [first .. first + n) of a piece that was read. */
static int scan_piece(const struct scan *s, const unsigned char *piece, uint32_t first, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                struct hnsw_record record;
                int r = record_decode(s, piece + i * s->header->record_size, first + (uint32_t) i, &record);
                if (r == 0)
                        r = s->fn(s->context, &record);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int scan_pieces(const struct scan *s, unsigned char *piece, size_t per_piece)
{
        size_t record_size = (size_t) s->header->record_size;
        for (uint64_t first = 0; first < s->header->count; first += per_piece) {
                size_t n = s->header->count - first < per_piece ? (size_t) (s->header->count - first) : per_piece;
                struct error failure;
                if (file_pread_exact(s->fd, piece, n * record_size, first * record_size, "data_level0.bin", &failure) < 0)
                        return hnsw_fault_read(s->f, &failure);
                int r = scan_piece(s, piece, (uint32_t) first, n);
                if (r != 0)
                        return r;
        }
        return 0;
}

int hnsw_level0_read(int fd, const struct hnsw_header *header, struct hnsw_link_set *set, hnsw_record_fn *fn, void *context,
                     struct hnsw_faults *f)
{
        int r = hnsw_level0_size(fd, header, f);
        if (r < 0 || header->count == 0)
                return r;
        size_t record_size = (size_t) header->record_size; /* below 5 MiB: see check_sizes */
        size_t per_piece = record_size < PIECE_SIZE ? PIECE_SIZE / record_size : 1;
        if (per_piece > header->count)
                per_piece = (size_t) header->count;
        CLEANUP(free)
        /* The analyzer takes a count of 0 for possible, which was answered above. */
        unsigned char *piece = malloc(per_piece * record_size); /* NOLINT(clang-analyzer-optin.portability.UnixAPI,unix.Malloc) */
        if (piece == NULL)
                return error_set(f->e, ENOMEM, "no memory for a piece of data_level0.bin");
        const struct scan s = { .fd = fd, .header = header, .set = set, .fn = fn, .context = context, .f = f };
        return scan_pieces(&s, piece, per_piece);
}

int hnsw_level0_scan(int fd, const struct hnsw_header *header, hnsw_record_fn *fn, void *context, struct error *e)
{
        return hnsw_level0_read(fd, header, NULL, fn, context, &(struct hnsw_faults){ .e = e });
}

static int take_any(void *context, const struct hnsw_record *record)
{
        (void) context, (void) record;
        return 0;
}

int hnsw_level0_check(int fd, const struct hnsw_header *header, struct error *e)
{
        CLEANUP(hnsw_link_set_free)
        struct hnsw_link_set *set = hnsw_link_set_new(2 * header->m);
        if (set == NULL)
                return error_set(e, ENOMEM, "no memory to check data_level0.bin");
        return hnsw_level0_read(fd, header, set, take_any, NULL, &(struct hnsw_faults){ .e = e });
}
