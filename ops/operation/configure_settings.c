/*
 * Settings as numbers. The limits in the rows of options are what any version bears; the rest is checked here, once the
 * version is known.
 */
#include "ops/operation/configure_settings.h"

#include <errno.h>
#include <string.h>

#include "ops/json.h"

#define MINIMUM_PYTHON 3 /* of batch_size and sync_threshold: hnsw_params.py of 0.4.0 to 0.6.3 */

const struct setting_names setting_names[SETTING_COUNT] = {
        [SETTING_EF_SEARCH] = { "ef_search", "hnsw:search_ef", "ef_search", "ef_search", SETTING_INTEGER },
        [SETTING_NUM_THREADS] = { "num_threads", "hnsw:num_threads", "num_threads", "num_threads", SETTING_INTEGER },
        [SETTING_RESIZE_FACTOR] = { "resize_factor", "hnsw:resize_factor", "resize_factor", "resize_factor", SETTING_REAL },
        [SETTING_BATCH_SIZE] = { "batch_size", "hnsw:batch_size", "batch_size", "batch_size", SETTING_INTEGER },
        [SETTING_SYNC_THRESHOLD] = { "sync_threshold", "hnsw:sync_threshold", "sync_threshold", "sync_threshold", SETTING_INTEGER },
        [SETTING_M] = { "m", "hnsw:M", "M", "max_neighbors", SETTING_INTEGER },
        [SETTING_EF_CONSTRUCTION] = { "ef_construction", "hnsw:construction_ef", "ef_construction", "ef_construction",
                                      SETTING_INTEGER },
        [SETTING_SPACE] = { "space", "hnsw:space", "space", "space", SETTING_NAME },
};

const char *const setting_spaces[] = { [SPACE_L2] = "l2", [SPACE_COSINE] = "cosine", [SPACE_IP] = "ip", NULL };

unsigned settings_of(const struct command *command, struct settings *ret)
{
        unsigned count = 0;
        *ret = (struct settings){ .resize_factor = 0 };
        for (enum setting s = 0; s < SETTING_COUNT; s++) {
                const struct option_value *value = command_option_or_null(command, setting_names[s].option);
                if (value == NULL)
                        continue;
                ret->given[s] = value->given;
                ret->integer[s] = (int64_t) value->count;
                if (setting_names[s].type == SETTING_REAL)
                        ret->resize_factor = value->real;
                count += value->given;
        }
        return count;
}

bool settings_any(const struct settings *settings)
{
        bool any = false;
        for (enum setting s = 0; s < SETTING_COUNT; s++)
                any = any || settings->given[s];
        return any;
}

struct settings settings_of_config(const struct hnsw_config *config)
{
        return (struct settings){ .given = { [SETTING_EF_SEARCH] = true,
                                             [SETTING_RESIZE_FACTOR] = true,
                                             [SETTING_SYNC_THRESHOLD] = true,
                                             [SETTING_M] = true,
                                             [SETTING_EF_CONSTRUCTION] = true,
                                             [SETTING_SPACE] = true },
                                  .integer = { [SETTING_EF_SEARCH] = config->ef_search,
                                               [SETTING_SYNC_THRESHOLD] = config->sync_threshold,
                                               [SETTING_M] = config->m,
                                               [SETTING_EF_CONSTRUCTION] = config->ef_construction,
                                               [SETTING_SPACE] = (int64_t) config->space },
                                  .resize_factor = config->resize_factor };
}

struct metadata_value setting_value(const struct settings *settings, enum setting s)
{
        const char *key = setting_names[s].metadata;
        struct metadata_value value = { .key = { (char *) (uintptr_t) key, strlen(key) },
                                        .type = VALUE_INT,
                                        .integer = settings->integer[s] };
        if (setting_names[s].type == SETTING_REAL) {
                value.type = VALUE_FLOAT;
                value.real = settings->resize_factor;
        } else if (setting_names[s].type == SETTING_NAME) {
                const char *name = hnsw_space_name((enum hnsw_space) settings->integer[s]);
                value.type = VALUE_STRING;
                value.string = (struct text){ (char *) (uintptr_t) name, strlen(name) };
        }
        return value;
}

static bool is_used(enum setting s, const struct hnsw_config *now)
{
        switch (s) {
        case SETTING_NUM_THREADS:
                return now->has_num_threads;
        case SETTING_RESIZE_FACTOR:
                return now->has_resize_factor;
        case SETTING_BATCH_SIZE:
                return now->has_batch_size;
        default:
                return true;
        }
}

int settings_check(const struct settings *settings, const struct chroma_version *version, const struct hnsw_config *now,
                   struct error *e)
{
        for (enum setting s = 0; s < SETTING_COUNT; s++)
                if (settings->given[s] && !is_used(s, now))
                        return error_set(e, EINVAL,
                                         "%s: Chroma %s and its neighbours do not use it, so that setting it would change nothing",
                                         setting_names[s].option, version->min);
        for (enum setting s = SETTING_BATCH_SIZE; s <= SETTING_SYNC_THRESHOLD; s++)
                if (settings->given[s] && !version->rust && settings->integer[s] < MINIMUM_PYTHON)
                        return error_set(e, EINVAL, "%s: Chroma before 1.0 takes no value below %d", setting_names[s].option,
                                         MINIMUM_PYTHON);
        struct hnsw_config after = settings_apply(settings, now);
        bool asked = settings->given[SETTING_BATCH_SIZE] || settings->given[SETTING_SYNC_THRESHOLD];
        if (!version->rust && asked && after.batch_size > after.sync_threshold)
                return error_set(
                        e, EINVAL,
                        "batch_size would be %lld and sync_threshold %lld: it must not be larger; both can be set in one line",
                        (long long) after.batch_size, (long long) after.sync_threshold);
        return 0;
}

static int64_t *integer_of(struct hnsw_config *config, enum setting s)
{
        switch (s) {
        case SETTING_EF_SEARCH:
                return &config->ef_search;
        case SETTING_NUM_THREADS:
                return &config->num_threads;
        case SETTING_BATCH_SIZE:
                return &config->batch_size;
        case SETTING_M:
                return &config->m;
        case SETTING_EF_CONSTRUCTION:
                return &config->ef_construction;
        default:
                return &config->sync_threshold;
        }
}

static bool same_real(double a, double b)
{
        return !(a < b) && !(a > b);
}

static bool is_in_force(const struct settings *settings, enum setting s, const struct hnsw_config *now)
{
        struct hnsw_config config = *now;
        switch (setting_names[s].type) {
        case SETTING_REAL:
                return same_real(settings->resize_factor, now->resize_factor);
        case SETTING_NAME:
                return settings->integer[s] == (int64_t) now->space;
        case SETTING_INTEGER:
        default:
                return settings->integer[s] == *integer_of(&config, s);
        }
}

unsigned settings_reduce(struct settings *settings, const struct hnsw_config *now)
{
        unsigned left = 0;
        for (enum setting s = 0; s < SETTING_COUNT; s++) {
                settings->given[s] = settings->given[s] && !is_in_force(settings, s, now);
                left += settings->given[s];
        }
        return left;
}

struct hnsw_config settings_apply(const struct settings *settings, const struct hnsw_config *now)
{
        struct hnsw_config config = *now;
        for (enum setting s = 0; s < SETTING_COUNT; s++) {
                if (!settings->given[s])
                        continue;
                if (setting_names[s].type == SETTING_REAL)
                        config.resize_factor = settings->resize_factor;
                else if (setting_names[s].type == SETTING_NAME)
                        config.space = (enum hnsw_space) settings->integer[s];
                else
                        *integer_of(&config, s) = settings->integer[s];
        }
        return config;
}

bool hnsw_config_same(const struct hnsw_config *a, const struct hnsw_config *b)
{
        return a->space == b->space && a->m == b->m && a->ef_construction == b->ef_construction && a->ef_search == b->ef_search &&
               a->has_num_threads == b->has_num_threads && (!a->has_num_threads || a->num_threads == b->num_threads) &&
               same_real(a->resize_factor, b->resize_factor) && a->has_batch_size == b->has_batch_size &&
               (!a->has_batch_size || a->batch_size == b->batch_size) && a->sync_threshold == b->sync_threshold &&
               (a->source == CONFIG_UNSUPPORTED) == (b->source == CONFIG_UNSUPPORTED);
}

struct json_object *setting_json(const struct hnsw_config *config, enum setting s)
{
        struct hnsw_config copy = *config;
        if (setting_names[s].type == SETTING_REAL)
                return json_double(config->resize_factor);
        if (setting_names[s].type == SETTING_NAME)
                return json_string(hnsw_space_name(config->space));
        int64_t value = *integer_of(&copy, s);
        return value == 0 && s <= SETTING_NUM_THREADS ? NULL : json_object_new_int64(value);
}
