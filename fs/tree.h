/*
 * The tree: one row per kind of node. `tree_root` is the mount point.
 */
#ifndef FS_TREE_H
#define FS_TREE_H

#include "fs/node.h"

extern const struct node_type tree_root, tree_collection, tree_collection_link, tree_id_link, tree_tenant, tree_database,
        tree_segment, tree_segment_link, tree_segment_file, tree_orphan;

#endif
