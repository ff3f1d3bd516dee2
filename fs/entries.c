#include "fs/entries.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct entries_cache {
        const struct options *options;
        pthread_mutex_t mutex;
        struct entries *last;
};

struct entries_cache *entries_cache_new(const struct options *options)
{
        struct entries_cache *cache = calloc(1, sizeof(*cache));
        if (cache == NULL)
                return NULL;
        cache->options = options;
        (void) pthread_mutex_init(&cache->mutex, NULL);
        return cache;
}

struct entries_cache *entries_cache_free(struct entries_cache *cache)
{
        if (cache == NULL)
                return NULL;
        (void) entries_put(cache->last);
        (void) pthread_mutex_destroy(&cache->mutex);
        free(cache);
        return NULL;
}

static void entries_destroy(struct result *shared)
{
        struct entries *entries = (struct entries *) shared;
        for (size_t i = 0; i < entries->count; i++) {
                free(entries->by_id[i].name);
                free(entries->by_id[i].short_name);
        }
        free(entries->by_id);
        free(entries->by_name);
        (void) view_put(entries->view);
        free(entries);
}

static bool is_skipped(const struct options *options, const struct collection *collection)
{
        char entry[ENTRY_SIZE];
        entry_of_collection(collection, entry);
        for (size_t i = 0; i < options->skip_count; i++)
                if (text_equal(&collection->name, &options->skip[i].name) || strcmp(entry, options->skip[i].entry) == 0)
                        return true;
        return false;
}

static bool name_entry(const struct options *options, struct entry *entry, size_t number)
{
        char name[ENTRY_SIZE], short_name[ENTRY_SIZE];
        entry_of_collection(entry->collection, name);
        if (!entry_encode(&entry->collection->name, ENTRY_NAME, short_name, sizeof(short_name)))
                entry_of_id(&entry->collection->id, short_name);
        if (options->privacy) {
                (void) snprintf(name, sizeof(name), "c%zu", number);
                memcpy(short_name, name, sizeof(name));
        }
        entry->name = strdup(name);
        entry->short_name = strdup(short_name);
        return entry->name != NULL && entry->short_name != NULL;
}

static int compare_names(const void *a, const void *b)
{
        const struct entry *const *x = a, *const *y = b;
        int order = strcmp((*x)->name, (*y)->name);
        return order != 0 ? order : strcmp((*x)->collection->id.bytes, (*y)->collection->id.bytes);
}

/* From the end, so that the first of several keeps the name. */
static bool rename_duplicates(struct entries *entries)
{
        bool found = false;
        for (size_t i = entries->count; i-- > 1;) {
                if (strcmp(entries->by_name[i - 1]->name, entries->by_name[i]->name) != 0)
                        continue;
                struct entry *entry = &entries->by_id[entries->by_name[i] - entries->by_id];
                char name[ENTRY_SIZE];
                entry_of_id(&entry->collection->id, name);
                char *copy = strdup(name), *short_copy = strdup(name);
                if (copy == NULL || short_copy == NULL) {
                        free(copy);
                        free(short_copy);
                        return false;
                }
                free(entry->name);
                free(entry->short_name);
                entry->name = copy;
                entry->short_name = short_copy;
                found = true;
        }
        if (found)
                qsort(entries->by_name, entries->count, sizeof(*entries->by_name), compare_names);
        return true;
}

static bool fill(struct entries *entries, const struct options *options, const struct catalog *catalog)
{
        entries->by_id = calloc(catalog->collection_count + 1, sizeof(*entries->by_id));
        entries->by_name = calloc(catalog->collection_count + 1, sizeof(*entries->by_name));
        if (entries->by_id == NULL || entries->by_name == NULL)
                return false;
        for (size_t i = 0; i < catalog->collection_count; i++) {
                const struct text *id = &catalog->collections[i].id;
                bool again = i > 0 && text_equal(id, &catalog->collections[i - 1].id);
                bool possible = id->len > 0 && id->len <= ENTRY_ID_MAX && strlen(id->bytes) == id->len;
                if (again || !possible || is_skipped(options, &catalog->collections[i]))
                        continue;
                struct entry *entry = &entries->by_id[entries->count];
                entry->collection = &catalog->collections[i];
                entries->by_name[entries->count] = entry;
                if (!name_entry(options, entry, ++entries->count))
                        return false;
        }
        qsort(entries->by_name, entries->count, sizeof(*entries->by_name), compare_names);
        return rename_duplicates(entries);
}

static struct entries *entries_new(const struct options *options, struct view *view)
{
        struct entries *entries = calloc(1, sizeof(*entries));
        if (entries == NULL)
                return NULL;
        result_init(&entries->shared, entries_destroy);
        entries->view = view_get(view);
        return fill(entries, options, view->catalog) ? entries : entries_put(entries);
}

struct entries *entries_get(struct entries_cache *cache, struct view *view)
{
        struct entries *entries = NULL;
        (void) pthread_mutex_lock(&cache->mutex);
        if (cache->last == NULL || cache->last->view->generation != view->generation) {
                (void) entries_put(cache->last);
                cache->last = entries_new(cache->options, view);
        }
        if (cache->last != NULL)
                entries = (struct entries *) result_get(&cache->last->shared);
        (void) pthread_mutex_unlock(&cache->mutex);
        return entries;
}

struct entries *entries_put(struct entries *entries)
{
        if (entries != NULL)
                (void) result_put(&entries->shared);
        return NULL;
}

static int compare_id(const void *key, const void *element)
{
        return strcmp(key, ((const struct entry *) element)->collection->id.bytes);
}

const struct entry *entries_by_id(const struct entries *entries, const char *collection_id)
{
        return bsearch(collection_id, entries->by_id, entries->count, sizeof(*entries->by_id), compare_id);
}

static int compare_name(const void *key, const void *element)
{
        return strcmp(key, (*(const struct entry *const *) element)->name);
}

const struct entry *entries_by_name(const struct entries *entries, const char *name)
{
        const struct entry **found = bsearch(name, entries->by_name, entries->count, sizeof(*entries->by_name), compare_name);
        return found != NULL ? *found : NULL;
}
