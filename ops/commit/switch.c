/*
 * The order of steps is what makes it safe (each is synced before the next one):
 *
 *   note, stage/<new>, its files, rename to <new>, COMMIT, <old> to the trash, note gone
 *
 * Whoever comes next, after a kill between any two of them, finds with the help of the note which directory nobody needs.
 *
 * A COMMIT that fails has not always failed: SQLite may have removed its journal, and then not been able to sync the directory. So nothing is removed after an attempt
 * before SQLite was asked anew.
 */
#include "ops/commit/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "ops/index_summary.h"
#include "ops/commit/switch_parts.h"
#include "ops/operation/dir_held.h"
#include "ops/operation/file_copy.h"
#include "ops/operation/guard.h"
#include "ops/operation/plain_dir.h"
#include "ops/operation/state_dir_parts.h"

struct commit_switch {
        struct state_dir *state;
        struct switch_note note;
        const char *operation;
        unsigned keep_days;
        int fd;      /* of the new directory */
        bool noted;  /* the note is there */
        bool staged; /* stage/<new> is, or <new> when it is placed */
        bool placed;
        bool written; /* the transaction that has it may have come to pass */
};

/* Version 4 of RFC 4122, as Chroma's own. */
static int new_id(char ret[SEGMENT_ID_SIZE], struct error *e)
{
        unsigned char b[16];
        if (getrandom(b, sizeof(b), 0) != (ssize_t) sizeof(b))
                return error_set(e, EIO, "the system gives no random numbers for a segment id");
        b[6] = (unsigned char) ((b[6] & 0x0f) | 0x40);
        b[8] = (unsigned char) ((b[8] & 0x3f) | 0x80);
        (void) snprintf(ret, SEGMENT_ID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
                        b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
        return 0;
}

static int make_stage(struct commit_switch *s, struct error *e)
{
        char shown[sizeof(STATE_DIR "/stage/") + SEGMENT_ID_SIZE];
        (void) snprintf(shown, sizeof(shown), STATE_DIR "/stage/%s", s->note.id);
        int r = switch_note_write(s->state, &s->note, e);
        if (r < 0)
                return r;
        s->noted = true;
        s->fd = state_dir_make(s->state, state_dir_stage_fd(s->state), s->note.id, shown, e);
        if (s->fd == -EEXIST)
                return error_set(e, EEXIST, "%s is there already", shown);
        s->staged = s->fd >= 0;
        return s->fd < 0 ? s->fd : 0;
}

int commit_switch_begin(struct operation *op, const struct segment *segment, struct commit_switch **ret)
{
        CLEANUP(commit_switch_free)
        struct commit_switch *s = calloc(1, sizeof(*s));
        if (s == NULL)
                return error_set(&op->error, ENOMEM, "no memory for a new index");
        s->fd = -1;
        s->state = op->state;
        s->operation = op->type->name;
        s->keep_days = op->command->keep_days;
        if (!segment->id_is_uuid)
                return error_set(&op->error, EILSEQ, "the id of the vector segment is no UUID");
        memcpy(s->note.old, segment->id.bytes, SEGMENT_ID_SIZE);
        int r = new_id(s->note.id, &op->error);
        if (r == 0)
                r = make_stage(s, &op->error);
        if (r < 0)
                return r;
        *ret = TAKE(s);
        return 0;
}

int commit_switch_fd(const struct commit_switch *s)
{
        return s->fd;
}

const char *commit_switch_id(const struct commit_switch *s)
{
        return s->note.id;
}

/* Placing. */

/* The file whose attributes the new one gets: that of the same name, or what the index has instead, or the database. */
static int open_model(int persist_fd, int old_fd, const char *name, struct error *e)
{
        int fd = old_fd < 0 ? -ENOENT : file_open_regular(old_fd, name, NULL, NULL);
        if (fd == -ENOENT && old_fd >= 0)
                fd = file_open_regular(old_fd, index_file_names[INDEX_HEADER], NULL, NULL);
        return fd == -ENOENT ? file_open_regular(persist_fd, DB_FILE, NULL, e) : fd;
}

static int finish_file(const struct commit_switch *s, int old_fd, const char *name, struct error *e)
{
        CLEANUP(close)
        int to = openat(s->fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (to < 0)
                return errno == ENOENT ? 0 : error_set(e, errno, "%s of the new index can't be opened: %s", name, strerror(errno));
        CLEANUP(close)
        int from = open_model(state_dir_persist_fd(s->state), old_fd, name, e);
        if (from < 0)
                return error_set(e, -from, "%s of the old index can't be opened: %s", name, strerror(-from));
        int r = switch_check_made(s->fd, to, name, e);
        if (r == 0)
                r = switch_check_model(from, name, e);
        if (r < 0)
                return r;
        r = file_copy_attributes(from, to, false, e);
        if (r == 0 && fsync(to) < 0)
                r = error_set(e, errno, "%s of the new index can't be synced: %s", name, strerror(errno));
        return r < 0 ? error_prefix(e, r, "%s of the new index", name) : 0;
}

static int finish_dir(const struct commit_switch *s, int old_fd, struct error *e)
{
        int persist = state_dir_persist_fd(s->state);
        int r = file_copy_attributes(old_fd >= 0 ? old_fd : persist, s->fd, false, e);
        if (r < 0)
                return error_prefix(e, r, "the new index");
        r = plain_dir_sync(s->fd, "the new index", e);
        return r < 0 ? r : plain_dir_sync(persist, "the directory", e);
}

static int move_into_place(struct commit_switch *s, struct error *e)
{
        int stage = state_dir_stage_fd(s->state), persist = state_dir_persist_fd(s->state);
        int r = renameat2(stage, s->note.id, persist, s->note.id, RENAME_NOREPLACE);
        if (r < 0 && (errno == EINVAL || errno == ENOSYS) && !file_stamp_at(persist, s->note.id).present)
                r = renameat(stage, s->note.id, persist, s->note.id);
        if (r < 0)
                return error_set(e, errno, "the new index can't be moved into the directory: %s", strerror(errno));
        s->placed = true;
        return plain_dir_sync(stage, STATE_DIR "/stage", e);
}

int commit_switch_place(struct commit_switch *s, struct error *e)
{
        CLEANUP(close)
        int old_fd = file_open_dir(state_dir_persist_fd(s->state), s->note.old, NULL);
        if (old_fd < 0 && old_fd != -ENOENT)
                return error_set(e, -old_fd, "the directory of the old index can't be opened: %s", strerror(-old_fd));
        int r = 0;
        for (int i = 0; r == 0 && i < INDEX_FILE_COUNT; i++)
                r = finish_file(s, old_fd, index_file_names[i], e);
        if (r == 0)
                r = move_into_place(s, e);
        return r < 0 ? r : finish_dir(s, old_fd, e);
}

/* The transaction. */

static int change_id(const struct commit_switch *s, struct write_db *w, const char *sql, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int r = write_db_prepare(w, &stmt, e, sql);
        if (r == 0 && (sqlite3_bind_text(stmt, 1, s->note.id, -1, SQLITE_STATIC) != SQLITE_OK ||
                       sqlite3_bind_text(stmt, 2, s->note.old, -1, SQLITE_STATIC) != SQLITE_OK))
                r = write_db_fail(w, e, "the id of a segment");
        if (r == 0)
                r = write_db_step(w, stmt, e);
        return r < 0 ? r : sqlite3_changes(write_db_handle(w));
}

int commit_switch_write(struct commit_switch *s, struct write_db *w, struct error *e)
{
        int r = change_id(s, w, "UPDATE segments SET id = ?1 WHERE id = ?2", e);
        if (r >= 0 && r != 1)
                return error_set(e, ESTALE, "segment %s is there no more", s->note.old);
        if (r >= 0)
                r = change_id(s, w, "UPDATE segment_metadata SET segment_id = ?1 WHERE segment_id = ?2", e);
        if (r >= 0)
                r = change_id(s, w, "UPDATE max_seq_id SET segment_id = ?1 WHERE segment_id = ?2", e);
        s->written = true;
        return r < 0 ? r : 0;
}

/* The end. */

/* Someone may have come since the operation began: where the kernel does not tell of the files, the guard is asked again. */
static bool is_in_use(int persist_fd, const char *id)
{
        struct guard_finding found = { 0 };
        enum dir_held held = dir_held(persist_fd, id);
        if (held != DIR_HELD_UNKNOWN)
                return held == DIR_HELD_YES;
        return guard_look(persist_fd, &found, NULL) < 0 || found.writer || found.blind;
}

/* 0 when it is gone, 1 when it has to stay. */
static int take_old(struct commit_switch *s, struct error *e)
{
        CLEANUP(trash_free)
        struct trash *trash = NULL;
        int persist = state_dir_persist_fd(s->state);
        int r = switch_dir_present(persist, s->note.old, e);
        if (r <= 0)
                return r;
        if (is_in_use(persist, s->note.old))
                return 1;
        r = switch_sync(persist, e);
        if (r == 0)
                r = trash_new(s->state, s->operation, s->keep_days, &trash, e);
        if (r == 0)
                r = trash_take(trash, persist, s->note.old, e);
        if (r < 0 && trash != NULL)
                trash_give_up(trash);
        return r;
}

int commit_switch_end(struct commit_switch *s, bool *ret_left, struct error *e)
{
        s->noted = s->staged = false;
        int r = take_old(s, e);
        *ret_left = r != 0;
        return r != 0 ? (r < 0 ? r : 0) : switch_note_remove(s->state, &s->note, e);
}

/* Whether the new directory is certainly not in use. */
static bool may_go(const struct commit_switch *s)
{
        struct switch_ids ids = { 0 };
        return !s->written ||
               (switch_ids_read(state_dir_persist_fd(s->state), &s->note, &ids, NULL) == 0 && !ids.has_new && ids.has_old);
}

static int remove_new(struct commit_switch *s)
{
        int parent = s->placed ? state_dir_persist_fd(s->state) : state_dir_stage_fd(s->state);
        int r = s->staged ? tree_remove(parent, s->note.id, NULL) : 0;
        return r < 0 && r != -ENOENT ? r : plain_dir_sync(parent, "the directory", NULL);
}

struct commit_switch *commit_switch_free(struct commit_switch *s)
{
        if (s == NULL)
                return NULL;
        if (s->noted && may_go(s) && remove_new(s) == 0)
                (void) switch_note_remove(s->state, &s->note, NULL);
        close_cleanup(&s->fd);
        free(s);
        return NULL;
}
