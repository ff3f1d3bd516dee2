#include "fs/contents.h"

#include <errno.h>
#include <xxhash.h>

#include "fs/attributes.h"
#include "fs/stream.h"

/* Not the mtime: it moves with the sources, and a content that stays the same stays the same file. */
static uint64_t file_state(const struct stat *st, const void *bytes, size_t len, int failure)
{
        uint64_t words[] = { st->st_mode, st->st_uid, st->st_gid, (uint64_t) -failure };
        return XXH3_64bits_withSeed(words, sizeof(words), XXH3_64bits(bytes, len));
}

static uint64_t raw_state(const struct stat *st)
{
        uint64_t words[] = { st->st_mode,
                             st->st_uid,
                             st->st_gid,
                             st->st_dev,
                             st->st_ino,
                             (uint64_t) st->st_size,
                             (uint64_t) st->st_mtim.tv_sec,
                             (uint64_t) st->st_mtim.tv_nsec,
                             (uint64_t) st->st_ctim.tv_sec,
                             (uint64_t) st->st_ctim.tv_nsec };
        return XXH3_64bits(words, sizeof(words));
}

static int show(struct request *request, const struct node *node, struct content **ret)
{
        struct text text = { 0 };
        int r = node->type->viewless ? 0 : request_need(request);
        if (r == 0)
                r = node->type->show(request, node, &text);
        if (r < 0)
                return r;
        *ret = content_new(&text);
        return *ret != NULL ? 0 : -ENOMEM;
}

/* A file's generation: its bytes and its attributes. One whose contents can't be had is there, empty, and fails when it is opened. */
static int read_file(struct request *request, const struct node *node, struct inode_info *ret, struct content **ret_content)
{
        int r = show(request, node, ret_content);
        if (r == -ENOENT || r == -ESTALE || r == -EINTR)
                return r;
        ret->failure = r;
        const void *bytes = r == 0 ? (*ret_content)->text.bytes : "";
        size_t len = r == 0 ? (*ret_content)->text.len : 0;
        ret->attributes.st_size = (off_t) len;
        ret->attributes.st_blocks = (blkcnt_t) (len + 511) / 512;
        if (request->partial)
                attributes_partial(&ret->attributes);
        ret->state = file_state(&ret->attributes, bytes, len, r);
        return 0;
}

/* Its contents are not looked at. As long as they could turn out not to be known for those who write, its time moves. */
static void read_sized(struct request *request, const struct node *node, struct inode_info *ret)
{
        const struct segment *index = request->view != NULL ? node_index(request, node) : NULL;
        ret->attributes.st_size = node->type->size;
        ret->attributes.st_blocks = (node->type->size + 511) / 512;
        if (index == NULL)
                return;
        struct index_stamps stamps = index_stamps_read(observer_dirfd(request->mount->observer), index->id.bytes);
        if (index_stamps_young(&stamps))
                attributes_partial(&ret->attributes);
}

/* One inode, whose size is that of what an open of this moment would show. */
static int read_live(struct request *request, const struct node *node, struct inode_info *ret, struct content **ret_content)
{
        int r = 0;
        if (node->type->size > 0 && !request->opening)
                read_sized(request, node, ret);
        else
                r = read_file(request, node, ret, ret_content);
        ret->state = 0;
        return r;
}

static int read_link(struct request *request, const struct node *node, struct inode_info *ret, struct content **ret_content)
{
        int r = show(request, node, ret_content);
        if (r < 0)
                return r;
        ret->attributes.st_size = (off_t) (*ret_content)->text.len;
        ret->attributes.st_blocks = 0;
        return 0;
}

/* What can't be had is there, empty, and fails when it is opened: as in read_file. */
static int read_stream(struct request *request, const struct node *node, struct inode_info *ret, struct content **ret_content)
{
        struct wal_stream *stream = NULL;
        int r = stream_read(request, node, ret, &stream);
        if (r == -ENOENT || r == -ESTALE || r == -EINTR)
                return r;
        if (r == -EINPROGRESS) {
                ret->state = stream_unmeasured(request);
                return 0;
        }
        ret->failure = r;
        if (r < 0) {
                ret->state = file_state(&ret->attributes, "", 0, r);
                return 0;
        }
        *ret_content = content_of_stream(stream);
        return *ret_content != NULL ? 0 : -ENOMEM;
}

int contents_read(struct request *request, const struct node *node, struct inode_info *ret, struct content **ret_content)
{
        *ret_content = NULL;
        *ret = (struct inode_info){ .node = *node };
        if (!node_exists(request, node))
                return -ENOENT;
        /* Before the attributes: an mtime that is older than the contents is harmless, one that is newer is not. What tells of an operation can
           be had while that has the database locked. */
        bool live = node->type->kind == NODE_LIVE || node->type->kind == NODE_CONTROL;
        if (node->type->sources != FROM_NOTHING && node->type->kind != NODE_DIR && node->type->kind != NODE_RAW &&
            !(live && node->type->viewless))
                (void) request_need(request);
        int r = attributes_read(request, node, &ret->attributes);
        if (r < 0)
                return r;
        switch (node->type->kind) {
        case NODE_DIR:
                ret->attributes.st_size = 0;
                ret->attributes.st_blocks = 0;
                return 0;
        case NODE_LINK:
                return read_link(request, node, ret, ret_content);
        case NODE_FILE:
                return read_file(request, node, ret, ret_content);
        case NODE_LIVE:
        case NODE_CONTROL:
                return read_live(request, node, ret, ret_content);
        case NODE_RAW:
                ret->state = raw_state(&ret->attributes);
                return 0;
        case NODE_STREAM:
                return read_stream(request, node, ret, ret_content);
        }
        return -EIO;
}
