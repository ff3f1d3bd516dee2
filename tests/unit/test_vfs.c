/*
 * The read-only VFS against SQLite itself: what it reads beside a hot journal must be what an ordinary connection reads after rolling a
 * copy back, and nothing on the disk may change by it. The number of random kills can be set with VFS_KILLS.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db_fixture.h"
#include "ops/vfs.h"

struct reader {
        struct read_vfs *vfs;
        sqlite3 *db;
};

static int reader_try(const struct fixture *f, struct reader *r)
{
        assert_int_equal(read_vfs_new(f->fd, &r->vfs, NULL), 0);
        return sqlite3_open_v2("chroma.sqlite3", &r->db, SQLITE_OPEN_READONLY, read_vfs_name(r->vfs));
}

static void reader_open(const struct fixture *f, struct reader *r)
{
        assert_int_equal(reader_try(f, r), SQLITE_OK);
        run_sql(r->db, "PRAGMA temp_store=MEMORY");
}

static void reader_close(struct reader *r)
{
        assert_int_equal(sqlite3_close(r->db), SQLITE_OK);
        r->vfs = read_vfs_free(r->vfs);
}

static uint64_t read_content(const struct fixture *f, bool *ret_hot)
{
        struct reader r;
        reader_open(f, &r);
        run_sql(r.db, "BEGIN; SELECT 1 FROM sqlite_schema");
        *ret_hot = read_vfs_is_hot(r.vfs);
        uint64_t content = content_of(r.db);
        reader_close(&r);
        return content;
}

/* What a crashed writer does: everything that makes a journal. */
struct crash {
        const char *setup, *before, *statements; /* `before` fills the database; `statements` run in a transaction, or VACUUM */
        int page_size, kill_after_writes;
};

static void fill(const struct fixture *f, const char *setup, int page_size)
{
        sqlite3 *db = fixture_open(f);
        run_sql(db, "PRAGMA page_size=%d", page_size);
        run_sql(db, "%s", setup);
        run_sql(db, "BEGIN; CREATE TABLE a(id INTEGER PRIMARY KEY, v BLOB); CREATE TABLE b(id INTEGER PRIMARY KEY, t TEXT); "
                    "CREATE INDEX b_t ON b(t);"
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400) "
                    "INSERT INTO a SELECT i, randomblob(700) FROM n;"
                    "INSERT INTO b SELECT id, hex(randomblob(40)) FROM a; COMMIT");
        (void) sqlite3_close(db);
}

static void crash_child(const struct fixture *f, void *context)
{
        const struct crash *c = context;
        sqlite3 *db = fixture_open(f);
        run_sql(db, "PRAGMA cache_size=2");
        run_sql(db, "%s", c->before);
        run_sql(db, "BEGIN; %s", c->statements);
}

static void assert_same_as_rollback(const struct fixture *f, bool expect_hot)
{
        bool hot = false;
        uint64_t before = fixture_state(f);
        uint64_t content = read_content(f, &hot);
        assert_true(fixture_state(f) == before);
        assert_int_equal(hot, expect_hot);
        assert_true(content == content_after_rollback(f));
}

#define SPILL                                                                                                                      \
        "UPDATE a SET v=randomblob(650); DELETE FROM b WHERE id%3=0; UPDATE b SET t=hex(randomblob(60)) WHERE id%5=0; "            \
        "INSERT INTO a SELECT NULL, randomblob(900) FROM b; CREATE TABLE c AS SELECT * FROM a; DROP TABLE b"

static void test_hot_journals(void **state)
{
        (void) state;
        static const struct crash crashes[] = {
                { "", "PRAGMA synchronous=FULL", SPILL, 4096, 0 },
                { "", "PRAGMA synchronous=FULL", SPILL, 512, 0 },
                { "", "PRAGMA synchronous=FULL", SPILL, 1024, 0 },
                { "", "PRAGMA synchronous=FULL", SPILL, 65536, 0 },
                { "", "PRAGMA synchronous=OFF", SPILL, 4096, 0 },
                { "", "PRAGMA synchronous=OFF", SPILL, 1024, 0 },
                { "", "PRAGMA synchronous=OFF", SPILL, 65536, 0 },
                { "", "PRAGMA synchronous=NORMAL", SPILL, 4096, 0 },
                { "", "PRAGMA synchronous=EXTRA; PRAGMA journal_mode=truncate", SPILL, 4096, 0 },
                { "PRAGMA auto_vacuum=FULL", "PRAGMA synchronous=FULL", "DELETE FROM a WHERE id<390; DELETE FROM b", 1024, 0 },
                { "PRAGMA auto_vacuum=INCREMENTAL", "PRAGMA synchronous=FULL",
                  "DELETE FROM a WHERE id<390; PRAGMA incremental_vacuum; UPDATE b SET t='x'", 4096, 0 },
                { "", "PRAGMA synchronous=FULL; DELETE FROM a WHERE id<300", "UPDATE b SET t=hex(randomblob(400))", 4096, 0 },
        };
        for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
                struct fixture f;
                struct crash c = crashes[i];
                fixture_make(&f);
                fill(&f, c.setup, c.page_size);
                child_wait(child_start(&f, crash_child, &c));
                assert_true(fixture_size(f.journal) > (uint64_t) c.page_size);
                assert_same_as_rollback(&f, true);
                fixture_remove(&f);
        }
}

/* A file that isn't what the transaction began with in size: SQLite's roll-back cuts it or fills it. */
static void test_sizes(void **state)
{
        (void) state;
        for (int longer = 0; longer < 2; longer++) {
                struct fixture f;
                struct crash c = { "", "PRAGMA synchronous=FULL", SPILL, 4096, 0 };
                fixture_make(&f);
                fill(&f, c.setup, c.page_size);
                uint64_t original = fixture_size(f.db);
                child_wait(child_start(&f, crash_child, &c));
                /* Pages that are in the journal, from the end of the original size on, may go. */
                assert_int_equal(truncate(f.db, (off_t) (longer ? original + 5 * 4096 : original - 2 * 4096)), 0);
                assert_same_as_rollback(&f, true);
                fixture_remove(&f);
        }
}

/* Journals that are there and not hot. */
static void test_not_hot(void **state)
{
        (void) state;
        struct fixture f;
        fixture_make(&f);
        fill(&f, "PRAGMA journal_mode=persist", 4096);
        assert_true(fixture_size(f.journal) > 0); /* zeroed header */
        assert_same_as_rollback(&f, false);
        int fd = open(f.journal, O_WRONLY | O_TRUNC);
        assert_true(fd >= 0);
        assert_same_as_rollback(&f, false); /* empty */
        assert_int_equal(write(fd, "garbage that is no header", 25), 25);
        assert_same_as_rollback(&f, false);
        assert_int_equal(ftruncate(fd, 8192), 0);
        assert_same_as_rollback(&f, false);
        (void) close(fd);
        fixture_remove(&f);
}

/* A live writer's journal lies beside RESERVED: not hot, and the database as it is. */
static void test_live_writer(void **state)
{
        (void) state;
        struct fixture f;
        struct reader r;
        int reserved = -1;
        fixture_make(&f);
        fill(&f, "", 4096);
        sqlite3 *writer = fixture_open(&f);
        reader_open(&f, &r);
        run_sql(writer, "BEGIN; UPDATE a SET v='1' WHERE id<5");
        assert_true(fixture_size(f.journal) > 0);
        run_sql(r.db, "BEGIN; SELECT count(*) FROM a");
        assert_false(read_vfs_is_hot(r.vfs));
        sqlite3_file *file = NULL;
        assert_int_equal(sqlite3_file_control(r.db, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
        assert_int_equal(file->pMethods->xCheckReservedLock(file, &reserved), SQLITE_OK);
        assert_int_equal(reserved, 1);
        assert_int_equal(number_of(r.db, "SELECT count(*) FROM a WHERE v='1'"), 0);
        /* Our SHARED keeps the writer from its commit, in the same process too, and lets it when it goes. */
        (void) sqlite3_busy_timeout(writer, 0);
        assert_int_equal(sqlite3_exec(writer, "COMMIT", NULL, NULL, NULL), SQLITE_BUSY);
        /* It waits with PENDING: nobody new comes in. */
        struct reader late;
        reader_open(&f, &late);
        assert_int_equal(sqlite3_exec(late.db, "SELECT count(*) FROM a", NULL, NULL, NULL), SQLITE_BUSY);
        run_sql(r.db, "COMMIT");
        run_sql(writer, "COMMIT");
        assert_int_equal(number_of(r.db, "SELECT count(*) FROM a WHERE v='1'"), 4);
        assert_int_equal(number_of(late.db, "SELECT count(*) FROM a WHERE v='1'"), 4);
        assert_int_equal(file->pMethods->xCheckReservedLock(file, &reserved), SQLITE_OK);
        assert_int_equal(reserved, 0);
        /* EXCLUSIVE shuts us out. */
        run_sql(writer, "BEGIN EXCLUSIVE");
        assert_int_equal(sqlite3_exec(r.db, "SELECT count(*) FROM a", NULL, NULL, NULL), SQLITE_BUSY);
        run_sql(writer, "ROLLBACK");
        (void) sqlite3_close(writer);
        reader_close(&late);
        reader_close(&r);
        fixture_remove(&f);
}

static void test_nothing_is_written(void **state)
{
        (void) state;
        struct fixture f;
        struct reader r;
        fixture_make(&f);
        fill(&f, "", 4096);
        struct crash c = { "", "PRAGMA synchronous=FULL", SPILL, 4096, 0 };
        child_wait(child_start(&f, crash_child, &c));
        assert_int_equal(fchmod(f.fd, 0555), 0);
        uint64_t before = fixture_state(&f);
        reader_open(&f, &r);
        static const char *const writes[] = {
                "DELETE FROM a",         "BEGIN IMMEDIATE",   "VACUUM",          "PRAGMA journal_mode=wal",
                "PRAGMA user_version=5", "CREATE TABLE x(y)", "BEGIN EXCLUSIVE", "PRAGMA wal_checkpoint",
        };
        for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
                (void) sqlite3_exec(r.db, writes[i], NULL, NULL, NULL);
                /* On a read-only connection BEGIN IMMEDIATE and EXCLUSIVE are plain BEGINs to SQLite. */
                if (!sqlite3_get_autocommit(r.db))
                        run_sql(r.db, "ROLLBACK");
        }
        /* Larger than the cache, sorted and joined: all in memory. */
        (void) number_of(r.db, "SELECT count(*) FROM (SELECT * FROM a x, a y ORDER BY x.v, y.v LIMIT 1000)");
        sqlite3_file *file = NULL;
        int reserved = 0;
        assert_int_equal(sqlite3_file_control(r.db, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
        assert_int_equal(file->pMethods->xWrite(file, "x", 1, 0), SQLITE_READONLY);
        assert_int_equal(file->pMethods->xTruncate(file, 0), SQLITE_READONLY);
        assert_int_equal(file->pMethods->xSync(file, 0), SQLITE_READONLY);
        assert_int_equal(file->pMethods->xLock(file, SQLITE_LOCK_RESERVED), SQLITE_READONLY);
        assert_int_equal(file->pMethods->xLock(file, SQLITE_LOCK_EXCLUSIVE), SQLITE_READONLY);
        assert_string_not_equal(read_vfs_error(r.vfs), "");
        assert_int_equal(file->pMethods->xCheckReservedLock(file, &reserved), SQLITE_OK);
        assert_int_equal(reserved, 0);
        sqlite3_vfs *vfs = sqlite3_vfs_find(read_vfs_name(r.vfs));
        assert_int_equal(vfs->xDelete(vfs, "chroma.sqlite3-journal", 0), SQLITE_READONLY);
        reader_close(&r);
        assert_true(fixture_state(&f) == before);
        assert_int_equal(fchmod(f.fd, 0755), 0);
        fixture_remove(&f);
}

/* One connection through a crash, the roll-back by another process, and a commit after it. */
static void test_page_cache(void **state)
{
        (void) state;
        struct fixture f;
        struct reader r;
        fixture_make(&f);
        fill(&f, "", 4096);
        reader_open(&f, &r);
        uint64_t committed = content_of(r.db);
        struct crash c = { "", "PRAGMA synchronous=FULL", SPILL, 4096, 0 };
        child_wait(child_start(&f, crash_child, &c));
        assert_true(content_of(r.db) == committed);
        sqlite3 *writer = fixture_open(&f);
        assert_true(content_of(writer) == committed);
        assert_int_equal(fixture_size(f.journal), 0);
        assert_true(content_of(r.db) == committed);
        run_sql(writer, "UPDATE a SET v='new'");
        uint64_t changed = content_of(writer);
        assert_true(changed != committed);
        assert_true(content_of(r.db) == changed);
        (void) sqlite3_close(writer);
        /* And once more, with a connection that first saw the crashed state. */
        child_wait(child_start(&f, crash_child, &c));
        struct reader late;
        reader_open(&f, &late);
        assert_true(content_of(late.db) == changed);
        writer = fixture_open(&f);
        run_sql(writer, "UPDATE a SET v='newer'; DELETE FROM b");
        assert_true(content_of(late.db) == content_of(writer));
        assert_true(content_of(r.db) == content_of(writer));
        (void) sqlite3_close(writer);
        reader_close(&late);
        reader_close(&r);
        fixture_remove(&f);
}

/* Two hot journals one after the other, with nothing seen in between: the index of the first must not be used for the second. */
static void test_second_journal(void **state)
{
        (void) state;
        struct fixture f;
        struct reader r;
        fixture_make(&f);
        fill(&f, "", 4096);
        struct crash c = { "", "PRAGMA synchronous=FULL", SPILL, 4096, 0 };
        child_wait(child_start(&f, crash_child, &c));
        reader_open(&f, &r);
        (void) content_of(r.db);
        assert_true(fixture_size(f.journal) > 0);
        c.statements = "DROP TABLE b; UPDATE a SET v=randomblob(300) WHERE id%2=0; DELETE FROM a"; /* pages in another order */
        c.before = "PRAGMA synchronous=FULL; UPDATE a SET v=randomblob(700)"; /* rolls back, commits; then the next crash */
        child_wait(child_start(&f, crash_child, &c));
        assert_true(content_of(r.db) == content_after_rollback(&f));
        reader_close(&r);
        fixture_remove(&f);
}

/* A journal that goes away or shrinks while we hold SHARED: an error, never the half-written pages. */
static void test_journal_cut_while_reading(void **state)
{
        (void) state;
        struct fixture f;
        struct reader r;
        fixture_make(&f);
        fill(&f, "", 4096);
        struct crash c = { "", "PRAGMA synchronous=FULL", SPILL, 4096, 0 };
        child_wait(child_start(&f, crash_child, &c));
        reader_open(&f, &r);
        run_sql(r.db, "PRAGMA cache_size=1; BEGIN; SELECT 1 FROM sqlite_schema");
        assert_true(read_vfs_is_hot(r.vfs));
        assert_int_equal(truncate(f.journal, 8192), 0);
        assert_int_equal(sqlite3_exec(r.db, "SELECT sum(length(v)) FROM a", NULL, NULL, NULL), SQLITE_IOERR);
        assert_non_null(strstr(read_vfs_error(r.vfs), "hot journal"));
        (void) sqlite3_exec(r.db, "ROLLBACK", NULL, NULL, NULL);
        reader_close(&r);
        fixture_remove(&f);
}

static void expect_refusal(const struct fixture *f, const char *sentence, int code)
{
        struct reader r;
        reader_open(f, &r);
        assert_int_not_equal(sqlite3_exec(r.db, "SELECT * FROM sqlite_schema", NULL, NULL, NULL), SQLITE_OK);
        if (strstr(read_vfs_error(r.vfs), sentence) == NULL)
                fail_msg("'%s' lacks '%s'", read_vfs_error(r.vfs), sentence);
        assert_int_equal(read_vfs_errno(r.vfs), code);
        reader_close(&r);
}

static void put(const char *path, const void *bytes, size_t len, off_t at)
{
        int fd = open(path, O_WRONLY);
        assert_true(fd >= 0 && pwrite(fd, bytes, len, at) == (ssize_t) len);
        (void) close(fd);
}

static void test_doubtful_journals(void **state)
{
        (void) state;
        struct fixture f;
        fixture_make(&f);
        fill(&f, "", 4096);
        struct crash c = { "", "PRAGMA synchronous=FULL", SPILL, 4096, 0 };
        child_wait(child_start(&f, crash_child, &c));
        off_t size = (off_t) fixture_size(f.journal);
        put(f.journal, "\0\x04\0\1xyz\0\0\0\3\0\0\1\x6b\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 23, size);
        expect_refusal(&f, "several databases", -EILSEQ);
        assert_int_equal(truncate(f.journal, size), 0);
        put(f.journal, "\0\0\x20\0", 4, 24);
        expect_refusal(&f, "don't belong together", -EILSEQ);
        put(f.journal, "\0\0\x10\0", 4, 24);
        assert_same_as_rollback(&f, true);
        put(f.journal, "\0\0\0\0", 4, 24); /* SQLite before 3.5.8 */
        assert_same_as_rollback(&f, true);
        if (geteuid() != 0) {
                assert_int_equal(chmod(f.journal, 0), 0);
                expect_refusal(&f, "can't be opened", -EACCES);
        }
        assert_int_equal(unlink(f.journal), 0);
        assert_int_equal(symlink("chroma.sqlite3", f.journal), 0);
        expect_refusal(&f, "symbolic link", -ELOOP);
        assert_int_equal(unlink(f.journal), 0);
        assert_int_equal(mkfifo(f.journal, 0600), 0);
        expect_refusal(&f, "no regular file", -EILSEQ);
        assert_int_equal(unlink(f.journal), 0);
        assert_int_equal(mkdir(f.journal, 0700), 0);
        expect_refusal(&f, "no regular file", -EILSEQ);
        fixture_remove(&f);
}

static void test_open_refusals(void **state)
{
        (void) state;
        struct fixture f;
        struct reader r;
        fixture_make(&f);
        for (int i = 0; i < 4; i++) {
                static const int codes[] = { -ENOENT, -ELOOP, -EILSEQ, -EILSEQ };
                if (i == 1)
                        assert_int_equal(symlink("/dev/null", f.db), 0);
                if (i == 2)
                        assert_int_equal(mkfifo(f.db, 0600), 0);
                if (i == 3)
                        assert_int_equal(mkdir(f.db, 0700), 0);
                assert_int_not_equal(reader_try(&f, &r), SQLITE_OK);
                assert_int_equal(read_vfs_errno(r.vfs), codes[i]);
                reader_close(&r);
                if (i > 0)
                        assert_int_equal(unlinkat(f.fd, "chroma.sqlite3", i == 3 ? AT_REMOVEDIR : 0), 0);
        }
        fixture_remove(&f);
}

/* Random statements for ever, until the parent kills. */
static void random_child(const struct fixture *f, void *context)
{
        static const char *const statements[] = {
                "UPDATE a SET v=randomblob(300+abs(random()%1500)) WHERE id%7=abs(random()%7)",
                "DELETE FROM a WHERE id%11=abs(random()%11)",
                "INSERT INTO a SELECT NULL, randomblob(abs(random()%3000)) FROM b LIMIT 60",
                "INSERT INTO b SELECT NULL, hex(randomblob(30)) FROM a LIMIT 60",
                "DELETE FROM b WHERE id%5=abs(random()%5)",
                "DELETE FROM a WHERE (SELECT count(*) FROM a)>900 AND id%2=0",
                "DELETE FROM b WHERE (SELECT count(*) FROM b)>900 AND id%2=0",
                "CREATE TABLE IF NOT EXISTS c(x); INSERT INTO c SELECT v FROM a LIMIT 40",
                "DROP TABLE IF EXISTS c",
                "REINDEX",
                "PRAGMA incremental_vacuum(20)",
        };
        const unsigned *seed = context;
        sqlite3 *db = fixture_open(f);
        srandom(*seed);
        static const char *const modes[] = { "delete", "delete", "truncate", "persist" };
        static const char *const syncs[] = { "OFF", "NORMAL", "FULL", "EXTRA" };
        run_sql(db, "PRAGMA cache_size=%d; PRAGMA synchronous=%s; PRAGMA journal_mode=%s", 1 + (int) (random() % 8),
                syncs[random() % 4], modes[random() % 4]);
        for (;;) {
                if (random() % 8 == 0)
                        run_sql(db, "PRAGMA page_size=%d; VACUUM", random() % 2 == 0 ? 512 << random() % 8 : 0);
                run_sql(db, "BEGIN");
                for (long n = random() % 12; n >= 0; n--)
                        run_sql(db, "%s", statements[random() % (long) (sizeof(statements) / sizeof(statements[0]))]);
                run_sql(db, random() % 4 == 0 ? "ROLLBACK" : "COMMIT");
        }
}

static void test_random_kills(void **state)
{
        (void) state;
        static const int page_sizes[] = { 512, 1024, 4096, 65536 };
        static const char *const setups[] = { "", "PRAGMA auto_vacuum=FULL", "PRAGMA auto_vacuum=INCREMENTAL" };
        const char *wanted = getenv("VFS_KILLS");
        int kills = wanted == NULL ? 200 : atoi(wanted), hot_ones = 0;
        unsigned seed = (unsigned) getpid();
        struct fixture f;
        for (int i = 0; i < kills; i++) {
                bool hot = false;
                if (i % 10 == 0) {
                        fixture_make(&f);
                        fill(&f, setups[i / 10 % 3], page_sizes[i / 10 % 4]);
                }
                seed++;
                pid_t pid = child_start(&f, random_child, &seed);
                pause_ms(5 + (int) (seed * 2654435761u >> 16) % 60);
                assert_int_equal(kill(pid, SIGKILL), 0);
                child_wait(pid);
                uint64_t before = fixture_state(&f), content = read_content(&f, &hot);
                assert_true(fixture_state(&f) == before);
                if (content != content_after_rollback(&f))
                        fail_msg("seed %u, directory %s", seed, f.dir);
                hot_ones += hot;
                if (i % 10 == 9 || i + 1 == kills)
                        fixture_remove(&f);
        }
        print_message("%d of %d kills left a hot journal\n", hot_ones, kills);
        assert_true(hot_ones > kills / 10);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hot_journals),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_not_hot),
                cmocka_unit_test(test_live_writer),
                cmocka_unit_test(test_nothing_is_written),
                cmocka_unit_test(test_page_cache),
                cmocka_unit_test(test_second_journal),
                cmocka_unit_test(test_journal_cut_while_reading),
                cmocka_unit_test(test_doubtful_journals),
                cmocka_unit_test(test_open_refusals),
                cmocka_unit_test(test_random_kills),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
