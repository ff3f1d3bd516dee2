/*
 * Ids for new records. SQLite alone would hand out the largest id of embeddings and one more; but rows of a record that is gone may still stand under that one in the
 * other tables: a new record would inherit its metadata, or could not be added at all (FORMAT 2, R9). So new ids begin above the largest of all of them; nobody else
 * writes meanwhile, so nothing can stand under an id that is handed out here.
 *
 * The old full-text table has the record's id in an ordinary column: finding a row by it would read the table from its beginning. A temporary table has its rowids in the
 * order of the ids.
 */
#include <errno.h>

#include "ops/commit/metadata_parts.h"

static int has_table(struct commit_metadata *m, const char *name, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int r = write_db_prepare(m->w, &stmt, e, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE");
        if (r == 0 && sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC) != SQLITE_OK)
                r = write_db_fail(m->w, e, "reading the schema");
        return r < 0 ? r : write_db_step(m->w, stmt, e);
}

/* What is no integer no id can be equal to. */
static int raise_to(struct commit_metadata *m, const char *table, const char *sql, struct error *e)
{
        int64_t largest = 0;
        int r = has_table(m, table, e);
        if (r > 0)
                r = write_db_number(m->w, 0, &largest, e, sql);
        if (r == 0 && largest > m->last_id)
                m->last_id = largest;
        return r < 0 ? r : 0;
}

static int note_old_documents(struct commit_metadata *m, struct error *e)
{
        int r = write_db_exec(m->w, e, "DROP TABLE IF EXISTS temp.commit_documents");
        if (r == 0)
                r = write_db_exec(m->w, e,
                                  "CREATE TEMP TABLE commit_documents (id INTEGER, document INTEGER, PRIMARY KEY (id, document))"
                                  " WITHOUT ROWID");
        if (r == 0)
                r = has_table(m, m->fts->name, e);
        if (r > 0)
                r = write_db_exec(m->w, e,
                                  "INSERT INTO temp.commit_documents SELECT CAST(id AS INTEGER), rowid FROM embedding_fulltext"
                                  " WHERE id IS NOT NULL");
        return r;
}

int commit_ids_begin(struct commit_metadata *m, struct error *e)
{
        static const struct {
                const char *table, *sql;
        } tables[] = {
                { "embeddings", "SELECT max(id) FROM embeddings" },
                { "embedding_metadata", "SELECT id FROM embedding_metadata WHERE typeof(id) = 'integer' ORDER BY id DESC LIMIT 1" },
                { "embedding_metadata_array",
                  "SELECT id FROM embedding_metadata_array WHERE typeof(id) = 'integer' ORDER BY id DESC LIMIT 1" },
                { "embedding_fulltext_search_content", "SELECT max(id) FROM embedding_fulltext_search_content" },
                { "embedding_fulltext_search_docsize", "SELECT max(id) FROM embedding_fulltext_search_docsize" },
        };
        int r = 0;
        m->last_id = 0;
        m->id_max = m->version.rust ? UINT32_MAX : INT64_MAX; /* what Chroma's code reads it into */
        for (size_t i = 0; r == 0 && i < sizeof tables / sizeof tables[0]; i++)
                r = raise_to(m, tables[i].table, tables[i].sql, e);
        if (r == 0 && m->fts->old)
                r = note_old_documents(m, e);
        if (r == 0 && m->fts->old)
                r = raise_to(m, "embedding_fulltext", "SELECT max(id) FROM temp.commit_documents", e);
        return r;
}

void commit_ids_end(struct commit_metadata *m)
{
        if (m->fts != NULL && m->fts->old)
                (void) write_db_exec(m->w, NULL, "DROP TABLE IF EXISTS temp.commit_documents");
}

int commit_ids_next(struct commit_metadata *m, int64_t *ret, struct error *e)
{
        if (m->last_id >= m->id_max)
                return error_set(e, EOVERFLOW,
                                 "no id is left for a new record: there is a row of id %lld, which may be that of a record that is "
                                 "gone (clean-orphans removes such rows)",
                                 (long long) m->last_id);
        *ret = ++m->last_id;
        return 0;
}
