/*
 * Open files: reading, writing, cutting, syncing.
 *
 * A sync is not passed on: the harness kills processes, and its own model of a machine that dies (power.h) knows what was synced.
 */
#include "tests/faults/take.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

/* The fortified forms, which no header declares. */
ssize_t __read_chk(int fd, void *buffer, size_t n, size_t size);
ssize_t __pread_chk(int fd, void *buffer, size_t n, off_t offset, size_t size);
ssize_t __pread64_chk(int fd, void *buffer, size_t n, off64_t offset, size_t size);

ssize_t read(int fd, void *buffer, size_t n)
{
        struct call call;
        if (call_enter(&call, CALL_READ))
                return -1;
        return CALL_NEXT(read)(fd, buffer, call_portion(&call, n));
}

ssize_t pread64(int fd, void *buffer, size_t n, off64_t offset)
{
        struct call call;
        if (call_enter(&call, CALL_READ))
                return -1;
        return CALL_NEXT(pread64)(fd, buffer, call_portion(&call, n), offset);
}

ssize_t pread(int fd, void *buffer, size_t n, off_t offset)
{
        struct call call;
        if (call_enter(&call, CALL_READ))
                return -1;
        return CALL_NEXT(pread64)(fd, buffer, call_portion(&call, n), offset);
}

ssize_t readv(int fd, const struct iovec *parts, int count)
{
        STAND_IN(CALL_READ, ssize_t, , CALL_NEXT(readv)(fd, parts, count));
}

static void check_size(size_t n, size_t size)
{
        if (n > size)
                abort();
}

ssize_t __read_chk(int fd, void *buffer, size_t n, size_t size)
{
        check_size(n, size);
        return read(fd, buffer, n);
}

ssize_t __pread_chk(int fd, void *buffer, size_t n, off_t offset, size_t size)
{
        check_size(n, size);
        return pread(fd, buffer, n, offset);
}

ssize_t __pread64_chk(int fd, void *buffer, size_t n, off64_t offset, size_t size)
{
        check_size(n, size);
        return pread64(fd, buffer, n, offset);
}

ssize_t write(int fd, const void *buffer, size_t n)
{
        struct call call;
        if (call_enter(&call, CALL_WRITE))
                return -1;
        size_t part = call_portion(&call, n);
        power_writes(fd, -1, part);
        ssize_t r = CALL_NEXT(write)(fd, buffer, part);
        call_leave(&call);
        return r;
}

ssize_t pwrite64(int fd, const void *buffer, size_t n, off64_t offset)
{
        struct call call;
        if (call_enter(&call, CALL_WRITE))
                return -1;
        size_t part = call_portion(&call, n);
        power_writes(fd, offset, part);
        ssize_t r = CALL_NEXT(pwrite64)(fd, buffer, part, offset);
        call_leave(&call);
        return r;
}

ssize_t pwrite(int fd, const void *buffer, size_t n, off_t offset)
{
        return pwrite64(fd, buffer, n, offset);
}

static size_t size_of(const struct iovec *parts, int count)
{
        size_t size = 0;
        for (int i = 0; i < count; i++)
                size += parts[i].iov_len;
        return size;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
        STAND_IN(CALL_WRITE, ssize_t, power_writes(fd, -1, size_of(parts, count)), CALL_NEXT(writev)(fd, parts, count));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
        STAND_IN(CALL_WRITE, ssize_t, power_writes(fd, offset, size_of(parts, count)),
                 CALL_NEXT(pwritev)(fd, parts, count, offset));
}

int ftruncate64(int fd, off64_t size)
{
        STAND_IN(CALL_TRUNCATE, int, power_cuts(fd, size), CALL_NEXT(ftruncate64)(fd, size));
}

int ftruncate(int fd, off_t size)
{
        return ftruncate64(fd, size);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
        STAND_IN(CALL_WRITE, int, power_writes(fd, offset, (size_t) size), CALL_NEXT(fallocate64)(fd, mode, offset, size));
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
        return fallocate64(fd, mode, offset, size);
}

int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
        struct call call;
        if (call_enter(&call, CALL_WRITE))
                return errno;
        power_writes(fd, offset, (size_t) size);
        int r = CALL_NEXT(posix_fallocate64)(fd, offset, size);
        call_leave(&call);
        return r;
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
        return posix_fallocate64(fd, offset, size);
}

static int synced(int fd)
{
        power_syncs(fd);
        return call_is_armed() ? 0 : CALL_NEXT(fdatasync)(fd);
}

int fsync(int fd)
{
        STAND_IN(CALL_SYNC, int, , synced(fd));
}

int fdatasync(int fd)
{
        STAND_IN(CALL_SYNC, int, , synced(fd));
}

int syncfs(int fd)
{
        STAND_IN(CALL_SYNC, int, power_syncs_all(), call_is_armed() ? 0 : CALL_NEXT(syncfs)(fd));
}

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t n, unsigned flags)
{
        struct call call;
        if (call_enter(&call, CALL_COPY))
                return -1;
        size_t part = call_portion(&call, n);
        power_writes(to, to_offset == NULL ? -1 : *to_offset, part);
        ssize_t r = CALL_NEXT(copy_file_range)(from, from_offset, to, to_offset, part, flags);
        call_leave(&call);
        return r;
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t n)
{
        struct call call;
        if (call_enter(&call, CALL_COPY))
                return -1;
        size_t part = call_portion(&call, n);
        power_writes(to, -1, part);
        ssize_t r = CALL_NEXT(sendfile64)(to, from, offset, part);
        call_leave(&call);
        return r;
}

ssize_t sendfile(int to, int from, off_t *offset, size_t n)
{
        return sendfile64(to, from, offset, n);
}
