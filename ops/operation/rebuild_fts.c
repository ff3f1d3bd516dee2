/*
 * The plan reads in pieces, politely; the transaction then counts on nothing of it but the version and the tokenizer, and on those
 * only when nobody has committed since.
 *
 * Rows are inserted one by one with a prepared statement, by ascending id: FTS5 then gathers them in memory just as it does for one
 * INSERT ... SELECT, which can't tell how far it is. (Statements of several rows would make it write out what it gathered at the
 * end of each.)
 *
 * Room. Measured with SQLite 3.40, trigram: the index has 1.8 (English) to 5.3 (random ASCII) times the bytes of the documents, its
 * copy of them 1.1 times, and merging takes a little more for a while. The new table takes the pages of the old one first; what
 * these had is in the journal.
 */
#include "ops/operation/rebuild_fts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ops/fts_audit.h"
#include "ops/json.h"
#include "ops/operation/fts_table.h"
#include "ops/operation/room.h"
#include "ops/operation/tokenizer_spec.h"
#include "ops/pieces.h"

#define PLAN_TRIES 5
#define BYTES_PER_BYTE 7 /* of the new table, for one of the documents */
#define BYTES_PER_ROW 256
#define BYTES_AT_LEAST (1u << 20)

static const char documents_sql[] = "SELECT e.id, m.string_value FROM embeddings AS e LEFT JOIN embedding_metadata AS m"
                                    " ON m.id = e.id AND m.key = 'chroma:document' WHERE e.id >= ?1 ORDER BY e.id";
static const char old_matched_sql[] =
        "SELECT count(DISTINCT c0), (SELECT count(*) FROM embedding_fulltext_docsize) FROM embedding_fulltext_content WHERE c0 IN"
        " (SELECT id FROM embedding_metadata WHERE key = 'chroma:document' AND string_value IS NOT NULL AND id IN"
        " (SELECT id FROM embeddings))";

struct plan {
        struct catalog *catalog;
        const struct fts_table *table;
        uint32_t counter;
        uint64_t documents, bytes;
        bool compared; /* these are known: */
        uint64_t rows, stale, missing;
        uint64_t index_bytes;                                 /* of the old index */
        char before[TOKENIZER_MAX], tokenizer[TOKENIZER_MAX]; /* "" in the old form: none is named */
};

static void plan_clear(struct plan *plan)
{
        plan->catalog = catalog_free(plan->catalog);
}

static void plan_clear_cleanup(struct plan *plan)
{
        plan_clear(plan);
}

/* The documents: how many, and how large. */

struct counting {
        struct operation *op;
        struct plan *plan;
        struct int_key key;
        uint64_t seen;
};

static int bind_key(void *context, sqlite3_stmt *stmt)
{
        return int_key_bind(&((struct counting *) context)->key, stmt, 1);
}

static int take_document(void *context, sqlite3_stmt *stmt)
{
        struct counting *c = context;
        int64_t id;
        int r = int_key_take(&c->key, stmt, 0, "embeddings", &id, &c->op->error);
        if (r < 0)
                return r;
        if (sqlite3_column_type(stmt, 1) != SQLITE_NULL) {
                c->plan->documents++;
                c->plan->bytes += (uint64_t) sqlite3_column_bytes(stmt, 1);
        }
        return operation_progress(c->op, "reading", ++c->seen, 0);
}

static int count_documents(struct operation *op, struct db *db, struct plan *plan)
{
        struct pieces pieces;
        struct counting c = { .op = op, .plan = plan, .key = INT_KEY_START };
        pieces_init(&pieces, db);
        return pieces_walk(&pieces, documents_sql, bind_key, take_document, &c, &op->error);
}

/* What the old table has of them, and how large it is. */

static int take_block(void *context, sqlite3_stmt *stmt)
{
        struct counting *c = context;
        int64_t id;
        int r = int_key_take(&c->key, stmt, 0, c->plan->table->name, &id, &c->op->error);
        if (r < 0)
                return r;
        c->plan->index_bytes += (uint64_t) sqlite3_column_int64(stmt, 1);
        return operation_progress(c->op, "reading", 0, 0);
}

static int measure_index(struct operation *op, struct db *db, struct plan *plan)
{
        char sql[128];
        struct pieces pieces;
        struct counting c = { .op = op, .plan = plan, .key = INT_KEY_START };
        (void) snprintf(sql, sizeof sql, "SELECT id, length(block) FROM %s_data WHERE id >= ?1 ORDER BY id", plan->table->name);
        pieces_init(&pieces, db);
        return pieces_walk(&pieces, sql, bind_key, take_block, &c, &op->error);
}

static int compare_old(struct operation *op, struct db *db, struct plan *plan)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int r = db_begin(db, &op->error);
        if (r == 0)
                r = db_prepare(db, &stmt, &op->error, old_matched_sql);
        if (r == 0)
                r = db_step(db, stmt, &op->error);
        if (r > 0) {
                uint64_t matched = (uint64_t) sqlite3_column_int64(stmt, 0), rows = (uint64_t) sqlite3_column_int64(stmt, 1);
                plan->compared = true;
                plan->rows = rows;
                plan->stale = rows > matched ? rows - matched : 0;
                plan->missing = plan->documents > matched ? plan->documents - matched : 0;
        }
        db_end(db);
        return r < 0 ? r : 0;
}

static int compare(struct operation *op, struct db *db, struct plan *plan)
{
        struct fts_audit audit;
        int r = fts_audit_read(db, plan->catalog, &audit, &op->error);
        if (r < 0 || audit.form == FTS_MISSING)
                return r;
        r = measure_index(op, db, plan);
        if (r < 0 || audit.form == FTS_OLD)
                return r < 0 ? r : compare_old(op, db, plan);
        plan->compared = true;
        plan->stale = audit.stale;
        plan->missing = audit.missing;
        plan->rows = plan->documents + audit.stale - (audit.missing < plan->documents ? audit.missing : plan->documents);
        return 0;
}

/* The tokenizers. */

static void set_tokenizer(char tokenizer[TOKENIZER_MAX], const char *value)
{
        (void) snprintf(tokenizer, TOKENIZER_MAX, "%s", value);
}

static int choose_tokenizer(struct operation *op, struct plan *plan)
{
        const struct option_value *wanted = command_option(op->command, "tokenizer");
        char stored[TOKENIZER_MAX];
        fts_tokenizer(&plan->catalog->fts_sql, stored, sizeof stored);
        struct text text = { stored, strlen(stored) };
        bool there = plan->catalog->fts_sql.len > 0, understood = true;
        struct error why = { 0 };
        if (stored[0] == '\0')
                set_tokenizer(plan->before, there && !plan->table->old ? "unicode61" : "");
        else
                understood = tokenizer_spec_parse(&text, plan->before, &why) == 0;
        if (!understood)
                set_tokenizer(plan->before, stored);
        if (wanted->given)
                return tokenizer_spec_parse(&wanted->text, plan->tokenizer, &op->error);
        if (!understood)
                return error_set(&op->error, EINVAL,
                                 "the tokenizer in force is none that chromafs knows: say which with tokenizer=");
        set_tokenizer(plan->tokenizer, there || plan->table->old ? plan->before : "trigram");
        return 0;
}

static int make_plan(struct operation *op, struct db *db, struct plan *plan)
{
        int r = db_begin(db, &op->error);
        if (r == 0)
                r = db_change_counter(db, &plan->counter, &op->error);
        db_end(db);
        if (r == 0)
                r = catalog_read(db, &plan->catalog, &op->error);
        if (r != 0)
                return r;
        plan->table = fts_table_of(&plan->catalog->version);
        r = choose_tokenizer(op, plan);
        if (r == 0 && plan->tokenizer[0] != '\0')
                r = tokenizer_spec_try(plan->tokenizer, &op->error);
        if (r == 0)
                r = count_documents(op, db, plan);
        return r < 0 ? r : compare(op, db, plan);
}

/* The result. */

static const char *contains_sentence(const struct plan *plan)
{
        bool before = tokenizer_spec_answers_like(plan->before), after = tokenizer_spec_answers_like(plan->tokenizer);
        if (plan->table->old || before == after || plan->catalog->fts_sql.len == 0)
                return NULL;
        if (plan->catalog->version.rust)
                return after ? "$contains answers the same, and finds it in the index again"
                             : "$contains answers the same, but reads every document, since only the trigram index serves it";
        return after ? "$contains uses the index again; it then no longer finds terms of less than three characters that are not "
                       "ASCII"
                     : "$contains reads every document, since only the trigram index serves it; it then also finds terms of less "
                       "than "
                       "three characters that are not ASCII";
}

static struct json_object *number(bool known, uint64_t value)
{
        return known ? json_object_new_uint64(value) : NULL;
}

/* FTS5's own choice, where the statement names none. */
static struct json_object *tokenizer_json(const char *tokenizer)
{
        return json_string(tokenizer[0] == '\0' ? "unicode61" : tokenizer);
}

static int fill_result(struct operation *op, const struct plan *plan)
{
        struct json_object *o = op->result;
        const char *contains = contains_sentence(plan);
        bool there = plan->catalog->fts_sql.len > 0;
        if (json_add(o, "documents", number(true, plan->documents)) < 0 ||
            json_add(o, "rows_before", number(plan->compared, plan->rows)) < 0 ||
            json_add(o, "rows_after", number(true, plan->documents)) < 0 ||
            json_add(o, "stale_removed", number(plan->compared, plan->stale)) < 0 ||
            json_add(o, "missing_added", number(plan->compared, plan->missing)) < 0 ||
            json_add(o, "tokenizer_before", there ? tokenizer_json(plan->before) : NULL) < 0 ||
            json_add(o, "tokenizer", tokenizer_json(plan->tokenizer)) < 0 ||
            json_add(o, "form", json_string(plan->table->old ? "old" : "current")) < 0 ||
            json_add(o, "changes_contains", contains == NULL ? NULL : json_string(contains)) < 0)
                return error_set(&op->error, ENOMEM, "no memory for the result");
        return 0;
}

/* The change. */

/* a * b + c, at most UINT64_MAX. */
static uint64_t times_plus(uint64_t a, uint64_t b, uint64_t c)
{
        uint64_t result;
        return __builtin_mul_overflow(a, b, &result) || __builtin_add_overflow(result, c, &result) ? UINT64_MAX : result;
}

static int check_room(struct operation *op, const struct plan *plan)
{
        uint64_t table = times_plus(plan->bytes, BYTES_PER_BYTE, times_plus(plan->documents, BYTES_PER_ROW, BYTES_AT_LEAST));
        uint64_t file = times_plus(plan->catalog->page_count, plan->catalog->page_size, 0), old = 0, journal = table;
        if (plan->compared) {
                uint64_t document = plan->documents == 0 ? 0 : plan->bytes / plan->documents + 1;
                old = times_plus(plan->rows, times_plus(document, 1, BYTES_PER_ROW / 4), plan->index_bytes);
                journal = times_plus(old / 16, 1, old);
        }
        journal = journal < file ? journal : file;
        uint64_t growth = table > old ? table - old : 0;
        return room_check(op->dirfd, times_plus(journal, 1, times_plus(growth, 1, BYTES_AT_LEAST)),
                          "the new full-text index and the journal", &op->error);
}

static int insert(struct operation *op, struct write_db *w, sqlite3_stmt *into, sqlite3_stmt *from)
{
        int rc;
        if (sqlite3_column_type(from, 0) != SQLITE_INTEGER)
                return error_set(&op->error, EILSEQ, "embeddings has an id that is no integer");
        rc = sqlite3_bind_int64(into, 1, sqlite3_column_int64(from, 0));
        if (rc == SQLITE_OK && sqlite3_column_type(from, 1) == SQLITE_TEXT) {
                const char *bytes = (const char *) sqlite3_column_text(from, 1); /* ours until the next step of `from` */
                int len = sqlite3_column_bytes(from, 1);
                rc = bytes == NULL ? SQLITE_NOMEM : sqlite3_bind_text(into, 2, bytes, len, SQLITE_STATIC);
        } else if (rc == SQLITE_OK) {
                rc = sqlite3_bind_value(into, 2, sqlite3_column_value(from, 1));
        }
        if (rc != SQLITE_OK)
                return error_set(&op->error, rc == SQLITE_NOMEM ? ENOMEM : EILSEQ, "a document can't be indexed: %s",
                                 sqlite3_errstr(rc));
        int r = write_db_step(w, into, &op->error);
        (void) sqlite3_reset(into);
        return r < 0 ? r : 0;
}

static int fill(struct operation *op, struct write_db *w, const struct plan *plan, uint64_t *ret_rows)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *into = NULL;
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *from = NULL;
        uint64_t rows = 0;
        int r = write_db_prepare(w, &into, &op->error, plan->table->insert);
        if (r == 0)
                r = write_db_prepare(w, &from, &op->error, documents_sql);
        if (r == 0 && sqlite3_bind_int64(from, 1, INT64_MIN) != SQLITE_OK)
                r = write_db_fail(w, &op->error, "reading the documents");
        while (r == 0 && (r = write_db_step(w, from, &op->error)) > 0) {
                bool has_document = sqlite3_column_type(from, 1) != SQLITE_NULL;
                rows += has_document;
                r = has_document ? insert(op, w, into, from) : 0;
                if (r == 0)
                        r = operation_progress(op, "indexing", rows, plan->documents);
        }
        *ret_rows = rows;
        return r;
}

static int rebuild(struct operation *op, struct write_db *w, struct plan *plan)
{
        uint64_t rows = 0;
        int r = operation_progress(op, "dropping", 0, 0);
        if (r == 0)
                r = fts_table_drop(w, plan->table, &op->error);
        if (r == 0)
                r = fts_table_create(w, plan->table, plan->tokenizer, &op->error);
        if (r == 0)
                r = fill(op, w, plan, &rows);
        if (r == 0)
                r = operation_progress(op, "checking", 0, 0);
        if (r == 0 && rows != plan->documents)
                r = error_set(&op->error, EIO, "%" PRIu64 " documents were read, and %" PRIu64 " before", rows, plan->documents);
        if (r == 0)
                r = fts_table_check(w, plan->table, rows, &op->error);
        if (r < 0)
                return r;
        op->late = true;
        return write_db_commit(w, &op->error);
}

static const char count_sql[] = "SELECT count(*) FROM embedding_metadata WHERE key = 'chroma:document' AND string_value IS NOT NULL"
                                " AND id IN (SELECT id FROM embeddings)";

/* Beside a writer that never rests every plan is an old one. What of it counts is looked at again, where nobody can write any more. */
static int plan_again(struct operation *op, struct write_db *w, struct plan *plan)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int64_t documents = 0;
        int r = write_db_prepare(w, &stmt, &op->error, "SELECT sql FROM sqlite_schema WHERE name = ?1 AND type = 'table'");
        if (r == 0 && sqlite3_bind_text(stmt, 1, plan->table->name, -1, SQLITE_STATIC) != SQLITE_OK)
                r = write_db_fail(w, &op->error, "reading the schema");
        if (r == 0)
                r = write_db_step(w, stmt, &op->error);
        const char *sql = r == 1 ? (const char *) sqlite3_column_text(stmt, 0) : NULL;
        if (r >= 0 && strcmp(sql != NULL ? sql : "", plan->catalog->fts_sql.bytes) != 0)
                r = error_set(&op->error, ESTALE, "the full-text table was changed meanwhile");
        if (r >= 0)
                r = write_db_number(w, 0, &documents, &op->error, count_sql);
        plan->documents = (uint64_t) documents;
        return r;
}

static int write_plan(struct operation *op, struct plan *plan, bool last)
{
        CLEANUP(write_db_close)
        struct write_db *w = NULL;
        int r = check_room(op, plan);
        if (r == 0)
                r = operation_write(op, &w);
        if (r == 0)
                r = write_db_begin(w, last ? NULL : &plan->counter, &op->error);
        if (r == 0 && last)
                r = plan_again(op, w, plan);
        if (r == 0)
                r = rebuild(op, w, plan);
        return r;
}

static int try_once(struct operation *op, bool last)
{
        CLEANUP(plan_clear)
        struct plan plan = { 0 };
        struct db *db = NULL;
        int r = operation_read(op, &db);
        if (r == 0)
                r = make_plan(op, db, &plan);
        (void) db_close(db);
        if (r == 0 && !op->command->dry_run)
                r = write_plan(op, &plan, last);
        return r != 0 ? r : operation_told(op, fill_result(op, &plan));
}

static int run(struct operation *op)
{
        if (op->request->collection_id != NULL)
                return error_set(&op->error, EINVAL,
                                 "the full-text index is one for all collections: it can't be built for one of them");
        for (int i = 0; i < PLAN_TRIES; i++) {
                int r = try_once(op, i == PLAN_TRIES - 1);
                if (r != -ESTALE)
                        return r;
        }
        return error_set(&op->error, EBUSY, "another process keeps changing " DB_FILE ": try again when it is done");
}

static const struct option_spec options[] = {
        { .name = "tokenizer",
          .type = OPTION_TEXT,
          .by_default = "the one in force",
          .help = "how documents are cut into terms: trigram, unicode61, ascii or porter, with the options that FTS5 has for it; "
                  "Chroma's own is trigram" },
        { .name = NULL },
};

const struct operation_type operation_rebuild_fts = {
        .name = "rebuild-fts",
        .summary = "Builds the full-text index again, from the documents",
        .forced = "It goes on: the index is exchanged in one transaction, for which the other process' writes wait, up to 1000 "
                  "seconds.",
        .options = options,
        .run = run,
};
