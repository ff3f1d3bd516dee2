/*
 * One of our own files, read by lines in pieces of a fixed size: of a line only the hash is kept.
 */
#include "ops/commit/reject_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ops/file.h"
#include "ops/commit/reject.h"
#include "ops/operation/own_file.h"
#include "ops/operation/plain_dir.h"

#define REJECTED_PATH STATE_DIR "/" REJECTED_FILE
#define CHUNK 65536u

static const struct own_file rejected = { REJECTED_FILE, STAGE_TEMPORARY "rejected" };

static int fail(struct error *e, int err, const char *what)
{
        return own_file_fail(&rejected, err, what, e);
}

int reject_file_open(struct state_dir *state, struct reject_file *ret, struct error *e)
{
        uint64_t size = 0;
        CLEANUP(close)
        int fd = own_file_open(&rejected, state, &size, e);
        if (fd < 0)
                return fd;
        int r = plain_dir_sync(state_dir_fd(state), STATE_DIR, e); /* who made it may have been killed before */
        if (r < 0)
                return r;
        XXH3_state_t *hash = XXH3_createState();
        if (hash == NULL)
                return error_set(e, ENOMEM, "no memory for a line of " REJECTED_FILE);
        *ret = (struct reject_file){ .fd = fd, .size = size, .tail = size, .torn = size, .hash = hash };
        fd = -1;
        return 0;
}

void reject_file_close(struct reject_file *file)
{
        if (file->fd >= 0)
                (void) close(file->fd);
        (void) XXH3_freeState(file->hash);
        *file = (struct reject_file){ .fd = -1 };
}

static void take_bytes(struct reject_file *file, const char *bytes, size_t len)
{
        file->zeros = file->zeros || memchr(bytes, '\0', len) != NULL;
        (void) XXH3_128bits_update(file->hash, bytes, len);
}

/* The line that begins at the tail. */
static void end_line(struct reject_file *file, reject_line_fn *line, void *context)
{
        bool known = line(context, XXH3_128bits_digest(file->hash));
        if (file->zeros && file->torn == file->size)
                file->torn = file->tail;
        else if (!file->zeros && !known)
                file->torn = file->size;
        file->zeros = false;
        (void) XXH3_128bits_reset(file->hash);
}

/* The lines that end in these bytes. */
static void take_lines(struct reject_file *file, const char *bytes, size_t len, uint64_t offset, reject_line_fn *line,
                       void *context)
{
        const char *at = bytes, *end = bytes + len;
        for (const char *newline; (newline = memchr(at, '\n', (size_t) (end - at))) != NULL; at = newline + 1) {
                take_bytes(file, at, (size_t) (newline - at) + 1);
                end_line(file, line, context);
                file->tail = offset + (uint64_t) (newline - bytes) + 1;
        }
        take_bytes(file, at, (size_t) (end - at));
}

int reject_file_scan(struct reject_file *file, struct db *db, reject_line_fn *line, void *context, struct error *e)
{
        CLEANUP(free)
        char *bytes = malloc(CHUNK);
        if (bytes == NULL)
                return error_set(e, ENOMEM, "no memory for a line of " REJECTED_FILE);
        (void) XXH3_128bits_reset(file->hash);
        file->tail = 0;
        file->torn = file->size;
        file->zeros = false;
        for (uint64_t offset = 0; offset < file->size;) {
                if (db_is_cancelled(db))
                        return error_set(e, ECANCELED, "cancelled");
                size_t want = file->size - offset < CHUNK ? (size_t) (file->size - offset) : CHUNK;
                int r = file_pread_exact(file->fd, bytes, want, offset, REJECTED_PATH, e);
                if (r < 0)
                        return r;
                take_lines(file, bytes, want, offset, line, context);
                offset += want;
        }
        if (file->tail < file->size) {
                take_bytes(file, "\n", 1);
                end_line(file, line, context);
        }
        return 0;
}

int reject_file_tail(const struct reject_file *file, char ret[REJECT_TAIL_MAX], struct error *e)
{
        memset(ret, 0, REJECT_TAIL_MAX);
        ssize_t n = file_pread(file->fd, ret, REJECT_TAIL_MAX - 1, file->tail);
        return n < 0 ? fail(e, (int) -n, "read") : 0;
}

int reject_file_cut(struct reject_file *file, uint64_t size, struct error *e)
{
        if (ftruncate(file->fd, (off_t) size) < 0)
                return fail(e, errno, "cut");
        file->size = size;
        return 0;
}

int reject_file_append(const struct reject_file *file, const char *bytes, size_t len, struct error *e)
{
        return own_file_write(&rejected, file->fd, bytes, len, e);
}

int reject_file_sync(const struct reject_file *file, struct error *e)
{
        return own_file_sync(&rejected, file->fd, e);
}

int reject_file_undo(const struct reject_file *file, int r, struct error *e)
{
        if (ftruncate(file->fd, (off_t) file->size) < 0)
                return error_prefix(e, r, REJECTED_PATH " can't be cut back (%s)", strerror(errno));
        return r;
}
