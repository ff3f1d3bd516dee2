/*
 * Every descriptor of every process: fdinfo says how it was opened, and statx() through /proc/<pid>/fd which file it is.
 *
 * - statx() with AT_STATX_DONT_SYNC asks no server: a descriptor on a dead network mount, or on a mount of ours that waits for the very operation that we
 *   guard, must not stop us.
 * - "Not found" only means "not there" when all was seen: no process that we may not examine, none hidden by hidepid, and no others than
 *   those of the first pid namespace.
 */
#include "ops/operation/guard_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "ops/operation/plain_dir.h"
#include "ops/operation/process_name.h"

/* The inode of the first pid namespace, fixed in the kernel's include/linux/proc_ns.h. */
#define FIRST_PID_NAMESPACE "pid:[4026531836]"

struct search {
        const struct guard_file *files;
        size_t count;
        int proc;
        struct guard_finding *found;
};

static int compare(const void *a, const void *b)
{
        const struct guard_file *x = a, *y = b;
        if (x->ino != y->ino)
                return x->ino < y->ino ? -1 : 1;
        return x->dev < y->dev ? -1 : x->dev > y->dev;
}

/* Reads a small file of /proc whole: its length, NUL-terminated, or a negative errno. */
static ssize_t read_small(int dirfd, const char *path, char *buffer, size_t size)
{
        CLEANUP(close)
        int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
        ssize_t len = fd < 0 ? -1 : read(fd, buffer, size - 1);
        if (len < 0)
                return -errno;
        buffer[len] = '\0';
        return len;
}

/* A descriptor. */

/* Whether fdinfo, which is text of ours or the kernel's, has flags that let it write. What can't be understood counts. */
static bool is_for_writing(const char *fdinfo)
{
        const char *flags = strstr(fdinfo, "flags:");
        if (flags == NULL)
                return true;
        unsigned long value = strtoul(flags + strlen("flags:"), NULL, 8);
        return (value & O_PATH) == 0 && (value & O_ACCMODE) != O_RDONLY;
}

/* 1 and the file, 0 when it is none of them, -EACCES when that may not be known. */
static int which_file(const struct search *s, int pid_fd, const char *descriptor, const struct guard_file **ret)
{
        char path[64];
        struct statx st;
        (void) snprintf(path, sizeof(path), "fd/%.32s", descriptor);
        if (statx(pid_fd, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &st) < 0)
                return errno == EACCES || errno == EPERM ? -EACCES : 0;
        struct guard_file key = { .dev = makedev(st.stx_dev_major, st.stx_dev_minor), .ino = st.stx_ino };
        *ret = bsearch(&key, s->files, s->count, sizeof(key), compare);
        return *ret != NULL;
}

/* 1 when it is a writer's, 0 when not, -EACCES when that may not be known. */
static int look_at_descriptor(struct search *s, int pid_fd, const char *pid, const char *descriptor)
{
        char path[64], fdinfo[256];
        const struct guard_file *file = NULL;
        (void) snprintf(path, sizeof(path), "fdinfo/%.32s", descriptor);
        ssize_t len = read_small(pid_fd, path, fdinfo, sizeof(fdinfo));
        if (len < 0)
                return len == -ENOENT || len == -ESRCH ? 0 : (int) len;
        int r = is_for_writing(fdinfo) ? which_file(s, pid_fd, descriptor, &file) : 0;
        if (r <= 0)
                return r;
        s->found->writer = true;
        s->found->pid = (pid_t) strtol(pid, NULL, 10);
        memcpy(s->found->file, file->name, sizeof(s->found->file));
        process_name(pid_fd, s->found->command);
        return 1;
}

/* Processes. */

static int look_at_descriptors(struct search *s, int pid_fd, const char *pid, DIR *dir)
{
        const char *name = NULL;
        int failure = 0, r;
        while ((r = plain_dir_next(dir, &name, NULL)) > 0) {
                r = look_at_descriptor(s, pid_fd, pid, name);
                if (r > 0)
                        return 1;
                if (r < 0)
                        failure = r;
        }
        return r < 0 ? r : failure;
}

static int look_into(struct search *s, int pid_fd, const char *pid)
{
        int fd = openat(pid_fd, "fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        CLEANUP(closedir)
        DIR *dir = fdopendir(fd);
        if (dir == NULL) {
                (void) close(fd);
                return -ENOMEM;
        }
        return look_at_descriptors(s, pid_fd, pid, dir);
}

/* 1 a writer, 0 none, or a negative errno when that can't be known. One that ended meanwhile has nothing open. */
static int look_at_process(struct search *s, const char *pid)
{
        CLEANUP(close)
        int pid_fd = openat(s->proc, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = pid_fd < 0 ? -errno : look_into(s, pid_fd, pid);
        return r == -ENOENT || r == -ESRCH ? 0 : r;
}

static int look_at_all(struct search *s, const char *self, struct error *e)
{
        CLEANUP(closedir)
        DIR *dir = NULL;
        const char *name = NULL;
        int r = plain_dir_list(s->proc, &dir, e);
        if (r < 0)
                return r;
        while ((r = plain_dir_next(dir, &name, e)) > 0) {
                if (name[0] < '1' || name[0] > '9' || strcmp(name, self) == 0)
                        continue;
                r = look_at_process(s, name);
                if (r > 0)
                        return 0;
                if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
                        return error_set(e, -r, "the processes can't be looked at: %s", strerror(-r));
                if (r < 0)
                        s->found->blind = true;
        }
        return r;
}

/* Whether /proc leaves processes out. */

static bool has_hidepid(int proc)
{
        int fd = openat(proc, "self/mountinfo", O_RDONLY | O_CLOEXEC);
        FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
        if (file == NULL) {
                close_cleanup(&fd);
                return true;
        }
        bool hidden = false;
        char *line = NULL;
        size_t size = 0;
        while (!hidden && getline(&line, &size, file) > 0) {
                const char *type = strstr(line, " - proc ");
                hidden = type != NULL && strstr(type, "hidepid=") != NULL;
        }
        free(line);
        (void) fclose(file);
        return hidden;
}

static bool is_first_namespace(int proc)
{
        char link[64];
        ssize_t len = readlinkat(proc, "self/ns/pid", link, sizeof(link) - 1);
        return len == (ssize_t) strlen(FIRST_PID_NAMESPACE) && memcmp(link, FIRST_PID_NAMESPACE, (size_t) len) == 0;
}

/* /proc, and which number in it is ours; -1 when there is no such thing. */
static int open_proc(char *self, size_t size)
{
        CLEANUP(close)
        int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct statfs fs;
        if (proc < 0 || fstatfs(proc, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
                return -1;
        ssize_t len = readlinkat(proc, "self", self, size - 1);
        if (len <= 0)
                return -1;
        self[len] = '\0';
        int opened = proc;
        proc = -1;
        return opened;
}

int guard_proc_look(struct guard_file *files, size_t count, struct guard_finding *ret, struct error *e)
{
        char self[32];
        struct guard_finding found = { 0 };
        CLEANUP(close)
        int proc = open_proc(self, sizeof(self));
        if (proc >= 0) {
                qsort(files, count, sizeof(*files), compare);
                struct search s = { .files = files, .count = count, .proc = proc, .found = &found };
                int r = look_at_all(&s, self, e);
                if (r < 0)
                        return r;
        }
        found.blind = !found.writer && (found.blind || proc < 0 || has_hidepid(proc) || !is_first_namespace(proc));
        *ret = found;
        return 0;
}
