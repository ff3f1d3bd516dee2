#include "fs/outcomes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>
#include <xxhash.h>

#include "ops/file.h"
#include "ops/json.h"
#include "ops/operation/history.h"
#include "ops/operation/state_dir.h"

#define STARTED_SIZE 40

struct outcome {
        UT_hash_handle hh;
        char started[STARTED_SIZE]; /* RFC 3339, in UTC: their order is that of their bytes */
        bool own;                   /* from a run of this mount: the history may not have it */
        char *text;
        char key[]; /* operation, newline, id of the collection */
};

struct outcomes {
        pthread_mutex_t mutex;
        int dirfd;
        struct outcome *all;
        struct outcome *latest;
        struct file_stamp history; /* when it was read */
        size_t read;               /* bytes of it that are in here */
        uint64_t hash;             /* of these */
};

int outcomes_new(int dirfd, struct outcomes **ret, struct error *e)
{
        struct outcomes *o = calloc(1, sizeof(*o));
        if (o == NULL)
                return error_set(e, ENOMEM, "no memory");
        o->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
        if (o->dirfd < 0) {
                free(o);
                return error_set(e, errno, "can't open the persist directory again: %s", strerror(errno));
        }
        (void) pthread_mutex_init(&o->mutex, NULL);
        *ret = o;
        return 0;
}

struct outcomes *outcomes_free(struct outcomes *outcomes)
{
        if (outcomes == NULL)
                return NULL;
        struct outcome *outcome, *next;
        HASH_ITER(hh, outcomes->all, outcome, next)
        {
                HASH_DEL(outcomes->all, outcome);
                free(outcome->text);
                free(outcome);
        }
        (void) pthread_mutex_destroy(&outcomes->mutex);
        (void) close(outcomes->dirfd);
        free(outcomes);
        return NULL;
}

static const char *string_in(struct json_object *o, const char *key)
{
        struct json_object *value = NULL;
        if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &value) ||
            !json_object_is_type(value, json_type_string))
                return "";
        return json_object_get_string(value);
}

/* The collection is described by an object, or named by its id, or null. */
static const char *collection_of(struct json_object *o)
{
        struct json_object *collection = NULL;
        if (!json_object_object_get_ex(o, "collection", &collection) || collection == NULL)
                return "";
        return json_object_is_type(collection, json_type_string) ? json_object_get_string(collection) : string_in(collection, "id");
}

static char *key_of(const char *operation, const char *id)
{
        char *key = malloc(strlen(operation) + strlen(id) + 2);
        if (key != NULL)
                (void) stpcpy(stpcpy(stpcpy(key, operation), "\n"), id);
        return key;
}

static struct outcome *find(const struct outcomes *o, const char *key)
{
        struct outcome *outcome;
        HASH_FIND_STR(o->all, key, outcome);
        return outcome;
}

static struct outcome *find_or_make(struct outcomes *o, const char *key)
{
        struct outcome *outcome = find(o, key);
        if (outcome != NULL)
                return outcome;
        outcome = calloc(1, sizeof(*outcome) + strlen(key) + 1);
        if (outcome == NULL)
                return NULL;
        memcpy(outcome->key, key, strlen(key) + 1);
        HASH_ADD_STR(o->all, key, outcome);
        return outcome;
}

/* What the history tells again, when it is read anew, is older than our own. Otherwise the later line is the later run, whatever a clock that went wrong said. */
static bool is_older(const char *started, const struct outcome *than)
{
        return than != NULL && than->own && strcmp(started, than->started) < 0;
}

static void keep(struct outcomes *o, struct json_object *json, const char *text, size_t len, bool own)
{
        const char *started = string_in(json, "started");
        CLEANUP(free)
        char *key = key_of(string_in(json, "operation"), collection_of(json));
        struct outcome *outcome = key != NULL ? find_or_make(o, key) : NULL;
        char *copy = strndup(text, len);
        if (outcome == NULL || copy == NULL || (!own && is_older(started, outcome))) {
                free(copy);
                return;
        }
        if (own || !is_older(started, o->latest))
                o->latest = outcome;
        free(outcome->text);
        outcome->text = copy;
        outcome->own = own;
        (void) snprintf(outcome->started, STARTED_SIZE, "%s", started);
}

static void keep_lines(struct outcomes *o, const char *bytes, size_t len)
{
        for (const char *end; len > 0 && (end = memchr(bytes, '\n', len)) != NULL;) {
                size_t line = (size_t) (end - bytes);
                struct json_object *json = NULL;
                if (json_parse(bytes, line, &json, NULL) == 0 && json_object_is_type(json, json_type_object))
                        keep(o, json, bytes, line, false);
                (void) json_object_put(json);
                bytes += line + 1;
                len -= line + 1;
        }
}

static void read_history(struct outcomes *o)
{
        struct file_stamp stamp = file_stamp_at(o->dirfd, STATE_DIR "/" HISTORY_FILE);
        struct text text = { 0 };
        if (file_stamp_equal(&stamp, &o->history) || history_read(o->dirfd, &text, NULL) < 0)
                return;
        if (text.len < o->read || XXH3_64bits(text.bytes, o->read) != o->hash)
                o->read = 0;
        keep_lines(o, text.bytes + o->read, text.len - o->read);
        o->history = stamp;
        o->read = text.len;
        o->hash = XXH3_64bits(text.bytes, text.len);
        free(text.bytes);
}

void outcomes_add(struct outcomes *outcomes, struct json_object *outcome)
{
        size_t len = 0;
        const char *text = json_object_to_json_string_length(outcome, JSON_C_TO_STRING_PLAIN, &len);
        if (text == NULL)
                return;
        (void) pthread_mutex_lock(&outcomes->mutex);
        read_history(outcomes); /* first, since it may have the same one, of the same second as another one that is in no history */
        keep(outcomes, outcome, text, len, true);
        (void) pthread_mutex_unlock(&outcomes->mutex);
}

struct json_object *outcomes_last(struct outcomes *outcomes, const char *operation, const char *collection_id)
{
        struct json_object *json = NULL;
        CLEANUP(free)
        char *key = operation != NULL ? key_of(operation, collection_id != NULL ? collection_id : "") : NULL;
        (void) pthread_mutex_lock(&outcomes->mutex);
        read_history(outcomes);
        const struct outcome *outcome = operation == NULL ? outcomes->latest : key != NULL ? find(outcomes, key) : NULL;
        if (outcome != NULL && outcome->text != NULL)
                (void) json_parse(outcome->text, strlen(outcome->text), &json, NULL);
        (void) pthread_mutex_unlock(&outcomes->mutex);
        return json;
}
