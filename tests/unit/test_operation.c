/* operation_run(), with operations that are made for the tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ops/file.h"
#include "ops/json.h"
#include "ops/operation/dir_lock.h"
#include "ops/operation/history.h"
#include "ops/operation/operation.h"
#include "tests/unit/schema.h"

#define LEFT_OVER STATE_DIR "/stage/left"

struct place {
        struct schema schema;
        int fd;
};

/* What run() of a test finds and does; of one test at a time. */
struct scene {
        int calls;
        int code;             /* what it returns */
        const char *sentence; /* NULL: none */
        bool had_state, live, left_over, trash;
        char cwd[PATH_MAX];
};

static struct scene *scene;

static int run(struct operation *op)
{
        scene->calls++;
        scene->had_state = op->state != NULL;
        scene->live = op->live;
        scene->left_over = file_stamp_at(op->dirfd, LEFT_OVER).present;
        assert_non_null(getcwd(scene->cwd, sizeof(scene->cwd)));
        assert_int_equal(json_add(op->result, "rows", json_object_new_int(7)), 0);
        if (scene->trash) {
                CLEANUP(trash_free)
                struct trash *trash = NULL;
                assert_int_equal(trash_new(op->state, op->type->name, op->command->keep_days, &trash, &op->error), 0);
        }
        if (scene->sentence != NULL)
                (void) error_set(&op->error, -scene->code, "%s", scene->sentence);
        return scene->code;
}

static const struct operation_type ordinary = { .name = "mend", .summary = "Mends.", .run = run };
static const struct operation_type beside = { .name = "copy", .summary = "Copies.", .beside_live = true, .run = run };
static const struct operation_type silent = { .name = "sweep", .summary = "Sweeps.", .silent = true, .run = run };

static int setup(void **state)
{
        static struct place p;
        static struct scene s;
        schema_make(&p.schema, 9, 5, 2);
        assert_int_equal(sqlite3_close(p.schema.sqlite), SQLITE_OK); /* the guard would find it */
        p.schema.sqlite = NULL;
        p.fd = p.schema.dirfd;
        s = (struct scene){ 0 };
        scene = &s;
        *state = &p;
        return 0;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        (void) st;
        (void) flag;
        (void) ftw;
        return remove(path);
}

static int teardown(void **state)
{
        struct place *p = *state;
        (void) close(p->fd);
        return nftw(p->schema.path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static struct json_object *start_with(const struct place *p, const struct operation_type *type, const char *line,
                                      const struct operation_sink *sink, int expected)
{
        struct operation_request request = { .type = type, .line = line, .line_len = strlen(line) };
        struct json_object *outcome = NULL;
        struct error e = { 0 };
        int r = operation_run(p->fd, &request, sink, &outcome, &e);
        if (r != expected)
                fail_msg("%s %s: %d, not %d: %s", type->name, line, r, expected, e.text);
        assert_int_equal(e.code, expected);
        assert_true((expected == 0) == (e.text[0] == '\0'));
        assert_non_null(outcome);
        return outcome;
}

static struct json_object *start(const struct place *p, const struct operation_type *type, const char *line, int expected)
{
        return start_with(p, type, line, NULL, expected);
}

static void start_only(const struct place *p, const struct operation_type *type, const char *line, int expected)
{
        json_object_put(start(p, type, line, expected));
}

static const char *string_of(struct json_object *object, const char *key)
{
        struct json_object *value = NULL;
        assert_true(json_object_object_get_ex(object, key, &value));
        return json_object_get_string(value); /* NULL for null */
}

static struct json_object *member(struct json_object *object, const char *key)
{
        struct json_object *value = NULL;
        assert_true(json_object_object_get_ex(object, key, &value));
        return value;
}

static bool is_there(const struct place *p, const char *name)
{
        return file_stamp_at(p->fd, name).present;
}

static struct text history_of(const struct place *p)
{
        struct text t = { 0 };
        struct error e = { 0 };
        if (history_read(p->fd, &t, &e) < 0)
                fail_msg("%s", e.text);
        return t;
}

static unsigned count_history(const struct place *p)
{
        struct text t = history_of(p);
        unsigned n = 0;
        for (const char *c = t.bytes; *c != '\0'; c++)
                n += *c == '\n';
        free(t.bytes);
        return n;
}

static void leave_over(const struct place *p)
{
        CLEANUP(state_dir_free)
        struct state_dir *state = NULL;
        assert_int_equal(state_dir_open(p->fd, &state, NULL), 0);
        int fd = openat(p->fd, LEFT_OVER, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void) close(fd);
}

/* A process that has the database open for writing, until it is told to end. */
static pid_t writer_start(const struct place *p, int *ret_end)
{
        int ready[2], end[2];
        char byte = 0;
        assert_int_equal(pipe(ready), 0);
        assert_int_equal(pipe(end), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) close(end[1]);
                bool good = openat(p->fd, DB_FILE, O_RDWR) >= 0 && write(ready[1], "x", 1) == 1;
                _exit(good && read(end[0], &byte, 1) == 0 ? 0 : 1);
        }
        (void) close(ready[1]);
        (void) close(end[0]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void) close(ready[0]);
        *ret_end = end[1];
        return pid;
}

static void writer_end(pid_t pid, int end)
{
        int status = -1;
        (void) close(end);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void check_time(struct json_object *outcome, const char *key)
{
        const char *text = string_of(outcome, key);
        struct tm tm = { 0 };
        const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        assert_non_null(end);
        assert_string_equal(end, "");
        assert_int_equal(strlen(text), 20);
}

static void done(void **state)
{
        const struct place *p = *state;
        struct json_object *outcome = start(p, &ordinary, "1\n", 0);
        static const char *const keys[] = { "operation", "collection", "options", "dry_run",  "started", "finished",
                                            "seconds",   "status",     "errno",   "sentence", "result" };
        size_t n = 0;
        json_object_object_foreach(outcome, key, value)
        {
                (void) value;
                assert_true(n < sizeof(keys) / sizeof(*keys));
                assert_string_equal(key, keys[n++]);
        }
        assert_int_equal(n, sizeof(keys) / sizeof(*keys));
        assert_string_equal(string_of(outcome, "operation"), "mend");
        assert_null(string_of(outcome, "collection"));
        assert_string_equal(string_of(outcome, "options"), "1");
        assert_string_equal(string_of(outcome, "dry_run"), "false");
        assert_string_equal(string_of(outcome, "status"), "done");
        assert_null(string_of(outcome, "errno"));
        assert_null(string_of(outcome, "sentence"));
        assert_true(json_object_get_double(member(outcome, "seconds")) >= 0);
        check_time(outcome, "started");
        check_time(outcome, "finished");
        assert_string_equal(json_object_to_json_string_ext(member(outcome, "result"), JSON_C_TO_STRING_PLAIN), "{\"rows\":7}");
        assert_true(scene->calls == 1 && scene->had_state && !scene->live);
        json_object_put(outcome);
}

/* The line of history is the outcome; and the process is as operation.h says. */
static void leaves_its_line(void **state)
{
        const struct place *p = *state;
        struct json_object *outcome = start(p, &ordinary, "keep=3", 0);
        struct text history = history_of(p);
        const char *line = json_object_to_json_string_ext(outcome, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        assert_int_equal(history.len, strlen(line) + 1);
        assert_memory_equal(history.bytes, line, strlen(line));
        free(history.bytes);
        json_object_put(outcome);
        char path[PATH_MAX];
        assert_non_null(realpath(p->schema.path, path));
        assert_string_equal(scene->cwd, path);
        static const int signals[] = { SIGIO, SIGPIPE, SIGXFSZ };
        struct sigaction action;
        for (size_t i = 0; i < 3; i++) {
                assert_int_equal(sigaction(signals[i], NULL, &action), 0);
                assert_ptr_equal(action.sa_handler, SIG_IGN);
        }
}

static void of_a_collection(void **state)
{
        const struct place *p = *state;
        struct operation_request request = { .type = &ordinary,
                                             .line = "nonsense \xff\n",
                                             .line_len = 11,
                                             .collection_id = "00000000-0000-4000-8000-000000000001" };
        struct json_object *outcome = NULL;
        assert_int_equal(operation_run(p->fd, &request, NULL, &outcome, NULL), -EINVAL);
        assert_string_equal(string_of(outcome, "collection"), request.collection_id);
        assert_string_equal(json_object_to_json_string(member(outcome, "options")), "\"nonsense \\udcff\"");
        json_object_put(outcome);
}

/* What is refused has left no trace. */
static void check_refused(const struct place *p, const char *line, int code, const char *name)
{
        struct json_object *outcome = start(p, &ordinary, line, code);
        assert_string_equal(string_of(outcome, "status"), "failed");
        assert_string_equal(string_of(outcome, "errno"), name);
        assert_true(strlen(string_of(outcome, "sentence")) > 10);
        assert_string_equal(json_object_to_json_string(member(outcome, "result")), "{ }");
        json_object_put(outcome);
        assert_int_equal(scene->calls, 0);
        assert_false(is_there(p, STATE_DIR));
}

static void bad_line(void **state)
{
        check_refused(*state, "# 1", -EINVAL, "EINVAL");
        check_refused(*state, "m=7", -EINVAL, "EINVAL");
}

static void newer_format(void **state)
{
        struct place *p = *state;
        char path[96];
        (void) snprintf(path, sizeof(path), "%s/" DB_FILE, p->schema.path);
        assert_int_equal(sqlite3_open(path, &p->schema.sqlite), SQLITE_OK);
        schema_exec(&p->schema, "INSERT INTO migrations VALUES ('sysdb', 99, '00099.sql', '', '')");
        assert_int_equal(sqlite3_close(p->schema.sqlite), SQLITE_OK);
        check_refused(p, "", -EOPNOTSUPP, "EOPNOTSUPP");
        check_refused(p, "dry_run=1 force=1", -EOPNOTSUPP, "EOPNOTSUPP");
}

static void no_database(void **state)
{
        const struct place *p = *state;
        assert_int_equal(renameat(p->fd, DB_FILE, p->fd, "elsewhere"), 0);
        check_refused(p, "", -ENOENT, "ENOENT");
        assert_int_equal(symlinkat("elsewhere", p->fd, DB_FILE), 0);
        check_refused(p, "", -ELOOP, "ELOOP");
}

/* Someone who may read everything, but owns nothing. */
static void another_user(void **state)
{
        const struct place *p = *state;
        if (geteuid() != 0)
                skip();
        assert_int_equal(fchmod(p->fd, 0777), 0);
        assert_int_equal(fchmodat(p->fd, DB_FILE, 0666, 0), 0);
        assert_int_equal(seteuid(12345), 0);
        struct operation_request request = { .type = &ordinary, .line = "" };
        struct json_object *outcome = NULL;
        struct error e = { 0 };
        int r = operation_run(p->fd, &request, NULL, &outcome, &e);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(r, -EACCES);
        assert_non_null(strstr(e.text, "belongs to user 0"));
        assert_non_null(strstr(e.text, "12345"));
        assert_false(is_there(p, STATE_DIR));
        json_object_put(outcome);
        assert_int_equal(fchownat(p->fd, DB_FILE, 12345, 12345, 0), 0);
        start_only(p, &ordinary, "", 0); /* root may */
}

static void locked(void **state)
{
        const struct place *p = *state;
        int lock = dir_lock(p->fd, NULL);
        check_refused(p, "", -EBUSY, "EBUSY");
        check_refused(p, "force=1", -EBUSY, "EBUSY");
        check_refused(p, "dry_run=1", -EBUSY, "EBUSY");
        start_only(p, &beside, "", -EBUSY);
        assert_int_equal(scene->calls, 0);
        (void) close(lock);
        start_only(p, &ordinary, "", 0);
        start_only(p, &ordinary, "", 0); /* it was given back */
}

static void live(void **state)
{
        const struct place *p = *state;
        int end = -1;
        pid_t pid = writer_start(p, &end);
        check_refused(p, "", -EBUSY, "EBUSY");
        struct json_object *outcome = start(p, &ordinary, "dry_run=1", 0);
        struct json_object *user = member(member(outcome, "result"), "in_use_by");
        assert_int_equal(json_object_get_int(member(user, "pid")), pid);
        assert_true(strlen(string_of(user, "command")) > 0);
        assert_string_equal(string_of(user, "file"), DB_FILE);
        json_object_put(outcome);
        assert_true(scene->live);
        assert_false(is_there(p, STATE_DIR));
        start_only(p, &beside, "", 0);
        assert_false(scene->live);
        start_only(p, &ordinary, "force=1", 0);
        assert_true(scene->live);
        assert_int_equal(scene->calls, 3);
        writer_end(pid, end);
        start_only(p, &ordinary, "force=1", 0);
        assert_false(scene->live);
}

static void dry_run(void **state)
{
        const struct place *p = *state;
        struct json_object *outcome = start(p, &ordinary, "dry_run=1", 0);
        assert_string_equal(string_of(outcome, "dry_run"), "true");
        assert_string_equal(json_object_to_json_string_ext(member(outcome, "result"), JSON_C_TO_STRING_PLAIN),
                            "{\"in_use_by\":null,\"rows\":7}");
        json_object_put(outcome);
        assert_false(scene->had_state);
        assert_false(is_there(p, STATE_DIR));
        leave_over(p);
        start_only(p, &ordinary, "dry_run=1", 0);
        assert_true(scene->left_over);
        assert_int_equal(count_history(p), 0);
}

static void check_failure(const struct place *p, int code, const char *sentence, int expected, const char *status, const char *part)
{
        scene->code = code;
        scene->sentence = sentence;
        struct json_object *outcome = start(p, &ordinary, "", expected);
        assert_string_equal(string_of(outcome, "status"), status);
        assert_non_null(strstr(string_of(outcome, "sentence"), part));
        assert_non_null(json_object_object_get(member(outcome, "result"), "rows"));
        json_object_put(outcome);
}

static void failures(void **state)
{
        const struct place *p = *state;
        check_failure(p, -EIO, "the disk is dead", -EIO, "failed", "the disk is dead");
        check_failure(p, -EIO, NULL, -EIO, "failed", "mend failed: Input/output error");
        check_failure(p, -ECANCELED, "stopped", -ECANCELED, "canceled", "stopped");
        check_failure(p, -EINTR, "interrupted", -ECANCELED, "canceled", "cancelled");
        assert_int_equal(count_history(p), 4);
}

static bool always(void *context)
{
        (void) context;
        return true;
}

static void cancelled_at_once(void **state)
{
        const struct place *p = *state;
        struct operation_sink sink = { .cancelled = always };
        struct json_object *outcome = start_with(p, &ordinary, "", &sink, -ECANCELED);
        assert_string_equal(string_of(outcome, "status"), "canceled");
        json_object_put(outcome);
        assert_int_equal(scene->calls, 0);
        assert_false(is_there(p, STATE_DIR));
}

static void tidies_first(void **state)
{
        const struct place *p = *state;
        leave_over(p);
        start_only(p, &ordinary, "force=1", 0);
        assert_true(scene->left_over);
        start_only(p, &beside, "", 0);
        assert_true(scene->left_over);
        start_only(p, &ordinary, "", 0);
        assert_false(scene->left_over);
        assert_false(is_there(p, LEFT_OVER));
}

/* Operations that tidy: nothing to do, or not alone, is success, without a trace. */
static void silence(void **state)
{
        const struct place *p = *state;
        start_only(p, &silent, "", 0);
        assert_int_equal(scene->calls, 0);
        assert_false(is_there(p, STATE_DIR));
        leave_over(p);
        int lock = dir_lock(p->fd, NULL), end = -1;
        start_only(p, &silent, "", 0);
        (void) close(lock);
        pid_t pid = writer_start(p, &end);
        start_only(p, &silent, "", 0);
        writer_end(pid, end);
        assert_int_equal(scene->calls, 0);
        start_only(p, &silent, "", 0);
        assert_int_equal(scene->calls, 1);
        assert_true(scene->left_over);
        assert_int_equal(count_history(p), 0);
        start_only(p, operation_find("tidy"), "", 0);
        assert_false(is_there(p, LEFT_OVER));
}

/* What comes after an operation can't make it fail. */
static void history_fails(void **state)
{
        const struct place *p = *state;
        start_only(p, &ordinary, "", 0);
        assert_int_equal(unlinkat(p->fd, STATE_DIR "/" HISTORY_FILE, 0), 0);
        assert_int_equal(symlinkat("nowhere", p->fd, STATE_DIR "/" HISTORY_FILE), 0);
        struct json_object *outcome = start(p, &ordinary, "", 0);
        assert_string_equal(string_of(outcome, "status"), "done");
        assert_non_null(strstr(string_of(outcome, "history_error"), HISTORY_FILE));
        json_object_put(outcome);
        scene->code = -EIO;
        outcome = start(p, &ordinary, "", -EIO);
        assert_non_null(strstr(string_of(outcome, "history_error"), HISTORY_FILE));
        json_object_put(outcome);
}

static void state_fails(void **state)
{
        const struct place *p = *state;
        assert_int_equal(symlinkat("nowhere", p->fd, STATE_DIR), 0);
        start_only(p, &ordinary, "", -EPERM);
        assert_int_equal(scene->calls, 0);
        struct json_object *outcome = start(p, &beside, "", 0); /* it only reads */
        assert_int_equal(scene->calls, 1);
        assert_false(scene->had_state);
        assert_non_null(strstr(string_of(outcome, "history_error"), STATE_DIR));
        json_object_put(outcome);
}

static unsigned count_trash(const struct place *p)
{
        struct stat st;
        assert_int_equal(fstatat(p->fd, STATE_DIR "/trash", &st, 0), 0);
        return (unsigned) st.st_nlink - 2; /* of subdirectories */
}

static void empties_trash(void **state)
{
        const struct place *p = *state;
        scene->trash = true;
        scene->code = -EIO;
        start_only(p, &ordinary, "keep=0", -EIO);
        assert_int_equal(count_trash(p), 1); /* what could not be put back may lie there */
        scene->code = 0;
        start_only(p, &ordinary, "keep=1", 0);
        assert_int_equal(count_trash(p), 1);
        scene->trash = false;
        start_only(p, &ordinary, "", 0);
        assert_int_equal(count_trash(p), 1);
}

/* Old trash that can't be removed is said, by every operation that succeeds, and keeps none from running. */
static void keeps_trash(void **state)
{
        const struct place *p = *state;
        leave_over(p);
        int fd = openat(p->fd, STATE_DIR "/trash", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const char *name = "20200101T000000Z"; /* and deeper than what is removed */
        for (unsigned i = 0; i < TREE_DEPTH_MAX + 3; i++, name = "d") {
                assert_int_equal(mkdirat(fd, name, 0700), 0);
                int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(below >= 0);
                (void) close(fd);
                fd = below;
        }
        (void) close(fd);
        struct json_object *outcome = start(p, &ordinary, "", 0);
        assert_int_equal(scene->calls, 1);
        assert_false(scene->left_over);
        assert_non_null(strstr(string_of(outcome, "trash_error"), "20200101T000000Z"));
        json_object_put(outcome);
}

static void types(void **state)
{
        (void) state;
        static const char *const names[] = { "backup",       "commit",        "clean",     "rebuild-fts",
                                             "rebuild-hnsw", "clean-orphans", "configure", "tidy" };
        size_t n = 0;
        for (; operation_types[n] != NULL; n++) {
                assert_true(n < sizeof(names) / sizeof(*names));
                assert_string_equal(operation_types[n]->name, names[n]);
                assert_ptr_equal(operation_find(names[n]), operation_types[n]);
                assert_non_null(operation_types[n]->summary);
                assert_non_null(operation_types[n]->run);
        }
        assert_int_equal(n, sizeof(names) / sizeof(*names));
        assert_null(operation_find(""));
        assert_null(operation_find("cle"));
        assert_true(operation_find("tidy")->silent);
        assert_true(operation_find("backup")->beside_live);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(done, setup, teardown),
                cmocka_unit_test_setup_teardown(leaves_its_line, setup, teardown),
                cmocka_unit_test_setup_teardown(of_a_collection, setup, teardown),
                cmocka_unit_test_setup_teardown(bad_line, setup, teardown),
                cmocka_unit_test_setup_teardown(newer_format, setup, teardown),
                cmocka_unit_test_setup_teardown(no_database, setup, teardown),
                cmocka_unit_test_setup_teardown(another_user, setup, teardown),
                cmocka_unit_test_setup_teardown(locked, setup, teardown),
                cmocka_unit_test_setup_teardown(live, setup, teardown),
                cmocka_unit_test_setup_teardown(dry_run, setup, teardown),
                cmocka_unit_test_setup_teardown(failures, setup, teardown),
                cmocka_unit_test_setup_teardown(cancelled_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(tidies_first, setup, teardown),
                cmocka_unit_test_setup_teardown(silence, setup, teardown),
                cmocka_unit_test_setup_teardown(history_fails, setup, teardown),
                cmocka_unit_test_setup_teardown(state_fails, setup, teardown),
                cmocka_unit_test_setup_teardown(empties_trash, setup, teardown),
                cmocka_unit_test_setup_teardown(keeps_trash, setup, teardown),
                cmocka_unit_test(types),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
