/*
 * A rebuild: each record's vector, from the old index or from the log, and the records that have none.
 *
 * What the log says of an id is followed as for any commit (state.h): the index wins for rows at or below the position, but where it lacks the label, or is known to have lost an update. An id
 * that no row names has what the old index has.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/commit/vector_parts.h"
#include "ops/pieces.h"

#define PROGRESS_ENTRIES 4096u

static const char records_sql[] = "SELECT embedding_id FROM embeddings"
                                  " WHERE segment_id = ?1 AND embedding_id >= ?2 AND embedding_id IS NOT ?3 ORDER BY embedding_id";

/* --- the old index --- */

/* Which is how the files of a persist look that is under way. */
static bool is_torn(const struct salvage *s)
{
        const struct index_metadata *m = s->metadata;
        if (s->pickle_error.code != 0 || s->records_error.code != 0)
                return true;
        if (m == NULL)
                return s->deleted + s->unlisted > 0;
        return s->live < m->count || (s->counted != UINT64_MAX && s->counted > m->total_elements_added);
}

/* All vectors are normalised, and have norms, not all of them 1: so they are of cosine. */
static bool is_of_cosine(const struct salvage *s)
{
        return s->live > 0 && s->bad == 0 && s->normless == 0 && s->scaled > 0;
}

/* Where 1.x has stored another space over cosine (FORMAT 5), the files tell what they are of. */
static int read_files(struct commit_vector *v, struct salvage_start *start, struct error *e)
{
        bool may_be_cosine = v->start.may_be_cosine && start->space != SPACE_COSINE;
        enum hnsw_space space = start->space;
        if (may_be_cosine)
                start->space = SPACE_COSINE;
        int r = salvage_read(start, &v->salvage, e);
        if (r < 0 || !may_be_cosine)
                return r;
        if (is_of_cosine(v->salvage)) {
                v->old_space = SPACE_COSINE;
                return v->start.space_given
                               ? 0
                               : error_set(
                                         e, EILSEQ,
                                         "the index is of cosine, as the metadata says, and the stored configuration says %s: give "
                                         "space=cosine, which mends that, or another space that it shall have",
                                         hnsw_space_name(space));
        }
        v->saved.is_mixed = v->config.space == SPACE_COSINE && v->salvage->scaled > 0;
        v->salvage = salvage_free(v->salvage);
        start->space = space;
        return salvage_read(start, &v->salvage, e);
}

int commit_salvage_begin(struct commit_vector *v, struct error *e)
{
        const struct hnsw_config *old = v->start.config;
        struct salvage_start start = { .persist_fd = v->op->dirfd,
                                       .segment_id = commit_segment_id(v),
                                       .dimension = v->start.dimension,
                                       .m = old->m > 0 && old->m <= HNSW_M_MAX ? (uint32_t) old->m : 0,
                                       .space = old->space,
                                       .cancelled = operation_is_cancelled,
                                       .context = v->op };
        int r = operation_progress(v->op, "reading the index", 0, 0);
        if (r == 0)
                r = read_files(v, &start, e);
        if (r < 0)
                return r == -EINTR ? operation_progress(v->op, "reading the index", 0, 0) : r;
        v->summary.stamps = v->salvage->stamps;
        if (is_torn(v->salvage) && index_stamps_young(&v->summary.stamps))
                return error_set(e, EAGAIN, "the index of segment %s is being written: its files do not fit each other yet",
                                 commit_segment_id(v));
        v->metadata = v->salvage->metadata;
        v->saved.files = v->salvage;
        size_t count = v->metadata == NULL ? 0 : v->metadata->count;
        v->keeps = calloc(count + 1, sizeof(*v->keeps));
        return v->keeps == NULL ? error_set(e, ENOMEM, "no memory for %zu ids", count) : 0;
}

int commit_salvage_entries(struct commit_vector *v, struct error *e)
{
        const struct index_metadata *m = v->metadata;
        int r = 0;
        /* What a damaged index lacks may have been in it, though the pickle does not say so: the record tells (state.c), as where the whole index is gone. */
        v->rules.has_index = false;
        v->rules.is_salvage = true;
        for (size_t i = 0; m != NULL && i < m->count && r == 0; i++) {
                if (i % PROGRESS_ENTRIES == 0)
                        r = operation_progress(v->op, "reading the index", i, m->count);
                struct commit_id *id = commit_ids_add(&v->ids, m->entries[i].id, m->entries[i].id_len);
                if (id == NULL)
                        return error_set(e, ENOMEM, "no memory for %zu ids", m->count);
                id->entry = (uint32_t) i;
        }
        return r;
}

/* --- decisions --- */

/* A row that has the same vector as it was given to Chroma, where the index has lost its norm, or that norm would give it back but nearly; 0: none. */
static int64_t row_with_norm(const struct commit_vector *v, const struct commit_id *id)
{
        int64_t row = 0;
        bool loses_bits = v->old_space == SPACE_COSINE && v->config.space != SPACE_COSINE;
        if (!loses_bits && (v->salvage->marks[id->entry] & SALVAGE_NORMLESS) == 0)
                return 0;
        for (enum commit_start s = 0; s < COMMIT_STARTS; s++)
                if ((id->equal >> s & 1u) != 0 && id->vector[s] != 0)
                        row = id->vector[s];
        return row;
}

/* Nothing else says what it has: then what stands behind the header's count is its. */
static bool is_last_resort(const struct commit_vector *v, const struct commit_id *id)
{
        return id->action == COMMIT_LOST && id->entry != COMMIT_NO_ENTRY && v->salvage->record_of[id->entry] != SALVAGE_NO_RECORD;
}

/* The index has another vector than the row that was applied last: it is the log's that counts. */
static bool is_stale(const struct commit_vector *v, const struct commit_id *id, enum commit_start s)
{
        return id->in_index && id->action == COMMIT_CHANGE && v->rules.has_position &&
               (uint64_t) id->vector[s] <= v->rules.position;
}

void commit_salvage_id(struct commit_vector *v, size_t i, enum commit_start s)
{
        struct commit_id *id = &v->ids.items[i];
        if (!id->is_named)
                id->action = id->in_index ? COMMIT_KEEP : COMMIT_LOST;
        v->saved.stale += is_stale(v, id, s);
        if (is_last_resort(v, id)) {
                id->action = COMMIT_KEEP;
                id->in_index = 1;
        } else if (id->entry != COMMIT_NO_ENTRY) {
                v->salvage->marks[id->entry] &= (unsigned char) ~SALVAGE_UNCOUNTED; /* a row bears it out, or it goes */
        }
        if (id->action != COMMIT_KEEP || !id->in_index)
                return;
        int64_t row = id->is_named ? row_with_norm(v, id) : 0;
        if (row != 0) {
                id->action = COMMIT_PUT;
                id->vector[s] = row;
                return;
        }
        v->keeps[id->entry] = true;
        v->saved.kept++;
}

static bool has_vector(const struct commit_vector *v, const struct commit_id *id)
{
        return (id->entry != COMMIT_NO_ENTRY && v->keeps[id->entry]) || id->action == COMMIT_PUT || id->action == COMMIT_CHANGE ||
               id->action == COMMIT_REPLACE;
}

/* --- records --- */

struct walking {
        struct commit_vector *v;
        sqlite3_value *last; /* NULL before the first row */
        uint64_t done;
        struct error *e;
};

static int bind_failed(const struct walking *w, int rc)
{
        return rc == SQLITE_OK ? 0
                               : error_set(w->e, rc == SQLITE_NOMEM ? ENOMEM : EIO, "reading the records: %s", sqlite3_errstr(rc));
}

static int bind(void *context, sqlite3_stmt *stmt)
{
        struct walking *w = context;
        const struct text *segment = &w->v->start.collection->metadata->id;
        int rc = sqlite3_bind_text64(stmt, 1, segment->bytes, segment->len, SQLITE_STATIC, SQLITE_UTF8);
        if (rc == SQLITE_OK)
                rc = w->last == NULL ? sqlite3_bind_text(stmt, 2, "", 0, SQLITE_STATIC) : sqlite3_bind_value(stmt, 2, w->last);
        if (rc == SQLITE_OK && w->last != NULL)
                rc = sqlite3_bind_value(stmt, 3, w->last);
        return bind_failed(w, rc);
}

static int note_lost(struct walking *w, sqlite3_stmt *stmt)
{
        struct commit_vector *v = w->v;
        if (v->saved.lost_count == v->lost_allocated) {
                size_t most = v->lost_allocated < 16 ? 16 : v->lost_allocated + v->lost_allocated / 2;
                struct text *lost = reallocarray(v->lost, most, sizeof(*lost));
                if (lost == NULL)
                        return error_set(w->e, ENOMEM, "no memory for %zu ids", most);
                v->lost = lost;
                v->lost_allocated = most;
        }
        int r = db_column_text(stmt, 0, &v->lost[v->saved.lost_count], w->e);
        v->saved.lost_count += r == 0;
        return r;
}

static int take_record(void *context, sqlite3_stmt *stmt)
{
        struct walking *w = context;
        struct commit_vector *v = w->v;
        const char *bytes;
        size_t len;
        /* Copied before it is read, which may convert it. */
        sqlite3_value *value = sqlite3_value_dup(sqlite3_column_value(stmt, 0));
        if (value == NULL)
                return error_set(w->e, ENOMEM, "no memory to read the records");
        sqlite3_value_free(w->last);
        w->last = value;
        int r = operation_progress(v->op, "asking the records", w->done++, 0);
        if (r < 0)
                return r;
        struct commit_id *id = column_bytes(stmt, 0, &bytes, &len) ? commit_ids_find(&v->ids, bytes, len) : NULL;
        if (id == NULL)
                return note_lost(w, stmt);
        id->has_record = 1;
        if (id->ends == COMMIT_DIES || has_vector(v, id))
                return 0;
        if (!id->without_vector || id->entry != COMMIT_NO_ENTRY) /* who is in the pickle had one */
                return note_lost(w, stmt);
        v->saved.bare++;
        return 0;
}

/* Vectors of ids that no record has. */
static void drop_orphans(struct commit_vector *v)
{
        for (size_t i = 0; i < v->ids.count; i++) {
                const struct commit_id *id = &v->ids.items[i];
                bool has_record = (id->has_record && id->ends != COMMIT_DIES) || id->ends == COMMIT_LIVES;
                if (has_record || id->entry == COMMIT_NO_ENTRY || !v->keeps[id->entry])
                        continue;
                v->keeps[id->entry] = false;
                v->saved.kept--;
                v->saved.orphans++;
        }
}

const struct index_entry *commit_vector_marked(const struct commit_vector *v, unsigned mark, size_t from, size_t *ret_next)
{
        const struct index_metadata *m = v->metadata;
        for (size_t i = from; m != NULL && i < m->count; i++) {
                *ret_next = i + 1;
                if (v->keeps[i] && (v->salvage->marks[i] & mark) != 0)
                        return &m->entries[i];
        }
        return NULL;
}

static uint64_t count_marked(const struct commit_vector *v, unsigned mark)
{
        uint64_t count = 0;
        for (size_t next = 0; commit_vector_marked(v, mark, next, &next) != NULL;)
                count++;
        return count;
}

int commit_salvage_records(struct commit_vector *v, struct db *db, struct error *e)
{
        struct walking w = { .v = v, .e = e };
        struct pieces pieces;
        if (v->start.collection->metadata == NULL)
                return error_set(e, EILSEQ, "the collection has no metadata segment");
        /* What asking some of them has found out was of use then: now each is asked. */
        for (size_t i = 0; i < v->ids.count; i++)
                v->ids.items[i].has_record = 0;
        pieces_init(&pieces, db);
        int r = pieces_walk(&pieces, records_sql, bind, take_record, &w, e);
        sqlite3_value_free(w.last);
        if (r < 0)
                return r == -EINTR ? operation_progress(v->op, "asking the records", 0, 0) : r;
        drop_orphans(v);
        v->saved.doubtful = count_marked(v, SALVAGE_DOUBTFUL);
        v->saved.uncounted = count_marked(v, SALVAGE_UNCOUNTED);
        v->saved.normless = count_marked(v, SALVAGE_NORMLESS);
        v->saved.lost = v->lost;
        return 0;
}

int commit_vector_check_gone(struct commit_vector *v, struct db *db, struct error *e)
{
        struct error found;
        if (v->salvage != NULL || v->summary.stage != INDEX_ABSENT || !v->start.has_position ||
            v->start.collection->metadata == NULL)
                return 0;
        int r = commit_salvage_records(v, db, e);
        if (r < 0 || v->saved.lost_count == 0)
                return r;
        (void) error_set(&found, EILSEQ, "its directory is gone, and the log has no vector of %zu of its records",
                         v->saved.lost_count);
        return commit_vector_damage(v, -EILSEQ, &found, e);
}

struct commit_saved commit_vector_saved(const struct commit_vector *v)
{
        return v->saved;
}

void commit_salvage_clear(struct commit_vector *v)
{
        for (size_t i = 0; i < v->saved.lost_count; i++)
                free(v->lost[i].bytes);
        free(v->lost);
        free(v->keeps);
        v->salvage = salvage_free(v->salvage);
}
