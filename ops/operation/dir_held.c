/*
 * A lease is had and given up at once: it only asks. Should somebody open the file for writing in that instant, the kernel tells us by a signal, which is SIGIO unless another is chosen,
 * and ends the process; SIGURG is one that nobody minds.
 */
#include "ops/operation/dir_held.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "ops/index_summary.h"

static enum dir_held file_held(int dirfd, const char *file)
{
        CLEANUP(close)
        int fd = file_open_regular(dirfd, file, NULL, NULL);
        if (fd == -ENOENT)
                return DIR_HELD_NO;
        if (fd < 0 || fcntl(fd, F_SETSIG, SIGURG) < 0)
                return DIR_HELD_UNKNOWN;
        if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
                return errno == EAGAIN ? DIR_HELD_YES : DIR_HELD_UNKNOWN;
        (void) fcntl(fd, F_SETLEASE, F_UNLCK);
        return DIR_HELD_NO;
}

enum dir_held dir_held(int persist_fd, const char *name)
{
        CLEANUP(close)
        int fd = file_open_dir(persist_fd, name, NULL);
        enum dir_held held = fd >= 0 || fd == -ENOENT ? DIR_HELD_NO : DIR_HELD_UNKNOWN;
        for (int i = 0; fd >= 0 && held != DIR_HELD_YES && i < INDEX_FILE_COUNT; i++) {
                enum dir_held file = file_held(fd, index_file_names[i]);
                held = file == DIR_HELD_NO ? held : file;
        }
        return held;
}
