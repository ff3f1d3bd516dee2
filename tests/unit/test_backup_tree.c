#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ops/index_summary.h"
#include "ops/operation/backup_tree.h"
#include "ops/operation/state_dir.h"
#include "tests/unit/index_dir.h"

#define SEGMENT "00000000-0000-4000-8000-000000000001"
#define OTHER "00000000-0000-4000-8000-000000000002"

struct place {
        char path[64];
        int fd;
};

static int setup(void **state)
{
        struct place *p = calloc(1, sizeof(*p));
        (void) snprintf(p->path, sizeof(p->path), "/tmp/chromafs-tree-XXXXXX");
        if (mkdtemp(p->path) == NULL)
                return 1;
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = p;
        return p->fd < 0;
}

static int teardown(void **state)
{
        struct place *p = *state;
        (void) close(p->fd);
        int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = tree_remove(tmp, strrchr(p->path, '/') + 1, NULL);
        (void) close(tmp);
        free(p);
        return r;
}

static void write_file(const struct place *p, const char *path, const char *text)
{
        int fd = openat(p->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
        assert_int_equal(close(fd), 0);
}

static struct backup_tree list(const struct place *p)
{
        struct backup_tree tree = { 0 };
        struct error e = { 0 };
        if (backup_tree_read(p->fd, NULL, NULL, &tree, &e) < 0)
                fail_msg("%s", e.text);
        return tree;
}

static const struct backup_entry *find(const struct backup_tree *tree, const char *path)
{
        for (size_t i = 0; i < tree->count; i++)
                if (strcmp(tree->entries[i].path, path) == 0)
                        return &tree->entries[i];
        return NULL;
}

static void lists_what_there_is(void **state)
{
        const struct place *p = *state;
        static const char *const ours[] = { "chroma.sqlite3", "chroma.sqlite3-journal", "chroma.sqlite3-wal", "chroma.sqlite3-shm",
                                            BACKUP_MANIFEST };
        for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
                write_file(p, ours[i], "x");
        assert_int_equal(mkdirat(p->fd, ".chromafs", 0700), 0);
        write_file(p, ".chromafs/x", "x");
        index_dir_make(p->fd, SEGMENT, &(struct index_dir){ .count = 3 });
        assert_int_equal(mkdirat(p->fd, "mine", 0755), 0);
        write_file(p, "mine/" BACKUP_MANIFEST, "inside it is the user's");
        write_file(p, SEGMENT "-copy", "x");
        assert_int_equal(symlinkat("/nowhere", p->fd, "link"), 0);
        assert_int_equal(mkfifoat(p->fd, "pipe", 0600), 0);
        struct backup_tree tree = list(p);
        assert_int_equal(tree.count, 6 + 2 + 1 + 1 + 1);
        assert_int_equal(backup_tree_files(&tree), 5 + 1 + 1);
        for (size_t i = 1; i < tree.count; i++)
                assert_true(strcmp(tree.entries[i - 1].path, tree.entries[i].path) < 0);
        assert_int_equal(find(&tree, SEGMENT)->kind, BACKUP_DIR);
        assert_true(find(&tree, SEGMENT)->segment);
        assert_true(find(&tree, SEGMENT "/header.bin")->segment);
        assert_false(find(&tree, SEGMENT "-copy")->segment);
        assert_false(find(&tree, "mine/" BACKUP_MANIFEST)->segment);
        assert_int_equal(find(&tree, "link")->kind, BACKUP_LINK);
        assert_int_equal(find(&tree, "pipe")->kind, BACKUP_LEFT_OUT);
        assert_non_null(find(&tree, "pipe")->reason);
        backup_tree_clear(&tree);
        assert_null(tree.entries);
}

static void too_deep(void **state)
{
        const struct place *p = *state;
        char path[4 * BACKUP_DEPTH_MAX] = "d";
        struct backup_tree tree;
        struct error e = { 0 };
        for (int i = 1; i <= BACKUP_DEPTH_MAX; i++) {
                assert_int_equal(mkdirat(p->fd, path, 0755), 0);
                (void) snprintf(path + strlen(path), sizeof(path) - strlen(path), "/d");
        }
        struct backup_tree deep = list(p);
        assert_int_equal(deep.count, BACKUP_DEPTH_MAX);
        backup_tree_clear(&deep);
        assert_int_equal(mkdirat(p->fd, path, 0755), 0);
        assert_int_equal(backup_tree_read(p->fd, NULL, NULL, &tree, &e), -ELOOP);
}

static bool yes(void *context)
{
        (void) context;
        return true;
}

static void cancelled(void **state)
{
        const struct place *p = *state;
        struct backup_tree tree;
        write_file(p, "a", "");
        assert_int_equal(backup_tree_read(p->fd, yes, NULL, &tree, NULL), -ECANCELED);
}

static void sums(void **state)
{
        const struct place *p = *state;
        write_file(p, "small", "12345");
        int fd = openat(p->fd, "sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(ftruncate(fd, (off_t) 1 << 40), 0);
        (void) close(fd);
        struct backup_tree tree = list(p);
        assert_true(backup_tree_bytes(&tree) >= 5);
        assert_true(backup_tree_bytes(&tree) < 1 << 20);
        backup_tree_clear(&tree);
}

/* Two listings. */

struct stale {
        char paths[1024];
};

static void note_stale(void *context, const struct backup_entry *entry)
{
        struct stale *stale = context;
        size_t len = strlen(stale->paths);
        (void) snprintf(stale->paths + len, sizeof(stale->paths) - len, "%s ", entry->path);
}

static void takes_over(void **state)
{
        const struct place *p = *state;
        struct stale stale = { "" };
        write_file(p, "a", "1");
        write_file(p, "b", "1");
        write_file(p, "c", "1");
        assert_int_equal(mkdirat(p->fd, "d", 0755), 0);
        write_file(p, "d/e", "1");
        struct backup_tree before = list(p);
        for (size_t i = 0; i < before.count; i++) {
                before.entries[i].copied = true;
                before.entries[i].copy.bytes = 7;
        }
        write_file(p, "b", "another size");
        assert_int_equal(unlinkat(p->fd, "c", 0), 0);
        assert_int_equal(mkdirat(p->fd, "c", 0755), 0);
        assert_int_equal(unlinkat(p->fd, "d/e", 0), 0);
        assert_int_equal(unlinkat(p->fd, "d", AT_REMOVEDIR), 0);
        write_file(p, "z", "new");
        struct backup_tree now = list(p);
        backup_tree_take_over(&now, &before, note_stale, &stale);
        assert_string_equal(stale.paths, "d/e d c ");
        assert_true(find(&now, "a")->copied);
        assert_int_equal(find(&now, "a")->copy.bytes, 7);
        assert_false(find(&now, "b")->copied);
        assert_false(find(&now, "c")->copied);
        assert_false(find(&now, "z")->copied);
        backup_tree_clear(&before);
        backup_tree_clear(&now);
}

static bool still_same(const struct place *p, const struct backup_tree *before)
{
        struct backup_tree now = list(p);
        bool same = backup_tree_same_segments(before, &now) && backup_tree_same_segments(&now, before);
        backup_tree_clear(&now);
        return same;
}

static void same_segments(void **state)
{
        const struct place *p = *state;
        index_dir_make(p->fd, SEGMENT, &(struct index_dir){ .count = 3 });
        struct backup_tree tree = list(p);
        assert_true(still_same(p, &tree));
        write_file(p, "log", "the user's files may change");
        assert_true(still_same(p, &tree));
        index_dir_make(p->fd, OTHER, &(struct index_dir){ .count = 1 });
        assert_false(still_same(p, &tree));
        assert_int_equal(tree_remove(p->fd, OTHER, NULL), 0);
        assert_true(still_same(p, &tree));
        index_dir_age(p->fd, SEGMENT, 5);
        assert_false(still_same(p, &tree));
        backup_tree_clear(&tree);
}

/* Times. */

static void set_age(const struct place *p, const char *file, int ms)
{
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
        char path[128];
        (void) snprintf(path, sizeof(path), "%s/%s", SEGMENT, file);
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &times[1]), 0);
        int64_t ns = (int64_t) times[1].tv_sec * 1000000000 + times[1].tv_nsec - (int64_t) ms * 1000000;
        times[1].tv_sec = ns / 1000000000;
        times[1].tv_nsec = ns % 1000000000;
        assert_int_equal(utimensat(p->fd, path, times, 0), 0);
}

/* As of `ms` after the last change, so that nothing is racy. */
static bool settled(const struct place *p, int database_ms)
{
        struct timespec now, pause = { .tv_nsec = 30 * 1000 * 1000 };
        (void) nanosleep(&pause, NULL);
        (void) clock_gettime(CLOCK_REALTIME, &now);
        struct file_stamp database = { .mtime_ns =
                                               (int64_t) now.tv_sec * 1000000000 + now.tv_nsec - (int64_t) database_ms * 1000000 };
        struct backup_tree tree = list(p);
        bool r = backup_tree_settled(&tree, &database);
        backup_tree_clear(&tree);
        return r;
}

static void order_of_a_persist(void **state)
{
        const struct place *p = *state;
        assert_true(settled(p, 0));
        index_dir_make(p->fd, SEGMENT, &(struct index_dir){ .count = 3 });
        assert_true(settled(p, 100000)); /* an old one: in whatever order it was restored */
        set_age(p, "header.bin", 900);
        assert_false(settled(p, 0)); /* the pickle is to come */
        set_age(p, "index_metadata.pickle", 800);
        assert_false(settled(p, 850)); /* the position is to come */
        assert_true(settled(p, 500));
        set_age(p, "link_lists.bin", 700);
        assert_false(settled(p, 500));
        set_age(p, "index_metadata.pickle", 600);
        assert_true(settled(p, 500));
        assert_int_equal(unlinkat(p->fd, SEGMENT "/index_metadata.pickle", 0), 0);
        assert_true(settled(p, 500)); /* never persisted */
}

/* The second of two segments counts like the first. */
static void every_segment(void **state)
{
        const struct place *p = *state;
        index_dir_make(p->fd, SEGMENT, &(struct index_dir){ .count = 3 });
        index_dir_make(p->fd, "00000000-0000-4000-8000-000000000000", &(struct index_dir){ .count = 3 });
        index_dir_make(p->fd, OTHER, &(struct index_dir){ .count = 3 });
        assert_true(settled(p, 0));
        set_age(p, "header.bin", 500);
        assert_false(settled(p, 0));
}

static void a_tick_is_waited_for(void **state)
{
        const struct place *p = *state;
        struct file_stamp database = { .mtime_ns = INT64_MAX };
        index_dir_make(p->fd, SEGMENT, &(struct index_dir){ .count = 3 });
        struct backup_tree tree = list(p);
        assert_false(backup_tree_settled(&tree, &database));
        struct file_stamp stamp = find(&tree, SEGMENT "/header.bin")->stamp;
        assert_true(backup_tree_is_racy(&tree, &stamp));
        stamp.ctime_ns -= 10 * 1000000000ll;
        assert_false(backup_tree_is_racy(&tree, &stamp));
        stamp.ctime_ns = tree.begun_ns + 3600 * 1000000000ll; /* the clock was set back */
        assert_false(backup_tree_is_racy(&tree, &stamp));
        stamp.ctime_ns = tree.begun_ns / 1000000000 * 1000000000 - 1000000000; /* a file system of whole seconds */
        assert_true(backup_tree_is_racy(&tree, &stamp));
        backup_tree_clear(&tree);
}

static void older_than_a_commit(void **state)
{
        const struct place *p = *state;
        write_file(p, "notes", "");
        index_dir_make(p->fd, SEGMENT, &(struct index_dir){ .count = 3 });
        struct backup_tree tree = list(p);
        int64_t newest = find(&tree, SEGMENT)->stamp.ctime_ns;
        for (size_t i = 0; i < tree.count; i++)
                if (tree.entries[i].segment && tree.entries[i].stamp.ctime_ns > newest)
                        newest = tree.entries[i].stamp.ctime_ns;
        ((struct backup_entry *) (uintptr_t) find(&tree, "notes"))->stamp.ctime_ns = newest + 5; /* no segment's */
        assert_true(backup_tree_is_older(&tree, &(struct file_stamp){ .mtime_ns = newest + 1, .ctime_ns = newest + 1 }));
        assert_false(backup_tree_is_older(&tree, &(struct file_stamp){ .mtime_ns = newest, .ctime_ns = newest }));
        assert_false(backup_tree_is_older(&tree, &(struct file_stamp){ .mtime_ns = newest, .ctime_ns = newest + 1 })); /* chmod */
        assert_false(
                backup_tree_is_older(&tree, &(struct file_stamp){ .mtime_ns = newest + 1, .ctime_ns = newest })); /* touch -d */
        backup_tree_clear(&tree);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(lists_what_there_is, setup, teardown),
                cmocka_unit_test_setup_teardown(too_deep, setup, teardown),
                cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
                cmocka_unit_test_setup_teardown(sums, setup, teardown),
                cmocka_unit_test_setup_teardown(takes_over, setup, teardown),
                cmocka_unit_test_setup_teardown(same_segments, setup, teardown),
                cmocka_unit_test_setup_teardown(order_of_a_persist, setup, teardown),
                cmocka_unit_test_setup_teardown(every_segment, setup, teardown),
                cmocka_unit_test_setup_teardown(a_tick_is_waited_for, setup, teardown),
                cmocka_unit_test_setup_teardown(older_than_a_commit, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
