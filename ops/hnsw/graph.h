/*
 * Inside of the HNSW engine: where everything lies. Only the files of ops/hnsw include this.
 *
 * A list of links has the form of the files on every level: a count in 16 bits, the flags of level 0 in the third byte, and internal ids. Who changes or reads a list while
 * others may holds the lock of its element; vectors, labels and levels don't change while threads insert, and an element is found by others only by a link to it.
 */
#ifndef OPS_HNSW_GRAPH_H
#define OPS_HNSW_GRAPH_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "ops/hnsw/heap.h"
#include "ops/hnsw/hnsw.h"
#include "ops/hnsw/label_map.h"
#include "ops/hnsw/level_generator.h"
#include "ops/hnsw/room.h"
#include "ops/hnsw/visited.h"
#include "ops/hnsw_file.h"

#define HNSW_DELETED 1u
#define HNSW_NONE UINT32_MAX

struct list {
        uint16_t count;
        uint8_t flags, zero;
        uint32_t links[];
};
_Static_assert(sizeof(struct list) == 4, "as in the files");

struct hnsw {
        struct hnsw_params params;
        hnsw_distances_fn *distances;
        struct level_generator levels;
        size_t record_size, data_offset, label_offset, upper_size; /* upper_size: bytes of a list above level 0 */
        uint64_t capacity, count, deleted;
        uint32_t entry_point;
        int max_level;
        struct hnsw_room records;
        uint8_t *level;        /* of each element */
        unsigned char **upper; /* of each element: its lists above level 0, level * upper_size bytes; NULL where there are none */
        float *length;         /* cosine only */
        uint16_t *
                kept; /* of each element: so many links at the start of its list of level 0 were kept by one selection; 0: unknown */
        bool is_updated; /* vectors have changed, and `kept` counts no more */
        atomic_uchar *locks;
        bool is_shared;      /* several threads insert: only then locks are taken */
        pthread_mutex_t top; /* entry_point and max_level, while threads insert */
        struct label_map labels;
        struct upper_block *upper_blocks; /* what `upper` points into */
        uint64_t upper_bytes;
        struct search_memory *memory; /* of the thread that owns the index */
};

/* Room for lists above level 0, zeroed. NULL: no memory. */
unsigned char *upper_add(struct hnsw *h, size_t size);
void upper_free(struct upper_block *blocks);

/* The owner's memory for searches, made when it is needed first. NULL: no memory. */
struct search_memory *own_memory(struct hnsw *h);

static inline unsigned char *record_of(const struct hnsw *h, uint32_t id)
{
        return h->records.bytes + (size_t) id * h->record_size;
}

static inline const float *vector_of(const struct hnsw *h, uint32_t id)
{
        return (const float *) (const void *) (record_of(h, id) + h->data_offset);
}

static inline struct list *list_of(const struct hnsw *h, uint32_t id, int level)
{
        return (struct list *) (void *) (level == 0 ? record_of(h, id) : h->upper[id] + (size_t) (level - 1) * h->upper_size);
}

static inline uint32_t most_links(const struct hnsw *h, int level)
{
        return level == 0 ? 2 * h->params.m : h->params.m;
}

static inline bool is_deleted(const struct hnsw *h, uint32_t id)
{
        return (list_of(h, id, 0)->flags & HNSW_DELETED) != 0;
}

#define SPINS 200

static inline void element_lock(struct hnsw *h, uint32_t id)
{
        if (!h->is_shared)
                return;
        for (unsigned spins = 0; atomic_exchange_explicit(&h->locks[id], 1, memory_order_acquire) != 0; spins++)
                while (atomic_load_explicit(&h->locks[id], memory_order_relaxed) != 0)
                        if (++spins > SPINS)
                                (void) sched_yield();
}

static inline void element_unlock(struct hnsw *h, uint32_t id)
{
        if (h->is_shared)
                atomic_store_explicit(&h->locks[id], 0, memory_order_release);
}

/* Memory of a thread that searches or inserts, made once: nothing is allocated for an element. */
struct search_memory {
        struct visited visited;
        struct heap found; /* W: the results, the farthest on top */
        struct heap
                pending; /* C: to be looked at, the nearest on top (negative distances); there is room for every element, once */
        uint32_t *ids;   /* of a list that is being looked at */
        const float **vectors;      /* of them */
        float *distances;           /* to them */
        struct candidate *sorted;   /* the candidates of a selection, nearest first */
        struct candidate *chosen;   /* neighbours of a new element */
        const float **kept_vectors; /* what a selection has kept: those that were not kept before */
        const float **old_vectors;  /* and those that were */
        struct heap others;         /* candidates of a neighbour whose list is full */
        uint32_t *around;           /* what an update looks at */
        float *query;               /* a normalised copy */
        float length;               /* the norm of what was normalised */
};

/* For searches with up to `ef`, as long as the capacity is what it is. NULL: no memory; later nothing can fail for want of it. */
struct search_memory *search_memory_new(const struct hnsw *h, uint32_t ef);
struct search_memory *search_memory_free(struct search_memory *memory);
DEFINE_CLEANUP(struct search_memory *, search_memory_free)

/* The vector as it is stored: itself, or its normalised copy, and its length, in `memory`. */
const float *search_query(const struct hnsw *h, struct search_memory *memory, const float *vector);

/* Fetches the beginning of a vector into the cache. */
void prefetch_vector(const struct hnsw *h, const float *vector);

/* memory->distances of a vector to memory->vectors[0 .. count), which are fetched ahead. */
void measure(const struct hnsw *h, struct search_memory *memory, const float *query, size_t count);

/* From `from` down to level `to` + 1: the nearest that steps to a nearer neighbour lead to. */
uint32_t search_descend(struct hnsw *h, struct search_memory *memory, const float *query, uint32_t from, int from_level,
                        int to_level);

/* hnswlib's searchBaseLayer: memory->found gets at most ef elements that are not deleted. */
void search_layer(struct hnsw *h, struct search_memory *memory, const float *query, uint32_t from, int level, uint32_t ef);

/* hnswlib's getNeighborsByHeuristic2: of the candidates in `heap`, which are at a distance from one point, keeps at most `most`. The heap is as it leaves it.
   `old` are some of which it is known that none covers another. Returns how many were kept, or 0 when nothing was selected since there was room for all. */
size_t select_neighbours(struct hnsw *h, struct search_memory *memory, struct heap *heap, uint32_t most, const uint32_t *old,
                         size_t old_count);

/* hnswlib's mutuallyConnectNewElement on one level, with the candidates in memory->found, which it uses up. Returns the next entry point, or HNSW_NONE. */
uint32_t connect_element(struct hnsw *h, struct search_memory *memory, uint32_t id, int level, bool is_update);

struct top { /* where searches begin */
        uint32_t entry_point;
        int level;
};

/* Searches from the top and connects the element on its levels. One that is there already (is_update) is no candidate itself. */
void link_element(struct hnsw *h, struct search_memory *memory, uint32_t id, struct top top, bool is_update);

/* Memory for relink_surroundings(). False: none. */
bool reserve_around(const struct hnsw *h, struct search_memory *memory);

/* The links of the elements around one whose vector has changed. */
void relink_surroundings(struct hnsw *h, struct search_memory *memory, uint32_t id, int level);

/* The rest of an insertion, when record, level and lists are there: it gets its links. */
void insert_element(struct hnsw *h, struct search_memory *memory, uint32_t id);

#endif
