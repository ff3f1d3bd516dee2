/*
 * The file is its header and blocks. All numbers are little-endian, what is reserved is 0.
 *
 *   the header, at 0                        block i, at (i + 1) * 8192               unit j of a block, at 32 + j * 32
 *    0 magic "chfs-wal"                      0 u64 checksum of 8 to its end           0 i64 seq_id
 *    8 u32 version, WAL_STORE_VERSION        8 u32 i                                  8 u64 key
 *   12 u32 reserved                         12 u32 its units, 1 to 255               16 u64 hash
 *   16 u64 subject                          16 reserved                              24 u32 length
 *   24 u64 identity, random                 32 the units                             28 u32 piece
 *   32 u64 checksum of 0 to 32
 *
 * Checksums are XXH3_64; a block's has the file's identity for its seed. So a block counts only where it was written: in this file,
 * since it was begun, at this place. All blocks but the last are full. The last one is written again and again while it grows, its
 * header and units in one write: what is behind them has no meaning.
 *
 * A process or machine that dies while it writes leaves a block that is torn, and behind it nothing, zeros, or an older state: the walk
 * over all blocks at opening ends at the first one that is not whole, or not full, and cuts the file there. What it keeps is what was
 * written first. Hence nothing is synced.
 */
#include "ops/wal/store_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "ops/file.h"
#include "ops/wal/private_file.h"

#define MAGIC "chfs-wal"
#define HEADER_SIZE ((size_t) 40)
#define BLOCK_SIZE ((size_t) 8192)
#define BLOCK_HEADER ((size_t) 32)
#define UNIT_SIZE ((size_t) 32)
#define CHUNK_BLOCKS 32u /* read at once at opening: stays in a processor's own cache until it is checked */

_Static_assert(BLOCK_HEADER + WAL_BLOCK_UNITS * UNIT_SIZE == BLOCK_SIZE, "a full block fills its place");

struct store_file {
        int fd, dirfd;
        char *name;
        uint64_t subject;
        uint64_t identity;
};

/* ---- numbers ---- */

static void put32(unsigned char *p, uint32_t value)
{
        value = htole32(value);
        memcpy(p, &value, sizeof(value));
}

static void put64(unsigned char *p, uint64_t value)
{
        value = htole64(value);
        memcpy(p, &value, sizeof(value));
}

static uint32_t get32(const unsigned char *p)
{
        uint32_t value;
        memcpy(&value, p, sizeof(value));
        return le32toh(value);
}

static uint64_t get64(const unsigned char *p)
{
        uint64_t value;
        memcpy(&value, p, sizeof(value));
        return le64toh(value);
}

/* ---- blocks ---- */

static uint64_t block_offset(uint32_t number)
{
        return ((uint64_t) number + 1) * BLOCK_SIZE;
}

static size_t block_size(uint32_t count)
{
        return BLOCK_HEADER + count * UNIT_SIZE;
}

static uint64_t block_checksum(const unsigned char *block, uint32_t count, uint64_t identity)
{
        return XXH3_64bits_withSeed(block + 8, block_size(count) - 8, identity);
}

/* How many units it has; 0 when the `len` bytes are not all of block `number` of this file. */
static uint32_t block_count(const struct store_file *file, uint32_t number, const unsigned char *block, size_t len)
{
        static const unsigned char reserved[BLOCK_HEADER - 16];
        if (len < BLOCK_HEADER || get32(block + 8) != number || memcmp(block + 16, reserved, sizeof(reserved)) != 0)
                return 0;
        uint32_t count = get32(block + 12);
        if (count == 0 || count > WAL_BLOCK_UNITS || block_size(count) > len)
                return 0;
        return block_checksum(block, count, file->identity) == get64(block) ? count : 0;
}

static void block_encode(const struct store_file *file, uint32_t number, uint32_t count, const struct wal_unit *units,
                         unsigned char *block)
{
        memset(block, 0, BLOCK_HEADER);
        put32(block + 8, number);
        put32(block + 12, count);
        for (uint32_t i = 0; i < count; i++) {
                unsigned char *p = block + BLOCK_HEADER + i * UNIT_SIZE;
                put64(p, (uint64_t) units[i].seq_id);
                put64(p + 8, units[i].key);
                put64(p + 16, units[i].hash);
                put32(p + 24, units[i].length);
                put32(p + 28, units[i].piece);
        }
        put64(block, block_checksum(block, count, file->identity));
}

static void block_decode(const unsigned char *block, uint32_t count, struct wal_unit *units)
{
        for (uint32_t i = 0; i < count; i++) {
                const unsigned char *p = block + BLOCK_HEADER + i * UNIT_SIZE;
                units[i] = (struct wal_unit){
                        .seq_id = (int64_t) get64(p),
                        .key = get64(p + 8),
                        .hash = get64(p + 16),
                        .length = get32(p + 24),
                        .piece = get32(p + 28),
                };
        }
}

int store_file_read(const struct store_file *file, uint32_t number, uint32_t count, struct wal_unit *units, struct error *e)
{
        unsigned char block[BLOCK_SIZE];
        int r = file_pread_exact(file->fd, block, block_size(count), block_offset(number), "a block", e);
        if (r < 0)
                return error_prefix(e, r, "cache file %s", file->name);
        if (block_count(file, number, block, block_size(count)) != count)
                return error_set(e, EILSEQ, "cache file %s: block %u is not what was written", file->name, number);
        block_decode(block, count, units);
        return 0;
}

int store_file_write(const struct store_file *file, uint32_t number, uint32_t count, const struct wal_unit *units)
{
        unsigned char block[BLOCK_SIZE];
        block_encode(file, number, count, units, block);
        return file_pwrite(file->fd, block, block_size(count), block_offset(number));
}

/* ---- opening ---- */

static bool header_is_whole(const unsigned char *header, uint64_t subject)
{
        return memcmp(header, MAGIC, 8) == 0 && get32(header + 8) == WAL_STORE_VERSION && get32(header + 12) == 0 &&
               get64(header + 16) == subject && get64(header + 32) == XXH3_64bits(header, 32);
}

/* False when the file is not of this subject and version. */
static bool header_read(struct store_file *file)
{
        unsigned char header[HEADER_SIZE];
        if (file_pread(file->fd, header, sizeof(header), 0) != sizeof(header) || !header_is_whole(header, file->subject))
                return false;
        file->identity = get64(header + 24);
        return true;
}

static int header_write(const struct store_file *file)
{
        unsigned char header[HEADER_SIZE] = { 0 };
        memcpy(header, MAGIC, 8);
        put32(header + 8, WAL_STORE_VERSION);
        put64(header + 16, file->subject);
        put64(header + 24, file->identity);
        put64(header + 32, XXH3_64bits(header, 32));
        return file_pwrite(file->fd, header, sizeof(header), 0);
}

int store_file_clear(struct store_file *file, struct error *e)
{
        uint64_t identity;
        if (getrandom(&identity, sizeof(identity), 0) != sizeof(identity))
                return error_set(e, EIO, "no random number for cache file %s", file->name);
        file->identity = identity;
        int r = ftruncate(file->fd, 0) < 0 ? -errno : header_write(file);
        return r < 0 ? error_set(e, -r, "cache file %s can't be written: %s", file->name, strerror(-r)) : 0;
}

/* Adds the blocks of a chunk; true when all of it was full ones. */
static bool chunk_check(const struct store_file *file, const unsigned char *chunk, size_t len, struct store_extent *extent)
{
        for (size_t at = 0; at < len; at += BLOCK_SIZE) {
                uint32_t count = block_count(file, extent->blocks, chunk + at, len - at < BLOCK_SIZE ? len - at : BLOCK_SIZE);
                if (count == 0 || extent->blocks == UINT32_MAX)
                        return false;
                extent->blocks++;
                extent->last = count;
                if (count < WAL_BLOCK_UNITS)
                        return false;
        }
        return len == CHUNK_BLOCKS * BLOCK_SIZE;
}

/* A part that can't be read ends the file like one that is not whole. */
static int blocks_check(const struct store_file *file, struct store_extent *extent, struct error *e)
{
        CLEANUP(free)
        unsigned char *chunk = malloc(CHUNK_BLOCKS * BLOCK_SIZE);
        if (chunk == NULL)
                return error_set(e, ENOMEM, "no memory to check cache file %s", file->name);
        ssize_t n;
        do
                n = file_pread(file->fd, chunk, CHUNK_BLOCKS * BLOCK_SIZE, block_offset(extent->blocks));
        while (n > 0 && chunk_check(file, chunk, (size_t) n, extent));
        return 0;
}

/* Blocks behind the last good one must not become good again once that one has a successor. */
static int cut(const struct store_file *file, const struct store_extent *extent, struct error *e)
{
        uint64_t end = extent->blocks > 0 ? block_offset(extent->blocks - 1) + block_size(extent->last) : HEADER_SIZE;
        struct stat st;
        if (fstat(file->fd, &st) < 0 || ((uint64_t) st.st_size > end && ftruncate(file->fd, (off_t) end) < 0))
                return error_set(e, errno, "cache file %s can't be cut: %s", file->name, strerror(errno));
        return 0;
}

static int load(struct store_file *file, struct store_extent *extent, struct error *e)
{
        if (!header_read(file)) {
                int r = store_file_clear(file, e);
                if (r < 0)
                        store_file_remove(file);
                return r;
        }
        int r = blocks_check(file, extent, e);
        return r < 0 ? r : cut(file, extent, e);
}

static struct store_file *store_file_new(int cache_fd, const char *name, uint64_t subject)
{
        struct store_file *file = malloc(sizeof(*file));
        if (file == NULL)
                return NULL;
        *file = (struct store_file){ .fd = -1, .dirfd = -1, .name = strdup(name), .subject = subject };
        if (file->name != NULL)
                file->dirfd = fcntl(cache_fd, F_DUPFD_CLOEXEC, 3);
        return file;
}

int store_file_open(int cache_fd, const char *name, uint64_t subject, struct store_file **ret, struct store_extent *ret_extent,
                    struct error *e)
{
        struct store_extent extent = { 0 };
        CLEANUP(store_file_close)
        struct store_file *file = store_file_new(cache_fd, name, subject);
        if (file == NULL || file->name == NULL)
                return error_set(e, ENOMEM, "no memory to open cache file %s", name);
        if (file->dirfd < 0)
                return error_set(e, errno, "the cache directory can't be used: %s", strerror(errno));
        file->fd = private_file_open(file->dirfd, name, e);
        if (file->fd < 0)
                return file->fd;
        int r = load(file, &extent, e);
        if (r < 0)
                return r;
        *ret = TAKE(file);
        *ret_extent = extent;
        return 0;
}

void store_file_remove(const struct store_file *file)
{
        private_file_remove(file->dirfd, file->name, file->fd);
}

struct store_file *store_file_close(struct store_file *file)
{
        if (file == NULL)
                return NULL;
        if (file->fd >= 0)
                (void) close(file->fd);
        if (file->dirfd >= 0)
                (void) close(file->dirfd);
        free(file->name);
        free(file);
        return NULL;
}
