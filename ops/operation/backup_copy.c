/*
 * The files of a backup. All are made anew beneath the target's descriptor, which nobody else can reach before it is published.
 *
 * Times are copied (Chroma does not look at them, but whoever judges an index does: a young one may be a writer's half-done work). Owner,
 * mode, ACL and extended attributes too. Who may read a file but can't own its copy keeps that for himself, 0600, and the result says how
 * many there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/operation/backup_parts.h"
#include "ops/operation/plain_dir.h"

#define SYNC_EACH_MAX 200 /* files: beyond, one syncfs(2) for all is faster than the journal's commit for each */

bool backup_is_cancelled(void *context)
{
        struct backup *b = context;
        (void) backup_hold_goes_on(&b->hold, 0);
        uint64_t more = b->current != NULL ? b->current->bytes : 0;
        return operation_progress(b->op, b->phase, b->done + more, b->total) < 0;
}

static int fail(struct backup *b, int err, const char *path, const char *what)
{
        return error_set(&b->op->error, err, "%s %s: %s", path, what, strerror(err));
}

/* One file. */

static int copy_times(const struct file_stamp *stamp, int fd)
{
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
        times[1].tv_sec = stamp->mtime_ns / 1000000000;
        times[1].tv_nsec = stamp->mtime_ns % 1000000000;
        if (times[1].tv_nsec < 0) {
                times[1].tv_sec--;
                times[1].tv_nsec += 1000000000;
        }
        return futimens(fd, times) < 0 ? -errno : 0;
}

static bool same_owner(int a, int b)
{
        struct stat x, y;
        return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_uid == y.st_uid && x.st_gid == y.st_gid;
}

int backup_copy_attributes(struct backup *b, int from, int to, bool *ret_unowned)
{
        struct error e = { 0 };
        int r = file_copy_attributes(from, to, false, &e);
        if (r < 0 && (r != -EPERM || same_owner(from, to)))
                return error_set(&b->op->error, -r, "%s", e.text);
        *ret_unowned = r < 0;
        return 0;
}

int backup_open_above(int dirfd, const char *path, const char **ret_name, struct error *e)
{
        char above[PATH_MAX];
        const char *slash = strrchr(path, '/');
        *ret_name = slash != NULL ? slash + 1 : path;
        if (slash == NULL)
                return file_open_dir(dirfd, ".", e);
        int n = snprintf(above, sizeof(above), "%.*s", (int) (slash - path), path);
        if (n < 0 || (size_t) n >= sizeof(above))
                return error_set(e, ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
        return file_open_dir(dirfd, above, e);
}

static int make_file(struct backup *b, const char *path)
{
        const char *name = NULL;
        CLEANUP(close)
        int above = backup_open_above(b->target.fd, path, &name, &b->op->error);
        if (above < 0)
                return above;
        int fd = -1;
        if (unlinkat(above, name, 0) == 0 || errno == ENOENT)
                fd = openat(above, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        return fd >= 0 ? fd : fail(b, errno, path, "can't be made in the copy");
}

static int copy_open_file(struct backup *b, struct backup_entry *entry, int from)
{
        CLEANUP(close)
        int to = make_file(b, entry->path);
        if (to < 0)
                return to;
        b->current = &entry->copy;
        int r = file_copy_hashed(from, to, backup_is_cancelled, b, &entry->copy, &b->op->error);
        b->current = NULL;
        if (r == 0)
                r = backup_copy_attributes(b, from, to, &entry->unowned);
        if (r < 0)
                return r == -ECANCELED ? r : error_prefix(&b->op->error, r, "%s", entry->path);
        r = copy_times(&entry->stamp, to);
        return r < 0 ? fail(b, -r, entry->path, "can't be given its time in the copy") : 0;
}

/* Its copy counts when it is in the state that was listed. The user's own files are taken as they are found. */
static int copy_file(struct backup *b, struct backup_entry *entry)
{
        struct file_stamp stamp, after;
        struct stat st;
        CLEANUP(close)
        int from = file_open_regular(b->op->dirfd, entry->path, &stamp, &b->op->error);
        if (from == -ENOENT || from == -ENOTDIR || from == -ELOOP || from == -EILSEQ) {
                entry->gone = true; /* or it became something else: the next listing of a segment shows that */
                return 0;
        }
        if (from < 0)
                return from;
        if (!entry->segment)
                entry->stamp = stamp;
        else if (!file_stamp_equal(&stamp, &entry->stamp))
                return 0;
        int r = copy_open_file(b, entry, from);
        if (r < 0)
                return r;
        if (fstat(from, &st) < 0)
                return fail(b, errno, entry->path, "can't be examined");
        after = file_stamp_of(&st);
        entry->copied = !entry->segment || (file_stamp_equal(&after, &entry->stamp) && !backup_tree_is_racy(&b->tree, &after));
        entry->hashed = !entry->copy.reflinked;
        b->reflink = b->reflink || entry->copy.reflinked;
        return 0;
}

/* The rest. */

/* Where it leads. 1, 0 when it is no link any more, or a failure. */
static int read_link(struct backup *b, struct backup_entry *entry, char ret[PATH_MAX])
{
        const char *name = NULL;
        CLEANUP(close)
        int above = backup_open_above(b->op->dirfd, entry->path, &name, &b->op->error);
        entry->gone = above == -ENOENT || above == -ENOTDIR || above == -ELOOP;
        if (above < 0)
                return entry->gone ? 0 : above;
        ssize_t n = readlinkat(above, name, ret, PATH_MAX - 1);
        entry->gone = n < 0 && (errno == ENOENT || errno == EINVAL);
        if (n < 0)
                return entry->gone ? 0 : fail(b, errno, entry->path, "can't be read");
        ret[n] = '\0';
        return 1;
}

static int copy_link(struct backup *b, struct backup_entry *entry)
{
        char to[PATH_MAX];
        int r = read_link(b, entry, to);
        if (r <= 0)
                return r;
        const char *name = NULL;
        CLEANUP(close)
        int above = backup_open_above(b->target.fd, entry->path, &name, &b->op->error);
        if (above < 0)
                return above;
        if (unlinkat(above, name, 0) < 0 && errno != ENOENT)
                return fail(b, errno, entry->path, "can't be replaced in the copy");
        if (symlinkat(to, above, name) < 0)
                return fail(b, errno, entry->path, "can't be made in the copy");
        entry->copied = true;
        return 0;
}

static int copy_dir(struct backup *b, struct backup_entry *entry)
{
        const char *name = NULL;
        CLEANUP(close)
        int above = backup_open_above(b->target.fd, entry->path, &name, &b->op->error);
        if (above < 0)
                return above;
        if (mkdirat(above, name, 0700) < 0 && errno != EEXIST)
                return fail(b, errno, entry->path, "can't be made in the copy");
        entry->copied = true;
        return 0;
}

static int copy_entry(struct backup *b, struct backup_entry *entry)
{
        switch (entry->kind) {
        case BACKUP_DIR:
                return copy_dir(b, entry);
        case BACKUP_FILE:
                return copy_file(b, entry);
        case BACKUP_LINK:
                return copy_link(b, entry);
        default:
                return 0;
        }
}

int backup_copy_tree(struct backup *b)
{
        b->phase = "copying files";
        b->done = 0;
        b->total = backup_tree_bytes(&b->tree);
        for (size_t i = 0; i < b->tree.count; i++) {
                struct backup_entry *entry = &b->tree.entries[i];
                if (backup_is_cancelled(b))
                        return -ECANCELED;
                int r = entry->copied ? 0 : copy_entry(b, entry);
                if (r < 0)
                        return r;
                b->done += entry->copied ? entry->copy.bytes : 0;
        }
        return 0;
}

/* What can't be removed is in the way of what comes in its place, and then that says so. */
void backup_copy_remove(void *context, const struct backup_entry *entry)
{
        struct backup *b = context;
        const char *name = NULL;
        CLEANUP(close)
        int above = backup_open_above(b->target.fd, entry->path, &name, NULL);
        if (above >= 0)
                (void) unlinkat(above, name, entry->kind == BACKUP_DIR ? AT_REMOVEDIR : 0);
}

/* Directories, the deepest first: what is made in one changes its time. */

typedef int dir_fn(struct backup *b, struct backup_entry *entry, int to);

static int each_dir(struct backup *b, dir_fn *fn)
{
        for (size_t i = b->tree.count; i > 0; i--) {
                struct backup_entry *entry = &b->tree.entries[i - 1];
                if (entry->kind != BACKUP_DIR)
                        continue;
                CLEANUP(close)
                int to = file_open_dir(b->target.fd, entry->path, &b->op->error);
                int r = to < 0 ? to : fn(b, entry, to);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int give_time(struct backup *b, struct backup_entry *entry, int to)
{
        int r = copy_times(&entry->stamp, to);
        return r < 0 ? fail(b, -r, entry->path, "can't be given its time in the copy") : 0;
}

int backup_copy_times(struct backup *b)
{
        return each_dir(b, give_time);
}

static int finish_dir(struct backup *b, struct backup_entry *entry, int to)
{
        CLEANUP(close)
        int from = file_open_dir(b->op->dirfd, entry->path, &b->op->error);
        if (from == -ENOENT || from == -ENOTDIR || from == -ELOOP)
                return 0; /* gone meanwhile: it stays ours */
        if (from < 0)
                return from;
        int r = backup_copy_attributes(b, from, to, &entry->unowned);
        return r < 0 ? r : give_time(b, entry, to);
}

static int finish_database(struct backup *b)
{
        CLEANUP(close)
        int from = file_open_regular(b->op->dirfd, DB_FILE, NULL, &b->op->error);
        CLEANUP(close)
        int to = file_open_regular(b->target.fd, DB_FILE, NULL, &b->op->error);
        if (from < 0 || to < 0)
                return from < 0 ? from : to;
        return backup_copy_attributes(b, from, to, &b->unowned_database);
}

int backup_copy_finish(struct backup *b)
{
        int r = finish_database(b);
        return r < 0 ? r : each_dir(b, finish_dir);
}

/* Checksums and syncs. */

static int open_copy(struct backup *b, const char *path)
{
        return file_open_regular(b->target.fd, path, NULL, &b->op->error);
}

static int hash_file(struct backup *b, const char *path, uint8_t ret[SHA256_SIZE])
{
        CLEANUP(close)
        int fd = open_copy(b, path);
        return fd < 0 ? fd : file_sha256(fd, backup_is_cancelled, b, ret, &b->op->error);
}

int backup_copy_hash(struct backup *b)
{
        b->phase = "computing checksums";
        b->done = 0;
        int r = hash_file(b, DB_FILE, b->database.sha256);
        b->done = b->database.bytes;
        for (size_t i = 0; r == 0 && i < b->tree.count; i++) {
                struct backup_entry *entry = &b->tree.entries[i];
                if (entry->kind != BACKUP_FILE || !entry->copied || entry->hashed)
                        continue;
                r = hash_file(b, entry->path, entry->copy.sha256);
                b->done += entry->copy.bytes;
        }
        return r;
}

typedef int sync_fn(int fd, db_cancel_fn *cancelled, void *context, struct error *e);

static int sync_file(struct backup *b, const char *path, sync_fn *fn)
{
        CLEANUP(close)
        int fd = open_copy(b, path);
        return fd < 0 ? fd : fn(fd, backup_is_cancelled, b, &b->op->error);
}

static int sync_files(struct backup *b, sync_fn *fn)
{
        int r = sync_file(b, DB_FILE, fn);
        for (size_t i = 0; r == 0 && i < b->tree.count; i++) {
                const struct backup_entry *entry = &b->tree.entries[i];
                if (entry->kind != BACKUP_FILE || !entry->copied)
                        continue;
                r = sync_file(b, entry->path, fn);
                b->done += entry->copy.bytes;
        }
        return r;
}

static int sync_dir(struct backup *b, struct backup_entry *entry, int to)
{
        return backup_is_cancelled(b) ? -ECANCELED : plain_dir_sync(to, entry->path, &b->op->error);
}

int backup_copy_sync(struct backup *b)
{
        bool each = backup_tree_files(&b->tree) <= SYNC_EACH_MAX;
        b->phase = "syncing";
        b->done = 0;
        int r = sync_files(b, each ? file_sync : file_write_out);
        if (r == 0 && each)
                r = each_dir(b, sync_dir);
        if (r == 0 && !each && syncfs(b->target.fd) < 0)
                return fail(b, errno, "the copy", "can't be written to the disk");
        return r == 0 ? plain_dir_sync(b->target.fd, "the copy", &b->op->error) : r;
}
