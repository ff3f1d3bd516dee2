/*
 * Loading: the records are read to where they stay, a piece at a time, and each piece is checked while it is in the processor's cache; so one pass over the bytes does
 * it all. Nothing is allocated by a count before the files were seen to have the bytes for it.
 *
 * The files may be a stranger's, and another process may write to them: they are read with pread, never mapped, and their stamps must be the same at the end as when they
 * were opened. Damage that was found meanwhile is then no damage but -EAGAIN.
 */
#include <errno.h>
#include <string.h>

#include "ops/file.h"
#include "ops/hnsw/load_parts.h"
#include "ops/index_summary.h"

#define PIECE_SIZE ((size_t) 512 << 10)

struct files {
        int dirfd;
        int fd[INDEX_PICKLE]; /* those before the pickle */
        struct file_stamp stamps[INDEX_PICKLE];
};

static void files_close(struct files *f)
{
        for (int i = 0; i < INDEX_PICKLE; i++)
                close_cleanup(&f->fd[i]);
}

static int files_open(int dirfd, struct files *f, struct error *e)
{
        *f = (struct files){ .dirfd = dirfd, .fd = { -1, -1, -1, -1 } };
        for (int i = 0; i < INDEX_PICKLE; i++) {
                f->fd[i] = file_open_regular(dirfd, index_file_names[i], &f->stamps[i], e);
                if (f->fd[i] < 0)
                        return f->fd[i];
        }
        return 0;
}

/* By their names, so that a file that was replaced is noticed too. */
static bool files_changed(const struct files *f)
{
        for (int i = 0; i < INDEX_PICKLE; i++) {
                struct file_stamp now = file_stamp_at(f->dirfd, index_file_names[i]);
                if (!file_stamp_equal(&now, &f->stamps[i]))
                        return true;
        }
        return false;
}

/* --- header.bin --- */

/* What the header says, with what only the caller knows. */
static int choose_params(const struct hnsw_header *header, const struct hnsw_params *given, struct hnsw_params *ret,
                         struct error *e)
{
        if (given->dimension != 0 && given->dimension != header->dimension)
                return error_set(e, EILSEQ, "header.bin: the vectors have %u dimensions where %u belong", header->dimension,
                                 given->dimension);
        if (header->m < 2 || header->m > HNSW_M_MAX)
                return error_set(e, EILSEQ, "header.bin: M is %llu, and an index of M 2 to %u can be loaded",
                                 (unsigned long long) header->m, HNSW_M_MAX);
        if (given->ef_construction == 0 && header->ef_construction > INT32_MAX)
                return error_set(e, EILSEQ, "header.bin: ef_construction is %llu, more than %d",
                                 (unsigned long long) header->ef_construction, INT32_MAX);
        *ret = *given;
        ret->dimension = header->dimension;
        ret->m = (uint32_t) header->m;
        if (ret->ef_construction == 0)
                ret->ef_construction = (uint32_t) header->ef_construction;
        return 0;
}

/* An empty index with the header's parameters, and room for all that the files have. */
static int make_index(const struct files *f, const struct hnsw_params *given, uint64_t more, struct loading *l, struct error *e)
{
        struct hnsw_params params;
        int r = hnsw_header_read(f->fd[INDEX_HEADER], &l->header, e);
        if (r == 0)
                r = choose_params(&l->header, given, &params, e);
        if (r == 0)
                r = hnsw_level0_size_check(f->fd[INDEX_LEVEL0], &l->header, e);
        if (r == 0)
                r = hnsw_length_check(f->fd[INDEX_LENGTH], &l->header, e);
        if (r < 0)
                return r;
        if (more > UINT32_MAX)
                return error_set(e, ENOMEM, "%llu elements are more than an index can have", (unsigned long long) more);
        return hnsw_new(&params, l->header.count + more, &l->h, e);
}

/* --- data_level0.bin and length.bin --- */

static int check_record(struct loading *l, uint32_t id, struct error *e)
{
        struct hnsw *h = l->h;
        struct hnsw_record record;
        int r = hnsw_record_decode(record_of(h, id), id, &l->header, &record, e);
        if (r == 0)
                r = hnsw_links_unique(l->links, record.links, record.link_count, id, "data_level0.bin",
                                      &(struct hnsw_faults){ .e = e });
        if (r < 0)
                return r;
        h->deleted += record.deleted;
        if (!label_map_add(h, &h->labels, id))
                return error_set(e, EILSEQ, "data_level0.bin: elements %u and %u have the same label, %llu",
                                 hnsw_find(h, record.label), id, (unsigned long long) record.label);
        return 0;
}

static int load_records(struct loading *l, int fd, struct error *e)
{
        size_t record_size = (size_t) l->header.record_size;
        uint64_t per_piece = record_size < PIECE_SIZE ? PIECE_SIZE / record_size : 1;
        for (uint64_t first = 0; first < l->header.count; first += per_piece) {
                uint64_t n = l->header.count - first < per_piece ? l->header.count - first : per_piece;
                int r = load_ask(l, e);
                if (r == 0)
                        r = file_pread_exact(fd, record_of(l->h, (uint32_t) first), (size_t) n * record_size, first * record_size,
                                             "data_level0.bin", e);
                for (uint64_t i = 0; r == 0 && i < n; i++)
                        r = check_record(l, (uint32_t) (first + i), e);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Any number is good for a length: it is only multiplied with. Other spaces leave garbage in this file. */
static int load_lengths(const struct loading *l, int fd, struct error *e)
{
        if (l->h->length == NULL)
                return 0;
        return file_pread_exact(fd, l->h->length, (size_t) l->header.count * sizeof(*l->h->length), 0, "length.bin", e);
}

static int load_files(struct loading *l, const struct files *f, struct error *e)
{
        CLEANUP(hnsw_link_set_free)
        struct hnsw_link_set *links = l->links = hnsw_link_set_new(2 * l->header.m);
        if (links == NULL)
                return error_set(e, ENOMEM, "no memory to check the links of an index");
        int r = load_records(l, f->fd[INDEX_LEVEL0], e);
        if (r == 0)
                r = load_lengths(l, f->fd[INDEX_LENGTH], e);
        if (r == 0)
                r = load_upper(l, f->fd[INDEX_LINK_LISTS], e);
        if (r < 0)
                return r;
        l->h->count = l->header.count;
        l->h->max_level = l->header.max_level;
        l->h->entry_point = l->header.entry_point;
        return 0;
}

int hnsw_load(int segment_fd, const struct hnsw_params *params, uint64_t more, db_cancel_fn *cancelled, void *context,
              struct hnsw **ret, struct error *e)
{
        struct files files;
        struct loading l = { .cancelled = cancelled, .context = context };
        int opened = files_open(segment_fd, &files, e);
        int r = opened < 0 ? opened : make_index(&files, params, more, &l, e);
        CLEANUP(hnsw_free)
        struct hnsw *h = l.h;
        if (r == 0)
                r = load_files(&l, &files, e);
        bool changed = opened == 0 && (r == 0 || r == -EILSEQ || r == -EIO) && files_changed(&files);
        files_close(&files);
        if (changed)
                return error_set(e, EAGAIN, "the files of the index changed while they were read");
        if (r == 0)
                *ret = TAKE(h);
        return r;
}
