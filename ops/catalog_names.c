/*
 * Tenants, databases and collections.
 *
 * sysdb/4 brought tenants and databases; before it there is one of each, by the names that the migration gives them. Names and ids are any
 * bytes. `collections.id` is a primary key of type TEXT, which SQLite lets be NULL, and a file made by hand may repeat: both are kept, and
 * sorted by all that a row has, so that the same file always gives the same catalog.
 */
#include "ops/catalog_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The first release of the migration list sysdb with tables `tenants` and `databases`, and column `collections.database_id`. */
#define SYSDB_TENANTS 4

static int set_literal(struct row_reader *reader, struct text *ret, const char *literal)
{
        return text_copy(ret, literal, strlen(literal)) < 0 ? error_set(reader->e, ENOMEM, "no memory") : 0;
}

static int compare_texts(const void *a, const void *b)
{
        return text_compare(a, b);
}

static int compare_databases_by_id(const void *a, const void *b)
{
        const struct database *x = a, *y = b;
        int order = text_compare(&x->id, &y->id);
        order = order != 0 ? order : text_compare(&x->tenant, &y->tenant);
        return order != 0 ? order : text_compare(&x->name, &y->name);
}

static int compare_databases(const void *a, const void *b)
{
        const struct database *x = a, *y = b;
        int order = text_compare(&x->tenant, &y->tenant);
        order = order != 0 ? order : text_compare(&x->name, &y->name);
        return order != 0 ? order : text_compare(&x->id, &y->id);
}

static int compare_collections(const void *a, const void *b)
{
        const struct collection *x = a, *y = b;
        int order = text_compare(&x->id, &y->id);
        order = order != 0 ? order : text_compare(&x->tenant, &y->tenant);
        order = order != 0 ? order : text_compare(&x->database, &y->database);
        return order != 0 ? order : text_compare(&x->name, &y->name);
}

static void sort(void *items, size_t count, size_t size, int (*compare)(const void *, const void *))
{
        if (count > 1)
                qsort(items, count, size, compare);
}

void catalog_sort_databases(struct catalog *c)
{
        sort(c->databases, c->database_count, sizeof *c->databases, compare_databases);
}

static int add_tenant(struct row_reader *reader, struct catalog *c, struct text **ret)
{
        int r = row_grow(reader, &c->tenants, c->tenant_count, sizeof *c->tenants);
        if (r == 0)
                *ret = &c->tenants[c->tenant_count++];
        return r;
}

int catalog_read_tenants(struct row_reader *reader, struct catalog *c)
{
        struct text *tenant = NULL;
        CLEANUP(row_scan)
        struct row_scan rows = { 0 };
        int r = db_has_table(reader->db, "tenants", reader->e);
        if (r == 0) {
                if (c->version.sysdb >= SYSDB_TENANTS)
                        return 0; /* catalog_check_schema reports it */
                r = add_tenant(reader, c, &tenant);
                return r < 0 ? r : set_literal(reader, tenant, CATALOG_DEFAULT_TENANT);
        }
        row_scan_begin(&rows, reader, "tenants", (const char *const[ROW_SCAN_COLUMNS]){ "id" }, INT64_MIN);
        while (r >= 0 && (r = row_scan_next(&rows)) > 0) {
                r = add_tenant(reader, c, &tenant);
                if (r == 0)
                        r = row_scan_text(&rows, 0, tenant);
        }
        if (r == 0)
                sort(c->tenants, c->tenant_count, sizeof *c->tenants, compare_texts);
        return r;
}

static int add_default_database(struct row_reader *reader, struct catalog *c)
{
        int r = row_grow(reader, &c->databases, c->database_count, sizeof *c->databases);
        if (r < 0)
                return r;
        struct database *database = &c->databases[c->database_count++];
        r = set_literal(reader, &database->id, "");
        if (r == 0)
                r = set_literal(reader, &database->name, CATALOG_DEFAULT_DATABASE);
        return r < 0 ? r : set_literal(reader, &database->tenant, CATALOG_DEFAULT_TENANT);
}

static int add_database(struct row_reader *reader, struct catalog *c, struct row_scan *row)
{
        int r = row_grow(reader, &c->databases, c->database_count, sizeof *c->databases);
        if (r < 0)
                return r;
        struct database *database = &c->databases[c->database_count++];
        r = row_scan_text(row, 0, &database->id);
        if (r == 0)
                r = row_scan_text(row, 1, &database->name);
        return r < 0 ? r : row_scan_text(row, 2, &database->tenant);
}

int catalog_read_databases(struct row_reader *reader, struct catalog *c)
{
        CLEANUP(row_scan)
        struct row_scan rows = { 0 };
        int r = db_has_table(reader->db, "databases", reader->e);
        if (r == 0)
                return c->version.sysdb >= SYSDB_TENANTS ? 0 : add_default_database(reader, c);
        row_scan_begin(&rows, reader, "databases", (const char *const[ROW_SCAN_COLUMNS]){ "id", "name", "tenant_id" }, INT64_MIN);
        while (r >= 0 && (r = row_scan_next(&rows)) > 0)
                r = add_database(reader, c, &rows);
        if (r == 0)
                sort(c->databases, c->database_count, sizeof *c->databases, compare_databases_by_id);
        return r;
}

/* Names the database and tenant that a collection's database_id leads to; "" for both when it leads nowhere. */
static int find_database(struct row_reader *reader, const struct catalog *c, struct collection *collection, struct row_scan *row)
{
        CLEANUP(free)
        char *bytes = NULL;
        struct text id = { NULL, 0 };
        int r = row_scan_text(row, 3, &id);
        if (r < 0)
                return r;
        bytes = id.bytes;
        const struct database *database = NULL;
        if (sqlite3_column_type(row->row, 3) != SQLITE_NULL) /* NULL is no database, even when some database's id is NULL as well */
                database = catalog_find(c->databases, c->database_count, sizeof *c->databases, &id);
        const struct text none = { (char[]){ "" }, 0 };
        const struct text *name = database != NULL ? &database->name : &none;
        const struct text *tenant = database != NULL ? &database->tenant : &none;
        if (text_copy(&collection->database, name->bytes, name->len) < 0 ||
            text_copy(&collection->tenant, tenant->bytes, tenant->len) < 0)
                return error_set(reader->e, ENOMEM, "no memory");
        return 0;
}

static int read_collection(struct row_reader *reader, const struct catalog *c, struct collection *collection, struct row_scan *row,
                           bool has_database)
{
        int r = row_scan_text(row, 0, &collection->id);
        if (r == 0)
                r = row_scan_text(row, 1, &collection->name);
        if (r == 0 && has_database)
                return find_database(reader, c, collection, row);
        if (r == 0)
                r = set_literal(reader, &collection->tenant, CATALOG_DEFAULT_TENANT);
        return r < 0 ? r : set_literal(reader, &collection->database, CATALOG_DEFAULT_DATABASE);
}

static int add_collection(struct row_reader *reader, struct catalog *c, struct row_scan *row, bool has_database)
{
        int r = row_grow(reader, &c->collections, c->collection_count, sizeof *c->collections);
        if (r < 0)
                return r;
        struct collection *collection = &c->collections[c->collection_count++];
        r = read_collection(reader, c, collection, row, has_database);
        if (r < 0)
                return r;
        collection->id_is_uuid = collection->id.len == 36 && uuid_valid(collection->id.bytes);
        collection->has_dimension = sqlite3_column_type(row->row, 2) == SQLITE_INTEGER;
        collection->dimension = collection->has_dimension ? sqlite3_column_int64(row->row, 2) : 0;
        return 0;
}

/* With the columns that this version has: NULL stands for one that it lacks. */
static int begin_collections(struct row_reader *reader, struct row_scan *ret, bool *ret_has_database)
{
        int dimension = db_has_column(reader->db, "collections", "dimension", reader->e);
        if (dimension < 0)
                return dimension;
        int database = db_has_column(reader->db, "collections", "database_id", reader->e);
        if (database < 0)
                return database;
        const char *const columns[ROW_SCAN_COLUMNS] = { "id", "name", dimension > 0 ? "dimension" : "NULL",
                                                        database > 0 ? "database_id" : "NULL" };
        row_scan_begin(ret, reader, "collections", columns, INT64_MIN);
        *ret_has_database = database > 0;
        return 0;
}

int catalog_read_collections(struct row_reader *reader, struct catalog *c)
{
        CLEANUP(row_scan)
        struct row_scan rows = { 0 };
        bool has_database = false;
        int r = begin_collections(reader, &rows, &has_database);
        while (r >= 0 && (r = row_scan_next(&rows)) > 0)
                r = add_collection(reader, c, &rows, has_database);
        if (r == 0)
                sort(c->collections, c->collection_count, sizeof *c->collections, compare_collections);
        return r;
}
