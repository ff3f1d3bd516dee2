/*
 * The copy, judged by itself: SQLite's integrity_check, every index read and audited, and the ids of records against those that have a vector.
 *
 * Nothing of the source is read again. What is wrong with the copy is wrong with the source, unless the copy was made badly:
 * backup_attempt.c makes another one before it believes that. A damaged source is copied nevertheless: that is when people need a copy
 * most.
 *
 * integrity_check walks a tree in one go, without asking SQLite's progress handler (3.40); so the reads of the file ask, and fail when
 * cancelled. SQLite lets every connection have its own methods for a file, which makes that possible without a VFS of its own.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ops/catalog.h"
#include "ops/index_audit.h"
#include "ops/index_ids.h"
#include "ops/index_summary.h"
#include "ops/json.h"
#include "ops/operation/backup_parts.h"
#include "ops/record_audit.h"

#define DAMAGE_MAX 1000
#define INTEGRITY_SQL "PRAGMA integrity_check(20)"
#define ASK_EVERY 64 /* reads of a page */
#define AUDITS_MAX 200
#define AUDIT_PAUSE_NS (20 * 1000 * 1000)

static int add_damage(struct backup *b, const char *where, const char *sentence)
{
        if (json_object_array_length(b->damage) >= DAMAGE_MAX)
                return 0;
        struct json_object *where_json = backup_string_json(where), *sentence_json = backup_string_json(sentence);
        struct json_object *one = json_object_new_object();
        if (where_json != NULL && sentence_json != NULL && one != NULL) {
                int r = json_add(one, "where", where_json);
                if (json_add(one, "sentence", sentence_json) == 0 && r == 0 && json_object_array_add(b->damage, one) == 0)
                        return 0;
                where_json = sentence_json = NULL; /* the object's, or put */
        }
        (void) json_object_put(where_json);
        (void) json_object_put(sentence_json);
        (void) json_object_put(one);
        return error_set(&b->op->error, ENOMEM, "no memory for what is damaged");
}

/* Whether a failure says something about the copy; all others are ours, or the disk's. */
static bool is_damage(int r)
{
        return r == -EILSEQ || r == -ENOENT || r == -ELOOP || r == -E2BIG || r == -EAGAIN;
}

/* 0 when what failed was noted as damage. */
static int note(struct backup *b, int r, const char *where, const struct error *found)
{
        if (r >= 0)
                return 0;
        return is_damage(r) ? add_damage(b, where, found->text) : error_set(&b->op->error, -r, "%s", found->text);
}

/* The database. */

struct watched_file {
        struct sqlite3_io_methods methods; /* first: SQLite's pointer to it is a pointer to this */
        const struct sqlite3_io_methods *real;
        sqlite3_file *file;
        struct backup *b;
        uint64_t reads, bytes;
        bool cancelled;
};

static int on_read(sqlite3_file *file, void *buffer, int len, sqlite3_int64 offset)
{
        struct watched_file *w = (struct watched_file *) (uintptr_t) file->pMethods;
        w->bytes += (uint64_t) len;
        w->b->done = w->bytes < w->b->total ? w->bytes : w->b->total;
        if (w->reads++ % ASK_EVERY == 0 && backup_is_cancelled(w->b))
                w->cancelled = true;
        return w->cancelled ? SQLITE_IOERR_READ : w->real->xRead(file, buffer, len, offset);
}

static int watch(struct watched_file *w, struct db *db, struct backup *b)
{
        *w = (struct watched_file){ .b = b };
        if (sqlite3_file_control(db_handle(db), "main", SQLITE_FCNTL_FILE_POINTER, &w->file) != SQLITE_OK ||
            w->file->pMethods == NULL)
                return error_set(&b->op->error, EIO, "the copy of " DB_FILE " can't be checked");
        w->real = w->file->pMethods;
        w->methods = *w->real;
        w->methods.xRead = on_read;
        w->file->pMethods = &w->methods;
        return 0;
}

static void unwatch(struct watched_file *w)
{
        if (w->file != NULL)
                w->file->pMethods = w->real;
}

static int note_rows(struct backup *b, struct db *db, sqlite3_stmt *stmt)
{
        struct error found = { 0 };
        int r;
        while ((r = db_step(db, stmt, &found)) > 0) {
                const char *text = (const char *) sqlite3_column_text(stmt, 0);
                if (text != NULL && strcmp(text, "ok") != 0 && add_damage(b, DB_FILE, text) < 0)
                        return -ENOMEM;
        }
        return note(b, r, DB_FILE, &found);
}

static int run_check(struct backup *b, struct db *db)
{
        struct error found = { 0 };
        sqlite3_stmt *stmt = NULL;
        int r = db_prepare(db, &stmt, &found, INTEGRITY_SQL);
        r = r < 0 ? note(b, r, DB_FILE, &found) : note_rows(b, db, stmt);
        (void) sqlite3_finalize(stmt);
        return r;
}

static int check_integrity(struct backup *b, struct db *db)
{
        struct watched_file w;
        b->phase = "checking the database";
        b->done = 0;
        b->total = b->database.bytes;
        int r = watch(&w, db, b);
        if (r == 0)
                r = run_check(b, db);
        unwatch(&w);
        return w.cancelled ? -ECANCELED : r;
}

/* Indexes. */

/* Nobody writes to the copy: what is said to be too young to be judged is judged when it is older. */
static int audit_index(struct backup *b, const char *id, struct index_audit *ret, struct error *found)
{
        int r = -EAGAIN;
        for (int i = 0; r == -EAGAIN && i < AUDITS_MAX; i++) {
                if (i > 0)
                        (void) nanosleep(&(struct timespec){ .tv_nsec = AUDIT_PAUSE_NS }, NULL);
                r = backup_is_cancelled(b) ? error_set(found, ECANCELED, "cancelled")
                                           : index_audit_read(b->target.fd, id, backup_is_cancelled, b, ret, found);
        }
        return r;
}

static int note_labels(struct backup *b, const char *where, const struct index_audit *audit)
{
        char sentence[160];
        if (!audit->has_labels || audit->labels.orphan_count + audit->labels.missing_count == 0)
                return 0;
        (void) snprintf(sentence, sizeof(sentence),
                        "the index has %zu labels that its index_metadata.pickle does not know, and lacks %zu that it knows",
                        audit->labels.orphan_count, audit->labels.missing_count);
        return add_damage(b, where, sentence);
}

static int check_ids(struct backup *b, struct db *db, const struct collection *collection, const struct index_summary *summary,
                     const struct index_audit *audit)
{
        struct record_audit records = { 0 };
        struct error found = { 0 };
        struct id_set ids = { 0 };
        uint64_t position = 0;
        const char *id = collection->vector->id.bytes;
        bool has_position = vector_position(collection->vector, summary, &position);
        int r = index_ids_read(b->target.fd, id, audit, NULL, NULL, &ids, &found);
        if (r == 0)
                r = record_audit_read(db, collection, has_position, position, &ids, &records, &found);
        id_set_clear(&ids);
        if (r < 0)
                return note(b, r, collection->id.bytes, &found);
        char sentence[160];
        (void) snprintf(sentence, sizeof(sentence),
                        "%llu of %llu records have a vector neither in the index nor in the write-ahead log",
                        (unsigned long long) records.without_vector, (unsigned long long) records.records);
        r = records.without_vector > 0 ? add_damage(b, collection->id.bytes, sentence) : 0;
        record_audit_clear(&records);
        return r;
}

static int check_index(struct backup *b, struct db *db, const struct collection *collection)
{
        const struct segment *segment = collection->vector;
        if (segment == NULL || !segment->id_is_uuid)
                return add_damage(b, collection->id.bytes, "the collection has no vector segment that could be found");
        struct error found = { 0 };
        struct index_audit audit = { 0 };
        struct index_summary summary;
        int r = audit_index(b, segment->id.bytes, &audit, &found);
        if (r < 0)
                return note(b, r, segment->id.bytes, &found);
        index_summary_read(b->target.fd, segment->id.bytes, &summary);
        if (summary.damage.code != 0)
                r = add_damage(b, segment->id.bytes, summary.damage.text);
        if (r == 0 && audit.damage.code != 0 && summary.damage.code == 0)
                r = add_damage(b, segment->id.bytes, audit.damage.text);
        if (r == 0)
                r = note_labels(b, segment->id.bytes, &audit);
        if (r == 0)
                r = check_ids(b, db, collection, &summary, &audit);
        index_audit_clear(&audit);
        return r;
}

static int check_collections(struct backup *b, struct db *db)
{
        CLEANUP(catalog_free)
        struct catalog *catalog = NULL;
        struct error found = { 0 };
        int r = catalog_read(db, &catalog, &found);
        if (r < 0)
                return note(b, r, DB_FILE, &found);
        if (catalog->damage.len > 0)
                r = add_damage(b, DB_FILE, catalog->damage.bytes);
        b->phase = "checking the indexes";
        b->total = catalog->collection_count;
        for (size_t i = 0; r == 0 && i < catalog->collection_count; i++) {
                b->done = i;
                r = backup_is_cancelled(b) ? -ECANCELED : check_index(b, db, &catalog->collections[i]);
        }
        return r;
}

int backup_check(struct backup *b)
{
        CLEANUP(db_close)
        struct db *db = NULL;
        struct error found = { 0 };
        int r = db_open(b->target.fd, &db, &found);
        if (r < 0)
                return note(b, r, DB_FILE, &found);
        db_set_cancel(db, backup_is_cancelled, b);
        r = check_integrity(b, db);
        if (r == 0)
                r = check_collections(b, db);
        return r;
}
