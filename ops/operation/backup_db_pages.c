/*
 * The copy of a database that is committed to more often than SQLite's backup API can copy it: it begins anew with every commit.
 *
 * Here the pages are read block by block through the same connection (under its SHARED lock, behind a hot journal), round and round. A
 * block is written only when its hash is another than last time, so that all rounds but the first only read: some ten times as fast as
 * copying. Each commit sets back how many blocks are known to be of the same moment, not what was copied; when a whole round saw no commit
 * (the change counter tells), the copy is the database of that moment, byte for byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "ops/clock.h"
#include "ops/file.h"
#include "ops/operation/backup_parts.h"

#define BLOCK (256u << 10)
#define ROUNDS_MAX 30

struct rounds {
        struct backup *b;
        sqlite3_file *from;
        int to;
        unsigned char *buffer;
        uint64_t seed;
        uint64_t *hashes; /* of the blocks as they were written; 0: never */
        uint64_t size, count, capacity;
        uint64_t at, same, total; /* the next block; how many are of the same moment; how many were read */
        bool begun;
        uint32_t counter;
        int64_t begun_ms;
};

static uint64_t hash_of(const struct rounds *r, size_t len)
{
        uint64_t hash = XXH3_64bits_withSeed(r->buffer, len, r->seed);
        return hash != 0 ? hash : 1;
}

static int resize(struct rounds *r, uint64_t size)
{
        uint64_t count = size / BLOCK + (size % BLOCK != 0);
        if (count > r->capacity) {
                uint64_t *grown = reallocarray(r->hashes, count, sizeof(*grown));
                if (grown == NULL)
                        return error_set(&r->b->op->error, ENOMEM, "no memory to copy " DB_FILE);
                memset(grown + r->capacity, 0, (count - r->capacity) * sizeof(*grown));
                r->hashes = grown;
                r->capacity = count;
        }
        /* What is behind the end now is written anew should it come back. */
        for (uint64_t i = count; i < r->count; i++)
                r->hashes[i] = 0;
        r->size = size;
        r->count = count;
        r->at = r->at < count ? r->at : 0;
        return 0;
}

/* Inside the hold: what others have committed meanwhile. */
static int look(struct rounds *r)
{
        uint32_t counter = 0;
        sqlite3_int64 size = 0;
        struct error *e = &r->b->op->error;
        int code = db_change_counter(r->b->db, &counter, e);
        if (code < 0 || (r->begun && counter == r->counter))
                return code;
        if (r->from->pMethods->xFileSize(r->from, &size) != SQLITE_OK || size <= 0)
                return error_set(e, EIO, "the size of " DB_FILE " can't be found out");
        r->begun = true;
        r->counter = r->b->database.change_counter = counter;
        r->b->database.hot = db_is_hot(r->b->db);
        r->same = 0;
        return resize(r, (uint64_t) size);
}

static int copy_block(struct rounds *r)
{
        uint64_t left = r->size - r->at * BLOCK;
        size_t len = left < BLOCK ? (size_t) left : BLOCK;
        if (r->from->pMethods->xRead(r->from, r->buffer, (int) len, (sqlite3_int64) r->at * BLOCK) != SQLITE_OK)
                return error_set(&r->b->op->error, EIO, DB_FILE " can't be read");
        uint64_t hash = hash_of(r, len);
        if (hash != r->hashes[r->at]) {
                int code = file_pwrite(r->to, r->buffer, len, r->at * BLOCK);
                if (code < 0)
                        return error_set(&r->b->op->error, -code, "the copy of " DB_FILE " can't be written: %s", strerror(-code));
                r->hashes[r->at] = hash;
        }
        r->at = r->at + 1 < r->count ? r->at + 1 : 0;
        r->same++;
        r->total++;
        return 0;
}

static int64_t remaining_ms(const struct rounds *r)
{
        int64_t spent = clock_ms() - r->begun_ms;
        uint64_t each_ms = spent > 0 ? r->total / (uint64_t) spent : 0;
        return (int64_t) ((r->count - r->same) / (each_ms > 0 ? each_ms : 4));
}

/* As many blocks as one hold allows. 1 there are more, 0 done. */
static int copy_window(struct rounds *r)
{
        struct backup *b = r->b;
        int code = backup_hold_begin(&b->hold, &b->op->error);
        if (code == 0)
                code = look(r);
        if (code < 0)
                return code;
        do {
                code = copy_block(r);
                if (code < 0 || r->same == r->count)
                        return code;
                if (operation_progress(b->op, b->phase, r->same * BLOCK, r->size) < 0)
                        return -ECANCELED;
        } while (backup_hold_goes_on(&b->hold, remaining_ms(r)));
        return 1;
}

static int copy_rounds(struct rounds *r)
{
        int code;
        while ((code = copy_window(r)) > 0) {
                if (r->total / ROUNDS_MAX > r->count)
                        return error_set(&r->b->op->error, EBUSY,
                                         "another process commits faster than " DB_FILE
                                         " can be copied: make the backup when it writes less");
                backup_hold_end(&r->b->hold);
                backup_hold_let_writer(&r->b->hold);
        }
        return code;
}

static int open_files(struct rounds *r)
{
        struct backup *b = r->b;
        r->buffer = malloc(BLOCK);
        if (r->buffer == NULL || getrandom(&r->seed, sizeof(r->seed), 0) != sizeof(r->seed))
                return error_set(&b->op->error, ENOMEM, "no memory to copy " DB_FILE);
        if (sqlite3_file_control(db_handle(b->db), "main", SQLITE_FCNTL_FILE_POINTER, &r->from) != SQLITE_OK)
                return error_set(&b->op->error, EIO, DB_FILE " is not open");
        r->to = backup_make_database(b);
        return r->to < 0 ? r->to : 0;
}

int backup_copy_database_pages(struct backup *b)
{
        struct rounds r = { .b = b, .to = -1, .begun_ms = clock_ms() };
        int code = open_files(&r);
        if (code == 0)
                code = copy_rounds(&r);
        if (code == 0 && ftruncate(r.to, (off_t) r.size) < 0)
                code = error_set(&b->op->error, errno, "the copy of " DB_FILE " can't be given its size: %s", strerror(errno));
        if (r.to >= 0)
                (void) close(r.to);
        free(r.hashes);
        free(r.buffer);
        return code;
}
