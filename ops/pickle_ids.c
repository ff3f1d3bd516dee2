#include "ops/pickle_ids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare_places(const void *a, const void *b)
{
        const struct pickle_id *x = a, *y = b;
        return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int compare_bytes(const struct pickle_id *x, const struct pickle_id *y)
{
        int order = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);
        return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static int compare_refs(const void *a, const void *b)
{
        return compare_bytes(a, b);
}

static int twice(const char *bytes, const struct pickle_id *id, struct error *e)
{
        return error_set(e, EILSEQ, PICKLE_FILE ": byte %zu: an id is there twice", (size_t) (id->bytes - bytes));
}

/* Sorts a run of ids with one hash by bytes, and finds equal ones: by place first, so that no long string is compared with itself. */
static int sort_run(const char *bytes, struct pickle_id *ids, size_t count, struct error *e)
{
        qsort(ids, count, sizeof(*ids), compare_places);
        for (size_t i = 1; i < count; i++)
                if (ids[i].bytes == ids[i - 1].bytes && ids[i].len == ids[i - 1].len)
                        return twice(bytes, &ids[i], e);
        qsort(ids, count, sizeof(*ids), compare_refs);
        for (size_t i = 1; i < count; i++)
                if (compare_bytes(&ids[i - 1], &ids[i]) == 0)
                        return twice(bytes, &ids[i], e);
        return 0;
}

int pickle_ids_sort(const char *bytes, const struct pickle_dict *dict, struct key_index *order, struct key_index *scratch,
                    struct pickle_id **ret, struct error *e)
{
        CLEANUP(free)
        struct pickle_id *ids = reallocarray(NULL, dict->count + 1, sizeof(*ids));
        if (ids == NULL)
                return error_set(e, ENOMEM, "no memory for " PICKLE_FILE);
        for (size_t i = 0; i < dict->count; i++)
                order[i] = (struct key_index){ .key = dict->pairs[i].key.string.hash, .index = i };
        key_sort(order, scratch, dict->count);
        size_t run = 0; /* where the run of equal hashes began */
        for (size_t i = 0; i < dict->count; i++) {
                const struct pickle_value *id = &dict->pairs[order[i].index].key;
                ids[i] = (struct pickle_id){ bytes + id->at, id->string.len, id->string.hash, order[i].index };
                bool run_ends = i + 1 == dict->count || order[i + 1].key != order[i].key;
                if (run_ends && i > run && sort_run(bytes, ids + run, i - run + 1, e) < 0)
                        return -EILSEQ;
                if (run_ends)
                        run = i + 1;
        }
        *ret = TAKE(ids);
        return 0;
}

int pickle_id_compare(const struct pickle_id *x, const struct pickle_id *y)
{
        if (x->hash != y->hash)
                return x->hash < y->hash ? -1 : 1;
        return x->bytes == y->bytes && x->len == y->len ? 0 : compare_bytes(x, y);
}
