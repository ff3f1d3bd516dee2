#include "ops/operation/plain_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

bool plain_name(const char *name)
{
        return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int plain_dir_open(int dirfd, const char *name)
{
        struct open_how how = {
                .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
        };
        long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
        return fd < 0 ? -errno : (int) fd;
}

static int unlisted(struct error *e, int err)
{
        return error_set(e, err, "a directory can't be listed: %s", strerror(err));
}

int plain_dir_list(int fd, DIR **ret, struct error *e)
{
        int own = plain_dir_open(fd, "."); /* a position of its own: fd may be shared */
        if (own < 0) {
                (void) unlisted(e, -own);
                return own;
        }
        DIR *dir = fdopendir(own);
        if (dir == NULL) {
                (void) close(own);
                return error_set(e, ENOMEM, "no memory to list a directory");
        }
        *ret = dir;
        return 0;
}

int plain_dir_next(DIR *dir, const char **ret, struct error *e)
{
        for (;;) {
                errno = 0; /* what tells the end from a failure */
                const struct dirent *entry = readdir(dir);
                if (entry == NULL)
                        return errno == 0 ? 0 : unlisted(e, errno);
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                *ret = entry->d_name;
                return 1;
        }
}

int plain_dir_holds(int fd, const char *except, struct error *e)
{
        CLEANUP(closedir)
        DIR *dir = NULL;
        int r = plain_dir_list(fd, &dir, e);
        if (r < 0)
                return r;
        const char *name = "";
        while ((r = plain_dir_next(dir, &name, e)) > 0)
                if (except == NULL || strcmp(name, except) != 0)
                        return 1;
        return r;
}

int plain_dir_sync(int fd, const char *what, struct error *e)
{
        if (fsync(fd) == 0 || errno == EINVAL || errno == EOPNOTSUPP)
                return 0;
        return error_set(e, errno, "%s can't be synced to the disk: %s", what, strerror(errno));
}
