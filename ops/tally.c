#include "ops/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "ops/cleanup.h"
#include "ops/pieces.h"
#include "ops/topic.h"

#define MEMO_SLOTS 8192u
#define NO_COLLECTION SIZE_MAX

/* What was found for an id before: rows of one collection come in runs, and a search in a large catalog costs more than reading a row. */
struct memo {
        XXH128_hash_t hash;
        bool used;
        size_t index; /* into catalog->collections, or NO_COLLECTION */
};

struct counting {
        const struct catalog *catalog;
        const struct tally_positions *positions;
        struct tally *tally;
        struct memo *memo;
        struct int_key key;
        struct error *error;
};

static size_t search(const struct catalog *catalog, const char *id, size_t len)
{
        /* The bytes are NUL-terminated (a text's tail), but may hold NUL before their end. */
        const struct collection *c = strlen(id) == len ? catalog_collection(catalog, id) : NULL;
        return c == NULL ? NO_COLLECTION : (size_t) (c - catalog->collections);
}

static size_t collection_of(const struct counting *counting, sqlite3_stmt *stmt, int column)
{
        const char *id;
        size_t len;
        if (!topic_collection_id(stmt, column, &id, &len))
                return NO_COLLECTION;
        XXH128_hash_t hash = XXH3_128bits(id, len);
        struct memo *memo = &counting->memo[hash.low64 % MEMO_SLOTS];
        if (!memo->used || memo->hash.low64 != hash.low64 || memo->hash.high64 != hash.high64)
                *memo = (struct memo){ .hash = hash, .used = true, .index = search(counting->catalog, id, len) };
        return memo->index;
}

static bool above(int64_t seq_id, bool has_position, uint64_t position)
{
        return !has_position || (seq_id > 0 && (uint64_t) seq_id > position);
}

static int count_row(void *context, sqlite3_stmt *stmt)
{
        struct counting *counting = context;
        int64_t seq_id;
        int r = int_key_take(&counting->key, stmt, 0, "embeddings_queue", &seq_id, counting->error);
        if (r < 0)
                return r;
        counting->tally->entries++;
        size_t i = collection_of(counting, stmt, 1);
        if (i == NO_COLLECTION) {
                counting->tally->orphan_entries++;
                return 0;
        }
        const struct tally_positions *p = &counting->positions[i];
        struct tally_row *row = &counting->tally->rows[i];
        row->entries++;
        row->vector_gap += above(seq_id, p->has_vector, p->vector);
        row->metadata_gap += above(seq_id, p->has_metadata, p->metadata);
        return 0;
}

static int bind_key(void *context, sqlite3_stmt *stmt)
{
        return int_key_bind(&((struct counting *) context)->key, stmt, 1);
}

int tally_read(struct db *db, const struct catalog *catalog, const struct tally_positions *positions, struct tally *ret,
               struct error *e)
{
        CLEANUP(free)
        struct memo *memo = calloc(MEMO_SLOTS, sizeof(*memo));
        CLEANUP(free)
        struct tally_row *rows = calloc(catalog->collection_count + 1, sizeof(*rows));
        if (memo == NULL || rows == NULL)
                return error_set(e, ENOMEM, "no memory to count the rows of %zu collections", catalog->collection_count);
        struct tally tally = { .rows = rows, .count = catalog->collection_count };
        struct counting counting = {
                .catalog = catalog,
                .positions = positions,
                .tally = &tally,
                .memo = memo,
                .key = INT_KEY_START,
                .error = e,
        };
        struct pieces pieces;
        pieces_init(&pieces, db);
        int r = pieces_walk(&pieces, "SELECT seq_id, topic FROM embeddings_queue WHERE seq_id >= ? ORDER BY seq_id", bind_key,
                            count_row, &counting, e);
        if (r < 0)
                return r;
        tally.exact = pieces.exact;
        tally.rows = TAKE(rows);
        *ret = tally;
        return 0;
}

void tally_clear(struct tally *tally)
{
        free(tally->rows);
        *tally = (struct tally){ 0 };
}
