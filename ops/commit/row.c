/*
 * The columns of a row, and what Chroma asks of them (FORMAT 3).
 *
 * Python reads a row when it loads the vector segment, and can't load that when the operation is unknown, a vector has no encoding or no whole number of floats, or the
 * metadata is no JSON. Rust reads all rows of a collection that are behind, and can't open it when one of them is such; it does not see those whose created_at it can't read, and the lengths of
 * vectors are not looked at: it would read beyond a short one. INT32 is nobody's: 0.4 converts it, 0.5 and 0.6 take the bits for floats, and 1.x ends its process.
 */
#include "ops/commit/row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/commit/row_json.h"
#include "ops/wal/row.h"

#define VISIBLE_COLUMN (1 + WAL_COLUMNS)

struct decoder {
        struct wal_row wal;
        bool visible; /* to Rust */
        const struct commit_row_rules *rules;
        struct commit_row *row;
        struct error *why, *e;
};

static int reject(struct decoder *d, const char *what)
{
        (void) error_set(d->why, EILSEQ, "%s", what);
        return 1;
}

static int no_memory(struct error *e)
{
        return error_set(e, ENOMEM, "no memory for a row of the log");
}

static int take_value(sqlite3_stmt *stmt, int column, struct wal_value *ret)
{
        *ret = (struct wal_value){ .class = WAL_NULL, .bytes = "" };
        int type = sqlite3_column_type(stmt, column);
        if (type == SQLITE_INTEGER) {
                ret->class = WAL_INTEGER;
                ret->integer = sqlite3_column_int64(stmt, column);
        } else if (type == SQLITE_FLOAT) {
                ret->class = WAL_REAL;
                ret->real = sqlite3_column_double(stmt, column);
        } else if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
                const char *bytes = sqlite3_column_blob(stmt, column); /* of a text: as it is stored */
                ret->class = type == SQLITE_TEXT ? WAL_TEXT : WAL_BLOB;
                ret->len = (uint64_t) sqlite3_column_bytes(stmt, column);
                if (bytes == NULL && ret->len > 0)
                        return -ENOMEM;
                ret->bytes = bytes != NULL ? bytes : "";
        }
        return 0;
}

static int take_columns(sqlite3_stmt *stmt, struct decoder *d)
{
        d->wal.seq_id = sqlite3_column_int64(stmt, 0);
        for (int i = 0; i < WAL_COLUMNS; i++)
                if (take_value(stmt, 1 + i, &d->wal.columns[i]) < 0)
                        return no_memory(d->e);
        d->visible = sqlite3_column_int(stmt, VISIBLE_COLUMN) != 0;
        return 0;
}

static bool value_is(const struct wal_value *value, const char *text)
{
        return value->class == WAL_TEXT && value->len == strlen(text) && memcmp(value->bytes, text, (size_t) value->len) == 0;
}

/* Room for all strings of the row, and the id as its first. */
static int take_id(struct decoder *d)
{
        const struct wal_value *id = &d->wal.columns[WAL_ID], *metadata = &d->wal.columns[WAL_METADATA];
        bool good = id->class == WAL_TEXT && utf8_valid(id->bytes, (size_t) id->len);
        size_t len = good ? (size_t) id->len : 0;
        char *strings = malloc(len + 1 + (size_t) metadata->len + 1);
        if (strings == NULL)
                return no_memory(d->e);
        memcpy(strings, id->bytes, len);
        strings[len] = '\0';
        d->row->strings = strings;
        d->row->id = (struct text){ strings, len };
        return good ? 0 : reject(d, id->class == WAL_TEXT ? "its id is no UTF-8" : "its id is no text");
}

static int take_operation(struct decoder *d)
{
        const struct wal_value *value = &d->wal.columns[WAL_OPERATION];
        if (value->class != WAL_INTEGER || value->integer < COMMIT_ADD || value->integer > COMMIT_DELETE) {
                if (value->class != WAL_INTEGER)
                        return reject(d, "its operation is no number");
                (void) error_set(d->why, EILSEQ, "its operation %" PRId64 " is unknown", value->integer);
                return 1;
        }
        d->row->operation = (enum commit_operation) value->integer;
        return 0;
}

static int check_created(struct decoder *d)
{
        return d->visible || !d->rules->version.rust
                       ? 0
                       : reject(d, "its created_at is no time, and Chroma 1.x does not see such rows");
}

/* Metadata. */

static bool metadata_is_applied(const struct decoder *d)
{
        return d->wal.seq_id <= d->rules->metadata_position;
}

/* Of what is applied only that it can be read counts, by the one who reads most. */
static enum commit_dialect dialect_of(const struct decoder *d)
{
        if (!d->rules->version.rust || metadata_is_applied(d))
                return DIALECT_PYTHON;
        return d->rules->version.metadb >= 6 ? DIALECT_ARRAYS : DIALECT_RUST;
}

static int parse_metadata(struct decoder *d)
{
        const struct wal_value *value = &d->wal.columns[WAL_METADATA];
        struct commit_json json = { 0 };
        int r = commit_json_parse(value->bytes, (size_t) value->len, dialect_of(d), d->row->strings + d->row->id.len + 1, &json,
                                  d->why, d->e);
        if (r != 0)
                return r;
        if (json.lost || metadata_is_applied(d)) {
                d->row->incomplete |= json.lost && !metadata_is_applied(d);
                commit_values_free(json.values, json.count);
                return 0;
        }
        d->row->values = json.values;
        d->row->value_count = json.count;
        return 0;
}

static int take_metadata(struct decoder *d)
{
        const struct wal_value *value = &d->wal.columns[WAL_METADATA];
        bool python = dialect_of(d) == DIALECT_PYTHON;
        if (value->class == WAL_NULL || (python && value->class != WAL_INTEGER && value->class != WAL_REAL && value->len == 0))
                return 0;
        if (value->class != WAL_TEXT && !(python && value->class == WAL_BLOB))
                return reject(d, "its metadata is no text");
        return parse_metadata(d);
}

/* The vector. */

/* Whether the column has one, in an encoding that counts. 0, 1 and *ret_any. */
static int check_encoding(struct decoder *d, bool *ret_any)
{
        const struct wal_value *vector = &d->wal.columns[WAL_VECTOR], *encoding = &d->wal.columns[WAL_ENCODING];
        bool rust = d->rules->version.rust, known = value_is(encoding, "FLOAT32") || value_is(encoding, "INT32");
        bool adds = d->row->operation == COMMIT_ADD || d->row->operation == COMMIT_UPSERT;
        if (rust && encoding->class != WAL_NULL && !known)
                return reject(d, "its encoding is unknown");
        *ret_any = vector->class != WAL_NULL && (rust || vector->class != WAL_BLOB || vector->len > 0);
        if (!*ret_any)
                return 0;
        if (vector->class != WAL_BLOB)
                return reject(d, "its vector is no blob");
        if (rust && encoding->class == WAL_NULL && !adds) { /* 1.x takes it for none */
                *ret_any = false;
                return 0;
        }
        if (!known)
                return reject(d,
                              encoding->class == WAL_NULL ? "its vector has no encoding" : "the encoding of its vector is unknown");
        return value_is(encoding, "INT32") ? reject(d, "its vector is one of integers, which Chroma does not write") : 0;
}

static int wrong_length(struct decoder *d)
{
        (void) error_set(d->why, EILSEQ, "its vector has %" PRIu64 " bytes, and those of the collection have %" PRIu64,
                         d->wal.columns[WAL_VECTOR].len, 4 * (uint64_t) d->rules->dimension);
        if (d->rules->version.rust)
                return 1;
        d->row->incomplete = true;
        return 0;
}

static int check_vector(struct decoder *d)
{
        const struct wal_value *vector = &d->wal.columns[WAL_VECTOR];
        bool any = false;
        int r = check_encoding(d, &any);
        if (r != 0 || !any)
                return r;
        if (vector->len == 0 || vector->len % 4 != 0)
                return reject(d, "its vector is no whole number of floats");
        if (d->row->operation == COMMIT_DELETE)
                return 0;
        if (d->rules->has_dimension && vector->len / 4 != d->rules->dimension)
                return wrong_length(d);
        d->row->vector = vector->bytes;
        return 0;
}

static int take_vector(struct decoder *d)
{
        bool incomplete = d->row->incomplete, applied = d->wal.seq_id <= d->rules->vector_position;
        int r = check_vector(d);
        if (!applied)
                return r;
        d->row->incomplete = incomplete;
        return r < 0 ? r : 0;
}

static int check_nothing(struct decoder *d)
{
        const struct commit_row *row = d->row;
        bool nothing = row->operation == COMMIT_UPSERT && row->vector == NULL && row->value_count == 0;
        bool applied = metadata_is_applied(d) || d->wal.seq_id <= d->rules->vector_position;
        return nothing && !applied && d->rules->version.rust ? reject(d, "it is an UPSERT without a vector and without metadata")
                                                             : 0;
}

static int decode(struct decoder *d)
{
        int r = take_id(d);
        if (r == 0)
                r = take_operation(d);
        if (r == 0)
                r = check_created(d);
        if (r == 0)
                r = take_vector(d); /* before metadata: the reason that is told is that of the last */
        if (r == 0)
                r = take_metadata(d);
        return r == 0 ? check_nothing(d) : r;
}

int commit_row_decode(sqlite3_stmt *stmt, const struct commit_row_rules *rules, struct commit_row *ret, struct error *why,
                      struct error *e)
{
        struct decoder d = { .rules = rules, .row = ret, .why = why, .e = e };
        *ret = (struct commit_row){ 0 };
        int r = take_columns(stmt, &d);
        if (r < 0)
                return r;
        ret->seq_id = d.wal.seq_id;
        ret->hash = wal_row_hash(&d.wal);
        return decode(&d);
}

void commit_row_clear(struct commit_row *row)
{
        commit_values_free(row->values, row->value_count);
        free(row->strings);
        *row = (struct commit_row){ 0 };
}

uint32_t commit_row_dimension(sqlite3_stmt *stmt)
{
        enum { VECTOR = 1 + WAL_VECTOR };
        if (sqlite3_column_type(stmt, VECTOR) != SQLITE_BLOB)
                return 0;
        int bytes = sqlite3_column_bytes(stmt, VECTOR);
        return bytes > 0 && bytes % 4 == 0 ? (uint32_t) bytes / 4 : 0;
}
