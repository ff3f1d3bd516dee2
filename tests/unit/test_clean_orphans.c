/* The operation clean-orphans, from the line that starts it to its outcome. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ops/json.h"
#include "ops/operation/clean_orphans.h"
#include "ops/operation/orphan_dirs.h"
#include "ops/operation/plain_dir.h"
#include "tests/unit/fixture.h"
#include "tests/unit/index_dir.h"
#include "tests/unit/orphan_place.h"
#include "tests/unit/sql_dir.h"

DEFINE_CLEANUP(struct json_object *, json_object_put)

#define ORPHAN 0x21u /* directories */
#define ANOTHER 0x31u

static int setup(void **state)
{
        static struct schema place;
        orphan_place_make(&place, 10, 6, 2);
        *state = &place;
        return 0;
}

static int teardown(void **state)
{
        assert_int_equal(chdir("/"), 0);
        orphan_place_remove(*state);
        return 0;
}

static struct json_object *start(const struct schema *s, const char *line, const struct operation_sink *sink, int expected)
{
        struct operation_request request = { .type = &operation_clean_orphans, .line = line, .line_len = strlen(line) };
        struct json_object *outcome = NULL;
        struct error e = { 0 };
        int r = operation_run(s->dirfd, &request, sink, &outcome, &e);
        if (r != expected)
                fail_msg("\"%s\": %d, not %d: %s", line, r, expected, e.text);
        assert_non_null(outcome);
        return outcome;
}

static struct json_object *result_of(struct json_object *outcome)
{
        return json_object_object_get(outcome, "result");
}

static int64_t number(struct json_object *outcome, const char *key)
{
        struct json_object *value = NULL;
        assert_true(json_object_object_get_ex(result_of(outcome), key, &value));
        return json_object_get_int64(value);
}

static int64_t rows(struct json_object *outcome, const char *table)
{
        struct json_object *value = NULL;
        assert_true(json_object_object_get_ex(json_object_object_get(result_of(outcome), "rows"), table, &value));
        return json_object_get_int64(value);
}

static const char *string(struct json_object *object, const char *key)
{
        return json_object_get_string(json_object_object_get(object, key));
}

/* Why it stays, or NULL. */
static const char *kept(struct json_object *outcome, const char *name)
{
        struct json_object *list = json_object_object_get(result_of(outcome), "kept");
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *one = json_object_array_get_idx(list, i);
                if (strcmp(string(one, "name"), name) == 0)
                        return string(one, "reason");
        }
        return NULL;
}

static void make_index(const struct schema *s, unsigned n)
{
        char id[37];
        index_dir_make(s->dirfd, test_uuid(n, id), &(struct index_dir){ .count = 2 });
}

static bool is_there(const struct schema *s, const char *format, const char *name)
{
        char path[256];
        struct stat st;
        (void) snprintf(path, sizeof(path), "%s%s", format, name);
        return fstatat(s->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool has_index(const struct schema *s, unsigned n)
{
        char id[37];
        return is_there(s, "", test_uuid(n, id));
}

/* Folders in the trash; 0 also without one. */
static int trash_count(const struct schema *s)
{
        CLEANUP(close)
        int fd = openat(s->dirfd, STATE_DIR "/trash", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closedir)
        DIR *dir = NULL;
        const char *name;
        int n = 0;
        if (fd < 0)
                return 0;
        assert_int_equal(plain_dir_list(fd, &dir, NULL), 0);
        while (plain_dir_next(dir, &name, NULL) > 0)
                n++;
        return n;
}

static bool stage_is_empty(const struct schema *s)
{
        CLEANUP(close)
        int fd = openat(s->dirfd, STATE_DIR "/stage", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd >= 0 && plain_dir_holds(fd, NULL, NULL) == 0;
}

static void nothing_to_do(void **state)
{
        const struct schema *s = *state;
        uint64_t before = orphan_place_state(s);
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "1", NULL, 0);
        assert_true(orphan_place_state(s) == before);
        assert_int_equal(trash_count(s), 0);
        assert_int_equal(number(outcome, "directories_total"), 0);
        assert_int_equal(rows(outcome, "embeddings"), 0);
        assert_int_equal(rows(outcome, "embedding_metadata_array"), 0);
        assert_int_equal(number(outcome, "wal_rows"), 0);
        assert_int_equal(number(outcome, "bytes"), 0);
        assert_null(json_object_object_get(result_of(outcome), "trash"));
        assert_null(json_object_object_get(result_of(outcome), "wal_rows_kept"));
}

static void expect_all(struct json_object *outcome)
{
        char id[37];
        struct json_object *directory = json_object_array_get_idx(json_object_object_get(result_of(outcome), "directories"), 0);
        assert_int_equal(number(outcome, "directories_total"), 2);
        assert_string_equal(string(directory, "name"), test_uuid(ORPHAN, id));
        assert_int_equal(json_object_get_int64(json_object_object_get(directory, "files")), 5);
        assert_true(json_object_get_int64(json_object_object_get(directory, "bytes")) > 100);
        assert_int_equal(rows(outcome, "embedding_fulltext_search"), 3);
        assert_int_equal(rows(outcome, "embedding_metadata"), 6);
        assert_int_equal(rows(outcome, "embedding_metadata_array"), 6);
        assert_int_equal(rows(outcome, "embeddings"), 3);
        assert_int_equal(rows(outcome, "max_seq_id"), 2);
        assert_int_equal(rows(outcome, "segment_metadata"), 1);
        assert_int_equal(rows(outcome, "collection_metadata"), 1);
        assert_int_equal(number(outcome, "wal_rows"), 3);
        assert_true(number(outcome, "bytes") > 1000);
        assert_false(json_object_object_get_ex(json_object_object_get(result_of(outcome), "rows"), "embedding_fulltext", NULL));
}

static void all_of_it(void **state)
{
        const struct schema *s = *state;
        char path[128], id[37];
        orphan_place_leave(s);
        make_index(s, ORPHAN);
        make_index(s, ANOTHER);
        uint64_t before = orphan_place_state(s);

        CLEANUP(json_object_put)
        struct json_object *dry = start(s, "dry_run=1", NULL, 0);
        expect_all(dry);
        assert_true(orphan_place_state(s) == before);
        assert_false(is_there(s, "", STATE_DIR));
        assert_null(json_object_object_get(result_of(dry), "trash"));

        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "", NULL, 0);
        expect_all(outcome);
        assert_int_equal(number(dry, "bytes"), number(outcome, "bytes"));
        assert_false(has_index(s, ORPHAN));
        assert_false(has_index(s, ANOTHER));
        assert_true(has_index(s, PLACE_VECTOR));
        assert_int_equal(orphan_place_number(s, "SELECT count(*) FROM embeddings"), 3);
        assert_true(stage_is_empty(s));
        (void) snprintf(path, sizeof(path), STATE_DIR "/%s/", string(result_of(outcome), "trash"));
        assert_true(is_there(s, path, test_uuid(ORPHAN, id)));
        assert_true(is_there(s, path, test_uuid(ANOTHER, id)));
        assert_true(is_there(s, path, "rows.sqlite3"));

        before = orphan_place_state(s);
        CLEANUP(json_object_put)
        struct json_object *again = start(s, "", NULL, 0);
        assert_int_equal(number(again, "directories_total") + rows(again, "embeddings") + number(again, "wal_rows"), 0);
        assert_true(orphan_place_state(s) == before);
        assert_int_equal(trash_count(s), 1);
}

static void directories_alone(void **state)
{
        const struct schema *s = *state;
        char path[128], id[37];
        make_index(s, ORPHAN);
        char *before = orphan_place_dump(s, NULL, "SELECT * FROM pragma_data_version UNION ALL SELECT count(*) FROM embeddings");
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "", NULL, 0);
        (void) snprintf(path, sizeof(path), STATE_DIR "/%s/", string(result_of(outcome), "trash"));
        assert_true(is_there(s, path, test_uuid(ORPHAN, id)));
        assert_false(is_there(s, path, "rows.sqlite3"));
        assert_false(has_index(s, ORPHAN));
        char *after = orphan_place_dump(s, NULL, "SELECT * FROM pragma_data_version UNION ALL SELECT count(*) FROM embeddings");
        assert_string_equal(before, after);
        free(before);
        free(after);
}

/* The uuid alone, in another case, with more behind it; without an index; just written to; a link, a file. */
static void what_is_no_orphan(void **state)
{
        const struct schema *s = *state;
        char id[37];
        static const char backup[] = "00000000-0000-4000-8000-000000000041_backup_20260101";
        make_index(s, ORPHAN);
        index_dir_age(s->dirfd, test_uuid(ORPHAN, id), 30);
        make_index(s, ANOTHER);
        index_dir_age(s->dirfd, test_uuid(ANOTHER, id), 90);
        index_dir_make(s->dirfd, backup, &(struct index_dir){ .count = 1 });
        index_dir_make(s->dirfd, "00000000-0000-4000-8000-00000000004A", &(struct index_dir){ .count = 1 });
        assert_int_equal(mkdirat(s->dirfd, test_uuid(0x42, id), 0755), 0);
        assert_int_equal(symlinkat(backup, s->dirfd, test_uuid(0x43, id)), 0);
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "", NULL, 0);
        assert_int_equal(number(outcome, "directories_total"), 1);
        assert_false(has_index(s, ANOTHER));
        assert_true(has_index(s, ORPHAN));
        assert_true(has_index(s, 0x42) && has_index(s, 0x43) && has_index(s, PLACE_VECTOR));
        assert_true(is_there(s, "", backup));
        assert_true(is_there(s, "", "00000000-0000-4000-8000-00000000004A"));
        assert_non_null(strstr(kept(outcome, test_uuid(ORPHAN, id)), "a minute"));
        assert_non_null(strstr(kept(outcome, test_uuid(0x42, id)), "header.bin"));
        assert_int_equal(json_object_array_length(json_object_object_get(result_of(outcome), "kept")), 2);
}

/* The files' times count, and the directory's: either is enough. */
static void young_files(void **state)
{
        const struct schema *s = *state;
        char id[37];
        make_index(s, ORPHAN);
        make_index(s, ANOTHER);
        struct timespec old[2] = { { .tv_sec = time(NULL) - 3600 }, { .tv_sec = time(NULL) - 3600 } };
        index_dir_write(s->dirfd, test_uuid(ORPHAN, id), "link_lists.bin", "x", 1);
        index_dir_age(s->dirfd, id, 0);
        assert_int_equal(utimensat(s->dirfd, id, old, 0), 0);
        struct timespec future[2] = { { .tv_sec = time(NULL) + 3600 }, { .tv_sec = time(NULL) + 3600 } };
        assert_int_equal(utimensat(s->dirfd, test_uuid(ANOTHER, id), future, 0), 0);
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "", NULL, 0);
        assert_int_equal(number(outcome, "directories_total"), 0);
        assert_non_null(strstr(kept(outcome, id), "a minute"));
        assert_int_equal(trash_count(s), 0);
}

/* A child that has files open until it is told to end. */
struct holder {
        pid_t pid;
        int end;
};

static struct holder hold(const struct schema *s, const char *const *paths)
{
        int ready[2], end[2];
        char byte;
        assert_int_equal(pipe(ready), 0);
        assert_int_equal(pipe(end), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) close(end[1]);
                for (int i = 0; paths[i] != NULL; i++)
                        if (openat(s->dirfd, paths[i], O_RDWR | O_CLOEXEC) < 0)
                                _exit(1);
                (void) !write(ready[1], "", 1);
                (void) !read(end[0], &byte, 1);
                _exit(0);
        }
        (void) close(ready[1]);
        (void) close(end[0]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void) close(ready[0]);
        return (struct holder){ pid, end[1] };
}

static void let_go(struct holder *holder)
{
        int status;
        (void) close(holder->end);
        assert_int_equal(waitpid(holder->pid, &status, 0), holder->pid);
        assert_int_equal(status, 0);
}

static void held_open(void **state)
{
        const struct schema *s = *state;
        char id[37], header[64];
        make_index(s, ANOTHER);
        make_index(s, ORPHAN);
        (void) snprintf(header, sizeof(header), "%s/header.bin", test_uuid(ORPHAN, id));
        struct holder holder = hold(s, (const char *const[]){ header, NULL });
        json_object_put(start(s, "", NULL, -EBUSY)); /* the guard */
        for (int dry = 1; dry >= 0; dry--) {
                CLEANUP(json_object_put)
                struct json_object *outcome = start(s, dry == 1 ? "dry_run=1" : "force=1", NULL, 0);
                assert_int_equal(number(outcome, "directories_total"), 1);
                assert_non_null(strstr(kept(outcome, id), "open for writing"));
                assert_true(has_index(s, ORPHAN));
                assert_true(has_index(s, ANOTHER) == (dry == 1));
        }
        let_go(&holder);
        CLEANUP(json_object_put)
        struct json_object *later = start(s, "", NULL, 0);
        assert_int_equal(number(later, "directories_total"), 1);
        assert_false(has_index(s, ORPHAN));
}

static void beside_a_live_process(void **state)
{
        const struct schema *s = *state;
        char id[37], level0[64];
        orphan_place_leave(s);
        make_index(s, ANOTHER);
        make_index(s, ORPHAN);
        uint64_t before = orphan_place_state(s);
        (void) snprintf(level0, sizeof(level0), "%s/data_level0.bin", test_uuid(ORPHAN, id));
        struct holder holder = hold(s, (const char *const[]){ DB_FILE, level0, NULL });
        json_object_put(start(s, "", NULL, -EBUSY));
        assert_true(orphan_place_state(s) == before);
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "force=1", NULL, 0);
        assert_int_equal(number(outcome, "directories_total"), 1);
        assert_int_equal(rows(outcome, "embeddings"), 3);
        assert_non_null(strstr(kept(outcome, id), "open for writing"));
        assert_true(has_index(s, ORPHAN));
        assert_false(has_index(s, ANOTHER));
        let_go(&holder);
}

static void incomplete_collections(void **state)
{
        const struct schema *s = *state;
        static const char *const scopes[][2] = { { "VECTOR", "no vector segment" }, { "METADATA", "no metadata segment" } };
        orphan_place_leave(s);
        make_index(s, ORPHAN);
        for (int i = 0; i < 2; i++) {
                orphan_place_exec(s, "CREATE TABLE kept AS SELECT * FROM segments; DELETE FROM segments WHERE scope = %Q",
                                  scopes[i][0]);
                uint64_t before = orphan_place_state(s);
                for (int dry = 0; dry < 2; dry++) {
                        CLEANUP(json_object_put)
                        struct json_object *outcome = start(s, dry == 1 ? "dry_run=1" : "", NULL, -EILSEQ);
                        assert_non_null(strstr(string(outcome, "sentence"), scopes[i][1]));
                        assert_non_null(strstr(string(outcome, "sentence"), "live"));
                }
                assert_true(orphan_place_state(s) == before);
                orphan_place_exec(s, "DELETE FROM segments; INSERT INTO segments SELECT * FROM kept; DROP TABLE kept");
        }
        assert_int_equal(trash_count(s), 0);
        json_object_put(start(s, "", NULL, 0));
        assert_false(has_index(s, ORPHAN));
}

static void segment_without_collection(void **state)
{
        const struct schema *s = *state;
        char id[37], collection[37];
        orphan_place_leave(s);
        make_index(s, PLACE_GONE_VECTOR);
        orphan_place_exec(s, "INSERT INTO segments (id, type, scope, collection) VALUES (%Q, 't', 'VECTOR', %Q)",
                          test_uuid(PLACE_GONE_VECTOR, id), test_uuid(PLACE_GONE, collection));
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "", NULL, 0);
        assert_non_null(strstr(kept(outcome, id), "names a collection that is not there"));
        assert_true(has_index(s, PLACE_GONE_VECTOR));
        assert_int_equal(number(outcome, "wal_rows"), 0);
        assert_int_equal(rows(outcome, "collection_metadata"), 0);
        assert_int_equal(rows(outcome, "max_seq_id"), 1); /* of the metadata segment, whose row is not there */
        assert_int_equal(rows(outcome, "embeddings"), 3);
}

static void highest_log_row(void **state)
{
        const struct schema *s = *state;
        orphan_place_leave(s);
        orphan_place_exec(s, "DELETE FROM embeddings_queue WHERE seq_id = 7");
        for (int i = 0; i < 2; i++) {
                CLEANUP(json_object_put)
                struct json_object *outcome = start(s, "", NULL, 0);
                assert_int_equal(number(outcome, "wal_rows"), i == 0 ? 2 : 0);
                assert_non_null(strstr(string(result_of(outcome), "wal_rows_kept"), "row 6 of the log"));
                assert_int_equal(orphan_place_number(s, "SELECT max(seq_id) FROM embeddings_queue"), 6);
        }
        assert_int_equal(trash_count(s), 1);
        orphan_place_exec(
                s,
                "INSERT INTO embeddings_queue (operation, topic, id) SELECT 3, topic, 'x' FROM embeddings_queue WHERE seq_id = 1");
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "", NULL, 0);
        assert_int_equal(number(outcome, "wal_rows"), 1);
        assert_int_equal(orphan_place_number(s, "SELECT count(*) FROM embeddings_queue"), 4);
}

static void odd_rows(void **state)
{
        const struct schema *s = *state;
        orphan_place_exec(s, "INSERT INTO embeddings_queue (seq_id, operation, topic, id) VALUES (0, 0, 'mine', 'a')");
        uint64_t before = orphan_place_state(s);
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "", NULL, 0);
        assert_non_null(strstr(kept(outcome, "embeddings_queue"), "1 rows whose topic"));
        assert_true(orphan_place_state(s) == before);
}

static void damaged_fulltext(void **state)
{
        const struct schema *s = *state;
        static const char *const damages[] = { "DELETE FROM embedding_fulltext_search_data",
                                               "UPDATE embedding_fulltext_search_data SET block = x'00' WHERE id = 10" };
        orphan_place_leave(s);
        orphan_place_exec(s, "CREATE TABLE saved AS SELECT * FROM embedding_fulltext_search_data");
        for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
                orphan_place_exec(s, "%s", damages[i]);
                CLEANUP(json_object_put)
                struct json_object *outcome = start(s, "", NULL, 0);
                assert_non_null(strstr(kept(outcome, "embedding_fulltext_search"), "rebuild-fts"));
                assert_non_null(strstr(kept(outcome, "embeddings"), "3 orphan rows"));
                assert_int_equal(rows(outcome, "embeddings"), 0);
                assert_int_equal(rows(outcome, "embedding_metadata"), i == 0 ? 6 : 0);
                assert_true((json_object_object_get(result_of(outcome), "trash") == NULL) == (i > 0)); /* nothing is left to do */
                assert_int_equal(trash_count(s), 1);
                assert_true(stage_is_empty(s));
                assert_int_equal(orphan_place_number(s, "SELECT count(*) FROM embeddings"), 6);
                orphan_place_exec(s, "REPLACE INTO embedding_fulltext_search_data SELECT * FROM saved");
        }
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "", NULL, 0);
        assert_int_equal(rows(outcome, "embeddings"), 3);
        assert_int_equal(rows(outcome, "embedding_fulltext_search"), 3);
        assert_int_equal(orphan_place_number(s, "SELECT count(*) FROM embedding_fulltext_search"), 3);
}

/* Cancelled when a phase begins. */
struct canceller {
        const char *phase;
        bool cancelled;
};

static void look(void *context, const struct operation_progress *progress)
{
        struct canceller *c = context;
        struct timespec moment = { .tv_nsec = 30 * 1000 * 1000 }; /* so that the next look at `cancelled` is due */
        (void) nanosleep(&moment, NULL);
        c->cancelled = c->cancelled || strcmp(progress->phase, c->phase) == 0;
}

static bool is_cancelled(void *context)
{
        return ((struct canceller *) context)->cancelled;
}

static void cancelled_anywhere(void **state)
{
        const struct schema *s = *state;
        static const char *const phases[] = { "preparing", "looking", "measuring", "copying", "deleting", "moving" };
        orphan_place_leave(s);
        make_index(s, ORPHAN);
        make_index(s, ANOTHER);
        uint64_t before = orphan_place_state(s);
        for (size_t i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
                struct canceller c = { .phase = phases[i] };
                struct operation_sink sink = { .context = &c, .progress = look, .cancelled = is_cancelled };
                CLEANUP(json_object_put)
                struct json_object *outcome = start(s, "", &sink, -ECANCELED);
                assert_true(c.cancelled);
                assert_string_equal(string(outcome, "status"), "canceled");
                assert_false(json_object_object_get_ex(result_of(outcome), "directories", NULL));
                assert_true(orphan_place_state(s) == before);
                assert_int_equal(trash_count(s), 0);
                if (i > 0)
                        assert_true(stage_is_empty(s));
        }
        json_object_put(start(s, "", NULL, 0));
        assert_false(has_index(s, ORPHAN));
}

static bool is_moved(void *context)
{
        return !has_index(context, ORPHAN);
}

static void pause_for_a_look(void *context, const struct operation_progress *progress)
{
        (void) context;
        (void) progress;
        struct timespec moment = { .tv_nsec = 30 * 1000 * 1000 };
        (void) nanosleep(&moment, NULL);
}

/* One directory is in the trash already, and comes back. */
static void cancelled_while_moving(void **state)
{
        struct schema *s = *state;
        struct operation_sink sink = { .context = s, .progress = pause_for_a_look, .cancelled = is_moved };
        orphan_place_leave(s);
        make_index(s, ORPHAN);
        make_index(s, ANOTHER);
        uint64_t before = orphan_place_state(s);
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "", &sink, -ECANCELED);
        assert_string_equal(string(outcome, "status"), "canceled");
        assert_true(orphan_place_state(s) == before);
        assert_int_equal(trash_count(s), 0);
        assert_true(stage_is_empty(s));
}

/* Somebody commits between the plan and the change: a child that holds the database reserved while it is planned, `times` times. */
struct committer {
        const struct schema *s;
        int times;
        bool copying; /* reported already, in this plan: a second child would wait for the first one, and that for us */
};

static void must(sqlite3 *db, int rc)
{
        if (rc == SQLITE_OK)
                return;
        (void) fprintf(stderr, "a child: %s (%d)\n", sqlite3_errmsg(db), sqlite3_extended_errcode(db));
        _exit(1);
}

static void commit_when_free(const struct schema *s, int ready)
{
        static const char insert[] = "PRAGMA synchronous = OFF; BEGIN IMMEDIATE; INSERT INTO segments (id, type, scope, collection)"
                                     " SELECT printf('00000000-0000-4000-8000-0000000000%02x', 48 + count(*)), 't', 'METADATA',"
                                     " '00000000-0000-4000-8000-000000000001' FROM segments";
        char path[128];
        sqlite3 *db = NULL;
        (void) snprintf(path, sizeof(path), "%s/" DB_FILE, s->path);
        must(db, sqlite3_open(path, &db));
        must(db, sqlite3_busy_timeout(db, 30000));
        must(db, sqlite3_exec(db, insert, NULL, NULL, NULL));
        (void) !write(ready, "", 1);
        must(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
        _exit(0);
}

static void disturb(void *context, const struct operation_progress *progress)
{
        struct committer *c = context;
        int ready[2];
        char byte;
        bool again = c->copying;
        c->copying = strcmp(progress->phase, "copying") == 0;
        if (!c->copying || again || c->times-- <= 0)
                return;
        assert_int_equal(pipe(ready), 0);
        pid_t pid = fork();
        if (pid == 0)
                commit_when_free(c->s, ready[1]);
        (void) close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        (void) close(ready[0]);
}

static void wait_for_children(void)
{
        int status;
        while (waitpid(-1, &status, 0) > 0)
                assert_int_equal(status, 0);
}

/* The first commit makes a segment of the id 0x32, the next one 0x33 …: a directory of that id is no orphan any more. */
static void changed_meanwhile(void **state)
{
        const struct schema *s = *state;
        struct committer c = { .s = s, .times = 1 };
        struct operation_sink sink = { .context = &c, .progress = disturb };
        orphan_place_leave(s);
        make_index(s, 0x32);
        make_index(s, ORPHAN);
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "", &sink, 0);
        wait_for_children();
        assert_int_equal(orphan_place_number(s, "SELECT count(*) FROM segments"), 3);
        assert_int_equal(number(outcome, "directories_total"), 1);
        assert_true(has_index(s, 0x32));
        assert_false(has_index(s, ORPHAN));
        assert_int_equal(orphan_place_number(s, "SELECT count(*) FROM embeddings"), 3);
        assert_int_equal(trash_count(s), 1);
}

static void changed_all_the_time(void **state)
{
        const struct schema *s = *state;
        struct committer c = { .s = s, .times = 100 };
        struct operation_sink sink = { .context = &c, .progress = disturb };
        orphan_place_leave(s);
        make_index(s, ORPHAN);
        json_object_put(start(s, "", &sink, -EBUSY));
        wait_for_children();
        assert_true(c.times < 99);
        assert_true(has_index(s, ORPHAN));
        assert_int_equal(orphan_place_number(s, "SELECT count(*) FROM embeddings"), 6);
        assert_int_equal(trash_count(s), 0);
        assert_true(stage_is_empty(s));
}

static void triggers_do_not_fire(void **state)
{
        const struct schema *s = *state;
        orphan_place_leave(s);
        orphan_place_exec(s,
                          "CREATE TRIGGER t AFTER DELETE ON embeddings BEGIN DELETE FROM embeddings; DELETE FROM collections; END");
        json_object_put(start(s, "", NULL, 0));
        assert_int_equal(orphan_place_number(s, "SELECT count(*) FROM embeddings"), 3);
        assert_int_equal(orphan_place_number(s, "SELECT count(*) FROM collections"), 1);
}

static void lists_are_bounded(void **state)
{
        const struct schema *s = *state;
        char id[37];
        for (unsigned i = 0; i < CLEAN_ORPHANS_SHOWN + 5; i++)
                assert_int_equal(mkdirat(s->dirfd, test_uuid(0x1000 + i, id), 0755), 0);
        CLEANUP(json_object_put)
        struct json_object *outcome = start(s, "dry_run=1", NULL, 0);
        assert_int_equal(json_object_array_length(json_object_object_get(result_of(outcome), "kept")), CLEAN_ORPHANS_SHOWN);
}

/* Directories by themselves: what has changed between the plan and the change, and giving back. */
static void look_again(void **state)
{
        const struct schema *s = *state;
        char id[37];
        const struct catalog nothing = { 0 };
        struct error e = { 0 };
        struct orphan_dirs dirs = { 0 };
        struct state_dir *chromafs = NULL;
        struct trash *trash = NULL;
        for (unsigned n = 0x51; n <= 0x55; n++)
                make_index(s, n);
        assert_int_equal(orphan_dirs_find(s->dirfd, &nothing, true, &dirs, &e), 0);
        assert_int_equal(orphan_dirs_count(&dirs), 6); /* and the living one: the catalog is empty */
        assert_int_equal(state_dir_open(s->dirfd, &chromafs, &e), 0);
        assert_int_equal(trash_new(chromafs, "clean-orphans", 7, &trash, &e), 0);

        index_dir_age(s->dirfd, test_uuid(0x52, id), 5);
        assert_int_equal(renameat(s->dirfd, test_uuid(0x53, id), s->dirfd, "away"), 0);
        make_index(s, 0x53);
        assert_int_equal(renameat(s->dirfd, test_uuid(0x54, id), s->dirfd, "gone"), 0);
        for (size_t i = 1; i < dirs.count; i++)
                assert_int_equal(orphan_dirs_take(&dirs, i, s->dirfd, true, trash, &e), 0);
        assert_int_equal(orphan_dirs_count(&dirs), 3); /* the one that was not asked for, 0x51 and 0x55 */
        for (unsigned n = 0x51; n <= 0x55; n++) {
                const struct orphan_dir *dir = &dirs.list[n - 0x50];
                assert_string_equal(dir->name, test_uuid(n, id));
                assert_true(dir->taken == (n == 0x51 || n == 0x55));
                assert_true(has_index(s, n) == (n == 0x52 || n == 0x53));
                assert_true(dir->taken == (dir->stays == NULL));
        }
        assert_int_equal(orphan_dirs_give_back(&dirs, s->dirfd, trash, &e), 0);
        assert_true(has_index(s, 0x51) && has_index(s, 0x55));
        assert_false(dirs.list[1].taken);

        /* What is in the way is not replaced. */
        dirs.list[1].stamp = file_stamp_at(s->dirfd, test_uuid(0x51, id)); /* its ctime moved with it */
        assert_int_equal(orphan_dirs_take(&dirs, 1, s->dirfd, true, trash, &e), 0);
        assert_true(dirs.list[1].taken);
        assert_int_equal(mkdirat(s->dirfd, test_uuid(0x51, id), 0755), 0);
        assert_int_equal(orphan_dirs_give_back(&dirs, s->dirfd, trash, &e), -EEXIST);
        assert_non_null(strstr(e.text, trash_name(trash)));
        orphan_dirs_clear(&dirs);
        (void) trash_free(trash);
        (void) state_dir_free(chromafs);
}

static void of_a_fixture(const struct fixture *f)
{
        const struct schema place = { .dirfd = f->fd };
        CLEANUP(json_object_put)
        struct json_object *outcome = start(&place, "dry_run=1", NULL, 0);
        assert_int_equal(number(outcome, "directories_total"), 1);
        assert_int_equal(number(outcome, "wal_rows"), 0);
        assert_int_equal(json_object_array_length(json_object_object_get(result_of(outcome), "kept")), 0);
        bool python = strstr(f->name, "-1.0.") == NULL && strncmp(f->name, "chroma-1.5.9", strlen("chroma-1.5.9")) != 0;
        assert_int_equal(rows(outcome, "embeddings"), python ? 25 : 0);
        assert_int_equal(rows(outcome, "embedding_metadata"), python ? 75 : 0);
}

/* Each has one collection that was deleted by a process that had not loaded it. */
static void fixtures(void **state)
{
        (void) state;
        each_fixture(of_a_fixture);
        assert_int_equal(chdir("/"), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(nothing_to_do, setup, teardown),
                cmocka_unit_test_setup_teardown(all_of_it, setup, teardown),
                cmocka_unit_test_setup_teardown(directories_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(what_is_no_orphan, setup, teardown),
                cmocka_unit_test_setup_teardown(young_files, setup, teardown),
                cmocka_unit_test_setup_teardown(held_open, setup, teardown),
                cmocka_unit_test_setup_teardown(beside_a_live_process, setup, teardown),
                cmocka_unit_test_setup_teardown(incomplete_collections, setup, teardown),
                cmocka_unit_test_setup_teardown(segment_without_collection, setup, teardown),
                cmocka_unit_test_setup_teardown(highest_log_row, setup, teardown),
                cmocka_unit_test_setup_teardown(odd_rows, setup, teardown),
                cmocka_unit_test_setup_teardown(damaged_fulltext, setup, teardown),
                cmocka_unit_test_setup_teardown(cancelled_anywhere, setup, teardown),
                cmocka_unit_test_setup_teardown(cancelled_while_moving, setup, teardown),
                cmocka_unit_test_setup_teardown(changed_meanwhile, setup, teardown),
                cmocka_unit_test_setup_teardown(changed_all_the_time, setup, teardown),
                cmocka_unit_test_setup_teardown(triggers_do_not_fire, setup, teardown),
                cmocka_unit_test_setup_teardown(lists_are_bounded, setup, teardown),
                cmocka_unit_test_setup_teardown(look_again, setup, teardown),
                cmocka_unit_test(fixtures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
