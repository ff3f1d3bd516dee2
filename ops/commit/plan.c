/*
 * The order matters beside someone who writes: the counter and the fingerprint come first, and all that is read after them is held against them in the transaction. Rows above `passed` are hashed
 * there again; those at or below it are only compared with the index, and rows never change.
 *
 * Where nothing has to be done is told only after the rows were read: what the index lacks of rows that are behind its position shows in no position (FORMAT 6.5).
 */
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "ops/commit/plan.h"
#include "ops/index_fit.h"

#define QUEUE_CONFIG 2 /* the migration of 0.5.6: from then on the vector segment's position is in max_seq_id */
#define COLUMN_METADATA 7
#define DIMENSION_MAX (1u << 24)

/* What the tables alone have against it. */

static int check_structure(const struct collection *c, struct error *e)
{
        if (c->vector == NULL || c->metadata == NULL)
                return error_set(e, EILSEQ, "the collection has no %s segment", c->vector == NULL ? "vector" : "metadata");
        if (c->extra_segments > 0)
                return error_set(e, EILSEQ, "the collection has more than two segments");
        if (c->vector->position_bad || c->metadata->position_bad)
                return error_set(e, EILSEQ, "the position of the %s segment in table max_seq_id can't be read",
                                 c->vector->position_bad ? "vector" : "metadata");
        if (!c->vector->id_is_uuid)
                return error_set(e, EILSEQ, "the id of the vector segment is no UUID");
        if (c->has_dimension && (c->dimension < 1 || c->dimension > DIMENSION_MAX))
                return error_set(e, EILSEQ, "the dimension of the collection is %lld: no index can have it",
                                 (long long) c->dimension);
        return 0;
}

static int find_collection(struct commit_plan *plan)
{
        const struct catalog *catalog = plan->session->catalog;
        struct error *e = &plan->session->op->error;
        plan->collection = catalog_collection(catalog, plan->id);
        if (plan->collection == NULL)
                return error_set(e, ENOENT, "there is no collection with id %s any more", plan->id);
        plan->rules = (struct commit_row_rules){ .version = catalog->version,
                                                 .has_dimension = plan->collection->has_dimension,
                                                 .dimension = (uint32_t) plan->collection->dimension };
        plan->runs = commit_log_runs(plan->session->log, plan->id);
        if (plan->runs != NULL)
                plan->last = plan->runs->list[plan->runs->count - 1].last;
        return check_structure(plan->collection, e);
}

static int read_config(struct commit_plan *plan, struct db *db)
{
        struct collection_detail detail = { 0 };
        struct error *e = &plan->session->op->error;
        int r = db_begin(db, e);
        if (r == 0)
                r = collection_detail_read(db, plan->collection, &detail, e);
        db_end(db);
        if (r == 0)
                r = hnsw_config_effective(&plan->rules.version, &detail, &plan->config, e);
        plan->may_be_cosine = hnsw_metadata_says_cosine(&detail);
        if (r == 0 && plan->session->rebuild != NULL)
                r = configure_change_make(&plan->rules.version, &detail, &plan->session->rebuild->settings, &plan->change, e);
        collection_detail_clear(&detail);
        if (r == 0 && plan->config.source == CONFIG_UNSUPPORTED)
                return error_set(e, EILSEQ, "the collection's index is of a kind that is no local HNSW index");
        return r;
}

/* Positions. */

static int take_position(uint64_t position, const char *which, int64_t *ret, struct error *e)
{
        if (position > INT64_MAX)
                return error_set(e, EILSEQ, "the position of the %s segment is above every row that there can be", which);
        *ret = (int64_t) position;
        return 0;
}

/* Where nothing was ever written no position is lost: then the log is whole, which says more than a position would. Before 0.5.6 the position goes with the directory. */
static bool was_persisted(const struct commit_plan *plan, enum index_stage stage)
{
        return stage == INDEX_PERSISTED || stage == INDEX_INCOMPLETE ||
               (stage != INDEX_UNPERSISTED && plan->rules.version.embeddings_queue < QUEUE_CONFIG);
}

/* A rebuild of an index whose position is lost takes that of the records: rows up to there were written to it, or are lost with it. */
static int take_positions(struct commit_plan *plan, bool has_vector, uint64_t vector, enum index_stage stage)
{
        const struct segment *metadata = plan->collection->metadata;
        struct error *e = &plan->session->op->error;
        plan->has_record_position = metadata->has_position;
        int r = metadata->has_position ? take_position(metadata->position, "metadata", &plan->record_position, e) : 0;
        bool lost = !has_vector && plan->session->rebuild != NULL && metadata->has_position && was_persisted(plan, stage);
        plan->has_vector_position = has_vector || lost;
        if (r == 0 && plan->has_vector_position)
                r = take_position(has_vector ? vector : metadata->position, "vector", &plan->vector_position, e);
        plan->rules.vector_position = plan->vector_position;
        plan->rules.metadata_position = plan->record_position;
        plan->passed = plan->vector_position < plan->record_position ? plan->vector_position : plan->record_position;
        return r;
}

static int read_positions(struct commit_plan *plan)
{
        const struct segment *vector = plan->collection->vector;
        struct operation *op = plan->session->op;
        struct index_summary summary = { 0 };
        struct index_metadata *metadata_read = NULL;
        uint64_t position = 0;
        if (!vector->has_position)
                index_summary_read_all(op->dirfd, vector->id.bytes, operation_is_cancelled, op, &summary, &metadata_read);
        (void) index_metadata_free(metadata_read);
        if (summary.damage.code != 0) {
                int damage = commit_index_damage(op, vector->id.bytes, &summary.damage, &plan->cure);
                if (damage == -EILSEQ && plan->session->rebuild != NULL)
                        return take_positions(plan, false, 0, INDEX_INCOMPLETE);
                return damage;
        }
        bool has_position = vector_position(vector, &summary, &position);
        return take_positions(plan, has_position, position, summary.stage);
}

/* A collection without a dimension gets that of its first vector. */

static int take_dimension(void *context, sqlite3_stmt *stmt)
{
        struct commit_plan *plan = context;
        struct error why = { 0 };
        struct commit_row row = { 0 };
        int r = commit_row_decode(stmt, &plan->rules, &row, &why, &plan->session->op->error);
        uint32_t dimension = r == 0 && row.vector != NULL ? commit_row_dimension(stmt) : 0;
        commit_row_clear(&row);
        if (r < 0 || dimension == 0 || dimension > DIMENSION_MAX)
                return r < 0 ? r : 0;
        plan->rules.has_dimension = plan->gives_dimension = true;
        plan->rules.dimension = dimension;
        return 1;
}

static int find_dimension(struct commit_plan *plan, struct db *db)
{
        if (plan->rules.has_dimension)
                return 0;
        int r = commit_log_walk(db, plan->runs, plan->id, INT64_MIN, plan->last, take_dimension, plan, &plan->session->op->error);
        return r < 0 ? r : 0;
}

/* The rows. */

struct reading {
        struct commit_plan *plan;
        struct db *db;
        uint64_t hash;
        struct commit_preview *preview;
        struct commit_rejects *all, *records; /* above `passed`; above the metadata segment's position */
        uint64_t done;
};

uint64_t commit_rows_hash(uint64_t hash, const struct commit_row *row)
{
        uint64_t words[3] = { hash, (uint64_t) row->seq_id, row->hash };
        return XXH3_64bits(words, sizeof(words));
}

static int reject(struct reading *x, int64_t seq_id, const struct error *why)
{
        struct error *e = &x->plan->session->op->error;
        int r = commit_rejects_add(x->all, seq_id, why->text, e);
        if (r == 0 && seq_id > x->plan->record_position)
                r = commit_rejects_add(x->records, seq_id, why->text, e);
        return r;
}

static void count_row(struct reading *x, const struct commit_row *row, sqlite3_stmt *stmt)
{
        struct commit_plan *plan = x->plan;
        plan->rows++;
        x->hash = commit_rows_hash(x->hash, row);
        if (row->seq_id <= plan->record_position)
                return;
        plan->record_rows++;
        plan->record_bytes += (uint64_t) sqlite3_column_bytes(stmt, COLUMN_METADATA);
}

static int use_row(struct reading *x, const struct commit_row *row)
{
        struct commit_plan *plan = x->plan;
        struct error *e = &plan->session->op->error;
        int r = plan->vector == NULL ? 0 : commit_vector_gather(plan->vector, row, e);
        if (r == 0 && x->preview != NULL && row->seq_id > plan->record_position)
                r = commit_preview_row(x->preview, x->db, row, e);
        return r;
}

static int take_row(void *context, sqlite3_stmt *stmt)
{
        struct reading *x = context;
        struct commit_plan *plan = x->plan;
        struct operation *op = plan->session->op;
        struct error why = { 0 };
        struct commit_row row = { 0 };
        int r = commit_row_decode(stmt, &plan->rules, &row, &why, &op->error);
        if (r >= 0 && row.seq_id > plan->passed)
                count_row(x, &row, stmt);
        bool rejected = r == 1;
        if ((rejected || (r == 0 && row.incomplete)) && row.seq_id > plan->passed)
                r = reject(x, row.seq_id, &why);
        if (r >= 0 && !rejected)
                r = use_row(x, &row);
        commit_row_clear(&row);
        return r < 0 ? r : operation_progress(op, "reading", ++x->done, 0);
}

static int read_rows(struct commit_plan *plan, struct db *db, struct reading *x)
{
        struct operation *op = plan->session->op;
        if (x->all == NULL || x->records == NULL)
                return error_set(&op->error, ENOMEM, "no memory for a commit");
        int r = op->command->dry_run ? commit_preview_new(db, plan->collection, &x->preview, &op->error) : 0;
        if (r == 0)
                r = commit_log_walk(db, plan->runs, plan->id, plan->vector == NULL ? plan->passed + 1 : INT64_MIN, plan->last,
                                    take_row, x, &op->error);
        plan->rows_hash = x->hash;
        if (r == 0 && x->preview != NULL)
                plan->records = commit_preview_counts(x->preview);
        return r;
}

/* What is to be done. */

/* A position above the whole log would have Chroma pass over all that comes next (FORMAT R1); that of the records, where it is not, says as well what the new index has. */
static int64_t vector_base(const struct commit_plan *plan)
{
        const struct catalog *c = plan->session->catalog;
        bool is_wrong = plan->session->rebuild != NULL && c->has_queue_max && plan->vector_position > c->queue_max;
        is_wrong = is_wrong && plan->record_position > 0 && plan->record_position <= c->queue_max;
        return is_wrong ? plan->record_position : plan->vector_position;
}

int64_t commit_plan_vector_target(const struct commit_plan *plan)
{
        int64_t base = vector_base(plan);
        return base > plan->last ? base : plan->last;
}

/* Without an index the position stays where it is, though clean then keeps the rows: a position without an index says that the index was lost (FORMAT 7, "Row ahead of files"), so that
   whoever finds it (problems, clean, a commit of ours) would look for vectors that there never were. 1.x takes such a segment to be at 0 whatever the row says (FORMAT 4). */
static bool moves_vector(const struct commit_plan *plan)
{
        bool in_table = plan->rules.version.embeddings_queue >= QUEUE_CONFIG || plan->collection->vector->has_position;
        bool indexed = plan->vector != NULL && commit_vector_stamps(plan->vector)->files[INDEX_PICKLE].present;
        if (commit_plan_vector_target(plan) == 0)
                return false;
        return in_table && (plan->builds || (indexed && plan->last > plan->vector_position));
}

static void decide(struct commit_plan *plan, struct reading *x)
{
        plan->builds = plan->vector != NULL && commit_vector_has_work(plan->vector);
        plan->moves_vector = moves_vector(plan);
        plan->moves_record = plan->last > plan->record_position;
        struct commit_rejects **passed = plan->builds || plan->moves_vector ? &x->all : &x->records;
        plan->rejects = TAKE(*passed);
}

static int plan_rows(struct commit_plan *plan, struct db *db)
{
        struct reading x = { .plan = plan, .db = db, .all = commit_rejects_new(), .records = commit_rejects_new() };
        int r = read_rows(plan, db, &x);
        if (r == 0 && plan->vector != NULL)
                r = commit_plan_vector(plan, db);
        if (r == 0)
                decide(plan, &x);
        (void) commit_rejects_free(x.all);
        (void) commit_rejects_free(x.records);
        (void) commit_preview_free(x.preview);
        return r;
}

/* Its parameters would be changed, and the vectors would stay as they are. */
static int check_unmeasured(const struct commit_plan *plan)
{
        struct operation *op = plan->session->op;
        struct index_stamps stamps = index_stamps_read(op->dirfd, plan->collection->vector->id.bytes);
        if (plan->session->rebuild == NULL || !stamps.files[INDEX_PICKLE].present)
                return 0;
        return error_set(&op->error, EILSEQ, "the collection has an index, but table collections does not say its dimension");
}

int commit_plan_begin_vector(struct commit_plan *plan, bool trusts_position, const struct commit_vector *before)
{
        struct operation *op = plan->session->op;
        if (!plan->rules.has_dimension)
                return check_unmeasured(plan);
        struct commit_vector_start start = { .catalog = plan->session->catalog,
                                             .collection = plan->collection,
                                             .config = &plan->config,
                                             .rebuild = plan->session->rebuild != NULL ? &plan->change.after : NULL,
                                             .may_be_cosine = plan->may_be_cosine,
                                             .space_given = plan->session->rebuild != NULL &&
                                                            plan->session->rebuild->settings.given[SETTING_SPACE],
                                             .dimension = plan->rules.dimension,
                                             .trusts_position = trusts_position,
                                             .before = before,
                                             .has_position = plan->has_vector_position,
                                             .position = (uint64_t) plan->vector_position,
                                             .cure = &plan->cure };
        return commit_vector_begin(op, &start, &plan->vector);
}

static const struct commit_runs no_rows;

static int make_plan(struct commit_plan *plan, struct db *db)
{
        struct commit_session *session = plan->session;
        int r = commit_session_counter(db, plan->id, &plan->counter, &plan->fingerprint, &session->op->error);
        if (r == 0)
                r = commit_session_catch_up(session, db, plan->counter);
        if (r == 0)
                r = find_collection(plan);
        if (r < 0 || (plan->runs == NULL && session->rebuild == NULL))
                return r;
        if (plan->runs == NULL)
                plan->runs = &no_rows;
        r = read_config(plan, db);
        if (r == 0)
                r = read_positions(plan);
        if (r == 0)
                r = find_dimension(plan, db);
        if (r == 0)
                r = commit_plan_begin_vector(plan, false, NULL);
        if (r == 0)
                r = plan_rows(plan, db);
        if (r == 0)
                commit_plan_estimate(plan);
        return r;
}

int commit_plan_make(struct commit_session *session, struct db *db, const char *id, struct commit_plan *ret)
{
        *ret = (struct commit_plan){ .session = session };
        if (strlen(id) >= COLLECTION_ID_SIZE || !uuid_valid(id))
                return error_set(&session->op->error, EILSEQ, "the id of the collection is no UUID");
        memcpy(ret->id, id, COLLECTION_ID_SIZE);
        return make_plan(ret, db);
}

bool commit_plan_has_work(const struct commit_plan *plan)
{
        return plan->builds || plan->moves_vector || plan->moves_record || plan->change.count > 0;
}

void commit_plan_clear(struct commit_plan *plan)
{
        plan->vector = commit_vector_free(plan->vector);
        plan->rejects = commit_rejects_free(plan->rejects);
        configure_change_clear(&plan->change);
}
