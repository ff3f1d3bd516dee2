#include "fs/raw.h"

#include <errno.h>
#include <stdio.h>

#include "fs/contents.h"

struct raw_file {
        int fd;
        struct file_stamp stamp;
};

int raw_open(struct request *request, const struct inode_info *info, struct raw_file **ret)
{
        char path[2 * NODE_KEY_SIZE];
        (void) snprintf(path, sizeof(path), "%s/%s", info->node.a, info->node.b);
        struct raw_file *raw = calloc(1, sizeof(*raw));
        if (raw == NULL)
                return -ENOMEM;
        raw->fd = file_open_regular(observer_dirfd(request->mount->observer), path, &raw->stamp, &request->error);
        int r = raw->fd < 0 ? raw->fd : 0;
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
