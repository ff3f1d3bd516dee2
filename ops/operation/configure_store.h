/*
 * Where a collection's settings are stored: what has to be written, whether Chroma will then do what was asked for, and the
 * writing.
 */
#ifndef OPS_OPERATION_CONFIGURE_STORE_H
#define OPS_OPERATION_CONFIGURE_STORE_H

#include <stdbool.h>

#include "ops/catalog.h"
#include "ops/config.h"
#include "ops/error.h"
#include "ops/operation/configure_settings.h"
#include "ops/operation/write_db.h"

struct configure_change {
        struct settings settings; /* those that are not in force yet */
        unsigned count;           /* of these; 0: nothing is written */
        struct hnsw_config before, after;
        struct settings segment, collection; /* what goes to segment_metadata, and to collection_metadata */
        struct text config, schema;          /* new texts of the columns; bytes NULL: they stay */
};

/* Finds out what to write. The caller clears *ret. -EINVAL: what this version does not use or refuses, or can't be said there;
   -EILSEQ: stored JSON that can't be read. */
int configure_change_make(const struct chroma_version *version, const struct collection_detail *detail,
                          const struct settings *settings, struct configure_change *ret, struct error *e);
void configure_change_clear(struct configure_change *change);

/* Writes it inside a transaction, reads it back, and compares what Chroma would now do with change->after. */
int configure_change_write(struct write_db *w, const struct chroma_version *version, const struct collection *collection,
                           const struct configure_change *change, struct error *e);

#endif
