#include <setjmp.h>
#include <stdio.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/orphans.h"
#include "tests/unit/fixture.h"
#include "tests/unit/index_dir.h"
#include "tests/unit/sql_dir.h"

static int setup(void **state)
{
        static struct sql_dir d;
        sql_dir_make(&d);
        *state = &d;
        return 0;
}

static int teardown(void **state)
{
        sql_dir_remove(*state);
        return 0;
}

static void make_index(const struct sql_dir *d, unsigned n)
{
        char id[37];
        index_dir_make(d->fd, test_uuid(n, id), &(struct index_dir){ .count = 1 });
}

static struct orphans list(const struct sql_dir *d)
{
        char owned[37];
        struct segment segments[] = { { .id = text_of(test_uuid(1, owned)), .scope = SCOPE_OTHER } };
        struct catalog catalog = { .segments = segments, .segment_count = 1 };
        struct orphans o;
        struct error e = { 0 };
        if (orphans_read(d->fd, &catalog, &o, &e) < 0)
                fail_msg("%s", e.text);
        return o;
}

static void none(void **state)
{
        make_index(*state, 1);
        struct orphans o = list(*state);
        assert_int_equal(o.count, 0);
        orphans_clear(&o);
}

static void kinds(void **state)
{
        const struct sql_dir *d = *state;
        char id[37];
        make_index(d, 1);
        make_index(d, 4);
        make_index(d, 3);
        assert_int_equal(mkdirat(d->fd, test_uuid(2, id), 0755), 0);
        assert_int_equal(mkdirat(d->fd, test_uuid(5, id), 0755), 0);
        char path[64];
        (void) snprintf(path, sizeof(path), "%s/header.bin", id);
        assert_int_equal(symlinkat("/etc/passwd", d->fd, path), 0);
        struct orphans o = list(d);
        assert_int_equal(o.count, 4);
        for (unsigned i = 0; i < 4; i++)
                assert_string_equal(o.list[i].name, test_uuid(i + 2, id));
        assert_false(o.list[0].removable);
        assert_true(o.list[1].removable);
        assert_true(o.list[2].removable);
        assert_false(o.list[3].removable); /* a link is no index */
        assert_non_null(strstr(o.list[0].reason, "header.bin"));
        assert_non_null(strstr(o.list[1].reason, "no segment"));
        orphans_clear(&o);
}

static void none_of_our_business(void **state)
{
        const struct sql_dir *d = *state;
        char id[37];
        static const char *const others[] = { ".chromafs",
                                              "00000000-0000-4000-8000-000000000002_backup_20240101",
                                              "00000000-0000-4000-8000-00000000000A",
                                              "00000000-0000-4000-8000-0000000000000",
                                              "0000000000000000000000000000000000000",
                                              "photos" };
        for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
                index_dir_make(d->fd, others[i], &(struct index_dir){ .count = 1 });
        assert_int_equal(symlinkat("photos", d->fd, test_uuid(2, id)), 0);
        assert_int_equal(mkfifoat(d->fd, test_uuid(3, id), 0644), 0);
        int fd = openat(d->fd, test_uuid(4, id), O_WRONLY | O_CREAT, 0644);
        assert_true(fd >= 0);
        (void) close(fd);
        struct orphans o = list(d);
        assert_int_equal(o.count, 0);
        orphans_clear(&o);
}

/* The list grows, and reading it twice gives the same: the descriptor's own offset is not used. */
static void many(void **state)
{
        const struct sql_dir *d = *state;
        char id[37];
        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(mkdirat(d->fd, test_uuid(i + 2, id), 0755), 0);
        for (int again = 0; again < 2; again++) {
                struct orphans o = list(d);
                assert_int_equal(o.count, 1000);
                for (unsigned i = 0; i < 1000; i++)
                        assert_string_equal(o.list[i].name, test_uuid(i + 2, id));
                orphans_clear(&o);
        }
}

/* make.py deletes one collection whose segment was persisted. */
static void check_fixture(const struct fixture *f)
{
        struct orphans o;
        struct error e = { 0 };
        if (orphans_read(f->fd, f->catalog, &o, &e) < 0)
                fail_msg("%s: %s", f->name, e.text);
        if (o.count != 1)
                fail_msg("%s: %zu orphans", f->name, o.count);
        assert_true(o.list[0].removable);
        orphans_clear(&o);
}

static void fixtures(void **state)
{
        (void) state;
        each_fixture(check_fixture);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(none, setup, teardown),
                cmocka_unit_test_setup_teardown(kinds, setup, teardown),
                cmocka_unit_test_setup_teardown(none_of_our_business, setup, teardown),
                cmocka_unit_test_setup_teardown(many, setup, teardown),
                cmocka_unit_test(fixtures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
