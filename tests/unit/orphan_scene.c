#include "tests/unit/orphan_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <unistd.h>

static const struct operation_type type = { .name = "clean-orphans" };

void orphan_scene_make(struct orphan_scene *c, int sysdb, int metadb, int embeddings_queue)
{
        *c = (struct orphan_scene){ 0 };
        orphan_place_make(&c->place, sysdb, metadb, embeddings_queue);
        c->op = (struct operation){ .type = &type, .dirfd = c->place.dirfd };
        assert_int_equal(chdir(c->place.path), 0);
}

void orphan_scene_drop(struct orphan_scene *c)
{
        orphan_rows_clear(&c->rows);
        c->db = db_close(c->db);
        c->op.state = state_dir_free(c->op.state);
        assert_int_equal(chdir("/"), 0);
        orphan_place_remove(&c->place);
}

void orphan_scene_must(const struct orphan_scene *c, int r)
{
        if (r < 0)
                fail_msg("%d: %s", r, c->op.error.text);
}

int orphan_scene_find(struct orphan_scene *c)
{
        CLEANUP(catalog_free)
        struct catalog *catalog = NULL;
        orphan_rows_clear(&c->rows);
        c->db = db_close(c->db);
        c->op.error = (struct error){ 0 };
        orphan_scene_must(c, db_open(c->place.dirfd, &c->db, &c->op.error));
        int r = catalog_read(c->db, &catalog, &c->op.error);
        return r < 0 ? r : orphan_rows_find(&c->op, c->db, catalog, &c->rows);
}

int orphan_scene_delete(struct orphan_scene *c)
{
        struct write_db *w = NULL;
        c->db = db_close(c->db);
        orphan_scene_must(c, write_db_open(NULL, NULL, NULL, &w, &c->op.error));
        orphan_scene_must(c, write_db_begin(w, NULL, &c->op.error));
        int r = orphan_rows_delete(&c->op, w, &c->rows);
        if (r == -EAGAIN) {
                orphan_scene_must(c, write_db_begin(w, NULL, &c->op.error));
                c->op.error = (struct error){ 0 };
                r = orphan_rows_delete(&c->op, w, &c->rows);
        }
        if (r == 0)
                orphan_scene_must(c, write_db_commit(w, &c->op.error));
        (void) write_db_close(w);
        return r;
}
