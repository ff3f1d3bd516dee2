/*
 * LOST_FILE: the records that a rebuild leaves without a vector, on the disk before its COMMIT.
 *
 * A line has the id of the segment that is replaced. Lines of the same segment that stand there already are of a rebuild that did not get to its COMMIT, or the segment would have another id: those of this one
 * take their place. The file is written anew and renamed, so that a crash leaves no half of a line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ops/commit/plan.h"
#include "ops/commit/rebuild.h"
#include "ops/file.h"
#include "ops/json.h"
#include "ops/operation/own_file.h"

#define PIECE_BYTES (256u << 10)

DEFINE_CLEANUP(struct json_object *, json_object_put)

static const struct own_file lost_file = { LOST_FILE, STAGE_TEMPORARY "lost" };

struct lines {
        char *bytes; /* of what stands there; then of what is not written yet */
        size_t length, allocated;
        int fd; /* of the new file */
        struct error *e;
};

static int reserve(struct lines *lines, size_t length)
{
        if (length <= lines->allocated)
                return 0;
        char *bytes = realloc(lines->bytes, length);
        if (bytes == NULL)
                return error_set(lines->e, ENOMEM, "no memory for " LOST_FILE);
        lines->bytes = bytes;
        lines->allocated = length;
        return 0;
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

/* JSON has no quote inside a string without a backslash before it: what looks like the member is the member. */
static void drop_segment(struct lines *lines, const char *segment)
{
        char member[64];
        char *from = lines->bytes, *to = from, *end = from + lines->length;
        int length = snprintf(member, sizeof(member), "\"segment\":\"%s\"", segment);
        while (from < end) {
                char *next = (char *) memchr(from, '\n', (size_t) (end - from)) + 1;
                size_t n = (size_t) (next - from);
                if (memmem(from, n, member, (size_t) length) == NULL) {
                        memmove(to, from, n);
                        to += n;
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

static int put(struct json_object *object, const char *key, struct json_object *value)
{
        return value == NULL ? -ENOMEM : json_add(object, key, value);
}

static struct json_object *line_of(const struct commit_plan *plan, const struct text *id, const char *now)
{
        CLEANUP(json_object_put)
        struct json_object *line = json_object_new_object();
        if (line == NULL || put(line, "time", json_string(now)) < 0 || put(line, "collection", json_string(plan->id)) < 0 ||
            put(line, "segment", json_string(plan->collection->vector->id.bytes)) < 0 || put(line, "id", json_text(id)) < 0)
                return NULL;
        return TAKE(line);
}

static int append(struct lines *lines, const struct commit_plan *plan, const struct text *id, const char *now)
{
        CLEANUP(json_object_put)
        struct json_object *line = line_of(plan, id, now);
        const char *text = line == NULL ? NULL : json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN);
        if (text == NULL)
                return error_set(lines->e, ENOMEM, "no memory for a line of " LOST_FILE);
        size_t length = strlen(text);
        int r = lines->length + length >= PIECE_BYTES ? flush(lines) : 0;
        if (r == 0)
                r = reserve(lines, lines->length + length + 1);
        if (r < 0)
                return r;
        memcpy(lines->bytes + lines->length, text, length);
        lines->length += length;
        lines->bytes[lines->length++] = '\n';
        return 0;
}

static int append_all(struct lines *lines, const struct commit_plan *plan, const struct commit_saved *saved)
{
        char now[32];
        struct tm tm;
        time_t seconds = time(NULL);
        (void) strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
        int r = flush(lines);
        for (size_t i = 0; r == 0 && i < saved->lost_count; i++)
                r = append(lines, plan, &saved->lost[i], now);
        if (r == 0)
                r = flush(lines);
        return r < 0 ? r : own_file_sync(&lost_file, lines->fd, lines->e);
}

static int replace(struct lines *lines, const struct commit_plan *plan, const struct commit_saved *saved)
{
        struct state_dir *state = plan->session->op->state;
        CLEANUP(close)
        int fd = own_file_stage(&lost_file, state, lines->e);
        if (fd < 0)
                return fd;
        lines->fd = fd;
        int r = append_all(lines, plan, saved);
        if (r == 0)
                return own_file_replace(&lost_file, state, lines->e);
        own_file_drop(&lost_file, state);
        return r;
}

int commit_plan_write_lost(const struct commit_plan *plan)
{
        struct operation *op = plan->session->op;
        struct commit_saved saved = { 0 };
        struct lines lines = { .fd = -1, .e = &op->error };
        if (plan->vector != NULL)
                saved = commit_vector_saved(plan->vector);
        if (saved.lost_count == 0)
                return 0;
        int r = read_old(&lines, op->state);
        if (r == 0) {
                drop_segment(&lines, plan->collection->vector->id.bytes);
                r = replace(&lines, plan, &saved);
        }
        free(lines.bytes);
        return r;
}
