/*
 * SQLite's locks (ops/db_file.c has them in full): RESERVED is a writer in its transaction; PENDING one that wants to commit and waits for
 * the readers. They are asked for through a descriptor of its own, with open-file-description locks, which closing it does not drop.
 */
#include "ops/operation/backup_hold.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "ops/clock.h"
#include "ops/file.h"

#define PENDING_BYTE 0x40000000
#define RESERVED_BYTE (PENDING_BYTE + 1)
#define ATTEMPTS 5
#define PAUSE_NS (1000 * 1000)

int backup_hold_init(struct backup_hold *h, int persist_fd, struct db *db, struct error *e)
{
        *h = (struct backup_hold){ .db = db, .fd = file_open_regular(persist_fd, DB_FILE, NULL, e) };
        return h->fd < 0 ? h->fd : 0;
}

void backup_hold_clear(struct backup_hold *h)
{
        backup_hold_end(h);
        if (h->fd >= 0)
                (void) close(h->fd);
        h->fd = -1;
}

int backup_hold_begin(struct backup_hold *h, struct error *e)
{
        int r = h->held ? 0 : -EBUSY;
        for (int i = 0; r == -EBUSY && i < ATTEMPTS; i++)
                r = db_begin(h->db, e);
        if (r == 0 && !h->held) {
                h->held = true;
                h->begun = clock_ms();
                h->waited_since = 0;
        }
        return r;
}

void backup_hold_end(struct backup_hold *h)
{
        if (h->held)
                db_end(h->db);
        h->held = false;
}

static bool is_write_locked(int fd, off_t byte)
{
        struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
        return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool backup_hold_has_writer(const struct backup_hold *h)
{
        return is_write_locked(h->fd, RESERVED_BYTE);
}

bool backup_hold_is_waited_for(const struct backup_hold *h)
{
        return is_write_locked(h->fd, PENDING_BYTE);
}

bool backup_hold_goes_on(struct backup_hold *h, int64_t ms)
{
        if (!h->held)
                return false;
        int64_t now = clock_ms();
        if (h->waited_since == 0 && backup_hold_is_waited_for(h))
                h->waited_since = now;
        bool on = h->waited_since != 0 ? now + ms < h->waited_since + BACKUP_WAIT_MS : now < h->begun + BACKUP_HOLD_MS;
        if (!on)
                backup_hold_end(h);
        return on;
}

void backup_hold_let_writer(const struct backup_hold *h)
{
        struct timespec moment = { .tv_nsec = PAUSE_NS };
        if (backup_hold_is_waited_for(h))
                (void) nanosleep(&moment, NULL);
}
