/*
 * The operation around the copying (backup_attempt.c): where it goes, whether there is room, and what is told of it.
 *
 *     backup_target.c    the directory that is built, and its name
 *     backup_tree.c      what there is to copy
 *     backup_attempt.c   one moment of all of it
 *     backup_copy.c      files; backup_db.c the database; backup_hold.c the read transaction around them
 *     backup_check.c     the copy, judged
 *     backup_manifest.c  chromafs-manifest.json
 */
#include "ops/operation/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/statvfs.h>

#include "ops/clock.h"
#include "ops/json.h"
#include "ops/operation/backup_parts.h"
#include "ops/operation/plain_dir.h"
#include "ops/operation/room.h"

#define MANIFEST_LINE 300

static const struct option_spec options[] = {
        { .name = "to",
          .type = OPTION_PATH,
          .by_default = NULL,
          .help = "where the copy goes: a directory that does not exist yet" },
        { .name = NULL },
};

/* Room. */

static uint64_t sum(uint64_t a, uint64_t b)
{
        return __builtin_add_overflow(a, b, &a) ? UINT64_MAX : a;
}

/* A reflink of one file tells whether the others' bytes need room. */
static bool can_reflink(struct backup *b)
{
        bool can = false;
        for (size_t i = 0; i < b->tree.count; i++) {
                struct backup_entry *entry = &b->tree.entries[i];
                if (entry->kind != BACKUP_FILE || entry->stamp.size == 0)
                        continue;
                CLEANUP(close)
                int from = file_open_regular(b->op->dirfd, entry->path, NULL, NULL);
                CLEANUP(close)
                int to = openat(b->target.fd, BACKUP_MANIFEST, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
                can = from >= 0 && to >= 0 && file_reflink(from, to) == 0;
                (void) unlinkat(b->target.fd, BACKUP_MANIFEST, 0);
                break;
        }
        return can;
}

static uint64_t bytes_needed(const struct backup *b, bool reflink)
{
        uint64_t files = backup_tree_files(&b->tree);
        uint64_t each = (reflink ? 4096u : 0) + MANIFEST_LINE;
        uint64_t bytes = sum(db_stamp(b->db).size, (uint64_t) 1 << 20);
        bytes = sum(bytes, files * each);
        return reflink ? bytes : sum(bytes, backup_tree_bytes(&b->tree));
}

/* What is told. */

static int add_result(struct backup *b, const char *key, struct json_object *value)
{
        int r = value != NULL ? json_add(b->op->result, key, value) : -ENOMEM;
        return r < 0 ? error_set(&b->op->error, ENOMEM, "no memory for the result") : 0;
}

static uint64_t bytes_of(const struct backup *b)
{
        uint64_t bytes = b->database.bytes;
        for (size_t i = 0; i < b->tree.count; i++)
                if (b->tree.entries[i].kind == BACKUP_FILE && b->tree.entries[i].copied)
                        bytes += b->tree.entries[i].copy.bytes;
        return bytes;
}

static struct json_object *left_out_json(const struct backup *b)
{
        struct json_object *array = json_object_new_array();
        for (size_t i = 0; array != NULL && i < b->tree.count; i++) {
                if (b->tree.entries[i].kind != BACKUP_LEFT_OUT)
                        continue;
                struct json_object *path = json_string(b->tree.entries[i].path);
                if (path == NULL || json_object_array_add(array, path) < 0) {
                        (void) json_object_put(path);
                        (void) json_object_put(array);
                        return NULL;
                }
        }
        return array;
}

static int fill_plan(struct backup *b, uint64_t bytes)
{
        int r = add_result(b, "to", json_text(&command_option(b->op->command, "to")->text));
        if (r == 0)
                r = add_result(b, "files", json_object_new_uint64(backup_tree_files(&b->tree) + 1));
        if (r == 0)
                r = add_result(b, "bytes", json_object_new_uint64(bytes));
        return r == 0 ? add_result(b, "left_out", left_out_json(b)) : r;
}

static uint64_t unowned(const struct backup *b)
{
        uint64_t n = (uint64_t) b->unowned_database + b->unowned_top;
        for (size_t i = 0; i < b->tree.count; i++)
                n += b->tree.entries[i].unowned && b->tree.entries[i].copied;
        return n;
}

static int fill_outcome(struct backup *b)
{
        bool damaged = json_object_array_length(b->damage) > 0;
        int r = fill_plan(b, bytes_of(b));
        if (r == 0)
                r = add_result(b, "seconds", json_double((double) (clock_ms() - b->begun_ms) / 1000));
        if (r == 0)
                r = add_result(b, "tries", json_object_new_uint64(b->tries));
        if (r == 0)
                r = add_result(b, "reflink", json_object_new_boolean(b->reflink));
        if (r == 0)
                r = add_result(b, "not_owned", json_object_new_uint64(unowned(b)));
        if (r == 0)
                r = add_result(b, "status", json_string(damaged ? "damaged_source" : "complete"));
        return r == 0 ? add_result(b, "damage", json_object_get(b->damage)) : r;
}

/* The whole. */

/* Until now nobody else could look into it. What is told of a success is put together before there is no way back. */
static int open_up(struct backup *b)
{
        int r = backup_copy_attributes(b, b->op->dirfd, b->target.fd, &b->unowned_top);
        if (r == 0)
                r = plain_dir_sync(b->target.fd, "the copy", &b->op->error);
        if (r == 0)
                r = fill_outcome(b);
        if (r == 0 && backup_is_cancelled(b))
                r = -ECANCELED;
        return r == 0 ? backup_target_publish(&b->target, &b->op->error) : r;
}

static int finish(struct backup *b)
{
        int r = backup_copy_finish(b);
        if (r == 0)
                r = backup_copy_hash(b);
        if (r == 0)
                r = backup_write_manifest(b);
        if (r == 0)
                r = backup_copy_sync(b);
        return r == 0 ? open_up(b) : r;
}

static int make(struct backup *b)
{
        int r = backup_target_begin(&b->target, &b->op->error);
        if (r < 0)
                return r;
        r = room_check(b->target.fd, bytes_needed(b, can_reflink(b)), "the backup", &b->op->error);
        if (r == 0)
                r = backup_copy_tree(b); /* most of the bytes, in whatever state they are */
        if (r == 0)
                r = backup_copy_and_check(b);
        return r == 0 ? finish(b) : r;
}

/* In whole bytes; no figure where the file system has none. */
static struct json_object *room_json(int fd)
{
        struct statvfs v;
        uint64_t bytes;
        if (fstatvfs(fd, &v) < 0 || v.f_blocks == 0)
                return json_double(NAN);
        if (__builtin_mul_overflow(geteuid() == 0 ? v.f_bfree : v.f_bavail, v.f_frsize, &bytes))
                bytes = UINT64_MAX;
        return json_object_new_uint64(bytes);
}

static int plan(struct backup *b)
{
        uint64_t bytes = bytes_needed(b, false);
        int r = fill_plan(b, bytes);
        if (r == 0)
                r = add_result(b, "room", room_json(b->target.parent_fd));
        return r == 0 ? room_check(b->target.parent_fd, bytes, "the backup", &b->op->error) : r;
}

static int run_open(struct backup *b)
{
        struct operation *op = b->op;
        b->damage = json_object_new_array();
        if (b->damage == NULL)
                return error_set(&op->error, ENOMEM, "no memory for the result");
        int r = backup_target_find(op->dirfd, &command_option(op->command, "to")->text, &b->target, &op->error);
        if (r == 0)
                r = operation_read(op, &b->db);
        if (r == 0)
                r = backup_hold_init(&b->hold, op->dirfd, b->db, &op->error);
        if (r == 0)
                r = backup_list_tree(b);
        if (r == 0)
                r = op->command->dry_run ? plan(b) : make(b);
        return r;
}

static int run(struct operation *op)
{
        struct backup b = { .op = op, .hold.fd = -1, .target = { .parent_fd = -1, .fd = -1 }, .phase = "listing files" };
        b.begun_ms = clock_ms();
        int r = run_open(&b);
        if (r == -ECANCELED || (r == -EINTR && operation_is_cancelled(op)))
                r = error_set(&op->error, ECANCELED, "the backup was cancelled: nothing was made");
        if (b.hold.fd >= 0)
                backup_hold_clear(&b.hold);
        b.db = db_close(b.db);
        backup_target_clear(&b.target);
        backup_tree_clear(&b.tree);
        (void) json_object_put(b.damage);
        return r;
}

const struct operation_type operation_backup = {
        .name = "backup",
        .summary = "Makes a checked, consistent copy of the whole directory, also while Chroma writes to it.",
        .forced = "Nothing else: a backup is always made beside a live process.",
        .options = options,
        .beside_live = true,
        .run = run,
};
