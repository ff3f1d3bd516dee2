/*
 * Two detectors.
 *
 * - The kernel counts who has a file open for writing, and refuses a read lease (EAGAIN) while anyone has: that sees containers and other users, costs a few
 *   system calls a file, and says yes or no. A lease is given back at once; who opens the file for writing in that instant waits for that instant only.
 * - Where a lease can't be had (not our file, a file system without leases, or one whose leases are a matter of its server), /proc is searched instead.
 *   It is not read at all when every lease was granted; when one says "writer", it is read to name it.
 * - The kernel tells the holder of a lease of such an opener by SIGIO, which ends a process. SIGURG, which nobody minds, is asked for instead.
 */
#include "ops/operation/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "ops/db.h"
#include "ops/index_summary.h"
#include "ops/operation/guard_proc.h"
#include "ops/operation/plain_dir.h"
#include "ops/text.h"

enum verdict { FREE, WRITER, BLIND, ABSENT };

struct look {
        int dirfd;
        bool remote;              /* EAGAIN is the server's word for "no lease for you" */
        bool writer;              /* a lease says so; the only file is whose */
        struct guard_file *files; /* for /proc: those without a verdict */
        size_t count, capacity;
};

/* File systems whose leases are delegations of a server, refused for its own reasons. */
static bool is_remote(int fd)
{
        static const uint32_t types[] = { NFS_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, SMB_SUPER_MAGIC };
        struct statfs fs;
        if (fstatfs(fd, &fs) < 0)
                return false;
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
                if ((uint32_t) fs.f_type == types[i])
                        return true;
        return false;
}

/* One file. */

static int open_file(int dirfd, const char *path)
{
        struct open_how how = {
                .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        return fd < 0 ? -errno : (int) fd;
}

static enum verdict try_lease(const struct look *look, int fd)
{
        if (fcntl(fd, F_SETSIG, SIGURG) < 0)
                return BLIND;
        if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
                (void) fcntl(fd, F_SETLEASE, F_UNLCK);
                return FREE;
        }
        return errno == EAGAIN && !look->remote ? WRITER : BLIND;
}

static int remember(struct look *look, const struct stat *st, const char *name, struct error *e)
{
        if (look->count == look->capacity) {
                size_t capacity = look->capacity == 0 ? 16 : look->capacity * 2;
                struct guard_file *files = reallocarray(look->files, capacity, sizeof(*files));
                if (files == NULL)
                        return error_set(e, ENOMEM, "no memory to look at %zu files", capacity);
                look->files = files;
                look->capacity = capacity;
        }
        struct guard_file *file = &look->files[look->count++];
        *file = (struct guard_file){ .dev = st->st_dev, .ino = st->st_ino };
        (void) snprintf(file->name, sizeof(file->name), "%s", name);
        return 0;
}

/* Links and what is no regular file are nothing that Chroma makes: they lead nowhere here. */
static int look_at(struct look *look, const char *path, struct error *e)
{
        CLEANUP(close)
        int fd = open_file(look->dirfd, path);
        if (fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR || fd == -EXDEV || fd == -ENXIO)
                return 0;
        if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
                return error_set(e, -fd, "%s can't be opened: %s", path, strerror(-fd));
        enum verdict verdict = fd < 0 ? BLIND : try_lease(look, fd);
        if (verdict == FREE)
                return 0;
        struct stat st;
        if ((fd < 0 ? fstatat(look->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) : fstat(fd, &st)) < 0)
                return errno == ENOENT ? 0 : error_set(e, errno, "%s can't be examined: %s", path, strerror(errno));
        if (!S_ISREG(st.st_mode))
                return 0;
        if (verdict == WRITER) {
                look->writer = true;
                look->count = 0; /* the others don't matter any more */
        }
        return remember(look, &st, path, e);
}

/* All of them. */

static int look_at_segment(struct look *look, const char *id, struct error *e)
{
        int r = 0;
        for (int i = 0; r == 0 && !look->writer && i < INDEX_FILE_COUNT; i++) {
                char path[64];
                (void) snprintf(path, sizeof(path), "%s/%s", id, index_file_names[i]);
                r = look_at(look, path, e);
        }
        return r;
}

static int look_at_segments(struct look *look, struct error *e)
{
        CLEANUP(closedir)
        DIR *dir = NULL;
        const char *name = NULL;
        int r = plain_dir_list(look->dirfd, &dir, e);
        if (r < 0)
                return r;
        while (!look->writer && (r = plain_dir_next(dir, &name, e)) > 0)
                if (uuid_valid(name) && (r = look_at_segment(look, name, e)) < 0)
                        break;
        return r < 0 ? r : 0;
}

static int look_at_database(struct look *look, struct error *e)
{
        struct file_stamp stamp = file_stamp_at(look->dirfd, DB_FILE);
        if (!stamp.present || !S_ISREG(stamp.mode))
                return error_set(e, stamp.present ? EILSEQ : ENOENT, DB_FILE " %s",
                                 stamp.present ? "is no regular file" : "is not there");
        int r = look_at(look, DB_FILE, e);
        return r == 0 && !look->writer ? look_at(look, DB_FILE "-journal", e) : r;
}

static int look_at_files(struct look *look, struct error *e)
{
        int r = look_at_database(look, e);
        return r == 0 && !look->writer ? look_at_segments(look, e) : r;
}

/* What the leases left open, and who the writer is. */
static int ask_proc(struct look *look, struct guard_finding *ret, struct error *e)
{
        struct guard_finding found = { 0 };
        char file[sizeof(found.file)];
        memcpy(file, look->files[0].name, sizeof(file));
        int r = guard_proc_look(look->files, look->count, &found, look->writer ? NULL : e);
        if (r < 0 && !look->writer)
                return r;
        if (look->writer && !found.writer) { /* it is hidden, or was quicker than we, or the file is only mapped */
                found = (struct guard_finding){ .writer = true };
                memcpy(found.file, file, sizeof(file));
        }
        *ret = found;
        return 0;
}

int guard_look(int persist_fd, struct guard_finding *ret, struct error *e)
{
        struct look look = { .dirfd = persist_fd, .remote = is_remote(persist_fd) };
        struct guard_finding found = { 0 };
        int r = look_at_files(&look, e);
        if (r == 0 && look.count > 0)
                r = ask_proc(&look, &found, e);
        free(look.files);
        if (r < 0)
                return r;
        *ret = found;
        return 0;
}

int guard_check(int persist_fd, struct error *e)
{
        struct guard_finding found;
        char shown[PROCESS_SHOWN_SIZE];
        int r = guard_look(persist_fd, &found, e);
        if (r < 0)
                return r;
        if (found.writer && found.pid != 0)
                return error_set(e, EBUSY, "%s has %s open for writing: end it first, or write force=1",
                                 process_show(found.pid, found.command, shown), found.file);
        if (found.writer)
                return error_set(
                        e, EBUSY,
                        "another process, of another user or container, has %s open for writing: end it first, or write force=1",
                        found.file);
        if (found.blind)
                return error_set(e, EBUSY,
                                 "it can't be found out here whether another process has the directory open for writing: make sure "
                                 "that none has, then write force=1");
        return 0;
}
