/*
 * link_lists.bin: the links of the levels above 0, one entry for each element in the order of internal ids.
 *
 *   u32 bytes, that many bytes follow: level * (4M+4), 0 for an element of level 0 only
 *   for each level from 1:  u16 number of links, at most M; u16 0; u32 links[M], those behind the number are stale
 *
 * Valid when every size is a whole number of levels, not above the header's highest; when the highest level is reached, by the entry
 * point too; when a link on a level leads to another element that is on that level, and to none twice; and when the last of N entries
 * ends where the file ends. Chroma itself does not check any of it: a file that was cut gives it undefined levels.
 *
 * A link may lead to a later element, so the file is walked twice: first for the levels, one byte for each element (header.bin's highest
 * level is below 63), then for the links. N entries of a possible size bound the walk, whatever size a hostile file claims to have, and
 * only the valid part of each list is looked at.
 */
#include "ops/hnsw_file.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ops/cleanup.h"
#include "ops/file.h"
#include "ops/hnsw_links.h"

#define FILE_NAME "link_lists.bin"

/* At least one list of the largest M, 131072 bytes. */
#define PIECE_SIZE ((size_t) 256 << 10)

struct walk {
        int fd;
        const struct hnsw_header *header;
        uint64_t size, offset;       /* of the file; of the next byte to take */
        uint64_t piece_at;           /* offset in the file of piece[0] */
        size_t piece_len;            /* bytes that piece holds */
        unsigned char *piece;        /* PIECE_SIZE bytes */
        unsigned char *levels;       /* N of them */
        struct hnsw_link_set *links; /* for the search for doubles */
        hnsw_upper_fn *fn;           /* may be NULL */
        void *context;
        struct hnsw_faults *f;
};

/* What ends the walk: nothing is known of what comes behind. */
static int ends_within(struct walk *w, uint32_t id)
{
        return error_set(hnsw_fault(w->f, HNSW_SIZE, id), EIO, FILE_NAME " ends within the entry of element %u", id);
}

static size_t list_size(const struct hnsw_header *h)
{
        return 4 * (size_t) h->m + 4;
}

/* The next n bytes, at most PIECE_SIZE, which stay valid until the next call. NULL with a sentence, and *ret_r its code. */
static const unsigned char *walk_take(struct walk *w, size_t n, uint32_t id, int *ret_r)
{
        if (n > w->size - w->offset) {
                *ret_r = ends_within(w, id);
                return NULL;
        }
        if (w->offset < w->piece_at || w->offset + n > w->piece_at + w->piece_len) {
                size_t len = w->size - w->offset < PIECE_SIZE ? (size_t) (w->size - w->offset) : PIECE_SIZE;
                struct error failure;
                if (file_pread_exact(w->fd, w->piece, len, w->offset, FILE_NAME, &failure) < 0) {
                        *ret_r = hnsw_fault_read(w->f, &failure);
                        return NULL;
                }
                w->piece_at = w->offset;
                w->piece_len = len;
        }
        const unsigned char *p = w->piece + (w->offset - w->piece_at);
        w->offset += n;
        return p;
}

/* The size field of an entry; *ret_level is the number of lists that follow, which are known to be within the file. */
static int walk_entry(struct walk *w, uint32_t id, uint32_t *ret_level)
{
        int r = 0;
        const unsigned char *p = walk_take(w, 4, id, &r);
        if (p == NULL)
                return r;
        uint32_t bytes = hnsw_link(p, 0);
        size_t list = list_size(w->header);
        if (bytes % list != 0 || bytes / list > (size_t) w->header->max_level)
                return error_set(hnsw_fault(w->f, bytes % list != 0 ? HNSW_SIZE : HNSW_LEVEL, id), EILSEQ,
                                 FILE_NAME ": the entry of element %u has %u bytes, not 0 to %d times %zu", id, bytes,
                                 w->header->max_level, list);
        if (bytes > w->size - w->offset)
                return ends_within(w, id);
        *ret_level = (uint32_t) (bytes / list);
        return 0;
}

static int check_highest(struct walk *w, uint32_t highest)
{
        const struct hnsw_header *h = w->header;
        int r = 0;
        if (highest != (uint32_t) h->max_level)
                r = error_set(hnsw_fault(w->f, HNSW_LEVEL, HNSW_NOWHERE), EILSEQ,
                              FILE_NAME ": the highest level is %u, header.bin says %d", highest, h->max_level);
        else if (w->levels[h->entry_point] != highest)
                r = error_set(hnsw_fault(w->f, HNSW_LEVEL, h->entry_point), EILSEQ,
                              FILE_NAME ": entry point %u is on level %u, not %u", h->entry_point, w->levels[h->entry_point],
                              highest);
        return hnsw_fault_code(w->f, r);
}

/* First walk: fills levels, which are all 0 before. */
static int read_levels(struct walk *w)
{
        uint32_t highest = 0;
        for (uint32_t id = 0; id < w->header->count; id++) {
                uint32_t level = 0;
                int r = walk_entry(w, id, &level);
                if (r < 0)
                        return r;
                w->offset += level * list_size(w->header);
                if (level > 0) /* a page of zeros that nobody writes to costs no memory */
                        w->levels[id] = (unsigned char) level;
                highest = level > highest ? level : highest;
        }
        int r = 0;
        if (w->offset != w->size)
                r = hnsw_fault_code(w->f, error_set(hnsw_fault(w->f, HNSW_SIZE, HNSW_NOWHERE), EILSEQ,
                                                    FILE_NAME " goes on for %llu bytes behind its last entry",
                                                    (unsigned long long) (w->size - w->offset)));
        return r == 0 && w->header->count > 0 ? check_highest(w, highest) : r;
}

/* Each link leads to an element that is on the level. */
static int check_levels(struct walk *w, const unsigned char *links, uint32_t count, uint32_t id, uint32_t level)
{
        int r = 0;
        for (uint32_t i = 0; r == 0 && i < count; i++) {
                uint32_t to = hnsw_link(links, i);
                if (to < w->header->count && w->levels[to] < level)
                        r = hnsw_fault_code(w->f, error_set(hnsw_fault(w->f, HNSW_LINK_LEVEL, id), EILSEQ,
                                                            FILE_NAME ": element %u links on level %u to element %u, which is not "
                                                                      "there",
                                                            id, level, to));
        }
        return r;
}

static int check_list(struct walk *w, const unsigned char *list, uint32_t id, uint32_t level)
{
        uint32_t count = hnsw_link(list, 0);
        const unsigned char *links = list + 4;
        int r = 0;
        if (count > w->header->m) {
                r = error_set(hnsw_fault(w->f, HNSW_LIST, id), EILSEQ,
                              FILE_NAME ": element %u has 0x%x for its number of links on level %u, more than %llu", id, count,
                              level, (unsigned long long) w->header->m);
                r = hnsw_fault_code(w->f, r);
                count = 0;
        }
        if (r == 0)
                r = hnsw_links_check(links, count, id, w->header->count, FILE_NAME, w->f);
        if (r == 0)
                r = hnsw_links_unique(w->links, links, count, id, FILE_NAME, w->f);
        if (r == 0)
                r = check_levels(w, links, count, id, level);
        if (r == 0 && w->fn != NULL)
                r = w->fn(w->context, id, level, count, links);
        return r;
}

static int check_entry(struct walk *w, uint32_t id)
{
        uint32_t levels = 0;
        int r = walk_entry(w, id, &levels);
        if (r == 0 && levels != w->levels[id])
                r = error_set(hnsw_fault(w->f, HNSW_FILE, HNSW_NOWHERE), EIO, FILE_NAME " changed while it was read");
        for (uint32_t level = 1; r == 0 && level <= levels; level++) {
                const unsigned char *list = walk_take(w, list_size(w->header), id, &r);
                if (list != NULL)
                        r = check_list(w, list, id, level);
        }
        return r;
}

/* Second walk. */
static int check_entries(struct walk *w)
{
        w->offset = 0;
        int r = 0;
        for (uint32_t id = 0; r == 0 && id < w->header->count; id++)
                r = check_entry(w, id);
        return r;
}

/* What can be said of the size before a byte is read: it bounds the memory for the levels, and the walk. */
static int check_size(const struct hnsw_header *h, uint64_t size, struct hnsw_faults *f)
{
        uint64_t n = h->count;
        if (n > 0 && h->max_level < 0)
                return error_set(hnsw_fault(f, HNSW_LEVEL, HNSW_NOWHERE), EILSEQ,
                                 FILE_NAME ": elements without a level, which is what M = 1 leads to");
        uint64_t levels = n == 0 ? 0 : (uint64_t) h->max_level;
        uint64_t most = n * (4 + levels * list_size(h)); /* below 2^32 * 2^23 */
        if (size < 4 * n)
                return error_set(hnsw_fault(f, HNSW_SIZE, HNSW_NOWHERE), EIO, FILE_NAME " has %llu bytes, its elements need %llu",
                                 (unsigned long long) size, (unsigned long long) (4 * n));
        if (size > most)
                return error_set(hnsw_fault(f, HNSW_SIZE, HNSW_NOWHERE), EILSEQ,
                                 FILE_NAME " has %llu bytes, its elements can't need more than %llu", (unsigned long long) size,
                                 (unsigned long long) most);
        return 0;
}

static int size_of(int fd, uint64_t *ret, struct hnsw_faults *f)
{
        struct stat st;
        if (fstat(fd, &st) < 0) {
                int err = errno;
                struct error failure;
                (void) error_set(&failure, err, FILE_NAME " can't be examined: %s", strerror(err));
                return hnsw_fault_read(f, &failure);
        }
        *ret = (uint64_t) st.st_size;
        return 0;
}

int hnsw_link_lists_size_check(int fd, const struct hnsw_header *header, struct hnsw_faults *f)
{
        uint64_t size = 0;
        int r = size_of(fd, &size, f);
        return r < 0 ? r : check_size(header, size, f);
}

int hnsw_link_lists_read(int fd, const struct hnsw_header *header, unsigned char *levels, hnsw_upper_fn *fn, void *context,
                         struct hnsw_faults *f)
{
        struct walk w = { .fd = fd, .header = header, .levels = levels, .fn = fn, .context = context, .f = f };
        int r = size_of(fd, &w.size, f);
        if (r == 0)
                r = check_size(header, w.size, f);
        if (r < 0 || header->count == 0)
                return r;
        CLEANUP(free)
        unsigned char *piece = malloc(PIECE_SIZE);
        CLEANUP(hnsw_link_set_free)
        struct hnsw_link_set *links = hnsw_link_set_new(header->m);
        if (piece == NULL || links == NULL)
                return error_set(f->e, ENOMEM, "no memory to check " FILE_NAME);
        w.piece = piece;
        w.links = links;
        r = read_levels(&w);
        return r < 0 ? r : check_entries(&w);
}

int hnsw_link_lists_check(int fd, const struct hnsw_header *header, struct error *e)
{
        struct hnsw_faults f = { .e = e };
        int r = hnsw_link_lists_size_check(fd, header, &f);
        if (r < 0 || header->count == 0)
                return r;
        CLEANUP(free)
        unsigned char *levels = calloc((size_t) header->count, 1);
        if (levels == NULL)
                return error_set(e, ENOMEM, "no memory to check " FILE_NAME);
        return hnsw_link_lists_read(fd, header, levels, NULL, NULL, &f);
}
