#include "fs/present.h"

#include "fs/dirs.h"

bool is_not_private(struct request *request, const struct node *node)
{
        (void) node;
        return !request->mount->options->privacy;
}

bool is_collection(struct request *request, const struct node *node)
{
        return node_collection(request, node) != NULL;
}

bool is_segment(struct request *request, const struct node *node)
{
        return node_segment(request, node) != NULL;
}

bool is_orphan(struct request *request, const struct node *node)
{
        struct node found;
        return orphans_find(request, node, node->a, &found) == 0;
}

bool is_tenant(struct request *request, const struct node *node)
{
        struct node found;
        return is_not_private(request, node) && tenants_find(request, node, node->a, &found) == 0;
}

bool is_database(struct request *request, const struct node *node)
{
        struct node found;
        return is_tenant(request, node) && tenant_find(request, node, node->b, &found) == 0;
}

bool has_collection(struct request *request, const struct node *node)
{
        const struct segment *segment = node_segment(request, node);
        return segment != NULL && segment->collection != NULL;
}

bool has_files(struct request *request, const struct node *node)
{
        const struct segment *segment = node_segment(request, node);
        if (segment == NULL || segment->scope != SCOPE_VECTOR || request->mount->options->privacy)
                return false;
        struct file_stamp stamp = file_stamp_at(observer_dirfd(request->mount->observer), segment->id.bytes);
        return stamp.present && S_ISDIR(stamp.mode);
}
