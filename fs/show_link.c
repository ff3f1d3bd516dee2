/* Links: how deep a link lies says where its target is. */
#include <errno.h>

#include "fs/facts.h"
#include "fs/show.h"
#include "fs/tree.h"

int show_link_to_collection(struct request *request, const struct node *node, struct text *ret)
{
        bool by_id = node->type == &tree_id_link || node->type == &tree_collection_link;
        const struct segment *segment = by_id ? NULL : node_segment(request, node);
        const char *id = segment != NULL && segment->collection != NULL ? segment->collection->id.bytes : node->a;
        const struct entry *entry = entries_by_id(request->entries, id);
        if (entry == NULL)
                return -ENOENT;
        const char *up = node->type == &tree_id_link ? "../" : node->type == &tree_collection_link ? "../../../" : "../../";
        return show_line(ret, "%scollections/%s", up, entry->name);
}

int show_link_to_segment(struct request *request, const struct node *node, struct text *ret)
{
        (void) request;
        return show_line(ret, "../../../segments/%s", node->a);
}
