/*
 * Directories whose entries come from the persist directory: list and find functions of the node table (see struct node_type in fs/node.h).
 */
#ifndef FS_DIRS_H
#define FS_DIRS_H

#include "fs/node.h"

#define DIR_FUNCTIONS(name)                                                                                                        \
        int name##_list(struct request *request, const struct node *node, node_emit *emit, void *context);                         \
        int name##_find(struct request *request, const struct node *node, const char *name_, struct node *ret)

DIR_FUNCTIONS(collections);         /* collections/ */
DIR_FUNCTIONS(by_id);               /* by-id/ */
DIR_FUNCTIONS(tenants);             /* tenants/ */
DIR_FUNCTIONS(tenant);              /* tenants/<tenant>/ */
DIR_FUNCTIONS(database);            /* tenants/<tenant>/<database>/ */
DIR_FUNCTIONS(segments);            /* segments/ */
DIR_FUNCTIONS(collection_segments); /* collections/<entry>/segments/ */
DIR_FUNCTIONS(segment_files);       /* segments/<id>/files/ */
DIR_FUNCTIONS(orphans);             /* orphans/ */

#endif
