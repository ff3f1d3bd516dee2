/*
 * The full-text table is an ordinary FTS5 table, so its shadow table _docsize has one row for each row of it, with the same rowid
 * (FORMAT 2). Reading that costs a small part of what reading the FTS5 table itself would, and runs none of FTS5's code on a stranger's
 * bytes.
 *
 * Two walks, each by rowid with point look-ups in the other tables, so that a piece can end at any row:
 *   embeddings   each with: has it a document, has it a row       missing, and stale for those without a document
 *   _docsize     each with: is there an embedding                 the other stale ones
 *
 * The tokenizer is parsed as FTS5 parses its arguments: `name = value`, the name in any case and cut short at will ("tok"), the value
 * a word or quoted in any of SQLite's four ways, a quote inside written twice.
 */
#include "ops/fts_audit.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "ops/pieces.h"

#define METADB_CURRENT_FORM 3 /* the migration that replaces embedding_fulltext by embedding_fulltext_search */

static const char embeddings_sql[] =
        "SELECT e.id, m.string_value IS NOT NULL, d.id IS NOT NULL FROM embeddings AS e"
        " LEFT JOIN embedding_metadata AS m ON m.id = e.id AND m.key = 'chroma:document'"
        " LEFT JOIN embedding_fulltext_search_docsize AS d ON d.id = e.id WHERE e.id >= ? ORDER BY e.id";
static const char rows_sql[] = "SELECT d.id, e.id IS NOT NULL FROM embedding_fulltext_search_docsize AS d"
                               " LEFT JOIN embeddings AS e ON e.id = d.id WHERE d.id >= ? ORDER BY d.id";

struct comparing {
        struct fts_audit audit;
        struct int_key key;
        struct error *error;
};

static int bind_key(void *context, sqlite3_stmt *stmt)
{
        return int_key_bind(&((struct comparing *) context)->key, stmt, 1);
}

static int take_embedding(void *context, sqlite3_stmt *stmt)
{
        struct comparing *c = context;
        int64_t id;
        int r = int_key_take(&c->key, stmt, 0, "embeddings", &id, c->error);
        if (r < 0)
                return r;
        bool has_document = sqlite3_column_int(stmt, 1) != 0, has_row = sqlite3_column_int(stmt, 2) != 0;
        c->audit.missing += has_document && !has_row;
        c->audit.stale += has_row && !has_document;
        return 0;
}

static int take_fts_row(void *context, sqlite3_stmt *stmt)
{
        struct comparing *c = context;
        int64_t id;
        int r = int_key_take(&c->key, stmt, 0, "embedding_fulltext_search_docsize", &id, c->error);
        if (r < 0)
                return r;
        c->audit.stale += sqlite3_column_int(stmt, 1) == 0;
        return 0;
}

static int compare(struct db *db, struct comparing *c)
{
        struct pieces pieces;
        pieces_init(&pieces, db);
        c->key = INT_KEY_START;
        int r = pieces_walk(&pieces, embeddings_sql, bind_key, take_embedding, c, c->error);
        if (r < 0)
                return r;
        c->key = INT_KEY_START;
        r = pieces_walk(&pieces, rows_sql, bind_key, take_fts_row, c, c->error);
        c->audit.exact = pieces.exact;
        return r;
}

int fts_audit_read(struct db *db, const struct catalog *catalog, struct fts_audit *ret, struct error *e)
{
        struct comparing c = { .audit = { .form = FTS_CURRENT, .exact = true }, .error = e };
        if (!catalog->has_fts) {
                c.audit.form = FTS_MISSING;
        } else if (catalog->version.metadb < METADB_CURRENT_FORM) {
                c.audit.form = FTS_OLD;
        } else {
                int r = compare(db, &c);
                if (r < 0)
                        return r;
        }
        *ret = c.audit;
        return 0;
}

/* Bytes of a statement, read from the front. */
struct cursor {
        const char *at, *end;
};

static bool at_space(const struct cursor *c)
{
        return c->at < c->end && isspace((unsigned char) *c->at);
}

static void skip_space(struct cursor *c)
{
        while (at_space(c))
                c->at++;
}

static char closing_quote(char c)
{
        return c == '[' ? ']' : c == '\'' || c == '"' || c == '`' ? c : '\0';
}

/* Takes the quoted run at the cursor; its content, undoubled, goes to buffer as far as it fits. */
static void take_quoted(struct cursor *c, char *buffer, size_t size)
{
        char quote = closing_quote(*c->at++);
        size_t n = 0;
        while (c->at < c->end) {
                if (*c->at == quote && (quote == ']' || c->at + 1 == c->end || c->at[1] != quote)) {
                        c->at++;
                        break;
                }
                c->at += *c->at == quote ? 1 : 0;
                if (n + 1 < size)
                        buffer[n++] = *c->at;
                c->at++;
        }
        if (size > 0)
                buffer[n] = '\0';
}

static bool ends_argument(const struct cursor *c, int depth)
{
        return c->at == c->end || (depth == 0 && (*c->at == ',' || *c->at == ')'));
}

/* Skips what is left of an argument, commas in quotes and parentheses included. */
static void skip_argument(struct cursor *c)
{
        int depth = 0;
        while (!ends_argument(c, depth)) {
                if (closing_quote(*c->at) != '\0') {
                        take_quoted(c, NULL, 0);
                        continue;
                }
                depth += *c->at == '(' ? 1 : *c->at == ')' ? -1 : 0;
                c->at++;
        }
}

/* A word without quotes: up to the end of the argument, a blank or '='. Returns its length. */
static size_t take_word(struct cursor *c)
{
        const char *start = c->at;
        while (!ends_argument(c, 0) && !at_space(c) && *c->at != '=' && closing_quote(*c->at) == '\0')
                c->at++;
        return (size_t) (c->at - start);
}

static void take_value(struct cursor *c, char *buffer, size_t size)
{
        skip_space(c);
        if (c->at < c->end && closing_quote(*c->at) != '\0') {
                take_quoted(c, buffer, size);
                return;
        }
        const char *word = c->at;
        size_t len = take_word(c), n = len < size ? len : size - 1;
        memcpy(buffer, word, n);
        buffer[n] = '\0';
}

/* To the first argument: behind the first '(' that is in no quotes. */
static void skip_to_arguments(struct cursor *c)
{
        while (c->at < c->end && *c->at != '(') {
                if (closing_quote(*c->at) != '\0')
                        take_quoted(c, NULL, 0);
                else
                        c->at++;
        }
}

void fts_tokenizer(const struct text *sql, char *buffer, size_t size)
{
        if (size == 0)
                return;
        buffer[0] = '\0';
        struct cursor c = { .at = sql->bytes, .end = sql->bytes + sql->len };
        skip_to_arguments(&c);
        while (c.at < c.end && *c.at != ')') {
                c.at++; /* '(' or ',' */
                skip_space(&c);
                const char *name = c.at;
                size_t len = take_word(&c);
                skip_space(&c);
                bool tokenize = len > 0 && len <= strlen("tokenize") && strncasecmp(name, "tokenize", len) == 0;
                if (tokenize && c.at < c.end && *c.at == '=') {
                        c.at++;
                        take_value(&c, buffer, size);
                }
                skip_argument(&c);
        }
}
