/*
 * What the files that commit a collection share.
 */
#ifndef OPS_COMMIT_PLAN_H
#define OPS_COMMIT_PLAN_H

#include "ops/commit/collection.h"
#include "ops/commit/switch.h"
#include "ops/commit/vector.h"
#include "ops/operation/configure_store.h"

/* Where the rows of each collection are in the log (log.c). */

struct commit_run { /* rows first to last; those of other collections between them are few */
        int64_t first, last;
};

struct commit_runs {
        struct commit_run *list;
        size_t count;
};

struct commit_log *commit_log_new(void);

/* Goes on where it ended last: rows are only ever appended. `only`: a collection's id, or NULL for all. */
int commit_log_scan(struct operation *op, struct db *db, const char *only, struct commit_log *log);

/* Whether it has seen rows above `last`, the log's last one: then it is of another log. */
bool commit_log_is_ahead(const struct commit_log *log, int64_t last);

/* NULL when there are none. */
const struct commit_runs *commit_log_runs(const struct commit_log *log, const char *id);
struct commit_log *commit_log_free(struct commit_log *log);
DEFINE_CLEANUP(struct commit_log *, commit_log_free)

/* Rows of a collection from seq_id `from` on to `to`, in order, in pieces. `row` gets the statement with COMMIT_ROW_COLUMNS. */
typedef int commit_log_row_fn(void *context, sqlite3_stmt *stmt);
int commit_log_walk(struct db *db, const struct commit_runs *runs, const char *id, int64_t from, int64_t to, commit_log_row_fn *row,
                    void *context, struct error *e);

/* The same inside a transaction. */
int commit_log_walk_writing(struct write_db *w, const struct commit_runs *runs, const char *id, int64_t from, int64_t to,
                            commit_log_row_fn *row, void *context, struct error *e);

/* What must not change (fingerprint.c): a hash of the collection's rows in all tables but the metadata segment's own position. */
int commit_fingerprint(struct db *db, const char *id, uint64_t *ret, struct error *e); /* inside a transaction */
int commit_fingerprint_writing(struct write_db *w, const char *id, uint64_t *ret, struct error *e);

/* The metadata segment's position as it is now: 0 when there is none. -EILSEQ when it can't be read. */
int commit_record_position(struct write_db *w, const char *segment_id, int64_t *ret, struct error *e);

/* The session (session.c). */

/* db_change_counter(), and with an id the fingerprint of that moment. */
int commit_session_counter(struct db *db, const char *id, uint32_t *ret_counter, uint64_t *ret_fingerprint, struct error *e);

/* Reads what is no longer what `counter` tells of: the catalog, and the log as far as it has grown. */
int commit_session_catch_up(struct commit_session *session, struct db *db, uint32_t counter);

/* The plan (plan.c). */

struct commit_plan {
        struct commit_session *session;
        char id[COLLECTION_ID_SIZE];
        const struct collection *collection; /* of the session's catalog */
        const struct commit_runs *runs;      /* of the session's log; NULL: no rows */
        uint32_t counter;
        uint64_t fingerprint;
        bool has_vector_position, has_record_position;
        int64_t vector_position, record_position; /* 0 without */
        int64_t passed;                           /* the smaller one: rows above it count */
        int64_t last;                             /* of its rows; the position afterwards, where that is not above it */
        struct commit_row_rules rules;
        bool gives_dimension; /* the log does, the collection has none */
        struct hnsw_config config;
        bool may_be_cosine;                    /* hnsw_metadata_says_cosine() */
        struct configure_change change;        /* of a rebuild: of the configuration */
        struct commit_vector *vector;          /* NULL: no rows, or no dimension */
        struct commit_counts vectors, records; /* records: of dry_run */
        struct commit_rejects *rejects;        /* those that are passed */
        uint64_t rows, rows_hash;              /* above `passed` */
        uint64_t record_rows, record_bytes;    /* above the metadata segment's position */
        bool builds;                           /* a new index */
        bool moves_vector;                     /* its row in max_seq_id */
        bool moves_record;
        uint64_t memory, disk;
        double seconds;
        const char *cure; /* of what it failed with */
};

/* Plans. A failure has `cure` in *ret. The caller clears *ret in any case, and before the session. */
int commit_plan_make(struct commit_session *session, struct db *db, const char *id, struct commit_plan *ret);
int commit_plan_begin_vector(struct commit_plan *plan, bool trusts_position, const struct commit_vector *before);

/* Plans the vector segment, once its rows are gathered (plan_vector.c). */
int commit_plan_vector(struct commit_plan *plan, struct db *db);
uint64_t commit_rows_hash(uint64_t hash, const struct commit_row *row); /* 0 before the first one */
bool commit_plan_has_work(const struct commit_plan *plan);
int64_t commit_plan_vector_target(const struct commit_plan *plan); /* its position afterwards */
void commit_plan_clear(struct commit_plan *plan);

/* A rebuild (plan_rebuild.c). */

/* What it finds and makes, as rebuild.h says. NULL without memory. */
struct json_object *commit_plan_rebuilt(const struct commit_plan *plan);

/* -EILSEQ when records would be left without a vector, unless that was allowed. */
int commit_plan_refuse_lost(const struct commit_plan *plan);

/* Adds the records that are left without a vector to LOST_FILE, synced; each once (plan_lost.c). */
int commit_plan_write_lost(const struct commit_plan *plan);

static inline __attribute__((unused)) void commit_plan_clear_cleanup(struct commit_plan *plan)
{
        commit_plan_clear(plan);
}

/* How many records would change (preview.c), for dry_run. */

struct commit_preview;
int commit_preview_new(struct db *db, const struct collection *collection, struct commit_preview **ret, struct error *e);
int commit_preview_row(struct commit_preview *preview, struct db *db, const struct commit_row *row, struct error *e);
struct commit_counts commit_preview_counts(const struct commit_preview *preview);
struct commit_preview *commit_preview_free(struct commit_preview *preview);
DEFINE_CLEANUP(struct commit_preview *, commit_preview_free)

/* What it takes (plan_room.c). */

void commit_plan_estimate(struct commit_plan *plan);
int commit_plan_check_room(struct commit_plan *plan); /* -ENOSPC, -ENOMEM */

/* The change (plan_write.c). With the database closed for reading. `s` is NULL without a new index. */
int commit_plan_write(struct commit_plan *plan, struct commit_switch *s, struct commit_counts *ret_records);

#endif
