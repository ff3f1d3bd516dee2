#include "fs/handle.h"

#include <errno.h>
#include <fcntl.h>

#include "fs/contents.h"
#include "fs/request.h"
#include "fs/stream_requests.h"
#include "ops/clock.h"

#define GIVE_UP_MS 10000 /* of waiting for somebody who writes again and again */

struct opening {
        int64_t wait_ms, give_up_ms;
};

static struct mount *mount_of(fuse_req_t req)
{
        return fuse_req_userdata(req);
}

static int examine_as(fuse_req_t req, const struct node *node, const char *name, const struct opening *opening,
                      struct inode_info *ret, struct content **ret_content)
{
        int r = -ESTALE;
        for (int i = 0; r == -ESTALE && i < REQUEST_TRIES; i++) {
                struct request request;
                struct node child = *node;
                request_begin(&request, mount_of(req), req);
                if (opening != NULL) {
                        request.opening = true;
                        request.stream_wait_ms = opening->wait_ms;
                        request.give_up_ms = opening->give_up_ms;
                }
                r = name != NULL ? node_find(&request, node, name, &child) : 0;
                if (r == 0)
                        r = contents_read(&request, &child, ret, ret_content);
                if (request.stale && r == 0) {
                        *ret_content = content_put(*ret_content);
                        r = -ESTALE;
                }
                request_end(&request);
        }
        return r;
}

int examine(fuse_req_t req, const struct node *node, const char *name, struct inode_info *ret, struct content **ret_content)
{
        return examine_as(req, node, name, NULL, ret, ret_content);
}

bool is_live(const struct node_type *type)
{
        return type->kind == NODE_LIVE || type->kind == NODE_CONTROL;
}

/* The bytes of this generation: kept since the lookup, or made again and the same. ESTALE makes the kernel look up again, once. */
static int open_content(fuse_req_t req, fuse_ino_t number, const struct inode_info *info, struct content **ret)
{
        *ret = inodes_content(mount_of(req)->inodes, number);
        if (*ret != NULL)
                return 0;
        struct inode_info now;
        CLEANUP(content_put)
        struct content *content = NULL;
        int r = examine(req, &info->node, NULL, &now, &content);
        if (r < 0)
                return r == -ENOENT ? -ESTALE : r;
        if (now.failure < 0)
                return now.failure;
        if (now.state != info->state)
                return -ESTALE;
        *ret = TAKE(content);
        return 0;
}

static int open_raw(fuse_req_t req, const struct inode_info *info, struct raw_file **ret)
{
        struct request request;
        request_begin(&request, mount_of(req), req);
        int r = raw_open(&request, info, ret);
        request_end(&request);
        return r;
}

/* What it shows now. A control is opened for writing whatever it would show. */
static int open_live(fuse_req_t req, struct waiting_for *what, const struct inode_info *info, int64_t wait_ms,
                     struct handle *handle)
{
        int flags = what->fi->flags;
        if (what->moment == 0)
                what->moment = (uint64_t) clock_ms() + GIVE_UP_MS;
        const struct opening opening = { .wait_ms = wait_ms, .give_up_ms = (int64_t) what->moment };
        bool reads = (flags & O_ACCMODE) != O_WRONLY, writes = (flags & O_ACCMODE) != O_RDONLY;
        struct inode_info now = { 0 };
        CLEANUP(content_put)
        struct content *content = NULL;
        int r = reads ? examine_as(req, &info->node, NULL, &opening, &now, &content) : 0;
        if (r == 0)
                r = now.failure;
        if (r < 0)
                return r == -ENOENT ? -ESTALE : r;
        handle->content = TAKE(content);
        handle->control = writes ? control_open(&info->node) : NULL;
        return writes && handle->control == NULL ? -ENOMEM : 0;
}

static int open_kind(fuse_req_t req, struct waiting_for *what, const struct inode_info *info, int64_t wait_ms,
                     struct handle *handle)
{
        switch (info->node.type->kind) {
        case NODE_RAW:
                return open_raw(req, info, &handle->raw);
        case NODE_STREAM:
                return stream_open(req, what, info, wait_ms, &handle->stream);
        case NODE_LIVE:
        case NODE_CONTROL:
                return open_live(req, what, info, wait_ms, handle);
        case NODE_FILE:
        case NODE_LINK:
        case NODE_DIR:
                break;
        }
        return open_content(req, what->number, info, &handle->content);
}

int refusal(const struct mount *mount)
{
        return mount->options->read_only || mount->newer ? -EROFS : -EPERM;
}

int check_change(struct mount *mount, const struct node *node)
{
        int r = refusal(mount);
        if (node->type->kind == NODE_CONTROL && r != -EROFS)
                return 0;
        control_refuse(mount, node, r);
        return r;
}

void close_handle(struct opened *opened)
{
        struct handle *handle = (struct handle *) opened;
        (void) content_put(handle->content);
        (void) raw_close(handle->raw);
        (void) wal_file_put(handle->stream);
        (void) control_close(handle->control);
        free(handle);
}

int open_handle(fuse_req_t req, struct waiting_for *what, int64_t wait_ms, struct handle **ret)
{
        struct inode_info info;
        int flags = what->fi->flags;
        if (!inodes_info(mount_of(req)->inodes, what->number, &info))
                return -ENOENT;
        int refused = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0 ? check_change(mount_of(req), &info.node) : 0;
        if (refused < 0)
                return refused;
        if (info.failure < 0 && !is_live(info.node.type))
                return info.failure;
        struct handle *handle = calloc(1, sizeof(*handle));
        if (handle == NULL)
                return -ENOMEM;
        int r = open_kind(req, what, &info, wait_ms, handle);
        if (r < 0) {
                close_handle(&handle->opened);
                return r;
        }
        handle->live = is_live(info.node.type);
        *ret = handle;
        return 0;
}
