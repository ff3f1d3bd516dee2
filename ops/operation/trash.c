/*
 * The trash, filled: a folder for each operation that takes something away.
 *
 * A folder's name is the time of its making, in UTC; trash.json adds by which operation it was made, and for how many days it is kept. That file is
 * written and synced before anything is moved into the folder, so one that is torn or missing is of an empty folder, or not ours. What is taken
 * is renamed, never copied: at every instant it is in one place, whole.
 */
#include "ops/operation/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ops/file.h"
#include "ops/json.h"
#include "ops/operation/plain_dir.h"
#include "ops/operation/state_dir_parts.h"

struct trash {
        struct state_dir *state;
        int fd;
        char path[8 + TRASH_NAME_SIZE]; /* "trash/" and the name */
};

static const char *folder_name(const struct trash *trash)
{
        return trash->path + strlen("trash/");
}

/* trash.json, written. */

static struct json_object *describe(const char *operation, time_t time, unsigned keep_days)
{
        struct tm tm;
        char text[TRASH_NAME_SIZE] = "";
        if (gmtime_r(&time, &tm) != NULL)
                (void) strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
        struct json_object *object = json_object_new_object();
        if (object == NULL || json_add(object, "operation", json_string(operation)) < 0 ||
            json_add(object, "time", json_string(text)) < 0 ||
            json_add(object, "keep_days", json_object_new_int64(keep_days)) < 0) {
                json_object_put(object);
                return NULL;
        }
        return object;
}

static int write_json(const struct trash *trash, const struct text *text, struct error *e)
{
        CLEANUP(close)
        int fd = openat(trash->fd, TRASH_JSON, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || fchmod(fd, 0600) < 0)
                return error_set(e, errno, TRASH_JSON " can't be made: %s", strerror(errno));
        int r = state_dir_own(trash->state, fd, e);
        if (r < 0)
                return r;
        r = file_write(fd, text->bytes, text->len);
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        if (r < 0)
                return error_set(e, -r, TRASH_JSON " can't be written: %s", strerror(-r));
        return plain_dir_sync(trash->fd, "a folder of the trash", e);
}

static int add_json(const struct trash *trash, const char *operation, time_t time, unsigned keep_days, struct error *e)
{
        struct json_object *object = describe(operation, time, keep_days);
        struct text text = { 0 };
        int r = object == NULL ? -ENOMEM : json_render(object, &text);
        json_object_put(object);
        if (r < 0)
                return error_set(e, ENOMEM, "no memory to write " TRASH_JSON);
        r = write_json(trash, &text, e);
        free(text.bytes);
        return r;
}

/* A folder of it. */

static int make_folder(struct trash *trash, time_t time, struct error *e)
{
        char name[TRASH_NAME_SIZE];
        int r = trash_format_name(time, name, e);
        for (int n = 1; r == 0 && n <= TRASH_SAME_MAX; n++) {
                char suffix[8] = "", shown[sizeof(STATE_DIR "/") + sizeof(trash->path)];
                if (n > 1)
                        (void) snprintf(suffix, sizeof(suffix), "-%d", n);
                (void) snprintf(trash->path, sizeof(trash->path), "trash/%.*s%s", TRASH_TIME_LENGTH, name, suffix);
                (void) snprintf(shown, sizeof(shown), STATE_DIR "/%s", trash->path);
                trash->fd = state_dir_make(trash->state, trash->state->trash_fd, folder_name(trash), shown, e);
                if (trash->fd != -EEXIST)
                        return trash->fd < 0 ? trash->fd : 0;
        }
        return r < 0 ? r : error_set(e, EEXIST, STATE_DIR "/trash has every name that this second can give: wait a second");
}

int trash_new(struct state_dir *state, const char *operation, unsigned keep_days, struct trash **ret, struct error *e)
{
        CLEANUP(trash_free)
        struct trash *trash = malloc(sizeof(*trash));
        if (trash == NULL)
                return error_set(e, ENOMEM, "no memory for a folder of the trash");
        *trash = (struct trash){ .state = state, .fd = -1 };
        time_t now = time(NULL);
        int r = make_folder(trash, now, e);
        if (r < 0)
                return r;
        r = add_json(trash, operation, now, keep_days, e);
        if (r < 0) {
                trash_give_up(trash);
                return r;
        }
        *ret = TAKE(trash);
        return 0;
}

int trash_fd(const struct trash *trash)
{
        return trash->fd;
}

const char *trash_name(const struct trash *trash)
{
        return trash->path;
}

void trash_give_up(struct trash *trash)
{
        if (plain_dir_holds(trash->fd, TRASH_JSON, NULL) != 0)
                return;
        (void) unlinkat(trash->fd, TRASH_JSON, 0);
        (void) unlinkat(trash->state->trash_fd, folder_name(trash), AT_REMOVEDIR);
        (void) plain_dir_sync(trash->state->trash_fd, "trash", NULL);
}

struct trash *trash_free(struct trash *trash)
{
        if (trash == NULL)
                return NULL;
        close_cleanup(&trash->fd);
        free(trash);
        return NULL;
}

/* Moves without replacing anything, also where the file system does not know how to: nobody else writes to our folder. */
static int move_to(int from, const char *name, int to, const char *new_name)
{
        struct stat st;
        if (renameat2(from, name, to, new_name, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -errno;
        if (fstatat(to, new_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return -EEXIST;
        return renameat(from, name, to, new_name) == 0 ? 0 : -errno;
}

int trash_take(struct trash *trash, int from, const char *name, struct error *e)
{
        if (!plain_name(name))
                return error_set(e, EINVAL, "\"%s\" is no plain name", name);
        int r = move_to(from, name, trash->fd, name);
        for (int n = 2; r == -EEXIST && n <= TRASH_SAME_MAX; n++) {
                char other[NAME_MAX + 8];
                (void) snprintf(other, sizeof(other), "%s-%d", name, n);
                r = move_to(from, name, trash->fd, other);
        }
        if (r < 0)
                return error_set(e, -r, "%s can't be moved to " STATE_DIR "/%s: %s", name, trash->path, strerror(-r));
        r = plain_dir_sync(trash->fd, "a folder of the trash", e);
        return r < 0 ? r : plain_dir_sync(from, "the directory that it was in", e);
}
