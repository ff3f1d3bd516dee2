/* The statements of metadata.c, in the words of the directory's version. */
#include <errno.h>

#include "ops/commit/metadata_parts.h"

#define METADB_BOOL 2 /* until then a bool is an integer, and there is no column for it */

/* ?1 the record's id, ?2 the key, ?3 to ?6 the value as string, integer, real and bool. */
#define VALUE_COLUMNS "(id, key, string_value, int_value, float_value, bool_value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"

static const char *const statements[COMMIT_STATEMENT_COUNT] = {
        [COMMIT_FIND_RECORD] = "SELECT id FROM embeddings WHERE segment_id = ?1 AND embedding_id = ?2",
        [COMMIT_ADD_RECORD] = "INSERT INTO embeddings (segment_id, embedding_id, id, seq_id) VALUES (?1, ?2, ?3, ?4)",
        [COMMIT_TOUCH_RECORD] = "UPDATE embeddings SET seq_id = ?2 WHERE id = ?1",
        [COMMIT_DELETE_RECORD] = "DELETE FROM embeddings WHERE id = ?1",
        [COMMIT_SET_VALUE] =
                ("INSERT INTO embedding_metadata " VALUE_COLUMNS
                 " ON CONFLICT (id, key) DO UPDATE SET string_value = ?3, int_value = ?4, float_value = ?5, bool_value = ?6"),
        [COMMIT_REMOVE_VALUE] = "DELETE FROM embedding_metadata WHERE id = ?1 AND key = ?2",
        [COMMIT_REMOVE_VALUES] = "DELETE FROM embedding_metadata WHERE id = ?1",
        [COMMIT_ADD_ITEM] = ("INSERT INTO embedding_metadata_array " VALUE_COLUMNS),
        [COMMIT_REMOVE_ITEMS] = "DELETE FROM embedding_metadata_array WHERE id = ?1 AND key = ?2",
        [COMMIT_REMOVE_ARRAYS] = "DELETE FROM embedding_metadata_array WHERE id = ?1",
        [COMMIT_REMOVE_DOCUMENT] = "DELETE FROM embedding_fulltext_search WHERE rowid = ?1",
        [COMMIT_NOTE_DOCUMENT] = "INSERT INTO temp.commit_documents (id, document) VALUES (?1, last_insert_rowid())",
        [COMMIT_FORGET_DOCUMENT] = "DELETE FROM temp.commit_documents WHERE id = ?1",
};

static const char set_value_without_bool[] =
        "INSERT INTO embedding_metadata (id, key, string_value, int_value, float_value) VALUES (?1, ?2, ?3, coalesce(?4, ?6), ?5)"
        " ON CONFLICT (id, key) DO UPDATE SET string_value = ?3, int_value = coalesce(?4, ?6), float_value = ?5";
static const char remove_old_document[] =
        "DELETE FROM embedding_fulltext WHERE rowid IN (SELECT document FROM temp.commit_documents WHERE id = ?1)";

static const char *sql_of(const struct commit_metadata *m, enum commit_statement which)
{
        if (which == COMMIT_SET_VALUE && m->version.metadb < METADB_BOOL)
                return set_value_without_bool;
        if (which == COMMIT_ADD_DOCUMENT)
                return m->fts->insert;
        if (which == COMMIT_REMOVE_DOCUMENT && m->fts->old)
                return remove_old_document;
        return statements[which];
}

/* Big-endian, 8 bytes: what sorts by value. */
static int bind_blob(sqlite3_stmt *stmt, int parameter, int64_t seq_id)
{
        unsigned char bytes[8];
        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (unsigned char) ((uint64_t) seq_id >> (56 - 8 * i));
        return sqlite3_bind_blob(stmt, parameter, bytes, sizeof bytes, SQLITE_TRANSIENT);
}

int commit_cell_bind(const struct chroma_version *version, sqlite3_stmt *stmt, int parameter, const struct commit_cell *cell)
{
        switch (cell->type) {
        case CELL_SEQ_ID:
                if (!version->rust)
                        return bind_blob(stmt, parameter, cell->integer);
                /* fall through */
        case CELL_INT:
                return sqlite3_bind_int64(stmt, parameter, cell->integer);
        case CELL_REAL:
                return sqlite3_bind_double(stmt, parameter, cell->real);
        case CELL_TEXT:
                return sqlite3_bind_text64(stmt, parameter, cell->text->bytes, cell->text->len, SQLITE_STATIC, SQLITE_UTF8);
        case CELL_NULL:
        default:
                return sqlite3_bind_null(stmt, parameter);
        }
}

int commit_statement_run(struct commit_metadata *m, enum commit_statement which, const struct commit_cell *cells, size_t count,
                         int64_t *ret_number, struct error *e)
{
        sqlite3_stmt **stmt = &m->statements[which];
        int r = *stmt == NULL ? write_db_prepare(m->w, stmt, e, sql_of(m, which)) : 0;
        for (size_t i = 0; r == 0 && i < count; i++)
                if (commit_cell_bind(&m->version, *stmt, (int) i + 1, &cells[i]) != SQLITE_OK)
                        r = write_db_fail(m->w, e, "changing the records");
        if (r == 0)
                r = write_db_step(m->w, *stmt, e);
        if (r > 0 && ret_number != NULL)
                *ret_number = sqlite3_column_int64(*stmt, 0);
        (void) sqlite3_reset(*stmt);
        return r;
}

void commit_statements_finalize(struct commit_metadata *m)
{
        for (size_t i = 0; i < COMMIT_STATEMENT_COUNT; i++) {
                (void) sqlite3_finalize(m->statements[i]);
                m->statements[i] = NULL;
        }
}
