/*
 * tenants/<tenant>/<database>/<collection>: those of the tables, and those that only collections name (versions without such tables, or a
 * damaged one).
 */
#include <errno.h>
#include <string.h>
#include <uthash.h>

#include "fs/dirs.h"
#include "fs/tree.h"

struct seen { /* names already listed */
        UT_hash_handle hh;
        char name[];
};

static void seen_clear(struct seen **all)
{
        struct seen *s, *next;
        HASH_ITER(hh, *all, s, next)
        {
                HASH_DEL(*all, s);
                free(s);
        }
}

static bool seen_before(struct seen **all, const char *name)
{
        struct seen *s;
        HASH_FIND_STR(*all, name, s);
        if (s != NULL)
                return true;
        size_t len = strlen(name);
        s = malloc(sizeof(*s) + len + 1);
        if (s == NULL)
                return false;
        memcpy(s->name, name, len + 1);
        HASH_ADD_KEYPTR(hh, *all, s->name, len, s);
        return false;
}

static bool has_name(const struct text *text, const char *name)
{
        char encoded[ENTRY_SIZE];
        entry_of_text(text, ENTRY_SCOPE, encoded);
        return strcmp(encoded, name) == 0;
}

static int emit_once(struct seen **seen, const struct text *text, node_emit *emit, void *context)
{
        char encoded[ENTRY_SIZE];
        entry_of_text(text, ENTRY_SCOPE, encoded);
        return seen_before(seen, encoded) ? 0 : emit(context, encoded, NODE_DIR);
}

int tenants_list(struct request *request, const struct node *node, node_emit *emit, void *context)
{
        (void) node;
        const struct catalog *catalog = request->view->catalog;
        struct seen *seen = NULL;
        int r = 0;
        for (size_t i = 0; r == 0 && i < catalog->tenant_count; i++)
                r = emit_once(&seen, &catalog->tenants[i], emit, context);
        for (size_t i = 0; r == 0 && i < catalog->database_count; i++)
                r = emit_once(&seen, &catalog->databases[i].tenant, emit, context);
        for (size_t i = 0; r == 0 && i < request->entries->count; i++)
                r = emit_once(&seen, &request->entries->by_id[i].collection->tenant, emit, context);
        seen_clear(&seen);
        return r;
}

int tenants_find(struct request *request, const struct node *node, const char *name, struct node *ret)
{
        (void) node;
        const struct catalog *catalog = request->view->catalog;
        bool there = false;
        for (size_t i = 0; !there && i < catalog->tenant_count; i++)
                there = has_name(&catalog->tenants[i], name);
        for (size_t i = 0; !there && i < catalog->database_count; i++)
                there = has_name(&catalog->databases[i].tenant, name);
        for (size_t i = 0; !there && i < request->entries->count; i++)
                there = has_name(&request->entries->by_id[i].collection->tenant, name);
        return there && node_set(ret, &tree_tenant, name, "") ? 0 : -ENOENT;
}

int tenant_list(struct request *request, const struct node *node, node_emit *emit, void *context)
{
        const struct catalog *catalog = request->view->catalog;
        struct seen *seen = NULL;
        int r = 0;
        for (size_t i = 0; r == 0 && i < catalog->database_count; i++)
                if (has_name(&catalog->databases[i].tenant, node->a))
                        r = emit_once(&seen, &catalog->databases[i].name, emit, context);
        for (size_t i = 0; r == 0 && i < request->entries->count; i++) {
                const struct collection *collection = request->entries->by_id[i].collection;
                if (has_name(&collection->tenant, node->a))
                        r = emit_once(&seen, &collection->database, emit, context);
        }
        seen_clear(&seen);
        return r;
}

int tenant_find(struct request *request, const struct node *node, const char *name, struct node *ret)
{
        const struct catalog *catalog = request->view->catalog;
        bool there = false;
        for (size_t i = 0; !there && i < catalog->database_count; i++)
                there = has_name(&catalog->databases[i].tenant, node->a) && has_name(&catalog->databases[i].name, name);
        for (size_t i = 0; !there && i < request->entries->count; i++) {
                const struct collection *collection = request->entries->by_id[i].collection;
                there = has_name(&collection->tenant, node->a) && has_name(&collection->database, name);
        }
        return there && node_set(ret, &tree_database, node->a, name) ? 0 : -ENOENT;
}

static bool in_database(const struct entry *entry, const struct node *node)
{
        return has_name(&entry->collection->tenant, node->a) && has_name(&entry->collection->database, node->b);
}

int database_list(struct request *request, const struct node *node, node_emit *emit, void *context)
{
        int r = 0;
        for (size_t i = 0; r == 0 && i < request->entries->count; i++) {
                const struct entry *entry = &request->entries->by_id[i];
                if (in_database(entry, node))
                        r = emit(context, entry->short_name, NODE_LINK);
        }
        return r;
}

int database_find(struct request *request, const struct node *node, const char *name, struct node *ret)
{
        for (size_t i = 0; i < request->entries->count; i++) {
                const struct entry *entry = &request->entries->by_id[i];
                if (strcmp(entry->short_name, name) == 0 && in_database(entry, node))
                        return node_set(ret, &tree_collection_link, entry->collection->id.bytes, "") ? 0 : -ENOENT;
        }
        return -ENOENT;
}
