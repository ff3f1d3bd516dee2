/*
 * The lock bytes of SQLite's unix VFS, at 1 GiB, where no page has content:
 *
 *     PENDING   0x40000000   a writer that waits for the readers to leave; who wants to read passes through a read lock here
 *     RESERVED  +1           a writer that prepares its transaction, in its own memory and in the journal
 *     SHARED    +2 … +511    read lock: a reader; write lock: the one writer that changes the file (EXCLUSIVE)
 *
 * A transaction's before-images are in `<database>-journal`, synced before the first page of the database is changed, which takes EXCLUSIVE;
 * removing the journal is the commit. So when we have SHARED, then nobody changes the database, and a journal is one of three:
 * - a live writer's that has RESERVED: it changed nothing yet, the database is right as it is;
 * - the left-over of a writer that died: hot, the database is right only behind the journal's before-images;
 * - of a writer that just came or went while we looked. Nobody can get RESERVED beside a hot journal (that takes a roll-back first, and that takes
 *   EXCLUSIVE, which our SHARED keeps away): RESERVED seen at any moment means that the journal is not hot, so it is asked for again at the end.
 */
#include "ops/db_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define PENDING_BYTE 0x40000000
#define RESERVED_BYTE (PENDING_BYTE + 1)
#define SHARED_FIRST (PENDING_BYTE + 2)
#define SHARED_SIZE 510
#define JOURNAL_ATTEMPTS 16
#define DATABASE_HEADER 100

int db_file_result(int code, int otherwise)
{
        switch (code) {
        case -ENOMEM:
                return SQLITE_NOMEM;
        case -EINTR:
                return SQLITE_INTERRUPT;
        default:
                return otherwise;
        }
}

/* Locks. Open-file-description locks are never waited for here: the connection's busy handler does the waiting, and can be cancelled. */

static int lock_range(const struct db_file *f, short type, off_t start, off_t len)
{
        struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
        if (fcntl(f->fd, F_OFD_SETLK, &lock) == 0)
                return SQLITE_OK;
        if (errno == EAGAIN || errno == EACCES || errno == EINTR)
                return SQLITE_BUSY;
        (void) error_set(f->error, errno, "chroma.sqlite3 can't be locked: %s", strerror(errno));
        return SQLITE_IOERR_LOCK;
}

void db_file_unlock(struct db_file *f)
{
        (void) lock_range(f, F_UNLCK, PENDING_BYTE, 2 + SHARED_SIZE);
        if (f->journal_fd >= 0)
                (void) close(f->journal_fd);
        f->journal_fd = -1;
        f->shared = false;
}

static int lock_shared(const struct db_file *f)
{
        int rc = lock_range(f, F_RDLCK, PENDING_BYTE, 1);
        if (rc != SQLITE_OK)
                return rc;
        rc = lock_range(f, F_RDLCK, SHARED_FIRST, SHARED_SIZE);
        int dropped = lock_range(f, F_UNLCK, PENDING_BYTE, 1);
        return rc != SQLITE_OK ? rc : dropped;
}

int db_file_reserved(const struct db_file *f, bool *ret_held)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = RESERVED_BYTE, .l_len = 1 };
        if (fcntl(f->fd, F_OFD_GETLK, &lock) < 0) {
                (void) error_set(f->error, errno, "the locks of chroma.sqlite3 can't be examined: %s", strerror(errno));
                return SQLITE_IOERR_CHECKRESERVEDLOCK;
        }
        *ret_held = lock.l_type != F_UNLCK;
        return SQLITE_OK;
}

/* Reading, with or without the overlay. */

bool db_file_is_hot(const struct db_file *f)
{
        return f->journal_fd >= 0;
}

static uint64_t hot_size(const struct db_file *f)
{
        return (uint64_t) journal_page_count(f->journal) * journal_page_size(f->journal);
}

static int read_raw(const struct db_file *f, char *buffer, size_t len, uint64_t offset)
{
        ssize_t n = file_pread(f->fd, buffer, len, offset);
        if (n < 0) {
                (void) error_set(f->error, (int) -n, "chroma.sqlite3 can't be read: %s", strerror((int) -n));
                return SQLITE_IOERR_READ;
        }
        if ((size_t) n == len)
                return SQLITE_OK;
        memset(buffer + n, 0, len - (size_t) n);
        return SQLITE_IOERR_SHORT_READ;
}

/* A part of one page: from the journal, else from the file. What the file lacks of its size before the transaction is zeroes after a roll-back. */
static int read_hot_page(const struct db_file *f, char *buffer, size_t len, uint64_t offset)
{
        uint32_t page_size = journal_page_size(f->journal);
        int rc = journal_read(f->journal, f->journal_fd, (uint32_t) (offset / page_size + 1), buffer, (size_t) (offset % page_size),
                              len, f->error);
        if (rc < 0)
                return SQLITE_IOERR_READ;
        if (rc > 0)
                return SQLITE_OK;
        rc = read_raw(f, buffer, len, offset);
        return rc == SQLITE_IOERR_SHORT_READ ? SQLITE_OK : rc;
}

static int read_hot(const struct db_file *f, char *buffer, size_t len, uint64_t offset)
{
        uint32_t page_size = journal_page_size(f->journal);
        uint64_t size = hot_size(f);
        while (len > 0) {
                if (offset >= size) {
                        memset(buffer, 0, len);
                        return SQLITE_IOERR_SHORT_READ;
                }
                size_t part = page_size - (size_t) (offset % page_size);
                if (part > len)
                        part = len;
                int rc = read_hot_page(f, buffer, part, offset);
                if (rc != SQLITE_OK)
                        return rc;
                buffer += part;
                offset += part;
                len -= part;
        }
        return SQLITE_OK;
}

int db_file_read(const struct db_file *f, void *buffer, size_t len, uint64_t offset)
{
        return db_file_is_hot(f) ? read_hot(f, buffer, len, offset) : read_raw(f, buffer, len, offset);
}

int db_file_size(const struct db_file *f, uint64_t *ret)
{
        struct stat st;
        if (db_file_is_hot(f)) {
                *ret = hot_size(f);
                return SQLITE_OK;
        }
        if (fstat(f->fd, &st) < 0) {
                (void) error_set(f->error, errno, "chroma.sqlite3 can't be examined: %s", strerror(errno));
                return SQLITE_IOERR_FSTAT;
        }
        *ret = (uint64_t) st.st_size;
        return SQLITE_OK;
}

/* The hot journal. */

static void forget_journal(struct db_file *f)
{
        f->journal = journal_free(f->journal);
        if (f->journal_fd >= 0)
                (void) close(f->journal_fd);
        f->journal_fd = -1;
}

/* The page size that the bytes of a database header tell, 0 when they are none. */
static uint32_t header_page_size(const unsigned char *header)
{
        if (memcmp(header, "SQLite format 3", 16) != 0)
                return 0;
        uint32_t size = (uint32_t) header[16] << 8 | header[17];
        return size == 1 ? 65536 : size;
}

static int read_header(const struct db_file *f, unsigned char header[DATABASE_HEADER])
{
        int rc = db_file_read(f, header, DATABASE_HEADER, 0);
        return rc == SQLITE_IOERR_SHORT_READ ? SQLITE_OK : rc;
}

/* Makes f->journal the index of the journal open as fd, unless it is already. */
static int index_journal(struct db_file *f, int fd, const struct file_stamp *stamp)
{
        unsigned char header[DATABASE_HEADER] = { 0 };
        if (f->journal != NULL && file_stamp_equal(stamp, &f->journal_stamp) && journal_same_header(f->journal, fd))
                return SQLITE_OK;
        forget_journal(f);
        int rc = read_raw(f, (char *) header, sizeof(header), 0);
        if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ)
                return rc;
        rc = journal_index(fd, header_page_size(header), f->cancelled, f->cancel_context, &f->journal, f->error);
        if (rc < 0)
                return db_file_result(rc, SQLITE_IOERR_LOCK);
        f->journal_stamp = *stamp;
        return SQLITE_OK;
}

/* SQLite would roll back with the journal's page size whatever the database says. When these differ then one of them is not what it seems. */
static int check_page_size(const struct db_file *f)
{
        unsigned char header[DATABASE_HEADER];
        if (journal_page_count(f->journal) == 0)
                return SQLITE_OK;
        int rc = read_header(f, header);
        if (rc != SQLITE_OK)
                return rc;
        uint32_t own = header_page_size(header), journals = journal_page_size(f->journal);
        if (own == 0 || own == journals)
                return SQLITE_OK;
        (void) error_set(f->error, EILSEQ,
                         "the hot journal has pages of %u bytes and the database of %u: they don't belong together",
                         (unsigned) journals, (unsigned) own);
        return SQLITE_IOERR_LOCK;
}

/* What the journal, open as fd, means. *ret_settled stays false when it went away or changed while we looked. On success with an overlay, fd is
   taken over by f->journal_fd. */
static int judge_journal(struct db_file *f, int *fd, const struct file_stamp *stamp, bool *ret_settled)
{
        char first = 0;
        bool held = false;
        if (file_pread(*fd, &first, 1, 0) == 1 && first == 0) {
                *ret_settled = true; /* journal_mode=persist: finished */
                return SQLITE_OK;
        }
        int rc = index_journal(f, *fd, stamp);
        if (rc != SQLITE_OK)
                return rc;
        rc = db_file_reserved(f, &held);
        if (rc != SQLITE_OK)
                return rc;
        struct file_stamp now = file_stamp_at(f->dirfd, f->journal_name);
        *ret_settled = held || file_stamp_equal(&now, stamp);
        if (held || !*ret_settled || !journal_valid(f->journal))
                return SQLITE_OK;
        f->journal_fd = *fd;
        *fd = -1;
        return check_page_size(f);
}

/* One look at the journal, as SQLite looks: is it there, does anyone hold RESERVED, is there a database, is the first byte zero. */
static int look_for_journal(struct db_file *f, bool *ret_settled)
{
        struct file_stamp stamp = file_stamp_at(f->dirfd, f->journal_name);
        struct stat st;
        bool held = false;
        int rc = SQLITE_OK;
        *ret_settled = true;
        if (!stamp.present || (S_ISREG(stamp.mode) && stamp.size == 0))
                return SQLITE_OK;
        rc = db_file_reserved(f, &held);
        if (rc != SQLITE_OK || held)
                return rc;
        if (fstat(f->fd, &st) == 0 && st.st_size == 0)
                return SQLITE_OK;
        CLEANUP(close)
        int fd = file_open_regular(f->dirfd, f->journal_name, &stamp, f->error);
        *ret_settled = false;
        if (fd == -ENOENT)
                return SQLITE_OK;
        if (fd < 0)
                return db_file_result(fd, SQLITE_IOERR_LOCK);
        return judge_journal(f, &fd, &stamp, ret_settled);
}

/* Called with SHARED just taken: puts a hot journal over the file. */
static int overlay(struct db_file *f)
{
        for (int i = 0; i < JOURNAL_ATTEMPTS; i++) {
                bool settled = false;
                int rc = look_for_journal(f, &settled);
                if (rc != SQLITE_OK || (settled && !db_file_is_hot(f)))
                        forget_journal(f);
                if (rc != SQLITE_OK || settled)
                        return rc;
        }
        return SQLITE_BUSY;
}

int db_file_lock(struct db_file *f)
{
        if (f->shared)
                return SQLITE_OK;
        int rc = lock_shared(f);
        if (rc == SQLITE_OK)
                rc = overlay(f);
        if (rc == SQLITE_OK)
                f->shared = true;
        else
                db_file_unlock(f);
        return rc;
}

int db_file_open(struct db_file *f, int dirfd, const char *name, struct error *error)
{
        *f = (struct db_file){ .dirfd = dirfd, .fd = -1, .journal_fd = -1, .error = error };
        if (strlen(name) > DB_FILE_NAME_MAX)
                return error_set(error, ENAMETOOLONG, "the name of the database is too long");
        (void) snprintf(f->journal_name, sizeof(f->journal_name), "%s-journal", name);
        f->fd = file_open_regular(dirfd, name, NULL, error);
        return f->fd < 0 ? f->fd : 0;
}

void db_file_close(struct db_file *f)
{
        db_file_unlock(f);
        forget_journal(f);
        (void) close(f->fd);
        f->fd = -1;
}
