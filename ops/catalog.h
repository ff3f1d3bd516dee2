/*
 * What a persist directory contains, as its SQLite tables say at one moment: tenants, databases, collections, segments and positions.
 *
 * - A catalog is read in one short transaction and never changes afterwards; it owns all that it points to.
 * - It holds what names and paths are made of; what only one collection's info needs (metadata, configuration) is read on demand with
 *   collection_detail_read.
 * - Every Chroma's schema is read: columns and tables that a version lacks are absent values; ones that a known version must have and
 *   that are missing are -EILSEQ for `collections` and `segments`, and a finding (catalog.damage) for the others.
 * - Rows that refer to nothing (a segment of no collection, two segments of one scope) are kept and counted, never followed blindly.
 */
#ifndef OPS_CATALOG_H
#define OPS_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/db.h"
#include "ops/error.h"
#include "ops/text.h"
#include "ops/version.h"

#define CATALOG_DEFAULT_TENANT "default_tenant"
#define CATALOG_DEFAULT_DATABASE "default_database"

enum segment_scope { SCOPE_VECTOR, SCOPE_METADATA, SCOPE_OTHER };

struct collection;

struct segment {
        struct text id;
        bool id_is_uuid;  /* only then may the id be used as a directory's name */
        struct text type; /* urn:chroma:segment/… */
        struct text scope_text;
        enum segment_scope scope;
        struct text collection_id;           /* as stored, also when there is no such collection */
        const struct collection *collection; /* NULL: of no collection */
        bool has_position;
        uint64_t position; /* max_seq_id row: blob or integer decoded (FORMAT 2, 6) */
        bool position_bad; /* a row is there but is neither */
};

struct collection {
        struct text id;
        bool id_is_uuid;
        struct text name;
        struct text tenant;   /* CATALOG_DEFAULT_TENANT where the version has none */
        struct text database; /* name; "" when database_id leads nowhere */
        bool has_dimension;
        int64_t dimension;
        const struct segment *vector, *metadata; /* NULL when the row is missing */
        unsigned extra_segments;                 /* rows beyond one of each scope */
};

struct database {
        struct text id, name, tenant;
};

enum purge_setting { PURGE_UNKNOWN, PURGE_ABSENT, PURGE_ON, PURGE_OFF };

struct catalog {
        struct chroma_version version;
        struct text *tenants; /* sorted */
        size_t tenant_count;
        struct database *databases; /* sorted by tenant, name */
        size_t database_count;
        struct collection *collections; /* sorted by id */
        size_t collection_count;
        struct segment *segments; /* sorted by id */
        size_t segment_count;
        enum purge_setting automatically_purge; /* ABSENT: the version has no such table, or the row is not there yet */
        bool has_queue_max;
        int64_t queue_max; /* highest seq_id in embeddings_queue */
        bool has_position_max;
        uint64_t position_max;                      /* highest seq_id in max_seq_id, rows of unknown segments included */
        uint64_t orphan_positions;                  /* rows of max_seq_id whose segment is unknown */
        uint64_t free_pages, page_count, page_size; /* of the database file */
        uint64_t triggers;                          /* in sqlite_schema: no Chroma makes one */
        bool has_fts;                               /* embedding_fulltext_search is there, with all five shadow tables */
        struct text fts_sql;                        /* the statement that made it, "" without */
        struct text damage; /* what is missing that this version must have, or too large, as one sentence; "" when nothing */
};

/* Reads everything as of one moment: in one transaction that it begins and ends, or in several when it takes longer than PIECE_MS and
   nobody commits between them. *ret is the caller's. A value of more than 1 MiB is taken for absent, and
   the first such is in `damage`; 256 MiB in all are the limit: beyond is -E2BIG. */
int catalog_read(struct db *db, struct catalog **ret, struct error *e);

const struct collection *catalog_collection(const struct catalog *c, const char *id);
const struct segment *catalog_segment(const struct catalog *c, const char *id);

struct catalog *catalog_free(struct catalog *c); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct catalog *, catalog_free)

/* One value of collection_metadata or segment_metadata. */
enum value_type { VALUE_NULL, VALUE_STRING, VALUE_INT, VALUE_FLOAT, VALUE_BOOL };
struct metadata_value {
        struct text key;
        enum value_type type;
        struct text string;
        int64_t integer; /* also of a bool: 0 or 1 */
        double real;
};

struct collection_detail {
        struct metadata_value *metadata; /* collection_metadata, sorted by key */
        size_t metadata_count;
        struct metadata_value *segment_metadata; /* of the vector segment, sorted by key */
        size_t segment_metadata_count;
        struct text config_json; /* collections.config_json_str; bytes NULL when NULL or no such column */
        struct text schema_json; /* collections.schema_str; likewise */
};

/* Reads what only this collection has, inside a transaction that the caller began. The caller clears *ret. 16 MiB in all are the limit, with
   100 bytes for each row besides its values: beyond is -E2BIG. */
int collection_detail_read(struct db *db, const struct collection *collection, struct collection_detail *ret, struct error *e);
void collection_detail_clear(struct collection_detail *detail);

/* The decode rule of FORMAT 2: INTEGER is itself, a BLOB of 8 or 24 bytes is big-endian unsigned. False when it is neither, negative, or too large. */
bool position_decode(sqlite3_value *value, uint64_t *ret);

#endif
