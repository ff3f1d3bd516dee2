/*
 * What only looks, locks or maps: it changes no file, but it can fail.
 */
#include "tests/faults/take.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

int fstat64(int fd, struct stat64 *st)
{
        STAND_IN(CALL_STAT, int, , CALL_NEXT(fstat64)(fd, st));
}

int fstat(int fd, struct stat *st)
{
        STAND_IN(CALL_STAT, int, , CALL_NEXT(fstat)(fd, st));
}

int stat64(const char *path, struct stat64 *st)
{
        STAND_IN(CALL_STAT, int, , CALL_NEXT(stat64)(path, st));
}

int stat(const char *path, struct stat *st)
{
        STAND_IN(CALL_STAT, int, , CALL_NEXT(stat)(path, st));
}

int lstat64(const char *path, struct stat64 *st)
{
        STAND_IN(CALL_STAT, int, , CALL_NEXT(lstat64)(path, st));
}

int lstat(const char *path, struct stat *st)
{
        STAND_IN(CALL_STAT, int, , CALL_NEXT(lstat)(path, st));
}

int fstatat64(int dirfd, const char *path, struct stat64 *st, int flags)
{
        STAND_IN(CALL_STAT, int, , CALL_NEXT(fstatat64)(dirfd, path, st, flags));
}

int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
        STAND_IN(CALL_STAT, int, , CALL_NEXT(fstatat)(dirfd, path, st, flags));
}

int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st)
{
        STAND_IN(CALL_STAT, int, , CALL_NEXT(statx)(dirfd, path, flags, mask, st));
}

int fstatvfs(int fd, struct statvfs *st)
{
        STAND_IN(CALL_STAT, int, , CALL_NEXT(fstatvfs)(fd, st));
}

int fstatfs(int fd, struct statfs *st)
{
        STAND_IN(CALL_STAT, int, , CALL_NEXT(fstatfs)(fd, st));
}

ssize_t flistxattr(int fd, char *list, size_t size)
{
        STAND_IN(CALL_STAT, ssize_t, , CALL_NEXT(flistxattr)(fd, list, size));
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
        STAND_IN(CALL_STAT, ssize_t, , CALL_NEXT(fgetxattr)(fd, name, value, size));
}

/* A close that fails has closed: that is how Linux does it. */
int close(int fd)
{
        struct call call;
        bool failed = call_enter(&call, CALL_CLOSE);
        int code = errno;
        int r = CALL_NEXT(close)(fd);
        if (!failed)
                return r;
        errno = code;
        return -1;
}

struct dirent64 *readdir64(DIR *dir)
{
        struct call call;
        if (call_enter(&call, CALL_LIST))
                return NULL;
        return CALL_NEXT(readdir64)(dir);
}

struct dirent *readdir(DIR *dir)
{
        struct call call;
        if (call_enter(&call, CALL_LIST))
                return NULL;
        return CALL_NEXT(readdir)(dir);
}

void *mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t offset)
{
        struct call call;
        if (call_enter(&call, CALL_MAP))
                return MAP_FAILED;
        return CALL_NEXT(mmap64)(address, size, protection, flags, fd, offset);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
        return mmap64(address, size, protection, flags, fd, offset);
}

int flock(int fd, int operation)
{
        STAND_IN(CALL_LOCK, int, , CALL_NEXT(flock)(fd, operation));
}

static bool locks(int command)
{
        return command == F_SETLK || command == F_SETLKW || command == F_GETLK || command == F_OFD_SETLK ||
               command == F_OFD_SETLKW || command == F_SETLEASE;
}

static int control(int fd, int command, void *argument)
{
        if (locks(command))
                STAND_IN(CALL_LOCK, int, , CALL_NEXT(fcntl64)(fd, command, argument));
        return CALL_NEXT(fcntl64)(fd, command, argument);
}

#define FCNTL_ARGUMENT()                                                                                                           \
        va_list args;                                                                                                              \
        va_start(args, command);                                                                                                   \
        void *argument = va_arg(args, void *);                                                                                     \
        va_end(args)

int fcntl64(int fd, int command, ...)
{
        FCNTL_ARGUMENT();
        return control(fd, command, argument);
}

int fcntl(int fd, int command, ...)
{
        FCNTL_ARGUMENT();
        return control(fd, command, argument);
}
