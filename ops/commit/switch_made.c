/*
 * Before a file of the new index is given away. The directory that it was made in belongs to the database's owner already, and so does the old one: root must give away nothing but what it has
 * made, and must not make a program of it that has its rights.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "ops/commit/switch_parts.h"

static bool is_older(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
        return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* Who may write to the directory can have linked or moved a file of somebody else to this name. The first has a second name; the second was there before the directory, which the time of its
   birth tells where the file system knows that. */
int switch_check_made(int dirfd, int fd, const char *name, struct error *e)
{
        struct statx dir, made;
        if (statx(dirfd, "", AT_EMPTY_PATH, STATX_BTIME, &dir) < 0 ||
            statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &made) < 0)
                return error_set(e, errno, "%s of the new index can't be examined: %s", name, strerror(errno));
        bool dated = (dir.stx_mask & made.stx_mask & STATX_BTIME) != 0;
        if (S_ISREG(made.stx_mode) && made.stx_nlink == 1 && !(dated && is_older(&made.stx_btime, &dir.stx_btime)))
                return 0;
        return error_set(e, EPERM, "%s of the new index was exchanged while it was made: see who else uses the directory", name);
}

int switch_check_model(int fd, const char *name, struct error *e)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return error_set(e, errno, "%s of the old index can't be examined: %s", name, strerror(errno));
        if ((st.st_mode & (S_ISUID | S_ISGID)) == 0 && fgetxattr(fd, "security.capability", NULL, 0) < 0)
                return 0;
        return error_set(e, EPERM, "%s of the old index has a set-id bit or capabilities: see what it is, and take them away",
                         name);
}
