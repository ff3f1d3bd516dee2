/*
 * Files that a benchmark's programs hand each other. Whatever fails ends the program.
 */
#ifndef TESTS_BENCH_FILES_H
#define TESTS_BENCH_FILES_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static inline _Noreturn void bench_die(const char *what)
{
        (void) fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
        exit(1);
}

static inline FILE *bench_open(const char *folder, const char *name, const char *mode)
{
        char path[4096];
        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        FILE *file = fopen(path, mode);
        if (file == NULL)
                bench_die(path);
        return file;
}

/* All of its bytes: the caller's. */
static inline void *bench_read(const char *folder, const char *name, size_t *ret_size)
{
        FILE *file = bench_open(folder, name, "re");
        struct stat st;
        if (fstat(fileno(file), &st) < 0)
                bench_die(name);
        void *bytes = malloc((size_t) st.st_size + 1);
        if (bytes == NULL || fread(bytes, 1, (size_t) st.st_size, file) != (size_t) st.st_size)
                bench_die(name);
        (void) fclose(file);
        *ret_size = (size_t) st.st_size;
        return bytes;
}

#endif
