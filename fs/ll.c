#include "fs/ll.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/control.h"
#include "fs/handle.h"
#include "fs/inodes.h"
#include "fs/listing.h"
#include "fs/request.h"
#include "fs/stream_requests.h"

#define FOREVER_S 86400.0   /* attributes of a generation never change */
#define READ_MAX (4u << 20) /* bytes of one read of a raw file */

static struct mount *mount_of(fuse_req_t req)
{
        return fuse_req_userdata(req);
}

static void ll_init(void *userdata, struct fuse_conn_info *conn)
{
        (void) userdata;
        conn->want &= ~(unsigned) (FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_WRITEBACK_CACHE);
}

/* An errno for the kernel; ESTALE there would make it look up again for ever. */
static void fail(fuse_req_t req, int code)
{
        (void) fuse_reply_err(req, code == -ESTALE ? EAGAIN : -code);
}

/* A directory is found again by its keys, which are made of its name and its parent's, at every request: the kernel may remember it for
   ever. A file or link of the same name may be another one at the next look. */
static double entry_timeout(const struct node_type *type)
{
        return type->kind == NODE_DIR ? FOREVER_S : 0.0;
}

static void reply_entry(fuse_req_t req, const struct inode_info *info)
{
        struct mount *mount = mount_of(req);
        bool generation = info->node.type->kind == NODE_FILE || info->node.type->kind == NODE_RAW;
        struct fuse_entry_param entry = {
                .ino = info->attributes.st_ino,
                .attr = info->attributes,
                .attr_timeout = generation ? FOREVER_S : 0.0,
                .entry_timeout = entry_timeout(info->node.type),
        };
        if (fuse_reply_entry(req, &entry) == -ENOENT) /* the request was aborted: the kernel will never forget it */
                inodes_forget(mount->inodes, entry.ino, 1);
}

static void ll_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
        struct inode_info up, info;
        if (!inodes_info(mount_of(req)->inodes, parent, &up))
                return fail(req, -ENOENT);
        CLEANUP(content_put)
        struct content *content = NULL;
        int r = examine(req, &up.node, name, &info, &content);
        if (r == 0)
                r = inodes_look_up(mount_of(req)->inodes, &info, is_live(info.node.type) ? NULL : content);
        if (r < 0)
                return fail(req, r);
        reply_entry(req, &info);
}

static void ll_forget(fuse_req_t req, fuse_ino_t number, uint64_t lookups)
{
        inodes_forget(mount_of(req)->inodes, number, lookups);
        fuse_reply_none(req);
}

static void ll_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
        for (size_t i = 0; i < count; i++)
                inodes_forget(mount_of(req)->inodes, forgets[i].ino, forgets[i].nlookup);
        fuse_reply_none(req);
}

static void ll_getattr(fuse_req_t req, fuse_ino_t number, struct fuse_file_info *fi)
{
        (void) fi;
        struct inode_info info, now;
        if (!inodes_info(mount_of(req)->inodes, number, &info))
                return fail(req, -ENOENT);
        enum node_kind kind = info.node.type->kind;
        if (kind == NODE_FILE || kind == NODE_RAW) {
                (void) fuse_reply_attr(req, &info.attributes, FOREVER_S);
                return;
        }
        if (kind == NODE_STREAM)
                return stream_getattr(req, number);
        CLEANUP(content_put)
        struct content *content = NULL;
        int r = examine(req, &info.node, NULL, &now, &content);
        if (r < 0)
                return fail(req, r);
        now.attributes.st_ino = number;
        (void) fuse_reply_attr(req, &now.attributes, 0.0);
}

static void ll_readlink(fuse_req_t req, fuse_ino_t number)
{
        struct inode_info info, now;
        if (!inodes_info(mount_of(req)->inodes, number, &info))
                return fail(req, -ENOENT);
        CLEANUP(content_put)
        struct content *content = NULL;
        int r = examine(req, &info.node, NULL, &now, &content);
        if (r < 0)
                return fail(req, r);
        if (content == NULL)
                return fail(req, -EINVAL);
        (void) fuse_reply_readlink(req, content->text.bytes);
}

/* False: it has to wait for the log, or for a check. */
static bool try_open(fuse_req_t req, struct waiting_for *what, int64_t wait_ms)
{
        struct handle *handle = NULL;
        struct mount *mount = mount_of(req);
        struct fuse_file_info fi = *what->fi;
        int r = open_handle(req, what, wait_ms, &handle);
        if (r == -EINPROGRESS)
                return false;
        if (r < 0) {
                (void) fuse_reply_err(req, -r); /* ESTALE too: see open_content */
                return true;
        }
        fi.direct_io = handle->stream != NULL || handle->live; /* no pages: see fs/stream.h */
        fi.keep_cache = !fi.direct_io;                         /* they belong to this generation alone */
        uint64_t fh = opened_add(&mount->opened, &handle->opened, close_handle);
        fi.fh = fh;
        if (fuse_reply_open(req, &fi) == -ENOENT)
                opened_close(&mount->opened, fh);
        return true;
}

static bool open_again(fuse_req_t req, const struct waiting_for *what)
{
        struct waiting_for copy = *what;
        return try_open(req, &copy, 0);
}

static void ll_open(fuse_req_t req, fuse_ino_t number, struct fuse_file_info *fi)
{
        struct waiting_for what = { .number = number, .fi = fi };
        if (try_open(req, &what, REQUEST_STREAM_WAIT_MS))
                return;
        int r = waiting_add(mount_of(req)->waiting, req, open_again, &what);
        if (r < 0)
                fail(req, r);
}

static void read_raw(fuse_req_t req, const struct raw_file *raw, size_t size, off_t offset)
{
        size = size < READ_MAX ? size : READ_MAX;
        CLEANUP(free)
        char *buffer = malloc(size > 0 ? size : 1);
        if (buffer == NULL)
                return fail(req, -ENOMEM);
        ssize_t n = raw_read(raw, buffer, size, offset);
        if (n < 0)
                (void) fuse_reply_err(req, (int) -n);
        else
                (void) fuse_reply_buf(req, buffer, (size_t) n);
}

static void ll_read(fuse_req_t req, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *fi)
{
        (void) number;
        const struct handle *handle = (const struct handle *) opened_of(fi->fh);
        if (handle->raw != NULL)
                return read_raw(req, handle->raw, size, offset);
        if (handle->stream != NULL)
                return stream_reply_read(req, handle->stream, size, offset);
        if (handle->content == NULL) /* opened for writing alone */
                return fail(req, -EBADF);
        /* held beyond the reply: the kernel may close the file before the reply's system call has returned */
        CLEANUP(content_put)
        struct content *content = (struct content *) result_get(&handle->content->shared);
        const struct text *text = &content->text;
        if (offset < 0 || (uint64_t) offset >= text->len) {
                (void) fuse_reply_buf(req, NULL, 0);
                return;
        }
        size_t left = text->len - (size_t) offset;
        (void) fuse_reply_buf(req, text->bytes + offset, size < left ? size : left);
}

/* The kernel closes no file before the reply, but as soon as it is sent: nothing of it is touched then. */
static void ll_write(fuse_req_t req, fuse_ino_t number, const char *bytes, size_t size, off_t offset, struct fuse_file_info *fi)
{
        (void) number;
        const struct handle *handle = (const struct handle *) opened_of(fi->fh);
        if (handle->control == NULL)
                return fail(req, refusal(mount_of(req)));
        control_reply_write(req, handle->control, bytes, size, offset);
}

static void ll_fsync(fuse_req_t req, fuse_ino_t number, int datasync, struct fuse_file_info *fi)
{
        (void) number, (void) datasync, (void) fi;
        (void) fuse_reply_err(req, 0); /* a write has done its work already */
}

static void ll_release(fuse_req_t req, fuse_ino_t number, struct fuse_file_info *fi)
{
        (void) number;
        opened_close(&mount_of(req)->opened, fi->fh);
        (void) fuse_reply_err(req, 0);
}

static int list(fuse_req_t req, const struct node *node, fuse_ino_t self, struct listing **ret)
{
        int r = -ESTALE;
        for (int i = 0; r == -ESTALE && i < REQUEST_TRIES; i++) {
                struct request request;
                request_begin(&request, mount_of(req), req);
                r = listing_read(&request, node, self, ret);
                if (request.stale && r == 0) {
                        *ret = listing_free(*ret);
                        r = -ESTALE;
                }
                request_end(&request);
        }
        return r;
}

static void ll_opendir(fuse_req_t req, fuse_ino_t number, struct fuse_file_info *fi)
{
        struct inode_info info;
        if (!inodes_info(mount_of(req)->inodes, number, &info))
                return fail(req, -ENOENT);
        struct listing *listing = NULL;
        int r = list(req, &info.node, number, &listing);
        if (r < 0)
                return fail(req, r);
        struct mount *mount = mount_of(req);
        uint64_t fh = opened_add(&mount->opened, (struct opened *) listing, listing_close);
        fi->fh = fh;
        if (fuse_reply_open(req, fi) == -ENOENT)
                opened_close(&mount->opened, fh);
}

static void ll_readdir(fuse_req_t req, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *fi)
{
        (void) number;
        size = size < READ_MAX ? size : READ_MAX;
        CLEANUP(free)
        char *buffer = malloc(size > 0 ? size : 1);
        if (buffer == NULL)
                return fail(req, -ENOMEM);
        size_t n = listing_fill((const struct listing *) opened_of(fi->fh), req, buffer, size, offset);
        (void) fuse_reply_buf(req, buffer, n);
}

static void ll_releasedir(fuse_req_t req, fuse_ino_t number, struct fuse_file_info *fi)
{
        (void) number;
        opened_close(&mount_of(req)->opened, fi->fh);
        (void) fuse_reply_err(req, 0);
}

/* Of the file system that the persist directory is on; nothing is counted. */
static void ll_statfs(fuse_req_t req, fuse_ino_t number)
{
        (void) number;
        struct statvfs st;
        if (fstatvfs(observer_dirfd(mount_of(req)->observer), &st) < 0)
                return fail(req, -errno);
        st.f_namemax = NAME_MAX;
        (void) fuse_reply_statfs(req, &st);
}

/* Truncating and touching a control succeeds, and changes nothing: shells do the first before they write, and make(1) the second. */
static void ll_setattr(fuse_req_t req, fuse_ino_t number, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
        (void) attr;
        struct inode_info info;
        if (!inodes_info(mount_of(req)->inodes, number, &info))
                return fail(req, -ENOENT);
        int r = check_change(mount_of(req), &info.node);
        if (r == 0 && (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0)
                r = -EPERM;
        if (r < 0)
                return fail(req, r);
        ll_getattr(req, number, fi);
}

/* What a file system of virtual files does not have. */

static void ll_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
        (void) parent, (void) name, (void) mode, (void) device;
        fail(req, refusal(mount_of(req)));
}

static void ll_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
        ll_mknod(req, parent, name, mode, 0);
}

static void ll_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
        ll_mknod(req, parent, name, 0, 0);
}

static void ll_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
        (void) target;
        ll_mknod(req, parent, name, 0, 0);
}

static void ll_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
                      unsigned flags)
{
        (void) new_parent, (void) new_name, (void) flags;
        ll_mknod(req, parent, name, 0, 0);
}

static void ll_link(fuse_req_t req, fuse_ino_t number, fuse_ino_t new_parent, const char *new_name)
{
        (void) number;
        ll_mknod(req, new_parent, new_name, 0, 0);
}

static void ll_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
        (void) fi;
        ll_mknod(req, parent, name, mode, 0);
}

const struct fuse_lowlevel_ops ll_operations = {
        .init = ll_init,
        .lookup = ll_lookup,
        .forget = ll_forget,
        .forget_multi = ll_forget_multi,
        .getattr = ll_getattr,
        .setattr = ll_setattr,
        .readlink = ll_readlink,
        .mknod = ll_mknod,
        .mkdir = ll_mkdir,
        .unlink = ll_unlink,
        .rmdir = ll_unlink,
        .symlink = ll_symlink,
        .rename = ll_rename,
        .link = ll_link,
        .create = ll_create,
        .open = ll_open,
        .read = ll_read,
        .write = ll_write,
        .fsync = ll_fsync,
        .release = ll_release,
        .opendir = ll_opendir,
        .readdir = ll_readdir,
        .releasedir = ll_releasedir,
        .statfs = ll_statfs,
};
