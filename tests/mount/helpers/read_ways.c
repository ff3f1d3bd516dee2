/*
 * Reads files in many ways, which must all give the same bytes, as many as stat says.
 *
 * usage: read_ways <LIST >BYTES
 *
 * LIST has a path a line. Prints the bytes of all files, one behind the other. Before each way of reading the kernel is asked to forget
 * what it has of the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL 2000u       /* up to this size a file is read byte by byte, too */
#define BEYOND 5000u      /* the longest piece; also how far behind the end is read */
#define FAR_BEYOND 100000 /* behind the end */
#define PIECES 40

struct file {
        const char *path;
        int fd;
        unsigned char *bytes;
        size_t size;
};

/* `at` is where, or how many bytes. */
static void fail(const struct file *file, const char *what, size_t at)
{
        (void) fprintf(stderr, "read_ways: %s: %s: %zu\n", file->path, what, at);
        exit(EXIT_FAILURE);
}

static void fail_errno(const struct file *file, const char *what)
{
        (void) fprintf(stderr, "read_ways: %s: %s: %s\n", file->path, what, strerror(errno));
        exit(EXIT_FAILURE);
}

static void open_file(struct file *file)
{
        file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
        if (file->fd < 0)
                fail_errno(file, "open");
        if (posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
                fail_errno(file, "posix_fadvise");
}

/* Reads up to `len` bytes there; fewer only at the end of the file. */
static size_t read_at(const struct file *file, unsigned char *buffer, size_t len, off_t offset)
{
        size_t got = 0;
        while (got < len) {
                ssize_t n = pread(file->fd, buffer + got, len - got, offset + (off_t) got);
                if (n < 0)
                        fail_errno(file, "pread");
                if (n == 0)
                        break;
                got += (size_t) n;
        }
        return got;
}

static void read_whole(struct file *file)
{
        struct stat st;
        open_file(file);
        if (fstat(file->fd, &st) != 0)
                fail_errno(file, "fstat");
        file->bytes = malloc((size_t) st.st_size + BEYOND);
        if (file->bytes == NULL)
                fail_errno(file, "no memory");
        file->size = read_at(file, file->bytes, (size_t) st.st_size + BEYOND, 0);
        if (file->size != (size_t) st.st_size)
                fail(file, "a read gives another number of bytes than its size", file->size);
        (void) close(file->fd);
}

/* From the beginning to the end, `block` bytes a time. */
static void read_blocks(struct file *file, size_t block)
{
        unsigned char buffer[8];
        size_t offset = 0;
        open_file(file);
        for (;;) {
                ssize_t n = read(file->fd, buffer, block);
                if (n < 0)
                        fail_errno(file, "read");
                if (n == 0)
                        break;
                if ((size_t) n > file->size - offset || memcmp(buffer, file->bytes + offset, (size_t) n) != 0)
                        fail(file, "in small blocks, other bytes at", offset);
                offset += (size_t) n;
        }
        if (offset != file->size)
                fail(file, "in small blocks, another number of bytes", offset);
        (void) close(file->fd);
}

/* The same numbers on every machine. */
static size_t next_random(uint64_t *state, size_t below)
{
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return (size_t) (*state >> 16) % below;
}

/* At offsets in no order, and behind the end. */
static void read_pieces(struct file *file)
{
        unsigned char buffer[BEYOND];
        uint64_t state = 88172645463325252u + file->size;
        open_file(file);
        for (int i = 0; i < PIECES; i++) {
                size_t offset = next_random(&state, file->size + 10), len = 1 + next_random(&state, BEYOND - 1);
                size_t rest = offset < file->size ? file->size - offset : 0, expected = len < rest ? len : rest;
                if (read_at(file, buffer, len, (off_t) offset) != expected ||
                    memcmp(buffer, file->bytes + (file->size - rest), expected) != 0)
                        fail(file, "in pieces, other bytes at", offset);
        }
        if (read_at(file, buffer, 100, (off_t) file->size + FAR_BEYOND) != 0)
                fail(file, "bytes behind the end", file->size);
        (void) close(file->fd);
}

static void check(const char *path)
{
        struct file file = { .path = path };
        read_whole(&file);
        read_pieces(&file);
        read_blocks(&file, 7);
        if (file.size <= SMALL)
                read_blocks(&file, 1);
        if (fwrite(file.bytes, 1, file.size, stdout) != file.size)
                fail_errno(&file, "writing its bytes");
        free(file.bytes);
}

int main(void)
{
        char *path = NULL;
        size_t size = 0;
        for (ssize_t len; (len = getline(&path, &size, stdin)) > 0;) {
                path[len - 1] = '\0';
                check(path);
        }
        free(path);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
