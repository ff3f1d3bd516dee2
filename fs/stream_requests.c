#include "fs/stream_requests.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/request.h"
#include "fs/stream.h"

static struct mount *mount_of(fuse_req_t req)
{
        return fuse_req_userdata(req);
}

/* Has the log looked at as it is now: 1, or 0 when that can't be had in time. */
static int refresh_log(fuse_req_t req)
{
        CLEANUP(wal_index_put)
        struct wal_index *index = NULL;
        bool current = false;
        struct request request;
        request_begin(&request, mount_of(req), req);
        int r = stream_index(&request, request.patience.until_ms, &index, &current, &request.error);
        request_end(&request);
        return r < 0 ? r : current;
}

/* The content of a stream's inode, which is got now when it was looked up before the log was measured. 0 with *ret a reference; -EINPROGRESS, or why there is none. */
static int stream_content(fuse_req_t req, struct waiting_for *what, const struct inode_info *info, int64_t wait_ms,
                          struct content **ret)
{
        struct mount *mount = mount_of(req);
        struct inode_info now = *info;
        struct wal_stream *stream = NULL;
        struct request request;
        *ret = inodes_content(mount->inodes, what->number);
        if (*ret != NULL)
                return 0;
        if (info->failure < 0)
                return info->failure;
        request_begin(&request, mount, req);
        request.stream_wait_ms = wait_ms;
        request.stream_moment = what->moment;
        int r = stream_read(&request, &info->node, &now, &stream);
        what->moment = request.stream_moment;
        request_end(&request);
        if (r < 0)
                return r;
        CLEANUP(content_put)
        struct content *content = content_of_stream(stream);
        if (content == NULL)
                return -ENOMEM;
        if (!inodes_settle(mount->inodes, what->number, content))
                return -ESTALE;
        *ret = inodes_content(mount->inodes, what->number);
        return *ret != NULL ? 0 : -ESTALE;
}

/* The attributes of a generation: it grows, but is never another one. What can't be brought up to date now is as it was. */
static int stat_stream(fuse_req_t req, const struct content *content, struct inode_info *info)
{
        if (refresh_log(req) == -EINTR)
                return -EINTR;
        stream_stat(content->stream, &info->attributes);
        info->attributes.st_ino = inode_number(&info->node, wal_stream_id(content->stream));
        return 0;
}

static bool getattr_stream(fuse_req_t req, struct waiting_for *what, int64_t wait_ms)
{
        struct inode_info info;
        CLEANUP(content_put)
        struct content *content = NULL;
        int r = inodes_info(mount_of(req)->inodes, what->number, &info) ? 0 : -ENOENT;
        if (r == 0)
                r = stream_content(req, what, &info, wait_ms, &content);
        if (r == -EINPROGRESS)
                return false;
        if (r == 0)
                r = stat_stream(req, content, &info);
        if (r == -EINTR || r == -ENOENT)
                (void) fuse_reply_err(req, -r);
        else /* what can't be had is empty, and fails when it is opened */
                (void) fuse_reply_attr(req, &info.attributes, 0.0);
        return true;
}

static bool getattr_again(fuse_req_t req, const struct waiting_for *what)
{
        struct waiting_for copy = *what;
        return getattr_stream(req, &copy, 0);
}

void stream_getattr(fuse_req_t req, fuse_ino_t number)
{
        struct waiting_for what = { .number = number };
        if (getattr_stream(req, &what, REQUEST_STREAM_WAIT_MS))
                return;
        int r = waiting_add(mount_of(req)->waiting, req, getattr_again, &what);
        if (r < 0)
                (void) fuse_reply_err(req, -r);
}

int stream_open(fuse_req_t req, struct waiting_for *what, const struct inode_info *info, int64_t wait_ms, struct wal_file **ret)
{
        struct mount *mount = mount_of(req);
        CLEANUP(content_put)
        struct content *content = NULL;
        int r = stream_content(req, what, info, wait_ms, &content);
        if (r < 0)
                return r;
        if (!wal_is_present(mount->wal, wal_stream_index(content->stream)))
                return -ESTALE; /* the kernel looks it up again */
        return wal_file_open(mount->wal, content->stream, ret, NULL);
}

/* A row that has left can't be missing in a generation that was looked at afterwards, and found to be the latest still: somebody took it out of the
   middle, which Chroma never does. */
static int read_of_stream(fuse_req_t req, struct wal_file *file, size_t size, uint64_t offset, struct wal_read *ret)
{
        int r = -ESTALE;
        bool missing = true;
        for (int i = 0; i < 2 && r == -ESTALE && missing; i++) {
                r = wal_file_read(file, offset, size, request_cancelled, req, ret, NULL);
                bool at_end = r == 0 && ret->len == 0 && size > 0; /* somebody may have written behind it */
                if (r == -ESTALE || at_end) {
                        int current = refresh_log(req);
                        if (current == -EINTR)
                                return current;
                        missing = r == -ESTALE && current == 1 && wal_file_is_latest(file);
                }
                if (at_end)
                        return wal_file_read(file, offset, size, request_cancelled, req, ret, NULL);
        }
        if (r == -ESTALE && missing)
                wal_file_refute(file);
        return r;
}

/* The file is held beyond the reply: the kernel may close it as soon as that is sent. */
void stream_reply_read(fuse_req_t req, struct wal_file *handle, size_t size, off_t offset)
{
        CLEANUP(wal_file_put)
        struct wal_file *file = wal_file_get(handle);
        struct wal_read read = { 0 };
        int r = offset < 0 ? -EINVAL : read_of_stream(req, file, size, (uint64_t) offset, &read);
        if (r < 0) {
                (void) fuse_reply_err(req, -r);
                return;
        }
        (void) fuse_reply_iov(req, read.pieces, read.count);
        wal_read_clear(&read);
        wal_file_ahead(file);
}
