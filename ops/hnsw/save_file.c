#include "ops/hnsw/save_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/file.h"

#define PART ((size_t) 4 << 20)
#define MIB (1u << 20)

static int fail(const struct save_file *f, int err, const char *what, struct error *e)
{
        return error_set(e, err, "%s can't be %s: %s", f->name, what, strerror(err));
}

int save_file_open(struct save_file *f, int dirfd, const char *name, db_cancel_fn *cancelled, void *context, struct error *e)
{
        *f = (struct save_file){ .fd = -1, .name = name, .cancelled = cancelled, .context = context };
        f->buffer = malloc(SAVE_BUFFER);
        if (f->buffer == NULL)
                return error_set(e, ENOMEM, "no memory to write %s", name);
        f->fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        return f->fd < 0 ? fail(f, errno, "made", e) : 0;
}

int save_file_reserve(struct save_file *f, uint64_t size, struct error *e)
{
        if (size > INT64_MAX)
                return fail(f, EFBIG, "made", e);
        if (size == 0)
                return 0;
        int r = 0;
        do
                r = fallocate(f->fd, 0, 0, (off_t) size);
        while (r < 0 && errno == EINTR);
        if (r < 0 && errno == EOPNOTSUPP)
                r = ftruncate(f->fd, (off_t) size);
        if (r == 0)
                return 0;
        int err = errno;
        return error_set(e, err, "%s needs %llu MiB: %s", f->name, (unsigned long long) (size / MIB + 1), strerror(err));
}

/* The part that was written is handed to the disk, and the one before it is waited for, so that the sync at the end, which can't be cancelled, has little left to do. What goes wrong
   with that it says again. */
static void write_out(struct save_file *f)
{
        uint64_t len = f->offset - f->handed;
        if (len < PART)
                return;
        (void) sync_file_range(f->fd, (off_t) f->handed, (off_t) len, SYNC_FILE_RANGE_WRITE);
        if (f->handed > 0)
                (void) sync_file_range(f->fd, 0, (off_t) f->handed,
                                       SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
        f->handed = f->offset;
}

static int write_part(struct save_file *f, const unsigned char *bytes, size_t len, struct error *e)
{
        if (f->cancelled != NULL && f->cancelled(f->context))
                return error_set(e, EINTR, "cancelled");
        int r = file_write(f->fd, bytes, len);
        if (r < 0)
                return fail(f, -r, "written", e);
        f->offset += len;
        write_out(f);
        return 0;
}

static int flush(struct save_file *f, struct error *e)
{
        size_t used = f->used;
        f->used = 0;
        return used == 0 ? 0 : write_part(f, f->buffer, used, e);
}

int save_file_put(struct save_file *f, const void *bytes, size_t len, struct error *e)
{
        const unsigned char *from = bytes;
        int r = len > SAVE_BUFFER - f->used ? flush(f, e) : 0;
        for (; r == 0 && len > SAVE_BUFFER; len -= len < PART ? len : PART) {
                size_t part = len < PART ? len : PART;
                r = write_part(f, from, part, e);
                from += part;
        }
        if (r < 0 || len == 0)
                return r;
        memcpy(f->buffer + f->used, from, len);
        f->used += len;
        return 0;
}

/* A sync that failed is not tried again: the kernel says it once, and then takes the pages for clean. */
int save_file_finish(struct save_file *f, struct error *e)
{
        int r = flush(f, e);
        if (r < 0)
                return r;
        while (fsync(f->fd) < 0)
                if (errno != EINTR)
                        return fail(f, errno, "written to the disk", e);
        int fd = f->fd;
        f->fd = -1;
        if (close(fd) < 0 && errno != EINTR) /* it is closed even then */
                return fail(f, errno, "written to the disk", e);
        return 0;
}

void save_file_close(struct save_file *f)
{
        if (f->fd >= 0)
                (void) close(f->fd);
        free(f->buffer);
        f->fd = -1;
        f->buffer = NULL;
}
