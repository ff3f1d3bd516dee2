/*
 * - 0.x reads segment_metadata alone. Its config_json_str, where it has one, says the same afterwards.
 * - 1.x reads schema_str, or where there is none config_json_str; but where that amounts to the defaults it falls back on the
 *   segment_metadata that a collection of 0.x has, as a whole. Written into such a collection, one setting alone would make it a
 *   configuration of its own, in which everything else, the space included, has its default. So there the whole configuration in
 *   force is written.
 * - The reverse: what is written amounts to the defaults, and so Chroma would go on reading segment_metadata. Then the settings are
 *   written there too; all of them, where what stands there is of a time before others were changed.
 * - collection_metadata is the user's: no release takes a setting from there once the collection is made. But it is where people and
 *   programs look one up, and so a key that is there already follows. Another one stays away, with two exceptions before 1.0. A
 *   collection without "hnsw:space" is taken for l2, by whoever scales distances, and there is no other place that tells. And 0.5.4
 *   to 0.6.3 make the config_json_str of an older collection from there, and never open it when batch_size is above sync_threshold,
 *   with the default for one that is not there: then both are written.
 *
 * Which of these it is need not be guessed: each change is first made on a copy of what is stored, and asked what Chroma would do
 * with it.
 */
#include "ops/operation/configure_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops/config_parts.h"
#include "ops/json.h"
#include "ops/operation/configure_json.h"

#define BATCH_SIZE_DEFAULT 100
#define SYNC_THRESHOLD_DEFAULT 1000
#define SYSDB_SCHEMA 10 /* collections.schema_str */

void configure_change_clear(struct configure_change *change)
{
        free(change->config.bytes);
        free(change->schema.bytes);
        *change = (struct configure_change){ .count = 0 };
}

/* What is stored after the change, on a copy. */

static enum setting setting_of_key(const struct text *key)
{
        enum setting s = 0;
        while (s < SETTING_COUNT && !text_is(key, setting_names[s].metadata))
                s++;
        return s;
}

/* The rows that stay and the new ones. The array is the caller's to free, what it points to is not. */
static int changed_metadata(const struct collection_detail *detail, const struct settings *settings, struct metadata_value **ret,
                            size_t *ret_count)
{
        size_t count = 0;
        struct metadata_value *values = calloc(detail->segment_metadata_count + SETTING_COUNT, sizeof(*values));
        if (values == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < detail->segment_metadata_count; i++) {
                enum setting s = setting_of_key(&detail->segment_metadata[i].key);
                if (s == SETTING_COUNT || !settings->given[s])
                        values[count++] = detail->segment_metadata[i];
        }
        for (enum setting s = 0; s < SETTING_COUNT; s++)
                if (settings->given[s])
                        values[count++] = setting_value(settings, s);
        *ret = values;
        *ret_count = count;
        return 0;
}

/* 1 when Chroma would do what was asked for, 0 when something else. */
static int is_right(const struct chroma_version *version, const struct collection_detail *detail,
                    const struct configure_change *change, struct error *e)
{
        CLEANUP(free)
        struct metadata_value *values = NULL;
        struct collection_detail copy = *detail;
        struct hnsw_config config;
        if (change->config.bytes != NULL)
                copy.config_json = change->config;
        if (change->schema.bytes != NULL)
                copy.schema_json = change->schema;
        if (changed_metadata(detail, &change->segment, &values, &copy.segment_metadata_count) < 0)
                return error_set(e, ENOMEM, "no memory for the settings");
        copy.segment_metadata = values;
        int r = hnsw_config_effective(version, &copy, &config, e);
        return r < 0 ? r : hnsw_config_same(&config, &change->after);
}

/* Making the change. */

static int make_rust(const struct chroma_version *version, const struct collection_detail *detail, struct configure_change *change,
                     struct error *e)
{
        struct hnsw_config unused;
        bool whole = change->before.source == CONFIG_SEGMENT_METADATA;
        int r = version->sysdb >= SYSDB_SCHEMA ? config_from_schema(&detail->schema_json, &unused, e) : 0;
        if (r < 0)
                return r;
        if (r > 0)
                return configure_json_schema(&detail->schema_json, &change->settings, &change->after, whole, &change->schema, e);
        return configure_json_config(&detail->config_json, &change->settings, &change->after, whole, &change->config, e);
}

static int make_python(const struct collection_detail *detail, struct configure_change *change, struct error *e)
{
        change->segment = change->settings;
        int r = configure_json_python(&detail->config_json, &change->settings, &change->after, &change->config, e);
        return r < 0 ? r : 0;
}

/* What has to stand in segment_metadata, which Chroma 1.x reads when the rest amounts to the defaults. */
static int add_segment(const struct chroma_version *version, const struct collection_detail *detail,
                       struct configure_change *change, struct error *e)
{
        change->segment = change->settings;
        int r = is_right(version, detail, change, e);
        if (r == 0) {
                change->segment = settings_of_config(&change->after);
                r = is_right(version, detail, change, e);
        }
        return r;
}

static int make(const struct chroma_version *version, const struct collection_detail *detail, struct configure_change *change,
                struct error *e)
{
        int r = version->rust ? make_rust(version, detail, change, e) : make_python(detail, change, e);
        if (r == 0)
                r = is_right(version, detail, change, e);
        if (r == 0 && version->rust)
                r = add_segment(version, detail, change, e);
        if (r == 0)
                return error_set(
                        e, EINVAL,
                        "what this collection has stored leaves Chroma no way to take the setting in alone: nothing was changed");
        return r < 0 ? r : 0;
}

/* What the user sees. */

static const struct metadata_value *find_key(const struct collection_detail *detail, enum setting s)
{
        for (size_t i = 0; i < detail->metadata_count; i++)
                if (text_is(&detail->metadata[i].key, setting_names[s].metadata))
                        return &detail->metadata[i];
        return NULL;
}

/* The number that Chroma would find there. */
static int64_t told(const struct collection_detail *detail, const struct settings *changed, enum setting s, int64_t otherwise)
{
        const struct metadata_value *value = find_key(detail, s);
        return changed->given[s] ? changed->integer[s] : value != NULL && value->type == VALUE_INT ? value->integer : otherwise;
}

/* Whether the default, which stands for a key that is not there, is no longer true. */
static bool is_needed(const struct chroma_version *version, const struct settings *settings, enum setting s)
{
        return s == SETTING_SPACE && !version->rust && settings->integer[s] != SPACE_L2;
}

static void make_collection(const struct chroma_version *version, const struct collection_detail *detail,
                            struct configure_change *change)
{
        struct settings *changed = &change->collection;
        *changed = change->settings;
        for (enum setting s = 0; s < SETTING_COUNT; s++)
                changed->given[s] = changed->given[s] && (find_key(detail, s) != NULL || is_needed(version, changed, s));
        if (version->rust || (!changed->given[SETTING_BATCH_SIZE] && !changed->given[SETTING_SYNC_THRESHOLD]))
                return;
        if (told(detail, changed, SETTING_BATCH_SIZE, BATCH_SIZE_DEFAULT) >
            told(detail, changed, SETTING_SYNC_THRESHOLD, SYNC_THRESHOLD_DEFAULT)) {
                changed->given[SETTING_BATCH_SIZE] = changed->given[SETTING_SYNC_THRESHOLD] = true;
                changed->integer[SETTING_BATCH_SIZE] = change->after.batch_size;
                changed->integer[SETTING_SYNC_THRESHOLD] = change->after.sync_threshold;
        }
}

int configure_change_make(const struct chroma_version *version, const struct collection_detail *detail,
                          const struct settings *settings, struct configure_change *ret, struct error *e)
{
        struct configure_change change = { .settings = *settings };
        int r = hnsw_config_effective(version, detail, &change.before, e);
        if (r < 0)
                return r;
        if (change.before.source == CONFIG_UNSUPPORTED)
                return error_set(e, EINVAL, "the collection's index is no local HNSW index: its settings are not known");
        r = settings_check(settings, version, &change.before, e);
        if (r < 0)
                return r;
        change.count = settings_reduce(&change.settings, &change.before);
        change.after = settings_apply(&change.settings, &change.before);
        if (change.count > 0) {
                r = make(version, detail, &change, e);
                make_collection(version, detail, &change);
        }
        if (r < 0)
                configure_change_clear(&change);
        else
                *ret = change;
        return r;
}
