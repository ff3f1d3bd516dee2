/*
 * The stamp of a directory says that what is moved is what was judged: a directory that was exchanged for another one stays.
 */
#include "ops/operation/orphan_dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ops/dir_size.h"
#include "ops/operation/dir_held.h"
#include "ops/operation/plain_dir.h"
#include "ops/orphans.h"

static const char stays_open[] = "a process has it open for writing: it stays until that process ends";
static const char stays_unknown[] = "nothing can tell whether a process has it open for writing: it stays";
static const char stays_young[] = "it was written to less than a minute ago: it stays for now";
static const char stays_mount[] = "another file system is mounted there: it stays";
static const char stays_changed[] = "it has changed since it was looked at: it stays for now";

static bool is_young(int64_t newest_ns)
{
        struct timespec now;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        return newest_ns > ((int64_t) now.tv_sec - ORPHAN_DIR_AGE_S) * 1000000000 + now.tv_nsec;
}

static bool is_elsewhere(int persist_fd, const struct file_stamp *stamp)
{
        struct stat st;
        return fstat(persist_fd, &st) < 0 || st.st_dev != stamp->dev;
}

/* Why it has to stay, as it is now, or NULL; and its size. */
static const char *judge(int persist_fd, struct orphan_dir *dir, bool certain)
{
        struct dir_size size = { 0 };
        if (is_elsewhere(persist_fd, &dir->stamp))
                return stays_mount;
        if (dir_size_read(persist_fd, dir->name, &size, NULL) < 0)
                return stays_changed;
        dir->bytes = size.apparent;
        dir->files = size.files;
        if (is_young(size.newest_ns))
                return stays_young;
        switch (dir_held(persist_fd, dir->name)) {
        case DIR_HELD_YES:
                return stays_open;
        case DIR_HELD_UNKNOWN:
                return certain ? stays_unknown : NULL;
        case DIR_HELD_NO:
                break;
        }
        return NULL;
}

int orphan_dirs_find(int persist_fd, const struct catalog *catalog, bool certain, struct orphan_dirs *ret, struct error *e)
{
        struct orphans orphans;
        int r = orphans_read(persist_fd, catalog, &orphans, e);
        if (r < 0)
                return r;
        struct orphan_dirs dirs = { .list = calloc(orphans.count + 1, sizeof(*dirs.list)) };
        if (dirs.list == NULL) {
                orphans_clear(&orphans);
                return error_set(e, ENOMEM, "no memory for %zu orphans", orphans.count);
        }
        for (size_t i = 0; i < orphans.count; i++) {
                const struct orphan *orphan = &orphans.list[i];
                struct orphan_dir *dir = &dirs.list[dirs.count];
                memcpy(dir->name, orphan->name, sizeof(dir->name));
                dir->stamp = file_stamp_at(persist_fd, dir->name);
                if (!dir->stamp.present)
                        continue; /* gone meanwhile */
                dir->stays = orphan->removable ? judge(persist_fd, dir, certain) : orphan->reason;
                dirs.count++;
        }
        orphans_clear(&orphans);
        *ret = dirs;
        return 0;
}

void orphan_dirs_clear(struct orphan_dirs *dirs)
{
        free(dirs->list);
        *dirs = (struct orphan_dirs){ 0 };
}

size_t orphan_dirs_count(const struct orphan_dirs *dirs)
{
        size_t n = 0;
        for (size_t i = 0; i < dirs->count; i++)
                n += dirs->list[i].stays == NULL;
        return n;
}

int orphan_dirs_take(struct orphan_dirs *dirs, size_t i, int persist_fd, bool certain, struct trash *trash, struct error *e)
{
        struct orphan_dir *dir = &dirs->list[i];
        if (dir->stays != NULL)
                return 0;
        struct file_stamp now = file_stamp_at(persist_fd, dir->name);
        dir->stays = file_stamp_equal(&now, &dir->stamp) ? judge(persist_fd, dir, certain) : stays_changed;
        if (dir->stays != NULL)
                return 0;
        int r = trash_take(trash, persist_fd, dir->name, e);
        dir->taken = r == 0 || !file_stamp_at(persist_fd, dir->name).present; /* moved, though not synced */
        return r;
}

/* Without replacing anything, also where the file system does not know how to: a directory there must be an empty one to be
   replaced at all. */
static int move_back(int from, const char *name, int to)
{
        int r = renameat2(from, name, to, name, RENAME_NOREPLACE);
        if (r < 0 && errno == EINVAL && !file_stamp_at(to, name).present)
                r = renameat(from, name, to, name);
        return r;
}

static int give_back(struct orphan_dir *dir, int persist_fd, const struct trash *trash, struct error *e)
{
        if (move_back(trash_fd(trash), dir->name, persist_fd) < 0)
                return error_set(e, errno, "%s can't be moved back and is in " STATE_DIR "/%s now: %s", dir->name,
                                 trash_name(trash), strerror(errno));
        dir->taken = false;
        return 0;
}

int orphan_dirs_give_back(struct orphan_dirs *dirs, int persist_fd, const struct trash *trash, struct error *e)
{
        int ret = 0;
        bool given = false;
        for (size_t i = 0; i < dirs->count; i++) {
                if (!dirs->list[i].taken)
                        continue;
                int r = give_back(&dirs->list[i], persist_fd, trash, ret < 0 ? NULL : e);
                given = given || r == 0;
                ret = ret < 0 ? ret : r;
        }
        if (given && ret == 0)
                ret = plain_dir_sync(persist_fd, "the directory", e);
        return ret;
}
