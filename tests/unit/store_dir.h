/*
 * A cache directory with a store's file for one test. The units of tests follow from their positions, so that whatever a store holds can be
 * checked. What begins with store_dir_ ends the test when it fails, but for store_dir_make and store_dir_remove; the others return, and
 * may be used in a child.
 */
#ifndef TESTS_STORE_DIR_H
#define TESTS_STORE_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ops/wal/store.h"
#include "tests/unit/byte_buffer.h"

#define STORE_NAME "wal-test"
#define STORE_SUBJECT 0x1122334455667788u

/* The format, as the comment in ops/wal/store_file.c has it. */
#define STORE_HEADER 40u
#define BLOCK 8192u
#define BLOCK_AT(number) (((size_t) (number) + 1) * BLOCK)
#define UNIT_AT(number, unit) (BLOCK_AT(number) + 32 + (size_t) (unit) *32)

struct store_dir {
        char path[64];
        int fd;
};

/* Setup and teardown of a test: *state is the directory. */
int store_dir_make(void **state);
int store_dir_remove(void **state);

/* Files of the directory. */
struct byte_buffer store_dir_load(const struct store_dir *dir, const char *name);
void store_dir_save(const struct store_dir *dir, const char *name, const void *bytes, size_t len);
bool store_dir_has(const struct store_dir *dir, const char *name);

struct wal_unit test_unit(uint64_t position);

/* Writes block `number` with `count` units; or brings a store that holds `from` units to `to`, block by block. */
int put_test_block(struct wal_store *store, uint32_t number, uint32_t count);
int put_test_units(struct wal_store *store, uint64_t from, uint64_t to);

/* How many units block `number` has, or a negative errno, -1000 when one is another than test_unit(). */
int get_test_block(const struct wal_store *store, uint32_t number, struct error *e);

/* How many units the store has, if they are those of test_unit(); negative else. */
int64_t count_test_units(const struct wal_store *store);

/* Opens STORE_NAME; what it opened is a file. */
struct wal_store *store_dir_open(const struct store_dir *dir, uint64_t subject);

/* It can't be opened: for this reason. */
void store_dir_refuse(const struct store_dir *dir, int code, const char *sentence);

/* A new file with so many units. */
struct byte_buffer store_dir_fill(const struct store_dir *dir, uint64_t units);

/* Opens it: there are so many units, and the file ends behind them; one that is written then is there next time. */
void store_dir_expect(const struct store_dir *dir, int64_t units);

/* Runs it in a child, which returns 0 when all was right. */
void store_dir_child(int (*run)(const struct store_dir *, long), const struct store_dir *dir, long argument);

/* The status of a child when it has ended. */
int store_dir_wait(pid_t pid);

#define CHILD_CHECK(condition)                                                                                                     \
        do {                                                                                                                       \
                if (!(condition)) {                                                                                                \
                        (void) fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                             \
                        return 1;                                                                                                  \
                }                                                                                                                  \
        } while (0)

#endif
