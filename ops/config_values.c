/*
 * The HNSW parameters' names, limits and defaults.
 *
 * The limits are those of Chroma where it takes a value in: a smaller batch_size or sync_threshold, or a negative size, is refused there,
 * so that one which is stored is damage. The rest is left as it is stored: ef_search 0 searches as 1 does, and what M an index can
 * have is for those to check who build one.
 */
#include "ops/config_parts.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_EF 100
#define DEFAULT_M 16
#define DEFAULT_RESIZE_FACTOR 1.2
#define DEFAULT_BATCH_SIZE 100
#define DEFAULT_SYNC_THRESHOLD 1000

/* A longer key is no misspelt one. */
#define KEY_SHOWN_MAX 64

const char *hnsw_space_name(enum hnsw_space space)
{
        return space == SPACE_COSINE ? "cosine" : space == SPACE_IP ? "ip" : "l2";
}

const char *config_source_name(enum config_source source)
{
        static const char *const names[] = { "defaults", "segment_metadata", "config_json_str", "schema_str", "unsupported" };
        return names[source];
}

/*
 * As many threads as Chroma would take by default: the CPUs that this process may run on. Chroma's count also respects a cgroup's CPU
 * quota, which this one does not; it matters only for a stored num_threads beside an otherwise default configuration.
 */
static int64_t cpu_count(void)
{
        cpu_set_t set;
        if (sched_getaffinity(0, sizeof set, &set) == 0)
                return CPU_COUNT(&set);
        return sysconf(_SC_NPROCESSORS_ONLN);
}

void config_set_defaults(struct hnsw_config *config)
{
        *config = (struct hnsw_config){ .source = CONFIG_DEFAULTS,
                                        .space = SPACE_L2,
                                        .m = DEFAULT_M,
                                        .ef_construction = DEFAULT_EF,
                                        .ef_search = DEFAULT_EF,
                                        .resize_factor = DEFAULT_RESIZE_FACTOR,
                                        .batch_size = DEFAULT_BATCH_SIZE,
                                        .sync_threshold = DEFAULT_SYNC_THRESHOLD };
}

bool config_is_default(const struct hnsw_config *config)
{
        return config->space == SPACE_L2 && config->m == DEFAULT_M && config->ef_construction == DEFAULT_EF &&
               config->ef_search == DEFAULT_EF && fabs(config->resize_factor - DEFAULT_RESIZE_FACTOR) <= 0.0 &&
               config->batch_size == DEFAULT_BATCH_SIZE && config->sync_threshold == DEFAULT_SYNC_THRESHOLD &&
               (!config->has_num_threads || config->num_threads == cpu_count());
}

static int64_t minimum(enum hnsw_param param, bool rust)
{
        if (param == PARAM_BATCH_SIZE || param == PARAM_SYNC_THRESHOLD)
                return rust ? 2 : 3;
        return param == PARAM_NUM_THREADS && !rust ? INT64_MIN : 0;
}

int config_set_integer(const struct config_sink *sink, enum hnsw_param param, const char *key, int64_t value)
{
        struct hnsw_config *config = sink->config;
        if (value < minimum(param, sink->rust))
                return error_set(sink->e, EILSEQ, "%s: %s is %lld, less than %lld", sink->where, key, (long long) value,
                                 (long long) minimum(param, sink->rust));
        int64_t *const slots[PARAM_COUNT] = {
                [PARAM_EF_CONSTRUCTION] = &config->ef_construction,
                [PARAM_EF_SEARCH] = &config->ef_search,
                [PARAM_M] = &config->m,
                [PARAM_NUM_THREADS] = &config->num_threads,
                [PARAM_BATCH_SIZE] = &config->batch_size,
                [PARAM_SYNC_THRESHOLD] = &config->sync_threshold,
        };
        /* hnswlib takes a negative number of threads, like 0, for as many as the machine has. */
        *slots[param] = param == PARAM_NUM_THREADS && value < 0 ? 0 : value;
        if (param == PARAM_NUM_THREADS)
                config->has_num_threads = true;
        if (param == PARAM_BATCH_SIZE)
                config->has_batch_size = true;
        return 0;
}

int config_set_resize_factor(const struct config_sink *sink, const char *key, double value)
{
        if (!isfinite(value))
                return error_set(sink->e, EILSEQ, "%s: %s is no finite number", sink->where, key);
        sink->config->resize_factor = value;
        sink->config->has_resize_factor = true;
        return 0;
}

int config_unknown_key(const struct config_sink *sink, const char *key)
{
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:.-";
        size_t len = strlen(key);
        bool fit = len > 0 && len <= KEY_SHOWN_MAX && strspn(key, plain) == len;
        return error_set(sink->e, EILSEQ, "%s: %s is no parameter", sink->where, fit ? key : "a key that is no plain name");
}

int config_set_space(const struct config_sink *sink, const char *key, const struct text *value)
{
        for (enum hnsw_space space = SPACE_L2; space <= SPACE_IP; space++)
                if (text_is(value, hnsw_space_name(space))) {
                        sink->config->space = space;
                        return 0;
                }
        return error_set(sink->e, EILSEQ, "%s: %s is none of l2, cosine and ip", sink->where, key);
}
