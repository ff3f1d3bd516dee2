/*
 * Whether a node exists: "files whose subject is missing are missing" (see `present` in struct node_type).
 */
#ifndef FS_PRESENT_H
#define FS_PRESENT_H

#include "fs/node.h"

bool has_check(struct request *request, const struct node *node);         /* a vector segment whose directory is there */
bool has_collection(struct request *request, const struct node *node);    /* the segment belongs to one that is shown */
bool has_files(struct request *request, const struct node *node);         /* the segment has a directory, and may show it */
bool has_fts(struct request *request, const struct node *node);           /* there is a full-text table */
bool has_labels(struct request *request, const struct node *node);        /* a vector segment with an index */
bool has_parameter(struct request *request, const struct node *node);     /* the version has the parameter of the node's name */
bool has_purge(struct request *request, const struct node *node);         /* the version has the setting */
bool has_segment_value(struct request *request, const struct node *node); /* the segment has the value of the node's name */
bool is_collection(struct request *request, const struct node *node);     /* there is a collection with the node's entry */
bool is_database(struct request *request, const struct node *node);       /* there is the tenant's database */
bool is_orphan(struct request *request, const struct node *node);         /* there is the directory, and no segment has its name */
bool is_segment(struct request *request, const struct node *node);        /* there is a segment with the node's id */
bool is_tenant(struct request *request, const struct node *node);         /* there is the tenant */
bool is_not_private(struct request *request, const struct node *node);    /* no -o privacy */

#endif
