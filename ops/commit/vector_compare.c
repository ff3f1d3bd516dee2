/*
 * The old index held against the log: of each id that both have, whether a live record has its label, and whether that has the vector of the rows that may count.
 *
 * data_level0.bin is read once, front to back, to learn which element has which label: 4 bytes an entry. The vectors are then read one by one, in the order of the log, which is
 * mostly that of the elements.
 */
#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/hnsw/distance.h"
#include "ops/operation/clean_vector.h"
#include "ops/commit/vector_parts.h"

#define NO_ELEMENT UINT32_MAX
#define PHASE "reading the index"
#define PROGRESS_RECORDS 1024u

struct comparing {
        struct commit_vector *v;
        uint32_t *elements; /* by entry */
        size_t next;        /* the entry that probably has the next record's label */
        uint64_t live;
        int level0_fd, length_fd;
        float *stored;
        float *logged; /* a copy, aligned; for cosine normalised */
        struct commit_jobs jobs;
        struct error *e;
};

/* --- elements --- */

static int bad_label(const struct comparing *c, uint64_t label, const char *what)
{
        struct error found;
        (void) error_set(&found, EILSEQ, "the index has a vector with label %llu, %s", (unsigned long long) label, what);
        return commit_vector_damage(c->v, -EILSEQ, &found, c->e);
}

static int take_element(void *context, const struct hnsw_record *record)
{
        struct comparing *c = context;
        const struct index_metadata *m = c->v->metadata;
        if (record->internal_id % PROGRESS_RECORDS == 0) {
                int r = operation_progress(c->v->op, PHASE, record->internal_id, c->v->summary.header.count);
                if (r < 0)
                        return r;
        }
        if (record->deleted)
                return 0;
        const struct index_entry *entry = c->next < m->count ? &m->entries[c->next] : NULL;
        if (entry == NULL || entry->label != record->label)
                entry = index_metadata_by_label(m, record->label);
        if (entry == NULL)
                return bad_label(c, record->label, "which its pickle does not list");
        c->next = (size_t) (entry - m->entries) + 1;
        if (c->elements[c->next - 1] != NO_ELEMENT)
                return bad_label(c, record->label, "which another one has too");
        c->elements[c->next - 1] = record->internal_id;
        c->live++;
        return 0;
}

static int open_file(const struct comparing *c, enum index_file file, struct error *found)
{
        char path[64];
        (void) snprintf(path, sizeof(path), "%s/%s", commit_segment_id(c->v), index_file_names[file]);
        return file_open_regular(c->v->op->dirfd, path, NULL, found);
}

static int open_files(struct comparing *c)
{
        struct error found = { 0 };
        c->level0_fd = open_file(c, INDEX_LEVEL0, &found);
        if (c->level0_fd >= 0)
                c->length_fd = open_file(c, INDEX_LENGTH, &found);
        return found.code < 0 ? commit_vector_damage(c->v, found.code, &found, c->e) : 0;
}

static int find_elements(struct comparing *c)
{
        const struct commit_vector *v = c->v;
        struct error found = { 0 };
        int r = hnsw_level0_size_check(c->level0_fd, &v->summary.header, &found);
        if (r < 0)
                return commit_vector_damage(v, r, &found, c->e);
        c->elements = reallocarray(NULL, v->metadata->count, sizeof(*c->elements));
        c->stored = malloc(4 * (size_t) v->summary.header.dimension);
        c->logged = malloc(4 * (size_t) v->summary.header.dimension);
        if (c->elements == NULL || c->stored == NULL || c->logged == NULL)
                return error_set(c->e, ENOMEM, "no memory for %zu ids", v->metadata->count);
        memset(c->elements, 0xff, v->metadata->count * sizeof(*c->elements));
        r = hnsw_level0_scan(c->level0_fd, &v->summary.header, take_element, c, &found);
        return found.code < 0 ? commit_vector_damage(v, found.code, &found, c->e) : r;
}

/* --- vectors --- */

static int read_length(const struct comparing *c, uint32_t element, float *ret, struct error *found)
{
        uint32_t bits = 0;
        *ret = 0;
        if (c->v->old_space != SPACE_COSINE)
                return 0;
        int r = file_pread_exact(c->length_fd, &bits, sizeof(bits), (uint64_t) element * sizeof(bits), "length.bin", found);
        bits = le32toh(bits);
        memcpy(ret, &bits, sizeof(*ret));
        return r;
}

static bool is_same(float a, float b)
{
        return isnan(a) ? isnan(b) : a <= b && a >= b;
}

/* What no tolerance covers, since normalising ends beyond the floats: NaN, the infinite, the denormal. The engine makes the same of the same vector, so a commit does not change it again and
   again. */
static bool is_as_made(const struct comparing *c, const unsigned char *vector, float length)
{
        size_t n = c->v->start.dimension;
        if (c->v->old_space != SPACE_COSINE)
                return false;
        memcpy(c->logged, vector, n * sizeof(float));
        float norm = hnsw_norm(c->logged, n);
        hnsw_normalise(c->logged, n, norm, c->logged);
        bool same = is_same(norm, length);
        for (size_t i = 0; same && i < n; i++)
                same = is_same(c->stored[i], c->logged[i]);
        return same;
}

static int read_stored(const struct comparing *c, uint32_t entry, float *ret_length, struct error *found)
{
        const struct hnsw_header *h = &c->v->summary.header;
        uint64_t element = c->elements[entry];
        if (c->v->salvage != NULL)
                return salvage_vector(c->v->salvage, entry, c->stored, ret_length, found);
        int r = file_pread_exact(c->level0_fd, c->stored, 4 * (size_t) h->dimension, element * h->record_size + h->data_offset,
                                 "data_level0.bin", found);
        return r < 0 ? r : read_length(c, (uint32_t) element, ret_length, found);
}

/* Of a damaged index: the direction alone can be compared then. */
static bool is_normless(const struct commit_vector *v, uint32_t entry)
{
        return v->salvage != NULL && (v->salvage->marks[entry] & SALVAGE_NORMLESS) != 0;
}

static float norm_of(const unsigned char *vector, size_t dimension)
{
        double sum = 0;
        for (size_t i = 0; i < dimension; i++) {
                float value;
                memcpy(&value, vector + i * sizeof(value), sizeof(value));
                sum += (double) value * (double) value;
        }
        return (float) sqrt(sum);
}

/* A job's index: twice the id's, and the start whose vector it is. */
static int compare_row(void *context, const struct commit_log_row *row)
{
        struct comparing *c = context;
        struct commit_id *id = &c->v->ids.items[row->job->index / COMMIT_STARTS];
        struct error found = { 0 };
        float length = 0;
        int r = read_stored(c, id->entry, &length, &found);
        if (r < 0)
                return commit_vector_damage(c->v, r, &found, c->e);
        if (is_normless(c->v, id->entry))
                length = norm_of(row->vector, c->v->start.dimension);
        if (clean_vector_equal(c->v->old_space, c->stored, length, row->vector, c->v->start.dimension) ||
            is_as_made(c, row->vector, length))
                id->equal = (id->equal | 1u << row->job->index % COMMIT_STARTS) & 3u;
        return 0;
}

/* Where both starts have one row, one look serves both. */
static int add_jobs(struct comparing *c, size_t i)
{
        struct commit_id *id = &c->v->ids.items[i];
        if (c->elements == NULL || id->entry == COMMIT_NO_ENTRY || c->elements[id->entry] == NO_ELEMENT)
                return 0;
        id->in_index = 1;
        int r = 0;
        for (size_t s = 0; s < COMMIT_STARTS && r == 0; s++)
                if (id->vector[s] != 0 && (s == 0 || id->vector[s] != id->vector[0]))
                        r = commit_jobs_add(&c->jobs, (uint64_t) id->vector[s], i * COMMIT_STARTS + s, c->e);
        return r;
}

static int compare_vectors(struct comparing *c, struct db *db)
{
        struct commit_vector_log log = { .v = c->v, .db = db, .phase = "comparing the index with the log", .e = c->e };
        int r = 0;
        for (size_t i = 0; i < c->v->ids.count && r == 0; i++)
                r = add_jobs(c, i);
        if (r == 0)
                r = commit_jobs_sort(&c->jobs, c->e);
        log.total = c->jobs.count;
        if (r == 0)
                r = commit_log_read(&log, c->jobs.items, c->jobs.count, compare_row, c);
        for (size_t i = 0; i < c->v->ids.count && r == 0; i++) {
                struct commit_id *id = &c->v->ids.items[i];
                if (id->vector[COMMIT_KNOWN] == id->vector[COMMIT_UNKNOWN] && id->equal != 0)
                        id->equal = 3;
        }
        return r;
}

/* --- both --- */

/* Labels that no record has, of ids that the log does not name. */
static int check_lost(const struct comparing *c)
{
        const struct commit_vector *v = c->v;
        uint64_t missing = v->metadata->count - c->live, named = 0;
        for (size_t i = 0; i < v->ids.count; i++)
                named += v->ids.items[i].entry != COMMIT_NO_ENTRY && !v->ids.items[i].in_index;
        if (missing <= named)
                return 0;
        struct error found;
        (void) error_set(&found, EILSEQ,
                         "the index lacks %llu of the vectors that its pickle lists, and the log does not have them",
                         (unsigned long long) (missing - named));
        return commit_vector_damage(v, -EILSEQ, &found, c->e);
}

static bool has_entries(const struct commit_vector *v)
{
        for (size_t i = 0; i < v->ids.count; i++)
                if (v->ids.items[i].entry != COMMIT_NO_ENTRY)
                        return true;
        return false;
}

/* What stands behind the header's count has to be borne out by a row, where the log has one: else it counts only when there is nothing better (vector_salvage.c). */
static void doubt_uncounted(struct commit_vector *v)
{
        for (size_t i = 0; i < v->ids.count; i++) {
                struct commit_id *id = &v->ids.items[i];
                if (id->in_index && (v->salvage->marks[id->entry] & SALVAGE_UNCOUNTED) != 0)
                        id->in_index = id->equal != 0;
        }
}

static int compare_saved(struct commit_vector *v, struct db *db, struct error *e)
{
        struct comparing c = { .v = v, .elements = v->salvage->record_of, .level0_fd = -1, .length_fd = -1, .e = e };
        c.stored = calloc(v->start.dimension, sizeof(*c.stored));
        c.logged = calloc(v->start.dimension, sizeof(*c.logged));
        int r = c.stored == NULL || c.logged == NULL ? error_set(e, ENOMEM, "no memory for a vector") : compare_vectors(&c, db);
        doubt_uncounted(v);
        free(c.stored);
        free(c.logged);
        commit_jobs_clear(&c.jobs);
        return r;
}

int commit_vector_compare(struct commit_vector *v, struct db *db, struct error *e)
{
        struct comparing c = { .v = v, .level0_fd = -1, .length_fd = -1, .e = e };
        if (!has_entries(v))
                return 0;
        if (v->salvage != NULL)
                return compare_saved(v, db, e);
        int r = open_files(&c);
        if (r == 0)
                r = find_elements(&c);
        if (r == 0)
                r = compare_vectors(&c, db);
        if (r == 0)
                r = check_lost(&c);
        close_cleanup(&c.level0_fd);
        close_cleanup(&c.length_fd);
        free(c.elements);
        free(c.stored);
        free(c.logged);
        commit_jobs_clear(&c.jobs);
        return r;
}
