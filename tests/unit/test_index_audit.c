#include <setjmp.h>
#include <stdio.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/index_audit.h"
#include "tests/unit/fixture.h"
#include "tests/unit/index_dir.h"
#include "tests/unit/sql_dir.h"

#define ID "00000000-0000-4000-8000-000000000001"

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

static struct index_audit audit(const struct sql_dir *d)
{
        struct index_audit a;
        struct error e = { 0 };
        if (index_audit_read(d->fd, ID, NULL, NULL, &a, &e) < 0)
                fail_msg("%s", e.text);
        return a;
}

static void good_index(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 10, .deleted = 3 });
        struct index_audit a = audit(d);
        assert_string_equal(a.damage.text, "");
        assert_true(a.has_labels);
        assert_int_equal(a.labels.total, 10);
        assert_int_equal(a.labels.deleted, 3);
        assert_int_equal(a.labels.active, 7);
        assert_int_equal(a.labels.allocated, 20);
        assert_int_equal(a.labels.orphan_count, 0);
        assert_int_equal(a.labels.missing_count, 0);
        struct index_stamps stamps = index_stamps_read(d->fd, ID);
        assert_true(index_stamps_equal(&a.stamps, &stamps));
        index_audit_clear(&a);
}

static void never_persisted(void **state)
{
        const struct sql_dir *d = *state;
        struct index_audit a = audit(d);
        assert_false(a.has_labels);
        assert_int_equal(a.damage.code, 0);
        index_dir_make(d->fd, ID, &(struct index_dir){ .without_pickle = true });
        a = audit(d);
        assert_false(a.has_labels);
        assert_int_equal(a.damage.code, 0);
}

static void lacking_labels(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 0, .extra_label = 1 });
        struct index_audit a = audit(d);
        assert_int_equal(a.damage.code, 0);
        assert_int_equal(a.labels.missing_count, 1);
        assert_int_equal(a.labels.missing[0], 1);
        index_audit_clear(&a);
}

static void lost_pickle_makes_orphans(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 4, .deleted = 1, .without_pickle = true });
        struct index_audit a = audit(d);
        assert_true(a.has_labels);
        assert_int_equal(a.labels.orphan_count, 3);
        index_audit_clear(&a);
}

static void broken_pickle_makes_none(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 4 });
        index_dir_write(d->fd, ID, "index_metadata.pickle", "\x80\x03}.", 4);
        struct index_audit a = audit(d);
        assert_false(a.has_labels);
        assert_true(a.damage.code < 0);
        index_audit_clear(&a);
}

/* One damaged file does not keep the others from being read. */
static void each_damaged_file(void **state)
{
        const struct sql_dir *d = *state;
        static const struct {
                const char *file;
                size_t offset;
                unsigned char byte;
        } cases[] = {
                { "data_level0.bin", INDEX_DIR_RECORD + 4, 77 },    /* a link beyond N */
                { "data_level0.bin", 2 * INDEX_DIR_RECORD - 8, 1 }, /* label 1 again */
                { "link_lists.bin", 4, 3 },                         /* no size that M allows */
        };
        for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                char id[37], path[64];
                index_dir_make(d->fd, test_uuid(i + 10, id), &(struct index_dir){ .count = 10 });
                (void) snprintf(path, sizeof(path), "%s/%s", id, cases[i].file);
                int fd = openat(d->fd, path, O_WRONLY);
                assert_int_equal(pwrite(fd, &cases[i].byte, 1, (off_t) cases[i].offset), 1);
                (void) close(fd);
                index_dir_age(d->fd, id, 60);
                struct index_audit a;
                assert_int_equal(index_audit_read(d->fd, id, NULL, NULL, &a, NULL), 0);
                if (strstr(a.damage.text, i == 1 ? "label" : cases[i].file) == NULL)
                        fail_msg("%u: %s", i, a.damage.text);
                assert_int_equal(a.has_labels, i == 2);
                index_audit_clear(&a);
        }
}

static void cut_off_and_strange_files(void **state)
{
        const struct sql_dir *d = *state;
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 10 });
        index_dir_write(d->fd, ID, "length.bin", "", 0);
        struct index_audit a = audit(d);
        assert_true(a.has_labels);
        assert_non_null(strstr(a.damage.text, "length.bin"));
        index_audit_clear(&a);
        assert_int_equal(unlinkat(d->fd, ID "/data_level0.bin", 0), 0);
        assert_int_equal(mkfifoat(d->fd, ID "/data_level0.bin", 0644), 0);
        index_dir_age(d->fd, ID, 60);
        a = audit(d);
        assert_false(a.has_labels);
        assert_int_equal(a.damage.code, -EILSEQ);
        assert_non_null(strstr(a.damage.text, "data_level0.bin"));
        index_audit_clear(&a);
        index_dir_write(d->fd, ID, "header.bin", "", 0);
        a = audit(d);
        assert_non_null(strstr(a.damage.text, "header.bin"));
        index_audit_clear(&a);
}

/* What only looks like damage while Chroma persists is not told of young files: in the files, and in the labels alone. */
static void young_files(void **state)
{
        const struct sql_dir *d = *state;
        struct index_audit a;
        struct error e = { 0 };
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 10 });
        index_dir_age(d->fd, ID, 0);
        a = audit(d); /* nothing to say */
        assert_int_equal(a.labels.active, 10);
        index_audit_clear(&a);
        for (int i = 0; i < 3; i++) {
                static const size_t offsets[] = { INDEX_DIR_RECORD + 4, 2, INDEX_DIR_RECORD - 8 }; /* a link, a mark, a label */
                char id[37], path[64];
                index_dir_make(d->fd, test_uuid((unsigned) i + 10, id), &(struct index_dir){ .count = 10 });
                (void) snprintf(path, sizeof(path), "%s/data_level0.bin", id);
                int fd = openat(d->fd, path, O_WRONLY);
                assert_int_equal(pwrite(fd, i == 1 ? "\1" : "\115", 1, (off_t) offsets[i]), 1);
                (void) close(fd);
                assert_int_equal(index_audit_read(d->fd, id, NULL, NULL, &a, &e), -EAGAIN);
                assert_non_null(strstr(e.text, "is being written"));
                index_dir_age(d->fd, id, 3);
                assert_int_equal(index_audit_read(d->fd, id, NULL, NULL, &a, &e), 0);
                assert_true(i == 0 ? a.damage.code == -EILSEQ : a.labels.missing_count == 1);
                index_audit_clear(&a);
        }
}

static bool yes(void *context)
{
        ++*(unsigned *) context;
        return true;
}

static void cancelled(void **state)
{
        const struct sql_dir *d = *state;
        unsigned asked = 0;
        struct index_audit a;
        struct error e = { 0 };
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 10 });
        assert_int_equal(index_audit_read(d->fd, ID, yes, &asked, &a, &e), -EINTR);
        assert_int_equal(asked, 1);
}

struct toucher {
        const struct sql_dir *dir;
        int asked;
};

/* Not yet while the pickle is read: the summary would read again. */
static bool touch(void *context)
{
        struct toucher *t = context;
        static const char bytes[1000];
        if (++t->asked > 4)
                index_dir_write(t->dir->fd, ID, "length.bin", bytes, sizeof(bytes));
        return false;
}

static void changed_meanwhile(void **state)
{
        const struct sql_dir *d = *state;
        struct index_audit a;
        struct error e = { 0 };
        struct toucher t = { .dir = d };
        index_dir_make(d->fd, ID, &(struct index_dir){ .count = 10 });
        assert_int_equal(index_audit_read(d->fd, ID, touch, &t, &a, &e), -EAGAIN);
        assert_non_null(strstr(e.text, ID));
}

static void check_fixture(const struct fixture *f)
{
        unsigned persisted = 0;
        for (size_t i = 0; i < f->catalog->collection_count; i++) {
                const struct collection *c = &f->catalog->collections[i];
                struct index_audit a;
                struct error e = { 0 };
                if (index_audit_read(f->fd, c->vector->id.bytes, NULL, NULL, &a, &e) < 0)
                        fail_msg("%s %s: %s", f->name, c->name.bytes, e.text);
                if (a.damage.code != 0)
                        fail_msg("%s %s: %s", f->name, c->name.bytes, a.damage.text);
                persisted += a.has_labels;
                assert_int_equal(a.labels.orphan_count, 0);
                assert_int_equal(a.labels.missing_count, 0);
                index_audit_clear(&a);
        }
        assert_true(persisted > 0);
}

static void fixtures(void **state)
{
        (void) state;
        each_fixture(check_fixture);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(good_index, setup, teardown),
                cmocka_unit_test_setup_teardown(never_persisted, setup, teardown),
                cmocka_unit_test_setup_teardown(lacking_labels, setup, teardown),
                cmocka_unit_test_setup_teardown(lost_pickle_makes_orphans, setup, teardown),
                cmocka_unit_test_setup_teardown(broken_pickle_makes_none, setup, teardown),
                cmocka_unit_test_setup_teardown(each_damaged_file, setup, teardown),
                cmocka_unit_test_setup_teardown(cut_off_and_strange_files, setup, teardown),
                cmocka_unit_test_setup_teardown(young_files, setup, teardown),
                cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
                cmocka_unit_test_setup_teardown(changed_meanwhile, setup, teardown),
                cmocka_unit_test(fixtures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
