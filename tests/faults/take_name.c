/*
 * Names: opening, creating, renaming, removing; and what files are besides their bytes.
 */
#include "tests/faults/take.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The fortified forms, which no header declares. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

static int open_at(int dirfd, const char *path, int flags, mode_t mode)
{
        bool creates = (flags & (O_CREAT | O_TRUNC)) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
        STAND_IN(creates ? CALL_CREATE : CALL_OPEN, int, power_opens(dirfd, path, flags),
                 CALL_NEXT(openat64)(dirfd, path, flags, mode));
}

static mode_t mode_of(int flags, va_list args)
{
        return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, mode_t) : 0;
}

#define OPEN_MODE()                                                                                                                \
        va_list args;                                                                                                              \
        va_start(args, flags);                                                                                                     \
        mode_t mode = mode_of(flags, args);                                                                                        \
        va_end(args)

int open(const char *path, int flags, ...)
{
        OPEN_MODE();
        return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
        OPEN_MODE();
        return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
        OPEN_MODE();
        return open_at(dirfd, path, flags, mode);
}

int openat64(int dirfd, const char *path, int flags, ...)
{
        OPEN_MODE();
        return open_at(dirfd, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
        return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int __open_2(const char *path, int flags)
{
        return open_at(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
        return open_at(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dirfd, const char *path, int flags)
{
        return open_at(dirfd, path, flags, 0);
}

int __openat64_2(int dirfd, const char *path, int flags)
{
        return open_at(dirfd, path, flags, 0);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
        STAND_IN(CALL_RENAME, int, power_renames(from, old, to, new, flags), CALL_NEXT(renameat2)(from, old, to, new, flags));
}

int renameat(int from, const char *old, int to, const char *new)
{
        return renameat2(from, old, to, new, 0);
}

int rename(const char *old, const char *new)
{
        return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
        STAND_IN(CALL_LINK, int, power_makes(to, new), CALL_NEXT(linkat)(from, old, to, new, flags));
}

int link(const char *old, const char *new)
{
        return linkat(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int symlinkat(const char *target, int dirfd, const char *name)
{
        STAND_IN(CALL_LINK, int, power_makes(dirfd, name), CALL_NEXT(symlinkat)(target, dirfd, name));
}

int symlink(const char *target, const char *name)
{
        return symlinkat(target, AT_FDCWD, name);
}

int unlinkat(int dirfd, const char *name, int flags)
{
        enum call_kind kind = (flags & AT_REMOVEDIR) != 0 ? CALL_RMDIR : CALL_UNLINK;
        STAND_IN(kind, int, power_removes(dirfd, name, flags), CALL_NEXT(unlinkat)(dirfd, name, flags));
}

int unlink(const char *name)
{
        return unlinkat(AT_FDCWD, name, 0);
}

int rmdir(const char *name)
{
        return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

int mkdirat(int dirfd, const char *name, mode_t mode)
{
        STAND_IN(CALL_MKDIR, int, power_makes(dirfd, name), CALL_NEXT(mkdirat)(dirfd, name, mode));
}

int mkdir(const char *name, mode_t mode)
{
        return mkdirat(AT_FDCWD, name, mode);
}

int fchmod(int fd, mode_t mode)
{
        STAND_IN(CALL_ATTRIBUTE, int, , CALL_NEXT(fchmod)(fd, mode));
}

int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
        STAND_IN(CALL_ATTRIBUTE, int, , CALL_NEXT(fchmodat)(dirfd, path, mode, flags));
}

int chmod(const char *path, mode_t mode)
{
        return fchmodat(AT_FDCWD, path, mode, 0);
}

int fchown(int fd, uid_t owner, gid_t group)
{
        STAND_IN(CALL_ATTRIBUTE, int, , CALL_NEXT(fchown)(fd, owner, group));
}

int fchownat(int dirfd, const char *path, uid_t owner, gid_t group, int flags)
{
        STAND_IN(CALL_ATTRIBUTE, int, , CALL_NEXT(fchownat)(dirfd, path, owner, group, flags));
}

int chown(const char *path, uid_t owner, gid_t group)
{
        return fchownat(AT_FDCWD, path, owner, group, 0);
}

int lchown(const char *path, uid_t owner, gid_t group)
{
        return fchownat(AT_FDCWD, path, owner, group, AT_SYMLINK_NOFOLLOW);
}

int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
        STAND_IN(CALL_ATTRIBUTE, int, , CALL_NEXT(fsetxattr)(fd, name, value, size, flags));
}

int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
        STAND_IN(CALL_ATTRIBUTE, int, , CALL_NEXT(setxattr)(path, name, value, size, flags));
}

int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
        STAND_IN(CALL_ATTRIBUTE, int, , CALL_NEXT(lsetxattr)(path, name, value, size, flags));
}

int fremovexattr(int fd, const char *name)
{
        STAND_IN(CALL_ATTRIBUTE, int, , CALL_NEXT(fremovexattr)(fd, name));
}

int utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
        STAND_IN(CALL_ATTRIBUTE, int, , CALL_NEXT(utimensat)(dirfd, path, times, flags));
}

int futimens(int fd, const struct timespec times[2])
{
        STAND_IN(CALL_ATTRIBUTE, int, , CALL_NEXT(futimens)(fd, times));
}
