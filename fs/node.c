#include "fs/node.h"

#include <errno.h>
#include <string.h>

static bool set_key(char key[NODE_KEY_SIZE], const char *value)
{
        size_t len = strlen(value);
        if (len >= NODE_KEY_SIZE)
                return false;
        memset(key, 0, NODE_KEY_SIZE);
        memcpy(key, value, len);
        return true;
}

bool node_set(struct node *node, const struct node_type *type, const char *a, const char *b)
{
        node->type = type;
        return set_key(node->a, a) && set_key(node->b, b);
}

bool node_exists(struct request *request, const struct node *node)
{
        if (node->type->present == NULL)
                return true;
        return (!node->type->viewless && request_need(request) < 0) || node->type->present(request, node);
}

int node_find(struct request *request, const struct node *parent, const char *name, struct node *ret)
{
        if (!node_exists(request, parent))
                return -ENOENT;
        const struct node_type *const *entries = parent->type->entries;
        for (; entries != NULL && *entries != NULL; entries++) {
                if (strcmp((*entries)->name, name) != 0)
                        continue;
                struct node child = *parent;
                child.type = *entries;
                if (!node_exists(request, &child))
                        return -ENOENT;
                *ret = child;
                return 0;
        }
        if (parent->type->find == NULL)
                return -ENOENT;
        int r = request_need(request);
        return r < 0 ? r : parent->type->find(request, parent, name, ret);
}

int node_list(struct request *request, const struct node *node, node_emit *emit, void *context)
{
        if (!node_exists(request, node))
                return -ENOENT;
        const struct node_type *const *entries = node->type->entries;
        for (; entries != NULL && *entries != NULL; entries++) {
                struct node child = *node;
                child.type = *entries;
                int r = node_exists(request, &child) ? emit(context, child.type->name, child.type->kind) : 0;
                if (r != 0)
                        return r;
        }
        if (node->type->list == NULL)
                return 0;
        int r = request_need(request);
        return r < 0 ? r : node->type->list(request, node, emit, context);
}

const struct collection *node_collection(const struct request *request, const struct node *node)
{
        const struct entry *entry = entries_by_name(request->entries, node->a);
        return entry != NULL ? entry->collection : NULL;
}

const struct segment *node_segment(const struct request *request, const struct node *node)
{
        const struct segment *segment = catalog_segment(request->view->catalog, node->a);
        if (segment == NULL || !segment->id_is_uuid)
                return NULL;
        bool hidden = segment->collection != NULL && entries_by_id(request->entries, segment->collection->id.bytes) == NULL;
        return hidden ? NULL : segment;
}

bool is_owned(const struct segment *segment)
{
        const struct collection *c = segment->collection;
        return c != NULL && (c->vector == segment || c->metadata == segment);
}

const struct segment *node_index(const struct request *request, const struct node *node)
{
        const struct segment *segment = NULL;
        if ((node->type->sources & FROM_INDEX) != 0) {
                segment = node_segment(request, node);
        } else if ((node->type->sources & FROM_COLLECTION_INDEX) != 0) {
                const struct collection *collection = node_collection(request, node);
                segment = collection != NULL ? collection->vector : NULL;
        }
        return segment != NULL && segment->id_is_uuid && segment->scope == SCOPE_VECTOR ? segment : NULL;
}
