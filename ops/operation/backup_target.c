#include "ops/operation/backup_target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/cleanup.h"
#include "ops/operation/mount_place.h"
#include "ops/operation/plain_dir.h"
#include "ops/operation/state_dir.h"

#define INFIX ".chromafs-"
#define RANDOM_DIGITS 16
#define NAME_LEN_MAX (NAME_MAX - 1 - sizeof(INFIX) - RANDOM_DIGITS)
#define ATTEMPTS 8
#define DEPTH_MAX 4096

/* Finding it. */

/* Splits an absolute path at its last name: 0, and *ret_parent is the caller's. */
static int split(const struct text *to, char name[NAME_MAX + 1], char **ret_parent, struct error *e)
{
        size_t end = to->len;
        while (end > 1 && to->bytes[end - 1] == '/')
                end--;
        size_t begin = end;
        while (begin > 0 && to->bytes[begin - 1] != '/')
                begin--;
        size_t len = end - begin;
        if (to->len == 0 || to->bytes[0] != '/' || memchr(to->bytes, '\0', to->len) != NULL)
                return error_set(e, EINVAL, "to= wants an absolute path");
        if (len > NAME_LEN_MAX)
                return error_set(e, ENAMETOOLONG, "the backup's name is longer than %zu bytes: give it a shorter one",
                                 NAME_LEN_MAX);
        (void) snprintf(name, NAME_MAX + 1, "%.*s", (int) len, to->bytes + begin);
        if (!plain_name(name))
                return error_set(e, EINVAL, "%s names no directory that could be made: end the path with the backup's name",
                                 to->bytes);
        *ret_parent = strndup(to->bytes, begin);
        return *ret_parent != NULL ? 0 : error_set(e, ENOMEM, "no memory for a path");
}

static int open_parent(const char *path, struct error *e)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
                return fd;
        if (errno == ENOENT)
                return error_set(e, ENOENT, "%s is not there: make it first, the backup makes its own directory only", path);
        return error_set(e, errno, "%s can't be opened: %s", path, strerror(errno));
}

static bool same_dir(const struct stat *a, const struct stat *b)
{
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Walks up from `fd`. 1 when `top` is one of the directories, 0 at the root. */
static int climbs_to(int fd, const struct stat *top, struct error *e)
{
        CLEANUP(close)
        int at = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        struct stat st, above;
        if (at < 0 || fstat(at, &st) < 0)
                return error_set(e, errno, "a directory can't be examined: %s", strerror(errno));
        for (int depth = 0; depth < DEPTH_MAX; depth++) {
                if (same_dir(&st, top))
                        return 1;
                int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (up < 0 || fstat(up, &above) < 0) {
                        int err = errno;
                        if (up >= 0)
                                (void) close(up);
                        return error_set(e, err, "the directories above the backup can't be examined: %s", strerror(err));
                }
                (void) close(at);
                at = up;
                if (same_dir(&st, &above))
                        return 0;
                st = above;
        }
        return error_set(e, ELOOP, "the backup would lie too deep");
}

/* A bind mount of a directory below the persist directory has none of its parents: the file system's own paths tell. */
static int check_place(int persist_fd, int parent_fd, struct error *e)
{
        struct mount_place parent, persist;
        int r = mount_place_read(parent_fd, &parent, e);
        if (r < 0)
                return r;
        if (strcmp(parent.type, "fuse.chromafs") == 0)
                return error_set(e, EINVAL, "a backup can't be made on a mount of chromafs: choose a place outside");
        if (mount_place_read(persist_fd, &persist, NULL) == 0 && mount_place_within(&parent, &persist))
                return error_set(e, EINVAL, "a backup can't be made inside the directory itself: choose a place outside");
        return 0;
}

static int check_parent(int persist_fd, int parent_fd, struct error *e)
{
        struct stat persist;
        if (fstat(persist_fd, &persist) < 0)
                return error_set(e, errno, "the directory can't be examined: %s", strerror(errno));
        int r = climbs_to(parent_fd, &persist, e);
        if (r > 0)
                return error_set(e, EINVAL, "a backup can't be made inside the directory itself: choose a place outside");
        return r < 0 ? r : check_place(persist_fd, parent_fd, e);
}

static int exists(const struct backup_target *t, struct error *e)
{
        struct stat st;
        if (fstatat(t->parent_fd, t->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return error_set(e, EEXIST, "%s is there already: a backup is always a new directory", t->name);
        return errno == ENOENT ? 0 : error_set(e, errno, "%s can't be looked up: %s", t->name, strerror(errno));
}

int backup_target_find(int persist_fd, const struct text *to, struct backup_target *ret, struct error *e)
{
        CLEANUP(free)
        char *parent = NULL;
        *ret = (struct backup_target){ .parent_fd = -1, .fd = -1 };
        int r = split(to, ret->name, &parent, e);
        if (r < 0)
                return r;
        ret->parent_fd = open_parent(parent, e);
        if (ret->parent_fd < 0)
                return ret->parent_fd;
        r = check_parent(persist_fd, ret->parent_fd, e);
        return r < 0 ? r : exists(ret, e);
}

/* Building it. */

static bool is_partial(const struct backup_target *t, const char *name)
{
        size_t len = strlen(t->name);
        if (name[0] != '.' || strncmp(name + 1, t->name, len) != 0 || strncmp(name + 1 + len, INFIX, strlen(INFIX)) != 0)
                return false;
        const char *digits = name + 1 + len + strlen(INFIX);
        return strlen(digits) == RANDOM_DIGITS && strspn(digits, "0123456789abcdef") == RANDOM_DIGITS;
}

/* Locked, and still what the name leads to. Where there are no such locks (0 with *ret_locked false) nobody removes anything. */
static bool lock_dir(int parent_fd, int fd, const char *name, bool *ret_locked)
{
        struct stat st, named;
        *ret_locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (!*ret_locked && errno == EWOULDBLOCK)
                return false;
        return fstat(fd, &st) == 0 && fstatat(parent_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && same_dir(&st, &named);
}

static int remove_left(const struct backup_target *t, const char *name, struct error *e)
{
        CLEANUP(close)
        int fd = plain_dir_open(t->parent_fd, name);
        struct stat st;
        bool locked = false;
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid())
                return 0;
        if (!lock_dir(t->parent_fd, fd, name, &locked) || !locked)
                return 0;
        return tree_remove(t->parent_fd, name, e);
}

static int remove_all_left(const struct backup_target *t, struct error *e)
{
        CLEANUP(closedir)
        DIR *dir = NULL;
        const char *name = NULL;
        int r = plain_dir_list(t->parent_fd, &dir, e);
        while (r >= 0 && (r = plain_dir_next(dir, &name, e)) > 0)
                if (is_partial(t, name))
                        r = remove_left(t, name, e);
        return r;
}

static int make(struct backup_target *t, struct error *e)
{
        uint64_t number;
        bool locked;
        if (getrandom(&number, sizeof(number), 0) != sizeof(number))
                return error_set(e, EIO, "the system has no random numbers");
        (void) snprintf(t->partial, sizeof(t->partial), ".%.*s" INFIX "%016" PRIx64, (int) NAME_LEN_MAX, t->name, number);
        if (mkdirat(t->parent_fd, t->partial, 0700) < 0)
                return errno == EEXIST ? -EAGAIN : error_set(e, errno, "the backup's directory can't be made: %s", strerror(errno));
        t->fd = plain_dir_open(t->parent_fd, t->partial);
        if (t->fd >= 0 && lock_dir(t->parent_fd, t->fd, t->partial, &locked))
                return 0;
        /* Perhaps another backup to this name took it for a dead one's before it was locked. Then it removes it, too. */
        if (t->fd >= 0)
                (void) close(t->fd);
        (void) unlinkat(t->parent_fd, t->partial, AT_REMOVEDIR);
        t->fd = -1;
        return -EAGAIN;
}

int backup_target_begin(struct backup_target *t, struct error *e)
{
        int r = remove_all_left(t, e);
        for (int i = 0; r == 0 && i < ATTEMPTS; i++) {
                r = make(t, e);
                if (r != -EAGAIN)
                        return r;
                r = 0;
        }
        return r < 0 ? r : error_set(e, EBUSY, "another backup to %s is being made", t->name);
}

/* Its name. */

/* Where the file system can't rename without replacing: the name is taken by an empty directory, which a directory may replace. */
static int rename_over_empty(struct backup_target *t)
{
        if (mkdirat(t->parent_fd, t->name, 0700) < 0)
                return -errno;
        if (renameat(t->parent_fd, t->partial, t->parent_fd, t->name) == 0)
                return 0;
        int err = errno;
        (void) unlinkat(t->parent_fd, t->name, AT_REMOVEDIR);
        return -err;
}

/* A name that may be gone after a power failure is no backup: it is given back in one step, since removing takes many, which may fail as well. */
static int take_back(struct backup_target *t, const struct error *why, struct error *e)
{
        if (renameat2(t->parent_fd, t->name, t->parent_fd, t->partial, RENAME_NOREPLACE) == 0 ||
            renameat(t->parent_fd, t->name, t->parent_fd, t->partial) == 0)
                return error_set(e, -why->code, "%s", why->text);
        (void) snprintf(t->partial, sizeof(t->partial), "%s", t->name); /* what is removed then, if that can be done at all */
        return error_set(e, -why->code, "%s; if %s is there all the same, remove it: it may not survive a power failure", why->text,
                         t->name);
}

int backup_target_publish(struct backup_target *t, struct error *e)
{
        int r = renameat2(t->parent_fd, t->partial, t->parent_fd, t->name, RENAME_NOREPLACE) == 0 ? 0 : -errno;
        if (r == -EINVAL || r == -ENOSYS)
                r = rename_over_empty(t);
        if (r == -EEXIST)
                return error_set(e, EEXIST, "%s has been made by someone else meanwhile", t->name);
        if (r < 0)
                return error_set(e, -r, "the backup can't be given its name: %s", strerror(-r));
        struct error why = { 0 };
        if (plain_dir_sync(t->parent_fd, "the directory that the backup is in", &why) < 0)
                return take_back(t, &why, e);
        (void) close(t->fd);
        t->fd = -1;
        return 0;
}

void backup_target_clear(struct backup_target *t)
{
        if (t->fd >= 0) {
                (void) tree_remove(t->parent_fd, t->partial, NULL);
                (void) close(t->fd);
        }
        if (t->parent_fd >= 0)
                (void) close(t->parent_fd);
        *t = (struct backup_target){ .parent_fd = -1, .fd = -1 };
}
