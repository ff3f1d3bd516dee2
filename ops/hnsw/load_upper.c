/*
 * link_lists.bin (see ops/hnsw_upper.c for its form): read once, in pieces; an element's lists are copied to where they stay as soon as its size is seen to be possible. A link may
 * lead to a later element, so the links are checked when all levels are known, in memory.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "ops/file.h"
#include "ops/hnsw/load_parts.h"

#define FILE_NAME "link_lists.bin"
#define PIECE_SIZE ((size_t) 256 << 10)
#define IDS_PER_ASK 16384u

struct reader {
        int fd;
        uint64_t size, offset; /* of the file; of the next byte that is to be read into the piece */
        unsigned char *piece;  /* PIECE_SIZE bytes */
        size_t used, len;      /* of the piece */
};

static uint64_t reader_left(const struct reader *r)
{
        return r->size - r->offset + (r->len - r->used);
}

/* The next n bytes, of which the file has as many left. */
static int reader_take(struct reader *r, unsigned char *bytes, size_t n, struct error *e)
{
        while (n > 0) {
                if (r->used == r->len) {
                        uint64_t left = r->size - r->offset;
                        size_t len = left < PIECE_SIZE ? (size_t) left : PIECE_SIZE;
                        int code = file_pread_exact(r->fd, r->piece, len, r->offset, FILE_NAME, e);
                        if (code < 0)
                                return code;
                        r->offset += len;
                        r->len = len;
                        r->used = 0;
                }
                size_t part = n < r->len - r->used ? n : r->len - r->used;
                memcpy(bytes, r->piece + r->used, part);
                r->used += part;
                bytes += part;
                n -= part;
        }
        return 0;
}

/* --- levels --- */

static int load_entry(struct loading *l, struct reader *r, uint32_t id, struct error *e)
{
        struct hnsw *h = l->h;
        uint32_t size;
        if (reader_left(r) < sizeof(size))
                return error_set(e, EIO, FILE_NAME " ends before the entry of element %u", id);
        int code = reader_take(r, (unsigned char *) &size, sizeof(size), e);
        if (code < 0 || size == 0)
                return code;
        if (size % h->upper_size != 0 || size / h->upper_size > (size_t) l->header.max_level)
                return error_set(e, EILSEQ, FILE_NAME ": the entry of element %u has %u bytes, not 0 to %d times %zu", id, size,
                                 l->header.max_level, h->upper_size);
        if (size > reader_left(r))
                return error_set(e, EIO, FILE_NAME " ends within the entry of element %u", id);
        h->upper[id] = upper_add(h, size);
        if (h->upper[id] == NULL)
                return error_set(e, ENOMEM, "no memory for the lists of an index");
        h->level[id] = (uint8_t) (size / h->upper_size);
        return reader_take(r, h->upper[id], size, e);
}

static int load_entries(struct loading *l, struct reader *r, struct error *e)
{
        int highest = 0;
        for (uint32_t id = 0; id < l->header.count; id++) {
                int code = id % IDS_PER_ASK == IDS_PER_ASK - 1 ? load_ask(l, e) : 0;
                if (code == 0)
                        code = load_entry(l, r, id, e);
                if (code < 0)
                        return code;
                highest = l->h->level[id] > highest ? l->h->level[id] : highest;
        }
        if (reader_left(r) > 0)
                return error_set(e, EILSEQ, FILE_NAME " goes on for %llu bytes behind its last entry",
                                 (unsigned long long) reader_left(r));
        if (l->header.count == 0)
                return 0;
        if (highest != l->header.max_level)
                return error_set(e, EILSEQ, FILE_NAME ": the highest level is %d, header.bin says %d", highest,
                                 l->header.max_level);
        if (l->h->level[l->header.entry_point] != highest)
                return error_set(e, EILSEQ, FILE_NAME ": entry point %u is on level %u, not %d", l->header.entry_point,
                                 l->h->level[l->header.entry_point], highest);
        return 0;
}

/* --- links --- */

static int check_list(const struct loading *l, uint32_t id, int level, struct error *e)
{
        const struct hnsw *h = l->h;
        const struct list *list = list_of(h, id, level);
        const unsigned char *links = (const unsigned char *) list->links;
        if (list->count > h->params.m || list->flags != 0 || list->zero != 0)
                return error_set(e, EILSEQ, FILE_NAME ": element %u has 0x%x for its number of links on level %d, more than %u", id,
                                 hnsw_link((const unsigned char *) list, 0), level, h->params.m);
        struct hnsw_faults faults = { .e = e };
        int r = hnsw_links_check(links, list->count, id, l->header.count, FILE_NAME, &faults);
        if (r == 0)
                r = hnsw_links_unique(l->links, links, list->count, id, FILE_NAME, &faults);
        for (uint16_t i = 0; r == 0 && i < list->count; i++) {
                if (h->level[list->links[i]] < level)
                        r = error_set(e, EILSEQ, FILE_NAME ": element %u links on level %d to element %u, which is not there", id,
                                      level, list->links[i]);
        }
        return r;
}

static int check_lists(const struct loading *l, struct error *e)
{
        int r = 0;
        for (uint32_t id = 0; r == 0 && id < l->header.count; id++) {
                if (id % IDS_PER_ASK == IDS_PER_ASK - 1)
                        r = load_ask(l, e);
                for (int level = 1; r == 0 && level <= l->h->level[id]; level++)
                        r = check_list(l, id, level, e);
        }
        return r;
}

/* A file with holes can claim any size, and all of it would be memory. */
static int check_size(const struct loading *l, uint64_t size, struct error *e)
{
        struct sysinfo info;
        if (size < 4 * l->header.count)
                return error_set(e, EIO, FILE_NAME " has %llu bytes, its elements need %llu", (unsigned long long) size,
                                 (unsigned long long) (4 * l->header.count));
        if (sysinfo(&info) == 0 && size > (uint64_t) (info.totalram + info.totalswap) * info.mem_unit)
                return error_set(e, ENOMEM, FILE_NAME " has %llu bytes, more than the machine has memory",
                                 (unsigned long long) size);
        return 0;
}

int load_upper(struct loading *l, int fd, struct error *e)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return error_set(e, errno, FILE_NAME " can't be examined: %s", strerror(errno));
        struct reader reader = { .fd = fd, .size = (uint64_t) st.st_size };
        int r = check_size(l, reader.size, e);
        if (r < 0)
                return r;
        CLEANUP(free)
        unsigned char *piece = reader.piece = malloc(PIECE_SIZE);
        if (piece == NULL)
                return error_set(e, ENOMEM, "no memory to read " FILE_NAME);
        r = load_entries(l, &reader, e);
        return r < 0 ? r : check_lists(l, e);
}
