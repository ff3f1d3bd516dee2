/*
 * Whole is an index whose files have no damage, and whose pickle and records have the same labels: index_summary and index_audit tell. The
 * files have no SQLite to keep them as they are: everything is read between two equal stamps, which are looked at once more before the rows go.
 *
 * Records are found by internal id, which the log does not know, so each id of the pickle gets the number of the record with its label.
 */
#include "ops/operation/clean_index.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/file.h"
#include "ops/index_audit.h"
#include "ops/index_fit.h"
#include "ops/operation/clean_vector.h"
#include "ops/pickle.h"

struct loading {
        int persist_fd;
        struct db *db;
        const struct catalog *catalog;
        const struct collection *collection;
        db_cancel_fn *cancelled;
        void *context;
        struct clean_index *index;
        struct index_metadata *metadata;
        size_t next; /* the entry that probably has the next record's label */
        struct error *fault, *e;
        const char *cure; /* of the fault: a control, or NULL */
};

#define FAULTY 1 /* *fault is set */
#define WINDOW_SIZE ((size_t) 64 << 10)
#define ORDERED_MAX 16 /* a record so far behind the last one is in order */

/* What a failure of reading a file of the index means. */
static int judge(struct loading *l, int code, const struct error *found)
{
        if (code >= 0)
                return code;
        if (index_is_ours(code))
                return error_set(l->e, -code, "%s", found->text);
        (void) error_set(l->fault, code == -EAGAIN ? EAGAIN : EILSEQ, "%s", found->text);
        l->cure = code == -EAGAIN ? NULL : "rebuild-hnsw";
        return FAULTY;
}

static const char *segment_id(const struct loading *l)
{
        return l->collection->vector->id.bytes;
}

/* Checks. */

static int judge_summary(struct loading *l, const struct index_summary *summary)
{
        if (summary->damage.code != 0)
                return judge(l, summary->damage.code, &summary->damage);
        if (summary->stage != INDEX_PERSISTED || l->metadata == NULL) {
                (void) error_set(l->fault, EILSEQ,
                                 "the vector segment %s has a position in the log, but its directory holds no index: the log is "
                                 "the only copy "
                                 "of its vectors",
                                 segment_id(l));
                l->cure = "commit";
                return FAULTY;
        }
        l->index->header = summary->header;
        l->index->stamps = summary->stamps;
        return 0;
}

static int judge_audit(struct loading *l, const struct index_audit *audit)
{
        if (audit->damage.code != 0)
                return judge(l, audit->damage.code, &audit->damage);
        l->cure = audit->labels.orphan_count > 0 ? "rebuild-hnsw" : "commit"; /* which refuses what has both */
        if (audit->labels.missing_count > 0)
                (void) error_set(l->fault, EILSEQ,
                                 "the index of segment %s lacks %zu of the vectors that its pickle lists, label %llu first",
                                 segment_id(l), audit->labels.missing_count, (unsigned long long) audit->labels.missing[0]);
        else if (audit->labels.orphan_count > 0)
                (void) error_set(l->fault, EILSEQ,
                                 "the index of segment %s has %zu vectors that its pickle does not list, label %llu first",
                                 segment_id(l), audit->labels.orphan_count, (unsigned long long) audit->labels.orphans[0]);
        else
                return 0;
        return FAULTY;
}

static int audit_index(struct loading *l)
{
        struct index_audit audit = { 0 };
        struct index_summary summary;
        struct error found = { 0 };
        int r = index_audit_read_all(l->persist_fd, segment_id(l), l->cancelled, l->context, &audit, &summary, &l->metadata,
                                     &found);
        if (r < 0)
                return judge(l, r, &found);
        r = judge_summary(l, &summary);
        if (r == 0)
                r = judge_audit(l, &audit);
        index_audit_clear(&audit);
        return r;
}

static int read_space(struct loading *l)
{
        struct collection_detail detail = { 0 };
        struct hnsw_config config = { 0 };
        int r = db_begin(l->db, l->e);
        if (r < 0)
                return r;
        r = collection_detail_read(l->db, l->collection, &detail, l->e);
        db_end(l->db);
        if (r < 0)
                return r;
        r = hnsw_config_effective(&l->catalog->version, &detail, &config, l->fault);
        collection_detail_clear(&detail);
        if (r == -ENOMEM) /* that says nothing of the collection */
                return error_set(l->e, ENOMEM, "%s", l->fault->text);
        if (r == 0 && config.source == CONFIG_UNSUPPORTED)
                r = error_set(l->fault, EILSEQ, "the collection has an index of a type that is not known");
        l->index->space = config.space;
        l->cure = NULL;
        return r < 0 ? FAULTY : 0;
}

/* Contents. */

static int take_record(void *context, const struct hnsw_record *record)
{
        struct loading *l = context;
        if (record->internal_id % 4096 == 0 && l->cancelled != NULL && l->cancelled(l->context))
                return error_set(l->e, EINTR, "cancelled");
        if (record->deleted)
                return 0;
        const struct index_metadata *m = l->metadata;
        const struct index_entry *entry = l->next < m->count ? &m->entries[l->next] : NULL;
        if (entry == NULL || entry->label != record->label)
                entry = index_metadata_by_label(m, record->label);
        if (entry == NULL)
                return error_set(l->fault, EAGAIN, "data_level0.bin changed while it was read");
        l->next = (size_t) (entry - m->entries) + 1;
        struct clean_id *id = clean_ids_add(&l->index->ids, entry->id, entry->id_len);
        if (id == NULL)
                return error_set(l->e, ENOMEM, "no memory for %zu ids", m->count);
        id->element = record->internal_id;
        return 0;
}

static int read_elements(struct loading *l)
{
        struct clean_index *index = l->index;
        struct error found = { 0 };
        if (clean_ids_reserve(&index->ids, l->metadata->count) < 0)
                return error_set(l->e, ENOMEM, "no memory for %zu ids", l->metadata->count);
        int r = clean_index_open(index, l->persist_fd, &found);
        if (r < 0)
                return judge(l, r, &found);
        r = hnsw_level0_scan(index->fd, &index->header, take_record, l, &found);
        /* take_record says itself what it has to say. */
        return r >= 0 || found.code != 0 ? judge(l, r, &found) : r == -EAGAIN ? FAULTY : r;
}

static int read_lengths(struct loading *l)
{
        struct clean_index *index = l->index;
        struct error found = { 0 };
        char path[64];
        size_t count = (size_t) index->header.count;
        if (index->space != SPACE_COSINE || count == 0)
                return 0;
        (void) snprintf(path, sizeof(path), "%s/%s", segment_id(l), index_file_names[INDEX_LENGTH]);
        CLEANUP(close)
        int fd = file_open_regular(l->persist_fd, path, NULL, &found);
        if (fd < 0)
                return judge(l, fd, &found);
        index->lengths = calloc(count, sizeof(*index->lengths)); /* the audit found the file to be as long */
        if (index->lengths == NULL)
                return error_set(l->e, ENOMEM, "no memory for %zu lengths", count);
        int r = file_pread_exact(fd, index->lengths, count * sizeof(*index->lengths), 0, "length.bin", &found);
        return judge(l, r, &found);
}

static int check_still(struct loading *l)
{
        struct index_stamps now = index_stamps_read(l->persist_fd, segment_id(l));
        if (index_stamps_equal(&now, &l->index->stamps))
                return 0;
        (void) error_set(l->fault, EAGAIN, "the index of segment %s changed while it was read", segment_id(l));
        return FAULTY;
}

static int load(struct loading *l)
{
        static int (*const steps[])(struct loading *) = { audit_index, read_space, read_elements, read_lengths, check_still };
        struct clean_index *index = l->index;
        index->fd = -1;
        (void) snprintf(index->path, sizeof(index->path), "%s/%s", segment_id(l), index_file_names[INDEX_LEVEL0]);
        int r = 0;
        for (size_t i = 0; r == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
                r = steps[i](l);
        l->metadata = index_metadata_free(l->metadata);
        clean_index_close(index);
        return r;
}

int clean_index_load(int persist_fd, struct db *db, const struct catalog *catalog, const struct collection *collection,
                     db_cancel_fn *cancelled, void *context, struct clean_index **ret, struct error *ret_fault,
                     const char **ret_cure, struct error *e)
{
        CLEANUP(clean_index_free)
        struct clean_index *index = calloc(1, sizeof(*index));
        if (index == NULL)
                return error_set(e, ENOMEM, "no memory for an index");
        struct loading l = {
                .persist_fd = persist_fd,
                .db = db,
                .catalog = catalog,
                .collection = collection,
                .cancelled = cancelled,
                .context = context,
                .index = index,
                .fault = ret_fault,
                .e = e,
        };
        int r = load(&l);
        if (r < 0)
                return r;
        *ret_cure = l.cure;
        *ret = r == FAULTY ? NULL : TAKE(index);
        return 0;
}

uint64_t clean_index_size(const struct clean_index *index)
{
        return (uint64_t) index->ids.allocated * sizeof(*index->ids.items) +
               (uint64_t) index->ids.capacity * sizeof(*index->ids.slots) +
               (index->lengths == NULL ? 0 : index->header.count * sizeof(*index->lengths)) + sizeof(*index);
}

/* Vectors. */

/* A vector, or more of the records if there are any more. */
static size_t window_size(const struct clean_index *index)
{
        uint64_t all = index->header.count * index->header.record_size;
        size_t vector = 4 * (size_t) index->header.dimension, size = all < WINDOW_SIZE ? (size_t) all : WINDOW_SIZE;
        return size < vector ? vector : size;
}

int clean_index_open(struct clean_index *index, int persist_fd, struct error *e)
{
        if (index->fd >= 0)
                return 0;
        index->window = malloc(window_size(index));
        if (index->window == NULL)
                return error_set(e, ENOMEM, "no memory for vectors");
        index->fd = file_open_regular(persist_fd, index->path, NULL, e);
        int r = index->fd < 0 ? index->fd : 0;
        if (r < 0)
                clean_index_close(index);
        return r;
}

void clean_index_close(struct clean_index *index)
{
        if (index->fd >= 0)
                (void) close(index->fd);
        index->fd = -1; /* what it says when it can't be opened, too */
        free(index->window);
        index->window = NULL;
        index->window_count = 0;
}

static float length_of(const struct clean_index *index, uint32_t element)
{
        uint32_t bits;
        float length;
        if (index->lengths == NULL)
                return 0;
        memcpy(&bits, &index->lengths[element], sizeof(bits));
        bits = le32toh(bits);
        memcpy(&length, &bits, sizeof(length));
        return length;
}

/* Where records are wanted in their order, a window of them is read at once; else the one vector. */
static int find_vector(struct clean_index *index, uint32_t element, const unsigned char **ret, struct error *e)
{
        const struct hnsw_header *h = &index->header;
        bool in_order = element > index->last && element - index->last <= ORDERED_MAX;
        index->last = element;
        if (element >= index->window_first && element - index->window_first < index->window_count) {
                *ret = index->window + (element - index->window_first) * h->record_size + h->data_offset;
                return 0;
        }
        uint64_t rest = h->count - element, most = WINDOW_SIZE / h->record_size, count = rest < most ? rest : most;
        bool whole = in_order && count > 1;
        uint64_t offset = element * h->record_size + (whole ? 0 : h->data_offset);
        index->window_count = 0;
        int r = file_pread_exact(index->fd, index->window, whole ? count * h->record_size : 4 * (size_t) h->dimension, offset,
                                 "data_level0.bin", e);
        if (r < 0)
                return r;
        index->window_first = element;
        index->window_count = whole ? count : 0;
        *ret = index->window + (whole ? h->data_offset : 0);
        return 0;
}

int clean_index_compare(struct clean_index *index, uint32_t element, const void *vector, size_t len, bool *ret, struct error *e)
{
        const struct hnsw_header *h = &index->header;
        const unsigned char *stored = NULL;
        *ret = false;
        if (len != 4 * (size_t) h->dimension || element >= h->count)
                return 0;
        int r = find_vector(index, element, &stored, e);
        if (r < 0)
                return r;
        *ret = clean_vector_equal(index->space, stored, length_of(index, element), vector, h->dimension);
        return 0;
}

struct clean_index *clean_index_free(struct clean_index *index)
{
        if (index == NULL)
                return NULL;
        clean_ids_clear(&index->ids);
        clean_index_close(index);
        free(index->lengths);
        free(index);
        return NULL;
}
