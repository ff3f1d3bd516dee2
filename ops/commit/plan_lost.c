/*
 * LOST_FILE: the records that a rebuild leaves without a vector, on the disk before its COMMIT.
 *
 * A record of the collection that stands there already is not listed again: a rebuild that was killed has written it, or an earlier one has left it so. The id of the segment in a line is that of the one that is
 * replaced: where it is still this one, what wrote the line did not get to its COMMIT, and a record that is not lost now was not lost at all. The file is written anew and renamed, so that a crash
 * leaves no half of a line. json-c would leave members out where it has no memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "ops/commit/plan.h"
#include "ops/commit/rebuild.h"
#include "ops/file.h"
#include "ops/operation/own_file.h"
#include "ops/wal/escape.h"

#define PIECE_BYTES (256u << 10)

static const struct own_file lost_file = { LOST_FILE, STAGE_TEMPORARY "lost" };

struct id {                 /* of a lost record */
        XXH128_hash_t hash; /* of its JSON */
        const struct text *text;
        bool is_listed;
};

struct lines {
        const struct commit_plan *plan;
        struct commit_saved saved;
        struct id *ids, **sorted;
        char *bytes; /* of what stands there; then of what is not written yet */
        size_t length, allocated;
        int fd; /* of the new file */
        struct error *e;
};

static int no_memory(struct lines *lines)
{
        return error_set(lines->e, ENOMEM, "no memory for " LOST_FILE);
}

static int reserve(struct lines *lines, size_t length)
{
        if (lines->bytes != NULL && length <= lines->allocated)
                return 0;
        char *bytes = realloc(lines->bytes, length);
        if (bytes == NULL)
                return no_memory(lines);
        lines->bytes = bytes;
        lines->allocated = length;
        return 0;
}

/* --- ids --- */

static int by_hash(const void *a, const void *b)
{
        const struct id *const *x = a, *const *y = b;
        return XXH128_cmp(&(*x)->hash, &(*y)->hash);
}

static int hash_id(struct id *id)
{
        size_t length = escape_length(id->text->bytes, id->text->len);
        CLEANUP(free)
        char *json = malloc(length + 2);
        if (json == NULL)
                return -ENOMEM;
        json[0] = '"';
        *escape_text(id->text->bytes, id->text->len, json + 1) = '"';
        id->hash = XXH3_128bits(json, length + 2);
        return 0;
}

static int hash_ids(struct lines *lines)
{
        size_t count = lines->saved.lost_count;
        lines->ids = calloc(count, sizeof(*lines->ids));
        lines->sorted = calloc(count, sizeof(struct id *));
        if (lines->ids == NULL || lines->sorted == NULL)
                return no_memory(lines);
        for (size_t i = 0; i < count; i++) {
                lines->ids[i].text = &lines->saved.lost[i];
                if (hash_id(&lines->ids[i]) < 0)
                        return no_memory(lines);
                lines->sorted[i] = &lines->ids[i];
        }
        qsort(lines->sorted, count, sizeof(struct id *), by_hash);
        return 0;
}

static bool mark_listed(struct lines *lines, const char *json, size_t length)
{
        struct id key = { .hash = XXH3_128bits(json, length) }, *pointer = &key;
        struct id **found = bsearch(&pointer, lines->sorted, lines->saved.lost_count, sizeof(struct id *), by_hash);
        if (found != NULL)
                (*found)->is_listed = true;
        return found != NULL;
}

/* --- what stands there --- */

/* With room for a newline at its end. */
static int read_old(struct lines *lines, struct state_dir *state)
{
        CLEANUP(close)
        int fd = -1;
        uint64_t size = 0;
        if (!file_stamp_at(state_dir_fd(state), LOST_FILE).present)
                return 0;
        fd = own_file_open(&lost_file, state, &size, lines->e);
        if (fd < 0)
                return fd;
        int r = size > SIZE_MAX / 2 ? error_set(lines->e, EFBIG, STATE_DIR "/" LOST_FILE " is too large: move it away")
                                    : reserve(lines, (size_t) size + 1);
        if (r == 0)
                r = file_pread_exact(fd, lines->bytes, (size_t) size, 0, STATE_DIR "/" LOST_FILE, lines->e);
        lines->length = r == 0 ? (size_t) size : 0;
        if (lines->length > 0 && lines->bytes[lines->length - 1] != '\n')
                lines->bytes[lines->length++] = '\n';
        return r;
}

/* A member of a line of ours: JSON has no quote inside a string without a backslash before it, so what looks like the member is the member. */
static bool has_member(const char *line, size_t length, const char *key, const char *value)
{
        char member[64];
        int n = snprintf(member, sizeof(member), "\"%s\":\"%s\"", key, value);
        return memmem(line, length, member, (size_t) n) != NULL;
}

/* Whether the line, which ends with a newline, stays. */
static bool stays(struct lines *lines, const char *line, size_t length)
{
        static const char member[] = ",\"id\":";
        const struct commit_plan *plan = lines->plan;
        if (!has_member(line, length, "collection", plan->id))
                return true;
        const char *id = memmem(line, length, member, sizeof(member) - 1), *end = line + length - 2;
        id = id == NULL ? end : id + sizeof(member) - 1;
        if (id < end && mark_listed(lines, id, (size_t) (end - id)))
                return true;
        return !has_member(line, length, "segment", plan->collection->vector->id.bytes);
}

static void sift(struct lines *lines)
{
        char *from = lines->bytes, *to = from, *end = from + lines->length;
        while (from < end) {
                char *next = (char *) memchr(from, '\n', (size_t) (end - from)) + 1;
                size_t length = (size_t) (next - from);
                if (stays(lines, from, length)) {
                        memmove(to, from, length);
                        to += length;
                }
                from = next;
        }
        lines->length = (size_t) (to - lines->bytes);
}

/* --- what is written --- */

static int flush(struct lines *lines)
{
        int r = lines->length == 0 ? 0 : own_file_write(&lost_file, lines->fd, lines->bytes, lines->length, lines->e);
        lines->length = 0;
        return r;
}

static char *put(char *at, const char *bytes)
{
        size_t length = strlen(bytes);
        memcpy(at, bytes, length);
        return at + length;
}

static char *put_member(char *at, const char *key, const char *bytes, size_t length)
{
        at = put(put(put(at, ",\""), key), "\":\"");
        at = escape_text(bytes, length, at);
        *at++ = '"';
        return at;
}

static int append(struct lines *lines, const struct text *id, const char *now)
{
        const struct commit_plan *plan = lines->plan;
        const struct text *segment = &plan->collection->vector->id;
        size_t length = sizeof("{'time':'','collection':'','segment':'','id':''}\n") - 1 + strlen(now) +
                        escape_length(plan->id, strlen(plan->id)) + escape_length(segment->bytes, segment->len) +
                        escape_length(id->bytes, id->len);
        int r = lines->length + length > PIECE_BYTES ? flush(lines) : 0;
        if (r == 0)
                r = reserve(lines, lines->length + length);
        if (r < 0)
                return r;
        char *at = put(put(put(lines->bytes + lines->length, "{\"time\":\""), now), "\"");
        at = put_member(at, "collection", plan->id, strlen(plan->id));
        at = put_member(at, "segment", segment->bytes, segment->len);
        at = put(put_member(at, "id", id->bytes, id->len), "}\n");
        lines->length = (size_t) (at - lines->bytes);
        return 0;
}

static int append_all(struct lines *lines)
{
        char now[32];
        struct tm tm;
        time_t seconds = time(NULL);
        (void) strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
        int r = flush(lines);
        for (size_t i = 0; r == 0 && i < lines->saved.lost_count; i++)
                r = lines->ids[i].is_listed ? 0 : append(lines, lines->ids[i].text, now);
        if (r == 0)
                r = flush(lines);
        return r < 0 ? r : own_file_sync(&lost_file, lines->fd, lines->e);
}

static int replace(struct lines *lines, struct state_dir *state)
{
        CLEANUP(close)
        int fd = own_file_stage(&lost_file, state, lines->e);
        if (fd < 0)
                return fd;
        lines->fd = fd;
        int r = append_all(lines);
        if (r == 0)
                return own_file_replace(&lost_file, state, lines->e);
        own_file_drop(&lost_file, state);
        return r;
}

int commit_plan_write_lost(const struct commit_plan *plan)
{
        struct operation *op = plan->session->op;
        struct lines lines = { .plan = plan, .fd = -1, .e = &op->error };
        if (plan->vector != NULL)
                lines.saved = commit_vector_saved(plan->vector);
        if (lines.saved.lost_count == 0)
                return 0;
        int r = hash_ids(&lines);
        if (r == 0)
                r = read_old(&lines, op->state);
        if (r == 0) {
                sift(&lines);
                r = replace(&lines, op->state);
        }
        free(lines.ids);
        free(lines.sorted);
        free(lines.bytes);
        return r;
}
