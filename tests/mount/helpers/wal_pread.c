/*
 * One pread of an open file.
 *
 * usage: wal_pread OFFSET LENGTH <FILE
 *
 * Writes what comes to its output: fewer bytes than LENGTH when the read gives fewer. Fails with the words of the errno.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
        if (argc != 3)
                return 2;
        size_t len = strtoul(argv[2], NULL, 10);
        char *buffer = malloc(len + 1);
        ssize_t n = buffer != NULL ? pread(STDIN_FILENO, buffer, len, (off_t) strtoll(argv[1], NULL, 10)) : -1;
        if (n < 0) {
                (void) fprintf(stderr, "wal_pread: %s\n", strerror(errno));
                free(buffer);
                return EXIT_FAILURE;
        }
        size_t written = fwrite(buffer, 1, (size_t) n, stdout);
        free(buffer);
        return written == (size_t) n && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
