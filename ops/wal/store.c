/*
 * Blocks in a file (ops/wal/store_file.h), or each in an allocation of its own.
 *
 * There is one writer, and it alone changes where blocks are and how many: so it may look at that without the lock, and takes it only to
 * change it. Readers take it for as long as they read, so that the file isn't closed, or a block freed, under them. What takes long
 * (writing to the file, copying everything to memory) is prepared beside the readers, and shows at once. The lock prefers the writer,
 * since readers never pause.
 *
 * When the file can't be written its blocks are copied and it is removed, since nobody else shall find less there than there was. A
 * block that can't be read at that moment is lost: the store goes on without it, and reading it fails.
 */
#include "ops/wal/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ops/wal/store_file.h"

struct block {
        uint32_t count;
        struct wal_unit units[WAL_BLOCK_UNITS];
};

struct block_list { /* NULL: a block that was lost */
        struct block **items;
        size_t len, allocated;
};

struct wal_store {
        pthread_rwlock_t lock_itself;
        pthread_rwlock_t *lock;  /* the same: who reads a const store locks it, too */
        struct store_file *file; /* NULL: in memory */
        struct block_list held;  /* empty while there is a file */
        struct store_extent extent;
};

/* ---- blocks in memory ---- */

static void block_list_clear(struct block_list *list)
{
        for (size_t i = 0; i < list->len; i++)
                free(list->items[i]);
        free(list->items);
        *list = (struct block_list){ 0 };
}

static int block_list_reserve(struct block_list *list, size_t len)
{
        if (len <= list->allocated)
                return 0;
        size_t allocated = len + len / 2 + 16;
        struct block **items = reallocarray(list->items, allocated, sizeof(struct block *));
        if (items == NULL)
                return -ENOMEM;
        list->items = items;
        list->allocated = allocated;
        return 0;
}

/* At the end, or instead of the last one. There is room. */
static void block_list_put(struct block_list *list, size_t number, struct block *block)
{
        if (number < list->len)
                free(list->items[number]);
        list->items[number] = block;
        list->len = number + 1;
}

static struct block *block_new(const struct wal_unit *units, uint32_t count)
{
        struct block *block = malloc(sizeof(*block));
        if (block == NULL)
                return NULL;
        block->count = count;
        memcpy(block->units, units, count * sizeof(*units));
        return block;
}

/* The first `count` blocks of a file, which are full. */
static int block_list_load(struct block_list *list, const struct store_file *file, uint32_t count)
{
        if (block_list_reserve(list, (size_t) count + 1) < 0) /* room for the one that could not be written */
                return -ENOMEM;
        for (uint32_t i = 0; i < count; i++) {
                struct block *block = malloc(sizeof(*block));
                if (block == NULL)
                        return -ENOMEM;
                block->count = WAL_BLOCK_UNITS;
                if (store_file_read(file, i, WAL_BLOCK_UNITS, block->units, NULL) < 0) {
                        free(block);
                        block = NULL;
                }
                block_list_put(list, i, block);
        }
        return 0;
}

/* ---- making and freeing ---- */

static int lock_init(pthread_rwlock_t *lock)
{
        pthread_rwlockattr_t attributes;
        if (pthread_rwlockattr_init(&attributes) != 0)
                return -ENOMEM;
        (void) pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        int err = pthread_rwlock_init(lock, &attributes);
        (void) pthread_rwlockattr_destroy(&attributes);
        return -err;
}

int wal_store_new(struct wal_store **ret, struct error *e)
{
        struct wal_store *store = calloc(1, sizeof(*store));
        if (store == NULL || lock_init(&store->lock_itself) < 0) {
                free(store);
                return error_set(e, ENOMEM, "no memory for the measure of the write-ahead log");
        }
        store->lock = &store->lock_itself;
        *ret = store;
        return 0;
}

int wal_store_open(int cache_fd, const char *name, uint64_t subject, struct wal_store **ret, struct error *e)
{
        CLEANUP(wal_store_free)
        struct wal_store *store = NULL;
        int r = wal_store_new(&store, e);
        if (r == 0)
                r = store_file_open(cache_fd, name, subject, &store->file, &store->extent, e);
        if (r < 0)
                return r;
        *ret = TAKE(store);
        return 0;
}

struct wal_store *wal_store_free(struct wal_store *store)
{
        if (store == NULL)
                return NULL;
        block_list_clear(&store->held);
        (void) store_file_close(store->file);
        (void) pthread_rwlock_destroy(&store->lock_itself);
        free(store);
        return NULL;
}

/* ---- looking ---- */

uint32_t wal_store_blocks(const struct wal_store *store)
{
        (void) pthread_rwlock_rdlock(store->lock);
        uint32_t blocks = store->extent.blocks;
        (void) pthread_rwlock_unlock(store->lock);
        return blocks;
}

bool wal_store_is_cached(const struct wal_store *store)
{
        (void) pthread_rwlock_rdlock(store->lock);
        bool cached = store->file != NULL;
        (void) pthread_rwlock_unlock(store->lock);
        return cached;
}

static int read_held(const struct wal_store *store, uint32_t number, struct wal_unit *units, struct error *e)
{
        const struct block *block = store->held.items[number];
        if (block == NULL)
                return error_set(e, EIO, "block %u of the write-ahead log's measure was lost with the cache file", number);
        memcpy(units, block->units, block->count * sizeof(*units));
        return 0;
}

static int read_locked(const struct wal_store *store, uint32_t number, struct wal_unit *units, uint32_t *ret_count, struct error *e)
{
        if (number >= store->extent.blocks)
                return error_set(e, EILSEQ, "the write-ahead log's measure has no block %u", number);
        uint32_t count = number + 1 < store->extent.blocks ? WAL_BLOCK_UNITS : store->extent.last;
        int r = store->file != NULL ? store_file_read(store->file, number, count, units, e) : read_held(store, number, units, e);
        if (r == 0)
                *ret_count = count;
        return r;
}

int wal_store_read(const struct wal_store *store, uint32_t number, struct wal_unit units[WAL_BLOCK_UNITS], uint32_t *ret_count,
                   struct error *e)
{
        (void) pthread_rwlock_rdlock(store->lock);
        int r = read_locked(store, number, units, ret_count, e);
        (void) pthread_rwlock_unlock(store->lock);
        return r;
}

/* ---- writing ---- */

/* The file goes away: from now on the store has the blocks of this list, which it takes over. */
static void leave_file(struct wal_store *store, const struct block_list *list, struct store_extent extent)
{
        struct store_file *file = store->file;
        store_file_remove(file);
        (void) pthread_rwlock_wrlock(store->lock);
        store->held = *list;
        store->file = NULL;
        store->extent = extent;
        (void) pthread_rwlock_unlock(store->lock);
        (void) store_file_close(file);
}

/* Takes the block over unless it fails. */
static int move_to_memory(struct wal_store *store, struct store_extent extent, struct block *block)
{
        struct block_list list = { 0 };
        if (block_list_load(&list, store->file, extent.blocks - 1) < 0) {
                block_list_clear(&list);
                return -ENOMEM;
        }
        block_list_put(&list, extent.blocks - 1, block);
        leave_file(store, &list, extent);
        return 0;
}

static int hold(struct wal_store *store, struct store_extent extent, struct block *block)
{
        (void) pthread_rwlock_wrlock(store->lock);
        int r = block_list_reserve(&store->held, extent.blocks);
        if (r == 0) {
                block_list_put(&store->held, extent.blocks - 1, block);
                store->extent = extent;
        }
        (void) pthread_rwlock_unlock(store->lock);
        return r;
}

static int write_to_memory(struct wal_store *store, struct store_extent extent, const struct wal_unit *units)
{
        struct block *block = block_new(units, extent.last);
        if (block == NULL)
                return -ENOMEM;
        int r = store->file != NULL ? move_to_memory(store, extent, block) : hold(store, extent, block);
        if (r < 0)
                free(block);
        return r;
}

static bool may_write(const struct wal_store *store, uint32_t number, uint32_t count)
{
        if (count == 0 || count > WAL_BLOCK_UNITS || number == UINT32_MAX)
                return false;
        if (number == store->extent.blocks)
                return number == 0 || store->extent.last == WAL_BLOCK_UNITS;
        return number + 1 == store->extent.blocks;
}

int wal_store_write(struct wal_store *store, uint32_t number, const struct wal_unit *units, uint32_t count, struct error *e)
{
        if (!may_write(store, number, count))
                return error_set(e, EINVAL, "block %u with %u units has no place behind %u blocks", number, count,
                                 store->extent.blocks);
        struct store_extent extent = { .blocks = number + 1, .last = count };
        if (store->file == NULL || store_file_write(store->file, number, count, units) < 0) {
                int r = write_to_memory(store, extent, units);
                return r < 0 ? error_set(e, ENOMEM, "no memory for the measure of the write-ahead log") : 0;
        }
        (void) pthread_rwlock_wrlock(store->lock);
        store->extent = extent;
        (void) pthread_rwlock_unlock(store->lock);
        return 0;
}

/* Nobody may read with an identity that is changing. A file that can't be begun anew goes away. */
int wal_store_reset(struct wal_store *store, struct error *e)
{
        (void) e; /* nothing here needs memory */
        (void) pthread_rwlock_wrlock(store->lock);
        block_list_clear(&store->held);
        store->extent = (struct store_extent){ 0 };
        if (store->file != NULL && store_file_clear(store->file, NULL) < 0) {
                store_file_remove(store->file);
                store->file = store_file_close(store->file);
        }
        (void) pthread_rwlock_unlock(store->lock);
        return 0;
}
