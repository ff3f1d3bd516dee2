/*
 * The steps of catalog_read(), in the order in which it takes them. Each adds to the catalog, and leaves to catalog_free() what it has
 * added when it fails. All run inside one read transaction.
 */
#ifndef OPS_CATALOG_PARTS_H
#define OPS_CATALOG_PARTS_H

#include "ops/catalog.h"
#include "ops/row_reader.h"

/* catalog_names.c: the databases are sorted by id until the collections have found theirs. */
int catalog_read_tenants(struct row_reader *reader, struct catalog *c);
int catalog_read_databases(struct row_reader *reader, struct catalog *c);
int catalog_read_collections(struct row_reader *reader, struct catalog *c);
void catalog_sort_databases(struct catalog *c);

/* catalog_segments.c */
int catalog_read_segments(struct row_reader *reader, struct catalog *c);
int catalog_read_positions(struct row_reader *reader, struct catalog *c);

/* catalog_state.c */
int catalog_read_state(struct row_reader *reader, struct catalog *c);
int catalog_read_fts(struct row_reader *reader, struct catalog *c);
int catalog_check_schema(struct row_reader *reader, struct catalog *c);

/* The first of the items with this id, in an array sorted by id whose items begin with it; NULL when there is none. */
const void *catalog_find(const void *items, size_t count, size_t size, const struct text *id);

#endif
