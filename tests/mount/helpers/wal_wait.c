/*
 * Calls stat for a file and says what came of it, while signals come.
 *
 * usage: wal_wait FILE
 *
 * SIGWINCH and SIGUSR1 have a handler here, as they have in a program with a window, so that they interrupt what waits; SIGINT ends it,
 * whatever the shell that started this has set. Says `waiting`, then `size N` or what stat failed with.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t signals;

static void count(int number)
{
        (void) number;
        signals++;
}

int main(int argc, char **argv)
{
        struct stat st;
        struct sigaction counting = { .sa_handler = count }, ending = { .sa_handler = SIG_DFL };
        if (argc != 2)
                return 2;
        (void) sigaction(SIGWINCH, &counting, NULL);
        (void) sigaction(SIGUSR1, &counting, NULL);
        (void) sigaction(SIGINT, &ending, NULL);
        (void) puts("waiting");
        (void) fflush(stdout);
        if (stat(argv[1], &st) != 0) {
                (void) printf("%s after %d signals\n", strerror(errno), (int) signals);
                return EXIT_FAILURE;
        }
        (void) printf("size %lld after %d signals\n", (long long) st.st_size, (int) signals);
        return EXIT_SUCCESS;
}
