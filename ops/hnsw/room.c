#include "ops/hnsw/room.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ops/cleanup.h"
#include "ops/memory_available.h"

#define MIB (1u << 20)

/* A file in dirfd without a name. */
static int open_unnamed(int dirfd, struct error *e)
{
        static const char name[] = "index.records";
        int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0)
                return fd;
        fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_set(e, errno, "no file for the index can be made in the folder of the operation: %s", strerror(errno));
        (void) unlinkat(dirfd, name, 0);
        return fd;
}

/* The file has `old` bytes, and keeps as many when there is no room for `size`. */
static int allocate(int fd, size_t old, size_t size, struct error *e)
{
        int err;
        do
                err = posix_fallocate(fd, 0, (off_t) size);
        while (err == EINTR);
        if (err == 0)
                return 0;
        struct statvfs fs = { 0 };
        if (ftruncate(fd, (off_t) old) < 0 || fstatvfs(fd, &fs) < 0)
                fs.f_bavail = 0;
        return error_set(e, err, "the index needs a temporary file of %zu MiB, and its file system has room for %llu MiB: %s",
                         size / MIB + 1, ((unsigned long long) fs.f_bavail * fs.f_frsize + old) / MIB, strerror(err));
}

/* What an anonymous mapping takes is taken when it is written to, and then there is no error any more: so it is held against what is available now. */
static int check_memory(size_t more, struct error *e)
{
        uint64_t available = memory_available();
        if (more <= available)
                return 0;
        return error_set(e, ENOMEM, "the index needs %zu MiB of memory, and %llu MiB are available", more / MIB + 1,
                         (unsigned long long) (available / MIB));
}

static int map(int fd, size_t size, unsigned char **ret, struct error *e)
{
        int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
        void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
        if (bytes == MAP_FAILED)
                return error_set(e, ENOMEM, "the index needs %zu MiB of address space: %s", size / MIB + 1, strerror(errno));
        (void) madvise(bytes, size, MADV_HUGEPAGE);
        *ret = bytes;
        return 0;
}

int hnsw_room_open(int dirfd, size_t size, struct hnsw_room *ret, struct error *e)
{
        struct hnsw_room room = { .fd = -1, .size = size == 0 ? 1 : size };
        int r = 0;
        if (dirfd >= 0) {
                r = room.fd = open_unnamed(dirfd, e);
                if (r >= 0)
                        r = allocate(room.fd, 0, room.size, e);
        } else {
                r = check_memory(size, e);
        }
        if (r == 0)
                r = map(room.fd, room.size, &room.bytes, e);
        if (r < 0) {
                if (room.fd >= 0)
                        (void) close(room.fd);
                return r;
        }
        *ret = room;
        return 0;
}

int hnsw_room_grow(struct hnsw_room *room, size_t size, struct error *e)
{
        if (size <= room->size)
                return 0;
        int r = room->fd >= 0 ? allocate(room->fd, room->size, size, e) : check_memory(size - room->size, e);
        if (r < 0)
                return r;
        void *bytes = mremap(room->bytes, room->size, size, MREMAP_MAYMOVE);
        if (bytes == MAP_FAILED) {
                r = error_set(e, ENOMEM, "the index needs %zu MiB of address space: %s", size / MIB + 1, strerror(errno));
                (void) !(room->fd >= 0 && ftruncate(room->fd, (off_t) room->size) < 0); /* else it stays larger than it need be */
                return r;
        }
        room->bytes = bytes;
        room->size = size;
        (void) madvise(bytes, size, MADV_HUGEPAGE);
        return 0;
}

void hnsw_room_close(struct hnsw_room *room)
{
        if (room->bytes != NULL) {
                (void) munmap(room->bytes, room->size);
                if (room->fd >= 0)
                        (void) close(room->fd);
        }
        *room = (struct hnsw_room){ .fd = -1 };
}
