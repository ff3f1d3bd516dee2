/*
 * Appends ADDs to the write-ahead log of a database: what a commit has to put into an index.
 *
 * usage: make_pending DATABASE FIRST ROWS DIMENSION [both]
 *
 * The metadata segment has applied them, as Python's Chroma leaves it, unless both are to be pending. Rows FIRST to FIRST + ROWS - 1, all of collection 1 of make_dir.sh. Vectors are as hnsw_speed's: uniform in a cube, which is harder on an index than what
 * people store. Metadata and documents are some 200 bytes, as those of make_dir.sh's log.
 */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ?1: the first row. As Chroma makes its tables of the log. */
static const char *const records[] = {
        "INSERT INTO embeddings(id,segment_id,embedding_id,seq_id) SELECT seq_id, '00000003-0000-4000-8000-000000000001', id, "
        "position(seq_id)"
        " FROM embeddings_queue WHERE seq_id >= ?1 ORDER BY seq_id",
        "INSERT INTO embedding_metadata(id,key,string_value,int_value,float_value) SELECT seq_id, j.key, iif(j.type = 'text', "
        "j.atom, NULL),"
        " iif(j.type = 'integer', j.atom, NULL), iif(j.type = 'real', j.atom, NULL)"
        " FROM embeddings_queue, json_each(metadata) AS j WHERE seq_id >= ?1 ORDER BY seq_id",
        "INSERT INTO embedding_fulltext_search(rowid,string_value) SELECT id, string_value FROM embedding_metadata"
        " WHERE key = 'chroma:document' AND id >= ?1",
        "INSERT OR REPLACE INTO max_seq_id SELECT '00000003-0000-4000-8000-000000000001', position(max(seq_id)) FROM "
        "embeddings_queue"
        " WHERE seq_id >= ?1",
};

struct pending {
        sqlite3 *sqlite;
        sqlite3_stmt *row;
        float *vector;
        unsigned long dimension;
        uint64_t random;
};

static void fail(const char *what)
{
        (void) fprintf(stderr, "make_pending: %s\n", what);
        exit(EXIT_FAILURE);
}

static void check(struct pending *p, int rc)
{
        if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
                fail(sqlite3_errmsg(p->sqlite));
}

static unsigned long number(const char *text)
{
        char *end;
        unsigned long value = strtoul(text, &end, 10);
        if (*end != '\0' || value == 0 || value > 100000000)
                fail("a number that will do was expected");
        return value;
}

static uint64_t next(struct pending *p)
{
        p->random ^= p->random << 13;
        p->random ^= p->random >> 7;
        p->random ^= p->random << 17;
        return p->random;
}

static void open_all(struct pending *p, const char *database)
{
        check(p, sqlite3_open(database, &p->sqlite));
        check(p, sqlite3_exec(p->sqlite, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN", NULL, NULL, NULL));
        check(p, sqlite3_prepare_v2(p->sqlite,
                                    "INSERT INTO embeddings_queue(seq_id,created_at,operation,topic,id,vector,encoding,metadata)"
                                    " VALUES(?1,'2025-01-01 00:00:00',0,"
                                    "'persistent://default/default/00000001-0000-4000-8000-000000000001',?2,?3,'FLOAT32',?4)",
                                    -1, &p->row, NULL));
        p->vector = calloc(p->dimension, sizeof(*p->vector));
        if (p->vector == NULL)
                fail("no memory");
}

static void insert(struct pending *p, unsigned long n)
{
        char id[64], metadata[512];
        for (unsigned long i = 0; i < p->dimension; i++)
                p->vector[i] = (float) (next(p) >> 40) / (float) (1 << 24) - 0.5f;
        int id_len = snprintf(id, sizeof(id), "%016llx-%08lu", (unsigned long long) next(p), n);
        int len = snprintf(
                metadata, sizeof(metadata),
                "{\"page\": %lu, \"source\": \"report-%lu.pdf\", \"score\": 0.%lu, \"chroma:document\": \"Record %lu says that "
                "\\u201cmatter %lu\\u201d was looked at again, and that nothing of what was found speaks against it.\\n\"}",
                n % 100, n % 977, (unsigned long) (next(p) % 1000000), n, n * 7919 % 1009);
        check(p, sqlite3_bind_int64(p->row, 1, (sqlite3_int64) n));
        check(p, sqlite3_bind_text(p->row, 2, id, id_len, SQLITE_STATIC));
        check(p, sqlite3_bind_blob64(p->row, 3, p->vector, p->dimension * sizeof(*p->vector), SQLITE_STATIC));
        check(p, sqlite3_bind_text(p->row, 4, metadata, len, SQLITE_STATIC));
        check(p, sqlite3_step(p->row));
        check(p, sqlite3_reset(p->row));
}

/* A seq_id as Chroma before 1.0 stores it. */
static void position(sqlite3_context *context, int count, sqlite3_value **values)
{
        unsigned char bytes[8];
        uint64_t n = (uint64_t) sqlite3_value_int64(values[0]);
        (void) count;
        for (int i = 0; i < 8; i++)
                bytes[i] = (unsigned char) (n >> (56 - 8 * i));
        sqlite3_result_blob(context, bytes, sizeof(bytes), SQLITE_TRANSIENT);
}

static void apply_records(struct pending *p, unsigned long first)
{
        check(p, sqlite3_create_function(p->sqlite, "position", 1, SQLITE_UTF8, NULL, position, NULL, NULL));
        for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
                sqlite3_stmt *stmt = NULL;
                check(p, sqlite3_prepare_v2(p->sqlite, records[i], -1, &stmt, NULL));
                check(p, sqlite3_bind_int64(stmt, 1, (sqlite3_int64) first));
                check(p, sqlite3_step(stmt));
                check(p, sqlite3_finalize(stmt));
        }
}

int main(int argc, char **argv)
{
        struct pending p = { 0 };
        if (argc < 5 || argc > 6 || (argc == 6 && strcmp(argv[5], "both") != 0))
                fail("usage: make_pending DATABASE FIRST ROWS DIMENSION [both]");
        unsigned long first = number(argv[2]), rows = number(argv[3]);
        p.dimension = number(argv[4]);
        p.random = UINT64_C(88172645463325252) + first;
        open_all(&p, argv[1]);
        for (unsigned long n = first; n < first + rows; n++)
                insert(&p, n);
        if (argc == 5)
                apply_records(&p, first);
        check(&p, sqlite3_exec(p.sqlite, "COMMIT", NULL, NULL, NULL));
        check(&p, sqlite3_finalize(p.row));
        check(&p, sqlite3_close(p.sqlite));
        free(p.vector);
        return EXIT_SUCCESS;
}
