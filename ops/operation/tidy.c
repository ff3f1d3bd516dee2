/*
 * stage/ is empty while no operation runs: what an operation makes there ends under its final name, or is removed. So whatever is there under the directory's lock
 * was left by one that was killed, before the commit that would have needed it. It is kept for a week nevertheless. But a note of commit says of more than itself what has to go.
 */
#include "ops/operation/tidy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "ops/json.h"
#include "ops/commit/switch.h"
#include "ops/operation/plain_dir.h"

bool tidy_is_needed(int persist_fd)
{
        CLEANUP(state_dir_free)
        struct state_dir *state = NULL;
        if (state_dir_look(persist_fd, &state, NULL) < 0 || state == NULL)
                return false;
        int stage = state_dir_stage_fd(state);
        return (stage >= 0 && plain_dir_holds(stage, NULL, NULL) > 0) || trash_is_due(state);
}

/* Worth nothing to anyone. SQLite's temporary files are among them: write_vfs.c gives them their names. */
static bool is_temporary(const char *name)
{
        return strncmp(name, STAGE_TEMPORARY, strlen(STAGE_TEMPORARY)) == 0;
}

static int put_away(struct state_dir *state, struct trash **trash, const char *name, struct error *e)
{
        int stage = state_dir_stage_fd(state);
        if (is_temporary(name)) {
                if (unlinkat(stage, name, 0) == 0 || errno == ENOENT)
                        return 0;
                if (errno != EISDIR)
                        return error_set(e, errno, STATE_DIR "/stage/%s can't be removed: %s", name, strerror(errno));
        }
        int r = commit_switch_tidy(state, name, e);
        if (r != 0)
                return r < 0 ? r : 0;
        if (faccessat(stage, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
                return 0; /* went with a note */
        r = *trash == NULL ? trash_new(state, operation_tidy.name, COMMAND_KEEP_DAYS, trash, e) : 0;
        return r < 0 ? r : trash_take(*trash, stage, name, e);
}

/* Notes of switches (commit_switch.h) tell what other entries, and directories elsewhere, are: they come first. */
static int follow_notes(struct state_dir *state, struct error *e)
{
        CLEANUP(closedir)
        DIR *dir = NULL;
        const char *name = NULL;
        int first = 0, r = plain_dir_list(state_dir_stage_fd(state), &dir, e);
        while (r >= 0 && (r = plain_dir_next(dir, &name, first < 0 ? NULL : e)) > 0) {
                r = commit_switch_tidy(state, name, first < 0 ? NULL : e);
                if (first == 0 && r < 0)
                        first = r;
                r = 0;
        }
        return first < 0 ? first : r;
}

/* Goes on behind what can't be moved: the rest should not have to wait for it. */
static int empty_stage(struct state_dir *state, struct trash **trash, struct error *e)
{
        CLEANUP(closedir)
        DIR *dir = NULL;
        const char *name = NULL;
        int first = 0, r = plain_dir_list(state_dir_stage_fd(state), &dir, e);
        if (r < 0)
                return r;
        while ((r = plain_dir_next(dir, &name, first < 0 ? NULL : e)) > 0) {
                r = put_away(state, trash, name, first < 0 ? NULL : e);
                if (first == 0)
                        first = r;
        }
        return first < 0 ? first : r;
}

int tidy_stage(struct state_dir *state, struct error *e)
{
        CLEANUP(trash_free)
        struct trash *trash = NULL;
        int r = follow_notes(state, e);
        if (r == 0)
                r = empty_stage(state, &trash, e);
        if (r < 0 && trash != NULL)
                trash_give_up(trash);
        return r;
}

int tidy(struct state_dir *state, struct error *e)
{
        int r = tidy_stage(state, e);
        int expired = trash_expire(state, r < 0 ? NULL : e);
        return r < 0 ? r : expired;
}

static int run(struct operation *op)
{
        if (op->state == NULL) /* dry_run */
                return json_add(op->result, "needed", json_object_new_boolean(tidy_is_needed(op->dirfd)));
        return tidy(op->state, &op->error);
}

const struct operation_type operation_tidy = {
        .name = "tidy",
        .summary = "Moves what an operation that was killed has left to the trash, and empties old trash",
        .forced = "It does the same",
        .silent = true,
        .run = run,
};
