#include "fs/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* As the XDG base directory specification has it: a path that is not absolute is none. */
static bool base_path(char path[PATH_MAX])
{
        const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
        int n = 0;
        if (xdg != NULL && xdg[0] == '/')
                n = snprintf(path, PATH_MAX, "%s/chromafs", xdg);
        else if (home != NULL && home[0] == '/' && home[1] != '\0')
                n = snprintf(path, PATH_MAX, "%s/.cache/chromafs", home);
        else if (geteuid() == 0)
                n = snprintf(path, PATH_MAX, "/var/cache/chromafs");
        return n > 0 && n < PATH_MAX;
}

/* As mkdir -p -m 700. */
static void make_all(char *path)
{
        for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                (void) mkdir(path, 0700);
                *slash = '/';
        }
        (void) mkdir(path, 0700);
}

static bool is_within(const char *path, const char *directory)
{
        char real[PATH_MAX];
        size_t len = strlen(directory);
        return realpath(path, real) == NULL || (strncmp(real, directory, len) == 0 && (real[len] == '/' || real[len] == '\0'));
}

int cache_open(const char *persist_path)
{
        char path[PATH_MAX];
        struct stat st;
        if (!base_path(path) || is_within(persist_path, path))
                return -ENOENT;
        /* Nothing is made in the directory that is only looked at. */
        char parent[PATH_MAX];
        (void) snprintf(parent, sizeof(parent), "%s", path);
        for (char *slash = strrchr(parent, '/'); slash != NULL && slash != parent && access(parent, F_OK) != 0;
             slash = strrchr(parent, '/'))
                *slash = '\0';
        if (is_within(parent, persist_path))
                return -ENOENT;
        make_all(path);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 0022) == 0)
                return fd;
        (void) close(fd);
        return -EPERM;
}

void cache_name(const char *persist_path, char ret_name[CACHE_NAME_SIZE], uint64_t *ret_subject)
{
        XXH128_hash_t hash = XXH3_128bits(persist_path, strlen(persist_path));
        (void) snprintf(ret_name, CACHE_NAME_SIZE, "%016llx%016llx.wal", (unsigned long long) hash.high64,
                        (unsigned long long) hash.low64);
        *ret_subject = hash.low64;
}
