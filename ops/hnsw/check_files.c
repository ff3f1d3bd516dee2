/*
 * The passes over the three large files: what each record and each list says for itself, and what the checks behind them need of it.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "ops/cleanup.h"
#include "ops/file.h"
#include "ops/hnsw/check_parts.h"
#include "ops/index_fit.h"

#define CANCEL_RECORDS 4096u
#define CANCEL_LISTS 4096u
#define HOLE_RECORDS 65536u /* so many in a row without a label */

static int look_up(const struct checking *c)
{
        return c->cancelled != NULL && c->cancelled(c->context) ? error_set(c->f.e, EINTR, "cancelled") : 0;
}

/* ---- records ---- */

/* An exponent of all ones is infinite or no number. Sixteen at a time, so that the compiler can look at several at once. */
static bool is_finite(const unsigned char *vector, uint32_t dimension)
{
        const uint32_t exponent = 0x7f800000u;
        uint32_t bad = 0, i = 0;
        for (; i + 16 <= dimension; i += 16) {
                uint32_t numbers[16];
                memcpy(numbers, vector + 4 * (size_t) i, sizeof(numbers));
                for (int j = 0; j < 16; j++)
                        bad |= (le32toh(numbers[j]) & exponent) == exponent;
        }
        for (; i < dimension; i++)
                bad |= (hnsw_link(vector, i) & exponent) == exponent;
        return bad == 0;
}

static int look_for_hole(struct checking *c, const struct hnsw_record *record)
{
        c->without_label = record->label == 0 ? c->without_label + 1 : 0;
        if (c->without_label < HOLE_RECORDS)
                return 0;
        uint32_t first = record->internal_id + 1 - HOLE_RECORDS;
        return error_set(hnsw_fault(&c->f, HNSW_SIZE, first), EILSEQ,
                         "data_level0.bin: from element %u on there are no records, though header.bin counts %llu", first,
                         (unsigned long long) c->header->count);
}

static int take_label(struct checking *c, const struct hnsw_record *record)
{
        if (c->metadata != NULL && record->label > c->metadata->total_elements_added)
                (void) error_set(
                        hnsw_fault(&c->f, HNSW_LABEL_RANGE, record->label), EILSEQ,
                        "data_level0.bin: element %u has label %llu, but index_metadata.pickle says that only %llu were ever "
                        "given out",
                        record->internal_id, (unsigned long long) record->label,
                        (unsigned long long) c->metadata->total_elements_added);
        return label_lists_add(&c->labels, record, &c->f);
}

static int take_record(void *context, const struct hnsw_record *record)
{
        struct checking *c = context;
        int r = record->internal_id % CANCEL_RECORDS == 0 ? look_up(c) : 0;
        if (r == 0)
                r = look_for_hole(c, record);
        if (r == 0)
                r = take_label(c, record);
        if (r == 0)
                r = check_graph_add_base(&c->graph, record, c->f.e);
        if (r < 0)
                return r;
        c->check->deleted += record->deleted;
        c->check->live += !record->deleted;
        if (!record->deleted && !is_finite(record->vector, c->header->dimension))
                (void) error_set(hnsw_fault(&c->f, HNSW_VECTOR, record->internal_id), EILSEQ,
                                 "data_level0.bin: the vector of element %u (label %llu) has a number that is infinite or none",
                                 record->internal_id, (unsigned long long) record->label);
        return 0;
}

static int read_records(struct checking *c, int fd)
{
        int r = hnsw_level0_size(fd, c->header, &c->f); /* which bounds the memory */
        if (r == 0)
                r = check_graph_new(c->header, &c->graph, c->f.e);
        if (r == 0)
                r = label_lists_new(c->header->count, &c->labels, c->f.e);
        if (r < 0)
                return r;
        CLEANUP(hnsw_link_set_free)
        struct hnsw_link_set *set = hnsw_link_set_new(2 * c->header->m);
        if (set == NULL)
                return error_set(c->f.e, ENOMEM, "no memory to check data_level0.bin");
        r = hnsw_level0_read(fd, c->header, set, take_record, c, &c->f);
        c->check->has_elements = r == 0;
        return r;
}

/* ---- the other files ---- */

static int take_list(void *context, uint32_t id, uint32_t level, uint32_t count, const unsigned char *links)
{
        struct checking *c = context;
        (void) level;
        int r = c->lists++ % CANCEL_LISTS == 0 ? look_up(c) : 0;
        return r == 0 ? check_graph_add_upper(&c->graph, id, count, links, c->f.e) : r;
}

static int read_links(struct checking *c, int fd)
{
        int r = 0;
        if (c->graph.levels == NULL) /* the records could not be read; the size bounds the memory */
                r = hnsw_link_lists_size_check(fd, c->header, &c->f);
        if (r == 0 && c->graph.levels == NULL)
                r = check_graph_new(c->header, &c->graph, c->f.e);
        if (r < 0)
                return r;
        return hnsw_link_lists_read(fd, c->header, c->graph.levels, take_list, c, &c->f);
}

static int read_lengths(struct checking *c, int fd)
{
        return hnsw_length_read(fd, c->header, &c->f);
}

/* What ends a pass and is no failure of ours was counted, and something was left out because of it. */
static int run_pass(struct checking *c, enum index_file file, int (*read)(struct checking *c, int fd), bool *ret_done)
{
        struct error failure;
        if (!c->check->stamps.files[file].present) /* counted already */
                return 0;
        int r = look_up(c);
        if (r < 0)
                return r;
        CLEANUP(close)
        int fd = file_open_regular(c->dir_fd, index_file_names[file], NULL, &failure);
        if (fd < 0)
                r = index_is_ours(fd) ? error_set(c->f.e, -fd, "%s", failure.text) : hnsw_fault_read(&c->f, &failure);
        else
                r = read(c, fd);
        *ret_done = r == 0;
        return index_is_ours(r) ? r : 0;
}

int check_passes(struct checking *c, bool *ret_records, bool *ret_links)
{
        bool lengths = false;
        int r = run_pass(c, INDEX_LEVEL0, read_records, ret_records);
        if (r < 0 || c->without_label >= HOLE_RECORDS)
                return r;
        r = run_pass(c, INDEX_LENGTH, read_lengths, &lengths);
        if (r == 0)
                r = run_pass(c, INDEX_LINK_LISTS, read_links, ret_links);
        c->check->complete = *ret_records && *ret_links && lengths;
        return r;
}
