/*
 * Passes. The log has no index on topics, so one walk over it serves all collections. An index is loaded when the walk meets the first row of its
 * collection that is to go: a collection without such rows costs nothing. The walk stops there, since loading takes longer than a read
 * transaction may, and goes on at the same row. A collection for which there is no more memory waits for another pass; each pass has one
 * collection at least. Behind the log each pass walks over `embeddings`, once for all its collections, and judges.
 *
 * A vector is compared with the index where its row is met, so that no vector is kept and no row is read twice. Of each index data_level0.bin is
 * open, for at most OPEN_MAX of them at once.
 */
#include "ops/operation/clean_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/operation/clean_index.h"
#include "ops/operation/clean_state.h"
#include "ops/operation/clean_verdict.h"
#include "ops/pieces.h"
#include "ops/topic.h"

#define OPEN_MAX 64
#define PROGRESS_ROWS 64 /* between two looks at the clock */
#define WALK_STOPS 1     /* to load an index */

static const char log_sql[] = "SELECT seq_id, topic, operation, id, vector, encoding FROM embeddings_queue NOT INDEXED"
                              " WHERE seq_id >= ?1 ORDER BY seq_id";
static const char records_sql[] =
        "SELECT id, segment_id, embedding_id, seq_id FROM embeddings NOT INDEXED WHERE id >= ?1 ORDER BY id";

enum { LOG_SEQ_ID, LOG_TOPIC, LOG_OPERATION, LOG_ID, LOG_VECTOR, LOG_ENCODING };
enum { RECORD_KEY, RECORD_SEGMENT, RECORD_ID, RECORD_SEQ_ID };

struct check {
        struct operation *op;
        struct clean_plan *plan;
        struct pieces pieces;
        struct int_key key;
        bool counted; /* the rows are, in the first pass */
        uint64_t memory, memory_max;
        int64_t first, last;              /* keys of this walk; last INT64_MIN: unknown */
        uint64_t taken;                   /* so many of them */
        struct clean_collection *wanting; /* its index, for the walk to go on */
        struct clean_index *open[OPEN_MAX];
        size_t next_open;
        struct error *e;
};

static int no_memory(struct check *c)
{
        return error_set(c->e, ENOMEM, "no memory to check the log");
}

static int bind_key(void *context, sqlite3_stmt *stmt)
{
        struct check *c = context;
        return int_key_bind(&c->key, stmt, 1);
}

static int keep_row(struct check *c, struct clean_collection *item, int64_t seq_id, const char *what)
{
        struct error e = { 0 };
        (void) error_set(&e, EILSEQ, "row %lld of the log %s", (long long) seq_id, what);
        return clean_keep(item, &e, NULL, &seq_id) < 0 ? no_memory(c) : 0;
}

/* Indexes. */

static int open_index(struct check *c, struct clean_index *index)
{
        if (index->fd >= 0)
                return 0;
        size_t place = c->next_open++ % OPEN_MAX;
        if (c->open[place] != NULL)
                clean_index_close(c->open[place]);
        c->open[place] = index;
        return clean_index_open(index, c->op->dirfd, c->e);
}

static int load_index(struct check *c, struct clean_collection *item)
{
        struct error fault = { 0 };
        const char *cure = NULL;
        int r = clean_index_load(c->op->dirfd, c->pieces.db, c->plan->catalog, item->collection, operation_is_cancelled, c->op,
                                 &item->index, &fault, &cure, c->e);
        if (r < 0)
                return r;
        item->checked = true;
        if (item->index == NULL)
                return clean_keep(item, &fault, fault.code == -EAGAIN ? NULL : cure, NULL) < 0 ? no_memory(c) : 0;
        c->memory += clean_index_size(item->index);
        item->stamps = malloc(sizeof(*item->stamps));
        if (item->stamps == NULL)
                return no_memory(c);
        *item->stamps = item->index->stamps;
        return 0;
}

/* Rows of the log. */

static int operation_of(sqlite3_stmt *stmt)
{
        int64_t operation = sqlite3_column_int64(stmt, LOG_OPERATION);
        return sqlite3_column_type(stmt, LOG_OPERATION) == SQLITE_INTEGER && operation >= CLEAN_ADD && operation <= CLEAN_DELETE
                       ? (int) operation
                       : -1;
}

/* Whether the index has the row's vector. A vector in another encoding counts as another one. */
static int compare_vector(struct check *c, struct clean_index *index, const struct clean_id *id, sqlite3_stmt *stmt, bool *ret)
{
        const char *vector, *encoding;
        size_t len, encoding_len;
        *ret = false;
        if (id->element == CLEAN_NO_ELEMENT || sqlite3_column_type(stmt, LOG_VECTOR) != SQLITE_BLOB ||
            !column_bytes(stmt, LOG_VECTOR, &vector, &len) || !column_bytes(stmt, LOG_ENCODING, &encoding, &encoding_len) ||
            encoding_len != 7 || memcmp(encoding, "FLOAT32", 7) != 0)
                return 0;
        int r = open_index(c, index);
        return r < 0 ? r : clean_index_compare(index, id->element, vector, len, ret, c->e);
}

static int apply_row(struct check *c, struct clean_collection *item, sqlite3_stmt *stmt, struct clean_row *row)
{
        const char *bytes;
        size_t len;
        int operation = operation_of(stmt);
        if (row->goes && row->seq_id < 1)
                return keep_row(c, item, row->seq_id, "has a number that no row has");
        if (row->goes && operation < 0)
                return keep_row(c, item, row->seq_id, "has an operation that is not known");
        if (sqlite3_column_type(stmt, LOG_ID) != SQLITE_TEXT || !column_bytes(stmt, LOG_ID, &bytes, &len))
                return row->goes ? keep_row(c, item, row->seq_id, "has an id that is no text") : 0;
        struct clean_ids *ids = &item->index->ids;
        struct clean_id *id = row->goes ? clean_ids_add(ids, bytes, len) : clean_ids_find(ids, bytes, len);
        if (id == NULL)
                return row->goes ? no_memory(c) : 0;
        if (operation < 0 || (!row->goes && !id->touched))
                return 0;
        row->operation = (enum clean_operation) operation;
        row->has_vector = sqlite3_column_type(stmt, LOG_VECTOR) != SQLITE_NULL;
        int r = row->has_vector ? compare_vector(c, item->index, id, stmt, &row->equal) : 0;
        if (r == 0)
                clean_state_apply(id, row);
        return r;
}

static bool reached(bool has, uint64_t position, int64_t seq_id)
{
        return has && seq_id >= 0 && (uint64_t) seq_id <= position;
}

/* WALK_STOPS when the index has to be loaded first. */
static int check_row(struct check *c, struct clean_collection *item, sqlite3_stmt *stmt, int64_t seq_id)
{
        struct clean_row row = {
                .seq_id = seq_id,
                .goes = seq_id < item->limit,
                .in_vector_position = reached(item->has_vector_position, item->vector_position, seq_id),
                .in_record_position = reached(item->has_record_position, item->record_position, seq_id),
        };
        if (item->kept != NULL || (!row.goes && item->index == NULL))
                return 0;
        if (item->index == NULL) {
                if (item->checked)
                        return 0;
                item->deferred = c->memory > 0 && c->memory >= c->memory_max;
                if (item->deferred)
                        return 0;
                c->wanting = item;
                return WALK_STOPS;
        }
        return apply_row(c, item, stmt, &row);
}

static int note_topic(struct check *c, struct clean_collection *item, sqlite3_stmt *stmt)
{
        const char *bytes;
        size_t len;
        if (item->topic.bytes != NULL || !column_bytes(stmt, LOG_TOPIC, &bytes, &len))
                return 0;
        if (text_copy(&item->topic, bytes, len) < 0)
                return no_memory(c);
        if (c->plan->topic.bytes == NULL && text_copy(&c->plan->topic, bytes, len) < 0)
                return no_memory(c);
        return 0;
}

static int count_row(struct check *c, struct clean_collection *item, sqlite3_stmt *stmt, int64_t seq_id)
{
        c->plan->rows++;
        if (item == NULL)
                return 0;
        item->rows++;
        item->rows_old += seq_id < item->limit;
        item->last = seq_id;
        return note_topic(c, item, stmt);
}

static uint64_t distance(int64_t from, int64_t to)
{
        return to < from ? 0 : (uint64_t) to - (uint64_t) from + 1;
}

static int take_key(struct check *c, sqlite3_stmt *stmt, const char *table, const char *phase, int64_t *ret)
{
        int r = int_key_take(&c->key, stmt, 0, table, ret, c->e);
        if (r < 0)
                return r;
        if (c->taken == 0)
                c->first = *ret;
        if (c->taken++ % PROGRESS_ROWS != 0)
                return 0;
        return operation_progress(c->op, phase, distance(c->first, *ret), distance(c->first, c->last));
}

static int take_row(void *context, sqlite3_stmt *stmt)
{
        struct check *c = context;
        const char *bytes;
        size_t len;
        int64_t seq_id;
        struct int_key before = c->key;
        int r = take_key(c, stmt, "embeddings_queue", "checking the log", &seq_id);
        if (r < 0)
                return r;
        struct clean_collection *item =
                topic_collection_id(stmt, LOG_TOPIC, &bytes, &len) ? clean_plan_find(c->plan, bytes, len) : NULL;
        r = item == NULL ? 0 : check_row(c, item, stmt, seq_id);
        if (r == WALK_STOPS)
                c->key = before;
        if (r != 0 || c->counted)
                return r;
        return count_row(c, item, stmt, seq_id);
}

static void begin_walk(struct check *c, int64_t last)
{
        c->key = INT_KEY_START;
        c->last = last;
        c->taken = 0;
        c->wanting = NULL;
}

static int walk_log(struct check *c)
{
        const struct catalog *catalog = c->plan->catalog;
        begin_walk(c, catalog->has_queue_max ? catalog->queue_max : INT64_MIN);
        int r = WALK_STOPS;
        while (r == WALK_STOPS) {
                r = pieces_walk(&c->pieces, log_sql, bind_key, take_row, c, c->e);
                int loaded = r == WALK_STOPS ? load_index(c, c->wanting) : 0;
                r = loaded < 0 ? loaded : r;
        }
        c->counted = true;
        return r;
}

/* Records. */

static struct clean_collection *owner_of(struct check *c, sqlite3_stmt *stmt)
{
        const char *bytes;
        size_t len;
        struct clean_collection *item = c->wanting;
        if (!column_bytes(stmt, RECORD_SEGMENT, &bytes, &len))
                return NULL;
        if (item == NULL || item->collection->metadata->id.len != len ||
            memcmp(item->collection->metadata->id.bytes, bytes, len) != 0)
                HASH_FIND(by_segment, c->plan->by_segment, bytes, len, item);
        c->wanting = item;
        return item;
}

static int take_record(void *context, sqlite3_stmt *stmt)
{
        struct check *c = context;
        const char *bytes;
        size_t len;
        int64_t key;
        int r = take_key(c, stmt, "embeddings", "checking the records", &key);
        if (r < 0)
                return r;
        struct clean_collection *item = owner_of(c, stmt);
        if (item == NULL || item->index == NULL || !column_bytes(stmt, RECORD_ID, &bytes, &len))
                return 0;
        struct clean_id *id = clean_ids_find(&item->index->ids, bytes, len);
        if (id == NULL || !id->touched)
                return 0;
        uint64_t seq_id = 0;
        if (!position_decode(sqlite3_column_value(stmt, RECORD_SEQ_ID), &seq_id) || seq_id > INT64_MAX)
                seq_id = INT64_MAX; /* of no row: in doubt */
        clean_state_record(id, (int64_t) seq_id);
        return 0;
}

static int walk_records(struct check *c)
{
        begin_walk(c, INT64_MIN);
        return pieces_walk(&c->pieces, records_sql, bind_key, take_record, c, c->e);
}

static int judge(struct check *c, struct clean_collection *item)
{
        int r = clean_verdict(c->pieces.db, item, c->e);
        item->index = clean_index_free(item->index);
        return r;
}

/* Passes. *ret_more: some collections wait for another one. */
static int pass(struct check *c, bool *ret_more)
{
        c->memory = 0;
        memset(c->open, 0, sizeof(c->open));
        for (size_t i = 0; i < c->plan->count; i++)
                c->plan->collections[i].deferred = false;
        int r = walk_log(c);
        bool any = false;
        *ret_more = false;
        for (size_t i = 0; i < c->plan->count; i++) {
                any = any || c->plan->collections[i].index != NULL;
                *ret_more = *ret_more || c->plan->collections[i].deferred;
        }
        if (r == 0 && any)
                r = walk_records(c);
        for (size_t i = 0; r == 0 && i < c->plan->count; i++)
                if (c->plan->collections[i].index != NULL)
                        r = judge(c, &c->plan->collections[i]);
        return r;
}

static int check_unchanged(struct check *c)
{
        uint32_t counter = 0;
        int r = db_begin(c->pieces.db, c->e);
        if (r < 0)
                return r;
        r = db_change_counter(c->pieces.db, &counter, c->e);
        db_end(c->pieces.db);
        if (r == 0 && (counter != c->plan->counter || !c->pieces.exact))
                return error_set(c->e, ESTALE, "another process has written to the database meanwhile");
        return r;
}

static void count_sentinels(struct clean_plan *plan)
{
        int64_t seq_id;
        plan->sentinels = 0;
        for (size_t i = 0; i < plan->count; i++)
                plan->sentinels += clean_wants_sentinel(plan, &plan->collections[i], &seq_id);
}

int clean_check(struct operation *op, struct db *db, struct clean_plan *plan, uint64_t memory_max)
{
        struct check c = { .op = op, .plan = plan, .memory_max = memory_max, .e = &op->error };
        bool more = true;
        int r = 0;
        pieces_init(&c.pieces, db);
        while (r == 0 && more)
                r = pass(&c, &more);
        count_sentinels(plan);
        return r < 0 ? r : check_unchanged(&c);
}
