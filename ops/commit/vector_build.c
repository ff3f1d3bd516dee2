/*
 * The new index: the old one in memory with room for what comes, or an empty one; changed; written; and looked at as a stranger's would be.
 *
 * The array of records is anonymous memory, or, when there is not enough of that, a file without a name in the folder of the new index.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/hnsw/check.h"
#include "ops/hnsw/save.h"
#include "ops/commit/vector_parts.h"

#define PYTHON_CAPACITY 1000u /* what Chroma's index begins with, and never has less */
#define RUST_CAPACITY 100u    /* … from 1.0.21 on */
#define RESIZE_FACTOR_MAX 10.0
#define PROGRESS_ELEMENTS 4096u
#define THREADS_MAX 256u

struct building {
        struct commit_vector *v;
        struct operation *op;
        struct db *db;
        int dirfd;
        uint64_t position;
        unsigned threads;
        struct hnsw *index;
        uint64_t last_label; /* no label is above it */
        struct commit_added added;
        struct error *e;
};

/* --- the old index --- */

static int choose_params(const struct building *b, struct hnsw_params *ret)
{
        const struct hnsw_config *config = &b->v->config;
        struct hnsw_params params = { .space = config->space,
                                      .dimension = b->v->start.dimension,
                                      .library = b->v->start.catalog->version.rust ? HNSW_RUST : HNSW_PYTHON,
                                      .stage_fd = -1 };
        if (b->v->metadata == NULL || b->v->salvage != NULL) {
                if (config->m < 2 || config->m > HNSW_M_MAX || config->ef_construction < 0 || config->ef_construction > INT32_MAX)
                        return error_set(b->e, EOPNOTSUPP, "no index can be built with M %lld and ef_construction %lld",
                                         (long long) config->m, (long long) config->ef_construction);
                params.m = (uint32_t) config->m;
                params.ef_construction = config->ef_construction > 0 ? (uint32_t) config->ef_construction : 1; /* below M it is M */
        }
        *ret = params;
        return 0;
}

static int load_at(const struct building *b, const struct hnsw_params *params, int segment_fd, struct hnsw **ret,
                   struct error *found)
{
        if (segment_fd < 0)
                return hnsw_new(params, b->v->saved.kept + b->v->adds.count, ret, found);
        return hnsw_load(segment_fd, params, b->v->adds.count, operation_is_cancelled, b->op, ret, found);
}

static int load(struct building *b)
{
        struct commit_vector *v = b->v;
        struct hnsw_params params;
        struct error found = { 0 };
        CLEANUP(close)
        int segment_fd = -1;
        int r = choose_params(b, &params);
        if (r < 0)
                return r;
        if (v->metadata != NULL && v->salvage == NULL) {
                segment_fd = file_open_dir(b->op->dirfd, commit_segment_id(v), &found);
                if (segment_fd < 0)
                        return commit_vector_damage(v, segment_fd, &found, b->e);
        }
        r = load_at(b, &params, segment_fd, &b->index, &found);
        if (r == -ENOMEM) {
                params.stage_fd = b->dirfd;
                r = load_at(b, &params, segment_fd, &b->index, &found);
        }
        if (r < 0)
                return segment_fd >= 0 ? commit_vector_damage(v, r, &found, b->e) : error_set(b->e, -r, "%s", found.text);
        struct index_stamps now = index_stamps_read(b->op->dirfd, commit_segment_id(v));
        if (!index_stamps_equal(&now, &v->summary.stamps))
                return error_set(b->e, EAGAIN, "the index of segment %s changed since it was looked at", commit_segment_id(v));
        return 0;
}

/* Whether the log says of an entry that has no record what becomes of it: none that is left in the pickle may be without. */
static uint64_t count_lost_named(const struct commit_vector *v)
{
        uint64_t lost = 0;
        for (size_t i = 0; i < v->ids.count; i++)
                lost += v->ids.items[i].entry != COMMIT_NO_ENTRY && !v->ids.items[i].in_index;
        return lost;
}

/* Labels of live records and of the pickle, which the plan has compared only where the log names an id. */
static int check_labels(struct building *b)
{
        struct commit_vector *v = b->v;
        uint64_t count = hnsw_info(b->index).count, live = 0;
        struct error found;
        b->last_label = v->metadata == NULL ? 0 : v->metadata->total_elements_added;
        for (uint64_t i = 0; i < count; i++) {
                if (i % PROGRESS_ELEMENTS == 0 && operation_progress(b->op, "reading the index", i, count) < 0)
                        return -ECANCELED;
                uint64_t label = hnsw_label(b->index, (uint32_t) i);
                b->last_label = label > b->last_label ? label : b->last_label;
                if (hnsw_is_deleted(b->index, (uint32_t) i))
                        continue;
                live++;
                if (index_metadata_by_label(v->metadata, label) != NULL)
                        continue;
                (void) error_set(&found, EILSEQ, "the index has a vector with label %llu, which its pickle does not list",
                                 (unsigned long long) label);
                return commit_vector_damage(v, -EILSEQ, &found, b->e);
        }
        uint64_t entries = v->metadata == NULL ? 0 : v->metadata->count;
        if (entries - live > count_lost_named(v)) {
                (void) error_set(&found, EILSEQ, "the index lacks vectors that its pickle lists, and the log does not have them");
                return commit_vector_damage(v, -EILSEQ, &found, b->e);
        }
        if (b->last_label >= INT64_MAX - v->adds.count) {
                (void) error_set(&found, EILSEQ, "no labels are left above %llu", (unsigned long long) b->last_label);
                return commit_vector_damage(v, -EILSEQ, &found, b->e);
        }
        return 0;
}

/* --- the new files --- */

static uint64_t power_above(uint64_t n)
{
        uint64_t power = 1;
        while (power <= n)
                power *= 2;
        return power;
}

/* What Chroma's own would have: room as it makes it when it loads or outgrows an index. Readers want no more than the count (FORMAT 6.5). */
static uint64_t choose_capacity(const struct building *b)
{
        const struct commit_vector *v = b->v;
        bool anew = v->metadata == NULL || v->salvage != NULL;
        uint64_t count = hnsw_info(b->index).count, old = anew ? 0 : v->summary.header.max_elements;
        double factor = v->config.has_resize_factor ? v->config.resize_factor : 1;
        uint64_t room = v->start.catalog->version.rust ? RUST_CAPACITY : PYTHON_CAPACITY;
        if (old >= count && old > room && old <= UINT32_MAX)
                return old;
        if (v->start.catalog->version.rust)
                room = count < room ? room : power_above(count);
        else if (factor >= 1 && (double) count * factor > (double) room)
                room = (uint64_t) ((double) count * (factor > RESIZE_FACTOR_MAX ? RESIZE_FACTOR_MAX : factor));
        room = room < count ? count : room;
        return room < UINT32_MAX ? room : count;
}

static int save(struct building *b)
{
        int r = operation_progress(b->op, "writing the index", 0, 0);
        if (r < 0)
                return r;
        struct hnsw_save how = { .max_elements = choose_capacity(b) };
        return hnsw_save(b->index, &how, b->dirfd, operation_is_cancelled, b->op, b->e);
}

/* Python wants a seq_id of every id (FORMAT 6.6); one of a pickle that has none gets the position, which is no lower than the true one. */
static uint64_t seq_id_of(const struct building *b, const struct index_entry *entry)
{
        if (b->v->start.catalog->version.rust)
                return 0;
        if (entry->seq_id != 0)
                return entry->seq_id;
        return b->v->rules.has_position && b->v->rules.position > 0 ? b->v->rules.position : b->position;
}

static int make_entries(const struct building *b, struct index_metadata *ret)
{
        const struct index_metadata *old = b->v->metadata;
        size_t old_count = old == NULL ? 0 : old->count;
        ret->entries = reallocarray(NULL, old_count + b->added.count + 1, sizeof(*ret->entries));
        if (ret->entries == NULL)
                return error_set(b->e, ENOMEM, "no memory for the %zu ids of an index", old_count + b->added.count);
        for (size_t i = 0; i < old_count; i++)
                if (old->entries[i].label != 0)
                        ret->entries[ret->count++] = old->entries[i];
        for (size_t i = 0; i < b->added.count; i++)
                ret->entries[ret->count++] = b->added.entries[i];
        for (size_t i = 0; i < ret->count; i++)
                ret->entries[i].seq_id = seq_id_of(b, &ret->entries[i]);
        return 0;
}

static int save_pickle(struct building *b)
{
        const struct commit_vector *v = b->v;
        const struct chroma_version *version = &v->start.catalog->version;
        struct index_metadata m = {
                .has_dimensionality = !version->rust || (v->metadata != NULL && v->metadata->has_dimensionality),
                .dimensionality = hnsw_info(b->index).params.dimension,
                .total_elements_added = b->last_label + b->added.count,
                .has_max_seq_id = version->metadb < COMMIT_METADB_POSITIONS,
                .max_seq_id = b->position,
        };
        int r = make_entries(b, &m);
        if (r == 0)
                r = index_metadata_write(&m, version->rust ? PICKLE_DICT : PICKLE_INSTANCE, b->dirfd, operation_is_cancelled, b->op,
                                         b->e);
        free(m.entries);
        return r;
}

/* --- the check --- */

/* What the old index had already and what only costs recall is not ours to refuse. */
static int judge(const struct building *b, const struct hnsw_check *check)
{
        if (check->complete && !check->is_fatal)
                return 0;
        for (int i = 0; i < HNSW_FINDING_KINDS; i++)
                if (check->findings[i].count > 0 && i != HNSW_UNREACHABLE && i != HNSW_VECTOR)
                        return error_set(b->e, EIO, "the new index is not sound, and was not put in place: %s",
                                         check->findings[i].first.text);
        return error_set(b->e, EIO, "the new index could not be checked, and was not put in place");
}

static int check(struct building *b)
{
        struct hnsw_check found;
        int r = operation_progress(b->op, "checking the new index", 0, 0);
        if (r == 0)
                r = hnsw_check_own(b->dirfd, ".", operation_is_cancelled, b->op, &found, b->e);
        if (r == 0)
                r = judge(b, &found);
        if (r == 0 && fsync(b->dirfd) < 0)
                r = error_set(b->e, errno, "the folder of the new index can't be synced: %s", strerror(errno));
        return r;
}

/* --- all of it --- */

static int change(struct building *b)
{
        return commit_vector_change(b->v, b->index, b->db, b->last_label + 1, b->threads, &b->added);
}

/* Its memory is not needed for the check. */
static int drop(struct building *b)
{
        b->index = hnsw_free(b->index);
        return 0;
}

static int add_saved(struct building *b)
{
        return commit_salvage_add(b->v, b->index, b->threads, &b->last_label);
}

static int run(struct building *b)
{
        static int (*const added_to[])(struct building *) = { load, check_labels, change, save, save_pickle, drop, check, NULL };
        static int (*const made_anew[])(struct building *) = { load, add_saved, change, save, save_pickle, drop, check, NULL };
        int (*const *step)(struct building *) = b->v->salvage != NULL ? made_anew : added_to;
        int r = operation_progress(b->op, "reading the index", 0, 0);
        for (; r == 0 && *step != NULL; step++)
                r = (*step)(b);
        if (r == -EINTR && operation_progress(b->op, "cancelling", 0, 0) < 0)
                return -ECANCELED;
        return r;
}

static unsigned thread_count(unsigned wanted)
{
        long machine = sysconf(_SC_NPROCESSORS_ONLN);
        unsigned threads = wanted != 0 ? wanted : machine > 1 ? (unsigned) machine : 1;
        return threads > THREADS_MAX ? THREADS_MAX : threads;
}

int commit_vector_build(struct commit_vector *v, struct operation *op, struct db *db, int dirfd, uint64_t position,
                        unsigned threads)
{
        struct building b = { .v = v, .op = op, .db = db, .dirfd = dirfd, .position = position, .e = &op->error };
        b.threads = thread_count(threads);
        bool keeps_position = v->start.catalog->version.metadb < COMMIT_METADB_POSITIONS;
        if ((position == 0 && (keeps_position || v->salvage == NULL)) || position > INT64_MAX)
                return error_set(&op->error, EINVAL, "an index can't be at position %llu", (unsigned long long) position);
        if (v->start.dimension == 0)
                return error_set(&op->error, EINVAL, "an index needs a dimension");
        int r = run(&b);
        (void) hnsw_free(b.index);
        commit_added_clear(&b.added);
        return r;
}
