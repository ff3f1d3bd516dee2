#include "ops/hnsw/room.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

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

static int allocate(int fd, size_t size, struct error *e)
{
        int err = posix_fallocate(fd, 0, (off_t) size);
        if (err == 0)
                return 0;
        return error_set(e, err, "the index needs a temporary file of %zu MiB: %s", size / MIB + 1, strerror(err));
}

/* What an anonymous mapping takes is taken when it is written to, and then there is no error any more: so it is held against what is free. */
static int check_memory(size_t size, struct error *e)
{
        struct sysinfo info;
        if (sysinfo(&info) < 0)
                return 0;
        size_t all = (size_t) (info.totalram + info.totalswap) * info.mem_unit;
        if (size <= all)
                return 0;
        return error_set(e, ENOMEM, "the index needs %zu MiB of memory, and the machine has %zu MiB", size / MIB + 1, all / MIB);
}

static int map(int fd, size_t size, unsigned char **ret, struct error *e)
{
        int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
        void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
        if (bytes == MAP_FAILED)
                return error_set(e, ENOMEM, "the index needs %zu MiB of memory: %s", size / MIB + 1, strerror(errno));
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
                        r = allocate(room.fd, room.size, e);
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
        int r = room->fd >= 0 ? allocate(room->fd, size, e) : check_memory(size, e);
        if (r < 0)
                return r;
        void *bytes = mremap(room->bytes, room->size, size, MREMAP_MAYMOVE);
        if (bytes == MAP_FAILED)
                return error_set(e, ENOMEM, "the index needs %zu MiB of memory: %s", size / MIB + 1, strerror(errno));
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
