/*
 * Fills the write-ahead log of a database whose collections have applied all of it: what a clean has to compare row by row.
 *
 * usage: make_log DATABASE INDEX ROWS DIMENSION COLLECTIONS
 *
 * INDEX is the directory of a segment that make_index has written; all segments are the same. Row n (from 1) is an ADD to each collection in turn
 * of the element that is next there, with its id and its vector, and is in `embeddings` as well.
 */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define M0 32u /* links of an element on level 0, as make_index has them */

struct log {
        sqlite3 *sqlite;
        sqlite3_stmt *row, *record;
        FILE *level0;
        unsigned long rows, dimension, collections;
};

static void fail(const char *what)
{
        (void) fprintf(stderr, "make_log: %s\n", what);
        exit(EXIT_FAILURE);
}

static void check(struct log *l, int rc)
{
        if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
                fail(sqlite3_errmsg(l->sqlite));
}

static unsigned long number(const char *text)
{
        char *end;
        unsigned long value = strtoul(text, &end, 10);
        if (*end != '\0' || value == 0 || value > 100000000)
                fail("a number that will do was expected");
        return value;
}

static void open_all(struct log *l, char **argv)
{
        char path[4096];
        (void) snprintf(path, sizeof(path), "%s/data_level0.bin", argv[2]);
        l->level0 = fopen(path, "rbe");
        if (l->level0 == NULL)
                fail("data_level0.bin can't be opened");
        check(l, sqlite3_open(argv[1], &l->sqlite));
        check(l, sqlite3_exec(l->sqlite, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN", NULL, NULL, NULL));
        check(l, sqlite3_prepare_v2(l->sqlite,
                                    "INSERT INTO embeddings_queue(seq_id,created_at,operation,topic,id,vector,encoding,metadata)"
                                    " VALUES(?1,'2025-01-01 00:00:00',0,?2,?3,?4,'FLOAT32',?5)",
                                    -1, &l->row, NULL));
        check(l, sqlite3_prepare_v2(l->sqlite, "INSERT INTO embeddings(id,segment_id,embedding_id,seq_id) VALUES(?1,?2,?3,?4)", -1,
                                    &l->record, NULL));
}

/* The same UUIDs as make_dir.sh's. */
static void bind_id(struct log *l, sqlite3_stmt *stmt, int parameter, const char *prefix, unsigned kind, unsigned long n)
{
        char text[128];
        int len = snprintf(text, sizeof(text), "%s%08x-0000-4000-8000-%012lx", prefix, kind, n);
        check(l, sqlite3_bind_text(stmt, parameter, text, len, SQLITE_TRANSIENT));
}

static void bind_label(struct log *l, sqlite3_stmt *stmt, int parameter, unsigned long label)
{
        char text[32];
        int len = snprintf(text, sizeof(text), "id-%lu", label);
        check(l, sqlite3_bind_text(stmt, parameter, text, len, SQLITE_TRANSIENT));
}

static void bind_metadata(struct log *l, unsigned long n)
{
        char text[512];
        int len =
                snprintf(text, sizeof(text),
                         "{\"page\": %lu, \"source\": \"report-%lu.pdf\", \"chroma:document\": \"Record %lu says that"
                         " \\u201cmatter %lu\\u201d was looked at again, and that nothing of what was found speaks against it.\"}",
                         n % 100, n % 977, n, n * 7919 % 1009);
        check(l, sqlite3_bind_text(l->row, 5, text, len, SQLITE_TRANSIENT));
}

static void step(struct log *l, sqlite3_stmt *stmt)
{
        check(l, sqlite3_step(stmt));
        check(l, sqlite3_reset(stmt));
}

static void put_row(struct log *l, unsigned long n, unsigned long label, const unsigned char *vector)
{
        unsigned long collection = (n - 1) % l->collections + 1;
        unsigned char position[8];
        for (int i = 0; i < 8; i++)
                position[i] = (unsigned char) ((uint64_t) n >> (56 - 8 * i));
        check(l, sqlite3_bind_int64(l->row, 1, (sqlite3_int64) n));
        bind_id(l, l->row, 2, "persistent://default/default/", 1, collection);
        bind_label(l, l->row, 3, label);
        check(l, sqlite3_bind_blob64(l->row, 4, vector, 4 * l->dimension, SQLITE_TRANSIENT));
        bind_metadata(l, n);
        step(l, l->row);
        check(l, sqlite3_bind_int64(l->record, 1, (sqlite3_int64) n));
        bind_id(l, l->record, 2, "", 3, collection);
        bind_label(l, l->record, 3, label);
        check(l, sqlite3_bind_blob(l->record, 4, position, sizeof(position), SQLITE_TRANSIENT));
        step(l, l->record);
}

static void put_rows(struct log *l)
{
        size_t before = 4 + 4 * M0, size = before + 4 * l->dimension + 8;
        unsigned char *element = malloc(size);
        if (element == NULL)
                fail("no memory");
        for (unsigned long n = 1; n <= l->rows; n++) {
                if ((n - 1) % l->collections == 0 && fread(element, size, 1, l->level0) != 1)
                        fail("data_level0.bin has too few elements");
                put_row(l, n, (n - 1) / l->collections + 1, element + before);
        }
        free(element);
}

int main(int argc, char **argv)
{
        if (argc != 6) {
                (void) fprintf(stderr, "usage: make_log DATABASE INDEX ROWS DIMENSION COLLECTIONS\n");
                return 2;
        }
        struct log l = { .rows = number(argv[3]), .dimension = number(argv[4]), .collections = number(argv[5]) };
        open_all(&l, argv);
        put_rows(&l);
        check(&l, sqlite3_exec(l.sqlite, "COMMIT", NULL, NULL, NULL));
        check(&l, sqlite3_finalize(l.row));
        check(&l, sqlite3_finalize(l.record));
        (void) fclose(l.level0);
        if (sqlite3_close(l.sqlite) != SQLITE_OK)
                fail("closing failed");
        return EXIT_SUCCESS;
}
