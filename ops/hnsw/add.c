/*
 * Adding elements. Records, labels, levels and lists are made by one thread for all, in the order of the items; then the elements are linked, by several threads
 * if asked, each of which takes the next few.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "ops/hnsw/graph.h"

#define TAKEN_AT_ONCE 16u /* by a thread */
#define ALONE 64u         /* so many elements are linked by one thread before others join */
#define THREADS_MAX 256u

static void remove_labels(struct hnsw *h, size_t count)
{
        while (count-- > 0)
                label_map_remove(h, &h->labels, (uint32_t) (h->count + count));
}

/* All labels, or none. */
static int add_labels(struct hnsw *h, const struct hnsw_item *items, size_t count, struct error *e)
{
        for (size_t i = 0; i < count; i++) {
                uint32_t id = (uint32_t) (h->count + i);
                memcpy(record_of(h, id) + h->label_offset, &items[i].label, sizeof(items[i].label));
                if (label_map_add(h, &h->labels, id))
                        continue;
                remove_labels(h, i);
                return error_set(e, EEXIST, "label %llu is there already", (unsigned long long) hnsw_label(h, id));
        }
        return 0;
}

/* Levels and the lists above level 0, of all or none: without memory for them, no level was drawn. */
static int make_lists(struct hnsw *h, size_t count, struct error *e)
{
        struct level_generator before = h->levels;
        size_t size = 0;
        for (uint64_t id = h->count; id < h->count + count; id++) {
                h->level[id] = (uint8_t) level_generator_next(&h->levels);
                size += h->level[id] * h->upper_size;
        }
        if (size == 0)
                return 0;
        unsigned char *lists = upper_add(h, size);
        if (lists == NULL) {
                h->levels = before;
                return error_set(e, ENOMEM, "no memory for the lists of an index (%zu bytes)", size);
        }
        for (uint64_t id = h->count; id < h->count + count; id++) {
                h->upper[id] = h->level[id] == 0 ? NULL : lists;
                lists += h->level[id] * h->upper_size;
        }
        return 0;
}

static void store_vector(struct hnsw *h, struct search_memory *m, uint32_t id, const struct hnsw_item *item)
{
        const float *stored = item->is_stored ? item->vector : search_query(h, m, item->vector);
        memset(record_of(h, id), 0, h->data_offset);
        memcpy(record_of(h, id) + h->data_offset, stored, h->params.dimension * sizeof(float));
        if (h->length != NULL)
                h->length[id] = item->is_stored ? item->length : m->length;
}

/* --- threads --- */

struct work {
        struct hnsw *h;
        const struct hnsw_item *items;
        uint32_t first; /* internal id of items[0] */
        uint64_t count;
        atomic_uint_fast64_t next; /* the next item */
        atomic_bool is_cancelled;
        db_cancel_fn *cancelled; /* of the calling thread */
        void *context;
};

static void run(struct work *w, struct search_memory *m, bool is_caller)
{
        while (!atomic_load(&w->is_cancelled)) {
                uint64_t from = atomic_fetch_add(&w->next, TAKEN_AT_ONCE);
                if (from >= w->count)
                        return;
                uint64_t to = from + TAKEN_AT_ONCE < w->count ? from + TAKEN_AT_ONCE : w->count;
                for (uint64_t i = from; i < to; i++)
                        insert_element(w->h, m, w->first + (uint32_t) i);
                if (is_caller && w->cancelled != NULL && w->cancelled(w->context))
                        atomic_store(&w->is_cancelled, true);
        }
}

static void *run_thread(void *context)
{
        struct work *w = context;
        CLEANUP(search_memory_free)
        struct search_memory *m = search_memory_new(w->h, w->h->params.ef_construction);
        if (m != NULL) /* else the others do it all */
                run(w, m, false);
        return NULL;
}

/* As many as the machine lets us have; the caller is one of them, and the one that gets signals. */
static void run_all(struct work *w, struct search_memory *m, unsigned threads)
{
        pthread_t others[THREADS_MAX];
        unsigned started = 0;
        sigset_t all, before;
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        w->h->is_shared = true;
        while (started + 1 < threads && started < THREADS_MAX && pthread_create(&others[started], NULL, run_thread, w) == 0)
                started++;
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        run(w, m, true);
        for (unsigned i = 0; i < started; i++)
                (void) pthread_join(others[i], NULL);
        w->h->is_shared = false;
}

static int link_all(struct hnsw *h, struct search_memory *m, struct work *w, unsigned threads, struct error *e)
{
        uint64_t alone = threads <= 1 ? w->count : h->count - w->count >= ALONE ? 0 : w->count < ALONE ? w->count : ALONE;
        uint64_t all = w->count;
        w->count = alone;
        run(w, m, true);
        w->count = all;
        atomic_store(&w->next, alone);
        if (!atomic_load(&w->is_cancelled) && alone < all)
                run_all(w, m, threads);
        return atomic_load(&w->is_cancelled) ? error_set(e, EINTR, "cancelled") : 0;
}

int hnsw_add(struct hnsw *h, const struct hnsw_item *items, size_t count, unsigned threads, db_cancel_fn *cancelled, void *context,
             struct error *e)
{
        struct search_memory *m = own_memory(h);
        if (m == NULL)
                return error_set(e, ENOMEM, "no memory");
        if (count > h->capacity - h->count)
                return error_set(e, ENOSPC, "there is no room for %zu more elements", count);
        struct work w = {
                .h = h, .items = items, .first = (uint32_t) h->count, .count = count, .cancelled = cancelled, .context = context
        };
        int r = add_labels(h, items, count, e);
        if (r < 0)
                return r;
        r = make_lists(h, count, e);
        if (r < 0) {
                remove_labels(h, count);
                return r;
        }
        for (size_t i = 0; i < count; i++)
                store_vector(h, m, w.first + (uint32_t) i, &items[i]);
        h->count += count;
        return link_all(h, m, &w, threads, e);
}
