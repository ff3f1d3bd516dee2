/*
 * Labels tie the two halves of a vector segment together: a record of data_level0.bin carries one, and index_metadata.pickle says which
 * id of the user it belongs to.
 *
 *   - Labels are >= 1 and handed out once; no two records have the same one, deleted records included.
 *   - The pickle has exactly the labels of the records that are not marked deleted. A crash between the writing of the two leaves
 *     orphans (records whose vector nobody can ask for by id) or missing ones (ids whose vector is not in the index).
 *
 * One array of N labels: those of live records from the front, those of deleted ones from the back. Both are ascending already when the
 * index was made by one thread, since internal ids are given out in the same order as labels.
 */
#include "ops/labels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cleanup.h"

#define CANCEL_RECORDS 4096 /* between two looks whether to go on: some milliseconds of reading */

struct collector {
        struct label_lists lists;
        struct hnsw_faults *f;
        db_cancel_fn *cancelled;
        void *context;
};

/* What only one side has. */
struct differences {
        struct label_list {
                uint64_t *labels;
                size_t count, allocated;
        } orphans, missing;
        struct error *e;
};

int label_lists_new(uint64_t total, struct label_lists *ret, struct error *e)
{
        uint64_t *labels = total < SIZE_MAX / sizeof(*labels) ? calloc((size_t) total + 1, sizeof(*labels)) : NULL;
        if (labels == NULL)
                return error_set(e, ENOMEM, "no memory for %llu labels", (unsigned long long) total);
        *ret = (struct label_lists){ .labels = labels, .total = (size_t) total };
        return 0;
}

int label_lists_add(struct label_lists *lists, const struct hnsw_record *record, struct hnsw_faults *f)
{
        if (record->label == 0) /* also what a hole in the file looks like */
                return hnsw_fault_code(f, error_set(hnsw_fault(f, HNSW_LABEL_RANGE, 0), EILSEQ,
                                                    "data_level0.bin: element %u has label 0, where labels begin at 1",
                                                    record->internal_id));
        if (record->deleted)
                lists->labels[lists->total - ++lists->deleted] = record->label;
        else
                lists->labels[lists->active++] = record->label;
        return 0;
}

static int collect(void *context, const struct hnsw_record *record)
{
        struct collector *c = context;
        if (c->cancelled != NULL && record->internal_id % CANCEL_RECORDS == 0 && c->cancelled(c->context))
                return error_set(c->f->e, EINTR, "cancelled");
        return label_lists_add(&c->lists, record, c->f);
}

static int compare_labels(const void *a, const void *b)
{
        const uint64_t *x = a, *y = b;
        return (*x > *y) - (*x < *y);
}

/* Sorts unless sorted; a label that is there twice is a fault, and is there once afterwards. */
static int sort_labels(uint64_t *labels, size_t *count, struct hnsw_faults *f)
{
        bool sorted = true;
        size_t kept = 0;
        int r = 0;
        for (size_t i = 1; sorted && i < *count; i++)
                sorted = labels[i - 1] <= labels[i];
        if (!sorted)
                qsort(labels, *count, sizeof(*labels), compare_labels);
        for (size_t i = 0; r == 0 && i < *count; i++) {
                if (kept > 0 && labels[i] == labels[kept - 1])
                        r = hnsw_fault_code(f, error_set(hnsw_fault(f, HNSW_LABEL_TWICE, labels[i]), EILSEQ,
                                                         "data_level0.bin: two elements have label %llu",
                                                         (unsigned long long) labels[i]));
                else
                        labels[kept++] = labels[i];
        }
        *count = kept;
        return r;
}

/* Both sorted: no label is in both. */
static int check_disjoint(const struct label_lists *lists, struct hnsw_faults *f)
{
        const uint64_t *a = lists->labels, *b = lists->labels + lists->total - lists->deleted;
        size_t i = 0, j = 0;
        int r = 0;
        while (r == 0 && i < lists->active && j < lists->deleted) {
                if (a[i] == b[j])
                        r = hnsw_fault_code(f, error_set(hnsw_fault(f, HNSW_LABEL_TWICE, a[i]), EILSEQ,
                                                         "data_level0.bin: two elements, one deleted, have label %llu",
                                                         (unsigned long long) a[i]));
                if (a[i] <= b[j])
                        i++;
                else
                        j++;
        }
        return r;
}

int label_lists_sort(struct label_lists *lists, struct hnsw_faults *f)
{
        uint64_t *deleted = lists->labels + lists->total - lists->deleted;
        for (size_t i = 0; i < lists->deleted / 2; i++) { /* they were put in from the back */
                uint64_t swap = deleted[i];
                deleted[i] = deleted[lists->deleted - 1 - i];
                deleted[lists->deleted - 1 - i] = swap;
        }
        size_t kept = lists->deleted;
        int r = sort_labels(lists->labels, &lists->active, f);
        if (r == 0)
                r = sort_labels(deleted, &kept, f);
        if (r < 0)
                return r;
        memmove(deleted + lists->deleted - kept, deleted, kept * sizeof(*deleted));
        lists->deleted = kept;
        return check_disjoint(lists, f);
}

int label_lists_compare(const struct label_lists *lists, const struct index_metadata *metadata, label_difference_fn *fn,
                        void *context)
{
        size_t known = metadata == NULL ? 0 : metadata->count;
        size_t i = 0, j = 0;
        int r = 0;
        while (r == 0 && (i < lists->active || j < known)) {
                if (j == known || (i < lists->active && lists->labels[i] < metadata->entries[j].label)) {
                        r = fn(context, lists->labels[i++], true);
                } else if (i == lists->active || lists->labels[i] > metadata->entries[j].label) {
                        r = fn(context, metadata->entries[j++].label, false);
                } else {
                        i++;
                        j++;
                }
        }
        return r;
}

void label_lists_clear(struct label_lists *lists)
{
        free(lists->labels);
        *lists = (struct label_lists){ 0 };
}

static int list_add(struct label_list *list, uint64_t label, struct error *e)
{
        if (list->count == list->allocated) {
                size_t allocated = list->allocated == 0 ? 16 : list->allocated * 2;
                uint64_t *labels = reallocarray(list->labels, allocated, sizeof(*labels));
                if (labels == NULL)
                        return error_set(e, ENOMEM, "no memory for labels");
                list->labels = labels;
                list->allocated = allocated;
        }
        list->labels[list->count++] = label;
        return 0;
}

static int add_difference(void *context, uint64_t label, bool in_index)
{
        struct differences *d = context;
        return list_add(in_index ? &d->orphans : &d->missing, label, d->e);
}

static int count_labels(const struct label_lists *lists, const struct hnsw_header *header, const struct index_metadata *metadata,
                        struct label_counts *ret, struct error *e)
{
        struct differences d = { .e = e };
        int r = label_lists_compare(lists, metadata, add_difference, &d);
        if (r < 0) {
                free(d.orphans.labels);
                free(d.missing.labels);
                return r;
        }
        *ret = (struct label_counts){
                .total = lists->total,
                .active = lists->active,
                .deleted = lists->deleted,
                .allocated = header->max_elements,
                .orphans = d.orphans.labels,
                .orphan_count = d.orphans.count,
                .missing = d.missing.labels,
                .missing_count = d.missing.count,
        };
        return 0;
}

int label_counts_read(int level0_fd, const struct hnsw_header *header, const struct index_metadata *metadata,
                      db_cancel_fn *cancelled, void *context, struct label_counts *ret, struct error *e)
{
        int r = hnsw_level0_size_check(level0_fd, header, e);
        if (r < 0)
                return r;
        struct hnsw_faults first = { .e = e };
        struct collector c = { .f = &first, .cancelled = cancelled, .context = context };
        r = label_lists_new(header->count, &c.lists, e);
        if (r < 0)
                return r;
        r = hnsw_level0_scan(level0_fd, header, collect, &c, e);
        if (r == 0)
                r = label_lists_sort(&c.lists, &first);
        if (r == 0)
                r = count_labels(&c.lists, header, metadata, ret, e);
        label_lists_clear(&c.lists);
        return r;
}

void label_counts_clear(struct label_counts *counts)
{
        free(counts->orphans);
        free(counts->missing);
        *counts = (struct label_counts){ 0 };
}

double index_fragmentation(const struct index_metadata *metadata)
{
        if (metadata->total_elements_added == 0)
                return 0.0;
        double added = (double) metadata->total_elements_added;
        return (added - (double) metadata->count) / added * 100.0;
}
