#include "tests/faults/aside.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/faults/tree.h"

static _Noreturn void run(int fd, void (*fn)(FILE *out, void *context), void *context)
{
        FILE *out = fdopen(fd, "w");
        if (out == NULL)
                _exit(3);
        fn(out, context);
        _exit(fclose(out) == 0 ? 0 : 3);
}

static char *read_all(int fd)
{
        char *text = NULL, part[4096];
        size_t size = 0;
        FILE *all = open_memstream(&text, &size);
        if (all == NULL)
                give_up("memory");
        for (ssize_t n; (n = read(fd, part, sizeof(part))) != 0;)
                if (n > 0)
                        (void) fwrite(part, 1, (size_t) n, all);
                else if (errno != EINTR)
                        give_up("a pipe");
        (void) fclose(all);
        (void) close(fd);
        return text;
}

char *aside(void (*fn)(FILE *out, void *context), void *context)
{
        int pipes[2], status;
        (void) fflush(NULL);
        if (pipe(pipes) < 0)
                give_up("a pipe");
        pid_t pid = fork();
        if (pid == 0)
                run(pipes[1], fn, context);
        (void) close(pipes[1]);
        char *text = read_all(pipes[0]);
        while (pid < 0 || waitpid(pid, &status, 0) < 0)
                if (pid < 0 || errno != EINTR)
                        give_up("a process");
        if (status != 0)
                errx(2, "looking at a directory ended with status %#x", (unsigned) status);
        return text;
}
