/*
 * Any bytes as a cache file of the write-ahead log's measure: opened, read, written to and opened again. What was found at first or
 * written since is what is read, each time.
 *
 * The first byte says how the rest becomes the file. Bit 0: blocks begin behind the 40 bytes of the header, not at 8,192, so that
 * inputs are small. Bit 1: magic, version, numbers and checksums are put right, so that more than the first check is reached. The second
 * byte chooses what is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "ops/wal/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAME "cache"
#define SUBJECT 7
#define HEADER 40u
#define BLOCK 8192u
#define FILE_MAX ((size_t) 16 * BLOCK)
#define BLOCKS_MAX 64u
#define WRITES_MAX 24u

struct model {
        uint32_t blocks, last;
        struct wal_unit units[BLOCKS_MAX][WAL_BLOCK_UNITS];
};

static void require(int condition)
{
        if (!condition)
                abort();
}

/* ---- the file ---- */

static void put(unsigned char *p, uint64_t value, size_t width)
{
        for (size_t i = 0; i < width; i++)
                p[i] = (unsigned char) (value >> 8 * i);
}

static void repair(unsigned char *bytes, size_t len)
{
        uint64_t identity = 0;
        if (len < HEADER)
                return;
        memcpy(bytes, "chfs-wal", 8);
        put(bytes + 8, WAL_STORE_VERSION, 8);
        put(bytes + 16, SUBJECT, 8);
        put(bytes + 32, XXH3_64bits(bytes, 32), 8);
        for (size_t i = 0; i < 8; i++)
                identity |= (uint64_t) bytes[24 + i] << 8 * i;
        for (size_t at = BLOCK, number = 0; at + 32 <= len; at += BLOCK, number++) {
                size_t count = bytes[at + 12];
                put(bytes + at + 8, number, 4);
                memset(bytes + at + 16, 0, 16);
                if (count > 0 && count * 32 <= len - at - 32)
                        put(bytes + at, XXH3_64bits_withSeed(bytes + at + 8, 24 + count * 32, identity), 8);
        }
}

static int write_file(int dirfd, const uint8_t *data, size_t size, unsigned mode)
{
        static unsigned char bytes[FILE_MAX];
        size_t head = (mode & 1) != 0 && size > HEADER ? HEADER : 0;
        size_t gap = head > 0 ? BLOCK - HEADER : 0;
        if (size > FILE_MAX - gap)
                size = FILE_MAX - gap;
        memset(bytes, 0, sizeof(bytes));
        memcpy(bytes, data, head);
        memcpy(bytes + head + gap, data + head, size - head);
        if ((mode & 2) != 0)
                repair(bytes, size + gap);
        CLEANUP(close)
        int fd = openat(dirfd, NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        return fd >= 0 && write(fd, bytes, size + gap) == (ssize_t) (size + gap) ? 0 : -EIO;
}

/* ---- the store ---- */

static struct wal_store *open_store(int dirfd)
{
        struct wal_store *store = NULL;
        struct error e = { 0 };
        require(wal_store_open(dirfd, NAME, SUBJECT, &store, &e) == 0);
        return store;
}

static void learn(const struct wal_store *store, struct model *model)
{
        model->blocks = wal_store_blocks(store);
        model->last = 0;
        require(model->blocks < BLOCKS_MAX);
        for (uint32_t i = 0; i < model->blocks; i++) {
                require(model->last == 0 || model->last == WAL_BLOCK_UNITS);
                require(wal_store_read(store, i, model->units[i], &model->last, NULL) == 0);
                require(model->last > 0 && model->last <= WAL_BLOCK_UNITS);
        }
}

static void compare(const struct wal_store *store, const struct model *model)
{
        struct wal_unit units[WAL_BLOCK_UNITS];
        uint32_t count = 0;
        require(wal_store_blocks(store) == model->blocks);
        for (uint32_t i = 0; i < model->blocks; i++) {
                require(wal_store_read(store, i, units, &count, NULL) == 0);
                require(count == (i + 1 < model->blocks ? WAL_BLOCK_UNITS : model->last));
                require(memcmp(units, model->units[i], count * sizeof(*units)) == 0);
        }
        struct error e = { 0 };
        require(wal_store_read(store, model->blocks, units, &count, &e) < 0 && e.code < 0 && e.text[0] != '\0');
}

/* The last block grows, shrinks, is written again, or gets a successor. */
static void write_one(struct wal_store *store, struct model *model, uint64_t random)
{
        uint32_t number = model->blocks, count = (uint32_t) (random >> 8) % (WAL_BLOCK_UNITS + 1);
        if (number > 0 && (model->last < WAL_BLOCK_UNITS || (random & 3) == 0))
                number--;
        if ((random & 12) == 0)
                count = WAL_BLOCK_UNITS;
        if (number >= BLOCKS_MAX)
                return;
        struct wal_unit *units = model->units[number];
        for (uint32_t i = 0; i < count; i++)
                units[i] = (struct wal_unit){ (int64_t) random - i, random * i, ~random, (uint32_t) random ^ i, i };
        require(wal_store_write(store, number, units, count, NULL) == (count > 0 ? 0 : -EINVAL));
        if (count > 0) {
                model->blocks = number + 1;
                model->last = count;
        }
}

static void exercise(int dirfd, unsigned writes)
{
        static struct model model;
        struct wal_store *store = open_store(dirfd);
        learn(store, &model);
        for (unsigned i = 0; i < writes % WRITES_MAX; i++) {
                write_one(store, &model, (writes + 1) * 0x9e3779b97f4a7c15u * (i + 1) >> 7);
                compare(store, &model);
        }
        (void) wal_store_free(store);
        store = open_store(dirfd);
        require(wal_store_is_cached(store));
        compare(store, &model);
        if (writes % 3 == 0) {
                require(wal_store_reset(store, NULL) == 0);
                model.blocks = 0;
                write_one(store, &model, writes);
                compare(store, &model);
        }
        (void) wal_store_free(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char path[] = "/tmp/chromafs-fuzz-XXXXXX";
        if (size < 2 || mkdtemp(path) == NULL)
                return 0;
        CLEANUP(close)
        int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dirfd >= 0 && write_file(dirfd, data + 2, size - 2, data[0]) == 0)
                exercise(dirfd, data[1]);
        (void) unlinkat(dirfd, NAME, 0);
        (void) rmdir(path);
        return 0;
}
