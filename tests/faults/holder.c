#include "tests/faults/holder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/db.h"
#include "ops/text.h"
#include "tests/faults/tree.h"

static void hold(const char *path)
{
        if (open(path, O_RDWR | O_CLOEXEC) < 0)
                give_up("%s", path);
}

static void hold_all(const char *path)
{
        char file[TREE_PATH];
        DIR *dir = opendir(path);
        if (dir == NULL)
                give_up("%s", path);
        for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
                if (entry->d_type == DT_REG)
                        hold(tree_path(file, path, entry->d_name));
        (void) closedir(dir);
}

static void hold_directory(const char *path)
{
        char file[TREE_PATH];
        DIR *dir = opendir(path);
        if (dir == NULL)
                give_up("%s", path);
        hold(tree_path(file, path, DB_FILE));
        for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
                if (uuid_valid(entry->d_name))
                        hold_all(tree_path(file, path, entry->d_name));
        (void) closedir(dir);
}

pid_t holder_start(const char *dir)
{
        int pipes[2];
        char byte;
        (void) fflush(NULL);
        if (pipe(pipes) < 0)
                give_up("a pipe");
        pid_t pid = fork();
        if (pid < 0)
                give_up("a process");
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                hold_directory(dir);
                if (write(pipes[1], "", 1) != 1)
                        _exit(1);
                for (;;)
                        (void) pause();
        }
        (void) close(pipes[1]);
        if (read(pipes[0], &byte, 1) != 1)
                give_up("a process that has %s open", dir);
        (void) close(pipes[0]);
        return pid;
}

pid_t holder_end(pid_t holder)
{
        if (holder == 0)
                return 0;
        (void) kill(holder, SIGKILL);
        while (waitpid(holder, NULL, 0) < 0 && errno == EINTR)
                ;
        return 0;
}
