/*
 * Holds a file open while a command changes what it shows: the open one must show the old moment, to its end, and a new open the new one.
 *
 * usage: hold_file FILE OLD COMMAND [ARGUMENT...]
 *
 * OLD is a file with the bytes that FILE has before COMMAND. FILE is opened three times: one reads a few bytes before COMMAND and the rest
 * after it, one reads all after it, one is a shared mapping that is looked at after it. The kernel is asked before to forget what it has,
 * so that all is asked of the mount again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BEGUN 20u /* bytes that are read before the change */

struct bytes {
        unsigned char *data;
        size_t len;
};

static void fail(const char *what)
{
        (void) fprintf(stderr, "hold_file: %s\n", what);
        exit(EXIT_FAILURE);
}

static void fail_errno(const char *what)
{
        (void) fprintf(stderr, "hold_file: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

static int open_file(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                fail_errno(path);
        return fd;
}

static struct stat stat_of(int fd)
{
        struct stat st;
        if (fstat(fd, &st) != 0)
                fail_errno("fstat");
        return st;
}

/* From where the descriptor is to the end, behind the `begun` bytes that are in *ret already. */
static struct bytes read_rest(int fd, struct bytes begun)
{
        for (;;) {
                begun.data = realloc(begun.data, begun.len + 4096);
                if (begun.data == NULL)
                        fail("no memory");
                ssize_t n = read(fd, begun.data + begun.len, 4096);
                if (n < 0)
                        fail_errno("read");
                if (n == 0)
                        return begun;
                begun.len += (size_t) n;
        }
}

static void run(char **command)
{
        int status = 0;
        pid_t pid = fork();
        if (pid < 0)
                fail_errno("fork");
        if (pid == 0) {
                (void) execvp(command[0], command);
                _exit(127);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0)
                fail("the command failed");
}

static void must_be_old(const char *what, const unsigned char *data, size_t len, struct bytes old)
{
        if (len != old.len || memcmp(data, old.data, len) != 0)
                fail(what);
}

static struct bytes read_path(const char *path)
{
        int fd = open_file(path);
        struct bytes bytes = read_rest(fd, (struct bytes){ 0 });
        (void) close(fd);
        return bytes;
}

static void check_new(const char *path, struct stat held, struct bytes old)
{
        int fd = open_file(path);
        struct bytes now = read_rest(fd, (struct bytes){ 0 });
        if (now.len == old.len && memcmp(now.data, old.data, old.len) == 0)
                fail("a new open shows the old bytes");
        if ((size_t) stat_of(fd).st_size != now.len)
                fail("the size of the new one is not that of its bytes");
        if (stat_of(fd).st_ino == held.st_ino)
                fail("the old one and the new one have the same inode number");
        free(now.data);
        (void) close(fd);
}

int main(int argc, char **argv)
{
        if (argc < 4)
                fail("usage: hold_file FILE OLD COMMAND [ARGUMENT...]");
        struct bytes old = read_path(argv[2]);
        int begun_fd = open_file(argv[1]), later_fd = open_file(argv[1]), mapped_fd = open_file(argv[1]);
        if (old.len <= BEGUN || (size_t) stat_of(mapped_fd).st_size != old.len)
                fail("FILE has not the size of OLD");
        unsigned char *mapping = mmap(NULL, old.len, PROT_READ, MAP_SHARED, mapped_fd, 0);
        struct bytes begun = { malloc(BEGUN), BEGUN };
        if (mapping == MAP_FAILED || begun.data == NULL || read(begun_fd, begun.data, BEGUN) != (ssize_t) BEGUN)
                fail("can't map and read it");
        if (posix_fadvise(mapped_fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
                fail("posix_fadvise");

        run(argv + 3);

        struct stat held = stat_of(later_fd);
        check_new(argv[1], held, old);
        begun = read_rest(begun_fd, begun);
        must_be_old("the rest is not of the moment of the beginning", begun.data, begun.len, old);
        struct bytes later = read_rest(later_fd, (struct bytes){ 0 });
        must_be_old("what was open shows other bytes than when it was opened", later.data, later.len, old);
        must_be_old("the mapping shows other bytes than when it was made", mapping, old.len, old);
        if ((size_t) held.st_size != old.len)
                fail("the size of what was open has changed");
        free(begun.data);
        free(later.data);
        free(old.data);
        return EXIT_SUCCESS;
}
