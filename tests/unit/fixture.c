#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fixture.h"

static void open_fixture(struct fixture *f, const char *truth)
{
        char path[1024];
        const char *end = strrchr(truth, '/');
        (void) snprintf(path, sizeof(path), "%.*s/dir", (int) (end - truth), truth);
        const char *name = memrchr(truth, '/', (size_t) (end - truth));
        (void) snprintf(f->name, sizeof(f->name), "%.*s", (int) (end - name - 1), name + 1);
        f->truth = json_object_from_file(truth);
        assert_non_null(f->truth);
        f->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        struct error e = { 0 };
        if (db_open(f->fd, &f->db, &e) < 0 || catalog_read(f->db, &f->catalog, &e) < 0)
                fail_msg("%s: %s", f->name, e.text);
}

static void close_fixture(struct fixture *f)
{
        (void) catalog_free(f->catalog);
        (void) db_close(f->db);
        (void) close(f->fd);
        (void) json_object_put(f->truth);
}

void each_fixture(void (*fn)(const struct fixture *f))
{
        const char *root = getenv("CHROMAFS_FIXTURES");
        if (root == NULL)
                skip();
        char pattern[512];
        (void) snprintf(pattern, sizeof(pattern), "%s/chroma-*/truth.json", root);
        glob_t found;
        assert_int_equal(glob(pattern, 0, NULL, &found), 0);
        for (size_t i = 0; i < found.gl_pathc; i++) {
                struct fixture f = { .fd = -1 };
                open_fixture(&f, found.gl_pathv[i]);
                fn(&f);
                close_fixture(&f);
        }
        globfree(&found);
}

struct json_object *fixture_truth(const struct fixture *f, const struct collection *collection)
{
        struct json_object *all = json_object_object_get(f->truth, "collections");
        for (size_t i = 0; i < json_object_array_length(all); i++) {
                struct json_object *one = json_object_array_get_idx(all, i);
                if (strcmp(json_object_get_string(json_object_object_get(one, "id")), collection->id.bytes) == 0)
                        return one;
        }
        fail_msg("%s: Chroma has no collection %s", f->name, collection->id.bytes);
        return NULL;
}
