/*
 * The operations that there are. The order is that of the manual page.
 */
#include "ops/operation/operation.h"

#include <string.h>

#include "ops/commit/commit.h"
#include "ops/commit/rebuild.h"
#include "ops/operation/backup.h"
#include "ops/operation/clean.h"
#include "ops/operation/clean_orphans.h"
#include "ops/operation/configure.h"
#include "ops/operation/rebuild_fts.h"
#include "ops/operation/tidy.h"

const struct operation_type *const operation_types[] = {
        &operation_backup,      &operation_commit,       &operation_clean,
        &operation_rebuild_fts, &operation_rebuild_hnsw, &operation_clean_orphans,
        &operation_configure,   &operation_tidy,         NULL,
};

const struct operation_type *operation_find(const char *name)
{
        for (size_t i = 0; operation_types[i] != NULL; i++)
                if (strcmp(operation_types[i]->name, name) == 0)
                        return operation_types[i];
        return NULL;
}
