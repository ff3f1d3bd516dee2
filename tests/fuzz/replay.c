/*
 * Runs a fuzz target over files, without libFuzzer: so that every compiler and every `make check` tests the seeds.
 *
 *     replay_NAME FILE|DIRECTORY...
 *
 * Each input runs in a process of its own, with a time limit: one that crashes is named, and the next ones run all the
 * same. An input lies in an allocation of exactly its size, so that AddressSanitizer sees one byte read too far.
 */
#include <errno.h>
#include <fts.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS_PER_INPUT = 60 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

struct counts {
        unsigned passed;
        unsigned failed;
};

static uint8_t *read_input(const char *path, size_t size)
{
        uint8_t *data = malloc(size ? size : 1);
        FILE *file = fopen(path, "rb");
        if (!data || !file || fread(data, 1, size, file) != size) {
                fprintf(stderr, "%s: %s\n", path, strerror(errno));
                _exit(1);
        }
        fclose(file);
        return data;
}

/* The child's part: leaves by exit(), not _exit(), so that LeakSanitizer looks. */
static void run_input(const char *path, size_t size)
{
        alarm(SECONDS_PER_INPUT);
        uint8_t *data = read_input(path, size);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        exit(0);
}

static void replay(const char *path, size_t size, struct counts *counts)
{
        int status = -1;
        fflush(NULL);
        pid_t child = fork();
        if (child == 0)
                run_input(path, size);
        if (child > 0 && waitpid(child, &status, 0) == child && status == 0) {
                counts->passed++;
                return;
        }
        counts->failed++;
        if (WIFSIGNALED(status))
                printf("%s: %s\n", path, strsignal(WTERMSIG(status)));
        else
                printf("%s: exit status %d\n", path, WEXITSTATUS(status));
}

static int replay_tree(char **paths, struct counts *counts)
{
        FTS *tree = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, NULL);
        if (!tree)
                return -errno;
        for (FTSENT *entry; (entry = fts_read(tree));) {
                if (entry->fts_info == FTS_F)
                        replay(entry->fts_path, (size_t) entry->fts_statp->st_size, counts);
                else if (entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR)
                        fprintf(stderr, "%s: %s\n", entry->fts_path, strerror(entry->fts_errno));
        }
        fts_close(tree);
        return 0;
}

int main(int argc, char **argv)
{
        struct counts counts = { 0, 0 };
        if (argc < 2) {
                fprintf(stderr, "usage: %s FILE|DIRECTORY...\n", argv[0]);
                return 2;
        }
        if (LLVMFuzzerInitialize)
                LLVMFuzzerInitialize(&argc, &argv);
        if (replay_tree(argv + 1, &counts) < 0)
                counts.failed++;
        if (counts.passed + counts.failed == 0) {
                fprintf(stderr, "%s: no input found\n", argv[1]);
                counts.failed = 1;
        }
        printf("%u passed, %u failed\n", counts.passed, counts.failed);
        return counts.failed != 0;
}
