#include "tests/faults/tree.h"

#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "ops/cleanup.h"

void give_up(const char *format, ...)
{
        char what[TREE_PATH];
        int code = errno;
        va_list args;
        va_start(args, format);
        (void) vsnprintf(what, sizeof(what), format, args);
        va_end(args);
        errno = code;
        err(2, "%s", what);
}

char *tree_path(char *ret, const char *dir, const char *name)
{
        if (snprintf(ret, TREE_PATH, "%s/%s", dir, name) >= TREE_PATH)
                errx(2, "%s/%s: too long", dir, name);
        return ret;
}

static void copy_times(const char *to, const struct stat *st)
{
        const struct timespec times[2] = { st->st_atim, st->st_mtim };
        if (chmod(to, st->st_mode & 07777) < 0 || utimensat(AT_FDCWD, to, times, 0) < 0)
                give_up("%s", to);
}

void tree_copy_file(const char *from, const char *to)
{
        CLEANUP(close)
        int in = open(from, O_RDONLY | O_CLOEXEC);
        CLEANUP(close)
        int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        struct stat st;
        if (in < 0 || out < 0 || fstat(in, &st) < 0)
                give_up("%s -> %s", from, to);
        for (off_t left = st.st_size; left > 0;) {
                ssize_t n = sendfile(out, in, NULL, (size_t) left);
                if (n <= 0)
                        give_up("%s -> %s", from, to);
                left -= n;
        }
        copy_times(to, &st);
}

/* Calls fn for each entry of a directory, sorted by name. */
static void each_entry(const char *path, void (*fn)(const char *path, const char *name, void *context), void *context)
{
        struct dirent **entries;
        int count = scandir(path, &entries, NULL, alphasort);
        if (count < 0)
                give_up("%s", path);
        for (int i = 0; i < count; i++) {
                if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0)
                        fn(path, entries[i]->d_name, context);
                free(entries[i]);
        }
        free(entries);
}

static void copy_entry(const char *dir, const char *name, void *to_dir)
{
        char from[TREE_PATH], to[TREE_PATH];
        struct stat st;
        tree_path(from, dir, name);
        tree_path(to, to_dir, name);
        if (lstat(from, &st) < 0)
                give_up("%s", from);
        if (S_ISDIR(st.st_mode))
                tree_copy(from, to);
        else
                tree_copy_file(from, to);
}

void tree_copy(const char *from, const char *to)
{
        struct stat st;
        if (stat(from, &st) < 0 || mkdir(to, 0700) < 0)
                give_up("%s -> %s", from, to);
        char context[TREE_PATH];
        (void) snprintf(context, sizeof(context), "%s", to);
        each_entry(from, copy_entry, context);
        copy_times(to, &st);
}

static void remove_entry(const char *dir, const char *name, void *context)
{
        (void) context;
        char path[TREE_PATH];
        tree_remove_all(tree_path(path, dir, name));
}

void tree_remove_all(const char *path)
{
        struct stat st;
        if (lstat(path, &st) < 0)
                return;
        if (S_ISDIR(st.st_mode)) {
                (void) chmod(path, 0700);
                each_entry(path, remove_entry, NULL);
        }
        if (remove(path) < 0)
                give_up("%s", path);
}

void tree_write(const char *path, const void *bytes, size_t size)
{
        CLEANUP(close)
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, bytes, size) != (ssize_t) size)
                give_up("%s", path);
}

bool tree_read(const char *path, uint8_t **ret, size_t *ret_size)
{
        CLEANUP(close)
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return false;
        *ret_size = (size_t) st.st_size;
        *ret = malloc(*ret_size + 1);
        if (*ret == NULL || read(fd, *ret, *ret_size) != st.st_size)
                give_up("%s", path);
        return true;
}

static uint64_t hash_file(const char *path, bool timeless)
{
        uint8_t *bytes = NULL;
        size_t count;
        if (!tree_read(path, &bytes, &count))
                give_up("%s", path);
        for (size_t i = 0; timeless && i < count; i++)
                if (isdigit(bytes[i]))
                        bytes[i] = '0';
        uint64_t hash = XXH3_64bits(bytes, count);
        free(bytes);
        return hash;
}

bool tree_is_empty(int dirfd)
{
        int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), count = 0;
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        if (d == NULL)
                give_up("a directory");
        while (readdir(d) != NULL)
                count++;
        (void) closedir(d);
        return count == 2;
}

struct listing {
        FILE *out;
        const char *relative; /* of the directory, with a slash at its end; or "" */
        bool timeless;
        int (*leave_out)(const char *name);
};

static void list_entry(const char *dir, const char *name, void *context)
{
        const struct listing *l = context;
        char path[TREE_PATH], relative[TREE_PATH];
        struct stat st;
        if (lstat(tree_path(path, dir, name), &st) < 0)
                give_up("%s", path);
        if (l->relative[0] == '\0' && l->leave_out != NULL && l->leave_out(name))
                return;
        bool timeless = l->timeless || (l->relative[0] == '\0' && strcmp(name, ".chromafs") == 0);
        (void) snprintf(relative, sizeof(relative), "%s%s", l->relative, name);
        for (char *c = relative; timeless && *c != '\0'; c++)
                *c = isdigit((unsigned char) *c) ? '0' : *c;
        bool file = S_ISREG(st.st_mode);
        (void) fprintf(l->out, "%s %s %o %u:%u %lld %016llx\n",
                       S_ISDIR(st.st_mode) ? "dir"
                       : file              ? "file"
                                           : "other",
                       relative, st.st_mode & 07777, st.st_uid, st.st_gid, file ? (long long) st.st_size : 0,
                       file ? (unsigned long long) hash_file(path, timeless) : 0);
        if (!S_ISDIR(st.st_mode))
                return;
        (void) snprintf(relative + strlen(relative), 2, "/");
        each_entry(path, list_entry, &(struct listing){ .out = l->out, .relative = relative, .timeless = timeless });
}

void tree_list(FILE *out, const char *path, int (*leave_out)(const char *name))
{
        each_entry(path, list_entry, &(struct listing){ .out = out, .relative = "", .leave_out = leave_out });
}

uint64_t tree_key_without(const char *path, int (*leave_out)(const char *name))
{
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        if (out == NULL)
                give_up("memory");
        tree_list(out, path, leave_out);
        (void) fclose(out);
        uint64_t key = XXH3_64bits(text, size);
        free(text);
        return key;
}

uint64_t tree_key(const char *path)
{
        return tree_key_without(path, NULL);
}
