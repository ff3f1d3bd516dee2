/*
 * Memory while rows are gathered: what ids.h says of each id that the log names. The pickle is read at the beginning; which of its ids the log names is looked up behind the
 * last row, so that an id of a large index that no row names costs nothing but that look.
 */
#include "ops/commit/vector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/commit/vector_parts.h"

static bool is_of_machine(int code)
{
        return code == -ENOMEM || code == -EINTR || code == -ECANCELED || code == -EMFILE || code == -ENFILE || code == -EAGAIN ||
               code == -EACCES || code == -EPERM || code == -ENOSPC;
}

int commit_index_damage(struct operation *op, const char *segment_id, const struct error *found, const char **ret_cure)
{
        struct error *e = &op->error;
        if (is_of_machine(found->code))
                return error_set(e, -found->code, "%s", found->text);
        struct index_stamps now = index_stamps_read(op->dirfd, segment_id);
        if (index_stamps_young(&now))
                return error_set(e, EAGAIN, "the index of segment %s is being written: %s", segment_id, found->text);
        if (ret_cure != NULL)
                *ret_cure = "rebuild-hnsw";
        return error_set(e, EILSEQ, "the index of segment %s is damaged, rebuild-hnsw makes it anew: %s", segment_id, found->text);
}

int commit_vector_damage(const struct commit_vector *v, int code, const struct error *found, struct error *e)
{
        struct error told = *found;
        told.code = code;
        int r = commit_index_damage(v->op, commit_segment_id(v), &told, v->start.cure);
        if (e != &v->op->error)
                *e = v->op->error;
        return r;
}

/* --- beginning --- */

/* What is wrong with the pickle, beside the header. That it has labels which the index lacks (hnswlib up to 0.7.3 never wrote a lone element, FORMAT 6.5), or too low a count of those that were
   given out, is put right here. */
static int check_pickle(const struct commit_vector *v, const struct hnsw_finding *finding, struct error *e)
{
        const struct index_metadata *m = v->metadata;
        bool fits = m != NULL && (!m->has_dimensionality || m->dimensionality == v->summary.header.dimension);
        if (finding->count == 0 || (fits && !index_stamps_young(&v->summary.stamps)))
                return 0;
        return commit_vector_damage(v, finding->first.code, &finding->first, e);
}

static int check_findings(const struct commit_vector *v, const struct hnsw_finding findings[HNSW_FINDING_KINDS], struct error *e)
{
        for (int i = 0; i < HNSW_FINDING_KINDS; i++)
                if (i != HNSW_PICKLE && findings[i].count > 0)
                        return commit_vector_damage(v, findings[i].first.code, &findings[i].first, e);
        return check_pickle(v, &findings[HNSW_PICKLE], e);
}

static int check_dimension(const struct commit_vector *v, struct error *e)
{
        struct error found;
        if (v->metadata == NULL || v->summary.header.dimension == v->start.dimension ||
            (v->start.dimension == 0 && v->summary.header.count == 0))
                return 0;
        (void) error_set(&found, EILSEQ, "it has vectors of dimension %u, and the collection those of %u",
                         v->summary.header.dimension, v->start.dimension);
        return commit_vector_damage(v, -EILSEQ, &found, e);
}

static int read_summary(struct commit_vector *v, struct error *e)
{
        struct hnsw_finding findings[HNSW_FINDING_KINDS];
        struct error found;
        index_summary_check(v->op->dirfd, commit_segment_id(v), operation_is_cancelled, v->op, findings, &v->summary, &v->metadata);
        if (v->summary.damage.code == -EINTR)
                return error_set(e, ECANCELED, "cancelled");
        if (v->summary.damage.code != 0)
                return commit_vector_damage(v, v->summary.damage.code, &v->summary.damage, e);
        int r = check_findings(v, findings, e);
        if (r < 0)
                return r;
        if (v->summary.stage == INDEX_INCOMPLETE || (v->summary.stage == INDEX_PERSISTED && v->metadata == NULL)) {
                (void) error_set(&found, EILSEQ, "some of its files are missing");
                return commit_vector_damage(v, -EILSEQ, &found, e);
        }
        return check_dimension(v, e);
}

/* 1.x takes an index whose pickle is empty for one that was never written: position 0, and labels from 1 on (FORMAT 7). */
static void set_rules(struct commit_vector *v)
{
        if (v->metadata != NULL && v->metadata->count == 0 && v->start.catalog->version.rust) {
                if (v->salvage == NULL)
                        (void) index_metadata_free(v->metadata);
                v->metadata = NULL;
                v->start.has_position = false;
        }
        v->rules = (struct commit_state_rules){
                .has_index = v->metadata != NULL,
                .has_position = v->start.has_position,
                .is_lone = v->metadata != NULL && v->metadata->count <= 1,
                .is_normalised = v->old_space == SPACE_COSINE,
                .position = v->start.position,
        };
}

int commit_vector_begin(struct operation *op, const struct commit_vector_start *start, struct commit_vector **ret)
{
        struct error *e = &op->error;
        if (start->collection->vector == NULL || !start->collection->vector->id_is_uuid)
                return error_set(e, EILSEQ, "the collection has no vector segment with an id that is a UUID");
        if (start->config->source == CONFIG_UNSUPPORTED)
                return error_set(e, EOPNOTSUPP, "the collection has an index of a type that is not known");
        CLEANUP(commit_vector_free)
        struct commit_vector *v = calloc(1, sizeof(*v));
        if (v == NULL)
                return error_set(e, ENOMEM, "no memory for an index");
        v->start = *start;
        v->config = start->rebuild != NULL ? *start->rebuild : *start->config;
        v->old_space = start->config->space;
        v->op = op;
        int r = commit_ids_init(&v->ids);
        if (r < 0)
                return error_set(e, -r, "no random number: %s", strerror(-r));
        r = start->rebuild != NULL ? commit_salvage_begin(v, e) : read_summary(v, e);
        if (r < 0)
                return r;
        set_rules(v);
        *ret = TAKE(v);
        return 0;
}

/* --- gathering --- */

static bool reached(bool has, uint64_t position, int64_t seq_id)
{
        return has && (uint64_t) seq_id <= position;
}

static bool is_passed_over(const struct commit_vector *v, const struct commit_row *row)
{
        if (!v->start.trusts_position || !reached(v->rules.has_position, v->rules.position, row->seq_id))
                return false;
        return v->start.before == NULL || commit_vector_contradicts(v->start.before, &row->id);
}

int commit_vector_gather(struct commit_vector *v, const struct commit_row *row, struct error *e)
{
        if (row->seq_id < 1)
                return error_set(e, EILSEQ, "row %lld of the log has a number that no row has", (long long) row->seq_id);
        if (row->vector != NULL && v->start.dimension == 0)
                return error_set(e, EINVAL, "row %lld of the log has a vector, and the collection no dimension",
                                 (long long) row->seq_id);
        if (is_passed_over(v, row))
                return 0;
        struct commit_id *id = commit_ids_add(&v->ids, row->id.bytes, row->id.len);
        if (id == NULL)
                return error_set(e, ENOMEM, "no memory for more than %zu ids of the log", v->ids.count);
        const struct segment *records = v->start.collection->metadata;
        struct commit_state_row one = {
                .seq_id = row->seq_id,
                .operation = row->operation,
                .has_vector = row->vector != NULL,
                .is_applied = reached(v->rules.has_position, v->rules.position, row->seq_id),
                .is_in_record = records != NULL && reached(records->has_position, records->position, row->seq_id),
        };
        v->rows_pending += !one.is_applied;
        if (one.is_applied && one.is_in_record)
                id->passed = row->seq_id;
        id->is_named = 1;
        if (!one.is_in_record && row->operation != COMMIT_UPDATE)
                id->ends = row->operation == COMMIT_DELETE ? COMMIT_DIES : COMMIT_LIVES;
        commit_state_apply(id, &one);
        return 0;
}

/* --- what is known --- */

bool commit_vector_has_work(const struct commit_vector *v)
{
        bool has_position_inside = v->start.catalog->version.metadb < COMMIT_METADB_POSITIONS && v->metadata != NULL;
        return v->salvage != NULL || v->adds.count > 0 || v->updates.count > 0 || v->removals > 0 ||
               (has_position_inside && v->rows_pending > 0);
}

uint64_t commit_vector_recovered(const struct commit_vector *v)
{
        return v->recovered;
}

const struct index_stamps *commit_vector_stamps(const struct commit_vector *v)
{
        return &v->summary.stamps;
}

struct commit_vector *commit_vector_free(struct commit_vector *v)
{
        if (v == NULL)
                return NULL;
        if (v->salvage != NULL)
                v->metadata = NULL;
        commit_salvage_clear(v);
        commit_ids_clear(&v->ids);
        commit_jobs_clear(&v->adds);
        commit_jobs_clear(&v->updates);
        (void) index_metadata_free(v->metadata);
        free(v);
        return NULL;
}
