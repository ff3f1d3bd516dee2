/*
 * Measuring for tests: a database that a second connection changes, an index of its log, and the plain truth to compare that with, which is
 * read anew each time, whole, by another SQLite. Every failure ends the test.
 */
#ifndef TESTS_METER_MODEL_H
#define TESTS_METER_MODEL_H

#include "ops/wal/meter.h"
#include "tests/unit/sql_dir.h"

struct meter_bench {
        struct sql_dir dir;
        sqlite3 *writer;
        struct db *db;
        struct wal_source *source;
        struct wal_index *index;
        struct wal_progress progress;
        bool cached;        /* the store is a file in the directory */
        unsigned rows_read; /* of the log, since it was set to 0 */
        void (*at_begin)(struct meter_bench *
                                 b); /* called at the beginning of each transaction of the meter's, before it has a lock; or NULL */
        void *context;               /* for it */
        unsigned begins;
        struct error e;
};

void bench_make(struct meter_bench *b);
void bench_remove(struct meter_bench *b);

/* A connection, source and index of their own, in place of those that there are: of an empty store, or of what the file kept. */
void bench_anew(struct meter_bench *b);

/* Runs SQL (sqlite3_mprintf) on the writer's connection. */
void bench_sql(struct meter_bench *b, const char *format, ...);

/* The topic of a collection. Not thread-safe, valid until the eighth call from here. */
const char *bench_topic(unsigned collection);

/* Appends `count` rows, with what SQLite gives for a seq_id. */
void bench_append(struct meter_bench *b, unsigned collection, unsigned count);

/* wal_meter(). */
int bench_measure(struct meter_bench *b);

/* The index says of the table what the table says. */
void bench_compare(struct meter_bench *b);

/* Measures, which must succeed, and compares. */
void bench_check(struct meter_bench *b);

#endif
