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
#include <unistd.h>

#include "ops/json.h"
#include "ops/commit/reject.h"
#include "ops/wal/row.h"
#include "tests/unit/sql_dir.h"

#define PATH STATE_DIR "/" REJECTED_FILE
#define WHEN "2026-11-22 15:33:09"
#define LINE(seq_id, id)                                                                                                           \
        "{\"seq_id\": " seq_id ", \"created_at\": \"" WHEN "\", \"operation\": 0, \"topic\": \"t/c\", \"id\": \"" id               \
        "\", \"vector\": \"AACAPw==\", \"encoding\": \"FLOAT32\", \"metadata\": \"{\\\"k\\\": 1}\"}\n"

struct place {
        struct sql_dir dir;
        struct state_dir *state;
        struct db *db;
};

static void add_row(const struct place *p, int seq_id, const char *id)
{
        sql_dir_exec(&p->dir,
                     "INSERT INTO embeddings_queue VALUES (%d, '" WHEN "', 0, 't/c', %Q, x'0000803f', 'FLOAT32', '{\"k\": 1}')",
                     seq_id, id);
}

static int setup(void **state)
{
        static struct place p;
        struct error e = { 0 };
        sql_dir_make(&p.dir);
        if (state_dir_open(p.dir.fd, &p.state, &e) < 0)
                fail_msg("%s", e.text);
        p.db = sql_dir_open(&p.dir);
        add_row(&p, 1, "one");
        add_row(&p, 2, "two");
        add_row(&p, 3, "three");
        *state = &p;
        return 0;
}

static int teardown(void **state)
{
        struct place *p = *state;
        p->db = db_close(p->db);
        p->state = state_dir_free(p->state);
        sql_dir_remove(&p->dir);
        return 0;
}

/* The digits of `seq_ids` are rejected. */
static int try_write(const struct place *p, const char *seq_ids, size_t *ret_written, struct error *e)
{
        CLEANUP(commit_rejects_free)
        struct commit_rejects *rejects = commit_rejects_new();
        assert_non_null(rejects);
        for (; *seq_ids != '\0'; seq_ids++)
                assert_int_equal(commit_rejects_add(rejects, *seq_ids - '0', "so", e), 0);
        return commit_rejects_write(rejects, p->db, p->state, ret_written, e);
}

static void write_rows(const struct place *p, const char *seq_ids, size_t expected)
{
        size_t written = 99;
        struct error e = { 0 };
        if (try_write(p, seq_ids, &written, &e) < 0)
                fail_msg("%s", e.text);
        assert_int_equal(written, expected);
        assert_int_equal(db_begin(p->db, NULL), 0); /* nothing is open */
        db_end(p->db);
}

static char *read_file(const struct place *p, size_t *ret_len)
{
        int fd = openat(p->dir.fd, PATH, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        char *bytes = malloc((size_t) st.st_size + 1);
        assert_non_null(bytes);
        assert_int_equal(read(fd, bytes, (size_t) st.st_size), st.st_size);
        bytes[st.st_size] = '\0';
        *ret_len = (size_t) st.st_size;
        (void) close(fd);
        return bytes;
}

/* In texts Z stands for a byte that is zero. */
static void check(const struct place *p, const char *expected)
{
        size_t len = 0;
        char *bytes = read_file(p, &len);
        for (char *zero; (zero = memchr(bytes, '\0', len)) != NULL;)
                *zero = 'Z';
        assert_int_equal(len, strlen(bytes));
        assert_string_equal(bytes, expected);
        free(bytes);
}

static void put_file(const struct place *p, const char *bytes)
{
        int fd = openat(p->dir.fd, PATH, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        for (const char *at = bytes; *at != '\0'; at++)
                assert_int_equal(write(fd, *at == 'Z' ? "" : at, 1), 1);
        (void) close(fd);
}

static void list(void **state)
{
        (void) state;
        CLEANUP(commit_rejects_free)
        struct commit_rejects *rejects = commit_rejects_new();
        for (int i = 0; i < 250; i++) {
                char why[32];
                (void) snprintf(why, sizeof why, "reason %d", i);
                assert_int_equal(commit_rejects_add(rejects, 10 + i, why, NULL), 0);
                assert_int_equal(commit_rejects_add(rejects, 10 + i, "again", NULL), 0);
        }
        assert_int_equal(commit_rejects_count(rejects), 250);
        struct json_object *json = commit_rejects_json(rejects, 2);
        assert_string_equal(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN),
                            "[{\"seq_id\":10,\"why\":\"reason 0\"},{\"seq_id\":11,\"why\":\"reason 1\"}]");
        json_object_put(json);
        json = commit_rejects_json(rejects, SIZE_MAX);
        assert_int_equal(json_object_array_length(json), REJECTS_WHY_MAX);
        json_object_put(json);
        assert_null(commit_rejects_free(NULL));
}

static void nothing(void **state)
{
        const struct place *p = *state;
        write_rows(p, "", 0);
        assert_int_equal(faccessat(p->dir.fd, PATH, F_OK, 0), -1);
}

static void lines(void **state)
{
        const struct place *p = *state;
        write_rows(p, "13", 2);
        check(p, LINE("1", "one") LINE("3", "three"));
        struct file_stamp stamp = file_stamp_at(p->dir.fd, PATH);
        assert_int_equal(stamp.mode & 07777, 0600);
        assert_int_equal(faccessat(state_dir_stage_fd(p->state), "tmp.rejected", F_OK, 0), -1);
}

/* A commit that was killed rejects the same rows again, and perhaps more; another collection's stand between them. */
static void again(void **state)
{
        const struct place *p = *state;
        write_rows(p, "12", 2);
        write_rows(p, "12", 0);
        write_rows(p, "3", 1);
        write_rows(p, "123", 0);
        check(p, LINE("1", "one") LINE("2", "two") LINE("3", "three"));
        /* The log was emptied, and begins anew (R1). */
        sql_dir_exec(&p->dir, "DELETE FROM embeddings_queue");
        add_row(p, 1, "other");
        write_rows(p, "1", 1);
        check(p, LINE("1", "one") LINE("2", "two") LINE("3", "three") LINE("1", "other"));
}

/* What the last line is without its newline, and what becomes of it when rows 1 and 2 are written. */
static void torn(void **state)
{
        const struct place *p = *state;
        static const struct {
                const char *before, *after;
                size_t written;
        } cases[] = {
                { "", LINE("1", "one") LINE("2", "two"), 2 },
                { "{", LINE("1", "one") LINE("2", "two"), 2 },
                { "{\"seq_id\": ", LINE("1", "one") LINE("2", "two"), 2 },
                { "{\"seq_id\": 1", LINE("1", "one") LINE("2", "two"), 2 },
                { LINE("1", "one") "{\"seq_id\": 2, \"created", LINE("1", "one") LINE("2", "two"), 1 },
                { "{\"seq_id\": 3, \"cre", "{\"seq_id\": 3, \"cre\n" LINE("1", "one") LINE("2", "two"), 2 },
                { "{\"seq_id\": x", "{\"seq_id\": x\n" LINE("1", "one") LINE("2", "two"), 2 },
                { "a note", "a note\n" LINE("1", "one") LINE("2", "two"), 2 },
                { "a\n\nb\n", "a\n\nb\n" LINE("1", "one") LINE("2", "two"), 2 },
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                put_file(p, cases[i].before);
                write_rows(p, "12", cases[i].written);
                check(p, cases[i].after);
        }
        char whole[] = LINE("2", "two"); /* all of it but the newline */
        whole[sizeof whole - 2] = '\0';
        put_file(p, whole);
        write_rows(p, "12", 1);
        check(p, LINE("2", "two") LINE("1", "one"));
}

/* A machine lost its power: a write did not arrive, while one behind it did. */
static void zeros(void **state)
{
        const struct place *p = *state;
        static const struct {
                const char *before, *after;
                size_t written;
        } cases[] = {
                { "ZZZ", LINE("1", "one") LINE("2", "two"), 2 },
                { "ZZZ\n", LINE("1", "one") LINE("2", "two"), 2 },
                { "ZZZ" LINE("2", "two"), LINE("1", "one") LINE("2", "two"), 2 },
                { LINE("1", "one") "ZZ" LINE("2", "two"), LINE("1", "one") LINE("2", "two"), 1 },
                { "ZZ\n" LINE("2", "two") "ZZ", LINE("1", "one") LINE("2", "two"), 2 },
                { "ZZ\n" LINE("2", "two") "{\"seq", "ZZ\n" LINE("2", "two") LINE("1", "one"), 1 },
                { "ZZ\n" LINE("3", "three"), "ZZ\n" LINE("3", "three") LINE("1", "one") LINE("2", "two"), 2 },
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                put_file(p, cases[i].before);
                write_rows(p, "12", cases[i].written);
                check(p, cases[i].after);
        }
}

/* Values in several pieces, in rows that others surround. */
static void large(void **state)
{
        const struct place *p = *state;
        enum { LENGTH = 3 * WAL_PIECE_MAX + 5 };
        sql_dir_exec(&p->dir,
                     "UPDATE embeddings_queue SET metadata = replace(hex(zeroblob(%d)), '00', 'ä\"'), vector = zeroblob(%d)"
                     " WHERE seq_id = 2",
                     LENGTH, LENGTH);
        write_rows(p, "123", 3);
        write_rows(p, "123", 0);
        size_t len = 0, at = strlen(LINE("1", "one"));
        char *bytes = read_file(p, &len);
        struct json_object *object = NULL;
        char *end = strchr(bytes + at, '\n');
        assert_non_null(end);
        assert_int_equal(json_parse(bytes + at, (size_t) (end - (bytes + at)), &object, NULL), 0);
        assert_int_equal(json_object_get_string_len(json_object_object_get(object, "metadata")), 3 * LENGTH);
        assert_int_equal(json_object_get_string_len(json_object_object_get(object, "vector")), (LENGTH + 2) / 3 * 4);
        json_object_put(object);
        assert_string_equal(end + 1, LINE("3", "three"));
        free(bytes);
}

static void many(void **state)
{
        const struct place *p = *state;
        enum { COUNT = 3000 };
        sql_dir_exec(&p->dir,
                     "WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO embeddings_queue"
                     " (seq_id, operation, topic, id) SELECT i, 9, 't/c', 'id' || i FROM n",
                     100 + COUNT - 1);
        CLEANUP(commit_rejects_free)
        struct commit_rejects *rejects = commit_rejects_new();
        for (int i = 0; i < COUNT; i++)
                assert_int_equal(commit_rejects_add(rejects, 100 + i, "so", NULL), 0);
        size_t written = 0;
        assert_int_equal(commit_rejects_write(rejects, p->db, p->state, &written, NULL), 0);
        assert_int_equal(written, COUNT);
        assert_int_equal(commit_rejects_write(rejects, p->db, p->state, &written, NULL), 0);
        assert_int_equal(written, 0);
}

static void gone(void **state)
{
        const struct place *p = *state;
        struct error e = { 0 };
        size_t written = 99;
        write_rows(p, "1", 1);
        sql_dir_exec(&p->dir, "DELETE FROM embeddings_queue WHERE seq_id = 2");
        assert_int_equal(try_write(p, "23", &written, &e), -ESTALE);
        assert_int_equal(written, 99);
        assert_non_null(strstr(e.text, "row 2"));
        check(p, LINE("1", "one"));
}

static bool always(void *context)
{
        (void) context;
        return true;
}

static void cancelled(void **state)
{
        const struct place *p = *state;
        write_rows(p, "1", 1);
        db_set_cancel(p->db, always, NULL);
        assert_true(try_write(p, "2", &(size_t){ 0 }, NULL) < 0);
        db_set_cancel(p->db, NULL, NULL);
        check(p, LINE("1", "one"));
        write_rows(p, "2", 1);
}

/* A full disk, as a limit of the file's size: nothing of the line stays. */
static void full(void **state)
{
        const struct place *p = *state;
        size_t length = strlen(LINE("1", "one"));
        write_rows(p, "1", 1);
        struct rlimit before, limit;
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        limit = before;
        limit.rlim_cur = length + 20;
        void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        struct error e = { 0 };
        int r = try_write(p, "2", &(size_t){ 0 }, &e);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        (void) signal(SIGXFSZ, handler);
        assert_int_equal(r, -EFBIG);
        check(p, LINE("1", "one"));
        write_rows(p, "12", 1);
        check(p, LINE("1", "one") LINE("2", "two"));
}

static void check_refused(const struct place *p)
{
        struct error e = { 0 };
        assert_int_equal(try_write(p, "1", &(size_t){ 0 }, &e), -EPERM);
        assert_non_null(strstr(e.text, PATH));
        assert_int_equal(unlinkat(p->dir.fd, PATH, 0), 0);
}

static void foreign(void **state)
{
        const struct place *p = *state;
        int fd = openat(p->dir.fd, "victim", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void) close(fd);
        assert_int_equal(symlinkat("../victim", p->dir.fd, PATH), 0);
        check_refused(p);
        assert_int_equal(linkat(p->dir.fd, "victim", p->dir.fd, PATH, 0), 0);
        check_refused(p);
        assert_int_equal(mkfifoat(p->dir.fd, PATH, 0600), 0);
        check_refused(p);
        assert_int_equal(file_stamp_at(p->dir.fd, "victim").size, 0);
        if (geteuid() == 0) {
                put_file(p, "");
                assert_int_equal(fchownat(p->dir.fd, PATH, 12345, 12345, 0), 0);
                check_refused(p);
        }
        write_rows(p, "1", 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(list),
                TEST(nothing),
                TEST(lines),
                TEST(again),
                TEST(torn),
                TEST(zeros),
                TEST(large),
                TEST(many),
                TEST(gone),
                TEST(full),
                TEST(cancelled),
                TEST(foreign),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
