/*
 * The limit of a collection is the smaller of two positions: the metadata segment's row in max_seq_id, and the vector segment's, which before 0.5.6
 * is in the pickle of its index. Without both there is none, and nothing goes: nothing was persisted yet, which is no fault.
 *
 * Pickles are only read where there is no row. The highest position of all (I1) needs those of the collections too that nobody asked for.
 */
#include "ops/operation/clean_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/index_summary.h"
#include "ops/operation/clean_index.h"

/* Positions. */

/* 0 or -ENOMEM. */
static int read_vector_position(struct operation *op, struct clean_collection *item)
{
        const struct segment *segment = item->collection->vector;
        struct index_summary summary = { 0 };
        if (segment == NULL || (!segment->has_position && !segment->id_is_uuid))
                return 0;
        if (!segment->has_position && !segment->position_bad)
                index_summary_read(op->dirfd, segment->id.bytes, &summary);
        item->has_vector_position = vector_position(segment, &summary, &item->vector_position);
        if (item->has_vector_position || summary.damage.code == 0)
                return 0;
        return clean_keep(item, &summary.damage, summary.damage.code == -EAGAIN ? NULL : "rebuild-hnsw", NULL);
}

static void note_position(struct clean_plan *plan, struct clean_collection *item, bool has, uint64_t position)
{
        if (!has || (plan->has_position && position <= plan->position))
                return;
        plan->has_position = true;
        plan->position = position;
        plan->highest = item;
}

/* Ids are unique in every honest schema; the catalog is sorted by them. */
static bool is_double(const struct clean_plan *plan, const struct clean_collection *item)
{
        const struct clean_collection *first = plan->collections, *last = first + plan->count - 1;
        return (item > first && text_equal(&item->collection->id, &item->collection[-1].id)) ||
               (item < last && text_equal(&item->collection->id, &item->collection[1].id));
}

/* What the tables alone have against cleaning the collection. */
static int find_fault(const struct clean_plan *plan, struct clean_collection *item)
{
        const struct collection *c = item->collection;
        struct error e = { 0 };
        if (is_double(plan, item))
                (void) error_set(&e, EILSEQ, "there are several collections with this id");
        else if (c->vector == NULL || c->metadata == NULL)
                (void) error_set(&e, EILSEQ, "the collection has no %s segment", c->vector == NULL ? "vector" : "metadata");
        else if (c->extra_segments > 0)
                (void) error_set(&e, EILSEQ, "the collection has more than two segments");
        else if (c->vector->position_bad || c->metadata->position_bad)
                (void) error_set(&e, EILSEQ, "the position of the %s segment in table max_seq_id can't be read",
                                 c->vector->position_bad ? "vector" : "metadata");
        else if (!c->vector->id_is_uuid)
                (void) error_set(&e, EILSEQ, "the id of the vector segment is no UUID");
        return e.code == 0 ? 0 : clean_keep(item, &e, NULL, NULL);
}

static void set_limit(struct clean_collection *item)
{
        item->limit = INT64_MIN;
        if (!item->wanted || !item->has_vector_position || !item->has_record_position)
                return;
        uint64_t limit = item->vector_position < item->record_position ? item->vector_position : item->record_position;
        item->limit = limit > INT64_MAX ? INT64_MAX : (int64_t) limit;
}

static int plan_collection(struct operation *op, struct clean_plan *plan, struct clean_collection *item)
{
        const struct segment *metadata = item->collection->metadata;
        item->wanted = operation_wants(op, item->collection);
        item->has_record_position = metadata != NULL && metadata->has_position && !metadata->position_bad;
        if (item->has_record_position)
                item->record_position = metadata->position;
        if (read_vector_position(op, item) < 0)
                return -ENOMEM;
        note_position(plan, item, item->has_record_position, item->record_position);
        note_position(plan, item, item->has_vector_position, item->vector_position);
        set_limit(item);
        return item->wanted ? find_fault(plan, item) : 0;
}

/* Lookups. */

static void index_collection(struct clean_plan *plan, struct clean_collection *item)
{
        const struct collection *c = item->collection;
        HASH_ADD_KEYPTR(by_id, plan->by_id, c->id.bytes, c->id.len, item);
        if (c->metadata != NULL)
                HASH_ADD_KEYPTR(by_segment, plan->by_segment, c->metadata->id.bytes, c->metadata->id.len, item);
}

struct clean_collection *clean_plan_find(struct clean_plan *plan, const void *id, size_t len)
{
        struct clean_collection *item = plan->last;
        if (item != NULL && item->collection->id.len == len && memcmp(item->collection->id.bytes, id, len) == 0)
                return item;
        HASH_FIND(by_id, plan->by_id, id, len, item);
        if (item != NULL)
                plan->last = item;
        return item;
}

/* The whole. */

static int check_sentinel(struct operation *op, struct clean_plan *plan)
{
        const struct catalog *c = plan->catalog;
        if (!plan->has_position || plan->position == 0)
                return 0;
        plan->sentinel = !c->has_queue_max || c->queue_max < 0 || (uint64_t) c->queue_max < plan->position;
        if (plan->sentinel && plan->position >= INT64_MAX)
                return error_set(
                        &op->error, EILSEQ,
                        "table max_seq_id or a pickle says that row %llu of the log was applied: there can't be one behind it, so "
                        "that nothing more could be written into the collection of id %s",
                        (unsigned long long) plan->position, plan->highest->collection->id.bytes);
        return 0;
}

static int plan_all(struct operation *op, struct clean_plan *plan)
{
        plan->count = plan->catalog->collection_count;
        plan->collections = calloc(plan->count + 1, sizeof(*plan->collections));
        if (plan->collections == NULL)
                return error_set(&op->error, ENOMEM, "no memory for %zu collections", plan->count);
        for (size_t i = 0; i < plan->count; i++) {
                struct clean_collection *item = &plan->collections[i];
                item->collection = &plan->catalog->collections[i];
                index_collection(plan, item);
                if (plan_collection(op, plan, item) < 0)
                        return error_set(&op->error, ENOMEM, "no memory for %zu collections", plan->count);
                int r = operation_progress(op, "looking", i, plan->count);
                if (r < 0)
                        return r;
        }
        return check_sentinel(op, plan);
}

static int read_counter(struct db *db, uint32_t *ret, struct error *e)
{
        int r = db_begin(db, e);
        if (r < 0)
                return r;
        r = db_change_counter(db, ret, e);
        db_end(db);
        return r;
}

int clean_plan_new(struct operation *op, struct db *db, struct clean_plan **ret)
{
        CLEANUP(clean_plan_free)
        struct clean_plan *plan = calloc(1, sizeof(*plan));
        if (plan == NULL)
                return error_set(&op->error, ENOMEM, "no memory to plan");
        int r = read_counter(db, &plan->counter, &op->error);
        if (r == 0)
                r = catalog_read(db, &plan->catalog, &op->error);
        if (r < 0)
                return r;
        const char *asked = op->request->collection_id;
        if (asked != NULL && catalog_collection(plan->catalog, asked) == NULL)
                return error_set(&op->error, ENOENT, "there is no collection with id %s any more", asked);
        r = plan_all(op, plan);
        if (r == 0)
                *ret = TAKE(plan);
        return r;
}

bool clean_wants_sentinel(const struct clean_plan *plan, const struct clean_collection *item, int64_t *ret_seq_id)
{
        uint64_t vector = item->has_vector_position ? item->vector_position : 0;
        uint64_t record = item->has_record_position ? item->record_position : 0, position = vector > record ? vector : record;
        if (!plan->sentinel || position == 0 || position >= INT64_MAX)
                return false;
        *ret_seq_id = (int64_t) position;
        return item->rows == 0 || item->last < *ret_seq_id;
}

uint64_t clean_rows_to_go(const struct clean_collection *item)
{
        return item->kept != NULL ? 0 : item->rows_old;
}

uint64_t clean_plan_rows_to_go(const struct clean_plan *plan)
{
        uint64_t rows = 0;
        for (size_t i = 0; i < plan->count; i++)
                rows += clean_rows_to_go(&plan->collections[i]);
        return rows;
}

size_t clean_plan_kept(const struct clean_plan *plan)
{
        size_t kept = 0;
        for (size_t i = 0; i < plan->count; i++)
                kept += plan->collections[i].kept != NULL && plan->collections[i].rows > 0;
        return kept;
}

int clean_keep(struct clean_collection *item, const struct error *e, const char *cure, const int64_t *seq_id)
{
        if (item->kept != NULL)
                return 0;
        item->kept = calloc(1, sizeof(*item->kept));
        if (item->kept == NULL)
                return -ENOMEM;
        *item->kept = (struct clean_reason){ .error = *e, .cure = cure, .has_row = seq_id != NULL };
        if (seq_id != NULL)
                item->kept->seq_id = *seq_id;
        return 0;
}

struct clean_plan *clean_plan_free(struct clean_plan *plan)
{
        if (plan == NULL)
                return NULL;
        HASH_CLEAR(by_id, plan->by_id);
        HASH_CLEAR(by_segment, plan->by_segment);
        for (size_t i = 0; i < plan->count && plan->collections != NULL; i++) {
                struct clean_collection *item = &plan->collections[i];
                free(item->kept);
                free(item->stamps);
                free(item->topic.bytes);
                (void) clean_index_free(item->index);
        }
        free(plan->collections);
        free(plan->topic.bytes);
        (void) catalog_free(plan->catalog);
        free(plan);
        return NULL;
}
