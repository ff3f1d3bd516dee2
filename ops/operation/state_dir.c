/*
 * .chromafs/ is made and opened step by step, each through the descriptor of the one before. Who can write to the persist directory may have put
 * anything under these names, and root may be the one who follows them: so what is opened is examined through its descriptor, and whatever we
 * would not have made ourselves is refused and left alone.
 */
#include "ops/operation/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "ops/db.h"
#include "ops/operation/plain_dir.h"
#include "ops/operation/state_dir_parts.h"

static int fail(struct error *e, int err, const char *shown, const char *what)
{
        return error_set(e, err, "%s %s: %s", shown, what, strerror(err));
}

/* What is not of our making. */

static int refuse(int code, const char *shown, struct error *e)
{
        if (code == -ENOENT)
                return code; /* for the caller to judge */
        if (code == -ELOOP || code == -ENOTDIR)
                return error_set(e, EPERM, "%s is a %s, and no directory of chromafs: move it away", shown,
                                 code == -ELOOP ? "symbolic link" : "file");
        if (code == -EXDEV)
                return error_set(e, EPERM, "%s is on another file system: unmount it", shown);
        return fail(e, -code, shown, "can't be opened");
}

static int examine(const struct state_dir *state, int fd, const char *shown, struct error *e)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return fail(e, errno, shown, "can't be examined");
        if (st.st_dev != state->dev)
                return error_set(e, EPERM, "%s is on another file system: move it away", shown);
        if (st.st_uid != state->uid && st.st_uid != state->persist_uid && st.st_uid != geteuid())
                return error_set(e, EPERM,
                                 "%s belongs to user %u, and chroma.sqlite3 to user %u: move it away, or give it to that one",
                                 shown, st.st_uid, state->uid);
        if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
                return error_set(e, EPERM, "%s can be written to by others (mode %03o): see what is in it, then chmod it to 700",
                                 shown, st.st_mode & 07777u);
        return 0;
}

int state_dir_open_ours(const struct state_dir *state, int parent, const char *name, const char *shown, struct error *e)
{
        CLEANUP(close)
        int fd = plain_dir_open(parent, name);
        if (fd < 0)
                return refuse(fd, shown, e);
        int r = examine(state, fd, shown, e);
        if (r < 0)
                return r;
        int opened = fd;
        fd = -1;
        return opened;
}

/* What is made. */

int state_dir_own(const struct state_dir *state, int fd, struct error *e)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return fail(e, errno, "what was made in " STATE_DIR, "can't be examined");
        if (st.st_uid == state->uid && st.st_gid == state->gid)
                return 0;
        if (fchown(fd, st.st_uid == state->uid ? (uid_t) -1 : state->uid, state->gid) == 0)
                return 0;
        int err = errno;
        /* An owner who is not in the file's group can't give anything to it; without a bit for the group nothing depends on it. */
        if (err == EPERM && st.st_uid == state->uid && (st.st_mode & S_IRWXG) == 0)
                return 0;
        return error_set(e, err,
                         "what chromafs makes in " STATE_DIR " can't be given to user %u and group %u, who own " DB_FILE ": %s",
                         state->uid, state->gid, strerror(err));
}

/* Who owns the directory above can put another one in the place of the one that was made, before it is opened: one of root's perhaps, which root would then give
   away. What is empty has nothing to give. */
static int finish_made(const struct state_dir *state, int parent, int fd, const char *shown, struct error *e)
{
        int holds = plain_dir_holds(fd, NULL, e);
        if (holds != 0)
                return holds < 0 ? holds : error_set(e, EPERM, "%s was exchanged while it was made: see what it is", shown);
        if (fchmod(fd, 0700) < 0) /* whatever the umask and the parent made of it */
                return fail(e, errno, shown, "can't be given its mode");
        int r = state_dir_own(state, fd, e);
        if (r == 0)
                r = plain_dir_sync(fd, shown, e);
        return r < 0 ? r : plain_dir_sync(parent, shown, e);
}

int state_dir_make(const struct state_dir *state, int parent, const char *name, const char *shown, struct error *e)
{
        if (mkdirat(parent, name, 0700) < 0)
                return errno == EEXIST ? -EEXIST : fail(e, errno, shown, "can't be made");
        CLEANUP(close)
        int fd = state_dir_open_ours(state, parent, name, shown, e);
        int r = fd < 0 ? fd : finish_made(state, parent, fd, shown, e);
        if (r < 0) {
                (void) unlinkat(parent, name, AT_REMOVEDIR);
                return r;
        }
        int made = fd;
        fd = -1;
        return made;
}

/* Root was killed between making it and giving it away: its owner could not use it. Nothing is in it then, and nothing is given away that was not ours. */
static int finish_left(const struct state_dir *state, int parent, int fd, const char *shown, struct error *e)
{
        struct stat st;
        if (geteuid() != 0 || state->uid == 0 || fstat(fd, &st) < 0 || st.st_uid != 0)
                return 0;
        int r = plain_dir_holds(fd, NULL, e);
        return r == 0 ? finish_made(state, parent, fd, shown, e) : r < 0 ? r : 0;
}

static int open_finished(const struct state_dir *state, int parent, const char *name, const char *shown, struct error *e)
{
        CLEANUP(close)
        int fd = state_dir_open_ours(state, parent, name, shown, e);
        int r = fd < 0 ? fd : finish_left(state, parent, fd, shown, e);
        if (r < 0)
                return r;
        int opened = fd;
        fd = -1;
        return opened;
}

static int open_or_make(const struct state_dir *state, int parent, const char *name, const char *shown, struct error *e)
{
        int fd = open_finished(state, parent, name, shown, e);
        if (fd == -ENOENT)
                fd = state_dir_make(state, parent, name, shown, e);
        if (fd == -EEXIST) /* somebody was quicker */
                fd = open_finished(state, parent, name, shown, e);
        return fd == -ENOENT ? error_set(e, EAGAIN, "%s is being removed by someone else", shown) : fd;
}

/* Opened and closed as a whole. */

static int read_owners(struct state_dir *state, struct error *e)
{
        struct stat dir, db;
        if (fstat(state->persist_fd, &dir) < 0)
                return fail(e, errno, "the directory", "can't be examined");
        if (fstatat(state->persist_fd, DB_FILE, &db, AT_SYMLINK_NOFOLLOW) < 0)
                return fail(e, errno, DB_FILE, "can't be examined");
        if (!S_ISREG(db.st_mode))
                return error_set(e, EPERM, DB_FILE " is no regular file");
        state->dev = dir.st_dev;
        state->persist_uid = dir.st_uid;
        state->uid = db.st_uid;
        state->gid = db.st_gid;
        return 0;
}

/* *ret is the caller's to free even when it fails. */
static int begin(int persist_fd, struct state_dir **ret, struct error *e)
{
        struct state_dir *state = malloc(sizeof(*state));
        if (state == NULL)
                return error_set(e, ENOMEM, "no memory to open " STATE_DIR);
        *state = (struct state_dir){ .persist_fd = -1, .fd = -1, .stage_fd = -1, .trash_fd = -1 };
        *ret = state;
        state->persist_fd = fcntl(persist_fd, F_DUPFD_CLOEXEC, 0);
        if (state->persist_fd < 0)
                return fail(e, errno, "the directory", "can't be opened once more");
        return read_owners(state, e);
}

typedef int open_fn(const struct state_dir *state, int parent, const char *name, const char *shown, struct error *e);

static int open_below(struct state_dir *state, open_fn *open_one, bool optional, struct error *e)
{
        state->stage_fd = open_one(state, state->fd, "stage", STATE_DIR "/stage", e);
        if (state->stage_fd < 0 && !(optional && state->stage_fd == -ENOENT))
                return state->stage_fd;
        state->trash_fd = open_one(state, state->fd, "trash", STATE_DIR "/trash", e);
        return state->trash_fd < 0 && !(optional && state->trash_fd == -ENOENT) ? state->trash_fd : 0;
}

int state_dir_open(int persist_fd, struct state_dir **ret, struct error *e)
{
        CLEANUP(state_dir_free)
        struct state_dir *state = NULL;
        int r = begin(persist_fd, &state, e);
        if (r < 0)
                return r;
        state->fd = open_or_make(state, persist_fd, STATE_DIR, STATE_DIR, e);
        r = state->fd < 0 ? state->fd : open_below(state, open_or_make, false, e);
        if (r < 0)
                return r;
        *ret = TAKE(state);
        return 0;
}

int state_dir_look(int persist_fd, struct state_dir **ret, struct error *e)
{
        CLEANUP(state_dir_free)
        struct state_dir *state = NULL;
        int r = begin(persist_fd, &state, e);
        if (r < 0)
                return r;
        state->fd = state_dir_open_ours(state, persist_fd, STATE_DIR, STATE_DIR, e);
        if (state->fd == -ENOENT) {
                *ret = NULL;
                return 0;
        }
        r = state->fd < 0 ? state->fd : open_below(state, state_dir_open_ours, true, e);
        if (r < 0)
                return r;
        *ret = TAKE(state);
        return 0;
}

struct state_dir *state_dir_free(struct state_dir *state)
{
        if (state == NULL)
                return NULL;
        close_cleanup(&state->trash_fd);
        close_cleanup(&state->stage_fd);
        close_cleanup(&state->fd);
        close_cleanup(&state->persist_fd);
        free(state);
        return NULL;
}

int state_dir_fd(const struct state_dir *state)
{
        return state->fd;
}

int state_dir_stage_fd(const struct state_dir *state)
{
        return state->stage_fd < 0 ? -1 : state->stage_fd;
}

int state_dir_trash_fd(const struct state_dir *state)
{
        return state->trash_fd < 0 ? -1 : state->trash_fd;
}

int state_dir_persist_fd(const struct state_dir *state)
{
        return state->persist_fd;
}
