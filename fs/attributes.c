#include "fs/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "fs/operations.h"
#include "ops/dir_size.h"
#include "ops/index_summary.h"
#include "ops/operation/history.h"
#include "ops/operation/state_dir.h"
#include "ops/orphans.h"

#define NS_PER_SECOND 1000000000

struct provenance {
        uint32_t uid, gid;
        mode_t readable; /* of 0444 */
        int64_t newest_ns;
        int dirfd;
        bool shared; /* other users may come: ACLs and the directories above count, too */
};

#define OWNER_ONLY 0400

/* ctime too: it can't be set back, as the mtime is by cp -p or the restoring of a backup. */
static void note_time(struct provenance *p, const struct file_stamp *s)
{
        int64_t newest_ns = s->mtime_ns > s->ctime_ns ? s->mtime_ns : s->ctime_ns;
        if (s->present && newest_ns > p->newest_ns)
                p->newest_ns = newest_ns;
}

/* Whoever could be in several classes of the source, seen from our owner and group, gets the least of them. */
static void restrict_to(struct provenance *p, const struct file_stamp *s, mode_t readable)
{
        mode_t user = readable >> 6 & 4, group = readable >> 3 & 4, other = readable & 4;
        mode_t to_user = user, to_group = group, to_other = other;
        if (s->uid != p->uid) {
                to_user = group & other;
                to_group &= user;
                to_other &= user;
        }
        if (s->gid != p->gid) {
                to_group &= other;
                to_other &= group;
        }
        p->readable &= to_user << 6 | to_group << 3 | to_other;
}

/* What an ACL grants and denies can't be said in nine bits: then only the owner reads. */
static void restrict_by_acl(struct provenance *p, const char *path)
{
        if (p->shared && lgetxattr(path, "system.posix_acl_access", NULL, 0) > 0)
                p->readable &= OWNER_ONLY;
}

static void restrict_by_acl_below(struct provenance *p, const char *path)
{
        char whole[2 * NODE_KEY_SIZE + 64];
        (void) snprintf(whole, sizeof(whole), "/proc/self/fd/%d/%s", p->dirfd, path);
        restrict_by_acl(p, whole);
}

static void add_file(struct provenance *p, const struct file_stamp *s, const char *path)
{
        if (!s->present)
                return;
        restrict_to(p, s, s->mode & 0444);
        restrict_by_acl_below(p, path);
        note_time(p, s);
}

static void search_through(struct provenance *p, const struct file_stamp *s)
{
        restrict_to(p, s, (s->mode & 0111) << 2);
}

static void add_directory(struct provenance *p, const struct file_stamp *s, const char *path)
{
        if (!s->present)
                return;
        search_through(p, s);
        restrict_by_acl_below(p, path);
        note_time(p, s);
}

/* The time of everything below, which sizes are made of. */
static void note_times_below(struct provenance *p, const char *name)
{
        struct dir_size size;
        if (dir_size_read(p->dirfd, name, &size, NULL) < 0)
                return;
        const struct file_stamp times = { .present = true, .mtime_ns = size.newest_ns, .ctime_ns = size.changed_ns };
        note_time(p, &times);
}

static void add_index(struct provenance *p, const char *id)
{
        struct index_stamps stamps = index_stamps_read(p->dirfd, id);
        if (!stamps.dir.present || !S_ISDIR(stamps.dir.mode))
                return;
        add_directory(p, &stamps.dir, id);
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                char path[2 * NODE_KEY_SIZE];
                (void) snprintf(path, sizeof(path), "%s/%s", id, index_file_names[i]);
                if (S_ISREG(stamps.files[i].mode))
                        add_file(p, &stamps.files[i], path);
        }
}

/* What a check has found is told among the problems from then on. */
static void note_check(struct provenance *p, struct observer *observer, const char *id)
{
        struct index_stamps stamps = index_stamps_read(p->dirfd, id);
        struct check_result *check = observer_known_check(observer, id, &stamps);
        if (check == NULL)
                return;
        const struct file_stamp end = { .present = !hnsw_check_is_ok(&check->check), .mtime_ns = check->ended_ns };
        note_time(p, &end);
        (void) result_put(&check->shared);
}

static void add_indexes(struct provenance *p, const struct request *request)
{
        for (size_t i = 0; i < request->entries->count; i++) {
                const struct segment *vector = request->entries->by_id[i].collection->vector;
                if (vector == NULL || !vector->id_is_uuid)
                        continue;
                add_index(p, vector->id.bytes);
                note_check(p, request->mount->observer, vector->id.bytes);
        }
}

static void add_orphans(struct provenance *p, const struct request *request)
{
        struct orphans orphans = { 0 };
        if (orphans_read(p->dirfd, request->view->catalog, &orphans, NULL) < 0)
                return;
        for (size_t i = 0; i < orphans.count; i++)
                add_index(p, orphans.list[i].name);
        orphans_clear(&orphans);
}

/* Where the persist directory is now, whatever it was called when it was mounted; false when that can't be told. */
static bool present_path(int dirfd, char path[PATH_MAX])
{
        char link[64];
        struct stat there, here;
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
        ssize_t n = readlink(link, path, PATH_MAX - 1);
        if (n <= 0)
                return false;
        path[n] = '\0';
        return path[0] == '/' && lstat(path, &there) == 0 && fstat(dirfd, &here) == 0 && there.st_dev == here.st_dev &&
               there.st_ino == here.st_ino;
}

/* Every directory from the root of the file system down to the persist directory; their times say nothing of the contents. */
static void restrict_by_path(struct provenance *p)
{
        char path[PATH_MAX], prefix[PATH_MAX];
        if (!present_path(p->dirfd, path)) {
                p->readable &= OWNER_ONLY;
                return;
        }
        for (size_t i = 0, len = strlen(path); i <= len; i++) {
                if (i != 0 && path[i] != '/' && path[i] != '\0')
                        continue;
                (void) snprintf(prefix, sizeof(prefix), "%.*s", i == 0 ? 1 : (int) i, path);
                struct file_stamp stamp = file_stamp_at(AT_FDCWD, prefix);
                if (!stamp.present)
                        p->readable &= OWNER_ONLY;
                else
                        search_through(p, &stamp);
                restrict_by_acl(p, prefix);
        }
}

/* What runs and ran in this mount, and what the history tells of others. */
static void note_operations(struct provenance *p, struct operations *operations, unsigned from)
{
        const struct operations_times times = operations_times(operations);
        int64_t newest_ns = (from & FROM_PROGRESS) != 0 ? times.progress_ns : 0;
        if ((from & FROM_RUNS) != 0 && times.end_ns > newest_ns)
                newest_ns = times.end_ns;
        if ((from & FROM_REFUSALS) != 0 && times.refusal_ns > newest_ns)
                newest_ns = times.refusal_ns;
        const struct file_stamp newest = { .present = true, .mtime_ns = newest_ns };
        note_time(p, &newest);
        if ((from & FROM_HISTORY) == 0)
                return;
        const struct file_stamp history = file_stamp_at(p->dirfd, STATE_DIR "/" HISTORY_FILE);
        note_time(p, &history);
}

static void add_history(struct provenance *p)
{
        const struct file_stamp directory = file_stamp_at(p->dirfd, STATE_DIR);
        const struct file_stamp history = file_stamp_at(p->dirfd, STATE_DIR "/" HISTORY_FILE);
        if (!history.present)
                return;
        add_directory(p, &directory, STATE_DIR);
        add_file(p, &history, STATE_DIR "/" HISTORY_FILE);
}

static void add_sources(struct provenance *p, struct request *request, const struct node *node)
{
        unsigned from = node->type->sources;
        struct file_stamp directory = file_stamp_at(p->dirfd, ".");
        note_time(p, &directory); /* it moves when the database is replaced, or a journal comes or goes */
        if ((from & FROM_DIRECTORY) != 0)
                add_directory(p, &directory, ".");
        if ((from & FROM_ALL) != 0)
                note_times_below(p, ".");
        if ((from & FROM_HISTORY_FILE) != 0)
                add_history(p);
        if ((from & (FROM_PROGRESS | FROM_RUNS | FROM_REFUSALS | FROM_HISTORY)) != 0)
                note_operations(p, request->mount->operations, from);
        if ((from & FROM_TREE) != 0) {
                add_index(p, node->a);
                note_times_below(p, node->a);
        }
        if (request->view == NULL)
                return;
        const struct segment *index = node_index(request, node);
        if (index != NULL) {
                add_index(p, index->id.bytes);
                if ((from & FROM_COLLECTION_INDEX) != 0)
                        note_check(p, request->mount->observer, index->id.bytes);
                note_times_below(p, index->id.bytes);
        }
        if ((from & FROM_INDEXES) != 0)
                add_indexes(p, request);
        if ((from & FROM_ORPHANS) != 0)
                add_orphans(p, request);
}

static int64_t settled(int64_t newest_ns)
{
        struct timespec now;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        return newest_ns / NS_PER_SECOND >= now.tv_sec ? newest_ns - NS_PER_SECOND : newest_ns;
}

/* Only the owner runs anything, and nobody where nothing may be changed. */
static mode_t writable(const struct mount *mount)
{
        return mount->options->read_only || mount->newer ? 0 : S_IWUSR;
}

static mode_t mode_of(const struct mount *mount, const struct node *node, mode_t readable)
{
        switch (node->type->kind) {
        case NODE_DIR:
                return S_IFDIR | readable | readable >> 2;
        case NODE_LINK:
                return S_IFLNK | 0777;
        case NODE_CONTROL:
                return S_IFREG | readable | writable(mount);
        case NODE_FILE:
        case NODE_LIVE:
        case NODE_RAW:
        case NODE_STREAM:
                break;
        }
        return S_IFREG | readable;
}

/* A segment's own file, in its own name. */
static int raw_source(struct provenance *p, const struct node *node, struct file_stamp *ret)
{
        char path[2 * NODE_KEY_SIZE];
        (void) snprintf(path, sizeof(path), "%s/%s", node->a, node->b);
        *ret = file_stamp_at(p->dirfd, path);
        if (!ret->present || !S_ISREG(ret->mode))
                return -ENOENT;
        p->uid = ret->uid;
        p->gid = ret->gid;
        add_file(p, ret, path);
        struct file_stamp directory = file_stamp_at(p->dirfd, node->a);
        add_directory(p, &directory, node->a);
        return 0;
}

static void database_source(struct provenance *p, const struct request *request)
{
        struct file_stamp stamp = file_stamp_at(p->dirfd, DB_FILE);
        p->uid = stamp.uid;
        p->gid = stamp.gid;
        if (request->view != NULL) { /* the view's own moment: a commit since then has moved the file's times, but not the view */
                stamp.mtime_ns = request->view->database.mtime_ns;
                stamp.ctime_ns = request->view->database.ctime_ns;
        }
        add_file(p, &stamp, DB_FILE);
}

static struct timespec time_of(int64_t ns)
{
        return (struct timespec){ .tv_sec = (time_t) (ns / NS_PER_SECOND), .tv_nsec = (long) (ns % NS_PER_SECOND) };
}

static void fill(struct stat *st, const struct mount *mount, const struct node *node, const struct provenance *p, int64_t mtime_ns)
{
        memset(st, 0, sizeof(*st));
        st->st_mode = mode_of(mount, node, p->readable);
        st->st_nlink = 1;
        st->st_uid = p->uid;
        st->st_gid = p->gid;
        st->st_blksize = 4096;
        st->st_ctim = st->st_atim = st->st_mtim = time_of(mtime_ns);
}

/* Size and what tells one state of the file from another. */
static void fill_raw(struct stat *st, const struct file_stamp *stamp)
{
        st->st_dev = stamp->dev;
        st->st_ino = stamp->ino;
        st->st_ctim = time_of(stamp->ctime_ns);
        st->st_size = (off_t) stamp->size;
        st->st_blocks = (blkcnt_t) (stamp->allocated / 512);
}

int attributes_read(struct request *request, const struct node *node, struct stat *ret)
{
        bool raw = node->type->kind == NODE_RAW;
        struct file_stamp stamp = { 0 };
        struct provenance p = { .readable = 0444,
                                .dirfd = observer_dirfd(request->mount->observer),
                                .shared = request->mount->options->allow_other };
        int r = raw ? raw_source(&p, node, &stamp) : 0;
        if (r < 0)
                return r;
        if (!raw) {
                database_source(&p, request);
                add_sources(&p, request, node);
        }
        if (p.shared)
                restrict_by_path(&p);
        fill(ret, request->mount, node, &p, raw ? stamp.mtime_ns : settled(p.newest_ns));
        if (raw)
                fill_raw(ret, &stamp);
        return 0;
}

void attributes_partial(struct stat *st)
{
        (void) clock_gettime(CLOCK_REALTIME, &st->st_mtim);
        st->st_ctim = st->st_atim = st->st_mtim;
}
