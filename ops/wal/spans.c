#include "ops/wal/spans.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct slot {
        uint64_t file, used;
        struct wal_span *span; /* NULL: free */
};

struct wal_spans {
        pthread_mutex_t mutex;
        uint64_t uses;
        size_t bytes;
        struct slot slots[WAL_SPANS_COUNT];
};

int wal_spans_new(struct wal_spans **ret, struct error *e)
{
        struct wal_spans *spans = calloc(1, sizeof(*spans));
        if (spans == NULL)
                return error_set(e, ENOMEM, "no memory");
        (void) pthread_mutex_init(&spans->mutex, NULL);
        *ret = spans;
        return 0;
}

static bool holds(const struct slot *slot, uint64_t file, uint64_t offset)
{
        const struct wal_span *span = slot->span;
        return span != NULL && slot->file == file && offset >= span->offset && offset - span->offset < span->len;
}

struct wal_span *wal_spans_find(struct wal_spans *spans, uint64_t file, uint64_t offset)
{
        struct wal_span *found = NULL;
        (void) pthread_mutex_lock(&spans->mutex);
        for (int i = 0; i < WAL_SPANS_COUNT && found == NULL; i++) {
                if (!holds(&spans->slots[i], file, offset))
                        continue;
                spans->slots[i].used = ++spans->uses;
                found = spans->slots[i].span;
                (void) result_get(&found->shared);
        }
        (void) pthread_mutex_unlock(&spans->mutex);
        return found;
}

static void forget(struct wal_spans *spans, struct slot *slot)
{
        if (slot->span == NULL)
                return;
        spans->bytes -= slot->span->len;
        (void) result_put(&slot->span->shared);
        slot->span = NULL;
}

/* A free slot, or else the one that was not used for the longest time; with `taken` only such a one, or NULL. */
static struct slot *oldest(struct wal_spans *spans, bool taken)
{
        struct slot *found = NULL;
        for (int i = 0; i < WAL_SPANS_COUNT; i++) {
                struct slot *slot = &spans->slots[i];
                if (slot->span == NULL && !taken)
                        return slot;
                if (slot->span != NULL && (found == NULL || slot->used < found->used))
                        found = slot;
        }
        return found;
}

void wal_spans_keep(struct wal_spans *spans, uint64_t file, struct wal_span *span)
{
        if (span->len > WAL_SPANS_BYTES / 4)
                return;
        (void) pthread_mutex_lock(&spans->mutex);
        while (spans->bytes + span->len > WAL_SPANS_BYTES)
                forget(spans, oldest(spans, true));
        struct slot *slot = oldest(spans, false);
        forget(spans, slot);
        (void) result_get(&span->shared);
        *slot = (struct slot){ .file = file, .span = span, .used = ++spans->uses };
        spans->bytes += span->len;
        (void) pthread_mutex_unlock(&spans->mutex);
}

void wal_spans_pass(struct wal_spans *spans, uint64_t file, uint64_t offset)
{
        (void) pthread_mutex_lock(&spans->mutex);
        for (int i = 0; i < WAL_SPANS_COUNT; i++) {
                struct slot *slot = &spans->slots[i];
                if (slot->file == file && slot->span != NULL && slot->span->offset + slot->span->len <= offset)
                        forget(spans, slot);
        }
        (void) pthread_mutex_unlock(&spans->mutex);
}

void wal_spans_drop(struct wal_spans *spans, uint64_t file)
{
        (void) pthread_mutex_lock(&spans->mutex);
        for (int i = 0; i < WAL_SPANS_COUNT; i++)
                if (spans->slots[i].file == file)
                        forget(spans, &spans->slots[i]);
        (void) pthread_mutex_unlock(&spans->mutex);
}

struct wal_spans *wal_spans_free(struct wal_spans *spans)
{
        if (spans == NULL)
                return NULL;
        for (int i = 0; i < WAL_SPANS_COUNT; i++)
                forget(spans, &spans->slots[i]);
        (void) pthread_mutex_destroy(&spans->mutex);
        free(spans);
        return NULL;
}
