/* The switch of an index: what is there after it, without it, and after a kill between any two of its steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/index_summary.h"
#include "ops/commit/commit.h"
#include "ops/commit/switch.h"
#include "ops/operation/plain_dir.h"
#include "ops/operation/tidy.h"
#include "tests/unit/clean_dir.h"

#define OLD "00000000-0000-4000-8000-000000000101"
#define STRANGER "00000000-0000-4000-8000-00000000abcd"

static struct clean_dir d;
static struct operation op;
static struct command *command;
static struct catalog *catalog;
static char old[37];

static int setup(void **state)
{
        (void) state;
        clean_dir_make(&d, CLEAN_RUST);
        clean_dir_filled(&d, 1, 3, 1, 3);
        (void) test_uuid(CLEAN_VECTOR + 1, old);
        sql_dir_exec(&d.sql, "INSERT INTO segment_metadata (segment_id, key, int_value) VALUES (%Q, 'hnsw:M', 5)", old);
        assert_int_equal(fchdir(d.sql.fd), 0);
        assert_int_equal(command_parse(operation_commit.options, "", 0, &command, NULL), 0);
        op = (struct operation){ .type = &operation_commit, .command = command, .dirfd = d.sql.fd };
        assert_int_equal(state_dir_open(d.sql.fd, &op.state, NULL), 0);
        struct db *db = sql_dir_open(&d.sql);
        assert_int_equal(catalog_read(db, &catalog, NULL), 0);
        (void) db_close(db);
        return 0;
}

static int teardown(void **state)
{
        (void) state;
        (void) catalog_free(catalog);
        (void) command_free(command);
        (void) state_dir_free(op.state);
        clean_dir_remove(&d);
        return 0;
}

static void succeeds(int r)
{
        if (r < 0)
                fail_msg("%d: %s", r, op.error.text);
}

/* How many directories of segments there are; the last of them that is not the old one. */
static int directories(char other[37])
{
        CLEANUP(closedir)
        DIR *dir = NULL;
        const char *name = NULL;
        int count = 0;
        other[0] = '\0';
        assert_int_equal(plain_dir_list(d.sql.fd, &dir, NULL), 0);
        while (plain_dir_next(dir, &name, NULL) > 0) {
                count += uuid_valid(name);
                if (uuid_valid(name) && strcmp(name, old) != 0)
                        memcpy(other, name, 37);
        }
        return count;
}

static bool stage_is_empty(void)
{
        return plain_dir_holds(state_dir_stage_fd(op.state), NULL, NULL) == 0;
}

static bool is_there(const char *path)
{
        struct stat st;
        return fstatat(d.sql.fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int64_t rows_of(const char *id)
{
        char sql[512];
        (void) snprintf(sql, sizeof(sql),
                        "SELECT (SELECT count(*) FROM segments WHERE id = '%s') + (SELECT count(*) FROM segment_metadata WHERE "
                        "segment_id = '%s') + (SELECT count(*) FROM max_seq_id WHERE segment_id = '%s')",
                        id, id, id);
        return clean_dir_number(&d, sql);
}

/* The steps. */

static const struct segment *segment(void)
{
        const struct segment *s = catalog_segment(catalog, old);
        assert_non_null(s);
        return s;
}

static struct commit_switch *begin(void)
{
        struct commit_switch *s = NULL;
        succeeds(commit_switch_begin(&op, segment(), &s));
        for (int i = 0; i < INDEX_FILE_COUNT; i++) {
                int fd = openat(commit_switch_fd(s), index_file_names[i], O_WRONLY | O_CREAT | O_EXCL, 0600);
                assert_true(fd >= 0);
                assert_int_equal(write(fd, "new", 3), 3);
                assert_int_equal(close(fd), 0);
        }
        return s;
}

static struct write_db *transact(struct commit_switch *s)
{
        struct write_db *w = NULL;
        succeeds(write_db_open(op.state, NULL, NULL, &w, &op.error));
        succeeds(write_db_begin(w, NULL, &op.error));
        succeeds(commit_switch_write(s, w, &op.error));
        return w;
}

static void test_new_index_takes_the_place(void **state)
{
        (void) state;
        char id[37], other[37], path[64];
        bool left = true;
        struct stat st, dir;
        assert_int_equal(fchmodat(d.sql.fd, old, 0751, 0), 0);
        (void) snprintf(path, sizeof(path), "%s/data_level0.bin", old);
        assert_int_equal(fchmodat(d.sql.fd, path, 0640, 0), 0);
        struct commit_switch *s = begin();
        memcpy(id, commit_switch_id(s), sizeof(id));
        assert_true(uuid_valid(id) && id[14] == '4');
        assert_int_equal(directories(other), 1);
        succeeds(commit_switch_place(s, &op.error));
        assert_int_equal(directories(other), 2);
        assert_string_equal(other, id);
        struct write_db *w = transact(s);
        succeeds(write_db_commit(w, &op.error));
        (void) write_db_close(w);
        succeeds(commit_switch_end(s, &left, &op.error));
        (void) commit_switch_free(s);
        assert_false(left);
        assert_int_equal(directories(other), 1);
        assert_string_equal(other, id);
        assert_true(stage_is_empty());
        assert_int_equal(rows_of(id), 3);
        assert_int_equal(rows_of(old), 0);
        (void) snprintf(path, sizeof(path), "%s/data_level0.bin", id);
        assert_int_equal(fstatat(d.sql.fd, path, &st, 0), 0);
        assert_int_equal(fstatat(d.sql.fd, id, &dir, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_int_equal(dir.st_mode & 07777, 0751);
        assert_int_equal(clean_dir_number(&d, "SELECT count(*) FROM segments WHERE scope = 'VECTOR'"), 1);
}

static void test_without_an_old_directory(void **state)
{
        (void) state;
        char path[64];
        struct stat st, database;
        bool left = true;
        assert_int_equal(tree_remove(d.sql.fd, old, NULL), 0);
        assert_int_equal(fchmodat(d.sql.fd, DB_FILE, 0640, 0), 0);
        struct commit_switch *s = begin();
        succeeds(commit_switch_place(s, &op.error));
        (void) snprintf(path, sizeof(path), "%s/header.bin", commit_switch_id(s));
        assert_int_equal(fstatat(d.sql.fd, path, &st, 0), 0);
        assert_int_equal(fstatat(d.sql.fd, DB_FILE, &database, 0), 0);
        assert_int_equal(st.st_mode, database.st_mode);
        struct write_db *w = transact(s);
        succeeds(write_db_commit(w, &op.error));
        (void) write_db_close(w);
        succeeds(commit_switch_end(s, &left, &op.error));
        assert_false(left);
        (void) commit_switch_free(s);
        assert_true(stage_is_empty());
}

/* Given up at each step. */
static void test_without_a_commit_it_goes(void **state)
{
        (void) state;
        char other[37];
        for (int step = 0; step < 3; step++) {
                struct commit_switch *s = begin();
                if (step > 0)
                        succeeds(commit_switch_place(s, &op.error));
                struct write_db *w = step > 1 ? transact(s) : NULL;
                (void) write_db_close(w);
                (void) commit_switch_free(s);
                assert_int_equal(directories(other), 1);
                assert_string_equal(other, "");
                assert_true(stage_is_empty());
                assert_int_equal(rows_of(old), 3);
        }
}

/* A COMMIT that came to pass, though nobody was told. */
static void test_a_commit_that_nobody_knows_of(void **state)
{
        (void) state;
        char id[37], other[37];
        struct commit_switch *s = begin();
        memcpy(id, commit_switch_id(s), sizeof(id));
        succeeds(commit_switch_place(s, &op.error));
        struct write_db *w = transact(s);
        succeeds(write_db_commit(w, &op.error));
        (void) write_db_close(w);
        (void) commit_switch_free(s);
        assert_true(is_there(id));
        assert_false(stage_is_empty());
        succeeds(tidy_stage(op.state, &op.error));
        assert_int_equal(directories(other), 1);
        assert_string_equal(other, id);
        assert_true(stage_is_empty());
}

static void die_at(int step)
{
        struct commit_switch *s = begin();
        struct write_db *w = NULL;
        if (step > 0 && commit_switch_place(s, NULL) < 0)
                _exit(2);
        if (step > 1)
                w = transact(s);
        if (step > 2 && write_db_commit(w, NULL) < 0)
                _exit(2);
        _exit(0);
}

static void test_killed(void **state)
{
        (void) state;
        for (int step = 0; step < 4; step++) {
                char other[37];
                int status = 0;
                pid_t pid = fork();
                assert_true(pid >= 0);
                if (pid == 0)
                        die_at(step);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_int_equal(status, 0);
                assert_false(stage_is_empty());
                assert_true(tidy_is_needed(d.sql.fd));
                succeeds(tidy_stage(op.state, &op.error));
                assert_true(stage_is_empty());
                assert_int_equal(directories(other), 1);
                assert_int_equal(rows_of(step < 3 ? old : other), 3);
                assert_int_equal(other[0] != '\0', step == 3);
        }
}

static void test_held_directory_stays(void **state)
{
        (void) state;
        char path[64], other[37];
        bool left = false;
        (void) snprintf(path, sizeof(path), "%s/header.bin", old);
        struct commit_switch *s = begin();
        succeeds(commit_switch_place(s, &op.error));
        struct write_db *w = transact(s);
        succeeds(write_db_commit(w, &op.error));
        (void) write_db_close(w);
        int fd = openat(d.sql.fd, path, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        succeeds(commit_switch_end(s, &left, &op.error));
        (void) commit_switch_free(s);
        assert_true(left);
        assert_true(is_there(old));
        succeeds(tidy_stage(op.state, &op.error));
        assert_true(is_there(old));
        assert_false(stage_is_empty());
        assert_int_equal(close(fd), 0);
        succeeds(tidy_stage(op.state, &op.error));
        assert_false(is_there(old));
        assert_true(stage_is_empty());
        assert_int_equal(directories(other), 1);
}

static void test_segment_that_is_gone(void **state)
{
        (void) state;
        char other[37];
        struct write_db *w = NULL;
        struct commit_switch *s = begin();
        succeeds(commit_switch_place(s, &op.error));
        sql_dir_exec(&d.sql, "DELETE FROM segments WHERE id = %Q", old);
        succeeds(write_db_open(op.state, NULL, NULL, &w, &op.error));
        succeeds(write_db_begin(w, NULL, &op.error));
        assert_int_equal(commit_switch_write(s, w, &op.error), -ESTALE);
        (void) write_db_close(w);
        (void) commit_switch_free(s);
        succeeds(tidy_stage(op.state, &op.error));
        (void) directories(other);
        assert_string_equal(other, "");
}

/* Notes. */

static void put_note(const char *name, const char *content)
{
        int fd = openat(state_dir_stage_fd(op.state), name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, strlen(content)), strlen(content));
        assert_int_equal(close(fd), 0);
}

static void test_notes_that_are_none(void **state)
{
        (void) state;
        static const char *const notes[][2] = {
                { STRANGER ".json", "" },
                { STRANGER ".json", "{\"segment\": \"" STRANGER "\"" },
                { STRANGER ".json", "{\"segment\": \"" STRANGER "\", \"replaces\": \"../../etc\"}" },
                { STRANGER ".json", "{\"segment\": \"" OLD "\", \"replaces\": \"" STRANGER "\"}" },
                { STRANGER ".json", "{\"segment\": \"" STRANGER "\", \"replaces\": \"" STRANGER "\"}" },
                { STRANGER ".json", "[1]" },
                { "note.json", "{\"segment\": \"" STRANGER "\", \"replaces\": \"" OLD "\"}" },
                { STRANGER ".jsonx", "{\"segment\": \"" STRANGER "\", \"replaces\": \"" OLD "\"}" },
        };
        assert_int_equal(mkdirat(d.sql.fd, STRANGER, 0700), 0);
        for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
                put_note(notes[i][0], notes[i][1]);
                assert_int_equal(commit_switch_tidy(op.state, notes[i][0], NULL), 0);
                assert_false(stage_is_empty());
                assert_true(is_there(STRANGER) && is_there(old));
                succeeds(tidy_stage(op.state, &op.error)); /* to the trash, like all else */
                assert_true(stage_is_empty());
        }
}

/* What a segment has is not touched, whatever a note says. */
static void test_hostile_note(void **state)
{
        (void) state;
        char text[256], second[37];
        clean_dir_filled(&d, 2, 2, 11, 12);
        (void) test_uuid(CLEAN_VECTOR + 2, second);
        (void) snprintf(text, sizeof(text), "{\"segment\": \"%s\", \"replaces\": \"%s\"}", second, old);
        char name[64];
        (void) snprintf(name, sizeof(name), "%s.json", second);
        put_note(name, text);
        succeeds(tidy_stage(op.state, &op.error));
        assert_true(is_there(old) && is_there(second));
        assert_true(stage_is_empty());
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                ROW(test_new_index_takes_the_place),
                ROW(test_without_an_old_directory),
                ROW(test_without_a_commit_it_goes),
                ROW(test_a_commit_that_nobody_knows_of),
                ROW(test_killed),
                ROW(test_held_directory_stays),
                ROW(test_segment_that_is_gone),
                ROW(test_notes_that_are_none),
                ROW(test_hostile_note),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
