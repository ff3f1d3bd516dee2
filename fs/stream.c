#include "fs/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fs/attributes.h"
#include "ops/clock.h"
#include "ops/wal/row.h"

#define BLOCK_SIZE (1u << 20) /* what a reader that asks should read at a time */

static int compare_keys(const void *a, const void *b)
{
        uint64_t x, y;
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        return (x > y) - (x < y);
}

/* Collections that are left out have no place in the root's stream. */
static int hide(struct request *request, struct error *e)
{
        const struct catalog *catalog = request->view->catalog;
        size_t count = 0;
        if (request->mount->options->skip_count == 0 || request->hidden)
                return 0;
        CLEANUP(free)
        uint64_t *keys = calloc(catalog->collection_count + 1, sizeof(*keys));
        if (keys == NULL)
                return error_set(e, ENOMEM, "no memory");
        for (size_t i = 0; i < catalog->collection_count; i++) {
                const struct text *id = &catalog->collections[i].id;
                if (entries_by_id(request->entries, id->bytes) == NULL)
                        keys[count++] = wal_collection_key(id->bytes, id->len);
        }
        qsort(keys, count, sizeof(*keys), compare_keys);
        int r = wal_hide(request->mount->wal, keys, count, e);
        request->hidden = r == 0;
        return r;
}

int stream_index(struct request *request, int64_t until_ms, struct wal_index **ret, bool *ret_current, struct error *e)
{
        int r = request_need(request);
        if (r < 0) {
                if (e != &request->error)
                        *e = request->error;
                return r;
        }
        r = hide(request, e);
        if (r < 0)
                return r;
        if (request->stream_moment == 0)
                request->stream_moment = request->view->generation;
        return wal_current(request->mount->wal, request->stream_moment, until_ms, request->patience.cancelled,
                           request->patience.context, ret, ret_current, e);
}

static int present_stream(struct request *request, const struct node *node, struct wal_index *index, struct wal_stream **ret)
{
        if (node->a[0] == '\0')
                return wal_index_root(index, ret, &request->error);
        const struct collection *collection = node_collection(request, node);
        if (collection == NULL)
                return -ENOENT;
        uint64_t key = wal_collection_key(collection->id.bytes, collection->id.len);
        return wal_index_stream(index, key, ret, &request->error);
}

uint64_t stream_unmeasured(const struct request *request)
{
        const uint64_t words[] = { request->view->generation, wal_epoch(request->mount->wal), 0 };
        return XXH3_64bits(words, sizeof(words));
}

void stream_stat(struct wal_stream *stream, struct stat *st)
{
        struct wal_stat now = wal_stream_stat(stream);
        st->st_size = (off_t) now.size;
        st->st_blocks = (blkcnt_t) ((now.size + 511) / 512);
        st->st_blksize = BLOCK_SIZE;
        st->st_mtim = (struct timespec){ .tv_sec = (time_t) now.mtime_sec, .tv_nsec = (long) now.mtime_nsec };
        st->st_ctim = st->st_atim = st->st_mtim;
}

int stream_read(struct request *request, const struct node *node, struct inode_info *ret, struct wal_stream **ret_stream)
{
        CLEANUP(wal_index_put)
        struct wal_index *index = NULL;
        bool current = false;
        int r = stream_index(request, clock_ms() + request->stream_wait_ms, &index, &current, &request->error);
        if (r < 0)
                return r;
        if (!current)
                return -EINPROGRESS;
        CLEANUP(wal_stream_put)
        struct wal_stream *stream = NULL;
        r = present_stream(request, node, index, &stream);
        if (r < 0)
                return r;
        stream_stat(stream, &ret->attributes);
        ret->state = wal_stream_id(stream);
        *ret_stream = TAKE(stream);
        return 0;
}
