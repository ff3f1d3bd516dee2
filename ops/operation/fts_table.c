/*
 * DROP TABLE asks FTS5 to read its own configuration first, and so fails when _config or _data is missing or damaged; and it can't
 * be cancelled before the last page of a large index is free. So the row of the virtual table is taken out of the schema by hand; its
 * shadows are ordinary tables from then on: they are emptied row by row, and dropped as such, so that no page of them is lost.
 */
#include "ops/operation/fts_table.h"

#include <errno.h>
#include <string.h>

static const struct fts_table current = { "embedding_fulltext_search", "string_value, ",
                                          "INSERT INTO embedding_fulltext_search (rowid, string_value) VALUES (?1, ?2)", false };
static const struct fts_table old = { "embedding_fulltext", "id, string_value, ",
                                      "INSERT INTO embedding_fulltext (id, string_value) VALUES (?1, ?2)", true };

#define METADB_CURRENT 3

const struct fts_table *fts_table_of(const struct chroma_version *version)
{
        return version->metadb >= METADB_CURRENT ? &current : &old;
}

/* Runs the statement that sqlite3_mprintf made (NULL: no memory), and frees it. */
static int exec_made(struct write_db *w, char *sql, struct error *e)
{
        if (sql == NULL)
                return error_set(e, ENOMEM, "no memory for a statement");
        int r = write_db_exec(w, e, sql);
        sqlite3_free(sql);
        return r;
}

static int number_made(struct write_db *w, char *sql, int64_t otherwise, int64_t *ret, struct error *e)
{
        if (sql == NULL)
                return error_set(e, ENOMEM, "no memory for a statement");
        int r = write_db_number(w, otherwise, ret, e, sql);
        sqlite3_free(sql);
        return r;
}

/* 1 when the schema has an ordinary table of this name, 0 when not. */
static int has_plain_table(struct write_db *w, const char *name, const char *suffix, struct error *e)
{
        int64_t found = 0;
        int r = number_made(w,
                            sqlite3_mprintf("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND rootpage > 0"
                                            " AND name = '%q%q' COLLATE NOCASE",
                                            name, suffix),
                            0, &found, e);
        return r < 0 ? r : found > 0;
}

/* 1 when it is there and an FTS5 table, 0 when nothing has its name. */
static int look(struct write_db *w, const struct fts_table *table, struct error *e)
{
        int64_t kind = 0;
        int r = number_made(
                w,
                sqlite3_mprintf("SELECT CASE WHEN type = 'table' AND rootpage = 0 AND sql LIKE 'CREATE VIRTUAL TABLE%%fts5%%'"
                                " THEN 1 ELSE 2 END FROM sqlite_schema WHERE name = %Q COLLATE NOCASE",
                                table->name),
                0, &kind, e);
        if (r == 0 && kind == 2)
                return error_set(e, EILSEQ, "%s is not the full-text table that Chroma makes: what it is, is for you to find out",
                                 table->name);
        return r < 0 ? r : (int) kind;
}

static int drop_from_schema(struct write_db *w, const struct fts_table *table, struct error *e)
{
        int r = write_db_set_writable_schema(w, true, e);
        if (r == 0)
                r = exec_made(
                        w,
                        sqlite3_mprintf(
                                "DELETE FROM sqlite_schema WHERE type = 'table' AND rootpage = 0 AND name = %Q COLLATE NOCASE",
                                table->name),
                        e);
        int off = write_db_set_writable_schema(w, false, r < 0 ? NULL : e);
        return r < 0 ? r : off;
}

/* Without the WHERE it would be one step. What a damaged table has left is dropped with it. */
static int drop_shadow(struct write_db *w, const char *name, const char *suffix, struct error *e)
{
        struct error why = { 0 };
        int r = exec_made(w, sqlite3_mprintf("DELETE FROM %s%s WHERE 1", name, suffix), &why);
        if (r < 0 && (r != -EILSEQ || sqlite3_get_autocommit(write_db_handle(w))))
                return error_set(e, -r, "%s", why.text);
        return exec_made(w, sqlite3_mprintf("DROP TABLE %s%s", name, suffix), e);
}

static int drop_shadows(struct write_db *w, const struct fts_table *table, struct error *e)
{
        static const char *const suffixes[] = { "_data", "_idx", "_content", "_docsize", "_config" };
        int r = 0;
        for (size_t i = 0; r >= 0 && i < sizeof suffixes / sizeof suffixes[0]; i++) {
                r = has_plain_table(w, table->name, suffixes[i], e);
                if (r > 0)
                        r = drop_shadow(w, table->name, suffixes[i], e);
        }
        return r < 0 ? r : 0;
}

int fts_table_drop(struct write_db *w, const struct fts_table *table, struct error *e)
{
        int r = look(w, table, e);
        if (r > 0)
                r = drop_from_schema(w, table, e);
        return r < 0 ? r : drop_shadows(w, table, e);
}

int fts_table_create(struct write_db *w, const struct fts_table *table, const char *tokenizer, struct error *e)
{
        size_t len = strlen(table->columns) - (tokenizer[0] == '\0' ? strlen(", ") : 0);
        char *option = tokenizer[0] == '\0' ? sqlite3_mprintf("") : sqlite3_mprintf("tokenize=%Q", tokenizer);
        char *sql = option == NULL ? NULL
                                   : sqlite3_mprintf("CREATE VIRTUAL TABLE %s USING fts5(%.*s%s)", table->name, (int) len,
                                                     table->columns, option);
        sqlite3_free(option);
        return exec_made(w, sql, e);
}

int fts_table_check(struct write_db *w, const struct fts_table *table, uint64_t rows, struct error *e)
{
        int64_t sizes = -1, documents = -1;
        int r = exec_made(w, sqlite3_mprintf("INSERT INTO %s (%s) VALUES ('integrity-check')", table->name, table->name), e);
        if (r == 0)
                r = number_made(w, sqlite3_mprintf("SELECT count(*) FROM %s_docsize", table->name), -1, &sizes, e);
        if (r == 0)
                r = number_made(w, sqlite3_mprintf("SELECT count(*) FROM %s_content", table->name), -1, &documents, e);
        if (r < 0)
                return error_prefix(e, r, "checking the new full-text index");
        if (sizes < 0 || (uint64_t) sizes != rows || documents != sizes)
                return error_set(e, EIO, "the new full-text index has %lld rows for %llu documents", (long long) sizes,
                                 (unsigned long long) rows);
        return 0;
}
