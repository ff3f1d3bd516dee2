#include "ops/operation/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops/cleanup.h"
#include "ops/db.h"
#include "ops/file.h"
#include "ops/operation/plain_dir.h"

int own_file_fail(const struct own_file *file, int err, const char *what, struct error *e)
{
        return error_set(e, err, STATE_DIR "/%s can't be %s: %s", file->name, what, strerror(err));
}

/* Whether it is nowhere else, and belongs to whom we give it. That root is who asks makes no file of root's ours: who owns the directory may have moved it
   here. */
int own_file_check(const struct own_file *file, const struct state_dir *state, int fd, uint64_t *ret_size, struct error *e)
{
        struct stat dir, st;
        if (fstat(state_dir_fd(state), &dir) < 0 || fstat(fd, &st) < 0)
                return own_file_fail(file, errno, "examined", e);
        struct file_stamp database = file_stamp_at(state_dir_persist_fd(state), DB_FILE);
        bool ours = st.st_uid == dir.st_uid || (database.present && st.st_uid == database.uid);
        if (!ours || !S_ISREG(st.st_mode) || st.st_nlink > 1)
                return error_set(
                        e, EPERM,
                        STATE_DIR
                        "/%s is not of chromafs' making (no plain file, a second name of one, or another user's): move it away",
                        file->name);
        *ret_size = (uint64_t) st.st_size;
        return 0;
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

void own_file_drop(const struct own_file *file, struct state_dir *state)
{
        (void) unlinkat(state_dir_stage_fd(state), file->staged, 0);
}

int own_file_stage(const struct own_file *file, struct state_dir *state, struct error *e)
{
        own_file_drop(file, state); /* of a crash */
        CLEANUP(close)
        int fd = open_plain(state_dir_stage_fd(state), file->staged, O_RDWR | O_CREAT | O_EXCL | O_APPEND);
        if (fd < 0)
                return own_file_fail(file, -fd, "made", e);
        int made = fd, r = fchmod(fd, 0600) < 0 ? own_file_fail(file, errno, "given its mode", e) : 0; /* whatever the umask was */
        if (r == 0)
                r = state_dir_own(state, fd, e);
        if (r < 0) {
                own_file_drop(file, state);
                return r;
        }
        fd = -1;
        return made;
}

int own_file_replace(const struct own_file *file, struct state_dir *state, struct error *e)
{
        int dirfd = state_dir_fd(state);
        if (renameat(state_dir_stage_fd(state), file->staged, dirfd, file->name) == 0)
                return plain_dir_sync(dirfd, STATE_DIR, e);
        int err = errno;
        own_file_drop(file, state);
        return own_file_fail(file, err, "made", e);
}

static int make(const struct own_file *file, struct state_dir *state, struct error *e)
{
        CLEANUP(close)
        int fd = own_file_stage(file, state, e);
        int r = fd < 0 ? fd : own_file_replace(file, state, e), made = fd;
        if (r < 0)
                return r;
        fd = -1;
        return made;
}

int own_file_open(const struct own_file *file, struct state_dir *state, uint64_t *ret_size, struct error *e)
{
        CLEANUP(close)
        int fd = open_plain(state_dir_fd(state), file->name, O_RDWR | O_APPEND);
        if (fd == -ENOENT && (fd = make(file, state, e)) < 0)
                return fd;
        if (fd == -ELOOP || fd == -EXDEV)
                return error_set(e, EPERM, STATE_DIR "/%s is a symbolic link: move it away", file->name);
        if (fd < 0)
                return own_file_fail(file, -fd, "opened", e);
        int r = own_file_check(file, state, fd, ret_size, e), opened = fd;
        if (r < 0)
                return r;
        fd = -1;
        return opened;
}

int own_file_write(const struct own_file *file, int fd, const char *bytes, size_t len, struct error *e)
{
        int r = file_write(fd, bytes, len);
        return r < 0 ? own_file_fail(file, -r, "written", e) : 0;
}

int own_file_sync(const struct own_file *file, int fd, struct error *e)
{
        return fsync(fd) == 0 ? 0 : own_file_fail(file, errno, "synced", e);
}
