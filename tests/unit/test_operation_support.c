/* What an operation's own code calls: progress, cancelling, which collections, descriptions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ops/clock.h"
#include "ops/json.h"
#include "ops/operation/operation.h"
#include "ops/operation/room.h"
#include "tests/unit/sql_dir.h"

static const struct operation_type type = { .name = "mend" };

struct onlooker {
        unsigned told, asked;
        bool cancel;
        struct operation_progress last;
};

static void tell(void *context, const struct operation_progress *progress)
{
        struct onlooker *o = context;
        o->told++;
        o->last = *progress;
}

static bool ask(void *context)
{
        struct onlooker *o = context;
        o->asked++;
        return o->cancel;
}

static struct operation_sink sink_of(struct onlooker *o)
{
        return (struct operation_sink){ .context = o, .progress = tell, .cancelled = ask };
}

static void nobody_looks(void **state)
{
        (void) state;
        struct operation_sink sink = { 0 };
        struct operation op = { .type = &type };
        assert_int_equal(operation_progress(&op, "checking", 1, 2), 0);
        assert_false(operation_is_cancelled(&op));
        op.sink = &sink;
        assert_int_equal(operation_progress(&op, "deleting", 1, 2), 0);
        assert_false(operation_is_cancelled(&op));
        assert_string_equal(op.reported.phase, "deleting");
}

/* Told of each phase, and between them not more often than every 100 ms; asked not more often than every 20 ms. */
static void not_too_often(void **state)
{
        (void) state;
        struct onlooker o = { 0 };
        struct operation_sink sink = sink_of(&o);
        struct operation op = { .type = &type, .sink = &sink };
        int64_t begin = clock_ms();
        uint64_t rows = 0;
        while (clock_ms() - begin < 250)
                assert_int_equal(operation_progress(&op, "deleting", rows++, 0), 0);
        int64_t took = clock_ms() - begin;
        assert_true(o.told >= 2 && o.told <= (unsigned) (took / 100 + 1));
        assert_true(o.asked >= 2 && o.asked <= (unsigned) (took / 20 + 1));
        assert_int_equal(op.reported.done, rows - 1);
        unsigned before = o.told;
        static const char *const phases[] = { "checking", "deleting", "vacuum" };
        for (size_t i = 0; i < 3; i++) {
                assert_int_equal(operation_progress(&op, phases[i], i, 9), 0);
                assert_int_equal(o.told, before + i + 1);
                assert_string_equal(o.last.phase, phases[i]);
                assert_int_equal(o.last.done, i);
                assert_int_equal(o.last.total, 9);
        }
        char copy[] = "vacuum"; /* the same phase, elsewhere */
        assert_int_equal(operation_progress(&op, copy, 1, 9), 0);
        assert_true(o.told <= before + 4);
        assert_int_equal(op.reported.done, 1);
}

static void cancelled(void **state)
{
        (void) state;
        struct onlooker o = { .cancel = true };
        struct operation_sink sink = sink_of(&o);
        struct operation op = { .type = &type, .sink = &sink };
        assert_int_equal(operation_progress(&op, "deleting", 0, 0), -ECANCELED);
        assert_int_equal(op.error.code, -ECANCELED);
        assert_non_null(strstr(op.error.text, "mend"));
        o.cancel = false; /* it stays so */
        assert_true(operation_is_cancelled(&op));
        assert_int_equal(operation_progress(&op, "deleting", 1, 0), -ECANCELED);
        assert_int_equal(o.asked, 1);
        op.late = true;
        assert_false(operation_is_cancelled(&op));
        assert_int_equal(operation_progress(&op, "vacuum", 1, 0), 0);
        assert_string_equal(o.last.phase, "vacuum");
}

/* Whoever is late is not even asked. */
static void too_late(void **state)
{
        (void) state;
        struct onlooker o = { .cancel = true };
        struct operation_sink sink = sink_of(&o);
        struct operation op = { .type = &type, .sink = &sink, .late = true };
        assert_int_equal(operation_progress(&op, "vacuum", 1, 0), 0);
        assert_false(operation_is_cancelled(&op));
        assert_int_equal(o.asked, 0);
        assert_int_equal(o.told, 1);
}

static bool wants(const struct operation_request *request, const char *id)
{
        struct operation op = { .request = request };
        struct collection collection = { .id = text_of(id) };
        return operation_wants(&op, &collection);
}

static void wanted(void **state)
{
        (void) state;
        const struct text skip[] = { text_of("b"), text_of("d") };
        struct operation_request request = { 0 };
        assert_true(wants(&request, "a"));
        request.skip = skip;
        request.skip_count = 2;
        assert_true(wants(&request, "a"));
        assert_false(wants(&request, "b"));
        assert_false(wants(&request, "d"));
        assert_true(wants(&request, "dd"));
        request.collection_id = "c";
        assert_false(wants(&request, "a"));
        assert_true(wants(&request, "c"));
        request.collection_id = "b";
        assert_false(wants(&request, "b"));
}

static void descriptions(void **state)
{
        (void) state;
        struct collection collection = {
                .id = text_of("7"),
                .name = text_of("n\xff"),
                .tenant = text_of("t"),
                .database = text_of(""),
        };
        struct json_object *object = operation_collection_json(&collection);
        assert_string_equal(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
                            "{\"id\":\"7\",\"name\":\"n\\udcff\",\"tenant\":\"t\",\"database\":\"\"}");
        json_object_put(object);
}

/* A statement that would never end hears the cancel. */
static void reading_is_cancelled(void **state)
{
        (void) state;
        struct sql_dir d;
        sql_dir_make(&d);
        struct onlooker o = { 0 };
        struct operation_sink sink = sink_of(&o);
        struct operation op = { .type = &type, .sink = &sink, .dirfd = d.fd };
        struct db *db = NULL;
        assert_int_equal(operation_read(&op, &db), 0);
        assert_int_equal(db_begin(db, &op.error), 0);
        sqlite3_stmt *stmt = NULL;
        assert_int_equal(db_prepare(db, &stmt, &op.error,
                                    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"),
                         0);
        o.cancel = true;
        assert_int_equal(db_step(db, stmt, &op.error), -EINTR);
        (void) sqlite3_finalize(stmt);
        db_end(db);
        (void) db_close(db);
        sql_dir_remove(&d);
        op.dirfd = -1;
        assert_true(operation_read(&op, &db) < 0);
        assert_true(op.error.text[0] != '\0');
}

static void room(void **state)
{
        (void) state;
        struct sql_dir d;
        struct error e = { 0 };
        sql_dir_make(&d);
        assert_int_equal(room_check(d.fd, 0, "a test", &e), 0);
        assert_int_equal(room_check(d.fd, 4096, "a test", &e), 0);
        assert_int_equal(room_check(d.fd, UINT64_MAX - 1, "the copy", &e), -ENOSPC);
        assert_int_equal(e.code, -ENOSPC);
        assert_non_null(strstr(e.text, "the copy may need 18446744073709551614 bytes"));
        assert_non_null(strstr(e.text, "bytes free"));
        assert_int_equal(room_check(-1, 1, "a test", &e), -EBADF);
        sql_dir_remove(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nobody_looks), cmocka_unit_test(not_too_often),
                cmocka_unit_test(cancelled),    cmocka_unit_test(too_late),
                cmocka_unit_test(wanted),       cmocka_unit_test(descriptions),
                cmocka_unit_test(room),         cmocka_unit_test(reading_is_cancelled),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
