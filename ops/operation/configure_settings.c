/*
 * Settings as numbers. The limits in the rows of options are what any version bears; the rest is checked here, once the
 * version is known.
 */
#include "ops/operation/configure_settings.h"

#include <errno.h>
#include <string.h>

#define MINIMUM_PYTHON 3 /* of batch_size and sync_threshold: hnsw_params.py of 0.4.0 to 0.6.3 */

const struct setting_names setting_names[SETTING_COUNT] = {
        [SETTING_EF_SEARCH] = { "ef_search", "hnsw:search_ef" },
        [SETTING_NUM_THREADS] = { "num_threads", "hnsw:num_threads" },
        [SETTING_RESIZE_FACTOR] = { "resize_factor", "hnsw:resize_factor" },
        [SETTING_BATCH_SIZE] = { "batch_size", "hnsw:batch_size" },
        [SETTING_SYNC_THRESHOLD] = { "sync_threshold", "hnsw:sync_threshold" },
};

unsigned settings_of(const struct command *command, struct settings *ret)
{
        unsigned count = 0;
        *ret = (struct settings){ .resize_factor = 0 };
        for (enum setting s = 0; s < SETTING_COUNT; s++) {
                const struct option_value *value = command_option(command, setting_names[s].option);
                ret->given[s] = value->given;
                ret->integer[s] = (int64_t) value->count;
                if (s == SETTING_RESIZE_FACTOR)
                        ret->resize_factor = value->real;
                count += value->given;
        }
        return count;
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
        default:
                return &config->sync_threshold;
        }
}

static bool same_real(double a, double b)
{
        return !(a < b) && !(a > b);
}

unsigned settings_reduce(struct settings *settings, const struct hnsw_config *now)
{
        unsigned left = 0;
        struct hnsw_config config = *now;
        for (enum setting s = 0; s < SETTING_COUNT; s++) {
                bool same = s == SETTING_RESIZE_FACTOR ? same_real(settings->resize_factor, now->resize_factor)
                                                       : settings->integer[s] == *integer_of(&config, s);
                settings->given[s] = settings->given[s] && !same;
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
                if (s == SETTING_RESIZE_FACTOR)
                        config.resize_factor = settings->resize_factor;
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
