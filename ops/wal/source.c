/*
 * One statement walks the table in the order of seq_id, which is its rowid. It stays prepared from one transaction to the next, and
 * goes on where it stands as long as the rows that are asked for follow each other. SQLite has copied a row's values by the time
 * that it is stepped to; they are used where they are.
 *
 * Large rows. With the connection's limit at WAL_PIECE_MAX a step that meets a larger value fails with SQLITE_TOOBIG before there
 * is room for it, so ordinary rows pay nothing for the check. Such a row is then described rather than read: typeof() does not load
 * what it is asked about, a value of CASE that is not reached isn't loaded either, and sqlite3_blob knows the length of a text from
 * the row's header, for which SQL has nothing before SQLite 3.43. None of the three is bound by the limit (3.40.1;
 * tests/unit/test_wal_source.c).
 *
 * A piece is read through a sqlite3_blob that stays open for the next one: SQLite then remembers the chain of overflow pages as far
 * as it went, which it must follow from its beginning otherwise.
 */
#include "ops/wal/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "ops/wal/queue.h"

#define TABLE WAL_QUEUE
#define WHAT "reading the write-ahead log"

/* What is read of a value that may be a topic: one that is longer is none (wal_row_key). */
#define TOPIC_MAX 1024

#define BUFFER_SIZE (WAL_PIECE_MAX + 2 * WAL_PIECE_MARGIN)

static const char *const column_names[WAL_COLUMNS] = {
        [WAL_CREATED_AT] = "created_at", [WAL_OPERATION] = "operation", [WAL_TOPIC] = "topic",       [WAL_ID] = "id",
        [WAL_VECTOR] = "vector",         [WAL_ENCODING] = "encoding",   [WAL_METADATA] = "metadata",
};

struct wal_source {
        struct db *db;
        int limit_before;
        sqlite3_stmt *rows;    /* from a seq_id on; runs while it stands on the row before `next` */
        sqlite3_stmt *layout;  /* of the first row from a seq_id on: classes and numbers */
        sqlite3_stmt *version; /* of the schema */

        bool begun;   /* the schema is known to be as checked, in this transaction */
        bool checked; /* the schema was, at checked_version */
        int64_t checked_version;

        int64_t next; /* behind the last row */
        bool ended;   /* no seq_id is greater than the last one */

        sqlite3_blob *blob; /* of the row and column below, or NULL */
        int64_t blob_row;
        enum wal_column blob_column;
        char *buffer; /* of pieces, BUFFER_SIZE; NULL until there is one */
};

/* The schema. */

static int prepare(struct wal_source *s, struct error *e)
{
        int r = 0;
        if (s->rows == NULL)
                r = db_prepare(s->db, &s->rows, e,
                               "SELECT seq_id, created_at, operation, topic, id, vector, encoding, metadata FROM " TABLE
                               " WHERE seq_id >= ?1 ORDER BY seq_id");
#define LAYOUT(column) ", typeof(" column "), CASE WHEN typeof(" column ") IN ('integer', 'real') THEN " column " END"
        if (r == 0 && s->layout == NULL)
                r = db_prepare(s->db, &s->layout, e,
                               "SELECT seq_id" LAYOUT("created_at") LAYOUT("operation") LAYOUT("topic") LAYOUT("id")
                                       LAYOUT("vector") LAYOUT("encoding")
                                               LAYOUT("metadata") " FROM " TABLE " WHERE seq_id >= ?1 ORDER BY seq_id LIMIT 1");
#undef LAYOUT
        return r;
}

static int schema_version(struct wal_source *s, int64_t *ret, struct error *e)
{
        int r = s->version == NULL ? db_prepare(s->db, &s->version, e, "PRAGMA schema_version") : 0;
        if (r == 0)
                r = db_step(s->db, s->version, e);
        if (r > 0)
                *ret = sqlite3_column_int64(s->version, 0);
        (void) sqlite3_reset(s->version);
        return r == 0 ? error_set(e, EILSEQ, DB_FILE " has no schema") : r < 0 ? r : 0;
}

/* The limit is no obstacle to the schema, whose SQL may be long: it is read again here, when it has changed. */
static int begin(struct wal_source *s, struct error *e)
{
        int64_t version = 0;
        if (sqlite3_get_autocommit(db_handle(s->db)))
                return error_set(e, EINVAL, WHAT ": no transaction is open");
        int r = schema_version(s, &version, e);
        if (r < 0)
                return r;
        if (!s->checked || version != s->checked_version) {
                s->checked = false;
                (void) sqlite3_limit(db_handle(s->db), SQLITE_LIMIT_LENGTH, s->limit_before);
                r = wal_queue_check(s->db, e);
                if (r == 0)
                        r = prepare(s, e);
                (void) sqlite3_limit(db_handle(s->db), SQLITE_LIMIT_LENGTH, WAL_PIECE_MAX);
                if (r < 0)
                        return r;
                s->checked = true;
                s->checked_version = version;
        }
        s->begun = true;
        return 0;
}

/* Large rows. */

static void close_blob(struct wal_source *s)
{
        (void) sqlite3_blob_close(s->blob); /* its result is that of the last read again */
        s->blob = NULL;
}

static int open_blob(struct wal_source *s, int64_t seq_id, enum wal_column column, struct error *e)
{
        if (s->blob != NULL && s->blob_row == seq_id && s->blob_column == column)
                return 0;
        close_blob(s);
        if (sqlite3_blob_open(db_handle(s->db), "main", TABLE, column_names[column], seq_id, 0, &s->blob) != SQLITE_OK) {
                int r = db_fail(s->db, e, WHAT);
                close_blob(s);
                return r;
        }
        s->blob_row = seq_id;
        s->blob_column = column;
        return 0;
}

/* Reads `len` (<= BUFFER_SIZE) bytes of a text or blob of the row into the buffer. */
static int read_bytes(struct wal_source *s, const struct wal_row *row, enum wal_column column, uint64_t from, size_t len,
                      struct error *e)
{
        if (s->buffer == NULL)
                s->buffer = malloc(BUFFER_SIZE);
        if (s->buffer == NULL)
                return error_set(e, ENOMEM, "no memory");
        int r = open_blob(s, row->seq_id, column, e);
        if (r < 0)
                return r;
        if ((uint64_t) sqlite3_blob_bytes(s->blob) != row->columns[column].len)
                return error_set(e, EILSEQ, "row %" PRId64 " of " TABLE " contradicts itself", row->seq_id);
        if (sqlite3_blob_read(s->blob, s->buffer, (int) len, (int) from) == SQLITE_OK)
                return 0;
        r = db_fail(s->db, e, WHAT);
        close_blob(s);
        return r;
}

static enum wal_class class_of(const unsigned char *type)
{
        static const char *const names[] = {
                [WAL_NULL] = "null", [WAL_INTEGER] = "integer", [WAL_REAL] = "real", [WAL_TEXT] = "text", [WAL_BLOB] = "blob",
        };
        for (int i = 0; type != NULL && i <= WAL_BLOB; i++)
                if (strcmp((const char *) type, names[i]) == 0)
                        return (enum wal_class) i;
        return WAL_NULL;
}

/* From the row of the layout that is stepped to. */
static void take_layout(sqlite3_stmt *layout, struct wal_row *ret)
{
        *ret = (struct wal_row){ .seq_id = sqlite3_column_int64(layout, 0) };
        for (int i = 0; i < WAL_COLUMNS; i++) {
                struct wal_value *value = &ret->columns[i];
                value->class = class_of(sqlite3_column_text(layout, 1 + 2 * i));
                if (value->class == WAL_INTEGER)
                        value->integer = sqlite3_column_int64(layout, 2 + 2 * i);
                else if (value->class == WAL_REAL)
                        value->real = sqlite3_column_double(layout, 2 + 2 * i);
        }
}

static int take_lengths(struct wal_source *s, struct wal_row *row, struct error *e)
{
        for (int i = 0; i < WAL_COLUMNS; i++) {
                struct wal_value *value = &row->columns[i];
                if (value->class != WAL_TEXT && value->class != WAL_BLOB)
                        continue;
                int r = open_blob(s, row->seq_id, (enum wal_column) i, e);
                if (r < 0)
                        return r;
                value->len = (uint64_t) sqlite3_blob_bytes(s->blob);
        }
        return 0;
}

static int unreadable(int64_t seq_id, struct error *e)
{
        return error_set(e, EILSEQ, "row %" PRId64 " of " TABLE " can't be read: a value is not what the table's layout says",
                         seq_id);
}

/* The first row from a seq_id on, which the walk failed at. */
static int read_layout(struct wal_source *s, int64_t seq_id, struct wal_row *ret, struct error *e)
{
        (void) sqlite3_reset(s->layout);
        if (sqlite3_bind_int64(s->layout, 1, seq_id) != SQLITE_OK)
                return db_fail(s->db, e, WHAT);
        int r = db_step(s->db, s->layout, e);
        if (r > 0)
                take_layout(s->layout, ret);
        (void) sqlite3_reset(s->layout);
        if (r == 0 || r == -E2BIG)
                return unreadable(seq_id, e);
        if (r > 0)
                r = take_lengths(s, ret, e);
        if (r == 0 && !wal_row_is_large(ret))
                return unreadable(ret->seq_id, e);
        return r < 0 ? r : 1;
}

/* The walk. */

/* False for a value beyond the limit. Only a schema that no Chroma makes lets one through: by the DEFAULT of a column that was
   added. */
static bool take_value(sqlite3_value *from, struct wal_value *ret)
{
        *ret = (struct wal_value){ .class = WAL_NULL };
        switch (sqlite3_value_type(from)) {
        case SQLITE_INTEGER:
                ret->class = WAL_INTEGER;
                ret->integer = sqlite3_value_int64(from);
                return true;
        case SQLITE_FLOAT:
                ret->class = WAL_REAL;
                ret->real = sqlite3_value_double(from);
                return true;
        case SQLITE_TEXT:
                ret->class = WAL_TEXT;
                break;
        case SQLITE_BLOB:
                ret->class = WAL_BLOB;
                break;
        default:
                return true;
        }
        /* As a blob a text is neither converted nor ended with a NUL. */
        const char *bytes = sqlite3_value_blob(from);
        ret->bytes = bytes != NULL ? bytes : "";
        ret->len = (uint64_t) sqlite3_value_bytes(from);
        return ret->len <= WAL_PIECE_MAX;
}

/* Of the row that is stepped to, which is the first one from `seq_id` on. */
static int take_row(struct wal_source *s, int64_t seq_id, struct wal_row *ret, struct error *e)
{
        sqlite3_value *key = sqlite3_column_value(s->rows, 0);
        int64_t found = sqlite3_value_int64(key);
        if (sqlite3_value_type(key) != SQLITE_INTEGER || found < seq_id)
                return error_set(e, EILSEQ, "table " TABLE ": row %" PRId64 " is out of order", found);
        ret->seq_id = found;
        for (int i = 0; i < WAL_COLUMNS; i++)
                if (!take_value(sqlite3_column_value(s->rows, 1 + i), &ret->columns[i]))
                        return unreadable(found, e);
        return 1;
}

static int start_at(struct wal_source *s, int64_t seq_id, struct error *e)
{
        (void) sqlite3_reset(s->rows);
        return sqlite3_bind_int64(s->rows, 1, seq_id) == SQLITE_OK ? 0 : db_fail(s->db, e, WHAT);
}

static int step(struct wal_source *s, int64_t seq_id, struct wal_row *ret, struct error *e)
{
        struct wal_row row = { .seq_id = seq_id };
        int r, rc = sqlite3_step(s->rows);
        if (rc == SQLITE_ROW)
                r = take_row(s, seq_id, &row, e);
        else if (rc == SQLITE_TOOBIG)
                r = read_layout(s, seq_id, &row, e);
        else
                r = rc == SQLITE_DONE ? 0 : db_fail(s->db, e, WHAT);
        if (rc != SQLITE_ROW || r < 0)
                (void) sqlite3_reset(s->rows);
        if (r <= 0)
                return r;
        *ret = row;
        s->ended = row.seq_id == INT64_MAX;
        s->next = s->ended ? INT64_MAX : row.seq_id + 1;
        return 1;
}

int wal_source_seek(struct wal_source *source, int64_t seq_id, struct wal_row *ret, struct error *e)
{
        int r = source->begun ? 0 : begin(source, e);
        if (r < 0)
                return r;
        /* A statement that runs is one that stands on a row. */
        if (seq_id != source->next || source->ended || !sqlite3_stmt_busy(source->rows))
                r = start_at(source, seq_id, e);
        if (r < 0)
                return r;
        source->next = seq_id;
        source->ended = false;
        return step(source, seq_id, ret, e);
}

int wal_source_next(struct wal_source *source, struct wal_row *ret, struct error *e)
{
        return source->ended ? 0 : wal_source_seek(source, source->next, ret, e);
}

/* Values of large rows. */

int wal_source_input(struct wal_source *source, const struct wal_row *row, const struct wal_piece *piece, struct wal_input *ret,
                     struct error *e)
{
        const struct wal_value *value = &row->columns[piece->column];
        if (piece->from >= piece->to) {
                *ret = (struct wal_input){ .bytes = "" };
                return 0;
        }
        if (piece->to > value->len || piece->to - piece->from > WAL_PIECE_MAX)
                return error_set(e, EINVAL, "row %" PRId64 " of " TABLE " has no such piece", row->seq_id);
        uint64_t from = piece->from > WAL_PIECE_MARGIN ? piece->from - WAL_PIECE_MARGIN : 0;
        uint64_t to = value->len - piece->to > WAL_PIECE_MARGIN ? piece->to + WAL_PIECE_MARGIN : value->len;
        size_t len = (size_t) (to - from);
        int r = read_bytes(source, row, piece->column, from, len, e);
        if (r == 0)
                *ret = (struct wal_input){ .bytes = source->buffer, .offset = from, .len = len };
        return r;
}

/* *ret has the row's value of one column, and no other; NULL for one of more than `max` bytes, which is not read. */
static int read_one(struct wal_source *s, const struct wal_row *row, enum wal_column column, size_t max, struct wal_row *ret,
                    struct error *e)
{
        struct wal_value value = row->columns[column];
        if (value.class == WAL_TEXT || value.class == WAL_BLOB) {
                int r = value.len <= max ? read_bytes(s, row, column, 0, (size_t) value.len, e) : 0;
                if (r < 0)
                        return r;
                if (value.len > max)
                        value = (struct wal_value){ .class = WAL_NULL };
                value.bytes = s->buffer;
        }
        *ret = (struct wal_row){ .seq_id = row->seq_id };
        ret->columns[column] = value;
        return 0;
}

int wal_source_key(struct wal_source *source, const struct wal_row *row, uint64_t *ret, struct error *e)
{
        struct wal_row topic;
        if (!wal_row_is_large(row)) {
                *ret = wal_row_key(row);
                return 0;
        }
        int r = read_one(source, row, WAL_TOPIC, TOPIC_MAX, &topic, e);
        if (r == 0)
                *ret = wal_row_key(&topic);
        return r;
}

int wal_source_created(struct wal_source *source, const struct wal_row *row, int64_t *ret, struct error *e)
{
        struct wal_row created;
        if (!wal_row_is_large(row)) {
                *ret = wal_row_created(row);
                return 0;
        }
        int r = read_one(source, row, WAL_CREATED_AT, WAL_PIECE_MAX, &created, e);
        if (r == 0)
                *ret = wal_row_created(&created);
        return r;
}

/* Beginning and end. */

void wal_source_rest(struct wal_source *source)
{
        (void) sqlite3_reset(source->rows);
        close_blob(source);
        source->begun = false;
}

int wal_source_new(struct db *db, struct wal_source **ret, struct error *e)
{
        struct wal_source *s = calloc(1, sizeof(*s));
        if (s == NULL)
                return error_set(e, ENOMEM, "no memory");
        s->db = db;
        s->next = INT64_MIN;
        s->limit_before = sqlite3_limit(db_handle(db), SQLITE_LIMIT_LENGTH, WAL_PIECE_MAX);
        *ret = s;
        return 0;
}

struct wal_source *wal_source_free(struct wal_source *source)
{
        if (source == NULL)
                return NULL;
        close_blob(source);
        (void) sqlite3_finalize(source->rows);
        (void) sqlite3_finalize(source->layout);
        (void) sqlite3_finalize(source->version);
        (void) sqlite3_limit(db_handle(source->db), SQLITE_LIMIT_LENGTH, source->limit_before);
        free(source->buffer);
        free(source);
        return NULL;
}
