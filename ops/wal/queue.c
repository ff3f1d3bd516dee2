/*
 * Looked up through SQLite's own views of the schema, since its text can be written in many ways. pragma_table_info lists no
 * generated columns: where one of the columns is such, it counts as missing.
 */
#include "ops/wal/queue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TABLE WAL_QUEUE

/* The first column of the first row, as text (cut where it is too long): 1, 0 when there is no row. */
static int first_value(struct db *db, const char *sql, char value[64], struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int r = db_prepare(db, &stmt, e, sql);
        if (r == 0)
                r = db_step(db, stmt, e);
        if (r <= 0)
                return r;
        const unsigned char *text = sqlite3_column_text(stmt, 0);
        (void) snprintf(value, 64, "%s", text != NULL ? (const char *) text : "");
        return 1;
}

/* Virtual tables have no root page. */
static int check_is_table(struct db *db, struct error *e)
{
        char value[64] = "";
        int r = first_value(db,
                            "SELECT type = 'table' AND rootpage > 0 FROM sqlite_schema"
                            " WHERE name = '" TABLE "' COLLATE NOCASE AND type IN ('table', 'view')",
                            value, e);
        if (r == 0)
                return error_set(e, EILSEQ, DB_FILE " has no table " TABLE);
        if (r > 0 && strcmp(value, "1") != 0)
                return error_set(e, EILSEQ, TABLE " in " DB_FILE " is no ordinary table, as Chroma makes it");
        return r < 0 ? r : 0;
}

static int check_columns(struct db *db, struct error *e)
{
        char value[64] = "";
        int r = first_value(db,
                            "SELECT column1 FROM (VALUES ('seq_id'), ('created_at'), ('operation'), ('topic'), ('id'), ('vector'),"
                            " ('encoding'), ('metadata')) WHERE NOT EXISTS (SELECT 1 FROM pragma_table_info('" TABLE "')"
                            " WHERE name = column1 COLLATE NOCASE)",
                            value, e);
        return r > 0 ? error_set(e, EILSEQ, "table " TABLE " has no column %s", value) : r;
}

/* A primary key that is not the rowid has an index: one of several columns, of another type, WITHOUT ROWID, or "INTEGER PRIMARY KEY
   DESC". */
static int check_key(struct db *db, struct error *e)
{
        char value[64] = "";
        int r = first_value(db,
                            "SELECT 1 FROM pragma_table_info('" TABLE "') WHERE name = 'seq_id' COLLATE NOCASE AND pk = 1"
                            " AND NOT EXISTS (SELECT 1 FROM pragma_index_list('" TABLE "') WHERE origin = 'pk')",
                            value, e);
        return r == 0 ? error_set(e, EILSEQ, "table " TABLE ": seq_id is no INTEGER PRIMARY KEY") : r < 0 ? r : 0;
}

static int check_encoding(struct db *db, struct error *e)
{
        char value[64] = "";
        int r = first_value(db, "PRAGMA encoding", value, e);
        if (r > 0 && strcmp(value, "UTF-8") != 0)
                return error_set(e, EILSEQ, DB_FILE " has texts in %s, and Chroma's are in UTF-8", value);
        return r < 0 ? r : 0;
}

int wal_queue_check(struct db *db, struct error *e)
{
        int r = check_is_table(db, e);
        if (r == 0)
                r = check_encoding(db, e);
        if (r == 0)
                r = check_columns(db, e);
        return r == 0 ? check_key(db, e) : r;
}
