/*
 * chromafs-manifest.json, in the backup's top directory: what is in it, with sizes and checksums, so that whoever restores it can tell that
 * nothing is missing. No Chroma looks at a file there that it does not know.
 *
 *     {"chromafs": "1.2.3", "source": "/srv/chroma", "created": "2026-11-22T23:00:00Z", "status": "complete" | "damaged_source",
 *      "database": {"path", "bytes", "sha256", "page_size", "change_counter", "rolled_back"},
 *      "files": [{"path", "bytes", "sha256", "mtime"}], "links": [path], "left_out": [{"path", "reason"}], "damage": [{"where", "sentence"}]}
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ops/file.h"
#include "ops/json.h"
#include "ops/json_escape.h"
#include "ops/operation/backup_parts.h"

static inline __attribute__((unused)) void json_object_put_cleanup(struct json_object **object)
{
        (void) json_object_put(*object);
}

const char *backup_format_time(int64_t ns, char buffer[BACKUP_TIME_SIZE])
{
        int64_t rest = ns % 1000000000;
        time_t seconds = ns / 1000000000 - (rest < 0);
        struct tm tm;
        size_t len = gmtime_r(&seconds, &tm) != NULL ? strftime(buffer, BACKUP_TIME_SIZE - 12, "%Y-%m-%dT%H:%M:%S", &tm) : 0;
        (void) snprintf(buffer + len, BACKUP_TIME_SIZE - len, ".%09dZ", (int) (rest < 0 ? rest + 1000000000 : rest));
        return buffer;
}

/* A NULL here is no memory, never a null. */
static int put(struct json_object *object, const char *key, struct json_object *value)
{
        return value != NULL ? json_add(object, key, value) : -ENOMEM;
}

/* json-c's own serializer of strings hides that it ran out of memory, and leaves a shorter string. */
static int print_string(struct json_object *object, struct printbuf *out, int level, int flags)
{
        (void) level, (void) flags;
        return json_escape(out, json_object_get_string(object), (size_t) json_object_get_string_len(object));
}

struct json_object *backup_string_json(const char *s)
{
        struct json_object *object = json_string(s);
        if (object != NULL)
                json_object_set_serializer(object, print_string, NULL, NULL);
        return object;
}

static struct json_object *hex_json(const uint8_t hash[SHA256_SIZE])
{
        char hex[2 * SHA256_SIZE + 1];
        for (size_t i = 0; i < SHA256_SIZE; i++)
                (void) snprintf(hex + 2 * i, 3, "%02x", hash[i]);
        return backup_string_json(hex);
}

static struct json_object *number(uint64_t n)
{
        return json_object_new_uint64(n);
}

/* The object when `r` says that all went into it, else NULL. */
static struct json_object *made(struct json_object *object, int r)
{
        if (r == 0)
                return object;
        (void) json_object_put(object);
        return NULL;
}

static struct json_object *file_json(const struct backup_entry *entry)
{
        char time[BACKUP_TIME_SIZE];
        struct json_object *o = json_object_new_object();
        int r = o == NULL ? -ENOMEM : put(o, "path", backup_string_json(entry->path));
        if (r == 0)
                r = put(o, "bytes", number(entry->copy.bytes));
        if (r == 0)
                r = put(o, "sha256", hex_json(entry->copy.sha256));
        if (r == 0)
                r = put(o, "mtime", backup_string_json(backup_format_time(entry->stamp.mtime_ns, time)));
        return made(o, r);
}

static struct json_object *left_out_json(const struct backup_entry *entry)
{
        struct json_object *o = json_object_new_object();
        int r = o == NULL ? -ENOMEM : put(o, "path", backup_string_json(entry->path));
        if (r == 0)
                r = put(o, "reason", backup_string_json(entry->reason));
        return made(o, r);
}

static struct json_object *link_json(const struct backup_entry *entry)
{
        return backup_string_json(entry->path);
}

/* The entries of a kind; what went away is none. */
static struct json_object *entries_json(const struct backup *b, enum backup_kind kind,
                                        struct json_object *describe(const struct backup_entry *))
{
        struct json_object *array = json_object_new_array();
        for (size_t i = 0; array != NULL && i < b->tree.count; i++) {
                const struct backup_entry *entry = &b->tree.entries[i];
                if (entry->kind != kind || entry->gone)
                        continue;
                struct json_object *one = describe(entry);
                if (one != NULL && json_object_array_add(array, one) == 0)
                        continue;
                (void) json_object_put(one);
                (void) json_object_put(array);
                return NULL;
        }
        return array;
}

static struct json_object *database_json(const struct backup *b)
{
        const struct backup_database *d = &b->database;
        struct json_object *o = json_object_new_object();
        int r = o == NULL ? -ENOMEM : put(o, "path", backup_string_json(DB_FILE));
        if (r == 0)
                r = put(o, "bytes", number(d->bytes));
        if (r == 0)
                r = put(o, "sha256", hex_json(d->sha256));
        if (r == 0)
                r = put(o, "page_size", number(d->page_size));
        if (r == 0)
                r = put(o, "change_counter", number(d->change_counter));
        if (r == 0)
                r = put(o, "rolled_back", json_object_new_boolean(d->hot));
        return made(o, r);
}

static int add_head(const struct backup *b, struct json_object *o)
{
        char path[PATH_MAX] = "", time[BACKUP_TIME_SIZE], link[64];
        struct timespec now;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", b->op->dirfd);
        ssize_t n = readlink(link, path, sizeof(path) - 1);
        path[n > 0 ? n : 0] = '\0';
        int r = put(o, "chromafs", backup_string_json(CHROMAFS_VERSION));
        if (r == 0)
                r = put(o, "source", backup_string_json(path));
        if (r == 0)
                r = put(o, "created",
                        backup_string_json(backup_format_time((int64_t) now.tv_sec * 1000000000 + now.tv_nsec, time)));
        if (r == 0)
                r = put(o, "status", backup_string_json(json_object_array_length(b->damage) > 0 ? "damaged_source" : "complete"));
        return r == 0 ? put(o, "database", database_json(b)) : r;
}

static struct json_object *manifest(const struct backup *b)
{
        struct json_object *o = json_object_new_object();
        int r = o == NULL ? -ENOMEM : add_head(b, o);
        if (r == 0)
                r = put(o, "files", entries_json(b, BACKUP_FILE, file_json));
        if (r == 0)
                r = put(o, "links", entries_json(b, BACKUP_LINK, link_json));
        if (r == 0)
                r = put(o, "left_out", entries_json(b, BACKUP_LEFT_OUT, left_out_json));
        if (r == 0)
                r = put(o, "damage", json_object_get(b->damage));
        return made(o, r);
}

static int write_text(int fd, const struct text *text, struct error *e)
{
        int r = file_write(fd, text->bytes, text->len);
        if (r < 0)
                return error_set(e, -r, BACKUP_MANIFEST " can't be written: %s", strerror(-r));
        return fsync(fd) < 0 ? error_set(e, errno, BACKUP_MANIFEST " can't be written to the disk: %s", strerror(errno)) : 0;
}

/* As the database is: who may read the one may read the other. */
static int give_attributes(struct backup *b, int fd)
{
        CLEANUP(close)
        int from = file_open_regular(b->target.fd, DB_FILE, NULL, &b->op->error);
        bool unowned; /* both are ours */
        return from < 0 ? from : backup_copy_attributes(b, from, fd, &unowned);
}

int backup_write_manifest(struct backup *b)
{
        CLEANUP(json_object_put)
        struct json_object *object = manifest(b);
        struct text text = { NULL, 0 };
        if (object == NULL || json_render(object, &text) < 0)
                return error_set(&b->op->error, ENOMEM, "no memory for " BACKUP_MANIFEST);
        CLEANUP(close)
        int fd = openat(b->target.fd, BACKUP_MANIFEST, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        int r = fd < 0 ? error_set(&b->op->error, errno, BACKUP_MANIFEST " can't be made: %s", strerror(errno))
                       : write_text(fd, &text, &b->op->error);
        free(text.bytes);
        return r < 0 ? r : give_attributes(b, fd);
}
