#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/operation/guard.h"
#include "tests/unit/index_dir.h"
#include "tests/unit/sql_dir.h"

#define USER 54321

/* Real processes, with real descriptors. Some tests need root: to be someone else, or to be somewhere else. */

static int setup(void **state)
{
        static struct sql_dir d;
        char id[37];
        sql_dir_make(&d);
        assert_int_equal(fchmod(d.fd, 0755), 0);
        index_dir_make(d.fd, test_uuid(1, id), &(struct index_dir){ .count = 1 });
        index_dir_make(d.fd, test_uuid(2, id), &(struct index_dir){ .count = 1 });
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        sql_dir_remove(*state);
        return 0;
}

static void need_root(void)
{
        if (geteuid() != 0)
                skip();
}

/* Someone who has a file open. */

struct holder {
        pid_t pid;
        int says, ends; /* pipes: it says when it is ready, and ends when we close ours */
        const char *path;
        int flags;
        uid_t uid;
        const char *name;
        bool new_pids; /* in a pid namespace of its own */
        bool mapped;   /* no descriptor, but a mapping */
};

static int become(uid_t uid)
{
        return setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0 ? -1 : 0;
}

static void hold(const struct sql_dir *d, const struct holder *h, int says, int ends)
{
        char c = '.';
        if (h->uid != 0 && (become(h->uid) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)) /* as after an execve */
                _exit(1);
        int fd = openat(d->fd, h->path, h->flags);
        if (fd < 0 || (h->name != NULL && prctl(PR_SET_NAME, h->name) < 0))
                _exit(2);
        if (h->mapped && (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED || close(fd) < 0))
                _exit(3);
        if (write(says, &c, 1) != 1)
                _exit(4);
        (void) !read(ends, &c, 1);
        _exit(0);
}

/* The first process of a pid namespace, on the way there. */
static void hold_elsewhere(const struct sql_dir *d, const struct holder *h, int says, int ends)
{
        if (unshare(CLONE_NEWPID) < 0)
                _exit(5);
        pid_t pid = fork();
        if (pid == 0)
                hold(d, h, says, ends);
        (void) close(says);
        (void) waitpid(pid, NULL, 0);
        _exit(0);
}

static void start(const struct sql_dir *d, struct holder *h)
{
        int says[2], ends[2];
        char c;
        assert_int_equal(pipe2(says, O_CLOEXEC), 0);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        h->pid = fork();
        assert_true(h->pid >= 0);
        if (h->pid == 0) {
                (void) close(ends[1]);
                (void) close(says[0]);
                if (h->new_pids)
                        hold_elsewhere(d, h, says[1], ends[0]);
                hold(d, h, says[1], ends[0]);
        }
        (void) close(says[1]);
        (void) close(ends[0]);
        h->ends = ends[1];
        assert_int_equal(read(says[0], &c, 1), 1);
        (void) close(says[0]);
}

static void end(struct holder *h)
{
        int status = 0;
        (void) close(h->ends);
        assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What the guard says. */

static struct guard_finding look(const struct sql_dir *d)
{
        struct guard_finding f = { .pid = -1 };
        struct error e = { 0 };
        if (guard_look(d->fd, &f, &e) < 0)
                fail_msg("%s", e.text);
        assert_int_equal(e.code, 0);
        return f;
}

static void nobody(const struct sql_dir *d)
{
        struct guard_finding f = look(d);
        assert_false(f.writer);
        assert_false(f.blind);
        assert_int_equal(f.pid, 0);
        assert_string_equal(f.command, "");
        assert_string_equal(f.file, "");
        assert_int_equal(guard_check(d->fd, NULL), 0);
}

static void found(const struct sql_dir *d, const struct holder *h)
{
        char sentence[256];
        struct error e = { 0 };
        struct guard_finding f = look(d);
        assert_true(f.writer);
        assert_false(f.blind);
        assert_string_equal(f.file, h->path);
        assert_int_equal(f.pid, h->pid);
        assert_string_equal(f.command, "a-writer");
        assert_int_equal(guard_check(d->fd, &e), -EBUSY);
        (void) snprintf(sentence, sizeof(sentence), "pid %d (a-writer) has %s open for writing: end it first, or write force=1",
                        (int) h->pid, h->path);
        assert_string_equal(e.text, sentence);
}

static void nobody_there(void **state)
{
        nobody(*state);
}

static void every_file(void **state)
{
        static const char *const files[] = { "header.bin", "data_level0.bin", "length.bin", "link_lists.bin",
                                             "index_metadata.pickle" };
        const struct sql_dir *d = *state;
        char id[37], path[64];
        struct holder h = { .path = DB_FILE, .flags = O_RDWR, .name = "a-writer" };
        start(d, &h);
        found(d, &h);
        end(&h);
        for (size_t i = 0; i < 5; i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", test_uuid(1 + i % 2, id), files[i]);
                h = (struct holder){ .path = path, .flags = i % 2 == 0 ? O_WRONLY : O_RDWR, .name = "a-writer" };
                start(d, &h);
                found(d, &h);
                end(&h);
                nobody(d);
        }
        assert_int_equal(close(openat(d->fd, DB_FILE "-journal", O_CREAT | O_WRONLY, 0600)), 0);
        h = (struct holder){ .path = DB_FILE "-journal", .flags = O_RDWR, .name = "a-writer" };
        start(d, &h);
        found(d, &h);
        end(&h);
        nobody(d);
}

static void readers(void **state)
{
        static const int flags[] = { O_RDONLY, O_PATH, O_RDONLY | O_NONBLOCK };
        const struct sql_dir *d = *state;
        for (size_t i = 0; i < 3; i++) {
                struct holder h = { .path = DB_FILE, .flags = flags[i] };
                start(d, &h);
                nobody(d);
                end(&h);
        }
}

static void other_files(void **state)
{
        const struct sql_dir *d = *state;
        char id[37], path[64];
        assert_int_equal(mkdirat(d->fd, "backup", 0700), 0);
        (void) snprintf(path, sizeof(path), "%s/notes", test_uuid(1, id));
        const char *paths[] = { "notes", "backup/header.bin", path };
        for (size_t i = 0; i < 3; i++) {
                struct holder h = { .path = paths[i], .flags = O_RDWR };
                assert_int_equal(close(openat(d->fd, paths[i], O_CREAT | O_WRONLY, 0600)), 0);
                start(d, &h);
                nobody(d);
                end(&h);
        }
}

/* Two look at once, and what they hold for a moment is given back. */
static void given_back(void **state)
{
        const struct sql_dir *d = *state;
        nobody(d);
        int fd = openat(d->fd, DB_FILE, O_RDWR | O_NONBLOCK); /* would fail while there is a lease */
        assert_true(fd >= 0);
        struct guard_finding f = look(d);
        assert_true(f.writer); /* ourselves: the lease says so, and /proc names nobody else */
        assert_int_equal(f.pid, 0);
        assert_int_equal(close(fd), 0);
        nobody(d);
}

static int look_often(const struct sql_dir *d, int times)
{
        for (int i = 0; i < times; i++) {
                struct guard_finding f;
                if (guard_look(d->fd, &f, NULL) < 0)
                        return 1;
        }
        return 0;
}

/* The kernel signals the holder of a lease when someone else opens the file for writing: that must end nobody. */
static void opened_meanwhile(void **state)
{
        const struct sql_dir *d = *state;
        pid_t opener = fork();
        if (opener == 0)
                for (;;) {
                        int fd = openat(d->fd, DB_FILE, O_RDWR);
                        if (fd < 0 || close(fd) < 0)
                                _exit(1);
                }
        pid_t guard = fork();
        if (guard == 0)
                _exit(look_often(d, 3000));
        int status = 0;
        assert_int_equal(waitpid(guard, &status, 0), guard);
        assert_false(WIFSIGNALED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(kill(opener, SIGKILL), 0);
        assert_int_equal(waitpid(opener, &status, 0), opener);
        assert_true(WIFSIGNALED(status));
        nobody(d);
}

static void only_mapped(void **state)
{
        const struct sql_dir *d = *state;
        struct error e = { 0 };
        struct holder h = { .path = DB_FILE, .flags = O_RDWR, .mapped = true };
        start(d, &h);
        struct guard_finding f = look(d);
        assert_true(f.writer && !f.blind);
        assert_int_equal(f.pid, 0);
        assert_string_equal(f.file, DB_FILE);
        assert_int_equal(guard_check(d->fd, &e), -EBUSY);
        assert_non_null(strstr(e.text, "another process"));
        assert_non_null(strstr(e.text, "force=1"));
        end(&h);
}

static void strange_name(void **state)
{
        static const char *const names[][2] = { { "a\nb\033c", "a?b?c" },
                                                { "\xff(\xc3\xa9)", "?(??"
                                                                    ")" },
                                                { "\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9" },
                                                { "", "" } };
        for (size_t i = 0; i < 4; i++) {
                struct holder h = { .path = DB_FILE, .flags = O_RDWR, .name = names[i][0] };
                start(*state, &h);
                assert_string_equal(look(*state).command, names[i][1]);
                end(&h);
        }
}

static void not_a_database(void **state)
{
        const struct sql_dir *d = *state;
        struct guard_finding f;
        struct error e = { 0 };
        assert_int_equal(renameat(d->fd, DB_FILE, d->fd, "moved"), 0);
        assert_int_equal(guard_look(d->fd, &f, &e), -ENOENT);
        assert_int_equal(symlinkat("moved", d->fd, DB_FILE), 0);
        assert_int_equal(guard_check(d->fd, &e), -EILSEQ);
        assert_non_null(strstr(e.text, DB_FILE));
        assert_int_equal(unlinkat(d->fd, DB_FILE, 0), 0);
        assert_int_equal(mkfifoat(d->fd, DB_FILE, 0600), 0);
        assert_int_equal(guard_check(d->fd, &e), -EILSEQ);
}

/* Links and FIFOs in the place of index files, and of an index, lead nowhere and hang nobody. */
static void hostile(void **state)
{
        const struct sql_dir *d = *state;
        char id[37], path[64];
        assert_int_equal(mkdirat(d->fd, test_uuid(3, id), 0700), 0);
        (void) snprintf(path, sizeof(path), "%s/header.bin", id);
        assert_int_equal(symlinkat("/proc/self/fd/0", d->fd, path), 0);
        (void) snprintf(path, sizeof(path), "%s/length.bin", id);
        assert_int_equal(mkfifoat(d->fd, path, 0600), 0);
        (void) snprintf(path, sizeof(path), "%s/link_lists.bin", id);
        assert_int_equal(mkdirat(d->fd, path, 0600), 0);
        assert_int_equal(symlinkat("/proc", d->fd, test_uuid(4, id)), 0);
        assert_int_equal(close(openat(d->fd, test_uuid(5, id), O_CREAT | O_WRONLY, 0600)), 0);
        nobody(d);
}

static void of_another_user(void **state)
{
        need_root();
        const struct sql_dir *d = *state;
        assert_int_equal(fchmodat(d->fd, DB_FILE, 0666, 0), 0);
        struct holder h = { .path = DB_FILE, .flags = O_RDWR, .uid = USER, .name = "a-writer" };
        start(d, &h);
        found(d, &h);
        end(&h);
}

static void in_another_namespace(void **state)
{
        need_root();
        const struct sql_dir *d = *state;
        struct holder h = { .path = DB_FILE, .flags = O_RDWR, .name = "a-writer", .new_pids = true };
        start(d, &h);
        struct guard_finding f = look(d);
        assert_true(f.writer);
        assert_string_equal(f.command, "a-writer");
        assert_true(f.pid > 0);
        end(&h);
}

/* The guard as someone else, or somewhere else. */

typedef int guard_fn(const struct sql_dir *d);

static void in_child(const struct sql_dir *d, guard_fn *fn)
{
        int status = 0;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(fn(d));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* 'n' nobody, 'b' blind, 'p' a writer that is named, 'w' a writer without a name, '!' a failure. */
static char what(const struct sql_dir *d)
{
        struct guard_finding f = { 0 };
        int r = guard_look(d->fd, &f, NULL), check = guard_check(d->fd, NULL);
        if (r < 0 || (check != 0 && check != -EBUSY) || (f.writer && f.blind) || ((f.writer || f.blind) != (check != 0)))
                return '!';
        return !f.writer ? (f.blind ? 'b' : 'n') : strcmp(f.command, "a-writer") == 0 && f.pid > 0 ? 'p' : 'w';
}

static int as_user(const struct sql_dir *d, char expected)
{
        return become(USER) < 0 ? 1 : what(d) == expected ? 0 : 2;
}

static int user_nobody(const struct sql_dir *d)
{
        return as_user(d, 'n');
}

static int user_blind(const struct sql_dir *d)
{
        return as_user(d, 'b');
}

static int user_names(const struct sql_dir *d)
{
        return as_user(d, 'p');
}

static int user_knows(const struct sql_dir *d)
{
        return as_user(d, 'w');
}

static void give(const struct sql_dir *d, uid_t uid)
{
        static const char *const files[] = { "header.bin", "data_level0.bin", "length.bin", "link_lists.bin",
                                             "index_metadata.pickle" };
        char id[37], path[64];
        assert_int_equal(fchownat(d->fd, DB_FILE, uid, uid, 0), 0);
        for (unsigned n = 1; n <= 2; n++)
                for (size_t i = 0; i < 5; i++) {
                        (void) snprintf(path, sizeof(path), "%s/%s", test_uuid(n, id), files[i]);
                        assert_int_equal(fchownat(d->fd, path, uid, uid, 0), 0);
                        assert_int_equal(fchmodat(d->fd, id, 0755, 0), 0);
                }
}

/* The owner has leases: other people's writers are known, if not by name. */
static void as_owner(void **state)
{
        need_root();
        const struct sql_dir *d = *state;
        give(d, USER);
        in_child(d, user_nobody);
        struct holder h = { .path = DB_FILE, .flags = O_RDWR, .name = "a-writer" };
        start(d, &h);
        in_child(d, user_knows);
        end(&h);
        h.uid = USER;
        start(d, &h);
        in_child(d, user_names);
        end(&h);
}

/* Another user has none, and sees its own processes only: no answer unless one of these is it. */
static void as_another(void **state)
{
        need_root();
        const struct sql_dir *d = *state;
        assert_int_equal(fchmodat(d->fd, DB_FILE, 0666, 0), 0);
        in_child(d, user_blind);
        struct holder h = { .path = DB_FILE, .flags = O_RDWR, .name = "a-writer" };
        start(d, &h);
        in_child(d, user_blind);
        end(&h);
        h.uid = USER;
        start(d, &h);
        in_child(d, user_names);
        end(&h);
        assert_int_equal(fchmodat(d->fd, DB_FILE, 0600, 0), 0); /* it may not even open it */
        in_child(d, user_blind);
        /* One file of another owner is enough. */
        give(d, USER);
        char id[37], path[64];
        (void) snprintf(path, sizeof(path), "%s/length.bin", test_uuid(2, id));
        assert_int_equal(fchownat(d->fd, path, 0, 0, 0), 0);
        in_child(d, user_blind);
}

/* Root without the right to leases on others' files has /proc. */
static int without_leases(void)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];
        if (syscall(SYS_capget, &header, data) < 0)
                return -1;
        data[CAP_TO_INDEX(CAP_LEASE)].effective &= ~CAP_TO_MASK(CAP_LEASE);
        return (int) syscall(SYS_capset, &header, data);
}

/* Whether every process can be looked at: not in every sandbox that tests run in. */
static bool all_is_seen(void)
{
        bool all = true;
        DIR *dir = opendir("/proc");
        for (const struct dirent *entry; all && (entry = readdir(dir)) != NULL;) {
                char path[300];
                if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
                        continue;
                (void) snprintf(path, sizeof(path), "/proc/%s/fdinfo", entry->d_name);
                int fd = open(path, O_RDONLY);
                all = fd >= 0 || errno == ENOENT || errno == ESRCH;
                if (fd >= 0)
                        (void) close(fd);
        }
        (void) closedir(dir);
        char link[64] = "";
        return all && readlink("/proc/self/ns/pid", link, sizeof(link) - 1) > 0 && strcmp(link, "pid:[4026531836]") == 0;
}

static int proc_nobody(const struct sql_dir *d)
{
        if (without_leases() < 0)
                return 1;
        char expected = all_is_seen() ? 'n' : 'b';
        return what(d) == expected ? 0 : 2;
}

static int proc_names(const struct sql_dir *d)
{
        return without_leases() < 0 ? 1 : what(d) == 'p' ? 0 : 2;
}

static int own_mounts(void)
{
        return unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -1 : 0;
}

static int without_proc(const struct sql_dir *d)
{
        if (what(d) != 'n' || own_mounts() < 0 || mount("tmpfs", "/proc", "tmpfs", 0, NULL) < 0 || what(d) != 'n')
                return 1;
        return without_leases() < 0 ? 2 : what(d) == 'b' ? 0 : 3;
}

static int with_hidepid(const struct sql_dir *d)
{
        if (own_mounts() < 0 || mount("proc", "/proc", "proc", 0, "hidepid=2") < 0 || what(d) != 'n')
                return 1;
        return without_leases() < 0 ? 2 : what(d) == 'b' ? 0 : 3;
}

static void only_proc(void **state)
{
        need_root();
        const struct sql_dir *d = *state;
        give(d, USER);
        char id[37], path[64];
        (void) snprintf(path, sizeof(path), "%s/length.bin", test_uuid(2, id));
        struct holder h = { .path = DB_FILE, .flags = O_RDONLY, .name = "a-writer" };
        in_child(d, proc_nobody);
        in_child(d, without_proc);
        in_child(d, with_hidepid);
        start(d, &h);
        in_child(d, proc_nobody);
        end(&h);
        h.flags = O_RDWR;
        start(d, &h);
        in_child(d, proc_names);
        end(&h);
        h.path = path;
        start(d, &h);
        in_child(d, proc_names);
        end(&h);
}

/* In a container: its own pid namespace, and a /proc that shows only that. */
static int contained(const struct sql_dir *d)
{
        if (unshare(CLONE_NEWPID) < 0)
                return 1;
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
                if (own_mounts() < 0 || mount("proc", "/proc", "proc", 0, NULL) < 0 || what(d) != 'w')
                        _exit(2);
                _exit(without_leases() < 0 ? 3 : what(d) == 'b' ? 0 : 4);
        }
        return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 5;
}

static void in_a_container(void **state)
{
        need_root();
        const struct sql_dir *d = *state;
        give(d, USER);
        struct holder h = { .path = DB_FILE, .flags = O_RDWR, .name = "a-writer" };
        start(d, &h);
        in_child(d, contained);
        end(&h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
                TEST(nobody_there),   TEST(every_file),       TEST(readers),         TEST(other_files),
                TEST(given_back),     TEST(opened_meanwhile), TEST(only_mapped),     TEST(strange_name),
                TEST(not_a_database), TEST(hostile),          TEST(of_another_user), TEST(in_another_namespace),
                TEST(as_owner),       TEST(as_another),       TEST(only_proc),       TEST(in_a_container),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
