/*
 * The settings of a collection that can be changed without building its index again: their names in each place, and what
 * was asked for.
 */
#ifndef OPS_OPERATION_CONFIGURE_SETTINGS_H
#define OPS_OPERATION_CONFIGURE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/config.h"
#include "ops/error.h"
#include "ops/operation/command.h"
#include "ops/version.h"

enum setting {
        SETTING_EF_SEARCH,
        SETTING_NUM_THREADS,
        SETTING_RESIZE_FACTOR,
        SETTING_BATCH_SIZE,
        SETTING_SYNC_THRESHOLD,
        SETTING_COUNT
};

struct setting_names {
        const char *option;   /* as users, and Chroma's JSON, call it */
        const char *metadata; /* its key in segment_metadata */
};

extern const struct setting_names setting_names[SETTING_COUNT];

struct settings { /* those that are asked for */
        bool given[SETTING_COUNT];
        int64_t integer[SETTING_COUNT];
        double resize_factor;
};

/* What the command says. Returns how many. */
unsigned settings_of(const struct command *command, struct settings *ret);

/* -EINVAL: one that this version does not use, or a value that it would refuse. */
int settings_check(const struct settings *settings, const struct chroma_version *version, const struct hnsw_config *now,
                   struct error *e);

/* Takes out of `settings` what `now` has already. Returns how many are left. */
unsigned settings_reduce(struct settings *settings, const struct hnsw_config *now);

/* What `now` becomes with them. */
struct hnsw_config settings_apply(const struct settings *settings, const struct hnsw_config *now);

/* Whether Chroma would do the same with both: where they come from doesn't count. */
bool hnsw_config_same(const struct hnsw_config *a, const struct hnsw_config *b);

#endif
