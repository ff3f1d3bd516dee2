/*
 * The index changed in memory: what goes, what changes, what comes; in this order, since nothing new should be linked to what goes.
 *
 * Vectors come from the log a batch at a time, so that no transaction lasts while an index is searched: the rows are read, then used.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "ops/commit/vector_parts.h"

#define CHUNK_BYTES ((size_t) 1 << 20)

/* --- ids --- */

struct commit_id_bytes {
        struct commit_id_bytes *before;
        size_t used, size;
        char bytes[];
};

static char *keep_bytes(struct commit_added *added, const char *bytes, size_t len)
{
        struct commit_id_bytes *chunk = added->bytes;
        if (chunk == NULL || len > chunk->size - chunk->used) {
                size_t size = len > CHUNK_BYTES ? len : CHUNK_BYTES;
                chunk = malloc(sizeof(*chunk) + size);
                if (chunk == NULL)
                        return NULL;
                *chunk = (struct commit_id_bytes){ .before = added->bytes, .size = size };
                added->bytes = chunk;
        }
        char *kept = chunk->bytes + chunk->used;
        memcpy(kept, bytes, len);
        chunk->used += len;
        return kept;
}

void commit_added_clear(struct commit_added *added)
{
        while (added->bytes != NULL) {
                struct commit_id_bytes *before = added->bytes->before;
                free(added->bytes);
                added->bytes = before;
        }
        free(added->entries);
        *added = (struct commit_added){ 0 };
}

/* --- batches --- */

struct changing {
        struct commit_vector *v;
        struct hnsw *index;
        struct commit_vector_log log;
        uint64_t next_label;
        unsigned threads;
        size_t most; /* rows of a batch */
        float *vectors;
        size_t filled;
        struct hnsw_item *items;
        struct commit_added *added;
        struct error *e;
};

static int read_vector(void *context, const struct commit_log_row *row)
{
        struct changing *c = context;
        const struct commit_id *id = &c->v->ids.items[row->job->index];
        XXH128_hash_t h = XXH3_128bits_withSeed(row->id, row->id_len, c->v->ids.seed);
        if (h.low64 != id->low || h.high64 != id->high)
                return error_set(c->e, ESTALE, "row %llu of the log has changed", (unsigned long long) row->job->key);
        size_t dimension = c->v->start.dimension;
        memcpy(c->vectors + c->filled * dimension, row->vector, dimension * sizeof(float));
        c->filled++;
        return 0;
}

/* The label is given here, in the order of the log. */
static int read_added(void *context, const struct commit_log_row *row)
{
        struct changing *c = context;
        int r = read_vector(c, row);
        if (r < 0)
                return r;
        struct index_entry entry = { .label = c->next_label++, .seq_id = row->job->key, .id_len = row->id_len };
        entry.id = keep_bytes(c->added, row->id, row->id_len);
        if (entry.id == NULL)
                return error_set(c->e, ENOMEM, "no memory for the ids of %zu vectors", c->v->adds.count);
        c->added->entries[c->added->count++] = entry;
        c->items[c->filled - 1] =
                (struct hnsw_item){ .label = entry.label, .vector = c->vectors + (c->filled - 1) * (size_t) c->v->start.dimension };
        return 0;
}

typedef int batch_fn(struct changing *c, const struct key_index *jobs, size_t count);

static int each_batch(struct changing *c, const struct commit_jobs *jobs, const char *phase, commit_log_fn *read, batch_fn *use)
{
        c->log = (struct commit_vector_log){ .v = c->v, .db = c->log.db, .phase = phase, .total = jobs->count, .e = c->e };
        int r = 0;
        for (size_t first = 0; first < jobs->count && r == 0; first += c->filled) {
                size_t count = jobs->count - first < c->most ? jobs->count - first : c->most;
                c->filled = 0;
                r = commit_log_read(&c->log, jobs->items + first, count, read, c);
                if (r == 0)
                        r = use(c, jobs->items + first, count);
        }
        return r;
}

static int make_batch(struct changing *c)
{
        size_t bytes = (size_t) c->v->start.dimension * sizeof(float), rows = bytes == 0 ? 1 : COMMIT_BATCH_BYTES / bytes;
        size_t changes = c->v->adds.count > c->v->updates.count ? c->v->adds.count : c->v->updates.count;
        c->most = rows > COMMIT_BATCH_ROWS ? COMMIT_BATCH_ROWS : rows < 2 * c->threads ? 2 * c->threads : rows;
        c->most = c->most > changes ? changes : c->most;
        c->vectors = reallocarray(NULL, c->most + 1, bytes);
        c->items = reallocarray(NULL, c->most + 1, sizeof(*c->items));
        c->added->entries = reallocarray(NULL, c->v->adds.count + 1, sizeof(*c->added->entries));
        if (c->vectors == NULL || c->items == NULL || c->added->entries == NULL)
                return error_set(c->e, ENOMEM, "no memory for batches of %zu vectors", c->most);
        return 0;
}

/* --- changes --- */

static bool is_live(const struct hnsw *index, uint64_t label)
{
        uint32_t element = hnsw_find(index, label);
        return element != UINT32_MAX && !hnsw_is_deleted(index, element);
}

static bool goes(const struct commit_id *id)
{
        return id->entry != COMMIT_NO_ENTRY &&
               (id->action == COMMIT_REMOVE || id->action == COMMIT_REPLACE || id->action == COMMIT_PUT);
}

static int remove_labels(struct changing *c)
{
        uint64_t done = 0;
        int r = 0;
        for (size_t i = 0; i < c->v->ids.count && r == 0; i++) {
                if (!goes(&c->v->ids.items[i]))
                        continue;
                struct index_entry *entry = &c->v->metadata->entries[c->v->ids.items[i].entry];
                r = operation_progress(c->v->op, "deleting vectors", done++, c->v->removals);
                if (r == 0 && is_live(c->index, entry->label)) /* else it is lost */
                        r = hnsw_delete(c->index, entry->label, c->e);
                entry->label = 0;
        }
        return r;
}

static int update_batch(struct changing *c, const struct key_index *jobs, size_t count)
{
        int r = 0;
        for (size_t i = 0; i < count && r == 0; i++) {
                struct index_entry *entry = &c->v->metadata->entries[c->v->ids.items[jobs[i].index].entry];
                entry->seq_id = jobs[i].key;
                r = operation_progress(c->v->op, c->log.phase, c->log.done - count + i, c->log.total);
                if (r == 0)
                        r = hnsw_update(c->index, entry->label, c->vectors + i * (size_t) c->v->start.dimension, c->e);
        }
        return r;
}

static int add_batch(struct changing *c, const struct key_index *jobs, size_t count)
{
        (void) jobs;
        return hnsw_add(c->index, c->items, count, c->threads, operation_is_cancelled, c->v->op, c->e);
}

int commit_vector_change(struct commit_vector *v, struct hnsw *index, struct db *db, uint64_t next, unsigned threads,
                         struct commit_added *ret)
{
        struct changing c = { .v = v, .index = index, .next_label = next, .threads = threads, .added = ret, .e = &v->op->error };
        c.log.db = db;
        int r = make_batch(&c);
        if (r == 0 && v->salvage == NULL)
                r = remove_labels(&c);
        if (r == 0)
                r = each_batch(&c, &v->updates, "changing vectors", read_vector, update_batch);
        if (r == 0)
                r = each_batch(&c, &v->adds, "adding vectors", read_added, add_batch);
        free(c.vectors);
        free(c.items);
        return r;
}
