#include "ops/wal/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "ops/file.h"
#include "tests/unit/store_dir.h"

#define FULL WAL_BLOCK_UNITS

static void expect_file(const struct store_dir *dir, const struct byte_buffer *bytes, size_t len, int64_t units)
{
        store_dir_save(dir, STORE_NAME, bytes->data, len);
        store_dir_expect(dir, units);
}

/* ---- in memory ---- */

static void check_order(struct wal_store *store)
{
        struct error e = { 0 };
        struct wal_unit units[FULL] = { 0 };
        assert_int_equal(put_test_block(store, 1, 1), -EINVAL);
        assert_int_equal(put_test_block(store, 0, 0), -EINVAL);
        assert_int_equal(wal_store_write(store, 0, units, FULL + 1, &e), -EINVAL);
        assert_non_null(strstr(e.text, "has no place"));
        assert_int_equal(put_test_block(store, 0, 7), 0);
        assert_int_equal(put_test_block(store, 1, 7), -EINVAL); /* behind one that is not full */
        assert_int_equal(put_test_block(store, 0, 3), 0);
        assert_int_equal(count_test_units(store), 3);
        assert_int_equal(put_test_block(store, 0, FULL), 0);
        assert_int_equal(put_test_block(store, 1, 1), 0);
        assert_int_equal(put_test_block(store, 0, FULL), -EINVAL);
        assert_int_equal(put_test_block(store, UINT32_MAX, 1), -EINVAL);
        assert_int_equal(count_test_units(store), FULL + 1);
        assert_int_equal(get_test_block(store, 2, &e), -EILSEQ);
        assert_non_null(strstr(e.text, "has no block 2"));
        assert_int_equal(get_test_block(store, UINT32_MAX, &e), -EILSEQ);
}

static void check_growing(struct wal_store *store)
{
        for (uint64_t i = 0; i < 3 * FULL + 9; i++) {
                assert_int_equal(put_test_units(store, i, i + 1), 0);
                assert_int_equal(count_test_units(store), i + 1);
        }
        assert_int_equal(wal_store_blocks(store), 4);
        assert_int_equal(wal_store_reset(store, NULL), 0);
        assert_int_equal(wal_store_blocks(store), 0);
        assert_int_equal(get_test_block(store, 0, NULL), -EILSEQ);
        assert_int_equal(put_test_units(store, 0, 100 * FULL), 0);
        assert_int_equal(count_test_units(store), 100 * FULL);
        assert_int_equal(wal_store_reset(store, NULL), 0);
}

static void test_memory(void **state)
{
        (void) state;
        struct wal_store *store = NULL;
        assert_int_equal(wal_store_new(&store, NULL), 0);
        assert_false(wal_store_is_cached(store));
        assert_int_equal(wal_store_blocks(store), 0);
        check_order(store);
        assert_int_equal(wal_store_reset(store, NULL), 0);
        check_growing(store);
        assert_null(wal_store_free(store));
        assert_null(wal_store_free(NULL));
}

/* ---- in a file ---- */

static void test_file(void **state)
{
        const struct store_dir *dir = *state;
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        check_order(store);
        assert_int_equal(wal_store_reset(store, NULL), 0);
        check_growing(store);
        assert_true(wal_store_is_cached(store));
        assert_int_equal(file_stamp_at(dir->fd, STORE_NAME).mode, S_IFREG | 0600);
        (void) wal_store_free(store);
        store_dir_expect(dir, 0);
        const uint64_t sizes[] = { 1, 254, FULL, FULL + 1, 40 * FULL, 64 * FULL - 1, 64 * FULL, 64 * FULL + 1 };
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                struct byte_buffer bytes = store_dir_fill(dir, sizes[i]);
                store_dir_expect(dir, (int64_t) sizes[i]);
                bytes_clear(&bytes);
        }
}

/* What was written, byte for byte: another machine and another release read it. */
static void test_format(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer file = store_dir_fill(dir, FULL + 2), expected = { 0 };
        struct wal_unit unit = test_unit(FULL + 1);
        bytes_put_text(&expected, "chfs-wal");
        bytes_put_int(&expected, WAL_STORE_VERSION, 8);
        bytes_put_int(&expected, STORE_SUBJECT, 8);
        assert_int_equal(file.len, UNIT_AT(1, 2));
        assert_memory_equal(file.data, expected.data, expected.len);
        bytes_clear(&expected);
        bytes_put_int(&expected, 1, 4);
        bytes_put_int(&expected, 2, 4);
        bytes_put_int(&expected, 0, 8);
        bytes_put_int(&expected, 0, 8);
        assert_memory_equal(file.data + BLOCK_AT(1) + 8, expected.data, expected.len);
        bytes_clear(&expected);
        bytes_put_int(&expected, (uint64_t) unit.seq_id, 8);
        bytes_put_int(&expected, unit.key, 8);
        bytes_put_int(&expected, unit.hash, 8);
        bytes_put_int(&expected, unit.length, 4);
        bytes_put_int(&expected, unit.piece, 4);
        assert_memory_equal(file.data + UNIT_AT(1, 1), expected.data, expected.len);
        bytes_clear(&expected);
        bytes_clear(&file);
}

/* A last block that has become shorter has older units behind it. */
static void test_shorter_last_block(void **state)
{
        const struct store_dir *dir = *state;
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        assert_int_equal(put_test_units(store, 0, 2 * FULL), 0);
        assert_int_equal(put_test_block(store, 1, 10), 0);
        assert_int_equal(count_test_units(store), FULL + 10);
        (void) wal_store_free(store);
        store_dir_expect(dir, FULL + 10);
}

static void test_identity(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer a = store_dir_fill(dir, 2 * FULL), b = store_dir_fill(dir, 2 * FULL);
        assert_memory_not_equal(a.data + 24, b.data + 24, 8);
        bytes_clear(&a);
        bytes_clear(&b);
}

/* ---- damage ---- */

/* The file of `units` units, cut after every kind of place. */
static void test_cut(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer file = store_dir_fill(dir, 2 * FULL + 10);
        assert_int_equal(file.len, UNIT_AT(2, 10));
        for (size_t len = 0; len < STORE_HEADER; len++)
                expect_file(dir, &file, len, 0);
        const size_t lengths[][2] = {
                { STORE_HEADER, 0 },
                { STORE_HEADER + 1, 0 },
                { BLOCK, 0 },
                { BLOCK_AT(0) + 1, 0 },
                { BLOCK_AT(0) + 31, 0 },
                { UNIT_AT(0, 0), 0 },
                { UNIT_AT(0, 200), 0 },
                { BLOCK_AT(1) - 1, 0 },
                { BLOCK_AT(1), FULL },
                { UNIT_AT(1, 0), FULL },
                { BLOCK_AT(2) - 1, FULL },
                { BLOCK_AT(2), 2 * FULL },
                { UNIT_AT(2, 0), 2 * FULL },
                { UNIT_AT(2, 9), 2 * FULL },
                { UNIT_AT(2, 10) - 1, 2 * FULL },
                { UNIT_AT(2, 10), 2 * FULL + 10 },
        };
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
                expect_file(dir, &file, lengths[i][0], (int64_t) lengths[i][1]);
        bytes_fill(&file, 0, 100000); /* longer: zeros, and garbage */
        expect_file(dir, &file, file.len, 2 * FULL + 10);
        bytes_fill(&file, 0xa5, 100000);
        expect_file(dir, &file, file.len, 2 * FULL + 10);
        bytes_clear(&file);
}

static void test_torn_last_block(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer before = store_dir_fill(dir, FULL + 100), after;
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        assert_int_equal(put_test_units(store, FULL + 100, 2 * FULL), 0);
        (void) wal_store_free(store);
        after = store_dir_load(dir, STORE_NAME);
        bytes_fill(&before, 0, after.len - before.len);
        /* a write that reached the disk in part: its beginning, or its end, or nothing */
        for (size_t at = BLOCK_AT(1); at < after.len; at += 512) {
                struct byte_buffer torn = bytes_copy(&before);
                memcpy(torn.data + BLOCK_AT(1), after.data + BLOCK_AT(1), at - BLOCK_AT(1));
                expect_file(dir, &torn, torn.len, at == BLOCK_AT(1) ? FULL + 100 : FULL);
                bytes_clear(&torn);
                torn = bytes_copy(&before);
                memcpy(torn.data + at, after.data + at, after.len - at);
                /* units behind those that the old header counts do no harm */
                expect_file(dir, &torn, torn.len, at == BLOCK_AT(1) ? 2 * FULL : FULL + 100);
                bytes_clear(&torn);
        }
        bytes_clear(&before);
        bytes_clear(&after);
}

static void flip(const struct store_dir *dir, struct byte_buffer *file, size_t at, unsigned bit, int64_t units)
{
        file->data[at] ^= (unsigned char) (1u << bit);
        store_dir_save(dir, STORE_NAME, file->data, file->len);
        file->data[at] ^= (unsigned char) (1u << bit);
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        if (count_test_units(store) != units)
                fail_msg("bit %u of byte %zu: %lld units", bit, at, (long long) count_test_units(store));
        (void) wal_store_free(store);
}

static void test_flipped_bits(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer file = store_dir_fill(dir, 3 * FULL + 20);
        for (size_t at = 0; at < STORE_HEADER; at++)
                for (unsigned bit = 0; bit < 8; bit++)
                        flip(dir, &file, at, bit, 0);
        for (uint32_t number = 0; number < 4; number++) {
                size_t end = number < 3 ? BLOCK_AT(number + 1) : file.len;
                for (size_t at = BLOCK_AT(number); at < end; at += at < UNIT_AT(number, 0) ? 1 : 37)
                        for (unsigned bit = at < UNIT_AT(number, 0) ? 0 : 7; bit < 8; bit++)
                                flip(dir, &file, at, bit, number * (int64_t) FULL);
                flip(dir, &file, end - 1, 3, number * (int64_t) FULL);
        }
        for (size_t at = STORE_HEADER; at < BLOCK; at += 100) /* no meaning */
                flip(dir, &file, at, 0, 3 * FULL + 20);
        bytes_clear(&file);
}

static void test_zeroed_blocks(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer file = store_dir_fill(dir, 3 * FULL + 20);
        for (uint32_t number = 0; number < 4; number++) {
                struct byte_buffer zeroed = bytes_copy(&file);
                memset(zeroed.data + BLOCK_AT(number), 0, number < 3 ? BLOCK : file.len - BLOCK_AT(3));
                expect_file(dir, &zeroed, zeroed.len, number * (int64_t) FULL);
                bytes_clear(&zeroed);
        }
        memset(file.data, 0, BLOCK);
        expect_file(dir, &file, file.len, 0);
        bytes_clear(&file);
}

/* Blocks that are whole, but not of this file, not of this place, or not of this moment. */
static void test_foreign_blocks(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer other = store_dir_fill(dir, 4 * FULL), file = store_dir_fill(dir, 4 * FULL), mixed;
        for (uint32_t number = 0; number < 4; number++) {
                mixed = bytes_copy(&file);
                memcpy(mixed.data + BLOCK_AT(number), other.data + BLOCK_AT(number), BLOCK);
                expect_file(dir, &mixed, mixed.len, number * (int64_t) FULL);
                memcpy(mixed.data + BLOCK_AT(number), file.data + BLOCK_AT((number + 1) % 4), BLOCK);
                expect_file(dir, &mixed, mixed.len, number * (int64_t) FULL);
                bytes_clear(&mixed);
        }
        mixed = bytes_copy(&file);
        memcpy(mixed.data, other.data, STORE_HEADER);
        expect_file(dir, &mixed, mixed.len, 0);
        bytes_clear(&mixed);
        bytes_clear(&file);
        bytes_clear(&other);
}

/* An older state of a block that was not full then, in the middle of the file: it is the last one now. */
static void test_older_block(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer old = store_dir_fill(dir, FULL + 30);
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        assert_int_equal(put_test_units(store, FULL + 30, 3 * FULL), 0);
        (void) wal_store_free(store);
        struct byte_buffer file = store_dir_load(dir, STORE_NAME);
        memcpy(file.data + BLOCK_AT(1), old.data + BLOCK_AT(1), old.len - BLOCK_AT(1));
        expect_file(dir, &file, file.len, FULL + 30);
        bytes_clear(&old);
        bytes_clear(&file);
}

/* Fields that are wrong where the checksum is right: of another release, or of somebody who can count. */
static void refuse_field(const struct store_dir *dir, const struct byte_buffer *good, size_t at, uint64_t value, size_t width,
                         int64_t units)
{
        struct byte_buffer file = bytes_copy(good);
        uint64_t identity;
        bytes_set_int(&file, at, value, width);
        memcpy(&identity, file.data + 24, sizeof(identity));
        bytes_set_int(&file, 32, XXH3_64bits(file.data, 32), 8);
        for (size_t block = BLOCK; block < file.len; block += BLOCK) {
                size_t end = block + 32 + (size_t) file.data[block + 12] * 32 + (size_t) file.data[block + 13] * BLOCK;
                end = end < file.len ? end : file.len;
                bytes_set_int(&file, block, XXH3_64bits_withSeed(file.data + block + 8, end - block - 8, le64toh(identity)), 8);
        }
        expect_file(dir, &file, file.len, units);
        bytes_clear(&file);
}

static void test_fields(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer file = store_dir_fill(dir, 32 * FULL + 9);
        refuse_field(dir, &file, 0, 'c', 1, 32 * FULL + 9); /* as it is */
        refuse_field(dir, &file, 0, 'd', 1, 0);
        refuse_field(dir, &file, 7, 0, 1, 0);
        refuse_field(dir, &file, 8, WAL_STORE_VERSION + 1, 4, 0);
        refuse_field(dir, &file, 8, WAL_STORE_VERSION - 1, 4, 0);
        refuse_field(dir, &file, 12, 1, 4, 0);
        refuse_field(dir, &file, 16, STORE_SUBJECT + 1, 8, 0);
        for (uint32_t number = 0; number <= 32; number += number % 31 == 0 ? 1 : 30) { /* 0, 1, 31, 32: where chunks end */
                size_t at = BLOCK_AT(number);
                int64_t before = number * (int64_t) FULL;
                refuse_field(dir, &file, at + 8, number + 1, 4, before);
                refuse_field(dir, &file, at + 8, number + 0x80000000u, 4, before);
                refuse_field(dir, &file, at + 12, 0, 4, before);
                refuse_field(dir, &file, at + 12, 256, 4, before);
                refuse_field(dir, &file, at + 12, UINT32_MAX, 4, before);
                refuse_field(dir, &file, at + 16, 1, 1, before);
                refuse_field(dir, &file, at + 31, 1, 1, before);
                refuse_field(dir, &file, at + 12, 5, 4, before + 5); /* it is the last one */
        }
        refuse_field(dir, &file, BLOCK_AT(32) + 12, 10, 4, 32 * FULL);
        bytes_clear(&file);
}

static void test_other_subject(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer file = store_dir_fill(dir, FULL);
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT + 1);
        assert_int_equal(wal_store_blocks(store), 0);
        (void) wal_store_free(store);
        store_dir_expect(dir, 0);
        store_dir_save(dir, STORE_NAME, "hello", 5);
        store_dir_expect(dir, 0);
        bytes_clear(&file);
}

/* ---- a stranger changes the open file ---- */

static void expect_unreadable(const struct wal_store *store, uint32_t number, int code, const char *sentence)
{
        struct error e = { 0 };
        int r = get_test_block(store, number, &e);
        if (r != code || e.code != code || strstr(e.text, sentence) == NULL)
                fail_msg("%d '%s' where %d '%s' is expected", r, e.text, code, sentence);
}

static void test_cut_while_open(void **state)
{
        const struct store_dir *dir = *state;
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        assert_int_equal(put_test_units(store, 0, 3 * FULL + 50), 0);
        CLEANUP(close)
        int fd = openat(dir->fd, STORE_NAME, O_RDWR | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, (off_t) UNIT_AT(3, 49)), 0);
        expect_unreadable(store, 3, -EIO, "cache file " STORE_NAME ": a block ends after");
        assert_int_equal(get_test_block(store, 2, NULL), FULL);
        assert_int_equal(ftruncate(fd, (off_t) BLOCK_AT(1)), 0);
        expect_unreadable(store, 1, -EIO, "ends after");
        expect_unreadable(store, 2, -EIO, "ends after");
        assert_int_equal(get_test_block(store, 0, NULL), FULL);
        assert_int_equal(put_test_block(store, 3, 60), 0); /* behind a hole */
        assert_int_equal(get_test_block(store, 3, NULL), 60);
        expect_unreadable(store, 2, -EILSEQ, "cache file " STORE_NAME ": block 2 is not what was written");
        assert_int_equal(wal_store_blocks(store), 4);
        (void) wal_store_free(store);
        store_dir_expect(dir, FULL);
}

static void test_changed_while_open(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer other = store_dir_fill(dir, 3 * FULL), mine;
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        assert_int_equal(put_test_units(store, 3 * FULL, 3 * FULL + 5), 0);
        mine = store_dir_load(dir, STORE_NAME);
        assert_int_equal(wal_store_reset(store, NULL), 0);
        assert_int_equal(put_test_units(store, 0, 4 * FULL), 0);
        store_dir_save(dir, STORE_NAME, other.data, other.len); /* of before the reset */
        expect_unreadable(store, 0, -EILSEQ, "not what was written");
        assert_int_equal(wal_store_reset(store, NULL), 0); /* the way out */
        assert_int_equal(put_test_units(store, 0, FULL + 5), 0);
        assert_int_equal(count_test_units(store), FULL + 5);
        (void) wal_store_free(store);
        store_dir_expect(dir, FULL + 5);
        bytes_clear(&other);
        bytes_clear(&mine);
}

/* A block that is whole, of this file and place, but of an earlier moment. */
static void test_older_while_open(void **state)
{
        const struct store_dir *dir = *state;
        struct byte_buffer old = store_dir_fill(dir, 20);
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        assert_int_equal(put_test_units(store, 20, FULL + 20), 0);
        store_dir_save(dir, STORE_NAME, old.data, old.len);
        expect_unreadable(store, 0, -EIO, "ends after");
        bytes_fill(&old, 0, 3 * BLOCK);
        store_dir_save(dir, STORE_NAME, old.data, old.len);
        expect_unreadable(store, 0, -EILSEQ, "not what was written");
        (void) wal_store_free(store);
        bytes_clear(&old);
}

static void test_removed_while_open(void **state)
{
        const struct store_dir *dir = *state;
        struct wal_store *store = store_dir_open(dir, STORE_SUBJECT);
        assert_int_equal(put_test_units(store, 0, 300), 0);
        assert_int_equal(unlinkat(dir->fd, STORE_NAME, 0), 0);
        assert_int_equal(put_test_units(store, 300, 900), 0);
        assert_int_equal(count_test_units(store), 900);
        (void) wal_store_free(store);
        assert_false(store_dir_has(dir, STORE_NAME));
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, store_dir_make, store_dir_remove)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(memory),
                TEST(file),
                TEST(format),
                TEST(shorter_last_block),
                TEST(identity),
                TEST(cut),
                TEST(torn_last_block),
                TEST(flipped_bits),
                TEST(zeroed_blocks),
                TEST(foreign_blocks),
                TEST(older_block),
                TEST(fields),
                TEST(other_subject),
                TEST(cut_while_open),
                TEST(changed_while_open),
                TEST(older_while_open),
                TEST(removed_while_open),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
