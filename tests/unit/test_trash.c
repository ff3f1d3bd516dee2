#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ops/file.h"
#include "ops/json.h"
#include "ops/operation/plain_dir.h"
#include "ops/operation/state_dir.h"
#include "tests/unit/sql_dir.h"

#define TRASH STATE_DIR "/trash"

struct place {
        struct sql_dir d;
        struct state_dir *state;
        int trash; /* of the folder trash/ */
};

static int setup(void **state)
{
        static struct place p;
        sql_dir_make(&p.d);
        assert_int_equal(state_dir_open(p.d.fd, &p.state, NULL), 0);
        p.trash = state_dir_trash_fd(p.state);
        *state = &p;
        return 0;
}

static int teardown(void **state)
{
        struct place *p = *state;
        p->state = state_dir_free(p->state);
        sql_dir_remove(&p->d);
        return 0;
}

static bool exists(int fd, const char *path)
{
        struct stat st;
        return fstatat(fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put(int dirfd, const char *path, const char *content)
{
        int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, strlen(content)), strlen(content));
        assert_int_equal(close(fd), 0);
}

static struct trash *new_trash(const struct place *p, unsigned keep)
{
        struct trash *t = NULL;
        struct error e = { 0 };
        if (trash_new(p->state, "clean-orphans", keep, &t, &e) < 0)
                fail_msg("%s", e.text);
        assert_int_equal(e.code, 0);
        return t;
}

static const char *folder(const struct trash *t)
{
        return trash_name(t) + strlen("trash/");
}

static void expire(const struct place *p)
{
        struct error e = { 0 };
        if (trash_expire(p->state, &e) < 0)
                fail_msg("%s", e.text);
        assert_int_equal(e.code, 0);
}

/* A folder's name for a time so many seconds from now. */
static const char *name_at(long seconds, char name[32])
{
        time_t t = time(NULL) + seconds;
        assert_true(strftime(name, 32, "%Y%m%dT%H%M%SZ", gmtime(&t)) > 0);
        return name;
}

#define DAY 86400L

/* Makes a folder with trash.json (NULL: none) and a file in it. */
static void make_folder(const struct place *p, const char *name, const char *json)
{
        char path[300];
        assert_int_equal(mkdirat(p->trash, name, 0700), 0);
        (void) snprintf(path, sizeof(path), "%s/header.bin", name);
        put(p->trash, path, "x");
        (void) snprintf(path, sizeof(path), "%s/trash.json", name);
        if (json != NULL)
                put(p->trash, path, json);
}

static void made(void **state)
{
        const struct place *p = *state;
        time_t before = time(NULL);
        mode_t mask = umask(geteuid() == 0 ? 0777 : 0);
        CLEANUP(trash_free)
        struct trash *t = new_trash(p, 30);
        (void) umask(mask);
        struct stat st;
        assert_int_equal(fstat(trash_fd(t), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_true(exists(state_dir_fd(p->state), trash_name(t)));
        struct tm tm = { 0 };
        assert_ptr_equal(strptime(trash_name(t), "trash/%Y%m%dT%H%M%SZ", &tm), trash_name(t) + strlen(trash_name(t)));
        time_t time_of = timegm(&tm);
        assert_true(time_of >= before && time_of <= time(NULL));
        assert_int_equal(fstatat(trash_fd(t), "trash.json", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        int fd = openat(trash_fd(t), "trash.json", O_RDONLY);
        char bytes[1000], stamp[32];
        ssize_t len = read(fd, bytes, sizeof(bytes));
        assert_true(len > 0);
        assert_int_equal(close(fd), 0);
        struct json_object *o = NULL, *v = NULL;
        assert_int_equal(json_parse(bytes, (size_t) len, &o, NULL), 0);
        assert_true(json_object_object_get_ex(o, "operation", &v));
        assert_string_equal(json_object_get_string(v), "clean-orphans");
        assert_true(json_object_object_get_ex(o, "keep_days", &v));
        assert_int_equal(json_object_get_int64(v), 30);
        assert_true(json_object_object_get_ex(o, "time", &v));
        assert_true(strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
        assert_string_equal(json_object_get_string(v), stamp);
        json_object_put(o);
}

static void several_in_a_second(void **state)
{
        struct trash *t[20];
        int suffixes = 0;
        for (int i = 0; i < 20; i++) {
                t[i] = new_trash(*state, 0);
                for (int k = 0; k < i; k++)
                        assert_string_not_equal(trash_name(t[i]), trash_name(t[k]));
                const char *end = strrchr(t[i] == NULL ? "" : trash_name(t[i]), 'Z');
                suffixes += end[1] == '-';
        }
        assert_true(suffixes > 0);
        for (int i = 0; i < 20; i++)
                assert_null(trash_free(t[i]));
        expire(*state); /* names with a suffix are ours as well */
        assert_int_equal(plain_dir_holds(((struct place *) *state)->trash, NULL, NULL), 0);
}

static void taken(void **state)
{
        const struct place *p = *state;
        CLEANUP(trash_free)
        struct trash *t = new_trash(p, 7);
        assert_int_equal(mkdirat(p->d.fd, "segment", 0755), 0);
        put(p->d.fd, "segment/header.bin", "1");
        put(p->d.fd, "file", "2");
        assert_int_equal(symlinkat("/etc/passwd", p->d.fd, "link"), 0);
        static const char *const names[] = { "segment", "file", "link" };
        for (size_t i = 0; i < 3; i++) {
                assert_int_equal(trash_take(t, p->d.fd, names[i], NULL), 0);
                assert_false(exists(p->d.fd, names[i]));
                assert_true(exists(trash_fd(t), names[i]));
        }
        assert_true(exists(trash_fd(t), "segment/header.bin"));
        /* Nothing is ever replaced. */
        put(p->d.fd, "trash.json", "3");
        put(p->d.fd, "file", "4");
        assert_int_equal(trash_take(t, p->d.fd, "trash.json", NULL), 0);
        assert_int_equal(trash_take(t, p->d.fd, "file", NULL), 0);
        assert_true(file_stamp_at(trash_fd(t), "trash.json").size > 1);
        assert_int_equal(file_stamp_at(trash_fd(t), "trash.json-2").size, 1);
        assert_true(exists(trash_fd(t), "file") && exists(trash_fd(t), "file-2"));
}

static void not_taken(void **state)
{
        static const char *const names[] = { "", ".", "..", "a/b", "/tmp", "../chroma.sqlite3" };
        const struct place *p = *state;
        CLEANUP(trash_free)
        struct trash *t = new_trash(p, 7);
        struct error e = { 0 };
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                assert_int_equal(trash_take(t, state_dir_fd(p->state), names[i], &e), -EINVAL);
        assert_int_equal(trash_take(t, p->d.fd, "not there", &e), -ENOENT);
        assert_non_null(strstr(e.text, "not there"));
        assert_int_equal(plain_dir_holds(trash_fd(t), "trash.json", NULL), 0);
}

static void given_up(void **state)
{
        const struct place *p = *state;
        struct trash *t = new_trash(p, 7), *other = new_trash(p, 7);
        put(trash_fd(other), "rows.sqlite3", "x");
        trash_give_up(t);
        trash_give_up(other);
        assert_false(exists(p->trash, folder(t)));
        assert_true(exists(p->trash, folder(other)));
        assert_true(exists(trash_fd(other), "trash.json") && exists(trash_fd(other), "rows.sqlite3"));
        assert_null(trash_free(t));
        assert_null(trash_free(other));
        assert_null(trash_free(NULL));
}

static void kept(void **state)
{
        const struct place *p = *state;
        CLEANUP(trash_free)
        struct trash *t = new_trash(p, 1);
        put(trash_fd(t), "x", "");
        CLEANUP(trash_free)
        struct trash *now = new_trash(p, 0);
        put(trash_fd(now), "x", "");
        assert_true(trash_is_due(p->state));
        expire(p);
        assert_true(exists(p->trash, folder(t)));
        assert_false(exists(p->trash, folder(now)));
        assert_false(trash_is_due(p->state));
}

/* What is in trash.json, how many seconds ago the folder was made, whether it goes. */
static void days(void **state)
{
#define OURS(days) "{\"operation\": \"clean\", \"time\": \"2026-11-22T23:00:00Z\", \"keep_days\": " days "}"
        static const struct {
                const char *json;
                long age;
                bool goes;
        } rows[] = {
                { OURS("7"), 7 * DAY + 60, true },
                { OURS("7"), 7 * DAY - 60, false },
                { OURS("0"), 0, true },
                { OURS("0"), -3600, false }, /* the future */
                { OURS("1"), DAY + 60, true },
                { OURS("30"), 29 * DAY, false },
                { OURS("30"), 31 * DAY, true },
                { OURS("9223372036854775807"), 9000 * DAY, false },
                { OURS("99999999999999999999999"), 9000 * DAY, false },
                { OURS("106751991167300"), 9000 * DAY, false },
                /* not of our making: a week */
                { NULL, 7 * DAY + 60, true },
                { NULL, 7 * DAY - 60, false },
                { "", 6 * DAY, false },
                { "", 8 * DAY, true },
                { "{\"operation\": \"clean\", \"keep", 6 * DAY, false },
                { "{\"operation\": \"clean\", \"keep", 8 * DAY, true },
                { OURS("-1"), 6 * DAY, false },
                { OURS("-1"), 8 * DAY, true },
                { OURS("0.5"), 6 * DAY, false },
                { OURS("\"0\""), 6 * DAY, false },
                { OURS("null"), 6 * DAY, false },
                { OURS("true"), 6 * DAY, false },
                { OURS("0") "x", 6 * DAY, false },
                { "{\"keep_days\": 0}", 6 * DAY, false },
                { "{\"operation\": 1, \"keep_days\": 0}", 6 * DAY, false },
                { "[0]", 6 * DAY, false },
                { "null", 6 * DAY, false },
                { "null", 8 * DAY, true },
                { "0", 6 * DAY, false },
        };
        const struct place *p = *state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char name[32];
                make_folder(p, name_at(-rows[i].age, name), rows[i].json);
                assert_int_equal(trash_is_due(p->state), rows[i].goes);
                assert_true(exists(p->trash, name));
                expire(p);
                if (exists(p->trash, name) == rows[i].goes)
                        fail_msg("row %zu", i);
                if (!rows[i].goes)
                        assert_int_equal(tree_remove(p->trash, name, NULL), 0);
        }
}

static void names(void **state)
{
        static const struct {
                const char *name;
                bool goes;
        } rows[] = {
                { "20200101T000000Z", true },      { "20200229T235959Z", true },        { "20200101T000000Z-2", true },
                { "20200101T000000Z-9999", true }, { "19700101T000000Z", true },        { "20200101T000000Z-1", false },
                { "20200101T000000Z-02", false },  { "20200101T000000Z-10000", false }, { "20200101T000000Z-", false },
                { "20200101T000000Z2", false },    { "20200101T000000Z-2x", false },    { "20200101T000000", false },
                { "20200101T000000z", false },     { "20200101 000000Z", false },       { "20210229T000000Z", false },
                { "20201301T000000Z", false },     { "20200100T000000Z", false },       { "20200101T240000Z", false },
                { "20200101T006000Z", false },     { "20200101T000060Z", false },       { "00000101T000000Z", false },
                { "2020010-T000000Z", false },     { "+2020101T000000Z", false },       { "backup", false },
                { "20200101T000000Z.bak", false }, { "99991231T235959Z", false },       { "19691231T235959Z", false },
        };
        const struct place *p = *state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                make_folder(p, rows[i].name, OURS("0"));
        expire(p);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                if (exists(p->trash, rows[i].name) == rows[i].goes)
                        fail_msg("%s", rows[i].name);
}

/* trash.json is a directory, a link to one that says 0, a FIFO, too large. */
static void strange_json(void **state)
{
        const struct place *p = *state;
        char young[4][32] = { "" }, old[4][32] = { "" }, path[64];
        put(p->d.fd, "zero.json", OURS("0"));
        char *large = malloc(100001);
        memset(large, ' ', 100000);
        memcpy(large, OURS("0"), strlen(OURS("0")));
        large[100000] = '\0';
        for (int i = 0; i < 8; i++) {
                char *name = i < 4 ? young[i] : old[i - 4];
                make_folder(p, name_at(i < 4 ? -100 - i : -8 * DAY - i, name), i % 4 == 3 ? large : NULL);
                (void) snprintf(path, sizeof(path), "%s/trash.json", name);
                if (i % 4 == 0)
                        assert_int_equal(mkdirat(p->trash, path, 0700), 0);
                if (i % 4 == 1)
                        assert_int_equal(symlinkat("../../../zero.json", p->trash, path), 0);
                if (i % 4 == 2)
                        assert_int_equal(mkfifoat(p->trash, path, 0600), 0);
        }
        free(large);
        expire(p);
        for (int i = 0; i < 4; i++) {
                assert_true(exists(p->trash, young[i]));
                assert_false(exists(p->trash, old[i]));
        }
        assert_true(exists(p->d.fd, "zero.json"));
}

/* Things with a name of our form that are no folders of ours. */
static void not_ours(void **state)
{
        const struct place *p = *state;
        assert_int_equal(mkdirat(p->d.fd, "precious", 0700), 0);
        put(p->d.fd, "precious/file", "");
        put(p->d.fd, "precious/trash.json", OURS("0"));
        assert_int_equal(symlinkat("../../precious", p->trash, "20200101T000000Z"), 0);
        put(p->trash, "20200101T000001Z", "");
        make_folder(p, "20200101T000002Z", OURS("0"));
        assert_int_equal(fchmodat(p->trash, "20200101T000002Z", 0777, 0), 0);
        make_folder(p, "20200101T000003Z", OURS("0"));
        if (geteuid() == 0)
                assert_int_equal(fchownat(p->trash, "20200101T000003Z", 54321, 0, 0), 0);
        assert_int_equal(trash_is_due(p->state), geteuid() != 0);
        expire(p);
        assert_true(exists(p->d.fd, "precious/file") && exists(p->d.fd, "precious/trash.json"));
        assert_true(exists(p->trash, "20200101T000000Z") && exists(p->trash, "20200101T000001Z"));
        assert_true(exists(p->trash, "20200101T000002Z/header.bin"));
        assert_int_equal(exists(p->trash, "20200101T000003Z/header.bin"), geteuid() == 0);
}

static void make_deep(int dirfd, const char *name, int depth)
{
        int fd = dup(dirfd);
        for (int i = 0; i < depth; i++) {
                assert_int_equal(mkdirat(fd, name, 0700), 0);
                int next = openat(fd, name, O_RDONLY | O_DIRECTORY);
                assert_true(next >= 0);
                assert_int_equal(close(fd), 0);
                fd = next;
        }
        put(fd, "end", "");
        assert_int_equal(close(fd), 0);
}

/* For the teardown, which does not go so deep. */
static void remove_deep(int dirfd, const char *name)
{
        while (tree_remove(dirfd, name, NULL) == -ELOOP) {
                int fd = dup(dirfd);
                for (int i = 0; i < 100; i++) {
                        int next = openat(fd, name, O_RDONLY | O_DIRECTORY);
                        (void) close(fd);
                        fd = next;
                }
                assert_int_equal(renameat(fd, name, dirfd, "deep-rest"), 0);
                (void) close(fd);
                assert_int_equal(tree_remove(dirfd, name, NULL), 0);
                assert_int_equal(renameat(dirfd, "deep-rest", dirfd, name), 0);
        }
}

static void everything_below(void **state)
{
        const struct place *p = *state;
        int fd = p->d.fd;
        assert_int_equal(mkdirat(fd, "outside", 0700), 0);
        put(fd, "outside/file", "");
        assert_int_equal(mkdirat(fd, "tree", 0700), 0);
        assert_int_equal(mkdirat(fd, "tree/a", 0700), 0);
        put(fd, "tree/a/file", "");
        put(fd, "tree/keep", "");
        assert_int_equal(symlinkat("../outside", fd, "tree/link"), 0);
        assert_int_equal(symlinkat("/", fd, "tree/a/root"), 0);
        assert_int_equal(linkat(fd, "outside/file", fd, "tree/hard", 0), 0);
        assert_int_equal(mkfifoat(fd, "tree/fifo", 0600), 0);
        make_deep(fd, "deep", TREE_DEPTH_MAX);
        assert_int_equal(renameat(fd, "deep", fd, "tree/deep"), 0);
        int socket_fd = socket(AF_UNIX, SOCK_STREAM, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/tree/socket", p->d.path);
        assert_int_equal(bind(socket_fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(close(socket_fd), 0);
        for (int i = 0; i < 3000; i++) { /* more than one read of the directory gives */
                char name[64];
                (void) snprintf(name, sizeof(name), "tree/a/some-file-with-a-name-%d", i);
                put(fd, name, "");
        }
        int tree = openat(fd, "tree", O_RDONLY | O_DIRECTORY);
        assert_int_equal(tree_empty(tree, "keep", NULL), 0);
        assert_int_equal(plain_dir_holds(tree, "keep", NULL), 0);
        assert_int_equal(plain_dir_holds(tree, NULL, NULL), 1);
        assert_int_equal(close(tree), 0);
        assert_int_equal(tree_remove(fd, "tree", NULL), 0);
        assert_false(exists(fd, "tree"));
        assert_true(exists(fd, "outside/file"));
        assert_int_equal(tree_remove(fd, "tree", NULL), -ENOENT);
        assert_int_equal(symlinkat("outside", fd, "tree"), 0);
        assert_int_equal(tree_remove(fd, "tree", NULL), 0);
        assert_true(exists(fd, "outside/file") && !exists(fd, "tree"));
}

static void not_removed(void **state)
{
        static const char *const bad[] = { "", ".", "..", "outside/file", "/tmp" };
        const struct place *p = *state;
        struct error e = { 0 };
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(tree_remove(p->d.fd, bad[i], &e), -EINVAL);
        make_deep(p->d.fd, "deep", TREE_DEPTH_MAX + 2);
        put(p->d.fd, "deep/file", "");
        assert_int_equal(tree_remove(p->d.fd, "deep", &e), -ELOOP);
        assert_non_null(strstr(e.text, "128 directories"));
        assert_false(exists(p->d.fd, "deep/file")); /* what can be removed is */
        remove_deep(p->d.fd, "deep");
}

/* What can't be removed keeps its folder, with its trash.json, but not the other folders. */
static void stuck(void **state)
{
        const struct place *p = *state;
        struct error e = { 0 };
        static const char *const all[] = { "20200101T000000Z", "20200102T000000Z", "20200103T000000Z" };
        for (size_t i = 0; i < 3; i++)
                make_folder(p, all[i], OURS("1"));
        int fd = openat(p->trash, all[1], O_RDONLY | O_DIRECTORY);
        make_deep(fd, "deep", TREE_DEPTH_MAX + 2);
        assert_int_equal(trash_expire(p->state, &e), -ELOOP);
        assert_non_null(strstr(e.text, all[1]));
        assert_false(exists(p->trash, all[0]));
        assert_false(exists(p->trash, all[2]));
        assert_true(exists(fd, "trash.json") && !exists(fd, "header.bin"));
        remove_deep(fd, "deep");
        assert_int_equal(close(fd), 0);
        expire(p);
        assert_false(exists(p->trash, all[1]));
}

/* In a mount namespace of its own: neither a mount in the tree nor one on a folder is entered. */
static int with_mounts(struct place *p)
{
        struct error e = { 0 };
        char tree[128], old[128];
        (void) snprintf(tree, sizeof(tree), "%s/tree/mount", p->d.path);
        (void) snprintf(old, sizeof(old), "%s/" TRASH "/20200101T000000Z", p->d.path);
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return 1;
        if (mount("tmpfs", tree, "tmpfs", 0, "mode=0700") < 0 || mount("tmpfs", old, "tmpfs", 0, "mode=0700") < 0)
                return 2;
        /* Descriptors from before lead to the other namespace. */
        p->d.fd = open(p->d.path, O_RDONLY | O_DIRECTORY);
        if (state_dir_open(p->d.fd, &p->state, NULL) < 0)
                return 6;
        p->trash = state_dir_trash_fd(p->state);
        int fd = openat(p->d.fd, "tree/mount/file", O_CREAT | O_WRONLY, 0600);
        int other = openat(p->trash, "20200101T000000Z/file", O_CREAT | O_WRONLY, 0600);
        if (fd < 0 || other < 0 || tree_remove(p->d.fd, "tree", &e) != -EXDEV || strstr(e.text, "unmount") == NULL)
                return 3;
        if (trash_is_due(p->state) || trash_expire(p->state, &e) < 0)
                return 4;
        return exists(p->d.fd, "tree/mount/file") && exists(p->trash, "20200101T000000Z/file") ? 0 : 5;
}

static void other_file_systems(void **state)
{
        struct place *p = *state;
        if (geteuid() != 0)
                skip();
        assert_int_equal(mkdirat(p->d.fd, "tree", 0700), 0);
        assert_int_equal(mkdirat(p->d.fd, "tree/mount", 0700), 0);
        make_folder(p, "20200101T000000Z", OURS("0"));
        pid_t pid = fork();
        if (pid == 0)
                _exit(with_mounts(p));
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
                TEST(made),
                TEST(several_in_a_second),
                TEST(taken),
                TEST(not_taken),
                TEST(given_up),
                TEST(kept),
                TEST(days),
                TEST(names),
                TEST(strange_json),
                TEST(not_ours),
                TEST(everything_below),
                TEST(not_removed),
                TEST(stuck),
                TEST(other_file_systems),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
