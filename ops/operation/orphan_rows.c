/*
 * The tables, and the reading of the rows that were found in them (orphan_find.c; orphan_delete.c deletes them).
 *
 * Reading happens in transactions of at most PIECE_MS, between any two rows, so that a process that writes needs not wait for a copy; a run
 * whose rows are not those that were found says that someone has committed.
 */
#include "ops/operation/orphan_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "ops/clock.h"
#include "ops/pieces.h"

#define FIND_BY_TEXT(table, owner) "SELECT rowid, 1, " owner " FROM " table " WHERE rowid >= ? ORDER BY rowid"
#define FIND_BY_ALIAS(table, alias, owner)                                                                                         \
        "SELECT rowid, rowid IS " alias ", " owner " FROM " table " WHERE rowid >= ? ORDER BY rowid"
#define FIND_BY_EMBEDDING(table, alias, id)                                                                                        \
        "SELECT m.rowid, m.rowid IS " alias ", m." id ", e.id IS NOT NULL, e.segment_id FROM " table                               \
        " AS m LEFT JOIN embeddings AS e ON e.id = m." id " WHERE m.rowid >= ? ORDER BY m.rowid"

static const char odd_segment[] = "whose segment_id is no UUID";
static const char odd_embedding[] = "whose id is no whole number";

const struct orphan_table_type orphan_table_types[ORPHAN_TABLE_COUNT] = {
        [ORPHAN_FULLTEXT] = { .name = "embedding_fulltext_search",
                              .source = "embedding_fulltext_search_content",
                              .columns = "c0",
                              .names = "rowid INTEGER PRIMARY KEY, string_value",
                              .find = FIND_BY_EMBEDDING("embedding_fulltext_search_content", "m.id", "id"),
                              .metadb = -1,
                              .owner = OWNER_EMBEDDING,
                              .odd = odd_embedding },
        [ORPHAN_OLD_FULLTEXT] = { .name = "embedding_fulltext",
                                  .source = "embedding_fulltext_content",
                                  .columns = "c0, c1",
                                  .names = "rowid INTEGER PRIMARY KEY, id, string_value",
                                  .find = FIND_BY_EMBEDDING("embedding_fulltext_content", "m.id", "c0"),
                                  .metadb = -1,
                                  .owner = OWNER_EMBEDDING,
                                  .odd = odd_embedding },
        [ORPHAN_METADATA_ARRAY] = { .name = "embedding_metadata_array",
                                    .source = "embedding_metadata_array",
                                    .columns = "*",
                                    .find = FIND_BY_EMBEDDING("embedding_metadata_array", "m.rowid", "id"),
                                    .metadb = 6,
                                    .owner = OWNER_EMBEDDING,
                                    .odd = odd_embedding },
        [ORPHAN_METADATA] = { .name = "embedding_metadata",
                              .source = "embedding_metadata",
                              .columns = "*",
                              .find = FIND_BY_EMBEDDING("embedding_metadata", "m.rowid", "id"),
                              .owner = OWNER_EMBEDDING,
                              .odd = odd_embedding },
        [ORPHAN_EMBEDDINGS] = { .name = "embeddings",
                                .source = "embeddings",
                                .columns = "*",
                                .rowid = "id",
                                .find = FIND_BY_ALIAS("embeddings", "id", "segment_id"),
                                .owner = OWNER_SEGMENT,
                                .odd = odd_segment },
        [ORPHAN_POSITIONS] = { .name = "max_seq_id",
                               .source = "max_seq_id",
                               .columns = "*",
                               .find = FIND_BY_TEXT("max_seq_id", "segment_id"),
                               .owner = OWNER_SEGMENT,
                               .odd = odd_segment },
        [ORPHAN_SEGMENT_METADATA] = { .name = "segment_metadata",
                                      .source = "segment_metadata",
                                      .columns = "*",
                                      .find = FIND_BY_TEXT("segment_metadata", "segment_id"),
                                      .owner = OWNER_SEGMENT,
                                      .odd = odd_segment },
        [ORPHAN_COLLECTION_METADATA] = { .name = "collection_metadata",
                                         .source = "collection_metadata",
                                         .columns = "*",
                                         .find = FIND_BY_TEXT("collection_metadata", "collection_id"),
                                         .owner = OWNER_COLLECTION,
                                         .odd = "whose collection_id is no UUID" },
        [ORPHAN_LOG] = { .name = "embeddings_queue",
                         .source = "embeddings_queue",
                         .columns = "*",
                         .rowid = "seq_id",
                         .find = FIND_BY_ALIAS("embeddings_queue", "seq_id", "topic"),
                         .owner = OWNER_TOPIC,
                         .odd = "whose topic does not end with a collection's id" },
};

void orphan_rows_clear(struct orphan_rows *rows)
{
        for (int i = 0; i < ORPHAN_TABLE_COUNT; i++)
                free(rows->lists[i].runs);
        *rows = (struct orphan_rows){ 0 };
}

uint64_t orphan_rows_count(const struct orphan_rows *rows)
{
        uint64_t sum = 0;
        for (int i = 0; i < ORPHAN_TABLE_COUNT; i++)
                sum += rows->lists[i].left ? 0 : rows->lists[i].rows;
        return sum;
}

uint64_t orphan_rows_bytes(const struct orphan_rows *rows)
{
        uint64_t sum = 0;
        for (int i = 0; i < ORPHAN_TABLE_COUNT; i++)
                sum += rows->lists[i].left ? 0 : rows->lists[i].bytes;
        return sum;
}

/* Reads the runs of all tables, one after the other. */
struct reading {
        struct operation *op;
        struct db *db;
        const char *phase;
        orphan_row_fn *take;
        void *context;
        enum orphan_table table;
        sqlite3_stmt *stmt;
        int64_t until; /* when the transaction has to end */
        uint64_t done, total;
};

static int begin_reading(struct reading *r)
{
        r->until = clock_ms() + PIECE_MS;
        return db_begin(r->db, &r->op->error);
}

static int start_run(struct reading *r, int64_t from, int64_t to)
{
        (void) sqlite3_reset(r->stmt);
        if (sqlite3_bind_int64(r->stmt, 1, from) != SQLITE_OK || sqlite3_bind_int64(r->stmt, 2, to) != SQLITE_OK)
                return db_fail(r->db, &r->op->error, "binding a range of rows");
        return 0;
}

static int pause_reading(struct reading *r, int64_t from, int64_t to)
{
        (void) sqlite3_reset(r->stmt);
        db_end(r->db);
        int ret = begin_reading(r);
        return ret < 0 ? ret : start_run(r, from, to);
}

static int read_run(struct reading *r, const struct orphan_run *run)
{
        uint32_t rows = 0;
        struct error *e = &r->op->error;
        int ret = start_run(r, run->first, run->last);
        while (ret == 0 && (ret = db_step(r->db, r->stmt, e)) > 0) {
                int64_t rowid = sqlite3_column_int64(r->stmt, 0);
                rows++;
                ret = r->take(r->context, r->table, r->stmt, e);
                if (ret == 0)
                        ret = operation_progress(r->op, r->phase, ++r->done, r->total);
                if (ret == 0 && rowid < run->last && clock_ms() >= r->until)
                        ret = pause_reading(r, rowid + 1, run->last);
        }
        if (ret == 0 && rows != run->rows)
                ret = error_set(e, ESTALE, "table %s has changed since it was looked at", orphan_table_types[r->table].source);
        return ret;
}

static int read_list(struct reading *r, const struct orphan_list *list)
{
        if (list->count == 0)
                return 0;
        const struct orphan_table_type *type = &orphan_table_types[r->table];
        char sql[160];
        (void) snprintf(sql, sizeof(sql), "SELECT rowid, %s FROM %s WHERE rowid BETWEEN ? AND ? ORDER BY rowid", type->columns,
                        type->source);
        int ret = begin_reading(r);
        if (ret < 0)
                return ret;
        ret = db_prepare(r->db, &r->stmt, &r->op->error, sql);
        for (size_t i = 0; ret == 0 && i < list->count; i++)
                ret = read_run(r, &list->runs[i]);
        (void) sqlite3_finalize(r->stmt);
        r->stmt = NULL;
        db_end(r->db);
        return ret;
}

int orphan_rows_read(struct operation *op, struct db *db, const struct orphan_rows *rows, const char *phase, orphan_row_fn *take,
                     void *context)
{
        struct reading r = {
                .op = op, .db = db, .phase = phase, .take = take, .context = context, .total = orphan_rows_count(rows)
        };
        int ret = 0;
        for (int i = 0; ret == 0 && i < ORPHAN_TABLE_COUNT; i++) {
                r.table = (enum orphan_table) i;
                ret = read_list(&r, &rows->lists[i]);
        }
        return ret;
}

static int add_bytes(void *context, enum orphan_table table, sqlite3_stmt *row, struct error *e)
{
        (void) e;
        struct orphan_rows *rows = context;
        for (int i = 1; i < sqlite3_column_count(row); i++) {
                int type = sqlite3_column_type(row, i);
                bool is_number = type == SQLITE_INTEGER || type == SQLITE_FLOAT;
                rows->lists[table].bytes += is_number ? sizeof(int64_t) : (uint64_t) sqlite3_column_bytes(row, i);
        }
        return 0;
}

int orphan_rows_measure(struct operation *op, struct db *db, struct orphan_rows *rows)
{
        return orphan_rows_read(op, db, rows, "measuring", add_bytes, rows);
}
