/*
 * Three walks: the write-ahead log for what will be put into the index, the log again for what will be put into the metadata segment (which
 * has a position of its own), then the collection's records, by the unique index of table embeddings on (segment_id, embedding_id), which
 * holds all that is asked for.
 *
 * Of the rows that the metadata segment lacks, the last ADD, UPSERT or DELETE of an id decides whether it is there: an ADD of an id that is
 * there changes nothing, and an UPDATE neither brings nor removes one (FORMAT 3). Chroma 1.x passes over rows whose created_at is no time
 * (R10); table acquire_write tells that 1.x opened the directory (FORMAT 1).
 *
 * embedding_id is a text column, but a hostile file can hold any bytes in it, blobs too. A piece goes on behind the last value as SQLite
 * itself compares values, and with that value bound as it was read: each piece begins beyond the one before, so that the walk ends.
 * Empty text is the first value of all that a text column can hold (NULL, which Chroma's schema forbids, is passed over).
 *
 * Rows of the log at or below the position matter only where a record has no vector: they may say that it was added without one.
 * Releases before 0.5.6 keep the log for ever, so that part is not read before it is needed.
 */
#include "ops/record_audit.h"

#include <errno.h>
#include <string.h>

#include "ops/cleanup.h"
#include "ops/id_states.h"
#include "ops/pieces.h"
#include "ops/topic.h"

#define OPERATION_ADD 0
#define OPERATION_UPSERT 2
#define OPERATION_DELETE 3

/* Of an id in the rows that the metadata segment lacks. */
enum { PENDING_ABSENT = 1, PENDING_PRESENT, PENDING_SEEN /* present, and there already */ };

static const char log_sql[] = "SELECT seq_id, operation, topic, id, vector IS NOT NULL FROM embeddings_queue"
                              " WHERE seq_id >= ?1 AND seq_id <= ?2 ORDER BY seq_id";
static const char log_dated_sql[] =
        "SELECT seq_id, operation, topic, id, vector IS NOT NULL FROM embeddings_queue"
        " WHERE seq_id >= ?1 AND seq_id <= ?2 AND strftime('%s', created_at) IS NOT NULL ORDER BY seq_id";
static const char records_sql[] = "SELECT embedding_id FROM embeddings"
                                  " WHERE segment_id = ?1 AND embedding_id >= ?2 AND embedding_id IS NOT ?3 ORDER BY embedding_id";

struct auditing {
        struct pieces pieces;
        const struct collection *collection;
        struct id_set *indexed; /* have a vector */
        struct id_set bare;     /* were added or upserted without one */
        struct id_states pending;
        const char *log_sql;
        struct int_key key;
        int64_t last_seq_id;
        sqlite3_value *last_id; /* NULL before the first row */
        struct record_audit audit;
        int shown_bytes; /* of audit.first */
        bool shown_full;
        struct error *error;
};

static int no_memory(struct auditing *a)
{
        return error_set(a->error, ENOMEM, "no memory to audit the records of a collection");
}

static int bind_failed(struct auditing *a, int rc)
{
        return rc == SQLITE_OK ? 0 : rc == SQLITE_NOMEM ? no_memory(a) : error_set(a->error, EIO, "%s", sqlite3_errstr(rc));
}

static int bind_log(void *context, sqlite3_stmt *stmt)
{
        struct auditing *a = context;
        int r = int_key_bind(&a->key, stmt, 1);
        return r < 0 ? r : bind_failed(a, sqlite3_bind_int64(stmt, 2, a->last_seq_id));
}

static bool of_collection(const struct auditing *a, sqlite3_stmt *stmt, int column)
{
        struct text id = { 0 };
        const char *bytes;
        if (!topic_collection_id(stmt, column, &bytes, &id.len))
                return false;
        return id.len == a->collection->id.len && memcmp(bytes, a->collection->id.bytes, id.len) == 0;
}

/* Operations as sets of bits. Only ADD and UPSERT bring an id into a segment; an UPDATE of one that is not there changes nothing (FORMAT 7). */
#define BRINGS_ID (1u << OPERATION_ADD | 1u << OPERATION_UPSERT)
#define REMOVES_ID (1u << OPERATION_DELETE)

static unsigned operation_of(sqlite3_stmt *stmt, int column)
{
        if (sqlite3_column_type(stmt, column) != SQLITE_INTEGER)
                return 0;
        int64_t operation = sqlite3_column_int64(stmt, column);
        return operation >= OPERATION_ADD && operation <= OPERATION_DELETE ? 1u << operation : 0;
}

/* Takes the id of a row of the log that is the collection's and whose operation is one of a set: 1, 0 when it is not, or negative. */
static int take_row(struct auditing *a, sqlite3_stmt *stmt, unsigned operations, struct text *ret)
{
        int64_t seq_id;
        const char *id;
        int r = int_key_take(&a->key, stmt, 0, "embeddings_queue", &seq_id, a->error);
        if (r < 0)
                return r;
        if ((operation_of(stmt, 1) & operations) == 0 || !of_collection(a, stmt, 2) || !column_bytes(stmt, 3, &id, &ret->len))
                return 0;
        ret->bytes = (char *) (uintptr_t) id;
        return 1;
}

static int take_log(void *context, sqlite3_stmt *stmt)
{
        struct auditing *a = context;
        struct text id;
        int r = take_row(a, stmt, BRINGS_ID, &id);
        if (r <= 0)
                return r;
        bool has_vector = sqlite3_column_int(stmt, 4) != 0;
        return id_set_add(has_vector ? a->indexed : &a->bare, id.bytes, id.len) < 0 ? no_memory(a) : 0;
}

static int take_pending(void *context, sqlite3_stmt *stmt)
{
        struct auditing *a = context;
        struct text id;
        int r = take_row(a, stmt, BRINGS_ID | REMOVES_ID, &id);
        if (r <= 0)
                return r;
        unsigned state = (operation_of(stmt, 1) & REMOVES_ID) != 0 ? PENDING_ABSENT : PENDING_PRESENT;
        return id_states_set(&a->pending, id.bytes, id.len, state) < 0 ? no_memory(a) : 0;
}

static int walk_log(struct auditing *a, piece_row_fn *take, int64_t from, int64_t to)
{
        a->key = (struct int_key){ .next = from };
        a->last_seq_id = to;
        return pieces_walk(&a->pieces, a->log_sql, bind_log, take, a, a->error);
}

static int bind_records(void *context, sqlite3_stmt *stmt)
{
        struct auditing *a = context;
        const struct text *segment = &a->collection->metadata->id;
        int rc = sqlite3_bind_text64(stmt, 1, segment->bytes, segment->len, SQLITE_STATIC, SQLITE_UTF8);
        if (rc != SQLITE_OK)
                return bind_failed(a, rc);
        if (a->last_id == NULL)
                return bind_failed(a, sqlite3_bind_text(stmt, 2, "", 0, SQLITE_STATIC));
        rc = sqlite3_bind_value(stmt, 2, a->last_id);
        return bind_failed(a, rc != SQLITE_OK ? rc : sqlite3_bind_value(stmt, 3, a->last_id));
}

/* Keeps the first ids, up to a number and a size: an id can be as long as any value in the database. */
static int note_vectorless(struct auditing *a, sqlite3_stmt *stmt)
{
        a->audit.without_vector++;
        struct text id = { 0 };
        if (a->shown_full || a->audit.first_count == VECTORLESS_SHOWN)
                return 0;
        if (sqlite3_column_bytes(stmt, 0) > VECTORLESS_BYTES_MAX - a->shown_bytes) {
                a->shown_full = true;
                return 0;
        }
        int r = db_column_text(stmt, 0, &id, a->error);
        if (r < 0)
                return r;
        a->shown_bytes += (int) id.len;
        a->audit.first[a->audit.first_count++] = id;
        return 0;
}

static int take_record(void *context, sqlite3_stmt *stmt)
{
        struct auditing *a = context;
        /* Copied before it is read, which may convert it. */
        sqlite3_value *value = sqlite3_value_dup(sqlite3_column_value(stmt, 0));
        if (value == NULL)
                return no_memory(a);
        sqlite3_value_free(a->last_id);
        a->last_id = value;
        const char *id;
        size_t len;
        bool has_bytes = column_bytes(stmt, 0, &id, &len);
        unsigned pending = has_bytes ? id_states_get(&a->pending, id, len) : 0;
        if (pending == PENDING_ABSENT)
                return 0;
        if (pending == PENDING_PRESENT)
                (void) id_states_set(&a->pending, id, len, PENDING_SEEN);
        a->audit.records++;
        if (has_bytes && (id_set_has(a->indexed, id, len) || id_set_has(&a->bare, id, len)))
                return 0;
        return note_vectorless(a, stmt);
}

static int walk_records(struct auditing *a)
{
        record_audit_clear(&a->audit);
        a->shown_bytes = 0;
        a->shown_full = false;
        if (a->collection->metadata == NULL)
                return 0;
        int r = pieces_walk(&a->pieces, records_sql, bind_records, take_record, a, a->error);
        sqlite3_value_free(a->last_id);
        a->last_id = NULL;
        a->audit.records += id_states_count(&a->pending, PENDING_PRESENT);
        return r;
}

/* What the metadata segment lacks. Its position was read before: what was applied since is applied once more, and changes nothing. */
static int walk_pending(struct auditing *a)
{
        const struct segment *metadata = a->collection->metadata;
        if (metadata == NULL || (metadata->has_position && metadata->position >= INT64_MAX))
                return 0;
        return walk_log(a, take_pending, metadata->has_position ? (int64_t) metadata->position + 1 : INT64_MIN, INT64_MAX);
}

/* Which rows of the log count. */
static int choose_log(struct auditing *a)
{
        int r = db_begin(a->pieces.db, a->error);
        if (r < 0)
                return r;
        r = db_has_table(a->pieces.db, "acquire_write", a->error);
        db_end(a->pieces.db);
        a->log_sql = r > 0 ? log_dated_sql : log_sql;
        return r < 0 ? r : 0;
}

static int audit(struct auditing *a, bool has_position, uint64_t position)
{
        bool all_below = has_position && position >= INT64_MAX;
        int64_t last_applied = all_below ? INT64_MAX : (int64_t) position;
        int r = choose_log(a);
        if (r == 0 && !all_below)
                r = walk_log(a, take_log, has_position ? last_applied + 1 : INT64_MIN, INT64_MAX);
        if (r == 0)
                r = walk_pending(a);
        if (r == 0)
                r = walk_records(a);
        if (r < 0 || a->audit.without_vector == 0 || !has_position)
                return r;
        /* Vectors at or below the position are in the index or nowhere: this time only those without count. */
        struct id_set ignored = { 0 }, *indexed = a->indexed;
        size_t bare = a->bare.count;
        a->indexed = &ignored;
        r = walk_log(a, take_log, INT64_MIN, last_applied);
        a->indexed = indexed;
        id_set_clear(&ignored);
        return r < 0 || a->bare.count == bare ? r : walk_records(a);
}

int record_audit_read(struct db *db, const struct collection *collection, bool has_position, uint64_t position,
                      struct id_set *indexed, struct record_audit *ret, struct error *e)
{
        struct auditing a = { .collection = collection, .indexed = indexed, .error = e };
        pieces_init(&a.pieces, db);
        int r = audit(&a, has_position, position);
        id_set_clear(&a.bare);
        id_states_clear(&a.pending);
        if (r < 0) {
                record_audit_clear(&a.audit);
                return r;
        }
        a.audit.exact = a.pieces.exact;
        *ret = a.audit;
        return 0;
}

void record_audit_clear(struct record_audit *audit)
{
        for (size_t i = 0; i < audit->first_count; i++)
                free(audit->first[i].bytes);
        *audit = (struct record_audit){ 0 };
}
