/* The copy of rows that are going to be deleted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/operation/orphan_copy.h"
#include "tests/unit/orphan_scene.h"

#define MANY "WITH RECURSIVE g(x) AS (SELECT 101 UNION ALL SELECT x + 1 FROM g WHERE x < 10100) "
#define GONE "'00000000-0000-4000-8000-0000000000ee'"

static bool yes(void *context)
{
        (void) context;
        return true;
}

static void copy_rows(struct orphan_scene *c, struct trash **ret_trash)
{
        struct orphan_copy *copy = NULL;
        orphan_scene_must(c, orphan_scene_find(c));
        if (c->op.state == NULL)
                orphan_scene_must(c, state_dir_open(c->place.dirfd, &c->op.state, &c->op.error));
        orphan_scene_must(c, orphan_copy_new(&c->op, &copy));
        orphan_scene_must(c, orphan_rows_read(&c->op, c->db, &c->rows, "copying", orphan_copy_take, copy));
        orphan_scene_must(c, orphan_copy_seal(copy, &c->rows, &c->op.error));
        orphan_scene_must(c, trash_new(c->op.state, "clean-orphans", 7, ret_trash, &c->op.error));
        orphan_scene_must(c, orphan_copy_move(copy, *ret_trash, &c->op.error));
        (void) orphan_copy_free(copy);
}

static int stage_count(const struct orphan_scene *c)
{
        char path[128];
        (void) snprintf(path, sizeof(path), "%s/" STATE_DIR "/stage/" ORPHAN_COPY_FILE, c->place.path);
        struct stat st;
        return lstat(path, &st) == 0 ? 1 : 0;
}

static void trash_path(const struct orphan_scene *c, const struct trash *trash, char *ret, size_t size)
{
        (void) snprintf(ret, size, "%s/" STATE_DIR "/%s/" ORPHAN_COPY_FILE, c->place.path, trash_name(trash));
}

static void expect_same(const struct orphan_scene *c, const char *copy, const char *from_place, const char *from_copy)
{
        char *a = orphan_place_dump(&c->place, NULL, from_place), *b = orphan_place_dump(&c->place, copy, from_copy);
        assert_true(strlen(a) > 0);
        assert_string_equal(a, b);
        free(a);
        free(b);
}

static void copies_bit_by_bit(void **state)
{
        (void) state;
        CLEANUP(trash_free)
        struct trash *trash = NULL;
        struct orphan_scene c;
        char path[256];
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_leave(&c.place);
        orphan_place_exec(&c.place,
                          "UPDATE embeddings SET seq_id = x'0000000000000005', created_at = 17.5 WHERE id = 12;"
                          "INSERT INTO embedding_metadata (id, key, string_value, int_value, float_value, bool_value) VALUES"
                          " (11, 'a', CAST(x'ff00fe41' AS TEXT), -9223372036854775808, 9e999, 2), (11, 'b', x'', 1, -0.0, NULL),"
                          " (11, 'c', '', 'text', 5, 0), (12, 'd', 'Zeichen \xc3\xa4\xf0\x9f\x98\x80', x'00ff', 1e-300, 7.25),"
                          " (11, 'e', NULL, 12345678901234567, 0.1, 1);"
                          "UPDATE embeddings_queue SET vector = zeroblob(100000), metadata = CAST(x'80' AS TEXT) WHERE seq_id = 5;"
                          "DELETE FROM embedding_metadata_array WHERE rowid %% 2;"
                          "INSERT INTO embedding_fulltext_search (rowid, string_value) VALUES (99, NULL), (-3, 'negative')");
        copy_rows(&c, &trash);
        trash_path(&c, trash, path, sizeof(path));
        expect_same(&c, path, "SELECT rowid, * FROM embeddings WHERE id > 10", "SELECT rowid, * FROM embeddings");
        expect_same(&c, path, "SELECT rowid, * FROM embedding_metadata WHERE id > 10 ORDER BY rowid",
                    "SELECT rowid, * FROM embedding_metadata ORDER BY rowid");
        expect_same(&c, path, "SELECT rowid, * FROM embedding_metadata_array WHERE id > 10",
                    "SELECT rowid, * FROM embedding_metadata_array");
        expect_same(&c, path,
                    "SELECT rowid, string_value FROM embedding_fulltext_search WHERE rowid NOT IN (1, 2, 3) ORDER BY rowid",
                    "SELECT * FROM embedding_fulltext_search ORDER BY rowid");
        expect_same(&c, path, "SELECT rowid, * FROM max_seq_id WHERE seq_id = 6", "SELECT rowid, * FROM max_seq_id");
        expect_same(&c, path, "SELECT rowid, * FROM segment_metadata WHERE rowid > 1", "SELECT rowid, * FROM segment_metadata");
        expect_same(&c, path, "SELECT rowid, * FROM collection_metadata WHERE rowid > 1",
                    "SELECT rowid, * FROM collection_metadata");
        expect_same(&c, path, "SELECT rowid, * FROM embeddings_queue WHERE seq_id BETWEEN 4 AND 6",
                    "SELECT rowid, * FROM embeddings_queue");
        char *ok = orphan_place_dump(&c.place, path, "PRAGMA integrity_check");
        assert_string_equal(ok, " text:6f6b\n");
        free(ok);
        assert_int_equal(stage_count(&c), 0);
        orphan_scene_drop(&c);
}

/* As the header says that it is done. */
static void puts_rows_back(void **state)
{
        (void) state;
        static const char all[] =
                "SELECT rowid, * FROM embeddings UNION ALL SELECT rowid, id, key, string_value, int_value, NULL FROM"
                " embedding_metadata UNION ALL SELECT rowid, rowid, string_value, 0, 0, 0 FROM embedding_fulltext_search"
                " UNION ALL SELECT seq_id, topic, id, vector, metadata, created_at FROM embeddings_queue";
        CLEANUP(trash_free)
        struct trash *trash = NULL;
        struct orphan_scene c;
        char path[256];
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_leave(&c.place);
        char *before = orphan_place_dump(&c.place, NULL, all);
        copy_rows(&c, &trash);
        trash_path(&c, trash, path, sizeof(path));
        orphan_scene_must(&c, orphan_scene_delete(&c));
        orphan_place_exec(&c.place,
                          "ATTACH %Q AS t; INSERT INTO main.embeddings SELECT * FROM t.embeddings;"
                          "INSERT INTO main.embedding_metadata SELECT * FROM t.embedding_metadata;"
                          "INSERT INTO main.embedding_fulltext_search (rowid, string_value) SELECT rowid, string_value FROM"
                          " t.embedding_fulltext_search; INSERT INTO main.embeddings_queue SELECT * FROM t.embeddings_queue",
                          path);
        char *after = orphan_place_dump(&c.place, NULL, all);
        assert_string_equal(before, after);
        free(before);
        free(after);
        orphan_scene_drop(&c);
}

static void copies_old_fulltext(void **state)
{
        (void) state;
        CLEANUP(trash_free)
        struct trash *trash = NULL;
        struct orphan_scene c;
        char path[256];
        orphan_scene_make(&c, 3, 1, 1);
        orphan_place_leave(&c.place);
        copy_rows(&c, &trash);
        trash_path(&c, trash, path, sizeof(path));
        expect_same(&c, path, "SELECT rowid, id, string_value FROM embedding_fulltext WHERE id > 10",
                    "SELECT * FROM embedding_fulltext");
        orphan_scene_must(&c, orphan_scene_delete(&c));
        assert_int_equal(orphan_place_number(&c.place, "SELECT count(*) FROM embedding_fulltext"), 3);
        orphan_scene_drop(&c);
}

static void what_lies_in_the_stage(void **state)
{
        (void) state;
        CLEANUP(trash_free)
        struct trash *trash = NULL;
        struct orphan_scene c;
        char stage[128];
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_leave(&c.place);
        orphan_scene_must(&c, state_dir_open(c.place.dirfd, &c.op.state, &c.op.error));
        (void) snprintf(stage, sizeof(stage), "%s/" STATE_DIR "/stage/" ORPHAN_COPY_FILE, c.place.path);
        assert_int_equal(symlink("../../" DB_FILE, stage), 0);
        uint64_t before = orphan_place_state(&c.place);
        copy_rows(&c, &trash);
        assert_true(orphan_place_state(&c.place) == before);
        struct stat st;
        assert_int_equal(fstatat(trash_fd(trash), ORPHAN_COPY_FILE, &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_true(S_ISREG(st.st_mode));
        assert_int_equal(st.st_mode & 07777, 0600);
        orphan_scene_drop(&c);
}

static void a_copy_that_lacks_rows(void **state)
{
        (void) state;
        struct orphan_scene c;
        struct orphan_copy *copy = NULL;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_leave(&c.place);
        orphan_scene_must(&c, orphan_scene_find(&c));
        orphan_scene_must(&c, state_dir_open(c.place.dirfd, &c.op.state, &c.op.error));
        orphan_scene_must(&c, orphan_copy_new(&c.op, &copy));
        assert_int_equal(stage_count(&c), 1);
        assert_int_equal(orphan_copy_seal(copy, &c.rows, &c.op.error), -EIO);
        (void) orphan_copy_free(copy);
        assert_int_equal(stage_count(&c), 0);
        orphan_scene_drop(&c);
}

/* A file that says something else than what was written. */
static void a_copy_that_is_changed(void **state)
{
        (void) state;
        struct orphan_scene c;
        struct orphan_copy *copy = NULL;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_leave(&c.place);
        orphan_place_exec(&c.place, "UPDATE embeddings_queue SET vector = zeroblob(50000000) WHERE seq_id = 5");
        orphan_scene_must(&c, orphan_scene_find(&c));
        orphan_scene_must(&c, state_dir_open(c.place.dirfd, &c.op.state, &c.op.error));
        orphan_scene_must(&c, orphan_copy_new(&c.op, &copy));
        orphan_scene_must(&c, orphan_rows_read(&c.op, c.db, &c.rows, "copying", orphan_copy_take, copy));
        int fd = openat(state_dir_stage_fd(c.op.state), ORPHAN_COPY_FILE, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "x", 1, 20000000), 1); /* so large that SQLite had to write that part already */
        (void) close(fd);
        assert_int_equal(orphan_copy_seal(copy, &c.rows, &c.op.error), -EIO);
        assert_non_null(strstr(c.op.error.text, "embeddings_queue"));
        (void) orphan_copy_free(copy);
        assert_int_equal(stage_count(&c), 0);
        orphan_scene_drop(&c);
}

static void a_copy_that_is_cancelled(void **state)
{
        (void) state;
        static const struct operation_sink sink = { .cancelled = yes };
        struct orphan_scene c;
        struct orphan_copy *copy = NULL;
        orphan_scene_make(&c, 10, 6, 2);
        orphan_place_exec(&c.place, "INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) " MANY "SELECT x, " GONE
                                    ", 'e' || x, x FROM g");
        orphan_scene_must(&c, orphan_scene_find(&c));
        orphan_scene_must(&c, state_dir_open(c.place.dirfd, &c.op.state, &c.op.error));
        orphan_scene_must(&c, orphan_copy_new(&c.op, &copy));
        orphan_scene_must(&c, orphan_rows_read(&c.op, c.db, &c.rows, "copying", orphan_copy_take, copy));
        c.op.sink = &sink;
        assert_int_equal(orphan_copy_seal(copy, &c.rows, &c.op.error), -ECANCELED);
        (void) orphan_copy_free(copy);
        assert_int_equal(stage_count(&c), 0);
        orphan_scene_drop(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(copies_bit_by_bit),        cmocka_unit_test(puts_rows_back),
                cmocka_unit_test(copies_old_fulltext),      cmocka_unit_test(what_lies_in_the_stage),
                cmocka_unit_test(a_copy_that_lacks_rows),   cmocka_unit_test(a_copy_that_is_changed),
                cmocka_unit_test(a_copy_that_is_cancelled),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
