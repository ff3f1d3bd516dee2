/*
 * Three steps.
 *
 *   plan    reads the catalog, judges directories, finds rows and measures them: through the read-only connection, in short
 *           transactions. The header's change counter is read before all else.
 *   stage   copies the rows into a database in the stage, checks and syncs it: through the same connection, so that nobody waits
 *           for it.
 *   change  begins a write transaction with that change counter. When nobody has committed since, what was found and copied is what
 *           is there: the rows are deleted, the copy and the directories move to the trash, and COMMIT makes the rows' end final.
 *           Else it plans anew.
 *
 * Why the directories move inside the transaction and before the COMMIT: its lock keeps everyone from making a segment of that id,
 * and a rename can be undone when something fails after it, which a COMMIT can't. A process killed between the two leaves
 * directories in the trash and all rows in place: neither is anything that Chroma reads, and the next run takes the rows.
 */
#include "ops/operation/clean_orphans.h"

#include <errno.h>
#include <inttypes.h>

#include "ops/operation/orphan_copy.h"
#include "ops/operation/orphan_dirs.h"
#include "ops/operation/orphan_result.h"
#include "ops/operation/orphan_rows.h"
#include "ops/operation/room.h"

#define ATTEMPTS 3
#define FULLTEXT_TABLES 2 /* each may end the transaction once */

struct cleaning {
        struct operation *op;
        struct catalog *catalog;
        uint32_t counter;
        struct orphan_dirs dirs;
        struct orphan_rows rows;
        struct orphan_copy *copy;
        struct trash *trash;
        bool copy_moved;
        bool copy_stays; /* the rows may be gone */
};

/* Plan. */

static int read_counter(struct cleaning *c, struct db *db)
{
        struct error *e = &c->op->error;
        int r = db_begin(db, e);
        if (r < 0)
                return r;
        r = db_change_counter(db, &c->counter, e);
        db_end(db);
        return r;
}

/* What looks like an orphan may be what such a collection has lost. */
static int check_collections(const struct cleaning *c)
{
        for (size_t i = 0; i < c->catalog->collection_count; i++) {
                const struct collection *collection = &c->catalog->collections[i];
                if (collection->vector == NULL || collection->metadata == NULL)
                        return error_set(
                                &c->op->error, EILSEQ,
                                "collection %.64s (%.36s) has no %s segment: the directory is damaged, and what looks like an "
                                "orphan may be"
                                " what it has lost; nothing was touched. Restore the row in segments from a backup, or delete the"
                                " collection with Chroma",
                                collection->name.bytes, collection->id.bytes, collection->vector == NULL ? "vector" : "metadata");
        }
        return 0;
}

static int find(struct cleaning *c, struct db *db)
{
        struct operation *op = c->op;
        int r = read_counter(c, db);
        if (r == 0)
                r = catalog_read(db, &c->catalog, &op->error);
        if (r == 0)
                r = check_collections(c);
        if (r == 0)
                r = orphan_dirs_find(op->dirfd, c->catalog, op->live, &c->dirs, &op->error);
        if (r == 0)
                r = orphan_rows_find(op, db, c->catalog, &c->rows);
        return r < 0 ? r : orphan_rows_measure(op, db, &c->rows);
}

/* Stage. */

static uint64_t multiply(uint64_t a, uint64_t b)
{
        uint64_t product;
        return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX / 4 : product;
}

/* The copy; and the journal, which holds a page once: of a row's table and its indexes, at most the whole database; and what FTS5
   writes of the words that go. */
static int check_room(const struct cleaning *c)
{
        uint64_t rows = orphan_rows_count(&c->rows), bytes = orphan_rows_bytes(&c->rows);
        uint64_t page = c->catalog->page_size, database = multiply(c->catalog->page_count, page);
        uint64_t copy = (1u << 16) + bytes + bytes / 4 + multiply(rows, 48);
        uint64_t journal = multiply(bytes, 2) + multiply(rows, 8 * page);
        uint64_t words = multiply(c->rows.lists[ORPHAN_FULLTEXT].bytes, 4);
        return room_check(c->op->dirfd, copy + (journal < database ? journal : database) + words + (1u << 20),
                          "the copy of the orphan rows and the journal", &c->op->error);
}

static int stage(struct cleaning *c, struct db *db)
{
        struct operation *op = c->op;
        int r = check_room(c);
        if (r < 0 || orphan_rows_count(&c->rows) == 0)
                return r;
        r = orphan_copy_new(op, &c->copy);
        if (r == 0)
                r = orphan_rows_read(op, db, &c->rows, "copying", orphan_copy_take, c->copy);
        return r < 0 ? r : orphan_copy_seal(c->copy, &c->rows, &op->error);
}

static bool has_work(const struct cleaning *c)
{
        return orphan_dirs_count(&c->dirs) > 0 || orphan_rows_count(&c->rows) > 0;
}

static int plan(struct cleaning *c)
{
        CLEANUP(db_close)
        struct db *db = NULL;
        int r = operation_read(c->op, &db);
        if (r == 0)
                r = find(c, db);
        if (r == 0 && !c->op->command->dry_run && has_work(c))
                r = stage(c, db);
        return r;
}

/* Change. */

/* Below its highest number the log must not fall (FORMAT I1). */
static int delete_rows(struct cleaning *c, struct write_db *w)
{
        static const char highest[] = "SELECT max(seq_id) FROM embeddings_queue";
        struct error *e = &c->op->error;
        int64_t before = 0, after = 0;
        int r = write_db_number(w, 0, &before, e, highest);
        if (r == 0)
                r = orphan_rows_delete(c->op, w, &c->rows);
        for (int i = 0; r == -EAGAIN && i < FULLTEXT_TABLES; i++) {
                *e = (struct error){ 0 };
                r = write_db_begin(w, &c->counter, e);
                if (r == 0)
                        r = orphan_rows_delete(c->op, w, &c->rows);
        }
        if (r == 0)
                r = write_db_number(w, 0, &after, e, highest);
        if (r == 0 && before != after)
                r = error_set(e, EILSEQ,
                              "the highest seq_id of the log would fall from %" PRId64 " to %" PRId64 ": the table is damaged",
                              before, after);
        return r;
}

static int move_dirs(struct cleaning *c)
{
        struct operation *op = c->op;
        uint64_t total = orphan_dirs_count(&c->dirs), done = 0;
        int r = operation_progress(op, "moving", 0, total);
        for (size_t i = 0; r == 0 && i < c->dirs.count; i++) {
                r = orphan_dirs_take(&c->dirs, i, op->dirfd, op->live, c->trash, &op->error);
                if (r == 0 && c->dirs.list[i].taken)
                        r = operation_progress(op, "moving", ++done, total);
        }
        return r;
}

static int move_all(struct cleaning *c)
{
        struct operation *op = c->op;
        int r = trash_new(op->state, op->type->name, op->command->keep_days, &c->trash, &op->error);
        if (r == 0 && orphan_rows_count(&c->rows) > 0) {
                r = orphan_copy_move(c->copy, c->trash, &op->error);
                c->copy_moved = r == 0;
        }
        return r < 0 ? r : move_dirs(c);
}

static int fill_result(struct cleaning *c)
{
        bool stays = c->trash != NULL && c->op->command->keep_days > 0;
        const char *trash = stays ? trash_name(c->trash) : NULL;
        return orphan_result_fill(c->op->result, c->catalog, &c->dirs, &c->rows, trash, &c->op->error);
}

/* A COMMIT that failed may have happened nevertheless: the rows themselves know. Then it has succeeded; when they can't be asked,
   their copy stays. */
static int commit(struct cleaning *c, struct write_db *w)
{
        struct error *e = &c->op->error, unknown = { 0 };
        c->op->late = true;
        int r = write_db_commit(w, e);
        if (r == 0)
                return 0;
        int gone = orphan_rows_are_gone(w, &c->rows, &unknown);
        c->copy_stays = gone != 0;
        if (gone < 0)
                (void) error_prefix(e, r,
                                    "whether the orphan rows are deleted is unknown (%s), and their copy is in " STATE_DIR "/%s",
                                    unknown.text, trash_name(c->trash));
        return gone > 0 ? 0 : r;
}

/* All that can fail comes before the COMMIT: the result, too. Rows that are found to have to stay may have been all there was to do. */
static int change(struct cleaning *c, struct write_db *w)
{
        struct operation *op = c->op;
        int r = write_db_begin(w, &c->counter, &op->error);
        if (r == 0 && orphan_rows_count(&c->rows) > 0)
                r = delete_rows(c, w);
        if (r == 0 && has_work(c))
                r = move_all(c);
        if (r == 0)
                r = fill_result(c);
        if (r == 0)
                r = operation_progress(op, "committing", 0, 0);
        if (r < 0)
                return r;
        if (orphan_rows_count(&c->rows) > 0)
                return commit(c, w);
        write_db_rollback(w);
        return 0;
}

/* The transaction is rolled back: the files follow. What can't be given back is in the trash, and the sentence says so. */
static int undo(struct cleaning *c, int r)
{
        struct error failure = { 0 };
        orphan_result_clear(c->op->result);
        c->op->late = false;
        if (c->trash == NULL)
                return r;
        if (orphan_dirs_give_back(&c->dirs, c->op->dirfd, c->trash, &failure) < 0)
                (void) error_prefix(&c->op->error, r, "%s; this after", failure.text);
        if (c->copy_moved && !c->copy_stays)
                (void) unlinkat(trash_fd(c->trash), ORPHAN_COPY_FILE, 0);
        trash_give_up(c->trash);
        return r;
}

static int apply(struct cleaning *c)
{
        CLEANUP(write_db_close)
        struct write_db *w = NULL;
        int r = operation_write(c->op, &w);
        if (r == 0)
                r = change(c, w);
        if (r == 0)
                return 0;
        if (w != NULL)
                write_db_rollback(w);
        return undo(c, r);
}

static int attempt(struct operation *op)
{
        struct cleaning c = { .op = op };
        int r = plan(&c);
        if (r == 0 && (op->command->dry_run || !has_work(&c)))
                r = fill_result(&c);
        else if (r == 0)
                r = apply(&c);
        (void) orphan_copy_free(c.copy);
        (void) trash_free(c.trash);
        (void) catalog_free(c.catalog);
        orphan_dirs_clear(&c.dirs);
        orphan_rows_clear(&c.rows);
        return r;
}

static int run(struct operation *op)
{
        int r = -ESTALE;
        for (int i = 0; r == -ESTALE && i < ATTEMPTS; i++)
                r = attempt(op);
        if (r == -ESTALE)
                return error_set(&op->error, EBUSY,
                                 "another process keeps writing to " DB_FILE ": nothing was changed; try again when it is done");
        return r;
}

const struct operation_type operation_clean_orphans = {
        .name = "clean-orphans",
        .summary = "Moves to the trash what no collection owns any more: directories of deleted segments, and rows that deleting a "
                   "collection left behind",
        .forced = "It goes on: rows that no collection owns are in nobody's use, and a directory goes only if a lease tells that "
                  "no process has its files open for writing",
        .run = run,
};
