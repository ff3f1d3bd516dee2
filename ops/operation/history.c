/*
 * A line is appended with one write; when that fails in the middle, the file is cut back to where it ended. A crash can still leave the beginning of a line:
 * the next one then begins with a newline, and readers leave out what is no JSON.
 *
 * When the file gets too long its newer half is copied to the stage, and that file takes its name: whoever reads the old one still has it, and a crash
 * leaves the one or the other.
 */
#include "ops/operation/history.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ops/cleanup.h"
#include "ops/file.h"
#include "ops/json.h"
#include "ops/operation/own_file.h"

static const struct own_file history = { HISTORY_FILE, STAGE_TEMPORARY "history" };

static int fail(struct error *e, int err, const char *what)
{
        return own_file_fail(&history, err, what, e);
}

/* Writes all at the end of the file, or nothing, and syncs. */
static int append(int fd, const char *bytes, size_t len, uint64_t size, struct error *e)
{
        int r = own_file_write(&history, fd, bytes, len, e);
        if (r == 0)
                r = own_file_sync(&history, fd, e);
        if (r < 0 && ftruncate(fd, (off_t) size) < 0)
                return fail(e, -r, "written, nor cut back");
        return r;
}

/* The last `most` bytes of a file of `size`, from the beginning of a line on. *ret is the caller's. */
static int read_tail(int fd, uint64_t size, size_t most, struct text *ret, struct error *e)
{
        size_t want = size < most ? (size_t) size : most;
        CLEANUP(free)
        char *bytes = malloc(want + 1);
        if (bytes == NULL)
                return error_set(e, ENOMEM, "no memory for the history");
        ssize_t n = file_pread(fd, bytes, want, size - want);
        if (n < 0)
                return fail(e, (int) -n, "read");
        size_t len = (size_t) n, from = 0;
        if (want < size) { /* it begins inside of a line */
                const char *newline = memchr(bytes, '\n', len);
                from = newline != NULL ? (size_t) (newline - bytes) + 1 : len;
        }
        memmove(bytes, bytes + from, len - from);
        bytes[len - from] = '\0';
        *ret = (struct text){ TAKE(bytes), len - from };
        return 0;
}

/* The newer half of the lines becomes the file. */
static int shorten(struct state_dir *state, int fd, uint64_t size, struct error *e)
{
        size_t keep = size / 2 < HISTORY_SIZE_MAX / 2 ? (size_t) (size / 2) : HISTORY_SIZE_MAX / 2;
        struct text tail = { 0 };
        int r = read_tail(fd, size, keep, &tail, e);
        if (r < 0)
                return r;
        CLEANUP(free)
        char *bytes = tail.bytes;
        CLEANUP(close)
        int staged = own_file_stage(&history, state, e);
        if (staged < 0)
                return staged;
        r = append(staged, bytes, tail.len, 0, e);
        if (r < 0)
                own_file_drop(&history, state);
        return r < 0 ? r : own_file_replace(&history, state, e);
}

/* The same object with null for its result: an outcome that is far too long. */
static struct json_object *without_result(struct json_object *outcome)
{
        struct json_object *copy = json_object_new_object();
        if (copy == NULL)
                return NULL;
        struct json_object_iterator i = json_object_iter_begin(outcome), end = json_object_iter_end(outcome);
        for (; !json_object_iter_equal(&i, &end); json_object_iter_next(&i)) {
                const char *key = json_object_iter_peek_name(&i);
                struct json_object *value = json_object_iter_peek_value(&i);
                if (json_add(copy, key, strcmp(key, "result") == 0 ? NULL : json_object_get(value)) < 0) {
                        json_object_put(copy);
                        return NULL;
                }
        }
        return copy;
}

/* "\n" + line + "\n": the first newline is for the end of a torn line. *ret is the caller's. */
static int render(struct json_object *outcome, struct text *ret)
{
        size_t len = 0;
        const char *json =
                json_object_to_json_string_length(outcome, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
        char *bytes = json != NULL ? malloc(len + 3) : NULL;
        if (bytes == NULL)
                return -ENOMEM;
        (void) snprintf(bytes, len + 3, "\n%s\n", json);
        *ret = (struct text){ bytes, len + 2 };
        return 0;
}

static int render_short(struct json_object *outcome, struct text *ret, struct error *e)
{
        struct text line = { 0 };
        int r = render(outcome, &line);
        if (r == 0 && line.len > HISTORY_LINE_MAX) {
                struct json_object *copy = without_result(outcome);
                free(TAKE(line.bytes));
                r = copy != NULL ? render(copy, &line) : -ENOMEM;
                json_object_put(copy);
        }
        if (r < 0)
                return error_set(e, ENOMEM, "no memory for a line of the history");
        *ret = line;
        return 0;
}

/* Whether the file's last line has no end. */
static bool is_torn(int fd, uint64_t size)
{
        char last = '\n';
        return size > 0 && (file_pread(fd, &last, 1, size - 1) != 1 || last != '\n');
}

static int add_line(struct state_dir *state, const struct text *line, struct error *e)
{
        uint64_t size = 0;
        CLEANUP(close)
        int fd = own_file_open(&history, state, &size, e);
        if (fd >= 0 && size > HISTORY_SIZE_MAX - line->len) {
                int r = shorten(state, fd, size, e);
                if (r < 0)
                        return r;
                (void) close(fd);
                fd = own_file_open(&history, state, &size, e);
        }
        if (fd < 0)
                return fd;
        size_t skip = is_torn(fd, size) ? 0 : 1;
        return append(fd, line->bytes + skip, line->len - skip, size, e);
}

int history_add(struct state_dir *state, struct json_object *outcome, struct error *e)
{
        struct text line = { 0 };
        int r = render_short(outcome, &line, e);
        if (r < 0)
                return r;
        r = add_line(state, &line, e);
        free(line.bytes);
        return r;
}

static bool is_good(const char *line, size_t len)
{
        struct json_object *object = NULL;
        bool good =
                utf8_valid(line, len) && json_parse(line, len, &object, NULL) == 0 && json_object_is_type(object, json_type_object);
        json_object_put(object);
        return good;
}

/* Leaves out, in place, what is no whole good line. */
static void filter(struct text *t)
{
        size_t kept = 0;
        const char *end = t->bytes + t->len;
        for (const char *line = t->bytes, *newline; (newline = memchr(line, '\n', (size_t) (end - line))) != NULL;
             line = newline + 1) {
                size_t len = (size_t) (newline - line);
                if (!is_good(line, len))
                        continue;
                memmove(t->bytes + kept, line, len + 1);
                kept += len + 1;
        }
        t->len = kept;
        t->bytes[kept] = '\0';
}

static int empty(struct text *ret, struct error *e)
{
        return text_copy(ret, "", 0) < 0 ? error_set(e, ENOMEM, "no memory for the history") : 0;
}

static int read_all(const struct state_dir *state, struct text *ret, struct error *e)
{
        int dirfd = state_dir_fd(state);
        if (!file_stamp_at(dirfd, HISTORY_FILE).present)
                return empty(ret, e);
        CLEANUP(close)
        int fd = file_open_regular(dirfd, HISTORY_FILE, NULL, e);
        if (fd < 0)
                return fd;
        uint64_t size = 0;
        int r = own_file_check(&history, state, fd, &size, e);
        if (r == 0)
                r = read_tail(fd, size, HISTORY_SIZE_MAX, ret, e);
        if (r == 0)
                filter(ret);
        return r;
}

int history_read(int persist_fd, struct text *ret, struct error *e)
{
        CLEANUP(state_dir_free)
        struct state_dir *state = NULL;
        int r = state_dir_look(persist_fd, &state, e);
        if (r < 0)
                return r;
        if (state == NULL)
                return empty(ret, e);
        return read_all(state, ret, e);
}
