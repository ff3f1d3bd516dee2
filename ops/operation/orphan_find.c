/*
 * One walk along each table, by rowid. Who owns a row is asked of two sets in memory, the ids of all segments and of all
 * collections; for rows of an embedding, of a point look-up in embeddings. So the time grows with the rows, whatever the number of
 * collections: no topic, no segment has a scan of its own.
 *
 * What is found is kept as runs: from a first to a last rowid, with nothing but orphans in between. A deleted collection's rows lie
 * side by side for the most part, so that a million of them take a few kilobytes; a run is cut at ORPHAN_RUN_MAX rows, so that
 * deleting it ends soon enough to report progress.
 *
 * An embedding whose segment is unknown goes, and so do the rows that belong to it; one whose segment_id is odd stays, with its
 * rows.
 */
#include "ops/operation/orphan_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ops/id_set.h"
#include "ops/pieces.h"
#include "ops/topic.h"

#define UUID_LEN 36

/* Who there is. */
struct owners {
        struct id_set segments, collections;
        struct id_set topics; /* before 0.5.0 tables say the topic of a collection */
};

static void owners_clear(struct owners *o)
{
        id_set_clear(&o->segments);
        id_set_clear(&o->collections);
        id_set_clear(&o->topics);
}

static int owners_of(const struct catalog *catalog, struct owners *o)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < catalog->segment_count; i++) {
                const struct segment *s = &catalog->segments[i];
                r = id_set_add(&o->segments, s->id.bytes, s->id.len);
                if (r == 0)
                        r = id_set_add(&o->collections, s->collection_id.bytes, s->collection_id.len);
        }
        for (size_t i = 0; r == 0 && i < catalog->collection_count; i++)
                r = id_set_add(&o->collections, catalog->collections[i].id.bytes, catalog->collections[i].id.len);
        return r;
}

/* The walk along one table. */
struct finding {
        struct operation *op;
        struct db *db;
        const struct orphan_table_type *type;
        const struct owners *owners;
        struct orphan_rows *rows;
        struct orphan_list *list;
        struct int_key key;
        bool extends; /* the last row is an orphan, and in the last run */
        int64_t last;
        uint64_t *done;
};

enum verdict { OWNED, ORPHAN, ODD };

static bool is_uuid(const char *bytes, size_t len)
{
        char id[UUID_LEN + 1];
        if (len != UUID_LEN)
                return false;
        memcpy(id, bytes, UUID_LEN);
        id[UUID_LEN] = '\0';
        return uuid_valid(id);
}

static enum verdict judge_id(const struct id_set *known, sqlite3_stmt *row, int column)
{
        const char *id;
        size_t len;
        if (!column_bytes(row, column, &id, &len))
                return ODD;
        if (id_set_has(known, id, len))
                return OWNED;
        return sqlite3_column_type(row, column) == SQLITE_TEXT && is_uuid(id, len) ? ORPHAN : ODD;
}

static enum verdict judge_topic(const struct owners *owners, sqlite3_stmt *row, int column)
{
        const char *id, *topic;
        size_t len, topic_len;
        if (!topic_collection_id(row, column, &id, &len) || !column_bytes(row, column, &topic, &topic_len))
                return ODD;
        if (id_set_has(&owners->collections, id, len) || id_set_has(&owners->topics, topic, topic_len))
                return OWNED;
        return is_uuid(id, len) ? ORPHAN : ODD;
}

static enum verdict judge_embedding(const struct owners *owners, sqlite3_stmt *row)
{
        bool there = sqlite3_column_int(row, 3) != 0;
        if (there)
                return judge_id(&owners->segments, row, 4) == ORPHAN ? ORPHAN : OWNED;
        return sqlite3_column_type(row, 2) == SQLITE_INTEGER ? ORPHAN : ODD;
}

static enum verdict judge(const struct finding *f, sqlite3_stmt *row)
{
        switch (f->type->owner) {
        case OWNER_SEGMENT:
                return judge_id(&f->owners->segments, row, 2);
        case OWNER_COLLECTION:
                return judge_id(&f->owners->collections, row, 2);
        case OWNER_TOPIC:
                return judge_topic(f->owners, row, 2);
        case OWNER_EMBEDDING:
                return judge_embedding(f->owners, row);
        }
        return ODD;
}

static int add_run(struct orphan_list *list, int64_t rowid, struct error *e)
{
        if (list->count == list->capacity) {
                size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
                struct orphan_run *runs = reallocarray(list->runs, capacity, sizeof(*runs));
                if (runs == NULL)
                        return error_set(e, ENOMEM, "no memory for %zu runs of orphan rows", capacity);
                list->runs = runs;
                list->capacity = capacity;
        }
        list->runs[list->count++] = (struct orphan_run){ .first = rowid, .last = rowid };
        return 0;
}

static int add_row(struct finding *f, int64_t rowid)
{
        struct orphan_list *list = f->list;
        if (!f->extends || list->runs[list->count - 1].rows == ORPHAN_RUN_MAX) {
                int r = add_run(list, rowid, &f->op->error);
                if (r < 0)
                        return r;
        }
        struct orphan_run *run = &list->runs[list->count - 1];
        run->last = rowid;
        run->rows++;
        list->rows++;
        return 0;
}

static int bind_key(void *context, sqlite3_stmt *stmt)
{
        return int_key_bind(&((struct finding *) context)->key, stmt, 1);
}

static int take_row(void *context, sqlite3_stmt *row)
{
        struct finding *f = context;
        int64_t rowid;
        int r = int_key_take(&f->key, row, 0, f->type->source, &rowid, &f->op->error);
        if (r < 0)
                return r;
        if (sqlite3_column_int(row, 1) == 0)
                return error_set(&f->op->error, EILSEQ,
                                 "table %s is not as Chroma makes it: row %" PRId64 " has another key than its rowid",
                                 f->type->source, rowid);
        enum verdict verdict = judge(f, row);
        if (verdict == ORPHAN && (r = add_row(f, rowid)) < 0)
                return r;
        f->list->odd += verdict == ODD;
        f->extends = verdict == ORPHAN;
        f->last = rowid;
        return operation_progress(f->op, "looking", ++*f->done, 0);
}

/* The row with the highest seq_id stays. Its run ends just below it, since there is no row between that and the one before. */
static void keep_log_row(struct finding *f)
{
        struct orphan_list *list = f->list;
        if (!f->extends)
                return;
        struct orphan_run *run = &list->runs[list->count - 1];
        list->rows--;
        if (--run->rows == 0)
                list->count--;
        else
                run->last--;
        f->rows->keeps_log_row = true;
        f->rows->log_row = f->last;
}

/* 1: it is there and can be walked; 0: this version has none. */
static int check_table(struct operation *op, struct db *db, const struct orphan_table_type *type, const struct catalog *catalog)
{
        struct error *e = &op->error;
        int there = db_has_table(db, type->source, e);
        if (there == 0 && type->metadb <= catalog->version.metadb && type->metadb >= 0)
                return error_set(e, EILSEQ,
                                 "table %s is missing: the directory is damaged, and nothing can be called an orphan in it",
                                 type->source);
        int odd = there > 0 ? db_has_column(db, type->source, "rowid", e) : there;
        if (odd > 0)
                return error_set(e, EILSEQ, "table %s is not as Chroma makes it: it has a column rowid", type->source);
        return odd < 0 ? odd : there;
}

static int check_tables(struct operation *op, struct db *db, const struct catalog *catalog, struct orphan_rows *rows)
{
        int r = db_begin(db, &op->error);
        if (r < 0)
                return r;
        for (int i = 0; r >= 0 && i < ORPHAN_TABLE_COUNT; i++) {
                r = check_table(op, db, &orphan_table_types[i], catalog);
                rows->lists[i].present = r > 0;
        }
        db_end(db);
        return r < 0 ? r : 0;
}

static int find_in(struct finding *f)
{
        if (!f->list->present)
                return 0;
        f->key = INT_KEY_START;
        struct pieces pieces;
        pieces_init(&pieces, f->db);
        int r = pieces_walk(&pieces, f->type->find, bind_key, take_row, f, &f->op->error);
        if (r == 0 && f->type->owner == OWNER_TOPIC)
                keep_log_row(f);
        return r;
}

static int take_topics(struct operation *op, struct db *db, const char *sql, struct id_set *topics)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *row = NULL;
        int r = db_prepare(db, &row, &op->error, sql);
        while (r == 0 && (r = db_step(db, row, &op->error)) > 0) {
                const char *topic;
                size_t len;
                r = column_bytes(row, 0, &topic, &len) ? id_set_add(topics, topic, len) : 0;
        }
        return r;
}

/* Before 0.5.0 a collection and its segments say their topic themselves (FORMAT 3). */
static int read_topics(struct operation *op, struct db *db, struct owners *owners)
{
        static const char *const tables[][2] = { { "collections", "SELECT topic FROM collections" },
                                                 { "segments", "SELECT topic FROM segments" } };
        int r = db_begin(db, &op->error);
        if (r < 0)
                return r;
        for (size_t i = 0; r >= 0 && i < sizeof(tables) / sizeof(*tables); i++) {
                r = db_has_column(db, tables[i][0], "topic", &op->error);
                if (r > 0)
                        r = take_topics(op, db, tables[i][1], &owners->topics);
        }
        db_end(db);
        return r < 0 ? r : 0;
}

/* A copy's texts must be those of the database, byte for byte. */
static int check_encoding(struct operation *op, struct db *db)
{
        int r = db_begin(db, &op->error);
        if (r < 0)
                return r;
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *row = NULL;
        r = db_prepare(db, &row, &op->error, "PRAGMA encoding");
        if (r == 0)
                r = db_step(db, row, &op->error);
        if (r > 0 && sqlite3_stricmp((const char *) sqlite3_column_text(row, 0), "UTF-8") != 0)
                r = error_set(&op->error, EILSEQ,
                              DB_FILE " holds its text in another encoding than UTF-8: no Chroma makes such a one");
        db_end(db);
        return r < 0 ? r : 0;
}

int orphan_rows_find(struct operation *op, struct db *db, const struct catalog *catalog, struct orphan_rows *ret)
{
        struct owners owners = { 0 };
        uint64_t done = 0;
        int r = check_encoding(op, db);
        if (r == 0)
                r = check_tables(op, db, catalog, ret);
        if (r == 0 && owners_of(catalog, &owners) < 0)
                r = error_set(&op->error, ENOMEM, "no memory for the ids of %zu segments", catalog->segment_count);
        if (r == 0)
                r = read_topics(op, db, &owners);
        for (int i = 0; r == 0 && i < ORPHAN_TABLE_COUNT; i++) {
                struct finding f = { .op = op,
                                     .db = db,
                                     .type = &orphan_table_types[i],
                                     .owners = &owners,
                                     .rows = ret,
                                     .list = &ret->lists[i],
                                     .done = &done };
                r = find_in(&f);
        }
        owners_clear(&owners);
        return r;
}
