#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "ops/observer.h"
#include "tests/unit/schema.h"

#define COLLECTION "0e0fdc25-48b6-4e1b-9d0e-4509dc7b098d"

static const struct patience patient = { .until_ms = INT64_MAX }; /* tests wait until it is there */

struct fixture {
        struct schema schema;
        struct observer *observer;
};

static int setup(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));
        assert_non_null(f);
        schema_make(&f->schema, 10, 6, 2);
        schema_exec(&f->schema,
                    "INSERT OR IGNORE INTO tenants(id) VALUES ('default_tenant');"
                    "INSERT OR IGNORE INTO databases(id, name, tenant_id) VALUES ('d', 'default_database', 'default_tenant');"
                    "INSERT INTO collections(id, name, database_id, config_json_str) VALUES ('" COLLECTION "', 'docs', 'd', '{}');"
                    "INSERT INTO segments(id, type, scope, collection) VALUES"
                    " ('11111111-48b6-4e1b-9d0e-4509dc7b098d', 'm', 'METADATA', '" COLLECTION "'),"
                    " ('22222222-48b6-4e1b-9d0e-4509dc7b098d', 'v', 'VECTOR', '" COLLECTION "');"
                    "INSERT INTO embeddings_queue(operation, topic, id) VALUES"
                    " (0, 'persistent://default/default/" COLLECTION "', 'a'),"
                    " (0, 'persistent://default/default/" COLLECTION "', 'b');"
                    "INSERT INTO max_seq_id VALUES ('11111111-48b6-4e1b-9d0e-4509dc7b098d', 1)");
        assert_int_equal(observer_new(f->schema.dirfd, &f->observer, NULL), 0);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;
        f->observer = observer_free(f->observer);
        schema_remove(&f->schema);
        free(f);
        return 0;
}

static struct view *view_of(struct fixture *f)
{
        struct view *view = NULL;
        struct error e = { 0 };
        if (observer_view(f->observer, &patient, &view, &e) < 0)
                fail_msg("%s", e.text);
        return view;
}

static void a_view_lasts_until_a_commit(void **state)
{
        struct fixture *f = *state;
        struct view *first = view_of(f), *same = view_of(f);
        assert_ptr_equal(first, same);
        schema_exec(&f->schema, "UPDATE collections SET name = 'renamed'");
        struct view *second = view_of(f);
        assert_int_not_equal(first->generation, second->generation);
        assert_string_equal(first->catalog->collections[0].name.bytes, "docs"); /* the old view is what it was */
        assert_string_equal(second->catalog->collections[0].name.bytes, "renamed");
        (void) view_put(first);
        (void) view_put(same);
        (void) view_put(second);
}

static void a_detail_is_of_its_view(void **state)
{
        struct fixture *f = *state;
        struct view *view = view_of(f);
        struct detail_result *detail = NULL, *again = NULL;
        const struct collection *collection = &view->catalog->collections[0];
        assert_int_equal(observer_detail(f->observer, view, collection, &patient, &detail, NULL), 0);
        assert_string_equal(detail->detail.config_json.bytes, "{}");
        assert_int_equal(detail->config_failure.code, 0);
        assert_int_equal(observer_detail(f->observer, view, collection, &patient, &again, NULL), 0);
        assert_ptr_equal(detail, again);
        (void) result_put(&again->shared);
        schema_exec(&f->schema, "UPDATE collections SET config_json_str = 'none', name = 'x'");
        struct view *second = view_of(f);
        assert_int_equal(observer_detail(f->observer, view, collection, &patient, &again, NULL), -ESTALE);
        assert_int_equal(observer_detail(f->observer, second, &second->catalog->collections[0], &patient, &again, NULL), 0);
        assert_int_equal(again->config_failure.code, -EILSEQ);
        (void) result_put(&again->shared);
        (void) result_put(&detail->shared);
        (void) view_put(view);
        (void) view_put(second);
}

static void positions_are_of_this_moment(void **state)
{
        struct fixture *f = *state;
        struct view *view = view_of(f);
        struct tally_positions p = observer_positions(f->observer, &view->catalog->collections[0]);
        assert_true(p.has_metadata);
        assert_int_equal(p.metadata, 1);
        assert_false(p.has_vector);
        assert_true(observer_is_still(f->observer, view));
        schema_exec(&f->schema, "INSERT INTO max_seq_id VALUES ('22222222-48b6-4e1b-9d0e-4509dc7b098d', 2)");
        assert_false(observer_is_still(f->observer, view));
        (void) view_put(view);
        view = view_of(f);
        p = observer_positions(f->observer, &view->catalog->collections[0]);
        assert_true(p.has_vector);
        assert_int_equal(p.vector, 2);
        (void) view_put(view);
}

/* In place, with the same change counter, as when a backup is copied over the file. */
static void a_file_written_over_is_seen(void **state)
{
        struct fixture *f = *state;
        struct view *view = view_of(f);
        char path[128], copy[128];
        (void) snprintf(path, sizeof(path), "%s/" DB_FILE, f->schema.path);
        (void) snprintf(copy, sizeof(copy), "%s/copy", f->schema.path);
        char command[512];
        (void) snprintf(command, sizeof(command), "cp '%s' '%s' && sqlite3 '%s' \"UPDATE collections SET name = 'other'\"", path,
                        copy, copy);
        assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): paths of this test's own */
        schema_exec(&f->schema, "UPDATE collections SET name = 'once'");
        (void) view_put(view);
        view = view_of(f);
        assert_string_equal(view->catalog->collections[0].name.bytes, "once");
        (void) view_put(view);
        (void) snprintf(command, sizeof(command), "cat '%s' > '%s' && rm '%s'", copy, path, copy);
        assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
        view = view_of(f);
        assert_string_equal(view->catalog->collections[0].name.bytes, "other");
        (void) view_put(view);
}

static bool at_once(void *context)
{
        (void) context;
        return true;
}

static void a_lock_gives_busy_or_is_cancelled(void **state)
{
        struct fixture *f = *state;
        struct view *view = view_of(f), *none = NULL;
        const struct patience impatient = { .cancelled = at_once };
        schema_exec(&f->schema, "BEGIN EXCLUSIVE");
        assert_int_equal(observer_view(f->observer, &impatient, &none, NULL), -EINTR);
        struct error e = { 0 };
        assert_int_equal(observer_view(f->observer, &patient, &none, &e), -EBUSY);
        assert_non_null(strstr(e.text, "locked"));
        schema_exec(&f->schema, "COMMIT");
        struct view *again = view_of(f);
        assert_string_equal(again->catalog->collections[0].name.bytes, "docs");
        (void) view_put(again);
        (void) view_put(view);
}

static void probes(void **state)
{
        struct fixture *f = *state;
        int fd = -1;
        bool newer = true;
        struct error e = { 0 };
        assert_int_equal(observer_probe(f->schema.path, &fd, &newer, &e), 0);
        assert_false(newer);
        assert_int_equal(close(fd), 0);
        assert_int_equal(observer_probe("/nowhere/at/all", &fd, &newer, &e), -ENOENT);
        assert_int_equal(observer_probe("/dev/null", &fd, &newer, &e), -ENOTDIR);
        assert_int_equal(observer_probe("/proc", &fd, &newer, &e), -ENOENT);
        schema_exec(&f->schema, "INSERT INTO migrations VALUES ('sysdb', 99, '', '', '')");
        assert_int_equal(observer_probe(f->schema.path, &fd, &newer, &e), 0);
        assert_true(newer);
        assert_int_equal(close(fd), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_view_lasts_until_a_commit, setup, teardown),
                cmocka_unit_test_setup_teardown(a_detail_is_of_its_view, setup, teardown),
                cmocka_unit_test_setup_teardown(positions_are_of_this_moment, setup, teardown),
                cmocka_unit_test_setup_teardown(a_file_written_over_is_seen, setup, teardown),
                cmocka_unit_test_setup_teardown(a_lock_gives_busy_or_is_cancelled, setup, teardown),
                cmocka_unit_test_setup_teardown(probes, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
