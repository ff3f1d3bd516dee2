#include "ops/operation/backup_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops/cleanup.h"
#include "ops/index_summary.h"
#include "ops/operation/plain_dir.h"
#include "ops/operation/state_dir.h"
#include "ops/text.h"

#define UUID_LEN 36
#define BLOCK 4096u
#define ASK_EVERY 16 /* entries: where each is asked of a server, others wait for us meanwhile */

struct walk {
        int persist_fd;
        uint64_t dev;
        db_cancel_fn *cancelled;
        void *context;
        struct backup_tree *tree;
};

/* One entry. */

static bool is_ours(const char *name)
{
        static const char *const names[] = {
                STATE_DIR, DB_FILE, DB_FILE "-journal", DB_FILE "-wal", DB_FILE "-shm", BACKUP_MANIFEST
        };
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
                if (strcmp(name, names[i]) == 0)
                        return true;
        return false;
}

static bool below_segment(const char *path)
{
        char name[UUID_LEN + 1];
        (void) snprintf(name, sizeof(name), "%s", path);
        return uuid_valid(name) && (path[UUID_LEN] == '\0' || path[UUID_LEN] == '/');
}

static int add(struct backup_tree *tree, const struct backup_entry *entry, struct error *e)
{
        if (tree->count == BACKUP_ENTRIES_MAX)
                return error_set(e, E2BIG, "the directory has more than %d files: copy it by hand", BACKUP_ENTRIES_MAX);
        if (tree->count == tree->capacity) {
                size_t capacity = tree->capacity == 0 ? 256 : tree->capacity * 2;
                struct backup_entry *grown = reallocarray(tree->entries, capacity, sizeof(*grown));
                if (grown == NULL)
                        return error_set(e, ENOMEM, "no memory for a list of %zu files", capacity);
                tree->entries = grown;
                tree->capacity = capacity;
        }
        tree->entries[tree->count++] = *entry;
        return 0;
}

static void judge(const struct walk *w, struct backup_entry *entry)
{
        uint32_t mode = entry->stamp.mode;
        if (S_ISREG(mode)) {
                entry->kind = BACKUP_FILE;
        } else if (S_ISLNK(mode)) {
                entry->kind = BACKUP_LINK;
        } else if (S_ISDIR(mode) && (entry->segment || entry->stamp.dev == w->dev)) {
                entry->kind = BACKUP_DIR;
        } else {
                entry->kind = BACKUP_LEFT_OUT;
                entry->reason = S_ISDIR(mode) ? "another file system" : "neither a file nor a directory nor a link";
        }
}

static int walk_dir(struct walk *w, const char *path, unsigned depth, struct error *e);

/* Takes the path. */
static int walk_entry(struct walk *w, char *path, const char *name, int fd, unsigned depth, struct error *e)
{
        struct stat st;
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                int r = errno == ENOENT ? 0 : error_set(e, errno, "%s can't be examined: %s", path, strerror(errno));
                free(path);
                return r;
        }
        struct backup_entry entry = { .path = path, .stamp = file_stamp_of(&st), .segment = below_segment(path) };
        judge(w, &entry);
        int r = add(w->tree, &entry, e);
        if (r < 0) {
                free(path);
                return r;
        }
        return entry.kind == BACKUP_DIR ? walk_dir(w, path, depth + 1, e) : 0;
}

static int walk_names(struct walk *w, int fd, DIR *dir, const char *path, unsigned depth, struct error *e)
{
        const char *name = NULL;
        int r;
        while ((r = plain_dir_next(dir, &name, e)) > 0) {
                if (depth == 0 && is_ours(name))
                        continue;
                if (w->tree->count % ASK_EVERY == 0 && w->cancelled != NULL && w->cancelled(w->context))
                        return error_set(e, ECANCELED, "cancelled");
                char *full = NULL;
                if (asprintf(&full, "%s%s%s", path, depth == 0 ? "" : "/", name) < 0)
                        return error_set(e, ENOMEM, "no memory for a path");
                r = walk_entry(w, full, name, fd, depth, e);
                if (r < 0)
                        return r;
        }
        return r;
}

static int walk_dir(struct walk *w, const char *path, unsigned depth, struct error *e)
{
        if (depth > BACKUP_DEPTH_MAX)
                return error_set(e, ELOOP, "%s lies more than %d directories deep: move it out of the directory", path,
                                 BACKUP_DEPTH_MAX);
        CLEANUP(close)
        int fd = file_open_dir(w->persist_fd, depth == 0 ? "." : path, e);
        if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
                return depth == 0 ? fd : 0; /* it went away, which the next listing shows */
        if (fd < 0)
                return fd;
        CLEANUP(closedir)
        DIR *dir = NULL;
        int r = plain_dir_list(fd, &dir, e);
        return r < 0 ? r : walk_names(w, fd, dir, path, depth, e);
}

static int by_path(const void *a, const void *b)
{
        return strcmp(((const struct backup_entry *) a)->path, ((const struct backup_entry *) b)->path);
}

static int64_t coarse_ns(void)
{
        struct timespec t;
        (void) clock_gettime(CLOCK_REALTIME_COARSE, &t);
        return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

int backup_tree_read(int persist_fd, db_cancel_fn *cancelled, void *context, struct backup_tree *ret, struct error *e)
{
        struct stat st;
        if (fstat(persist_fd, &st) < 0)
                return error_set(e, errno, "the directory can't be examined: %s", strerror(errno));
        struct backup_tree tree = { .begun_ns = coarse_ns() };
        struct walk w = { persist_fd, st.st_dev, cancelled, context, &tree };
        int r = walk_dir(&w, "", 0, e);
        if (r < 0) {
                backup_tree_clear(&tree);
                return r;
        }
        if (tree.count > 0)
                qsort(tree.entries, tree.count, sizeof(*tree.entries), by_path);
        *ret = tree;
        return 0;
}

void backup_tree_clear(struct backup_tree *tree)
{
        for (size_t i = 0; i < tree->count; i++)
                free(tree->entries[i].path);
        free(tree->entries);
        *tree = (struct backup_tree){ 0 };
}

/* Two listings. */

static void take_over(struct backup_entry *entry, const struct backup_entry *before)
{
        if (!before->copied || !file_stamp_equal(&entry->stamp, &before->stamp))
                return;
        entry->copied = true;
        entry->unowned = before->unowned;
        entry->hashed = before->hashed;
        entry->copy = before->copy;
}

void backup_tree_take_over(struct backup_tree *tree, const struct backup_tree *before, backup_stale_fn *stale, void *context)
{
        size_t i = tree->count;
        for (size_t n = before->count; n > 0; n--) {
                const struct backup_entry *old = &before->entries[n - 1];
                while (i > 0 && strcmp(tree->entries[i - 1].path, old->path) > 0)
                        i--;
                struct backup_entry *now =
                        i > 0 && strcmp(tree->entries[i - 1].path, old->path) == 0 ? &tree->entries[i - 1] : NULL;
                if (now == NULL || now->kind != old->kind)
                        stale(context, old);
                else
                        take_over(now, old);
        }
}

static const struct backup_entry *next_segment(const struct backup_tree *tree, size_t *at)
{
        while (*at < tree->count && !tree->entries[*at].segment)
                ++*at;
        return *at < tree->count ? &tree->entries[(*at)++] : NULL;
}

bool backup_tree_same_segments(const struct backup_tree *a, const struct backup_tree *b)
{
        size_t i = 0, j = 0;
        for (;;) {
                const struct backup_entry *x = next_segment(a, &i), *y = next_segment(b, &j);
                if (x == NULL || y == NULL)
                        return x == y;
                if (strcmp(x->path, y->path) != 0 || x->kind != y->kind || !file_stamp_equal(&x->stamp, &y->stamp))
                        return false;
        }
}

/* Times. */

/* How far a file's time may lie behind a change. A file system that stamps whole seconds is told by its stamps. */
static int64_t tick_ns(const struct file_stamp *stamp)
{
        struct timespec tick = { .tv_nsec = 4000000 };
        (void) clock_getres(CLOCK_REALTIME_COARSE, &tick);
        return stamp->ctime_ns % 1000000000 == 0 ? 2000000000 : tick.tv_nsec + 1000000;
}

bool backup_tree_is_racy(const struct backup_tree *tree, const struct file_stamp *stamp)
{
        int64_t tick = tick_ns(stamp);
        return stamp->ctime_ns > tree->begun_ns - tick && stamp->ctime_ns < coarse_ns() + tick;
}

static bool is_young(int64_t mtime, int64_t now)
{
        int64_t age;
        return !__builtin_sub_overflow(now, mtime, &age) && age > -INDEX_QUIET_NS && age < INDEX_QUIET_NS;
}

struct index_times {
        bool has_pickle;
        int64_t newest, pickle; /* mtimes */
};

static bool in_order(const struct index_times *times, const struct file_stamp *database, int64_t now)
{
        if (!times->has_pickle || !is_young(times->newest, now))
                return true;
        return times->newest == times->pickle && times->pickle <= database->mtime_ns;
}

static void note_time(struct index_times *times, const struct backup_entry *entry)
{
        if (entry->stamp.mtime_ns > times->newest)
                times->newest = entry->stamp.mtime_ns;
        if (strcmp(entry->path + UUID_LEN + 1, index_file_names[INDEX_PICKLE]) == 0) {
                times->has_pickle = true;
                times->pickle = entry->stamp.mtime_ns;
        }
}

bool backup_tree_settled(const struct backup_tree *tree, const struct file_stamp *database)
{
        int64_t now = coarse_ns();
        struct index_times times = { 0 };
        for (size_t i = 0; i < tree->count; i++) {
                const struct backup_entry *entry = &tree->entries[i];
                if (!entry->segment)
                        continue;
                if (backup_tree_is_racy(tree, &entry->stamp))
                        return false;
                if (entry->path[UUID_LEN] == '\0') { /* the next segment begins */
                        if (!in_order(&times, database, now))
                                return false;
                        times = (struct index_times){ .newest = INT64_MIN };
                } else if (entry->kind == BACKUP_FILE) {
                        note_time(&times, entry);
                }
        }
        return in_order(&times, database, now);
}

/* Nobody else commits, nor writes to the database, while a writer has its transaction open: so what is older than the database was there before. */
bool backup_tree_is_older(const struct backup_tree *tree, const struct file_stamp *database)
{
        int64_t commit = database->mtime_ns < database->ctime_ns ? database->mtime_ns : database->ctime_ns;
        for (size_t i = 0; i < tree->count; i++)
                if (tree->entries[i].segment && tree->entries[i].stamp.ctime_ns >= commit)
                        return false;
        return true;
}

/* Sums. */

/* Holes are not there in the copy either. What takes a little less than its size is compressed, which the copy may not be. */
static uint64_t need_of(const struct file_stamp *stamp)
{
        uint64_t bytes = stamp->allocated < stamp->size / 2 ? stamp->allocated : stamp->size;
        return __builtin_add_overflow(bytes, BLOCK, &bytes) ? UINT64_MAX : bytes;
}

uint64_t backup_tree_bytes(const struct backup_tree *tree)
{
        uint64_t sum = 0;
        for (size_t i = 0; i < tree->count; i++) {
                const struct backup_entry *entry = &tree->entries[i];
                uint64_t need = entry->kind == BACKUP_FILE ? need_of(&entry->stamp) : BLOCK;
                if (__builtin_add_overflow(sum, need, &sum))
                        return UINT64_MAX;
        }
        return sum;
}

uint64_t backup_tree_files(const struct backup_tree *tree)
{
        uint64_t files = 0;
        for (size_t i = 0; i < tree->count; i++)
                files += tree->entries[i].kind == BACKUP_FILE && !tree->entries[i].gone;
        return files;
}
