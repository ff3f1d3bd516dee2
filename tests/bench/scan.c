/*
 * The fastest that SQLite's own interface gives all values of the write-ahead log: one statement, with SQLite's defaults.
 *
 * usage: scan DATABASE
 *
 * Prints how many rows there are, and how many bytes in their values.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const char query[] =
        "SELECT seq_id, created_at, operation, topic, id, vector, encoding, metadata FROM embeddings_queue ORDER BY seq_id";

struct sum {
        uint64_t rows, bytes;
};

/* Asking for a value's address makes SQLite fetch all of it; of a number it would make a text. */
static void add_row(sqlite3_stmt *statement, struct sum *sum)
{
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
                int type = sqlite3_column_type(statement, i);
                bool has_bytes = type == SQLITE_TEXT || type == SQLITE_BLOB;
                if (has_bytes && sqlite3_column_blob(statement, i) != NULL)
                        sum->bytes += (uint64_t) sqlite3_column_bytes(statement, i);
        }
        sum->rows++;
}

static int scan(sqlite3 *db)
{
        sqlite3_stmt *statement = NULL;
        struct sum sum = { 0 };
        int r = sqlite3_prepare_v2(db, query, -1, &statement, NULL);
        if (r == SQLITE_OK)
                while ((r = sqlite3_step(statement)) == SQLITE_ROW)
                        add_row(statement, &sum);
        (void) sqlite3_finalize(statement);
        (void) printf("%" PRIu64 " rows, %" PRIu64 " bytes\n", sum.rows, sum.bytes);
        return r;
}

int main(int argc, char **argv)
{
        sqlite3 *db = NULL;
        if (argc != 2)
                return 2;
        int r = sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READONLY, NULL);
        if (r == SQLITE_OK)
                r = scan(db);
        if (r != SQLITE_DONE)
                (void) fprintf(stderr, "scan: %s: %s\n", argv[1], sqlite3_errmsg(db));
        (void) sqlite3_close(db);
        return r == SQLITE_DONE ? EXIT_SUCCESS : EXIT_FAILURE;
}
