/*
 * An index that the system has no memory for: its records lie in a file of the stage, without a name, which is gone with the process.
 *
 * What the system says of its memory is this test's to say: the functions of the same name here are found before the C library's.
 */
#undef _FORTIFY_SOURCE /* it would define some of these functions */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/commit_scene.h"

#define MEMORY "/proc/meminfo"
#define ROWS 60

static struct commit_scene scene;

static struct {
        char memory[4096];                  /* the path of what the system says; "": the truth */
        bool without_unnamed, without_room; /* of the file system */
        unsigned unnamed, named, mapped;    /* files that were made for records */
} machine;

static const char *path_of(const char *path)
{
        return machine.memory[0] != '\0' && strcmp(path, MEMORY) == 0 ? machine.memory : path;
}

int open(const char *path, int flags, ...)
{
        va_list list;
        va_start(list, flags);
        unsigned mode = va_arg(list, unsigned);
        va_end(list);
        return (int) syscall(SYS_openat, AT_FDCWD, path_of(path), flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
        int flags = mode[0] == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | (mode[0] == 'w' ? O_TRUNC : O_APPEND);
        int fd = open(path, flags | O_CLOEXEC, 0600);
        return fd < 0 ? NULL : fdopen(fd, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
        va_list list;
        va_start(list, flags);
        unsigned mode = va_arg(list, unsigned);
        va_end(list);
        bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
        if (unnamed && machine.without_unnamed) {
                errno = EOPNOTSUPP;
                return -1;
        }
        machine.unnamed += unnamed;
        machine.named += strcmp(path, "index.records") == 0;
        return (int) syscall(SYS_openat, dirfd, path, flags, mode);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
        machine.mapped++;
        return machine.without_room ? ENOSPC : syscall(SYS_fallocate, fd, 0, offset, len) == 0 ? 0 : errno;
}

static void say_memory(const struct commit_scene *s, const char *text)
{
        (void) snprintf(machine.memory, sizeof(machine.memory), "%s/meminfo", s->dir.sql.path);
        FILE *file = fopen(machine.memory, "we");
        assert_true(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static int setup(void **state)
{
        memset(&machine, 0, sizeof(machine));
        commit_scene_make(&scene, CLEAN_RUST);
        *state = &scene;
        return 0;
}

static int teardown(void **state)
{
        memset(&machine, 0, sizeof(machine));
        commit_scene_remove(*state);
        return 0;
}

/* The scene itself loads what was made. */
static void commit_without_memory(struct commit_scene *s, uint64_t position)
{
        say_memory(s, "MemAvailable: 1 kB\n");
        commit_scene_commit(s, position);
        machine.memory[0] = '\0';
}

/* ROWS ADDs above `first`. */
static void add_rows(const struct commit_scene *s, int64_t first)
{
        char id[16];
        for (int64_t n = first + 1; n <= first + ROWS; n++) {
                (void) snprintf(id, sizeof(id), "row%lld", (long long) n);
                commit_scene_log(s, n, COMMIT_ADD, id, true);
        }
}

/* Nothing but the files of an index. */
static void assert_files(int dirfd, unsigned expected)
{
        unsigned count = 0;
        DIR *dir = fdopendir(dup(dirfd));
        assert_non_null(dir);
        rewinddir(dir);
        for (const struct dirent *entry; (entry = readdir(dir)) != NULL; count++)
                assert_string_not_equal(entry->d_name, "index.records");
        assert_int_equal(closedir(dir), 0);
        assert_int_equal(count, expected + 2);
}

static void assert_rows(const struct commit_scene *s, int64_t first, uint64_t label)
{
        char id[16];
        for (int64_t n = first + 1; n <= first + ROWS; n++) {
                (void) snprintf(id, sizeof(id), "row%lld", (long long) n);
                assert_int_equal(commit_scene_label(s, id), label++);
                assert_int_equal(commit_scene_vector(s, id), n);
        }
}

/* --- the tests --- */

static void test_new_index(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 0, CLEAN_NONE);
        add_rows(s, 0);
        assert_int_equal(commit_scene_plan(s), 0);
        uint64_t memory = commit_vector_memory(s->v), disk = commit_vector_disk(s->v), records = ROWS * INDEX_DIR_RECORD;
        say_memory(s, "MemTotal: 16 kB\nMemAvailable:  2 kB\nSwapFree:  1 kB\n");
        assert_int_equal(commit_vector_memory(s->v), memory - records);
        assert_int_equal(commit_vector_disk(s->v), disk + records);
        commit_without_memory(s, ROWS);
        assert_int_equal(machine.unnamed, 1);
        assert_int_equal(machine.mapped, 1);
        assert_files(s->fd, INDEX_FILE_COUNT);
        assert_rows(s, 0, 1);
}

/* Two changes after another: the second one loads what the first one wrote. */
static void test_index_that_grows(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 6, 6);
        commit_scene_log(s, 7, COMMIT_UPDATE, "id2", true);
        commit_scene_log(s, 8, COMMIT_DELETE, "id3", false);
        commit_scene_log(s, 9, COMMIT_ADD, "new", true);
        for (int n = 10; n < 30; n++)
                commit_scene_log(s, n, COMMIT_UPSERT, "other", true);
        add_rows(s, 30);
        commit_without_memory(s, 30 + ROWS);
        assert_int_equal(machine.mapped, 1);
        assert_int_equal(commit_scene_vector(s, "id1"), 1);
        assert_int_equal(commit_scene_vector(s, "id2"), 7);
        assert_int_equal(commit_scene_label(s, "id3"), 0);
        assert_int_equal(commit_scene_vector(s, "other"), 29);
        assert_rows(s, 30, 9);
        commit_scene_log(s, 99, COMMIT_UPDATE, "id1", true);
        commit_without_memory(s, 99);
        assert_int_equal(machine.mapped, 2);
        assert_int_equal(commit_scene_vector(s, "id1"), 99);
        assert_int_equal(commit_scene_vector(s, "id2"), 7);
        assert_files(s->fd, INDEX_FILE_COUNT);
}

/* What can't be made without a name loses it at once. */
static void test_file_system_without_unnamed_files(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 0, CLEAN_NONE);
        add_rows(s, 0);
        machine.without_unnamed = true;
        commit_without_memory(s, ROWS);
        assert_int_equal(machine.unnamed, 0);
        assert_int_equal(machine.named, 1);
        assert_files(s->fd, INDEX_FILE_COUNT);
        assert_rows(s, 0, 1);
}

static void test_neither_memory_nor_disk(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 0, CLEAN_NONE);
        add_rows(s, 0);
        say_memory(s, "MemAvailable: 1 kB\n");
        machine.without_room = true;
        assert_int_equal(commit_scene_plan(s), 0);
        assert_int_equal(commit_scene_build(s, ROWS), -ENOSPC);
        assert_non_null(strstr(s->op.error.text, "needs a temporary file"));
        assert_files(s->fd, 0);
        machine.without_room = false;
        assert_int_equal(unlinkat(s->dir.sql.fd, "out", AT_REMOVEDIR), 0);
        commit_without_memory(s, ROWS);
        assert_rows(s, 0, 1);
}

/* The room of the old index is not there either: it stays what it is. */
static void test_no_room_to_load(void **state)
{
        struct commit_scene *s = *state;
        commit_scene_collection(s, 60, 60);
        commit_scene_log(s, 61, COMMIT_ADD, "new", true);
        say_memory(s, "MemAvailable: 1 kB\n");
        machine.without_room = true;
        assert_int_equal(commit_scene_plan(s), 0);
        assert_int_equal(commit_scene_build(s, 61), -ENOSPC);
        assert_null(strstr(s->op.error.text, "rebuild-hnsw"));
        assert_files(s->fd, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_new_index),
                TEST(test_index_that_grows),
                TEST(test_file_system_without_unnamed_files),
                TEST(test_neither_memory_nor_disk),
                TEST(test_no_room_to_load),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
