/*
 * The system calls that read a file, each of them on a file whose pages the kernel does not keep.
 *
 * usage: wal_ways FILE WHOLE
 *
 * WHOLE is an ordinary file with the same bytes, at least 10,000. A shared mapping must be refused with ENODEV; a private one is a
 * copy of what the file is when each of its pages is looked at first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *path;
static char *whole;
static size_t size;

static void must(int ok, const char *what)
{
        if (ok)
                return;
        (void) fprintf(stderr, "wal_ways: %s: %s: %s\n", path, what, strerror(errno));
        exit(EXIT_FAILURE);
}

static int open_file(int flags)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
        must(fd >= 0, "open");
        return fd;
}

static void load(const char *from)
{
        struct stat st;
        FILE *f = fopen(from, "re");
        must(f != NULL && fstat(fileno(f), &st) == 0, from);
        size = (size_t) st.st_size;
        whole = malloc(size + 1);
        must(whole != NULL && fread(whole, 1, size, f) == size, "loading what it must be");
        must(size >= 10000, "what it must be is too small");
        (void) fclose(f);
}

static void check_seek(void)
{
        char byte;
        int fd = open_file(0);
        must(lseek(fd, 0, SEEK_END) == (off_t) size, "SEEK_END");
        must(read(fd, &byte, 1) == 0, "a read at the end");
        must(lseek(fd, -5, SEEK_END) == (off_t) size - 5, "SEEK_END backwards");
        must(read(fd, &byte, 1) == 1 && byte == whole[size - 5], "the fifth byte from the end");
        must(lseek(fd, 3, SEEK_CUR) == (off_t) size - 1, "SEEK_CUR");
        must(lseek(fd, -1, SEEK_SET) == -1 && errno == EINVAL, "a seek before the beginning");
        (void) close(fd);
}

static void check_data(void)
{
        int fd = open_file(0);
        must(lseek(fd, 7, SEEK_DATA) == 7, "SEEK_DATA");
        must(lseek(fd, 7, SEEK_HOLE) == (off_t) size, "SEEK_HOLE");
        must(lseek(fd, (off_t) size, SEEK_DATA) == -1 && errno == ENXIO, "SEEK_DATA at the end");
        (void) close(fd);
}

static void check_readv(void)
{
        char first[1], second[4000], third[3000];
        struct iovec parts[] = { { first, sizeof(first) }, { second, sizeof(second) }, { third, sizeof(third) } };
        int fd = open_file(0);
        must(preadv(fd, parts, 3, 10) == 7001, "preadv");
        must(first[0] == whole[10] && memcmp(second, whole + 11, 4000) == 0 && memcmp(third, whole + 4011, 3000) == 0, "its bytes");
        must(preadv(fd, parts, 3, (off_t) size - 3) == 3 && memcmp(second, whole + size - 2, 2) == 0, "preadv at the end");
        must(readv(fd, parts, 3) == 7001 && memcmp(second, whole + 1, 4000) == 0, "readv");
        (void) close(fd);
}

static void check_pread(void)
{
        char buffer[100];
        int fd = open_file(0);
        must(pread(fd, buffer, 0, 5) == 0, "no byte");
        must(pread(fd, buffer, 100, (off_t) size) == 0, "at the end");
        must(pread(fd, buffer, 100, (off_t) size + 12345) == 0, "behind the end");
        must(pread(fd, buffer, 100, (off_t) size - 1) == 1 && buffer[0] == whole[size - 1], "the last byte");
        must(pread(fd, buffer, 100, -1) == -1 && errno == EINVAL, "before the beginning");
        must(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL) == 0 && posix_fadvise(fd, 0, 100, POSIX_FADV_WILLNEED) == 0, "fadvise");
        (void) close(fd);
}

/* The kernel reads ahead of those who don't say O_DIRECT elsewhere; here it makes no difference. */
static void check_direct(void)
{
        int fd = open_file(O_DIRECT);
        char *buffer = aligned_alloc(4096, 8192);
        must(buffer != NULL && pread(fd, buffer, 8192, 0) == 8192 && memcmp(buffer, whole, 8192) == 0, "O_DIRECT");
        free(buffer);
        (void) close(fd);
}

static int temporary(void)
{
        char name[] = "wal_ways.XXXXXX";
        int fd = mkstemp(name);
        must(fd >= 0 && unlink(name) == 0, "a temporary file");
        return fd;
}

static void check_copy(int out, const char *what)
{
        char *copy = malloc(size + 1);
        must(copy != NULL && pread(out, copy, size, 0) == (ssize_t) size && memcmp(copy, whole, size) == 0, what);
        free(copy);
        (void) close(out);
}

static void check_sendfile(void)
{
        int in = open_file(0), out = temporary();
        for (off_t at = 0; at < (off_t) size;)
                must(sendfile(out, in, &at, size) > 0, "sendfile");
        check_copy(out, "what sendfile sent");
        (void) close(in);
}

static void check_copy_file_range(void)
{
        int in = open_file(0), out = temporary();
        ssize_t n;
        while ((n = copy_file_range(in, NULL, out, NULL, size, 0)) > 0)
                continue;
        /* The kernel may refuse it between file systems; then cp and others read. */
        if (n == 0)
                check_copy(out, "what copy_file_range copied");
        else
                must(errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP, "copy_file_range");
        (void) close(in);
}

static void check_splice(void)
{
        int in = open_file(0), out = temporary(), ends[2];
        must(pipe(ends) == 0, "pipe");
        for (size_t done = 0; done < size;) {
                ssize_t n = splice(in, NULL, ends[1], NULL, 65536, 0);
                must(n > 0, "splice from the file");
                for (ssize_t left = n; left > 0;) {
                        ssize_t m = splice(ends[0], NULL, out, NULL, (size_t) left, 0);
                        must(m > 0, "splice to a file");
                        left -= m;
                }
                done += (size_t) n;
        }
        check_copy(out, "what was spliced");
        (void) close(in);
        (void) close(ends[0]);
        (void) close(ends[1]);
}

static void check_mappings(void)
{
        int fd = open_file(0);
        errno = 0;
        must(mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV, "a shared mapping is not refused");
        char *mapping = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        must(mapping != MAP_FAILED, "a private mapping");
        must(memcmp(mapping, whole, size) == 0, "the bytes of a private mapping");
        (void) munmap(mapping, size);
        (void) close(fd);
}

int main(int argc, char **argv)
{
        if (argc != 3)
                return 2;
        path = argv[1];
        load(argv[2]);
        check_seek();
        check_data();
        check_readv();
        check_pread();
        check_direct();
        check_sendfile();
        check_copy_file_range();
        check_splice();
        check_mappings();
        free(whole);
        return EXIT_SUCCESS;
}
