#include "ops/pieces.h"

#include <errno.h>
#include <time.h>

/* A writer that commits without a pause leaves the file unlocked for microseconds at a time, and a reader can miss all of them for seconds.
   One missed wait must not cost all that a long walk has read. */
#define BEGIN_ATTEMPTS 5

void pieces_init(struct pieces *p, struct db *db)
{
        *p = (struct pieces){ .db = db, .exact = true };
}

/* The coarse clock costs less than a row does, and its ticks of a few milliseconds are fine enough. */
static int64_t now_ms(void)
{
        struct timespec t;
        (void) clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
        return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct walk {
        const char *sql;
        sqlite3_stmt *stmt;
        piece_bind_fn *bind;
        piece_row_fn *row;
        void *context;
        bool finished;
};

static int note_version(struct pieces *p, struct error *e)
{
        uint64_t version = 0;
        int r = db_data_version(p->db, &version, e);
        if (r < 0)
                return r;
        if (!p->started) {
                p->started = true;
                p->data_version = version;
        } else if (version != p->data_version) {
                p->exact = false;
        }
        return 0;
}

/* Takes rows until there are no more or the time is up, at least one. */
static int step_rows(struct pieces *p, struct walk *w, struct error *e)
{
        int64_t end = now_ms() + PIECE_MS;
        do {
                int r = db_step(p->db, w->stmt, e);
                if (r < 0)
                        return r;
                if (r == 0) {
                        w->finished = true;
                        return 0;
                }
                r = w->row(w->context, w->stmt);
                if (r != 0)
                        return r;
        } while (now_ms() < end);
        return 0;
}

/* Inside a transaction. The statement is prepared in the first one, since preparing reads the schema, and kept: SQLite prepares it
   again by itself when the schema changes between two pieces. */
static int run_piece(struct pieces *p, struct walk *w, struct error *e)
{
        int r = note_version(p, e);
        if (r == 0 && w->stmt == NULL)
                r = db_prepare(p->db, &w->stmt, e, w->sql);
        if (r == 0)
                r = w->bind(w->context, w->stmt);
        if (r < 0)
                return r;
        r = step_rows(p, w, e);
        /* A statement that was not stepped to its end would keep the transaction open. */
        (void) sqlite3_reset(w->stmt);
        return r;
}

static int begin(struct pieces *p, struct error *e)
{
        int r = -EBUSY;
        for (int i = 0; r == -EBUSY && i < BEGIN_ATTEMPTS; i++)
                r = db_begin(p->db, e);
        return r;
}

int pieces_walk(struct pieces *p, const char *sql, piece_bind_fn *bind, piece_row_fn *row, void *context, struct error *e)
{
        struct walk w = { .sql = sql, .bind = bind, .row = row, .context = context };
        int r = 0;
        while (r == 0 && !w.finished) {
                r = begin(p, e);
                if (r < 0)
                        break;
                r = run_piece(p, &w, e);
                db_end(p->db);
        }
        (void) sqlite3_finalize(w.stmt);
        return r;
}

int int_key_bind(const struct int_key *key, sqlite3_stmt *stmt, int parameter)
{
        /* Nothing compares to NULL: no more rows. */
        int rc = key->ended ? sqlite3_bind_null(stmt, parameter) : sqlite3_bind_int64(stmt, parameter, key->next);
        return rc == SQLITE_OK ? 0 : rc == SQLITE_NOMEM ? -ENOMEM : -EILSEQ;
}

int int_key_take(struct int_key *key, sqlite3_stmt *stmt, int column, const char *table, int64_t *ret, struct error *e)
{
        if (sqlite3_column_type(stmt, column) != SQLITE_INTEGER)
                return error_set(e, EILSEQ, "table %s: a key is no integer", table);
        int64_t value = sqlite3_column_int64(stmt, column);
        if (key->ended || value < key->next)
                return error_set(e, EILSEQ, "table %s: key %lld occurs twice or out of order", table, (long long) value);
        if (value == INT64_MAX)
                key->ended = true;
        else
                key->next = value + 1;
        *ret = value;
        return 0;
}

bool column_bytes(sqlite3_stmt *stmt, int column, const char **ret, size_t *ret_len)
{
        int type = sqlite3_column_type(stmt, column);
        if (type != SQLITE_TEXT && type != SQLITE_BLOB)
                return false;
        /* column_text turns UTF-16 into UTF-8, and would add a NUL to a blob. A blob of no bytes is NULL; a text is only without memory,
           and then the next step fails. */
        const void *bytes =
                type == SQLITE_TEXT ? (const void *) sqlite3_column_text(stmt, column) : sqlite3_column_blob(stmt, column);
        int len = sqlite3_column_bytes(stmt, column);
        *ret = bytes == NULL ? "" : bytes;
        *ret_len = bytes == NULL || len < 0 ? 0 : (size_t) len;
        return true;
}
