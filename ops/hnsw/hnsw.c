#include "ops/hnsw/hnsw.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/hnsw/graph.h"

/* --- room --- */

static int check_params(const struct hnsw_params *p, struct error *e)
{
        if (p->dimension < 1 || p->dimension > HNSW_DIMENSION_MAX)
                return error_set(e, EINVAL, "dimension %u: an index has 1 to %u", p->dimension, HNSW_DIMENSION_MAX);
        if (p->m < 2 || p->m > HNSW_M_MAX)
                return error_set(e, EINVAL, "M %u: an index has 2 to %u", p->m, HNSW_M_MAX);
        if (p->ef_construction < 1 || p->ef_construction > INT32_MAX)
                return error_set(e, EINVAL, "ef_construction %u: it is 1 to %d", p->ef_construction, INT32_MAX);
        return 0;
}

static struct level_generator start_levels(const struct hnsw_params *p)
{
        double mult = 1 / log((double) p->m);
        return p->library == HNSW_PYTHON ? level_generator_start(100, 16807, mult) : level_generator_start(0, 48271, mult);
}

static void set_params(struct hnsw *h, const struct hnsw_params *params)
{
        h->params = *params;
        if (h->params.ef_construction < h->params.m)
                h->params.ef_construction = h->params.m;
        h->distances = hnsw_kernel_for(params->exact ? &hnsw_kernel_exact : hnsw_kernels()[0], params->space);
        h->levels = start_levels(params);
        h->data_offset = (size_t) 8 * params->m + 4;
        h->label_offset = h->data_offset + (size_t) 4 * params->dimension;
        h->record_size = h->label_offset + 8;
        h->upper_size = (size_t) 4 * params->m + 4;
        h->entry_point = HNSW_NO_ENTRY_POINT;
        h->max_level = -1;
}

/* A larger array with what was in it; what is new is 0. */
static bool grow(void *array, size_t item, uint64_t old_count, uint64_t count)
{
        unsigned char *bytes = realloc(*(void **) array, (size_t) count * item);
        if (bytes == NULL)
                return false;
        memset(bytes + (size_t) old_count * item, 0, (size_t) (count - old_count) * item);
        *(void **) array = bytes;
        return true;
}

static bool grow_tables(struct hnsw *h, uint64_t capacity)
{
        uint64_t old = h->capacity;
        return grow(&h->level, sizeof(*h->level), old, capacity) && grow(&h->upper, sizeof(*h->upper), old, capacity) &&
               grow(&h->locks, sizeof(*h->locks), old, capacity) && grow(&h->kept, sizeof(*h->kept), old, capacity) &&
               (h->params.space != SPACE_COSINE || grow(&h->length, sizeof(*h->length), old, capacity)) &&
               label_map_reserve(h, &h->labels, capacity);
}

static int set_capacity(struct hnsw *h, uint64_t capacity, struct error *e)
{
        if (capacity >= UINT32_MAX || capacity > SIZE_MAX / 2 / h->record_size)
                return error_set(e, ENOMEM, "%llu elements are more than an index can have", (unsigned long long) capacity);
        size_t size = (size_t) capacity * h->record_size;
        int r = h->records.bytes == NULL ? hnsw_room_open(h->params.stage_fd, size, &h->records, e)
                                         : hnsw_room_grow(&h->records, size, e);
        if (r < 0)
                return r;
        h->memory = search_memory_free(h->memory);
        if (!grow_tables(h, capacity))
                return error_set(e, ENOMEM, "no memory for the tables of an index of %llu elements", (unsigned long long) capacity);
        h->capacity = capacity;
        return 0;
}

int hnsw_new(const struct hnsw_params *params, uint64_t capacity, struct hnsw **ret, struct error *e)
{
        int r = check_params(params, e);
        if (r < 0)
                return r;
        CLEANUP(hnsw_free)
        struct hnsw *h = calloc(1, sizeof(*h));
        if (h == NULL)
                return error_set(e, ENOMEM, "no memory");
        (void) pthread_mutex_init(&h->top, NULL);
        h->records.fd = -1;
        set_params(h, params);
        r = set_capacity(h, capacity == 0 ? 1 : capacity, e);
        if (r < 0)
                return r;
        *ret = TAKE(h);
        return 0;
}

struct hnsw *hnsw_free(struct hnsw *h)
{
        if (h == NULL)
                return NULL;
        hnsw_room_close(&h->records);
        upper_free(h->upper_blocks);
        label_map_clear(&h->labels);
        (void) search_memory_free(h->memory);
        (void) pthread_mutex_destroy(&h->top);
        free(h->level);
        free(h->upper);
        free(h->length);
        free(h->kept);
        free(h->locks);
        free(h);
        return NULL;
}

int hnsw_reserve(struct hnsw *h, uint64_t more, struct error *e)
{
        if (more <= h->capacity - h->count)
                return 0;
        return set_capacity(h, more > UINT32_MAX ? more : h->count + more, e);
}

/* The owner's memory, made when it is needed first. NULL: no memory. */
struct search_memory *own_memory(struct hnsw *h)
{
        if (h->memory == NULL)
                h->memory = search_memory_new(h, h->params.ef_construction);
        return h->memory;
}

/* --- one element --- */

int hnsw_update(struct hnsw *h, uint64_t label, const float *vector, struct error *e)
{
        uint32_t id = hnsw_find(h, label);
        struct search_memory *m = own_memory(h);
        if (id == HNSW_NONE)
                return error_set(e, ENOENT, "the index has no label %llu", (unsigned long long) label);
        if (m == NULL || !reserve_around(h, m))
                return error_set(e, ENOMEM, "no memory for the update of an index of %llu elements", (unsigned long long) h->count);
        h->is_updated = true;
        struct list *own = list_of(h, id, 0);
        h->deleted -= (own->flags & HNSW_DELETED) != 0;
        own->flags &= (uint8_t) ~HNSW_DELETED;
        const float *stored = search_query(h, m, vector);
        memcpy(record_of(h, id) + h->data_offset, stored, h->params.dimension * sizeof(float));
        if (h->length != NULL)
                h->length[id] = m->length;
        if (h->count == 1)
                return 0;
        for (int level = 0; level <= h->level[id]; level++)
                relink_surroundings(h, m, id, level);
        link_element(h, m, id, (struct top){ h->entry_point, h->max_level }, true);
        return 0;
}

int hnsw_delete(struct hnsw *h, uint64_t label, struct error *e)
{
        uint32_t id = hnsw_find(h, label);
        if (id == HNSW_NONE || is_deleted(h, id))
                return error_set(e, ENOENT, "the index has no label %llu", (unsigned long long) label);
        list_of(h, id, 0)->flags |= HNSW_DELETED;
        h->deleted++;
        return 0;
}

/* --- what is there --- */

struct hnsw_info hnsw_info(const struct hnsw *h)
{
        return (struct hnsw_info){ .params = h->params,
                                   .count = h->count,
                                   .deleted = h->deleted,
                                   .capacity = h->capacity,
                                   .max_level = h->max_level,
                                   .entry_point = h->entry_point,
                                   .record_size = h->record_size,
                                   .upper_bytes = h->upper_bytes };
}

uint32_t hnsw_find(const struct hnsw *h, uint64_t label)
{
        return label_map_find(h, &h->labels, label);
}

uint64_t hnsw_label(const struct hnsw *h, uint32_t id)
{
        uint64_t label;
        memcpy(&label, record_of(h, id) + h->label_offset, sizeof(label));
        return label;
}

bool hnsw_is_deleted(const struct hnsw *h, uint32_t id)
{
        return is_deleted(h, id);
}

const float *hnsw_vector(const struct hnsw *h, uint32_t id)
{
        return vector_of(h, id);
}

float hnsw_length(const struct hnsw *h, uint32_t id)
{
        return h->length == NULL ? 0 : h->length[id];
}

const uint32_t *hnsw_links(const struct hnsw *h, uint32_t id, int level, uint32_t *ret_count)
{
        *ret_count = 0;
        if (level > h->level[id])
                return NULL;
        const struct list *list = list_of(h, id, level);
        *ret_count = list->count;
        return list->links;
}
