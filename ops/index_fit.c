/*
 * What one moment of the five files must satisfy (FORMAT 6; I2, I4), as far as it shows without reading a record. N, S, M and the highest level are the header's:
 *
 *   data_level0.bin         at least N * S bytes
 *   length.bin              at least N * 4
 *   link_lists.bin          N entries of 4 bytes, and for each level that a node has above 0 a list of 4 * M + 4:
 *                           from 4 * N to N * (4 + max_level * (4 * M + 4)) bytes
 *   index_metadata.pickle   live ids <= N <= total_elements_added, and no label above that; the header's dimension
 *
 * There is no pickle before the first persist, and the header counts nothing then: a header that counts something without a pickle has lost it.
 *
 * One real state looks like damage and is: hnswlib up to 0.7.3 does not write an index's only element (FORMAT 6.5), so N is 0 where
 * the pickle has one label. Its vector is in the WAL or lost.
 */
#include "ops/index_fit.h"

#include <errno.h>
#include <stdio.h>

#define LABELS_SHOWN 8

bool index_is_ours(int code)
{
        return code == -ENOMEM || code == -EINTR || code == -ECANCELED || code == -EMFILE || code == -ENFILE;
}

struct error *index_fault(struct hnsw_faults *f, enum hnsw_finding_kind kind)
{
        bool has_first = f->findings == NULL && f->e->code != 0;
        return has_first ? NULL : hnsw_fault(f, kind, HNSW_NOWHERE);
}

static void check_at_least(const struct index_summary *s, enum index_file file, uint64_t each, struct hnsw_faults *f)
{
        const struct file_stamp *stamp = &s->stamps.files[file];
        uint64_t need;
        if (__builtin_mul_overflow(s->header.count, each, &need) || (stamp->present && stamp->size < need))
                (void) error_set(index_fault(f, HNSW_SIZE), EILSEQ,
                                 "%s has %llu bytes, too few for the %llu elements that header.bin counts", index_file_names[file],
                                 (unsigned long long) stamp->size, (unsigned long long) s->header.count);
}

static void check_links_size(const struct index_summary *s, struct hnsw_faults *f)
{
        const struct hnsw_header *h = &s->header;
        uint64_t levels = h->max_level > 0 ? (uint64_t) h->max_level : 0, most;
        /* A bound that does not fit is one that no file exceeds. */
        if (__builtin_mul_overflow(h->m, 4u, &most) || __builtin_add_overflow(most, 4u, &most) ||
            __builtin_mul_overflow(most, levels, &most) || __builtin_add_overflow(most, 4u, &most) ||
            __builtin_mul_overflow(most, h->count, &most))
                return;
        uint64_t size = s->stamps.files[INDEX_LINK_LISTS].size;
        if (size > most)
                (void) error_set(index_fault(f, HNSW_SIZE), EILSEQ,
                                 "link_lists.bin has %llu bytes, more than the %llu elements that header.bin counts can have",
                                 (unsigned long long) size, (unsigned long long) h->count);
}

void index_fit_sizes(const struct index_summary *s, struct hnsw_faults *f)
{
        if (!s->has_header || f->findings != NULL)
                return;
        check_at_least(s, INDEX_LEVEL0, s->header.record_size, f);
        check_at_least(s, INDEX_LENGTH, 4, f);
        check_at_least(s, INDEX_LINK_LISTS, 4, f);
        check_links_size(s, f);
}

/* "1, 2, 3 and 7 more" */
static const char *show_labels(const struct index_metadata *m, char *buffer, size_t size)
{
        int used = 0;
        size_t shown = m->count < LABELS_SHOWN ? m->count : LABELS_SHOWN;
        for (size_t i = 0; i < shown; i++)
                used += snprintf(buffer + used, size - (size_t) used, "%s%llu", i == 0 ? "" : ", ",
                                 (unsigned long long) m->entries[i].label);
        if (shown < m->count)
                (void) snprintf(buffer + used, size - (size_t) used, " and %zu more", m->count - shown);
        return buffer;
}

static void check_live(const struct index_summary *s, const struct index_metadata *m, struct hnsw_faults *f)
{
        char labels[LABELS_SHOWN * 22 + 32];
        uint64_t count = s->header.count;
        if (m->count <= count)
                return;
        if (count == 0)
                (void) error_set(index_fault(f, HNSW_PICKLE), EILSEQ,
                                 "the index is empty, but index_metadata.pickle knows label%s %s: the index lacks %s",
                                 m->count == 1 ? "" : "s", show_labels(m, labels, sizeof(labels)), m->count == 1 ? "it" : "them");
        else
                (void) error_set(index_fault(f, HNSW_PICKLE), EILSEQ,
                                 "header.bin counts %llu elements, but index_metadata.pickle has %zu labels: the index lacks %llu "
                                 "or more of them",
                                 (unsigned long long) count, m->count, (unsigned long long) (m->count - count));
}

static void check_counters(const struct index_summary *s, const struct index_metadata *m, struct hnsw_faults *f)
{
        unsigned long long added = m->total_elements_added;
        uint64_t highest = m->count == 0 ? 0 : m->entries[m->count - 1].label;
        if (highest > added)
                (void) error_set(
                        index_fault(f, HNSW_PICKLE), EILSEQ,
                        "index_metadata.pickle has label %llu, but says that only %llu were ever given out: new ones would collide",
                        (unsigned long long) highest, added);
        if (s->has_header && s->header.count > added)
                (void) error_set(index_fault(f, HNSW_PICKLE), EILSEQ,
                                 "header.bin counts %llu elements, but index_metadata.pickle says that only %llu were ever added",
                                 (unsigned long long) s->header.count, added);
}

void index_fit_metadata(const struct index_summary *s, const struct index_metadata *m, struct hnsw_faults *f)
{
        if (s->has_header)
                check_live(s, m, f);
        check_counters(s, m, f);
        if (s->has_header && m->has_dimensionality && m->dimensionality != s->header.dimension)
                (void) error_set(index_fault(f, HNSW_PICKLE), EILSEQ,
                                 "index_metadata.pickle says dimension %llu, but header.bin %u",
                                 (unsigned long long) m->dimensionality, s->header.dimension);
}

void index_fit_missing(const struct index_summary *s, struct hnsw_faults *f)
{
        for (int i = 0; i < INDEX_PICKLE; i++)
                if (!s->stamps.files[i].present)
                        (void) error_set(index_fault(f, HNSW_FILE), ENOENT,
                                         "%s is missing, while other files of the index are there", index_file_names[i]);
}

/* The header and the pickle are found out when they are opened, too, but the others are only opened by an audit. */
void index_fit_kinds(const struct index_summary *s, struct hnsw_faults *f)
{
        if (f->findings != NULL)
                return;
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                const struct file_stamp *stamp = &s->stamps.files[i];
                if (stamp->present && S_ISLNK(stamp->mode))
                        (void) error_set(index_fault(f, HNSW_FILE), ELOOP, "%s is a symbolic link", index_file_names[i]);
                else if (stamp->present && !S_ISREG(stamp->mode))
                        (void) error_set(index_fault(f, HNSW_FILE), EILSEQ, "%s is no regular file", index_file_names[i]);
        }
}
