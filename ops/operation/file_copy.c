/*
 * Bytes from one file to another.
 *
 * A reflink shares them and takes no time. Else the file is walked from data to data (SEEK_DATA), so that a hole is not read and not
 * written; what is copied goes through a buffer, where it is hashed: reading it once for both is faster than twice. The size is that at
 * the beginning: what is appended meanwhile is not copied, and what is cut off ends the copy early. Whoever needs one state of the file
 * compares its stamps before and after.
 *
 * Nothing here blocks for long. A part is 1 MiB; fsync(2), which can't be interrupted, finds the dirty pages written already.
 */
#include "ops/operation/file_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/cleanup.h"
#include "ops/file.h"

#define PART (1u << 20)
#define SYNC_PART (1u << 20)

DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free)

struct copying {
        int from, to;
        db_cancel_fn *cancelled;
        void *context;
        uint64_t size; /* of `from` at the beginning; less when it was cut off */
        EVP_MD_CTX *digest;
        unsigned char *buffer;
        uint64_t *done;
};

static int check_cancel(db_cancel_fn *cancelled, void *context, struct error *e)
{
        return cancelled != NULL && cancelled(context) ? error_set(e, ECANCELED, "cancelled") : 0;
}

static int fail(int err, const char *what, struct error *e)
{
        return error_set(e, err, "%s: %s", what, strerror(err));
}

/* Hashes. */

static int digest_begin(EVP_MD_CTX **ret, struct error *e)
{
        EVP_MD_CTX *digest = EVP_MD_CTX_new();
        if (digest == NULL || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1) {
                EVP_MD_CTX_free(digest);
                return error_set(e, ENOMEM, "no memory for a checksum");
        }
        *ret = digest;
        return 0;
}

static int digest_add(EVP_MD_CTX *digest, const void *bytes, size_t len, struct error *e)
{
        return EVP_DigestUpdate(digest, bytes, len) == 1 ? 0 : error_set(e, EIO, "a checksum can't be computed");
}

static int digest_end(EVP_MD_CTX *digest, uint8_t ret[SHA256_SIZE], struct error *e)
{
        return EVP_DigestFinal_ex(digest, ret, NULL) == 1 ? 0 : error_set(e, EIO, "a checksum can't be computed");
}

static int new_buffer(unsigned char **ret, struct error *e)
{
        *ret = malloc(PART);
        return *ret != NULL ? 0 : error_set(e, ENOMEM, "no memory to copy a file");
}

int file_sha256(int fd, db_cancel_fn *cancelled, void *context, uint8_t ret[SHA256_SIZE], struct error *e)
{
        CLEANUP(EVP_MD_CTX_free)
        EVP_MD_CTX *digest = NULL;
        CLEANUP(free)
        unsigned char *buffer = NULL;
        uint8_t sum[SHA256_SIZE];
        int r = digest_begin(&digest, e);
        if (r == 0)
                r = new_buffer(&buffer, e);
        for (uint64_t at = 0; r == 0;) {
                r = check_cancel(cancelled, context, e);
                ssize_t n = r < 0 ? 0 : file_pread(fd, buffer, PART, at);
                if (n < 0)
                        r = fail((int) -n, "a file can't be read for its checksum", e);
                if (r < 0 || n == 0)
                        break;
                r = digest_add(digest, buffer, (size_t) n, e);
                at += (size_t) n;
        }
        if (r == 0)
                r = digest_end(digest, sum, e);
        if (r == 0)
                memcpy(ret, sum, sizeof(sum));
        return r;
}

/* Data. */

/* Bytes copied, 0 at the file's end. */
static ssize_t copy_part(struct copying *c, size_t len, uint64_t at, struct error *e)
{
        ssize_t n = file_pread(c->from, c->buffer, len, at);
        if (n < 0)
                return fail((int) -n, "a file can't be read", e);
        int r = file_pwrite(c->to, c->buffer, (size_t) n, at);
        if (r < 0)
                return fail(-r, "the copy can't be written", e);
        r = digest_add(c->digest, c->buffer, (size_t) n, e);
        return r < 0 ? r : n;
}

static int copy_data(struct copying *c, uint64_t at, uint64_t end, struct error *e)
{
        while (at < end) {
                int r = check_cancel(c->cancelled, c->context, e);
                if (r < 0)
                        return r;
                ssize_t n = copy_part(c, end - at < PART ? (size_t) (end - at) : PART, at, e);
                if (n < 0)
                        return (int) n;
                if (n == 0) {
                        c->size = at;
                        return 0;
                }
                (void) sync_file_range(c->to, (off_t) at, n, SYNC_FILE_RANGE_WRITE); /* begin, so that a sync finds little to do */
                at += (size_t) n;
                *c->done = at;
        }
        return 0;
}

static int hash_hole(struct copying *c, uint64_t at, uint64_t end, struct error *e)
{
        if (at >= end)
                return 0;
        memset(c->buffer, 0, PART);
        while (at < end) {
                size_t len = end - at < PART ? (size_t) (end - at) : PART;
                int r = check_cancel(c->cancelled, c->context, e);
                if (r == 0)
                        r = digest_add(c->digest, c->buffer, len, e);
                if (r < 0)
                        return r;
                at += len;
                *c->done = at;
        }
        return 0;
}

/* The next data at or behind `at`. A file system that knows no holes says that all is data. */
static void find_data(const struct copying *c, uint64_t at, uint64_t *ret_begin, uint64_t *ret_end)
{
        off_t begin = lseek(c->from, (off_t) at, SEEK_DATA);
        if (begin < 0 && errno == ENXIO) {
                *ret_begin = *ret_end = c->size;
                return;
        }
        off_t end = begin < 0 ? -1 : lseek(c->from, begin, SEEK_HOLE);
        *ret_begin = begin < (off_t) at ? at : (uint64_t) begin;
        *ret_end = end < 0 || (uint64_t) end > c->size ? c->size : (uint64_t) end;
        if (*ret_begin > c->size)
                *ret_begin = c->size;
        if (*ret_end <= *ret_begin)
                *ret_end = c->size; /* never without progress */
}

static int copy_extents(struct copying *c, struct error *e)
{
        for (uint64_t at = 0; at < c->size;) {
                uint64_t begin, end;
                find_data(c, at, &begin, &end);
                int r = hash_hole(c, at, begin, e);
                if (r == 0)
                        r = copy_data(c, begin, end, e);
                if (r < 0)
                        return r;
                at = end;
        }
        return ftruncate(c->to, (off_t) c->size) < 0 ? fail(errno, "the copy can't be given its size", e) : 0;
}

int file_reflink(int from, int to)
{
        return ioctl(to, FICLONE, from) < 0 ? -errno : 0;
}

static int size_of(int fd, uint64_t *ret, struct error *e)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return fail(errno, "a file can't be examined", e);
        if (!S_ISREG(st.st_mode))
                return error_set(e, EILSEQ, "what is to be copied is no regular file");
        *ret = (uint64_t) st.st_size;
        return 0;
}

static int copy_all(struct copying *c, struct error *e)
{
        CLEANUP(free)
        unsigned char *buffer = NULL;
        int r = new_buffer(&buffer, e);
        c->buffer = buffer;
        return r == 0 ? copy_extents(c, e) : r;
}

int file_copy_hashed(int from, int to, db_cancel_fn *cancelled, void *context, struct file_copy *ret, struct error *e)
{
        uint64_t size = 0;
        ret->bytes = 0;
        int r = check_cancel(cancelled, context, e);
        if (r == 0)
                r = size_of(from, &size, e);
        if (r < 0)
                return r;
        ret->reflinked = file_reflink(from, to) == 0;
        if (ret->reflinked)
                return size_of(to, &ret->bytes, e);
        CLEANUP(EVP_MD_CTX_free)
        EVP_MD_CTX *digest = NULL;
        r = digest_begin(&digest, e);
        struct copying c = { from, to, cancelled, context, size, .digest = digest, .done = &ret->bytes };
        if (r == 0)
                r = copy_all(&c, e);
        if (r == 0)
                r = digest_end(digest, ret->sha256, e);
        ret->bytes = c.size;
        return r;
}

static int write_out(int fd, unsigned flags, db_cancel_fn *cancelled, void *context, struct error *e)
{
        uint64_t size = 0;
        int r = size_of(fd, &size, e);
        for (uint64_t at = 0; r == 0 && at < size; at += SYNC_PART) {
                r = check_cancel(cancelled, context, e);
                if (r == 0 && sync_file_range(fd, (off_t) at, SYNC_PART, flags) < 0)
                        break; /* not every file system can; and what went wrong a sync says again */
        }
        return r == 0 ? check_cancel(cancelled, context, e) : r;
}

int file_begin_write_out(int fd, db_cancel_fn *cancelled, void *context, struct error *e)
{
        return write_out(fd, SYNC_FILE_RANGE_WRITE, cancelled, context, e);
}

int file_write_out(int fd, db_cancel_fn *cancelled, void *context, struct error *e)
{
        return write_out(fd, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER, cancelled, context,
                         e);
}

int file_sync(int fd, db_cancel_fn *cancelled, void *context, struct error *e)
{
        int r = file_write_out(fd, cancelled, context, e);
        return r == 0 && fsync(fd) < 0 ? fail(errno, "the copy can't be written to the disk", e) : r;
}
