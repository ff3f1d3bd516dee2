#include "fs/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ops/dir_size.h"
#include "ops/index_summary.h"
#include "ops/orphans.h"

#define NS_PER_SECOND 1000000000

struct provenance {
        uint32_t uid, gid;
        mode_t readable; /* of 0444 */
        int64_t newest_ns;
};

static void restrict_to(struct provenance *p, const struct file_stamp *s, mode_t readable)
{
        mode_t user = readable >> 6 & 4, group = readable >> 3 & 4, other = readable & 4;
        if (s->uid != p->uid)
                user = group & other;
        if (s->gid != p->gid)
                group = other;
        p->readable &= user << 6 | group << 3 | other;
}

static void add_file(struct provenance *p, const struct file_stamp *s)
{
        if (!s->present)
                return;
        restrict_to(p, s, s->mode & 0444);
        if (s->mtime_ns > p->newest_ns)
                p->newest_ns = s->mtime_ns;
}

static void add_directory(struct provenance *p, const struct file_stamp *s)
{
        if (!s->present)
                return;
        restrict_to(p, s, (s->mode & 0111) << 2);
        if (s->mtime_ns > p->newest_ns)
                p->newest_ns = s->mtime_ns;
}

static void add_index(struct provenance *p, int dirfd, const char *id)
{
        struct index_stamps stamps = index_stamps_read(dirfd, id);
        if (!stamps.dir.present || !S_ISDIR(stamps.dir.mode))
                return;
        add_directory(p, &stamps.dir);
        for (int i = 0; i < INDEX_FILE_COUNT; i++)
                if (S_ISREG(stamps.files[i].mode))
                        add_file(p, &stamps.files[i]);
}

static void add_indexes(struct provenance *p, const struct request *request, int dirfd)
{
        for (size_t i = 0; i < request->entries->count; i++) {
                const struct segment *vector = request->entries->by_id[i].collection->vector;
                if (vector != NULL && vector->id_is_uuid)
                        add_index(p, dirfd, vector->id.bytes);
        }
}

static void add_orphans(struct provenance *p, const struct request *request, int dirfd)
{
        struct orphans orphans = { 0 };
        if (orphans_read(dirfd, request->view->catalog, &orphans, NULL) < 0)
                return;
        for (size_t i = 0; i < orphans.count; i++)
                add_index(p, dirfd, orphans.list[i].name);
        orphans_clear(&orphans);
}

static void add_tree(struct provenance *p, int dirfd, const char *name)
{
        struct dir_size size;
        struct file_stamp stamp = file_stamp_at(dirfd, name);
        add_directory(p, &stamp);
        if (dir_size_read(dirfd, name, &size, NULL) == 0 && size.newest_ns > p->newest_ns)
                p->newest_ns = size.newest_ns;
}

/* Every directory from the root of the file system down to the persist directory; their mtimes say nothing of the contents. */
static void add_path(struct provenance *p, const char *path)
{
        char prefix[PATH_MAX];
        int64_t newest_ns = p->newest_ns;
        for (const char *slash = path; slash != NULL; slash = strchr(slash + 1, '/')) {
                size_t len = (size_t) (slash - path) == 0 ? 1 : (size_t) (slash - path);
                (void) snprintf(prefix, sizeof(prefix), "%.*s", (int) len, path);
                struct file_stamp stamp = file_stamp_at(AT_FDCWD, prefix);
                add_directory(p, &stamp);
        }
        struct file_stamp last = file_stamp_at(AT_FDCWD, path);
        add_directory(p, &last);
        p->newest_ns = newest_ns;
}

static void add_sources(struct provenance *p, struct request *request, const struct node *node, int dirfd)
{
        unsigned from = node->type->sources;
        if ((from & FROM_DIRECTORY) != 0) {
                struct file_stamp stamp = file_stamp_at(dirfd, ".");
                add_directory(p, &stamp);
        }
        if ((from & FROM_TREE) != 0)
                add_tree(p, dirfd, node->a);
        if (request->view == NULL)
                return;
        const struct segment *index = node_index(request, node);
        if (index != NULL)
                add_index(p, dirfd, index->id.bytes);
        if ((from & FROM_INDEXES) != 0)
                add_indexes(p, request, dirfd);
        if ((from & FROM_ORPHANS) != 0)
                add_orphans(p, request, dirfd);
}

static int64_t settled(int64_t newest_ns)
{
        struct timespec now;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        return newest_ns / NS_PER_SECOND >= now.tv_sec ? newest_ns - NS_PER_SECOND : newest_ns;
}

static mode_t mode_of(const struct node *node, mode_t readable)
{
        switch (node->type->kind) {
        case NODE_DIR:
                return S_IFDIR | readable | readable >> 2;
        case NODE_LINK:
                return S_IFLNK | 0777;
        case NODE_FILE:
        case NODE_RAW:
                break;
        }
        return S_IFREG | readable;
}

static int start(struct request *request, const struct node *node, int dirfd, struct file_stamp *ret)
{
        if (node->type->kind == NODE_RAW) {
                char path[2 * NODE_KEY_SIZE];
                (void) snprintf(path, sizeof(path), "%s/%s", node->a, node->b);
                *ret = file_stamp_at(dirfd, path);
                return ret->present && S_ISREG(ret->mode) ? 0 : -ENOENT;
        }
        *ret = file_stamp_at(dirfd, DB_FILE);
        if (request->view != NULL) /* the view's own moment: a commit since then has moved the file's mtime, but not the view */
                ret->mtime_ns = request->view->database.mtime_ns;
        return 0;
}

int attributes_read(struct request *request, const struct node *node, struct stat *ret)
{
        int dirfd = observer_dirfd(request->mount->observer);
        struct file_stamp first = { 0 };
        int r = start(request, node, dirfd, &first);
        if (r < 0)
                return r;
        struct provenance p = { .uid = first.uid, .gid = first.gid, .readable = 0444 };
        add_file(&p, &first);
        if (node->type->kind != NODE_RAW)
                add_sources(&p, request, node, dirfd);
        if (request->mount->options->allow_other) {
                if (node->type->kind == NODE_RAW) {
                        struct file_stamp dir = file_stamp_at(dirfd, node->a);
                        restrict_to(&p, &dir, (dir.mode & 0111) << 2);
                }
                add_path(&p, request->mount->persist_path);
        }
        int64_t mtime_ns = node->type->kind == NODE_RAW ? first.mtime_ns : settled(p.newest_ns);
        memset(ret, 0, sizeof(*ret));
        ret->st_mode = mode_of(node, p.readable);
        ret->st_nlink = 1;
        ret->st_uid = p.uid;
        ret->st_gid = p.gid;
        ret->st_mtim.tv_sec = (time_t) (mtime_ns / NS_PER_SECOND);
        ret->st_mtim.tv_nsec = (long) (mtime_ns % NS_PER_SECOND);
        ret->st_ctim = ret->st_atim = ret->st_mtim;
        if (node->type->kind == NODE_RAW) { /* what tells one state of the file from another */
                ret->st_dev = first.dev;
                ret->st_ino = first.ino;
                ret->st_ctim.tv_sec = (time_t) (first.ctime_ns / NS_PER_SECOND);
                ret->st_ctim.tv_nsec = (long) (first.ctime_ns % NS_PER_SECOND);
        }
        ret->st_size = (off_t) first.size;
        ret->st_blocks = (blkcnt_t) (first.allocated / 512);
        ret->st_blksize = 4096;
        return 0;
}

void attributes_partial(struct stat *st)
{
        (void) clock_gettime(CLOCK_REALTIME, &st->st_mtim);
        st->st_ctim = st->st_atim = st->st_mtim;
}
