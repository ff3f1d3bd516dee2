/*
 * The note of a switch, and what it asks for after a kill. Before the COMMIT the new directory is worth nothing: what it was made from is all there. After it the old one is of no more use to
 * anyone; it goes where the operation itself would have put it.
 */
#include "ops/commit/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ops/json.h"
#include "ops/commit/switch_parts.h"
#include "ops/operation/dir_held.h"
#include "ops/operation/plain_dir.h"

#define NOTE_MAX 1024
#define TIDY "tidy"

DEFINE_CLEANUP(struct json_object *, json_object_put)

void switch_note_name(const struct switch_note *note, char ret[NOTE_NAME_SIZE])
{
        (void) snprintf(ret, NOTE_NAME_SIZE, "%s" NOTE_SUFFIX, note->id);
}

/* Writing. */

static int fill_note(struct state_dir *state, int fd, const struct switch_note *note, struct error *e)
{
        char text[256];
        int len = snprintf(text, sizeof(text), "{\"segment\": \"%s\", \"replaces\": \"%s\"}\n", note->id, note->old);
        errno = ENOSPC; /* what a short write means */
        if (write(fd, text, (size_t) len) != len || fsync(fd) < 0)
                return error_set(e, errno, "a note in " STATE_DIR "/stage can't be written: %s", strerror(errno));
        int r = state_dir_own(state, fd, e);
        return r < 0 ? r : plain_dir_sync(state_dir_stage_fd(state), STATE_DIR "/stage", e);
}

int switch_note_write(struct state_dir *state, const struct switch_note *note, struct error *e)
{
        char name[NOTE_NAME_SIZE];
        switch_note_name(note, name);
        int stage = state_dir_stage_fd(state);
        CLEANUP(close)
        int fd = openat(stage, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_set(e, errno, "a note in " STATE_DIR "/stage can't be made: %s", strerror(errno));
        int r = fill_note(state, fd, note, e);
        if (r < 0)
                (void) unlinkat(stage, name, 0);
        return r;
}

int switch_note_remove(struct state_dir *state, const struct switch_note *note, struct error *e)
{
        char name[NOTE_NAME_SIZE];
        switch_note_name(note, name);
        if (unlinkat(state_dir_stage_fd(state), name, 0) < 0 && errno != ENOENT)
                return error_set(e, errno, "a note in " STATE_DIR "/stage can't be removed: %s", strerror(errno));
        return plain_dir_sync(state_dir_stage_fd(state), STATE_DIR "/stage", e);
}

/* Reading: a stranger's file. */

static bool take_id(struct json_object *note, const char *key, char ret[SEGMENT_ID_SIZE])
{
        struct json_object *value = NULL;
        if (!json_object_object_get_ex(note, key, &value) || !json_object_is_type(value, json_type_string) ||
            !uuid_valid(json_object_get_string(value)) || json_object_get_string_len(value) != SEGMENT_ID_SIZE - 1)
                return false;
        memcpy(ret, json_object_get_string(value), SEGMENT_ID_SIZE);
        return true;
}

static bool is_note_name(const char *name)
{
        char id[SEGMENT_ID_SIZE] = "";
        if (strlen(name) != NOTE_NAME_SIZE - 1 || strcmp(name + SEGMENT_ID_SIZE - 1, NOTE_SUFFIX) != 0)
                return false;
        memcpy(id, name, SEGMENT_ID_SIZE - 1);
        return uuid_valid(id);
}

int switch_note_read(const struct state_dir *state, const char *name, struct switch_note *ret, struct error *e)
{
        char text[NOTE_MAX];
        struct switch_note note = { 0 };
        if (!is_note_name(name))
                return 0;
        CLEANUP(close)
        int fd = file_open_regular(state_dir_stage_fd(state), name, NULL, NULL);
        ssize_t len = fd < 0 ? 0 : file_pread(fd, text, sizeof(text), 0);
        CLEANUP(json_object_put)
        struct json_object *object = NULL;
        int r = len < 0 ? (int) len : json_parse(text, (size_t) len, &object, NULL);
        if (r == -ENOMEM)
                return error_set(e, ENOMEM, "no memory to read a note in " STATE_DIR "/stage");
        if (r < 0 || !take_id(object, "segment", note.id) || !take_id(object, "replaces", note.old) ||
            strncmp(name, note.id, SEGMENT_ID_SIZE - 1) != 0 || strcmp(note.id, note.old) == 0)
                return 0;
        *ret = note;
        return 1;
}

/* What there is. */

static int note_row(sqlite3_stmt *stmt, const struct switch_note *note, struct switch_ids *ids)
{
        const char *id = (const char *) sqlite3_column_text(stmt, 0);
        if (id == NULL)
                return -ENOMEM;
        ids->has_new = ids->has_new || strcmp(id, note->id) == 0;
        ids->has_old = ids->has_old || strcmp(id, note->old) == 0;
        return 0;
}

static int read_ids(struct db *db, const struct switch_note *note, struct switch_ids *ids, struct error *e)
{
        CLEANUP(sqlite3_finalize)
        sqlite3_stmt *stmt = NULL;
        int r = db_prepare(db, &stmt, e, "SELECT id FROM segments WHERE id IN (?1, ?2)");
        if (r == 0 && (sqlite3_bind_text(stmt, 1, note->id, -1, SQLITE_STATIC) != SQLITE_OK ||
                       sqlite3_bind_text(stmt, 2, note->old, -1, SQLITE_STATIC) != SQLITE_OK))
                r = db_fail(db, e, "the segments");
        while (r == 0 && (r = db_step(db, stmt, e)) > 0)
                r = note_row(stmt, note, ids);
        return r;
}

int switch_ids_read(int persist_fd, const struct switch_note *note, struct switch_ids *ret, struct error *e)
{
        CLEANUP(db_close)
        struct db *db = NULL;
        struct switch_ids ids = { 0 };
        int r = db_open(persist_fd, &db, e);
        if (r == 0)
                r = db_begin(db, e);
        if (r < 0)
                return r;
        r = read_ids(db, note, &ids, e);
        db_end(db);
        if (r == 0)
                *ret = ids;
        return r;
}

int switch_sync(int persist_fd, struct error *e)
{
        return plain_dir_sync(persist_fd, "the directory", e);
}

int switch_dir_present(int persist_fd, const char *id, struct error *e)
{
        struct stat st;
        if (fstatat(persist_fd, id, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return 1;
        int err = errno;
        return err == ENOENT ? 0 : error_set(e, err, "%s can't be examined: %s", id, strerror(err));
}

/* Tidying. */

static int take_if_there(struct state_dir *state, struct trash **trash, const char *id, struct error *e)
{
        int persist = state_dir_persist_fd(state), r = switch_dir_present(persist, id, e);
        if (r <= 0)
                return r;
        r = switch_sync(persist, e);
        if (r == 0 && *trash == NULL)
                r = trash_new(state, TIDY, COMMAND_KEEP_DAYS, trash, e);
        return r < 0 ? r : trash_take(*trash, persist, id, e);
}

static int take_unused(struct state_dir *state, const struct switch_note *note, const struct switch_ids *ids, struct error *e)
{
        CLEANUP(trash_free)
        struct trash *trash = NULL;
        int r = ids->has_new ? 0 : tree_remove(state_dir_stage_fd(state), note->id, NULL); /* half-made */
        r = r == -ENOENT ? 0 : r;
        if (r < 0)
                return error_set(e, -r, STATE_DIR "/stage/%s can't be removed: %s", note->id, strerror(-r));
        if (!ids->has_new)
                r = take_if_there(state, &trash, note->id, e);
        if (r == 0 && !ids->has_old)
                r = take_if_there(state, &trash, note->old, e);
        if (r < 0 && trash != NULL)
                trash_give_up(trash);
        return r;
}

/* A directory that this user can't move costs room, and nothing else: no operation is refused for it. info.json shows it as an orphan. */
static bool has_to_stay(int r)
{
        return r == -EACCES || r == -EPERM || r == -EBUSY || r == -EXDEV;
}

int commit_switch_tidy(struct state_dir *state, const char *name, struct error *e)
{
        struct switch_note note;
        struct switch_ids ids = { 0 };
        struct error why = { 0 };
        int persist = state_dir_persist_fd(state), r = switch_note_read(state, name, &note, e);
        if (r <= 0)
                return r;
        r = switch_ids_read(persist, &note, &ids, e);
        if (r < 0)
                return r;
        if ((!ids.has_old && dir_held(persist, note.old) == DIR_HELD_YES) ||
            (!ids.has_new && dir_held(persist, note.id) == DIR_HELD_YES))
                return 1;
        r = take_unused(state, &note, &ids, &why);
        if (r == 0)
                r = switch_note_remove(state, &note, &why);
        return r == 0 || has_to_stay(r) ? 1 : error_set(e, -r, "%s", why.text);
}
