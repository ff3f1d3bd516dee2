#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/operation/backup_target.h"
#include "ops/operation/mount_place.h"
#include "ops/operation/state_dir.h"
#include "tests/unit/sql_dir.h"

struct place {
        char name[64], path[96];
        int fd, persist; /* path/, path/persist */
};

static int setup(void **state)
{
        struct place *p = calloc(1, sizeof(*p));
        (void) snprintf(p->path, sizeof(p->path), "/tmp/chromafs-target-XXXXXX");
        if (mkdtemp(p->path) == NULL)
                return 1;
        (void) snprintf(p->name, sizeof(p->name), "%s", p->path + 5);
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mkdirat(p->fd, "persist", 0755) < 0 || mkdirat(p->fd, "persist/sub", 0755) < 0 || mkdirat(p->fd, "out", 0755) < 0)
                return 1;
        p->persist = openat(p->fd, "persist", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = p;
        return p->persist < 0;
}

static int teardown(void **state)
{
        struct place *p = *state;
        int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = tree_remove(tmp, p->name, NULL);
        (void) close(tmp);
        (void) close(p->fd);
        (void) close(p->persist);
        free(p);
        return r;
}

static int look(const struct place *p, const char *below, struct backup_target *t, struct error *e)
{
        char path[1024];
        (void) snprintf(path, sizeof(path), "%s/%s", p->path, below);
        struct text to = text_of(path);
        return backup_target_find(p->persist, &to, t, e);
}

static void refuse(const struct place *p, const char *below, int code)
{
        struct backup_target t;
        struct error e = { 0 };
        int r = look(p, below, &t, &e);
        if (r != code || e.text[0] == '\0')
                fail_msg("%s: %d %s", below, r, e.text);
        backup_target_clear(&t);
}

static void refuses_places(void **state)
{
        const struct place *p = *state;
        assert_int_equal(symlinkat("../persist/sub", p->fd, "out/link"), 0);
        refuse(p, "persist/new", -EINVAL);
        refuse(p, "persist/sub/new", -EINVAL);
        refuse(p, "out/../persist/new/", -EINVAL);
        refuse(p, "out/link/new", -EINVAL);
        refuse(p, "persist", -EEXIST);
        refuse(p, "out", -EEXIST);
        refuse(p, "out/link", -EEXIST);
        refuse(p, "missing/new", -ENOENT);
        refuse(p, "out/.", -EINVAL);
        refuse(p, "out/..", -EINVAL);
        char longer[300];
        memset(longer, 'x', sizeof(longer));
        (void) memcpy(longer, "out/", 4);
        longer[4 + 250] = '\0';
        refuse(p, longer, -ENAMETOOLONG);
        longer[4 + 200] = '\0';
        struct backup_target t;
        assert_int_equal(look(p, longer, &t, NULL), 0);
        backup_target_clear(&t);
}

static void refuses_paths(void **state)
{
        const struct place *p = *state;
        static const struct {
                const char *bytes;
                size_t len;
        } bad[] = { { "", 0 }, { "/", 1 }, { "//", 2 }, { "relative", 8 }, { "/tmp/a\0b", 8 }, { "/tmp/..", 7 } };
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                struct text to = { .bytes = (char *) (uintptr_t) bad[i].bytes, .len = bad[i].len };
                struct backup_target t;
                assert_int_equal(backup_target_find(p->persist, &to, &t, NULL), -EINVAL);
                backup_target_clear(&t);
        }
}

/* In a mount namespace of its own: a bind mount of the directory, and one of a directory below it. */
static int behind_bind_mounts(struct place *p)
{
        static const char *const from[] = { "persist", "persist/sub" };
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return 77;
        (void) snprintf(p->path, sizeof(p->path), "/tmp/%s", p->name);
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the old descriptors' mounts are not of this namespace */
        p->persist = openat(p->fd, "persist", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (size_t i = 0; i < 2; i++) {
                char source[256], target[256];
                (void) snprintf(source, sizeof(source), "%s/%s", p->path, from[i]);
                (void) snprintf(target, sizeof(target), "%s/out/bind%zu", p->path, i);
                if (mkdir(target, 0755) < 0 || mount(source, target, NULL, MS_BIND, NULL) < 0)
                        return 77;
                struct backup_target t;
                (void) snprintf(target, sizeof(target), "out/bind%zu/new", i);
                int r = look(p, target, &t, NULL);
                backup_target_clear(&t);
                if (r != -EINVAL)
                        return 1;
        }
        return 0;
}

static void refuses_bind_mounts(void **state)
{
        int status;
        pid_t pid = fork();
        if (pid == 0)
                _exit(behind_bind_mounts(*state));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WEXITSTATUS(status) == 77)
                skip();
        assert_int_equal(status, 0);
}

static void places(void **state)
{
        const struct place *p = *state;
        struct mount_place persist, sub, out;
        int fd = openat(p->persist, "sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC), other = openat(p->fd, "out", O_RDONLY | O_CLOEXEC);
        assert_int_equal(mount_place_read(p->persist, &persist, NULL), 0);
        assert_int_equal(mount_place_read(fd, &sub, NULL), 0);
        assert_int_equal(mount_place_read(other, &out, NULL), 0);
        assert_true(mount_place_within(&sub, &persist));
        assert_true(mount_place_within(&persist, &persist));
        assert_false(mount_place_within(&persist, &sub));
        assert_false(mount_place_within(&out, &persist));
        size_t len = strlen(out.path);
        (void) snprintf(persist.path, sizeof(persist.path), "%s", out.path);
        (void) snprintf(out.path + len, sizeof(out.path) - len, "x");
        assert_false(mount_place_within(&out, &persist)); /* "/outx" is not in "/out" */
        persist.path[0] = '\0';
        assert_true(mount_place_within(&out, &persist));
        (void) snprintf(out.device, sizeof(out.device), "0:0");
        assert_false(mount_place_within(&out, &persist));
        (void) close(fd);
        (void) close(other);
        int proc = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(mount_place_read(proc, &out, NULL), 0);
        assert_string_equal(out.type, "proc");
        (void) close(proc);
}

static unsigned count(const struct place *p)
{
        char path[128];
        unsigned n = 0;
        (void) snprintf(path, sizeof(path), "%s/out", p->path);
        DIR *dir = opendir(path);
        assert_non_null(dir);
        while (readdir(dir) != NULL)
                n++;
        (void) closedir(dir);
        return n - 2;
}

static bool there(const struct place *p, const char *name)
{
        struct stat st;
        return fstatat(p->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void built_beside(void **state)
{
        const struct place *p = *state;
        struct backup_target t;
        struct stat st;
        assert_int_equal(look(p, "out/new//", &t, NULL), 0);
        assert_string_equal(t.name, "new");
        assert_int_equal(count(p), 0);
        assert_int_equal(backup_target_begin(&t, NULL), 0);
        assert_int_equal(fstat(t.fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(count(p), 1);
        assert_false(there(p, "out/new"));
        assert_int_equal(mkdirat(t.fd, "content", 0700), 0);
        assert_int_equal(backup_target_publish(&t, NULL), 0);
        backup_target_clear(&t);
        assert_true(there(p, "out/new/content"));
        assert_int_equal(count(p), 1);
}

static void given_up(void **state)
{
        const struct place *p = *state;
        struct backup_target t;
        assert_int_equal(look(p, "out/new", &t, NULL), 0);
        assert_int_equal(backup_target_begin(&t, NULL), 0);
        assert_int_equal(mkdirat(t.fd, "content", 0700), 0);
        backup_target_clear(&t);
        backup_target_clear(&t);
        assert_int_equal(count(p), 0);
}

static void taken_meanwhile(void **state)
{
        const struct place *p = *state;
        static const char *const kinds[] = { "empty directory", "file", "link" };
        for (size_t i = 0; i < 3; i++) {
                struct backup_target t;
                struct error e = { 0 };
                assert_int_equal(look(p, "out/new", &t, NULL), 0);
                assert_int_equal(backup_target_begin(&t, NULL), 0);
                if (i == 0)
                        assert_int_equal(mkdirat(p->fd, "out/new", 0755), 0);
                else if (i == 1)
                        (void) close(openat(p->fd, "out/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
                else
                        assert_int_equal(symlinkat("nowhere", p->fd, "out/new"), 0);
                if (backup_target_publish(&t, &e) != -EEXIST)
                        fail_msg("%s: %s", kinds[i], e.text);
                backup_target_clear(&t);
                assert_int_equal(count(p), 1); /* theirs */
                assert_int_equal(unlinkat(p->fd, "out/new", i == 0 ? AT_REMOVEDIR : 0), 0);
        }
}

/* What a killed run left goes; all that only looks similar stays, and so does one that is being built. */
static void leftovers(void **state)
{
        const struct place *p = *state;
        static const char *const stay[] = {
                "out/.new.chromafs-0123456789abcde",   "out/.new.chromafs-0123456789abcdeff", "out/.new.chromafs-0123456789ABCDEF",
                "out/.new2.chromafs-0123456789abcdef", "out/new.chromafs-0123456789abcdef",   "out/.new.chromafs-0123456789abcdeg",
        };
        for (size_t i = 0; i < sizeof(stay) / sizeof(*stay); i++)
                assert_int_equal(mkdirat(p->fd, stay[i], 0700), 0);
        assert_int_equal(symlinkat("../persist", p->fd, "out/.new.chromafs-aaaaaaaaaaaaaaaa"), 0);
        assert_int_equal(mkdirat(p->fd, "out/.new.chromafs-bbbbbbbbbbbbbbbb", 0700), 0);
        int locked = openat(p->fd, "out/.new.chromafs-bbbbbbbbbbbbbbbb", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(flock(locked, LOCK_EX), 0);
        assert_int_equal(mkdirat(p->fd, "out/.new.chromafs-0123456789abcdef", 0700), 0);
        assert_int_equal(mkdirat(p->fd, "out/.new.chromafs-0123456789abcdef/deep", 0700), 0);
        struct backup_target t;
        assert_int_equal(look(p, "out/new", &t, NULL), 0);
        assert_int_equal(backup_target_begin(&t, NULL), 0);
        assert_false(there(p, "out/.new.chromafs-0123456789abcdef"));
        for (size_t i = 0; i < sizeof(stay) / sizeof(*stay); i++)
                assert_true(there(p, stay[i]));
        assert_true(there(p, "out/.new.chromafs-aaaaaaaaaaaaaaaa"));
        assert_true(there(p, "out/.new.chromafs-bbbbbbbbbbbbbbbb"));
        assert_true(there(p, "persist/sub"));
        /* A second one to the same name, at the same time. */
        struct backup_target second;
        assert_int_equal(look(p, "out/new", &second, NULL), 0);
        assert_int_equal(backup_target_begin(&second, NULL), 0);
        assert_string_not_equal(t.partial, second.partial);
        assert_int_equal(backup_target_publish(&second, NULL), 0);
        assert_int_equal(backup_target_publish(&t, NULL), -EEXIST);
        backup_target_clear(&second);
        backup_target_clear(&t);
        assert_true(there(p, "out/new"));
        (void) close(locked);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(refuses_places, setup, teardown),
                cmocka_unit_test_setup_teardown(refuses_paths, setup, teardown),
                cmocka_unit_test_setup_teardown(refuses_bind_mounts, setup, teardown),
                cmocka_unit_test_setup_teardown(places, setup, teardown),
                cmocka_unit_test_setup_teardown(built_beside, setup, teardown),
                cmocka_unit_test_setup_teardown(given_up, setup, teardown),
                cmocka_unit_test_setup_teardown(taken_meanwhile, setup, teardown),
                cmocka_unit_test_setup_teardown(leftovers, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
