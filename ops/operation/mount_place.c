/*
 * A line of mountinfo (proc(5)):
 *
 *     36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
 *     id parent device root mountpoint options … - type source options
 *
 * with blanks, tabs, newlines and backslashes in octal (\040). A directory's place in its file system is `root` of its mount, and what its path has
 * behind the mountpoint. Its mount is known by number (mnt_id in fdinfo), since mounts can lie over each other.
 */
#include "ops/operation/mount_place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/cleanup.h"

static inline __attribute__((unused)) void fclose_cleanup(FILE **f)
{
        if (*f != NULL)
                (void) fclose(*f);
}

static int mount_id(int fd, struct error *e)
{
        char path[64];
        (void) snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        CLEANUP(fclose)
        FILE *f = fopen(path, "re");
        CLEANUP(free)
        char *line = NULL;
        size_t size = 0;
        int id = -1;
        while (f != NULL && id < 0 && getline(&line, &size, f) > 0)
                (void) sscanf(line, "mnt_id: %d", &id);
        return id >= 0 ? id : error_set(e, ENOENT, "/proc does not tell where a directory is mounted: mount /proc");
}

/* In place. */
static void unescape(char *s)
{
        char *out = s;
        for (const char *in = s; *in != '\0'; out++) {
                unsigned value;
                if (in[0] == '\\' && sscanf(in + 1, "%3o", &value) == 1 && strspn(in + 1, "01234567") >= 3) {
                        *out = (char) value;
                        in += 4;
                } else {
                        *out = *in++;
                }
        }
        *out = '\0';
}

struct mount {
        char *device, *root, *point, *type;
};

/* Cuts the line into its fields. False when it is no line of mountinfo. */
static bool parse(char *line, int *ret_id, struct mount *ret)
{
        char *fields[5], *rest = NULL;
        for (int i = 0; i < 5; i++) {
                fields[i] = strtok_r(i == 0 ? line : NULL, " ", &rest);
                if (fields[i] == NULL)
                        return false;
        }
        char *separator = strstr(rest, " - ");
        if (separator == NULL)
                return false;
        char *type = strtok_r(separator + 3, " ", &rest);
        *ret_id = atoi(fields[0]);
        *ret = (struct mount){ fields[2], fields[3], fields[4], type };
        unescape(ret->root);
        unescape(ret->point);
        return type != NULL;
}

/* What `path` has behind the directory `top`: "" or "/…"; NULL when it is not below it. */
static const char *behind(const char *path, const char *top)
{
        size_t len = strlen(top);
        while (len > 0 && top[len - 1] == '/')
                len--;
        if (strncmp(path, top, len) != 0 || (path[len] != '/' && path[len] != '\0'))
                return NULL;
        return path + len;
}

static int locate(int fd, const struct mount *mount, struct mount_place *ret, struct error *e)
{
        char link[64], path[PATH_MAX];
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof(path) - 1);
        if (n < 0)
                return error_set(e, errno, "the path of a directory can't be found out: %s", strerror(errno));
        path[n] = '\0';
        const char *rest = behind(path, mount->point);
        if (rest == NULL)
                return error_set(e, ENOENT, "%s is not below the mount that it is on", path);
        int len = snprintf(ret->path, sizeof(ret->path), "%s%s", strcmp(mount->root, "/") == 0 ? "" : mount->root, rest);
        if (len < 0 || (size_t) len >= sizeof(ret->path))
                return error_set(e, ENAMETOOLONG, "%s lies too deep", path);
        (void) snprintf(ret->device, sizeof(ret->device), "%s", mount->device);
        (void) snprintf(ret->type, sizeof(ret->type), "%s", mount->type);
        return 0;
}

int mount_place_read(int fd, struct mount_place *ret, struct error *e)
{
        int id = mount_id(fd, e);
        if (id < 0)
                return id;
        CLEANUP(fclose)
        FILE *f = fopen("/proc/self/mountinfo", "re");
        CLEANUP(free)
        char *line = NULL;
        size_t size = 0;
        while (f != NULL && getline(&line, &size, f) > 0) {
                struct mount mount;
                int found = -1;
                if (parse(line, &found, &mount) && found == id)
                        return locate(fd, &mount, ret, e);
        }
        return error_set(e, ENOENT, "/proc/self/mountinfo does not tell what is mounted where");
}

bool mount_place_within(const struct mount_place *place, const struct mount_place *top)
{
        return strcmp(place->device, top->device) == 0 && behind(place->path, top->path) != NULL;
}
