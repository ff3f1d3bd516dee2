/*
 * Adding elements. Records, labels, levels and lists are made by one thread for all, in the order of the items; then the elements are linked, by several threads
 * if asked, each of which takes the next few.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/hnsw/graph.h"

#define TAKEN_AT_ONCE 16u /* by a thread */
#define ALONE 64u         /* so many elements are linked by one thread before others join */
#define THREADS_MAX 256u

/* All labels, or none. */
static int add_labels(struct hnsw *h, const struct hnsw_item *items, size_t count, struct error *e)
{
        for (size_t i = 0; i < count; i++) {
                uint32_t id = (uint32_t) (h->count + i);
                memcpy(record_of(h, id) + h->label_offset, &items[i].label, sizeof(items[i].label));
                if (label_map_add(h, &h->labels, id))
                        continue;
                while (i-- > 0)
                        label_map_remove(h, &h->labels, (uint32_t) (h->count + i));
                return error_set(e, EEXIST, "label %llu is there already", (unsigned long long) hnsw_label(h, id));
        }
        return 0;
}

static int make_lists(struct hnsw *h, uint32_t id, struct error *e)
{
        h->level[id] = (uint8_t) level_generator_next(&h->levels);
        if (h->level[id] == 0)
                return 0;
        h->upper[id] = upper_add(h, h->level[id] * h->upper_size);
        return h->upper[id] != NULL ? 0 : error_set(e, ENOMEM, "no memory for the lists of an index");
}

static void store_vector(struct hnsw *h, struct search_memory *m, uint32_t id, const float *vector)
{
        const float *stored = search_query(h, m, vector);
        memset(record_of(h, id), 0, h->data_offset);
        memcpy(record_of(h, id) + h->data_offset, stored, h->params.dimension * sizeof(float));
        if (h->length != NULL)
                h->length[id] = m->length;
}

/* --- threads --- */

struct work {
        struct hnsw *h;
        const struct hnsw_item *items;
        uint32_t first; /* internal id of items[0] */
        uint64_t count;
        atomic_uint_fast64_t next; /* the next item */
        atomic_int code;           /* the first failure */
        db_cancel_fn *cancelled;   /* of the calling thread */
        void *context;
};

static int link_items(struct work *w, struct search_memory *m, uint64_t from, uint64_t to)
{
        int r = 0;
        for (uint64_t i = from; i < to && r == 0; i++) {
                uint32_t id = w->first + (uint32_t) i;
                r = insert_element(w->h, m, id);
        }
        return r;
}

static void run(struct work *w, struct search_memory *m, bool is_caller)
{
        while (atomic_load(&w->code) == 0) {
                uint64_t from = atomic_fetch_add(&w->next, TAKEN_AT_ONCE);
                if (from >= w->count)
                        return;
                uint64_t to = from + TAKEN_AT_ONCE < w->count ? from + TAKEN_AT_ONCE : w->count;
                int r = link_items(w, m, from, to);
                if (r == 0 && is_caller && w->cancelled != NULL && w->cancelled(w->context))
                        r = -EINTR;
                int none = 0;
                if (r < 0)
                        (void) atomic_compare_exchange_strong(&w->code, &none, r);
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

/* As many as the machine lets us have; the caller is one of them. */
static void run_all(struct work *w, struct search_memory *m, unsigned threads)
{
        pthread_t others[THREADS_MAX];
        unsigned started = 0;
        while (started + 1 < threads && started < THREADS_MAX && pthread_create(&others[started], NULL, run_thread, w) == 0)
                started++;
        run(w, m, true);
        for (unsigned i = 0; i < started; i++)
                (void) pthread_join(others[i], NULL);
}

static int link_all(struct hnsw *h, struct search_memory *m, struct work *w, unsigned threads, struct error *e)
{
        uint64_t alone = threads <= 1 ? w->count : h->count - w->count >= ALONE ? 0 : w->count < ALONE ? w->count : ALONE;
        uint64_t all = w->count;
        w->count = alone;
        run(w, m, true);
        w->count = all;
        atomic_store(&w->next, alone);
        if (atomic_load(&w->code) == 0 && alone < all)
                run_all(w, m, threads);
        int code = atomic_load(&w->code);
        if (code == -EINTR)
                return error_set(e, EINTR, "cancelled");
        return code < 0 ? error_set(e, -code, "no memory for a search") : 0;
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
        for (size_t i = 0; i < count && r == 0; i++) {
                store_vector(h, m, w.first + (uint32_t) i, items[i].vector);
                r = make_lists(h, w.first + (uint32_t) i, e);
        }
        if (r < 0)
                return r;
        h->count += count;
        return link_all(h, m, &w, threads, e);
}
