/*
 * Reads at random offsets of a file, and says how long they took.
 *
 * usage: random_reads FILE COUNT SIZE
 *
 * Prints three numbers: the median, the 99th percentile and the maximum, in milliseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct job {
        int fd;
        uint64_t file_size;
        size_t count, size;
        char *buffer;
        double *times;
};

static double now_ms(void)
{
        struct timespec t;
        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

/* The same numbers on every machine. */
static uint64_t next_random(uint64_t *state)
{
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

static int compare(const void *a, const void *b)
{
        double x, y;
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        return (x > y) - (x < y);
}

static int read_all(const struct job *j)
{
        uint64_t state = 88172645463325252u;
        for (size_t i = 0; i < j->count; i++) {
                double start = now_ms();
                off_t offset = (off_t) (next_random(&state) % (j->file_size - j->size + 1));
                ssize_t n = pread(j->fd, j->buffer, j->size, offset);
                if (n != (ssize_t) j->size) {
                        (void) fprintf(stderr, "random_reads: %zd bytes at %lld: %s\n", n, (long long) offset, strerror(errno));
                        return EXIT_FAILURE;
                }
                j->times[i] = now_ms() - start;
        }
        qsort(j->times, j->count, sizeof(*j->times), compare);
        (void) printf("%.3f %.3f %.3f\n", j->times[j->count / 2], j->times[j->count * 99 / 100], j->times[j->count - 1]);
        return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
        struct stat st;
        if (argc != 4)
                return 2;
        struct job j = { .count = strtoul(argv[2], NULL, 10), .size = strtoul(argv[3], NULL, 10) };
        j.fd = open(argv[1], O_RDONLY | O_CLOEXEC);
        if (j.fd < 0 || fstat(j.fd, &st) != 0 || j.count == 0 || (uint64_t) st.st_size < j.size) {
                (void) fprintf(stderr, "random_reads: %s can't be opened, or is too small\n", argv[1]);
                return EXIT_FAILURE;
        }
        j.file_size = (uint64_t) st.st_size;
        j.buffer = malloc(j.size + 1);
        j.times = calloc(j.count, sizeof(*j.times));
        int r = j.buffer != NULL && j.times != NULL ? read_all(&j) : EXIT_FAILURE;
        free(j.buffer);
        free(j.times);
        (void) close(j.fd);
        return r;
}
