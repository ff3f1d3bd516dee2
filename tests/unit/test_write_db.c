/* write_db: what a change leaves, and what it refuses, on directories in /tmp; the working directory is the one under test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/operation/write_db.h"
#include "tests/unit/sql_dir.h"

struct place {
        struct sql_dir dir;
        int before; /* the working directory */
        struct state_dir *state;
        struct write_db *w;
        struct error e;
};

static bool never(void *context)
{
        (void) context;
        return false;
}

static bool always(void *context)
{
        (*(unsigned *) context)++;
        return true;
}

static void place_make(struct place *p)
{
        *p = (struct place){ .before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
        sql_dir_make(&p->dir);
        assert_int_equal(fchdir(p->dir.fd), 0);
        assert_int_equal(state_dir_open(p->dir.fd, &p->state, &p->e), 0);
}

static void place_remove(struct place *p)
{
        p->w = write_db_close(p->w);
        p->state = state_dir_free(p->state);
        assert_int_equal(fchdir(p->before), 0);
        (void) close(p->before);
        sql_dir_remove(&p->dir);
}

static void must_open(struct place *p)
{
        if (write_db_open(p->state, never, NULL, &p->w, &p->e) < 0)
                fail_msg("%s", p->e.text);
}

static void must_exec(struct place *p, const char *sql)
{
        if (write_db_exec(p->w, &p->e, sql) < 0)
                fail_msg("%s", p->e.text);
}

static void refuses_to_open(struct place *p, int err, const char *sentence)
{
        struct write_db *w = NULL;
        p->e.text[0] = '\0';
        assert_int_equal(write_db_open(p->state, never, NULL, &w, &p->e), -err);
        assert_null(w);
        assert_int_equal(p->e.code, -err);
        if (strstr(p->e.text, sentence) == NULL)
                fail_msg("not in the sentence: %s", p->e.text);
}

static int64_t number(struct place *p, const char *sql)
{
        int64_t value = -1;
        assert_int_equal(write_db_number(p->w, -2, &value, &p->e, sql), 0);
        return value;
}

static uint32_t counter_of(const struct place *p)
{
        unsigned char bytes[4] = { 0 };
        struct stat st;
        char path[128];
        (void) snprintf(path, sizeof(path), "%s/" DB_FILE, p->dir.path);
        int fd = open(path, O_RDONLY); /* not while this process holds a lock */
        assert_true(fd >= 0 && fstat(fd, &st) == 0 && pread(fd, bytes, 4, 24) == 4);
        (void) close(fd);
        return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3];
}

static bool exists(const char *name)
{
        struct stat st;
        return fstatat(AT_FDCWD, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_commit_and_rollback(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        must_open(&p);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        must_exec(&p, "CREATE TABLE t (a)");
        must_exec(&p, "INSERT INTO t VALUES (1), (2)");
        assert_true(exists(DB_FILE "-journal"));
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), -EINVAL);
        assert_int_equal(write_db_commit(p.w, &p.e), 0);
        assert_false(exists(DB_FILE "-journal"));
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        must_exec(&p, "DELETE FROM t");
        write_db_rollback(p.w);
        assert_int_equal(number(&p, "SELECT count(*) FROM t"), 2);
        assert_int_equal(number(&p, "SELECT a FROM t WHERE a = 7"), -2);
        assert_int_equal(write_db_commit(p.w, &p.e), -EINVAL);
        place_remove(&p);
}

/* A directory that is renamed meanwhile keeps its journal. */
static void test_renamed_directory(void **state)
{
        struct place p;
        char moved[80];
        (void) state;
        place_make(&p);
        (void) snprintf(moved, sizeof(moved), "%s-moved", p.dir.path);
        must_open(&p);
        assert_int_equal(rename(p.dir.path, moved), 0);
        assert_int_equal(mkdir(p.dir.path, 0700), 0);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        must_exec(&p, "CREATE TABLE t (a)");
        assert_int_equal(faccessat(p.dir.fd, DB_FILE "-journal", F_OK, 0), 0);
        assert_int_equal(write_db_commit(p.w, &p.e), 0);
        assert_int_equal(rmdir(p.dir.path), 0);
        assert_int_equal(rename(moved, p.dir.path), 0);
        place_remove(&p);
}

static void test_counter(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        uint32_t counter = counter_of(&p), stale = counter - 1;
        must_open(&p);
        assert_int_equal(write_db_begin(p.w, &stale, &p.e), -ESTALE);
        assert_int_equal(sqlite3_get_autocommit(write_db_handle(p.w)), 1);
        assert_int_equal(write_db_begin(p.w, &counter, &p.e), 0);
        must_exec(&p, "CREATE TABLE t (a)");
        assert_int_equal(write_db_commit(p.w, &p.e), 0);
        assert_int_equal(write_db_begin(p.w, &counter, &p.e), -ESTALE);
        counter++;
        assert_int_equal(write_db_begin(p.w, &counter, &p.e), 0);
        place_remove(&p);
}

static void test_replaced_file(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        must_open(&p);
        assert_int_equal(rename(DB_FILE, "old"), 0);
        sql_dir_exec(&p.dir, "CREATE TABLE other (a)");
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), -ESTALE);
        place_remove(&p);
}

/* Locks of others. */

static void test_busy(void **state)
{
        struct place p;
        unsigned asked = 0;
        struct write_db *w = NULL;
        (void) state;
        place_make(&p);
        assert_int_equal(write_db_open(p.state, always, &asked, &w, &p.e), 0);
        sqlite3 *other = sql_dir_writer(&p.dir, 0);
        assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(write_db_begin(w, NULL, &p.e), -ECANCELED);
        assert_true(asked > 0);
        assert_int_equal(sqlite3_close(other), SQLITE_OK);
        assert_int_equal(write_db_begin(w, NULL, &p.e), 0);
        write_db_close(w);
        place_remove(&p);
}

/* Keeps the lock that `sql` takes, in another process, until it is killed. */
static pid_t hold(const struct place *p, const char *sql)
{
        int ready[2];
        char byte;
        assert_int_equal(pipe(ready), 0);
        pid_t pid = fork();
        if (pid == 0) {
                sqlite3 *other = sql_dir_writer(&p->dir, 5000);
                if (sqlite3_exec(other, sql, NULL, NULL, NULL) == SQLITE_OK)
                        (void) !write(ready[1], "r", 1);
                (void) pause();
                _exit(0);
        }
        assert_true(pid > 0);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void) close(ready[0]);
        (void) close(ready[1]);
        return pid;
}

static void let_go(pid_t pid)
{
        (void) kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_busy_long(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        pid_t pid = hold(&p, "BEGIN IMMEDIATE");
        must_open(&p);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), -EBUSY);
        assert_non_null(strstr(p.e.text, "another process"));
        let_go(pid);
        place_remove(&p);
}

/* A reader that doesn't end: the COMMIT gives up, and everything is as before. */
static void test_commit_busy(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        sql_dir_exec(&p.dir, "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
        uint32_t counter = counter_of(&p);
        pid_t pid = hold(&p, "BEGIN; SELECT * FROM t");
        must_open(&p);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        must_exec(&p, "DELETE FROM t");
        assert_int_equal(write_db_commit(p.w, &p.e), -EBUSY);
        assert_int_equal(sqlite3_get_autocommit(write_db_handle(p.w)), 1);
        let_go(pid);
        assert_int_equal(number(&p, "SELECT count(*) FROM t"), 1);
        p.w = write_db_close(p.w);
        assert_int_equal(counter_of(&p), counter);
        place_remove(&p);
}

static const char endless[] = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c";

static bool after_start(void *context)
{
        return *(bool *) context;
}

static void test_cancel(void **state)
{
        struct place p;
        bool stop = false;
        int64_t value;
        (void) state;
        place_make(&p);
        sql_dir_exec(&p.dir, "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
        assert_int_equal(write_db_open(p.state, after_start, &stop, &p.w, &p.e), 0);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        must_exec(&p, "DELETE FROM t");
        stop = true;
        assert_int_equal(write_db_number(p.w, 0, &value, &p.e, endless), -ECANCELED);
        write_db_rollback(p.w);
        stop = false;
        assert_int_equal(number(&p, "SELECT count(*) FROM t"), 1);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        must_exec(&p, "DELETE FROM t");
        stop = true; /* too late for a COMMIT */
        assert_int_equal(write_db_commit(p.w, &p.e), 0);
        stop = false;
        assert_int_equal(number(&p, "SELECT count(*) FROM t"), 0);
        place_remove(&p);
}

/* No room. */

static void test_full(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        sql_dir_exec(&p.dir, "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
        must_open(&p);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        must_exec(&p, "PRAGMA max_page_count=1"); /* rises to what the file has */
        assert_int_equal(write_db_exec(p.w, &p.e, "INSERT INTO t VALUES (zeroblob(1000000))"), -ENOSPC);
        write_db_rollback(p.w);
        assert_int_equal(number(&p, "SELECT count(*) FROM t"), 1);
        place_remove(&p);
}

static void test_size_limit(void **state)
{
        struct place p;
        struct rlimit before, small = { .rlim_cur = 400000 };
        (void) state;
        place_make(&p);
        sql_dir_exec(&p.dir, "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
        (void) signal(SIGXFSZ, SIG_IGN);
        must_open(&p);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        small.rlim_max = before.rlim_max;
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        must_exec(&p, "INSERT INTO t VALUES (zeroblob(1000000))");
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_equal(write_db_commit(p.w, &p.e), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(number(&p, "SELECT count(*) FROM t"), 1);
        place_remove(&p);
}

/* Hostile directories. */

static void test_names_that_are_no_files(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        assert_int_equal(rename(DB_FILE, "aside"), 0);
        refuses_to_open(&p, ENOENT, DB_FILE);
        assert_int_equal(symlink("aside", DB_FILE), 0);
        refuses_to_open(&p, ELOOP, "symbolic link");
        assert_int_equal(unlink(DB_FILE), 0);
        assert_int_equal(mkfifo(DB_FILE, 0600), 0);
        refuses_to_open(&p, EILSEQ, "no regular file");
        assert_int_equal(unlink(DB_FILE), 0);
        assert_int_equal(rename("aside", DB_FILE), 0);
        must_open(&p);
        place_remove(&p);
}

static void test_journal_that_is_no_file(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        assert_int_equal(mkfifo(DB_FILE "-journal", 0600), 0);
        refuses_to_open(&p, EILSEQ, "no regular file"); /* and does not wait for someone to write into it */
        assert_int_equal(unlink(DB_FILE "-journal"), 0);
        int fd = open("victim", O_WRONLY | O_CREAT, 0600);
        assert_true(fd >= 0 && write(fd, "data", 4) == 4);
        (void) close(fd);
        assert_int_equal(symlink("victim", DB_FILE "-journal"), 0);
        refuses_to_open(&p, ELOOP, "symbolic link");
        assert_true(exists("victim"));
        place_remove(&p);
}

static void test_elsewhere(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        assert_int_equal(chdir("/"), 0);
        refuses_to_open(&p, EINVAL, "working directory");
        assert_int_equal(fchdir(p.dir.fd), 0);
        place_remove(&p);
}

static void overwrite(const char *name, off_t at, const void *bytes, size_t len)
{
        int fd = open(name, O_WRONLY | O_CREAT, 0644);
        assert_true(fd >= 0 && pwrite(fd, bytes, len, at) == (ssize_t) len);
        (void) close(fd);
}

static void test_wal_mode(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        overwrite(DB_FILE, 18, "\2\2", 2);
        refuses_to_open(&p, EILSEQ, "WAL mode");
        overwrite(DB_FILE, 18, "\1\1", 2);
        overwrite(DB_FILE "-wal", 0, "x", 1);
        refuses_to_open(&p, EILSEQ, "WAL mode");
        assert_int_equal(truncate(DB_FILE "-wal", 0), 0);
        must_open(&p);
        place_remove(&p);
}

static void test_no_database(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        assert_int_equal(truncate(DB_FILE, 4096), 0);
        refuses_to_open(&p, EILSEQ, "cut off");
        overwrite(DB_FILE, 0, "no database at all", 18);
        refuses_to_open(&p, EILSEQ, "no SQLite database");
        assert_int_equal(truncate(DB_FILE, 0), 0);
        refuses_to_open(&p, EILSEQ, "empty");
        place_remove(&p);
}

#define NOBODY 65534u

/* root may write everywhere: the directory becomes someone else's, and so do we. True when that was so. */
static bool become_a_user(const struct place *p)
{
        if (geteuid() != 0)
                return false;
        assert_int_equal(fchown(p->dir.fd, NOBODY, NOBODY), 0);
        assert_int_equal(chown(DB_FILE, NOBODY, NOBODY), 0);
        assert_int_equal(chown(".chromafs", NOBODY, NOBODY), 0);
        assert_int_equal(chown(".chromafs/stage", NOBODY, NOBODY), 0);
        assert_int_equal(seteuid(NOBODY), 0);
        return true;
}

static void test_read_only(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        bool was_root = become_a_user(&p);
        assert_int_equal(chmod(DB_FILE, 0444), 0);
        refuses_to_open(&p, EACCES, "can't be written");
        assert_int_equal(chmod(DB_FILE, 0644), 0);
        assert_int_equal(fchmod(p.dir.fd, 0555), 0);
        must_open(&p);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        assert_int_equal(write_db_exec(p.w, &p.e, "CREATE TABLE t (a)"), -EACCES);
        assert_int_equal(fchmod(p.dir.fd, 0755), 0);
        assert_int_equal(was_root ? seteuid(0) : 0, 0);
        place_remove(&p);
}

static void test_triggers_and_keys(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        sql_dir_exec(&p.dir, "CREATE TABLE kept (a); INSERT INTO kept VALUES (1); CREATE TABLE t (a REFERENCES missing(b));"
                             "CREATE TRIGGER evil AFTER INSERT ON t BEGIN DELETE FROM kept; END");
        must_open(&p);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        must_exec(&p, "INSERT INTO t VALUES (5)");
        assert_int_equal(write_db_commit(p.w, &p.e), 0);
        assert_int_equal(number(&p, "SELECT count(*) FROM kept"), 1);
        assert_int_equal(write_db_exec(p.w, &p.e, "DELETE FROM embedding_fulltext_search_data"), -EILSEQ); /* DEFENSIVE */
        assert_int_equal(write_db_exec(p.w, &p.e, "ATTACH 'x' AS y"), -EILSEQ);
        assert_false(exists("x"));
        place_remove(&p);
}

/* A writer that dies in the middle of a transaction that has reached the file. */
static void crash(const struct place *p)
{
        pid_t pid = fork();
        if (pid == 0) {
                sqlite3 *other = sql_dir_writer(&p->dir, 0);
                (void) sqlite3_exec(other, "PRAGMA cache_size=5; BEGIN; UPDATE t SET a = randomblob(3000)", NULL, NULL, NULL);
                (void) kill(getpid(), SIGKILL);
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void make_hot(const struct place *p)
{
        sql_dir_exec(&p->dir, "CREATE TABLE t (a); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 100)"
                              " INSERT INTO t SELECT zeroblob(3000) FROM c");
        crash(p);
        assert_true(exists(DB_FILE "-journal"));
}

static void test_hot_journal(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        make_hot(&p);
        must_open(&p);
        assert_false(exists(DB_FILE "-journal"));
        assert_int_equal(number(&p, "SELECT count(*) FROM t WHERE a = zeroblob(3000)"), 100);
        place_remove(&p);
}

static void put32(unsigned char *bytes, uint32_t value)
{
        for (int i = 0; i < 4; i++)
                bytes[i] = (unsigned char) (value >> (24 - 8 * i));
}

/* The end of a journal that says: the transaction counts while this file is there. SQLite deletes that file when it has rolled
   back. */
static void add_super_journal(const char *name)
{
        static const unsigned char magic[8] = { 0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7 };
        unsigned char bytes[256] = { 0 };
        struct stat st;
        size_t len = strlen(name);
        uint32_t sum = 0;
        for (size_t i = 0; i < len; i++)
                sum += (unsigned char) name[i];
        assert_int_equal(stat(DB_FILE "-journal", &st), 0);
        put32(bytes, 0x40000000 / 4096 + 1);
        memcpy(bytes + 4, name, len);
        put32(bytes + 4 + len, (uint32_t) len);
        put32(bytes + 8 + len, sum);
        memcpy(bytes + 12 + len, magic, sizeof(magic));
        overwrite(DB_FILE "-journal", st.st_size, bytes, 20 + len);
}

/* SQLite gives a journal to the owner of the database. One that is there already may be anyone's file, moved here to be given away by root. */
static void test_journal_of_another(void **state)
{
        struct place p;
        struct stat st;
        (void) state;
        if (geteuid() != 0)
                skip();
        place_make(&p);
        assert_int_equal(chown(DB_FILE, 54321, 54321), 0);
        int fd = open(DB_FILE "-journal", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, "the secret of root", 18), 18);
        must_open(&p);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        must_exec(&p, "CREATE TABLE t (a)");
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(stat(DB_FILE "-journal", &st), 0); /* its own: whoever comes next must be able to roll back */
        assert_int_equal(st.st_uid, 54321);
        assert_int_equal(write_db_commit(p.w, &p.e), 0);
        (void) close(fd);
        place_remove(&p);
}

static void test_super_journal(void **state)
{
        struct place p;
        char victim[96];
        (void) state;
        place_make(&p);
        make_hot(&p);
        (void) snprintf(victim, sizeof(victim), "%s/victim", p.dir.path);
        overwrite(victim, 0, "precious", 8);
        add_super_journal(victim);
        refuses_to_open(&p, EILSEQ, "several databases");
        assert_true(exists("victim"));
        assert_true(exists(DB_FILE "-journal"));
        place_remove(&p);
}

/* Settings. */

static unsigned entries_of(int fd)
{
        char command[64];
        unsigned n = 0;
        (void) snprintf(command, sizeof(command), "ls -A /proc/%d/fd/%d/ | wc -l", getpid(), fd);
        FILE *f = popen(command, "r");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%u", &n), 1);
        (void) pclose(f);
        return n;
}

static void test_vacuum(void **state)
{
        struct place p;
        struct stat before, after;
        (void) state;
        place_make(&p);
        must_open(&p);
        assert_int_equal(write_db_set_secure_delete(p.w, false, &p.e), 0);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        must_exec(&p, "CREATE TABLE t (a)");
        must_exec(&p, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 3000)"
                      " INSERT INTO t SELECT randomblob(1000) FROM c");
        must_exec(&p, "DELETE FROM t WHERE rowid > 1000");
        assert_int_equal(write_db_commit(p.w, &p.e), 0);
        assert_int_equal(stat(DB_FILE, &before), 0);
        if (write_db_vacuum(p.w, &p.e) < 0)
                fail_msg("%s", p.e.text);
        assert_int_equal(stat(DB_FILE, &after), 0);
        assert_true(after.st_size < before.st_size);
        p.w = write_db_close(p.w);
        assert_false(exists(DB_FILE "-journal"));
        assert_int_equal(entries_of(state_dir_stage_fd(p.state)), 0);
        sql_dir_exec(&p.dir, "INSERT INTO t VALUES (1)");
        place_remove(&p);
}

/* Of the file that this process has open without a name: the name that it had. */
static bool find_unlinked(char name[512])
{
        char path[64];
        for (int fd = 0; fd < 64; fd++) {
                (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
                ssize_t len = readlink(path, name, 511);
                name[len > 0 ? len : 0] = '\0';
                if (strstr(name, " (deleted)") != NULL && strstr(name, STATE_DIR "/stage/") != NULL)
                        return true;
        }
        return false;
}

/* A process that is killed before SQLite has unlinked a temporary file leaves what tidy() knows for one. */
static void test_temporary_files(void **state)
{
        struct place p;
        char name[512];
        (void) state;
        place_make(&p);
        must_open(&p);
        must_exec(&p, "CREATE TEMP TABLE t (a)");
        must_exec(&p, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 10000)"
                      " INSERT INTO t SELECT randomblob(1000) FROM c");
        assert_true(find_unlinked(name));
        assert_int_equal(strncmp(strrchr(name, '/') + 1, STAGE_TEMPORARY, strlen(STAGE_TEMPORARY)), 0);
        place_remove(&p);
}

static void test_vacuum_cancelled(void **state)
{
        struct place p;
        bool stop = false;
        (void) state;
        place_make(&p);
        sql_dir_exec(&p.dir, "CREATE TABLE t (a); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 30000)"
                             " INSERT INTO t SELECT randomblob(100) FROM c");
        uint32_t counter = counter_of(&p);
        assert_int_equal(write_db_open(p.state, after_start, &stop, &p.w, &p.e), 0);
        stop = true;
        assert_int_equal(write_db_vacuum(p.w, &p.e), -ECANCELED);
        p.w = write_db_close(p.w);
        assert_int_equal(counter_of(&p), counter);
        assert_false(exists(DB_FILE "-journal"));
        place_remove(&p);
}

static void test_writable_schema(void **state)
{
        struct place p;
        (void) state;
        place_make(&p);
        sql_dir_exec(&p.dir, "DROP TABLE embedding_fulltext_search_config"); /* as damage does */
        must_open(&p);
        assert_int_equal(write_db_set_writable_schema(p.w, true, &p.e), -EINVAL);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        assert_int_equal(write_db_exec(p.w, &p.e, "DELETE FROM sqlite_schema"), -EILSEQ);
        assert_int_equal(write_db_set_writable_schema(p.w, true, &p.e), 0);
        must_exec(&p, "DELETE FROM sqlite_schema WHERE name = 'embedding_fulltext_search'");
        assert_int_equal(write_db_set_writable_schema(p.w, false, &p.e), 0);
        assert_int_equal(write_db_exec(p.w, &p.e, "DELETE FROM sqlite_schema"), -EILSEQ);
        must_exec(&p, "DROP TABLE embedding_fulltext_search_data");
        assert_int_equal(write_db_commit(p.w, &p.e), 0);
        assert_int_equal(number(&p, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%fulltext%' AND type = 'table'"), 3);
        place_remove(&p);
}

/* Statements that still run don't keep a COMMIT or a ROLLBACK from happening. */
static void test_running_statement(void **state)
{
        struct place p;
        sqlite3_stmt *stmt = NULL;
        (void) state;
        place_make(&p);
        sql_dir_exec(&p.dir, "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)");
        must_open(&p);
        assert_int_equal(write_db_prepare(p.w, &stmt, &p.e, "SELECT a FROM t"), 0);
        assert_int_equal(write_db_begin(p.w, NULL, &p.e), 0);
        assert_int_equal(write_db_step(p.w, stmt, &p.e), 1);
        must_exec(&p, "DELETE FROM t WHERE a = 2");
        assert_int_equal(write_db_commit(p.w, &p.e), 0);
        pid_t pid = hold(&p, "BEGIN EXCLUSIVE"); /* no lock is left */
        let_go(pid);
        (void) sqlite3_finalize(stmt);
        place_remove(&p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_commit_and_rollback),
                cmocka_unit_test(test_renamed_directory),
                cmocka_unit_test(test_counter),
                cmocka_unit_test(test_replaced_file),
                cmocka_unit_test(test_busy),
                cmocka_unit_test(test_busy_long),
                cmocka_unit_test(test_commit_busy),
                cmocka_unit_test(test_cancel),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_size_limit),
                cmocka_unit_test(test_names_that_are_no_files),
                cmocka_unit_test(test_journal_that_is_no_file),
                cmocka_unit_test(test_elsewhere),
                cmocka_unit_test(test_wal_mode),
                cmocka_unit_test(test_no_database),
                cmocka_unit_test(test_read_only),
                cmocka_unit_test(test_triggers_and_keys),
                cmocka_unit_test(test_hot_journal),
                cmocka_unit_test(test_journal_of_another),
                cmocka_unit_test(test_super_journal),
                cmocka_unit_test(test_vacuum),
                cmocka_unit_test(test_temporary_files),
                cmocka_unit_test(test_vacuum_cancelled),
                cmocka_unit_test(test_writable_schema),
                cmocka_unit_test(test_running_statement),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
