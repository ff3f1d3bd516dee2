#include "ops/orphans.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "ops/file.h"
#include "ops/index_summary.h"

DEFINE_CLEANUP(DIR *, closedir)

static const char reason_index[] = "it holds an index, and no segment has this id: left behind by a deleted collection";
static const char reason_empty[] = "no segment has this id, but it holds no header.bin: it stays, since it may be someone else's";
static const char reason_closed[] = "no segment has this id, but it can't be looked into: it stays";

/* What the directory is, or NULL when it is none (any more). */
static const char *examine(int persist_fd, const char *name, bool *ret_removable)
{
        struct file_stamp stamp = file_stamp_at(persist_fd, name);
        if (!stamp.present || !S_ISDIR(stamp.mode))
                return NULL;
        CLEANUP(close)
        int fd = file_open_dir(persist_fd, name, NULL);
        if (fd < 0)
                return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? NULL : reason_closed;
        struct file_stamp header = file_stamp_at(fd, index_file_names[INDEX_HEADER]);
        *ret_removable = header.present && S_ISREG(header.mode);
        return *ret_removable ? reason_index : reason_empty;
}

static int append(struct orphans *orphans, const char *name, bool removable, const char *reason, struct error *e)
{
        if (orphans->count == ORPHANS_MAX)
                return error_set(e, E2BIG, "more than %d directories with a UUID's name belong to no segment", ORPHANS_MAX);
        if ((orphans->count & (orphans->count - 1)) == 0) { /* a power of two, or none: full */
                size_t capacity = orphans->count == 0 ? 1 : orphans->count * 2;
                struct orphan *list = reallocarray(orphans->list, capacity, sizeof(*list));
                if (list == NULL)
                        return error_set(e, ENOMEM, "no memory for %zu orphans", capacity);
                orphans->list = list;
        }
        struct orphan *orphan = &orphans->list[orphans->count++];
        *orphan = (struct orphan){ .removable = removable, .reason = reason };
        memcpy(orphan->name, name, sizeof(orphan->name));
        return 0;
}

static int consider(int persist_fd, const struct catalog *catalog, const char *name, struct orphans *orphans, struct error *e)
{
        if (!uuid_valid(name) || catalog_segment(catalog, name) != NULL)
                return 0;
        bool removable = false;
        const char *reason = examine(persist_fd, name, &removable);
        return reason == NULL ? 0 : append(orphans, name, removable, reason, e);
}

static int compare(const void *a, const void *b)
{
        return strcmp(((const struct orphan *) a)->name, ((const struct orphan *) b)->name);
}

static int list_into(DIR *dir, int persist_fd, const struct catalog *catalog, struct orphans *orphans, struct error *e)
{
        for (;;) {
                errno = 0; /* what tells the end from a failure */
                const struct dirent *entry = readdir(dir);
                if (entry == NULL)
                        return errno == 0 ? 0 : error_set(e, errno, "the directory can't be listed: %s", strerror(errno));
                int r = consider(persist_fd, catalog, entry->d_name, orphans, e);
                if (r < 0)
                        return r;
        }
}

int orphans_read(int persist_fd, const struct catalog *catalog, struct orphans *ret, struct error *e)
{
        int fd = file_open_dir(persist_fd, ".", e); /* an offset of its own: persist_fd is shared */
        if (fd < 0)
                return fd;
        CLEANUP(closedir)
        DIR *dir = fdopendir(fd);
        if (dir == NULL) {
                (void) close(fd);
                return error_set(e, ENOMEM, "no memory to list the directory");
        }
        struct orphans orphans = { 0 };
        int r = list_into(dir, persist_fd, catalog, &orphans, e);
        if (r < 0) {
                orphans_clear(&orphans);
                return r;
        }
        if (orphans.count > 0)
                qsort(orphans.list, orphans.count, sizeof(*orphans.list), compare);
        *ret = orphans;
        return 0;
}

void orphans_clear(struct orphans *orphans)
{
        free(orphans->list);
        *orphans = (struct orphans){ 0 };
}
