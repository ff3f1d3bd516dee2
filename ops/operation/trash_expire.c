/*
 * The trash, emptied: everything in it is read as a stranger's.
 *
 * - Only a name of our form makes a folder removable, and only the time in that name counts, by the clock: a time in the future keeps it. trash.json only says how
 *   many days it is kept; one that is not of our making says nothing.
 * - Removing begins with what the folder holds and ends with trash.json: killed in between, a smaller folder of the trash is left, which is as
 *   old as before.
 */
#include "ops/operation/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "ops/file.h"
#include "ops/json.h"
#include "ops/operation/command.h"
#include "ops/operation/plain_dir.h"
#include "ops/operation/state_dir_parts.h"

#define TRASH_JSON_MAX 65536

/* Names. */

int trash_format_name(time_t time, char name[TRASH_NAME_SIZE], struct error *e)
{
        struct tm tm;
        if (time < 0 || gmtime_r(&time, &tm) == NULL || tm.tm_year > 9999 - 1900)
                return error_set(e, ERANGE, "the clock of this machine is wrong: it is not between 1970 and 9999");
        (void) strftime(name, TRASH_NAME_SIZE, "%Y%m%dT%H%M%SZ", &tm);
        return 0;
}

static bool parse_digits(const char *s, int count, int *ret)
{
        int n = 0;
        for (int i = 0; i < count; i++) {
                if (s[i] < '0' || s[i] > '9')
                        return false;
                n = n * 10 + (s[i] - '0');
        }
        *ret = n;
        return true;
}

/* "" or "-2" to "-9999". */
static bool is_suffix(const char *s)
{
        size_t len = strlen(s);
        int n = 0;
        if (len == 0)
                return true;
        return s[0] == '-' && s[1] != '0' && len >= 2 && len <= 5 && parse_digits(s + 1, (int) len - 1, &n) && n >= 2;
}

/* The time in a name of our form. */
bool trash_parse_name(const char *name, time_t *ret)
{
        struct tm tm = { 0 };
        if (strlen(name) < TRASH_TIME_LENGTH || name[8] != 'T' || name[15] != 'Z' || !is_suffix(name + TRASH_TIME_LENGTH))
                return false;
        if (!parse_digits(name, 4, &tm.tm_year) || !parse_digits(name + 4, 2, &tm.tm_mon) ||
            !parse_digits(name + 6, 2, &tm.tm_mday) || !parse_digits(name + 9, 2, &tm.tm_hour) ||
            !parse_digits(name + 11, 2, &tm.tm_min) || !parse_digits(name + 13, 2, &tm.tm_sec))
                return false;
        tm.tm_year -= 1900;
        tm.tm_mon--;
        time_t time = timegm(&tm);
        char again[TRASH_NAME_SIZE];
        if (trash_format_name(time, again, NULL) < 0 || strncmp(again, name, TRASH_TIME_LENGTH) != 0)
                return false; /* a 31st of June: not of our making */
        *ret = time;
        return true;
}

/* Old folders. */

/* keep_days of an object that is one of ours, or -1. */
static int64_t keep_days_of(struct json_object *object)
{
        struct json_object *days = NULL, *operation = NULL;
        if (!json_object_is_type(object, json_type_object) || !json_object_object_get_ex(object, "operation", &operation) ||
            !json_object_is_type(operation, json_type_string) || !json_object_object_get_ex(object, "keep_days", &days) ||
            !json_object_is_type(days, json_type_int))
                return -1;
        return json_object_get_int64(days);
}

static int64_t parse_days(const char *bytes, size_t len)
{
        struct json_object *object = NULL;
        if (json_parse(bytes, len, &object, NULL) < 0)
                return -1;
        int64_t days = keep_days_of(object);
        json_object_put(object);
        return days;
}

/* How many days the folder is kept: what is not of our making says nothing. A failure to read is one. */
static int read_days(int folder, int64_t *ret, struct error *e)
{
        *ret = COMMAND_KEEP_DAYS;
        struct file_stamp stamp;
        struct error failure = { 0 };
        CLEANUP(close)
        int fd = file_open_regular(folder, TRASH_JSON, &stamp, &failure);
        if (fd == -ENOENT || fd == -ELOOP || fd == -EILSEQ || fd == -ENXIO)
                return 0;
        if (fd < 0)
                return error_set(e, -fd, "%s", failure.text);
        if (stamp.size > TRASH_JSON_MAX)
                return 0;
        CLEANUP(free)
        char *bytes = malloc(TRASH_JSON_MAX);
        ssize_t len = bytes == NULL ? -ENOMEM : file_pread(fd, bytes, TRASH_JSON_MAX, 0);
        if (len < 0)
                return error_set(e, (int) -len, TRASH_JSON " can't be read: %s", strerror((int) -len));
        int64_t days = parse_days(bytes, (size_t) len);
        if (days >= 0)
                *ret = days;
        return 0;
}

static bool is_over(time_t made, int64_t days, time_t now)
{
        int64_t seconds, until;
        if (__builtin_mul_overflow(days, 86400, &seconds) || __builtin_add_overflow(made, seconds, &until))
                return false;
        return until <= now;
}

/* Opens a folder when it is one that may go now: a descriptor, -ENOENT when not, or a failure. */
static int open_due(const struct state_dir *state, const char *name, struct error *e)
{
        time_t made = 0, now = time(NULL);
        int64_t days = 0;
        if (!trash_parse_name(name, &made) || made > now)
                return -ENOENT;
        CLEANUP(close)
        int fd = state_dir_open_ours(state, state->trash_fd, name, name, NULL);
        if (fd < 0)
                return fd == -EPERM    ? -ENOENT
                       : fd == -ENOENT ? fd
                                       : error_set(e, -fd, STATE_DIR "/trash/%s can't be opened: %s", name, strerror(-fd));
        int r = read_days(fd, &days, e);
        if (r < 0)
                return error_prefix(e, r, STATE_DIR "/trash/%s", name);
        if (!is_over(made, days, now))
                return -ENOENT;
        int due = fd;
        fd = -1;
        return due;
}

static int remove_folder(const struct state_dir *state, int fd, const char *name, struct error *e)
{
        int r = tree_empty(fd, TRASH_JSON, e);
        if (r < 0)
                return error_prefix(e, r, STATE_DIR "/trash/%s", name);
        r = file_stamp_at(fd, TRASH_JSON).present ? tree_remove(fd, TRASH_JSON, e) : 0;
        if (r < 0)
                return error_prefix(e, r, STATE_DIR "/trash/%s", name);
        if (unlinkat(state->trash_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return error_set(e, errno, STATE_DIR "/trash/%s can't be removed: %s", name, strerror(errno));
        return 0;
}

static int expire(const struct state_dir *state, const char *name, struct error *e)
{
        CLEANUP(close)
        int fd = open_due(state, name, e);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        return remove_folder(state, fd, name, e);
}

int trash_expire(struct state_dir *state, struct error *e)
{
        CLEANUP(closedir)
        DIR *dir = NULL;
        const char *name = NULL;
        int first = 0, r = plain_dir_list(state->trash_fd, &dir, e);
        if (r < 0)
                return r;
        while ((r = plain_dir_next(dir, &name, first < 0 ? NULL : e)) > 0) {
                r = expire(state, name, first < 0 ? NULL : e);
                if (first == 0)
                        first = r;
        }
        return first < 0 ? first : r;
}

bool trash_is_due(const struct state_dir *state)
{
        CLEANUP(closedir)
        DIR *dir = NULL;
        const char *name = NULL;
        if (state->trash_fd < 0 || plain_dir_list(state->trash_fd, &dir, NULL) < 0)
                return false;
        while (plain_dir_next(dir, &name, NULL) > 0) {
                CLEANUP(close)
                int fd = open_due(state, name, NULL);
                if (fd >= 0)
                        return true;
        }
        return false;
}
