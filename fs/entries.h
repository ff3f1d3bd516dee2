/*
 * The entries of one view: which collections are shown (those that -o skip does not leave out), under which names.
 *
 * - Made once per view and shared; under -o privacy the names are c1, c2, … in the order of ids.
 * - Two collections that would have the same entry (a damaged table allows it) are told apart: the second has %id-<id>.
 * - A collection whose id can't be one (none, longer than ENTRY_ID_MAX bytes, with a NUL in it, or that of another one) has no entry.
 */
#ifndef FS_ENTRIES_H
#define FS_ENTRIES_H

#include "fs/entry.h"
#include "fs/options.h"
#include "ops/observer.h"

#define ENTRY_ID_MAX 200

struct entry {
        const struct collection *collection;
        char *name;       /* below collections/ */
        char *short_name; /* below tenants/<tenant>/<database>/ */
};

struct entries {
        struct result shared;
        struct view *view;
        struct entry *by_id; /* sorted by the collection's id */
        const struct entry **by_name;
        size_t count;
};

struct entries_cache;

struct entries_cache *entries_cache_new(const struct options *options);
struct entries_cache *entries_cache_free(struct entries_cache *cache);

/* The entries of the view: the caller puts them. NULL without memory. */
struct entries *entries_get(struct entries_cache *cache, struct view *view);
struct entries *entries_put(struct entries *entries); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct entries *, entries_put)

const struct entry *entries_by_id(const struct entries *entries, const char *collection_id);
const struct entry *entries_by_name(const struct entries *entries, const char *name);

#endif
