#include "fs/raw.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "fs/contents.h"

#define TICK_NS 20000000 /* HZ=100, with room */

struct raw_file {
        int fd;
        struct file_stamp stamp;
};

/* Two writes in one tick of the file system's clock leave the same stamp (kernels before 6.13): a file that was written in this tick is
   only opened in the next one, so that every later write shows. */
static void wait_for_tick(const struct file_stamp *stamp)
{
        struct timespec now;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        int64_t age_ns = (int64_t) now.tv_sec * 1000000000 + now.tv_nsec - stamp->ctime_ns;
        if (age_ns < 0 || age_ns >= TICK_NS)
                return;
        struct timespec rest = { .tv_nsec = TICK_NS - age_ns };
        (void) nanosleep(&rest, NULL);
}

int raw_open(struct request *request, const struct inode_info *info, struct raw_file **ret)
{
        char path[2 * NODE_KEY_SIZE];
        (void) snprintf(path, sizeof(path), "%s/%s", info->node.a, info->node.b);
        struct raw_file *raw = calloc(1, sizeof(*raw));
        if (raw == NULL)
                return -ENOMEM;
        raw->fd = file_open_regular(observer_dirfd(request->mount->observer), path, &raw->stamp, &request->error);
        int r = raw->fd < 0 ? raw->fd : 0;
        if (r == 0)
                wait_for_tick(&raw->stamp);
        struct inode_info now;
        struct content *none;
        if (r == 0)
                r = contents_read(request, &info->node, &now, &none);
        if (r == 0 && now.state != info->state)
                r = -ESTALE;
        if (r < 0) {
                (void) raw_close(raw);
                return r == -ENOENT ? -ESTALE : r;
        }
        *ret = raw;
        return 0;
}

ssize_t raw_read(const struct raw_file *raw, void *buffer, size_t len, off_t offset)
{
        ssize_t n = file_pread(raw->fd, buffer, len, (uint64_t) offset);
        if (n < 0)
                return n;
        struct stat st;
        if (fstat(raw->fd, &st) < 0)
                return -errno;
        struct file_stamp now = file_stamp_of(&st);
        return file_stamp_equal(&now, &raw->stamp) ? n : -ESTALE;
}

struct raw_file *raw_close(struct raw_file *raw)
{
        if (raw == NULL)
                return NULL;
        if (raw->fd >= 0)
                (void) close(raw->fd);
        free(raw);
        return NULL;
}
