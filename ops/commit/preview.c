/*
 * Which rows would change a record is known to whoever applies them. Without that: whether there is one at first, from SQLite, and from then on what the rows before have made of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "ops/commit/plan.h"

struct preview_id {
        bool alive;
        UT_hash_handle hh;
        char id[];
};

struct commit_preview {
        struct preview_id *ids;
        sqlite3_stmt *find;
        struct commit_counts counts;
};

int commit_preview_new(struct db *db, const struct collection *collection, struct commit_preview **ret, struct error *e)
{
        CLEANUP(commit_preview_free)
        struct commit_preview *preview = calloc(1, sizeof(*preview));
        const struct text *segment = &collection->metadata->id;
        if (preview == NULL)
                return error_set(e, ENOMEM, "no memory to count records");
        int r = db_begin(db, e);
        if (r == 0)
                r = db_prepare(db, &preview->find, e, "SELECT 1 FROM embeddings WHERE segment_id = ?1 AND embedding_id = ?2");
        db_end(db);
        if (r == 0 &&
            sqlite3_bind_text64(preview->find, 1, segment->bytes, segment->len, SQLITE_TRANSIENT, SQLITE_UTF8) != SQLITE_OK)
                r = db_fail(db, e, "counting records");
        if (r < 0)
                return r;
        *ret = TAKE(preview);
        return 0;
}

/* 1, 0, or a failure. */
static int is_stored(struct commit_preview *preview, struct db *db, const struct text *id, struct error *e)
{
        if (sqlite3_bind_text64(preview->find, 2, id->bytes, id->len, SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK)
                return db_fail(db, e, "counting records");
        int r = db_step(db, preview->find, e);
        (void) sqlite3_reset(preview->find);
        return r;
}

static int find_id(struct commit_preview *preview, struct db *db, const struct text *text, struct preview_id **ret, struct error *e)
{
        struct preview_id *id = NULL;
        HASH_FIND(hh, preview->ids, text->bytes, text->len, id);
        if (id == NULL) {
                int r = is_stored(preview, db, text, e);
                id = r < 0 ? NULL : malloc(sizeof(*id) + text->len + 1);
                if (id == NULL)
                        return r < 0 ? r : error_set(e, ENOMEM, "no memory to count records");
                *id = (struct preview_id){ .alive = r > 0 };
                memcpy(id->id, text->bytes, text->len + 1);
                HASH_ADD_KEYPTR(hh, preview->ids, id->id, text->len, id);
        }
        *ret = id;
        return 0;
}

int commit_preview_row(struct commit_preview *preview, struct db *db, const struct commit_row *row, struct error *e)
{
        struct preview_id *id = NULL;
        struct commit_counts *c = &preview->counts;
        int r = find_id(preview, db, &row->id, &id, e);
        if (r < 0)
                return r;
        bool wants_alive = row->operation == COMMIT_UPDATE || row->operation == COMMIT_DELETE;
        if (row->operation != COMMIT_UPSERT && wants_alive != id->alive) {
                c->ignored++;
                return 0;
        }
        c->deletes += row->operation == COMMIT_DELETE;
        c->updates += row->operation != COMMIT_DELETE && id->alive;
        c->adds += !id->alive;
        id->alive = row->operation != COMMIT_DELETE;
        return 0;
}

struct commit_counts commit_preview_counts(const struct commit_preview *preview)
{
        return preview->counts;
}

struct commit_preview *commit_preview_free(struct commit_preview *preview)
{
        struct preview_id *id, *next;
        if (preview == NULL)
                return NULL;
        HASH_ITER(hh, preview->ids, id, next)
        {
                HASH_DEL(preview->ids, id);
                free(id);
        }
        (void) sqlite3_finalize(preview->find);
        free(preview);
        return NULL;
}
