/*
 * Stops one thread of another process, and nothing else of it, until the end of its own input.
 *
 * usage: wal_freeze THREAD
 *
 * Says `frozen` when it is. What waits for that thread then waits as long as a test wants, whatever machine it runs on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(long result, const char *what)
{
        if (result >= 0)
                return;
        (void) fprintf(stderr, "wal_freeze: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
        if (argc != 2)
                return 2;
        int status = 0;
        pid_t thread = (pid_t) strtol(argv[1], NULL, 10);
        must(ptrace(PTRACE_SEIZE, thread, NULL, NULL), "seizing the thread");
        must(ptrace(PTRACE_INTERRUPT, thread, NULL, NULL), "stopping the thread");
        must(waitpid(thread, &status, __WALL), "waiting for the thread to stop");
        if (!WIFSTOPPED(status))
                return EXIT_FAILURE;
        (void) puts("frozen");
        (void) fflush(stdout);
        char byte;
        (void) !read(STDIN_FILENO, &byte, 1); /* or its end: whoever wanted this is gone */
        must(ptrace(PTRACE_DETACH, thread, NULL, NULL), "letting it go on");
        return EXIT_SUCCESS;
}
