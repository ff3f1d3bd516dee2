#include "ops/row_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ITEMS 16

/* What the allocator adds to each small piece, roughly: a million empty texts are not free. */
#define ALLOCATION_COST 16

void row_reader_begin(struct row_reader *reader, struct db *db, int value_max, uint64_t used_max, struct error *e)
{
        *reader = (struct row_reader){ .db = db, .e = e, .value_max = value_max, .used_max = used_max };
        reader->value_max_before = sqlite3_limit(db_handle(db), SQLITE_LIMIT_LENGTH, value_max);
}

void row_reader_end(struct row_reader *reader)
{
        (void) sqlite3_limit(db_handle(reader->db), SQLITE_LIMIT_LENGTH, reader->value_max_before);
}

static int value_too_big(struct row_reader *reader)
{
        return error_set(reader->e, E2BIG, "a value in the database is larger than %d bytes", reader->value_max);
}

static int checked(struct row_reader *reader, int r)
{
        if (r < 0 && sqlite3_errcode(db_handle(reader->db)) == SQLITE_TOOBIG)
                return value_too_big(reader);
        return r;
}

static int spend(struct row_reader *reader, uint64_t bytes)
{
        if (bytes > reader->used_max - reader->used)
                return error_set(reader->e, E2BIG, "the tables that must be held in memory are larger than %llu MiB",
                                 (unsigned long long) (reader->used_max >> 20));
        reader->used += bytes;
        return 0;
}

int row_prepare(struct row_reader *reader, sqlite3_stmt **ret, const char *sql, const struct text *id)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int r = checked(reader, db_prepare(reader->db, &stmt, reader->e, sql));
        if (r < 0)
                return r;
        if (id != NULL && sqlite3_bind_text64(stmt, 1, id->bytes, id->len, SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK)
                return checked(reader, db_fail(reader->db, reader->e, "looking up an id"));
        *ret = TAKE(stmt);
        return 0;
}

int row_step(struct row_reader *reader, sqlite3_stmt *row)
{
        return checked(reader, db_step(reader->db, row, reader->e));
}

int row_text_or_null(struct row_reader *reader, sqlite3_stmt *row, int column, struct text *ret)
{
        struct text text = { NULL, 0 };
        int r = checked(reader, db_column_text(row, column, &text, reader->e));
        if (r < 0)
                return r;
        /* A UTF-16 database's text may grow beyond the limit in the conversion. */
        r = text.len > (size_t) reader->value_max ? value_too_big(reader) : spend(reader, text.len + ALLOCATION_COST);
        if (r < 0)
                free(text.bytes);
        else
                *ret = text;
        return r;
}

int row_text(struct row_reader *reader, sqlite3_stmt *row, int column, struct text *ret)
{
        struct text text = { NULL, 0 };
        int r = row_text_or_null(reader, row, column, &text);
        if (r < 0)
                return r;
        if (text.bytes == NULL && text_copy(&text, "", 0) < 0)
                return error_set(reader->e, ENOMEM, "no memory");
        *ret = text;
        return 0;
}

int row_grow(struct row_reader *reader, void *array, size_t count, size_t size)
{
        char *items;
        memcpy(&items, array, sizeof items);
        /* Full when the count is 0 or a power of two that is no less than the first room. */
        if (count == 0 || (count >= FIRST_ITEMS && (count & (count - 1)) == 0)) {
                size_t room = count == 0 ? FIRST_ITEMS : 2 * count;
                int r = spend(reader, (room - count) * size);
                if (r < 0)
                        return r;
                items = reallocarray(items, room, size);
                if (items == NULL)
                        return error_set(reader->e, ENOMEM, "no memory for %zu rows", room);
                memcpy(array, &items, sizeof items);
        }
        memset(items + count * size, 0, size);
        return 0;
}
