/*
 * The vectors that are kept, into the new index: in the order of their labels, which is mostly that of their records, a batch at a time.
 *
 * From cosine to cosine what was normalised stays to the bit; to another space the original comes back as Chroma gives it to whoever asks for embeddings: times its norm.
 */
#include <errno.h>
#include <stdlib.h>

#include "ops/commit/vector_parts.h"

struct adding {
        struct commit_vector *v;
        struct hnsw *index;
        unsigned threads;
        uint64_t next_label, done;
        size_t most, filled;
        float *vectors;
        struct hnsw_item *items;
        struct error *e;
};

static int make_batch(struct adding *a)
{
        size_t bytes = (size_t) a->v->start.dimension * sizeof(float), rows = COMMIT_BATCH_BYTES / bytes;
        a->most = rows > COMMIT_BATCH_ROWS ? COMMIT_BATCH_ROWS : rows < 2 * a->threads ? 2 * a->threads : rows;
        a->vectors = reallocarray(NULL, a->most, bytes);
        a->items = reallocarray(NULL, a->most, sizeof(*a->items));
        return a->vectors == NULL || a->items == NULL ? error_set(a->e, ENOMEM, "no memory for batches of %zu vectors", a->most)
                                                      : 0;
}

static int flush(struct adding *a)
{
        int r = operation_progress(a->v->op, "adding vectors", a->done, a->v->saved.kept + a->v->adds.count);
        if (r == 0)
                r = hnsw_add(a->index, a->items, a->filled, a->threads, operation_is_cancelled, a->v->op, a->e);
        a->done += a->filled;
        a->filled = 0;
        return r;
}

static int take_entry(struct adding *a, size_t i)
{
        struct commit_vector *v = a->v;
        size_t dimension = v->start.dimension;
        float length, *vector = a->vectors + a->filled * dimension;
        struct error found = { 0 };
        int r = salvage_vector(v->salvage, i, vector, &length, &found);
        if (r < 0)
                return commit_vector_damage(v, r, &found, a->e);
        bool was_cosine = v->old_space == SPACE_COSINE, is_cosine = v->config.space == SPACE_COSINE;
        for (size_t k = 0; was_cosine && !is_cosine && k < dimension; k++)
                vector[k] *= length;
        a->items[a->filled++] = (struct hnsw_item){
                .label = a->next_label, .vector = vector, .is_stored = was_cosine && is_cosine, .length = length
        };
        v->metadata->entries[i].label = a->next_label++;
        return a->filled < a->most ? 0 : flush(a);
}

/* Which id gets what is settled, and from here on only those whose vectors come from the log are asked for. The others are in the pickle. */
static void drop_ids(struct commit_vector *v)
{
        if (v->adds.count == 0)
                commit_ids_clear(&v->ids);
}

int commit_salvage_add(struct commit_vector *v, struct hnsw *index, unsigned threads, uint64_t *ret_count)
{
        struct adding a = { .v = v, .index = index, .threads = threads, .next_label = 1, .e = &v->op->error };
        drop_ids(v);
        int r = make_batch(&a);
        for (size_t i = 0; v->metadata != NULL && i < v->metadata->count && r == 0; i++) {
                if (v->keeps[i])
                        r = take_entry(&a, i);
                else
                        v->metadata->entries[i].label = 0;
        }
        if (r == 0 && a.filled > 0)
                r = flush(&a);
        *ret_count = a.next_label - 1;
        free(a.vectors);
        free(a.items);
        return r;
}
