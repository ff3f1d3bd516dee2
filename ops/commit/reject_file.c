/*
 * Made in the stage, like history.jsonl, so that a crash of root can't leave one that its owner may not open. The file is a stranger's input: it is a plain file with one
 * name, of one of us, so that a link can't make us append to a file elsewhere.
 */
#include "ops/commit/reject_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops/file.h"
#include "ops/commit/reject.h"
#include "ops/operation/plain_dir.h"

#define REJECTED_PATH STATE_DIR "/" REJECTED_FILE
#define STAGED_FILE STAGE_TEMPORARY "rejected"
#define CHUNK 65536u

static int fail(struct error *e, int err, const char *what)
{
        return error_set(e, err, REJECTED_PATH " can't be %s: %s", what, strerror(err));
}

static int open_plain(int dirfd, const char *name, uint64_t flags)
{
        struct open_how how = {
                .flags = flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                .mode = (flags & O_CREAT) != 0 ? 0600 : 0,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
        return fd < 0 ? -errno : (int) fd;
}

/* Gives the staged file its mode, its owner and its name. */
static int place(struct state_dir *state, int fd, struct error *e)
{
        int dirfd = state_dir_fd(state), stage = state_dir_stage_fd(state);
        if (fchmod(fd, 0600) < 0)
                return fail(e, errno, "given its mode");
        int r = state_dir_own(state, fd, e);
        if (r < 0)
                return r;
        if (renameat(stage, STAGED_FILE, dirfd, REJECTED_FILE) < 0)
                return fail(e, errno, "made");
        return plain_dir_sync(dirfd, STATE_DIR, e);
}

static int make(struct state_dir *state, struct error *e)
{
        int stage = state_dir_stage_fd(state);
        (void) unlinkat(stage, STAGED_FILE, 0); /* of a crash */
        CLEANUP(close)
        int fd = open_plain(stage, STAGED_FILE, O_RDWR | O_CREAT | O_EXCL | O_APPEND);
        if (fd < 0)
                return fail(e, -fd, "made");
        int made = fd, r = place(state, fd, e);
        if (r < 0) {
                (void) unlinkat(stage, STAGED_FILE, 0);
                return r;
        }
        fd = -1;
        return made;
}

static int check_own(const struct state_dir *state, int fd, struct stat *ret, struct error *e)
{
        struct stat dir;
        if (fstat(state_dir_fd(state), &dir) < 0 || fstat(fd, ret) < 0)
                return fail(e, errno, "examined");
        struct file_stamp database = file_stamp_at(state_dir_persist_fd(state), DB_FILE);
        bool ours = ret->st_uid == dir.st_uid || (database.present && ret->st_uid == database.uid);
        if (!ours || !S_ISREG(ret->st_mode) || ret->st_nlink > 1)
                return error_set(
                        e, EPERM,
                        REJECTED_PATH
                        " is not of chromafs' making (no plain file, a second name of one, or another user's): move it away");
        return 0;
}

static int open_or_make(struct state_dir *state, struct error *e)
{
        int fd = open_plain(state_dir_fd(state), REJECTED_FILE, O_RDWR | O_APPEND);
        if (fd == -ENOENT)
                return make(state, e);
        if (fd == -ELOOP || fd == -EXDEV)
                return error_set(e, EPERM, REJECTED_PATH " is a symbolic link: move it away");
        return fd < 0 ? fail(e, -fd, "opened") : fd;
}

int reject_file_open(struct state_dir *state, struct reject_file *ret, struct error *e)
{
        struct stat st = { 0 };
        CLEANUP(close)
        int fd = open_or_make(state, e);
        int r = fd < 0 ? fd : check_own(state, fd, &st, e);
        if (r == 0)
                r = plain_dir_sync(state_dir_fd(state), STATE_DIR, e); /* who made it may have been killed before */
        if (r < 0)
                return r;
        XXH3_state_t *hash = XXH3_createState();
        if (hash == NULL)
                return error_set(e, ENOMEM, "no memory for a line of " REJECTED_FILE);
        *ret = (struct reject_file){ .fd = fd, .size = (uint64_t) st.st_size, .tail = (uint64_t) st.st_size, .hash = hash };
        fd = -1;
        return 0;
}

void reject_file_close(struct reject_file *file)
{
        if (file->fd >= 0)
                (void) close(file->fd);
        (void) XXH3_freeState(file->hash);
        *file = (struct reject_file){ .fd = -1 };
}

/* The lines that end in these bytes. */
static void take_lines(struct reject_file *file, const char *bytes, size_t len, uint64_t offset, reject_line_fn *line,
                       void *context)
{
        const char *at = bytes, *end = bytes + len;
        for (const char *newline; (newline = memchr(at, '\n', (size_t) (end - at))) != NULL; at = newline + 1) {
                (void) XXH3_128bits_update(file->hash, at, (size_t) (newline - at) + 1);
                line(context, XXH3_128bits_digest(file->hash));
                (void) XXH3_128bits_reset(file->hash);
                file->tail = offset + (uint64_t) (newline - bytes) + 1;
        }
        (void) XXH3_128bits_update(file->hash, at, (size_t) (end - at));
}

int reject_file_scan(struct reject_file *file, struct db *db, reject_line_fn *line, void *context, struct error *e)
{
        CLEANUP(free)
        char *bytes = malloc(CHUNK);
        if (bytes == NULL)
                return error_set(e, ENOMEM, "no memory for a line of " REJECTED_FILE);
        (void) XXH3_128bits_reset(file->hash);
        file->tail = 0;
        for (uint64_t offset = 0; offset < file->size;) {
                if (db_is_cancelled(db))
                        return error_set(e, ECANCELED, "cancelled");
                size_t want = file->size - offset < CHUNK ? (size_t) (file->size - offset) : CHUNK;
                int r = file_pread_exact(file->fd, bytes, want, offset, REJECTED_PATH, e);
                if (r < 0)
                        return r;
                take_lines(file, bytes, want, offset, line, context);
                offset += want;
        }
        if (file->tail < file->size) {
                (void) XXH3_128bits_update(file->hash, "\n", 1);
                line(context, XXH3_128bits_digest(file->hash));
        }
        return 0;
}

int reject_file_tail(const struct reject_file *file, char ret[REJECT_TAIL_MAX], struct error *e)
{
        memset(ret, 0, REJECT_TAIL_MAX);
        ssize_t n = file_pread(file->fd, ret, REJECT_TAIL_MAX - 1, file->tail);
        return n < 0 ? fail(e, (int) -n, "read") : 0;
}

int reject_file_cut(struct reject_file *file, struct error *e)
{
        if (ftruncate(file->fd, (off_t) file->tail) < 0)
                return fail(e, errno, "cut");
        file->size = file->tail;
        return 0;
}

int reject_file_append(const struct reject_file *file, const char *bytes, size_t len, struct error *e)
{
        while (len > 0) {
                ssize_t n = write(file->fd, bytes, len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return fail(e, n < 0 ? errno : EIO, "written");
                bytes += n;
                len -= (size_t) n;
        }
        return 0;
}

int reject_file_sync(const struct reject_file *file, struct error *e)
{
        return fsync(file->fd) == 0 ? 0 : fail(e, errno, "synced");
}

int reject_file_undo(const struct reject_file *file, int r, struct error *e)
{
        if (ftruncate(file->fd, (off_t) file->size) < 0)
                return error_prefix(e, r, REJECTED_PATH " can't be cut back (%s)", strerror(errno));
        return r;
}
