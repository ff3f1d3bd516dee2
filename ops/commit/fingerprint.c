/*
 * What a plan counts on, and a transaction must find again. All columns, whatever the version has. The metadata segment's position is not among them: beside a live Chroma before 1.0 it moves
 * with each row that is written.
 */
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "ops/commit/plan.h"

static const char *const queries[] = {
        "SELECT * FROM migrations ORDER BY dir, version",
        "SELECT * FROM collections WHERE id = ?1",
        "SELECT * FROM segments WHERE collection = ?1 ORDER BY id",
        "SELECT * FROM segment_metadata WHERE segment_id IN (SELECT id FROM segments WHERE collection = ?1) ORDER BY segment_id, "
        "key",
        "SELECT * FROM max_seq_id WHERE segment_id IN (SELECT id FROM segments WHERE collection = ?1 AND scope = 'VECTOR')"
        " ORDER BY segment_id",
};

static void add_bytes(XXH3_state_t *state, const void *bytes, size_t len)
{
        (void) XXH3_64bits_update(state, &len, sizeof(len));
        if (len > 0)
                (void) XXH3_64bits_update(state, bytes, len);
}

static void add_column(XXH3_state_t *state, sqlite3_stmt *stmt, int column)
{
        int type = sqlite3_column_type(stmt, column);
        int64_t number = type == SQLITE_INTEGER ? sqlite3_column_int64(stmt, column) : 0;
        double real = type == SQLITE_FLOAT ? sqlite3_column_double(stmt, column) : 0;
        add_bytes(state, &type, sizeof(type));
        add_bytes(state, &number, sizeof(number));
        add_bytes(state, &real, sizeof(real));
        if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
                const void *bytes = sqlite3_column_blob(stmt, column);
                add_bytes(state, bytes, bytes == NULL ? 0 : (size_t) sqlite3_column_bytes(stmt, column));
        }
}

static void add_row(XXH3_state_t *state, sqlite3_stmt *stmt)
{
        for (int i = 0; i < sqlite3_column_count(stmt); i++)
                add_column(state, stmt, i);
}

static bool bind_id(sqlite3_stmt *stmt, const char *id)
{
        return sqlite3_bind_parameter_count(stmt) == 0 || sqlite3_bind_text(stmt, 1, id, -1, SQLITE_STATIC) == SQLITE_OK;
}

static int add_query(XXH3_state_t *state, struct db *db, const char *sql, const char *id, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int r = db_prepare(db, &stmt, e, sql);
        if (r == 0 && !bind_id(stmt, id))
                r = db_fail(db, e, "a collection");
        while (r == 0 && (r = db_step(db, stmt, e)) > 0) {
                add_row(state, stmt);
                r = 0;
        }
        add_bytes(state, NULL, 0);
        return r;
}

static int add_query_writing(XXH3_state_t *state, struct write_db *w, const char *sql, const char *id, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int r = write_db_prepare(w, &stmt, e, sql);
        if (r == 0 && !bind_id(stmt, id))
                r = write_db_fail(w, e, "a collection");
        while (r == 0 && (r = write_db_step(w, stmt, e)) > 0) {
                add_row(state, stmt);
                r = 0;
        }
        add_bytes(state, NULL, 0);
        return r;
}

/* `db` or `w`, the other one NULL. */
static int compute(struct db *db, struct write_db *w, const char *id, uint64_t *ret, struct error *e)
{
        XXH3_state_t *state = XXH3_createState();
        if (state == NULL)
                return error_set(e, ENOMEM, "no memory to read a collection");
        (void) XXH3_64bits_reset(state);
        int r = 0;
        for (size_t i = 0; r == 0 && i < sizeof(queries) / sizeof(queries[0]); i++)
                r = db != NULL ? add_query(state, db, queries[i], id, e) : add_query_writing(state, w, queries[i], id, e);
        if (r == 0)
                *ret = XXH3_64bits_digest(state);
        (void) XXH3_freeState(state);
        return r;
}

int commit_fingerprint(struct db *db, const char *id, uint64_t *ret, struct error *e)
{
        return compute(db, NULL, id, ret, e);
}

int commit_fingerprint_writing(struct write_db *w, const char *id, uint64_t *ret, struct error *e)
{
        return compute(NULL, w, id, ret, e);
}

int commit_record_position(struct write_db *w, const char *segment_id, int64_t *ret, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        uint64_t position = 0;
        int r = write_db_prepare(w, &stmt, e, "SELECT seq_id FROM max_seq_id WHERE segment_id = ?1");
        if (r == 0 && sqlite3_bind_text(stmt, 1, segment_id, -1, SQLITE_STATIC) != SQLITE_OK)
                r = write_db_fail(w, e, "a position");
        if (r == 0)
                r = write_db_step(w, stmt, e);
        if (r < 0)
                return r;
        if (r > 0 && (!position_decode(sqlite3_column_value(stmt, 0), &position) || position > INT64_MAX))
                return error_set(e, EILSEQ, "the position of the metadata segment in table max_seq_id can't be read");
        *ret = (int64_t) position;
        return 0;
}
