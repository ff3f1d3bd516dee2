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
        uint64_t *labels;
        size_t active, deleted, total;
        db_cancel_fn *cancelled;
        void *context;
        struct error *e;
};

struct label_list {
        uint64_t *labels;
        size_t count, allocated;
};

static int collect(void *context, const struct hnsw_record *record)
{
        struct collector *c = context;
        if (c->cancelled != NULL && record->internal_id % CANCEL_RECORDS == 0 && c->cancelled(c->context))
                return error_set(c->e, EINTR, "cancelled");
        if (record->label == 0) /* also what a hole in the file looks like: of terabytes of that, one record is enough */
                return error_set(c->e, EILSEQ, "data_level0.bin: element %u has label 0, where labels begin at 1",
                                 record->internal_id);
        if (record->deleted)
                c->labels[c->total - ++c->deleted] = record->label;
        else
                c->labels[c->active++] = record->label;
        return 0;
}

static int compare_labels(const void *a, const void *b)
{
        const uint64_t *x = a, *y = b;
        return (*x > *y) - (*x < *y);
}

/* Sorts unless sorted; a label that is there twice is an error. */
static int sort_labels(uint64_t *labels, size_t count, struct error *e)
{
        bool sorted = true;
        for (size_t i = 1; sorted && i < count; i++)
                sorted = labels[i - 1] <= labels[i];
        if (!sorted)
                qsort(labels, count, sizeof(*labels), compare_labels);
        for (size_t i = 1; i < count; i++)
                if (labels[i] == labels[i - 1])
                        return error_set(e, EILSEQ, "data_level0.bin: two elements have label %llu",
                                         (unsigned long long) labels[i]);
        return 0;
}

/* Both sorted: no label is in both. */
static int check_disjoint(const uint64_t *a, size_t a_count, const uint64_t *b, size_t b_count, struct error *e)
{
        size_t i = 0, j = 0;
        while (i < a_count && j < b_count) {
                if (a[i] == b[j])
                        return error_set(e, EILSEQ, "data_level0.bin: two elements, one deleted, have label %llu",
                                         (unsigned long long) a[i]);
                if (a[i] < b[j])
                        i++;
                else
                        j++;
        }
        return 0;
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

/* Walks the two ascending lists, the index's live labels and the pickle's entries, and tells what only one of them has. */
static int compare_with_pickle(const uint64_t *active, size_t count, const struct index_metadata *metadata,
                               struct label_list *orphans, struct label_list *missing, struct error *e)
{
        size_t known = metadata == NULL ? 0 : metadata->count;
        size_t i = 0, j = 0;
        int r = 0;
        while (r == 0 && (i < count || j < known)) {
                if (j == known || (i < count && active[i] < metadata->entries[j].label)) {
                        r = list_add(orphans, active[i++], e);
                } else if (i == count || active[i] > metadata->entries[j].label) {
                        r = list_add(missing, metadata->entries[j++].label, e);
                } else {
                        i++;
                        j++;
                }
        }
        return r;
}

static int collect_sorted(int fd, const struct hnsw_header *header, struct collector *c)
{
        int r = hnsw_level0_scan(fd, header, collect, c, c->e);
        if (r < 0)
                return r;
        uint64_t *deleted = c->labels + c->active;
        for (size_t i = 0; i < c->deleted / 2; i++) { /* they were put in from the back */
                uint64_t swap = deleted[i];
                deleted[i] = deleted[c->deleted - 1 - i];
                deleted[c->deleted - 1 - i] = swap;
        }
        r = sort_labels(c->labels, c->active, c->e);
        if (r == 0)
                r = sort_labels(deleted, c->deleted, c->e);
        if (r == 0)
                r = check_disjoint(c->labels, c->active, deleted, c->deleted, c->e);
        return r;
}

int label_counts_read(int level0_fd, const struct hnsw_header *header, const struct index_metadata *metadata,
                      db_cancel_fn *cancelled, void *context, struct label_counts *ret, struct error *e)
{
        int r = hnsw_level0_size_check(level0_fd, header, e);
        if (r < 0)
                return r;
        size_t total = (size_t) header->count;
        CLEANUP(free)
        uint64_t *labels = calloc(total + 1, sizeof(*labels));
        if (labels == NULL)
                return error_set(e, ENOMEM, "no memory for %zu labels", total);
        struct collector c = { .labels = labels, .total = total, .cancelled = cancelled, .context = context, .e = e };
        r = collect_sorted(level0_fd, header, &c);
        if (r < 0)
                return r;
        struct label_list orphans = { 0 }, missing = { 0 };
        r = compare_with_pickle(labels, c.active, metadata, &orphans, &missing, e);
        if (r < 0) {
                free(orphans.labels);
                free(missing.labels);
                return r;
        }
        *ret = (struct label_counts){
                .total = total,
                .active = c.active,
                .deleted = c.deleted,
                .allocated = header->max_elements,
                .orphans = orphans.labels,
                .orphan_count = orphans.count,
                .missing = missing.labels,
                .missing_count = missing.count,
        };
        return 0;
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
