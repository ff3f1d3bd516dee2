/*
 * The undoing: first the bytes, of files wherever they are now, then the names, from the last one backwards.
 */
#include "tests/faults/power.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/power_log.h"
#include "tests/faults/tree.h"

static uint64_t next_random(uint64_t *state)
{
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        return *state >> 33;
}

/* Finds a file by its number, below a directory. Returns a descriptor, or -1. */
static int find_file(const char *dir, ino_t inode)
{
        char path[TREE_PATH];
        int fd = -1;
        DIR *d = opendir(dir);
        for (struct dirent *entry; fd < 0 && d != NULL && (entry = readdir(d)) != NULL;) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                if (entry->d_type == DT_DIR)
                        fd = find_file(tree_path(path, dir, entry->d_name), inode);
                else if (entry->d_type == DT_REG && entry->d_ino == inode)
                        fd = open(tree_path(path, dir, entry->d_name), O_RDWR | O_CLOEXEC);
        }
        if (d != NULL)
                (void) closedir(d);
        return fd;
}

static void put(int fd, const void *bytes, size_t n, off_t offset)
{
        if (pwrite(fd, bytes, n, offset) != (ssize_t) n)
                give_up("undoing a write");
}

/* Everything since the sync is undone: the file is as it was, size and all. */
static void undo_whole(int fd, const struct power_bytes *b)
{
        if (ftruncate(fd, b->size) < 0)
                give_up("undoing a write");
        put(fd, b->old, b->old_count, b->offset);
}

/* One write of several did not arrive: where there was nothing before, there are zeros; the size may be that of a write that did. */
static void undo_one(int fd, const struct power_bytes *b, size_t written)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                give_up("undoing a write");
        put(fd, b->old, b->old_count, b->offset);
        uint8_t zero = 0;
        for (off_t at = b->offset + (off_t) b->old_count; at < b->offset + (off_t) written && at < st.st_size; at++)
                put(fd, &zero, 1, at);
}

static void undo_bytes(bool some, uint64_t *random)
{
        for (size_t i = power_log.byte_count; i-- > 0;) {
                const struct power_bytes *b = &power_log.bytes[i];
                if (b->synced || (some && next_random(random) % 2 == 0))
                        continue;
                int fd = find_file(power_log.root, b->file);
                if (fd < 0)
                        continue; /* it had no name any more */
                if (some)
                        undo_one(fd, b, b->written);
                else
                        undo_whole(fd, b);
                (void) close(fd);
        }
}

/* Makes it again, and what was done in it before is undone in the new one. */
static void undo_rmdir(const struct power_name *n)
{
        if (mkdirat(n->dir, n->name, 0700) < 0 || fchmodat(n->dir, n->name, n->mode, 0) < 0)
                give_up("undoing rmdir of %s", n->name);
        int fd = openat(n->dir, n->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (struct power_name *before = power_log.names; before < n; before++) {
                if (before->dir_inode == n->gone)
                        before->dir = fd;
                if (before->to_dir_inode == n->gone)
                        before->to_dir = fd;
        }
}

static void undo_name(const struct power_name *n, size_t number)
{
        char kept[32];
        (void) snprintf(kept, sizeof(kept), "%zu", number);
        if (n->change == POWER_MADE && unlinkat(n->dir, n->name, 0) < 0)
                (void) unlinkat(n->dir, n->name, AT_REMOVEDIR);
        if (n->change == POWER_REMOVED_DIR)
                undo_rmdir(n);
        if (n->change == POWER_REMOVED && n->kept && linkat(power_log.keep, kept, n->dir, n->name, 0) < 0)
                give_up("undoing unlink of %s", n->name);
        if (n->change == POWER_EXCHANGED)
                (void) renameat2(n->dir, n->name, n->to_dir, n->to_name, RENAME_EXCHANGE);
        if (n->change != POWER_RENAMED)
                return;
        if (renameat(n->to_dir, n->to_name, n->dir, n->name) < 0)
                give_up("undoing rename of %s", n->name);
        if (n->kept && linkat(power_log.keep, kept, n->to_dir, n->to_name, 0) < 0)
                give_up("undoing rename to %s", n->to_name);
}

void power_fail(bool some, uint32_t seed)
{
        uint64_t random = seed * 0x9e3779b97f4a7c15u + 1;
        size_t lost = power_log.name_count - power_log.name_synced, first = power_log.name_synced;
        undo_bytes(some, &random);
        if (some)
                first += next_random(&random) % (lost + 1);
        for (size_t i = power_log.name_count; i-- > first;)
                undo_name(&power_log.names[i], i);
}
