/*
 * rebuild-fts beside a writer that commits something during every plan: the last plan is made good inside the transaction.
 *
 * The writer is a process of its own. It is told when a plan has begun, answers when it has the right to write, and commits as soon as the reader lets it:
 * so the operation finds a plan that is too old each time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ops/operation/rebuild_fts.h"
#include "tests/unit/orphan_place.h"

#define TABLE "embedding_fulltext_search"
#define TRIES 5       /* of rebuild_fts.c */
#define REPORT_MS 101 /* operation_progress() tells nothing more often */

struct writer {
        pid_t pid;
        int go, ready;
        int plans; /* that were begun */
};

/* The writer's process. */

static const char *statement(int commit)
{
        return commit < TRIES ? "BEGIN IMMEDIATE; UPDATE embeddings SET seq_id = seq_id + 1 WHERE id = 1"
                              : "BEGIN IMMEDIATE;"
                                " INSERT INTO embeddings (id, segment_id, embedding_id, seq_id) VALUES (1000, 's', 'late', 1);"
                                " INSERT INTO embedding_metadata (id, key, string_value)"
                                " VALUES (1000, 'chroma:document', 'the last')";
}

static int write_on(const char *dir, int go, int ready)
{
        char path[128], byte = 0;
        sqlite3 *sqlite = NULL;
        (void) snprintf(path, sizeof(path), "%s/" DB_FILE, dir);
        if (sqlite3_open(path, &sqlite) != SQLITE_OK || sqlite3_busy_timeout(sqlite, 60000) != SQLITE_OK)
                return 2;
        for (int commit = 1; read(go, &byte, 1) == 1; commit++)
                if (sqlite3_exec(sqlite, statement(commit), NULL, NULL, NULL) != SQLITE_OK || write(ready, "x", 1) != 1 ||
                    sqlite3_exec(sqlite, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
                        return 3;
        return sqlite3_close(sqlite) == SQLITE_OK ? 0 : 4;
}

static struct writer writer_start(const struct schema *s)
{
        int ready[2], go[2];
        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        assert_int_equal(pipe2(go, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) close(go[1]);
                _exit(write_on(s->path, go[0], ready[1]));
        }
        (void) close(ready[1]);
        (void) close(go[0]);
        return (struct writer){ .pid = pid, .go = go[1], .ready = ready[0] };
}

static void writer_end(const struct writer *w)
{
        int status = -1;
        (void) close(w->go);
        assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
        assert_int_equal(status, 0);
        (void) close(w->ready);
}

/* Sleeps, so that it hears of every row that is read, and of the first of each plan. */
static void on_progress(void *context, const struct operation_progress *progress)
{
        struct writer *w = context;
        struct timespec moment = { .tv_nsec = REPORT_MS * 1000000L };
        char byte = 0;
        if (strcmp(progress->phase, "reading") != 0)
                return;
        (void) nanosleep(&moment, NULL);
        if (progress->done != 1)
                return;
        assert_int_equal(write(w->go, "x", 1), 1);
        assert_int_equal(read(w->ready, &byte, 1), 1);
        w->plans++;
}

static void run_beside(const struct schema *s)
{
        struct operation_request request = { .type = &operation_rebuild_fts, .line = "force=1", .line_len = strlen("force=1") };
        struct json_object *outcome = NULL;
        struct error e = { 0 };
        struct writer w = writer_start(s);
        int code = operation_run(s->dirfd, &request, &(struct operation_sink){ &w, on_progress, NULL }, &outcome, &e);
        writer_end(&w);
        json_object_put(outcome);
        if (code < 0)
                fail_msg("%s", e.text);
        assert_int_equal(w.plans, TRIES);
}

static void has(const struct schema *s, const char *sql, const char *expected)
{
        char *found = orphan_place_dump(s, NULL, sql), *wanted = orphan_place_dump(s, NULL, expected);
        assert_string_equal(found, wanted);
        free(found);
        free(wanted);
}

static void is_built(const struct schema *s)
{
        has(s, "SELECT rowid, string_value FROM " TABLE " ORDER BY rowid",
            "SELECT 1, 'the first' UNION ALL SELECT 1000, 'the last'");
        has(s, "SELECT seq_id FROM embeddings WHERE id = 1", "SELECT 5"); /* its first commits are there, too */
        has(s, "PRAGMA integrity_check", "SELECT 'ok'");
        orphan_place_exec(s, "INSERT INTO " TABLE "(" TABLE ") VALUES ('integrity-check')");
}

static void place_make(struct schema *s)
{
        orphan_place_make(s, 10, 6, 2);
        orphan_place_exec(s, "DELETE FROM embedding_metadata; DELETE FROM embeddings WHERE id > 1; DELETE FROM " TABLE
                             "; UPDATE embeddings SET seq_id = 1 WHERE id = 1");
        orphan_place_exec(s, "INSERT INTO embedding_metadata (id, key, string_value) VALUES (1, 'chroma:document', 'the first')");
}

static void test_every_plan_is_old(void **state)
{
        struct schema s;
        (void) state;
        place_make(&s);
        run_beside(&s);
        is_built(&s);
        orphan_place_remove(&s);
}

static void test_without_a_table(void **state)
{
        struct schema s;
        (void) state;
        place_make(&s);
        orphan_place_exec(&s, "DROP TABLE " TABLE);
        run_beside(&s);
        is_built(&s);
        orphan_place_remove(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_plan_is_old),
                cmocka_unit_test(test_without_a_table),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
