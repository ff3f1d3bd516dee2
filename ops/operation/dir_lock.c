/*
 * flock(2) belongs to an open file, so the directory is opened anew: the caller's own descriptor may be shared with other processes. Who holds the lock is
 * not to be had from the call; /proc/locks names it, by the device and inode of the directory. Its device is that of the super block, which on overlay and
 * btrfs is another one than stat(2)'s; and holders in other containers are not listed. Then the sentence has no name.
 */
#include "ops/operation/dir_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "ops/cleanup.h"
#include "ops/operation/process_name.h"

DEFINE_CLEANUP(FILE *, fclose)

/* The process of a line like `1: FLOCK  ADVISORY  WRITE 4800 fe:00:11380564 0 EOF`, or 0 when it is of another file, or waits (`1: -> FLOCK`). */
static int holder_of_line(const char *line, const struct stat *st)
{
        int pid = 0;
        unsigned major_number = 0, minor_number = 0;
        unsigned long long inode = 0;
        if (sscanf(line, "%*d: FLOCK %*s WRITE %d %x:%x:%llu", &pid, &major_number, &minor_number, &inode) != 4)
                return 0;
        bool same = inode == st->st_ino && major_number == major(st->st_dev) && minor_number == minor(st->st_dev);
        return same && pid > 0 ? pid : 0;
}

static int holder(int fd)
{
        struct stat st;
        CLEANUP(fclose)
        FILE *locks = fopen("/proc/locks", "re");
        if (locks == NULL || fstat(fd, &st) < 0)
                return 0;
        char line[256];
        int pid = 0;
        while (pid == 0 && fgets(line, sizeof(line), locks) != NULL)
                pid = holder_of_line(line, &st);
        return pid;
}

static int busy(int fd, struct error *e)
{
        char path[32], name[PROCESS_NAME_SIZE], shown[PROCESS_SHOWN_SIZE], who[PROCESS_SHOWN_SIZE + 4] = "";
        int pid = holder(fd);
        if (pid > 0) {
                (void) snprintf(path, sizeof(path), "/proc/%d", pid);
                CLEANUP(close)
                int pid_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                process_name(pid_fd, name);
                (void) snprintf(who, sizeof(who), ": %s", process_show(pid, name, shown));
        }
        return error_set(e, EBUSY, "another operation runs on this directory%s; wait for its end, or cancel it", who);
}

/* NFS without its lock manager, and file systems that are served by programs, have no flock; NFS wants a file that is open for writing: EBADF. */
static bool is_without_locks(int err)
{
        return err == ENOLCK || err == EOPNOTSUPP || err == ENOSYS || err == EINVAL || err == EBADF;
}

int dir_lock(int persist_fd, struct error *e)
{
        CLEANUP(close)
        int fd = openat(persist_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
                int err = errno;
                return error_set(e, err, "the directory can't be opened: %s", strerror(err));
        }
        int r = -1; /* not beside fd, which would give it the cleanup too */
        do
                r = flock(fd, LOCK_EX | LOCK_NB);
        while (r < 0 && errno == EINTR);
        int err = errno;
        if (r < 0 && err == EWOULDBLOCK)
                return busy(fd, e);
        if (r < 0)
                return error_set(e, is_without_locks(err) ? ENOLCK : err,
                                 "the directory can't be locked against other operations, so that none may run: %s", strerror(err));
        int locked = fd;
        fd = -1;
        return locked;
}
