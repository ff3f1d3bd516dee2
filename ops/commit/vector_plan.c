/* What is to be done with the index, and what that takes. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/commit/vector_parts.h"
#include "ops/memory_available.h"

#define ELEMENT_BYTES                                                                                                              \
        40u /* of an index in memory besides its record: level, lock, list, length, label, and a thread's heap and marks */
#define THREAD_BYTES 9u /* of those for each more thread */
#define ENTRY_BYTES 90u /* of an id in a pickle, without its own bytes */
#define PROGRESS_ENTRIES 4096u

/* --- the plan --- */

/* Pickles have their ids by label, and most logs theirs in the same order. */
static int find_entries(struct commit_vector *v)
{
        const struct index_metadata *m = v->metadata;
        int r = 0;
        for (size_t i = 0; m != NULL && i < m->count && r == 0; i++) {
                if (i % PROGRESS_ENTRIES == 0)
                        r = operation_progress(v->op, "reading the index", i, m->count);
                struct commit_id *id = commit_ids_find(&v->ids, m->entries[i].id, m->entries[i].id_len);
                if (id != NULL)
                        id->entry = (uint32_t) i;
        }
        return r;
}

/* Any row that names the id will do, to find it in `embeddings`: one that has a vector, then. */
static int64_t some_row(const struct commit_id *id)
{
        return id->vector[COMMIT_UNKNOWN] != 0 ? id->vector[COMMIT_UNKNOWN] : id->vector[COMMIT_KNOWN];
}

static int ask_records(struct commit_vector *v, struct db *db, struct error *e)
{
        struct commit_vector_log log = { .v = v, .db = db, .phase = "asking the records", .e = e };
        struct commit_jobs jobs = { 0 };
        int r = 0;
        for (size_t i = 0; i < v->ids.count && r == 0; i++) {
                const struct commit_id *id = &v->ids.items[i];
                if (commit_state_is_unsure(id, &v->rules) && some_row(id) != 0)
                        r = commit_jobs_add(&jobs, (uint64_t) some_row(id), i, e);
        }
        if (r == 0)
                r = commit_jobs_sort(&jobs, e);
        log.total = jobs.count;
        if (r == 0)
                r = commit_log_read_records(&log, jobs.items, jobs.count);
        commit_jobs_clear(&jobs);
        return r;
}

static int lost(const struct commit_vector *v, const struct commit_id *id, struct error *e)
{
        struct error found;
        (void) error_set(&found, EILSEQ, "the pickle has label %llu, but the index has no such vector, and nor has the log",
                         (unsigned long long) v->metadata->entries[id->entry].label);
        return commit_vector_damage(v, -EILSEQ, &found, e);
}

/* All vectors of the log are added; what the old index had goes nowhere, so that nothing is changed or removed. */
static int plan_anew(struct commit_vector *v, size_t i, struct commit_counts *counts, struct error *e)
{
        struct commit_id *id = &v->ids.items[i];
        enum commit_start s = id->is_named ? commit_state_decide(id, &v->rules) : COMMIT_KNOWN;
        commit_salvage_id(v, i, s);
        counts->ignored += id->is_named ? id->ignored[s] : 0;
        counts->adds += id->action == COMMIT_PUT;
        counts->updates += id->action == COMMIT_CHANGE || id->action == COMMIT_REPLACE;
        counts->deletes += id->action == COMMIT_REMOVE;
        if (id->action != COMMIT_PUT && id->action != COMMIT_CHANGE && id->action != COMMIT_REPLACE)
                return 0;
        v->saved.logged++;
        v->recovered += v->rules.has_position && (uint64_t) id->vector[s] <= v->rules.position;
        return commit_jobs_add(&v->adds, (uint64_t) id->vector[s], i, e);
}

static int plan_id(struct commit_vector *v, size_t i, struct commit_counts *counts, struct error *e)
{
        if (v->salvage != NULL)
                return plan_anew(v, i, counts, e);
        struct commit_id *id = &v->ids.items[i];
        enum commit_start s = commit_state_decide(id, &v->rules);
        uint64_t row = (uint64_t) id->vector[s];
        enum commit_action action = (enum commit_action) id->action;
        counts->ignored += id->ignored[s];
        if (action == COMMIT_KEEP)
                return 0;
        if (action == COMMIT_LOST)
                return lost(v, id, e);
        counts->adds += action == COMMIT_PUT;
        counts->updates += action == COMMIT_CHANGE || action == COMMIT_REPLACE;
        counts->deletes += action == COMMIT_REMOVE;
        v->removals += action == COMMIT_REMOVE || action == COMMIT_REPLACE;
        if (action == COMMIT_REMOVE)
                return 0;
        v->recovered += v->rules.has_position && row <= v->rules.position;
        return commit_jobs_add(action == COMMIT_CHANGE ? &v->updates : &v->adds, row, i, e);
}

static int check_still(const struct commit_vector *v, struct error *e)
{
        struct index_stamps now = index_stamps_read(v->op->dirfd, commit_segment_id(v));
        if (index_stamps_equal(&now, &v->summary.stamps))
                return 0;
        return error_set(e, EAGAIN, "the index of segment %s changed while it was read", commit_segment_id(v));
}

int commit_vector_plan(struct commit_vector *v, struct db *db, struct commit_counts *ret, struct error *e)
{
        struct commit_counts counts = { 0 };
        int r = v->salvage != NULL ? commit_salvage_entries(v, e) : find_entries(v);
        if (r == 0)
                r = commit_vector_compare(v, db, e);
        if (r == 0)
                r = ask_records(v, db, e);
        for (size_t i = 0; i < v->ids.count && r == 0; i++)
                r = plan_id(v, i, &counts, e);
        if (r == 0 && v->salvage != NULL)
                r = commit_salvage_records(v, db, e);
        if (r == 0)
                r = commit_jobs_sort(&v->adds, e);
        if (r == 0)
                r = commit_jobs_sort(&v->updates, e);
        if (r == 0)
                r = check_still(v, e);
        if (r == 0)
                *ret = counts;
        return r;
}

/* --- what it takes --- */

static uint64_t element_count(const struct commit_vector *v)
{
        if (v->salvage != NULL)
                return v->saved.kept + v->adds.count;
        return (v->metadata == NULL ? 0 : v->summary.header.count) + v->adds.count;
}

static uint64_t links_of(const struct commit_vector *v)
{
        return v->metadata != NULL && v->salvage == NULL      ? v->summary.header.m
               : v->config.m > 0 && v->config.m <= HNSW_M_MAX ? (uint64_t) v->config.m
                                                              : 16;
}

static uint64_t record_bytes(const struct commit_vector *v)
{
        return element_count(v) * (8 * links_of(v) + 4 + 4 * (uint64_t) v->start.dimension + 8);
}

/* Lists above level 0 and their sizes: one in M - 1 of the elements has one on average; half as many again are room for luck. */
static uint64_t list_bytes(const struct commit_vector *v)
{
        bool anew = v->metadata == NULL || v->salvage != NULL;
        uint64_t m = links_of(v), old = anew ? 0 : v->summary.stamps.files[INDEX_LINK_LISTS].size;
        uint64_t added = v->saved.kept + v->adds.count, levels = added / (m > 1 ? m - 1 : 1) * 3 / 2 + 16;
        return old + 4 * added + levels * (4 * m + 4);
}

static uint64_t pickle_bytes(const struct commit_vector *v)
{
        uint64_t old = v->metadata == NULL ? 0 : v->summary.stamps.files[INDEX_PICKLE].size;
        uint64_t entries = (v->metadata == NULL ? 0 : v->metadata->count) + v->adds.count;
        return 3 * (old + v->ids.bytes) + ENTRY_BYTES * entries;
}

static bool is_mapped(const struct commit_vector *v)
{
        return record_bytes(v) > memory_available();
}

static uint64_t ids_bytes(const struct commit_vector *v)
{
        return v->ids.allocated * sizeof(*v->ids.items) + v->ids.capacity * sizeof(*v->ids.slots);
}

/* Vectors and ids of a batch. */
static uint64_t batch_bytes(const struct commit_vector *v)
{
        uint64_t most = v->adds.count > v->updates.count ? v->adds.count : v->updates.count;
        uint64_t all = most * 4 * v->start.dimension;
        return all < COMMIT_BATCH_BYTES ? all : COMMIT_BATCH_BYTES;
}

uint64_t commit_vector_memory(const struct commit_vector *v)
{
        long threads = sysconf(_SC_NPROCESSORS_ONLN);
        uint64_t each = ELEMENT_BYTES + THREAD_BYTES * (uint64_t) (threads > 1 ? threads - 1 : 0);
        if (!commit_vector_has_work(v))
                return ids_bytes(v);
        return (is_mapped(v) ? 0 : record_bytes(v)) + element_count(v) * each + list_bytes(v) + pickle_bytes(v) + ids_bytes(v) +
               batch_bytes(v);
}

uint64_t commit_vector_disk(const struct commit_vector *v)
{
        if (!commit_vector_has_work(v))
                return 0;
        return record_bytes(v) * (is_mapped(v) ? 2 : 1) + 4 * element_count(v) + list_bytes(v) + pickle_bytes(v) + HNSW_HEADER_SIZE;
}
