/*
 * The settings of a collection that can be changed: their names in each place, and what was asked for. The last three are those of
 * an index that is built anew.
 */
#ifndef OPS_OPERATION_CONFIGURE_SETTINGS_H
#define OPS_OPERATION_CONFIGURE_SETTINGS_H

#include <json-c/json.h>
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
        SETTING_M,
        SETTING_EF_CONSTRUCTION,
        SETTING_SPACE,
        SETTING_COUNT
};

enum setting_type { SETTING_INTEGER, SETTING_REAL, SETTING_NAME };

struct setting_names {
        const char *option;   /* as users call it */
        const char *metadata; /* its key in segment_metadata, and in the collection's metadata of a user */
        const char *python;   /* its key in the JSON of 0.5.4 to 0.6.3 */
        const char *rust;     /* … of 1.x */
        enum setting_type type;
};

extern const struct setting_names setting_names[SETTING_COUNT];

struct settings { /* those that are asked for */
        bool given[SETTING_COUNT];
        int64_t integer[SETTING_COUNT]; /* SETTING_SPACE: enum hnsw_space */
        double resize_factor;
};

/* "l2", "cosine", "ip": the words of the option `space`, in the order of enum hnsw_space. */
extern const char *const setting_spaces[];

/* Whether there is one. */
bool settings_any(const struct settings *settings);

/* All that Chroma 1.x takes from a configuration. */
struct settings settings_of_config(const struct hnsw_config *config);

/* As a row of segment_metadata or collection_metadata; what it points to is not the caller's. */
struct metadata_value setting_value(const struct settings *settings, enum setting s);

/* What the command says; options that its operation does not have are not given. Returns how many. */
unsigned settings_of(const struct command *command, struct settings *ret);

/* -EINVAL: one that this version does not use, or a value that it would refuse. */
int settings_check(const struct settings *settings, const struct chroma_version *version, const struct hnsw_config *now,
                   struct error *e);

/* Takes out of `settings` what `now` has already. Returns how many are left. */
unsigned settings_reduce(struct settings *settings, const struct hnsw_config *now);

/* What `now` becomes with them. */
struct hnsw_config settings_apply(const struct settings *settings, const struct hnsw_config *now);

/* Its value, for results; NULL (JSON null) where it is unknown, or as many as the machine has. */
struct json_object *setting_json(const struct hnsw_config *config, enum setting s);

/* Whether Chroma would do the same with both: where they come from doesn't count. */
bool hnsw_config_same(const struct hnsw_config *a, const struct hnsw_config *b);

#endif
