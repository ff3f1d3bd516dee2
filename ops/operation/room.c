/*
 * A file system that gives no figures (some that are served by programs say 0 blocks in all) is not held against the user: what the operation writes then
 * fails by itself, and is undone.
 */
#include "ops/operation/room.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Blocks that are kept for root are not there for others. */
static uint64_t free_bytes(const struct statvfs *v)
{
        uint64_t blocks = geteuid() == 0 ? v->f_bfree : v->f_bavail, bytes = 0;
        return __builtin_mul_overflow(blocks, (uint64_t) v->f_frsize, &bytes) ? UINT64_MAX : bytes;
}

int room_check(int fd, uint64_t bytes, const char *what, struct error *e)
{
        struct statvfs v;
        if (fstatvfs(fd, &v) < 0) {
                int err = errno;
                return error_set(e, err, "the room for %s can't be found out: %s", what, strerror(err));
        }
        uint64_t have = free_bytes(&v);
        if (v.f_blocks == 0 || bytes <= have)
                return 0;
        return error_set(e, ENOSPC,
                         "%s may need %" PRIu64 " bytes, and the file system has %" PRIu64 " bytes free: make room first", what,
                         bytes, have);
}
