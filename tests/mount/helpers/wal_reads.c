/*
 * Reads a file at random places, with several threads and descriptors at once, and compares with what it must be.
 *
 * usage: wal_reads FILE WHOLE READS
 *
 * WHOLE is an ordinary file with the same bytes. READS is how many reads there are in all, of 1 byte to 1 MiB, most of them short, some
 * of them behind the end. Half of the threads share a descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 6
#define LONGEST (1u << 20)

static struct {
        const char *path;
        unsigned char *bytes;
        size_t size;
        int shared_fd;
        long reads; /* of each thread */
} whole;

static void fail(const char *what, size_t offset, size_t len)
{
        (void) fprintf(stderr, "wal_reads: %s: %s: %zu bytes at %zu\n", whole.path, what, len, offset);
        exit(EXIT_FAILURE);
}

static int open_file(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                fail(strerror(errno), 0, 0);
        return fd;
}

/* The same numbers on every machine. */
static uint64_t next_random(uint64_t *state)
{
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state >> 11;
}

/* Goes on after a short read, which is allowed, but not at the end before the end. */
static void check(int fd, size_t offset, size_t len, unsigned char *buffer)
{
        size_t rest = offset < whole.size ? whole.size - offset : 0, expected = len < rest ? len : rest, got = 0;
        while (got < len) {
                ssize_t n = pread(fd, buffer + got, len - got, (off_t) (offset + got));
                if (n < 0)
                        fail(strerror(errno), offset + got, len - got);
                if (n == 0)
                        break;
                got += (size_t) n;
        }
        if (got != expected)
                fail("another number of bytes", offset, len);
        if (got > 0 && memcmp(buffer, whole.bytes + offset, got) != 0)
                fail("other bytes", offset, len);
}

static void *work(void *number)
{
        uintptr_t thread = (uintptr_t) number;
        uint64_t state = 88172645463325252u + thread * 7919;
        int fd = thread % 2 == 0 ? whole.shared_fd : open_file(whole.path);
        unsigned char *buffer = malloc(LONGEST);
        if (buffer == NULL)
                fail("no memory", 0, 0);
        for (long i = 0; i < whole.reads; i++) {
                size_t bits = next_random(&state) % 100 < 2 ? 20 : next_random(&state) % 14;
                size_t len = 1 + next_random(&state) % (1u << bits);
                check(fd, next_random(&state) % (whole.size + 100), len, buffer);
        }
        check(fd, whole.size, LONGEST, buffer);
        check(fd, whole.size + 1, 1, buffer);
        check(fd, (size_t) 1 << 62, LONGEST, buffer);
        check(fd, whole.size > LONGEST ? whole.size - LONGEST : 0, LONGEST, buffer);
        free(buffer);
        if (fd != whole.shared_fd)
                (void) close(fd);
        return NULL;
}

static void load(const char *path)
{
        struct stat st;
        FILE *f = fopen(path, "re");
        if (f == NULL || fstat(fileno(f), &st) != 0)
                fail(strerror(errno), 0, 0);
        whole.size = (size_t) st.st_size;
        whole.bytes = malloc(whole.size + 1);
        if (whole.bytes == NULL || fread(whole.bytes, 1, whole.size, f) != whole.size)
                fail("can't load what it must be", 0, whole.size);
        (void) fclose(f);
}

int main(int argc, char **argv)
{
        pthread_t threads[THREADS];
        if (argc != 4)
                return 2;
        whole.path = argv[1];
        load(argv[2]);
        whole.reads = strtol(argv[3], NULL, 10) / THREADS;
        whole.shared_fd = open_file(whole.path);
        for (uintptr_t i = 0; i < THREADS; i++)
                if (pthread_create(&threads[i], NULL, work, (void *) i) != 0)
                        fail("no thread", 0, 0);
        for (size_t i = 0; i < THREADS; i++)
                (void) pthread_join(threads[i], NULL);
        (void) close(whole.shared_fd);
        free(whole.bytes);
        return EXIT_SUCCESS;
}
