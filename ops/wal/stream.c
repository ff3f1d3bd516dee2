/*
 * Streams: generations of a wal.jsonl.
 *
 * A collection's stream is where its live rows began when the generation began, in bytes and rows of the collection since the
 * beginning: nothing else is needed, since a collection's bytes never move.
 *
 * The root's is a picture of the moment when it was made: the position P0 where the index ended, the offset of each block before it
 * (sums of live bytes), and the first live position of each collection. A unit before P0 belongs to it if it isn't before the first
 * one of its collection; every unit at or behind P0 does, and its offset comes from the sums that the index keeps of all units. The
 * index holds on to the picture for as long as it is the present one, so that asking for it again is cheap; streams hold on to it
 * and to the index.
 *
 * The index only has weak references to streams: whoever gives up the last one under the mutex takes it out of there, too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "ops/wal/stream_internal.h"

#define ROOT_KEY UINT64_MAX /* in place of a collection's */

/* Making the root's picture. */

int index_compare_firsts(const void *a, const void *b)
{
        const struct index_first *x = a, *y = b;
        return (x->key > y->key) - (x->key < y->key);
}

static struct index_root *root_put(struct index_root *root)
{
        if (root == NULL || --root->references > 0)
                return NULL;
        free(root->offsets);
        free(root->firsts);
        free(root);
        return NULL;
}

static void picture_blocks(const struct wal_index *index, struct index_root *root)
{
        uint64_t offset = 0;
        for (uint32_t i = 0; i < index->block_count; i++) {
                root->offsets[i] = offset;
                offset += index->blocks[i].live;
        }
        root->block_count = index->block_count;
}

static void picture_collections(const struct wal_index *index, struct index_root *root)
{
        for (struct index_collection *c = TAILQ_FIRST(&index->live); c != NULL; c = TAILQ_NEXT(c, live)) {
                if (c->hidden)
                        continue;
                if (root->first_count == 0 || c->first_seq < root->first_seq)
                        root->first_seq = c->first_seq;
                root->firsts[root->first_count++] = (struct index_first){ .key = c->key, .position = c->first_position };
                root->newest = c;
        }
        qsort(root->firsts, root->first_count, sizeof(*root->firsts), index_compare_firsts);
}

static struct index_root *root_new(struct wal_index *index)
{
        struct index_root *root = calloc(1, sizeof(*root));
        if (root == NULL)
                return NULL;
        root->references = 1;
        root->offsets = reallocarray(NULL, (size_t) index->block_count + 1, sizeof(*root->offsets));
        root->firsts = reallocarray(NULL, index->live_count + 1, sizeof(*root->firsts));
        if (root->offsets == NULL || root->firsts == NULL)
                return root_put(root);
        root->end = index->end;
        root->rows = index->live_rows;
        root->size = index->live_bytes;
        root->rows_before = index->rows;
        root->bytes_before = index->bytes;
        picture_blocks(index, root);
        picture_collections(index, root);
        return root;
}

/* What the writer says. */

void stream_forget_root(struct wal_index *index)
{
        index->generations += index->root != NULL;
        index->root = root_put(index->root);
        index->root_stream = NULL;
}

void stream_first_row(struct wal_index *index, struct index_collection *c, int64_t seq_id)
{
        if (c->stream != NULL)
                c->stream->first_seq = seq_id;
        if (!c->hidden && index->live_rows == 0 && index->root != NULL)
                index->root->first_seq = seq_id;
}

void stream_row_leaves(struct wal_index *index, struct index_collection *c)
{
        c->stream = NULL;
        c->generations += c->asked;
        c->asked = false;
        if (!c->hidden)
                stream_forget_root(index);
}

/* Life. */

/* Made of nothing that differs from one process to the next, so that a mount gives a file the inode number that it had before. */
static uint64_t stream_id(const struct wal_index *index, uint64_t key, uint64_t generations)
{
        const uint64_t words[] = { index->number, key, generations };
        return XXH3_64bits(words, sizeof(words));
}

static struct wal_stream *stream_new(struct wal_index *index, uint64_t id)
{
        struct wal_stream *stream = calloc(1, sizeof(*stream));
        if (stream == NULL)
                return NULL;
        stream->references = 1;
        stream->index = wal_index_get(index);
        stream->id = id;
        return stream;
}

static struct wal_stream *root_stream(struct wal_index *index)
{
        if (index->root_stream != NULL) {
                index->root_stream->references++;
                return index->root_stream;
        }
        if (index->root == NULL)
                index->root = root_new(index);
        struct wal_stream *stream = index->root == NULL ? NULL : stream_new(index, stream_id(index, ROOT_KEY, index->generations));
        if (stream == NULL)
                return NULL;
        stream->root = index->root;
        stream->root->references++;
        index->root_stream = stream;
        return stream;
}

static struct wal_stream *collection_stream(struct wal_index *index, uint64_t key)
{
        struct index_collection *c = index_find_or_add(index, key);
        if (c == NULL)
                return NULL;
        if (c->stream != NULL) {
                c->stream->references++;
                return c->stream;
        }
        c->asked = true;
        struct wal_stream *stream = stream_new(index, stream_id(index, key, c->generations));
        if (stream == NULL)
                return NULL;
        stream->collection = c;
        stream->rows_before = c->gone_rows;
        stream->bytes_before = c->gone_bytes;
        stream->first_seq = index_live_rows(c) > 0 ? c->first_seq : 0;
        c->stream = stream;
        return stream;
}

static int give(struct wal_stream *stream, struct wal_stream **ret, struct error *e)
{
        if (stream == NULL)
                return error_set(e, ENOMEM, "no memory for a wal.jsonl");
        *ret = stream;
        return 0;
}

int wal_index_root(struct wal_index *index, struct wal_stream **ret, struct error *e)
{
        index_lock(index);
        struct wal_stream *stream = root_stream(index);
        index_unlock(index);
        return give(stream, ret, e);
}

int wal_index_stream(struct wal_index *index, uint64_t key, struct wal_stream **ret, struct error *e)
{
        index_lock(index);
        struct wal_stream *stream = collection_stream(index, key);
        index_unlock(index);
        return give(stream, ret, e);
}

struct wal_stream *wal_stream_get(struct wal_stream *stream)
{
        index_lock(stream->index);
        stream->references++;
        index_unlock(stream->index);
        return stream;
}

/* The last reference was given up. */
static void forget(struct wal_stream *stream)
{
        struct wal_index *index = stream->index;
        if (index->root_stream == stream)
                index->root_stream = NULL;
        if (stream->collection != NULL && stream->collection->stream == stream)
                stream->collection->stream = NULL;
        stream->root = root_put(stream->root);
}

struct wal_stream *wal_stream_put(struct wal_stream *stream)
{
        if (stream == NULL)
                return NULL;
        struct wal_index *index = stream->index;
        index_lock(index);
        bool last = --stream->references == 0;
        if (last)
                forget(stream);
        index_unlock(index);
        if (last) {
                free(stream);
                (void) wal_index_put(index);
        }
        return NULL;
}

uint64_t wal_stream_id(const struct wal_stream *stream)
{
        return stream->id;
}

bool wal_stream_is_latest(struct wal_stream *stream)
{
        struct wal_index *index = stream->index;
        index_lock(index);
        bool latest = stream->root != NULL ? stream->root == index->root : stream == stream->collection->stream;
        index_unlock(index);
        return latest;
}

struct wal_index *wal_stream_index(const struct wal_stream *stream)
{
        return stream->index;
}

/* Its size and so on. */

static struct wal_stat stat_locked(const struct wal_stream *stream)
{
        const struct index_root *root = stream->root;
        const struct index_collection *newest = stream->collection;
        struct wal_stat stat = { .size = stream_size(stream) };
        if (root != NULL) {
                uint64_t behind = stream->index->rows - root->rows_before;
                stat.rows = root->rows + behind;
                stat.first_seq = root->first_seq;
                newest = behind > 0 ? stream->index->newest : root->newest;
        } else {
                stat.rows = newest->rows - stream->rows_before;
                stat.first_seq = stream->first_seq;
        }
        if (stat.rows > 0) {
                stat.last_seq = newest->last_seq;
                stat.mtime_sec = newest->created;
        }
        return stat;
}

/* The same on every machine. */
static uint32_t hash_stat(const struct wal_stat *stat)
{
        const uint64_t values[] = { (uint64_t) stat->first_seq, (uint64_t) stat->last_seq, stat->rows, stat->size };
        unsigned char bytes[sizeof(values)];
        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (unsigned char) (values[i / 8] >> i % 8 * 8);
        return (uint32_t) (XXH64(bytes, sizeof(bytes), 0) % 1000000000);
}

struct wal_stat wal_stream_stat(struct wal_stream *stream)
{
        index_lock(stream->index);
        struct wal_stat stat = stat_locked(stream);
        index_unlock(stream->index);
        stat.mtime_nsec = hash_stat(&stat);
        return stat;
}
