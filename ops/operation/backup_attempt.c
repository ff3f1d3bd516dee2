/*
 * A consistent copy of a directory that a live Chroma goes on writing to.
 *
 * Chroma writes in this order (FORMAT 4, 7): a record into the log (embeddings_queue); its metadata, with the position of the metadata
 * segment; and, at every sync_threshold records, the vector index: header.bin, data_level0.bin, length.bin, link_lists.bin in place, then
 * index_metadata.pickle, then the index's position into max_seq_id. Only then the log loses the rows up to there. Python does all of it
 * inside the one transaction of the write; Rust takes SQLite's lock for the rows only, and none while it writes files.
 *
 * What would be a torn copy:
 * (a) files of two persists, or of half a one;
 * (b) a database that is newer than the files: the position says that rows are in the index which are not, and the log may lack them: lost;
 * (c) a database that is older than the files: the log is replayed over files that have it already. Harmless but for `UPDATE x`, which did
 *     nothing, followed by `ADD x` (FORMAT 7, end). Where the position is in the pickle (before 0.5.6) and the transaction is rolled back,
 *     its numbers are given out again: lost.
 *
 * So, in one attempt: at T0 all stamps are listed; then the files are copied, then the database; at T1 all stamps are listed again. It
 * counts only if
 * (1) the stamps of T0 and T1 are equal, and the stamps of the files that were copied are these: no file was changed from T0 to T1. Stamps
 *     have ticks: a file that was changed in the tick of T0 could change again unseen, so T0 waits until none is that young
 *     (backup_tree_settled).
 * (2) nobody was inside a writing transaction at T0, or all files were older than the last commit, and so than the transaction. Python's
 *     persist lies wholly within one: at T0 there is none, and one that began later would show in the stamps before its COMMIT. So the
 *     database, which is of one moment between T0 and T1, has the position of these files.
 * (3) in an index that was written in the two seconds before T0 the pickle is the last file that was written, and the database was written
 *     after it. Rust's persist has then come to its end, the position included: between two files of it, or before the position, the order
 *     is another one. One that began after T0 shows in the stamps, or has written nothing until T1, and its position comes after its files:
 *     the database has none of it. (A writer of several threads may commit something else between the pickle and the position. It would
 *     have to be stopped at just that place, from before T0 until the end of the copying; the copy is then what a crash of Chroma at this
 *     place leaves, see (c).)
 * (4) the copy is checked, labels against the pickle, ids against the metadata: half a persist that lasted for more than two seconds (a
 *     writer that was stopped inside it) is found there, unless it was of updates only, whose replay is harmless.
 *
 * To let a busy writer come to rest, T0 and what follows lie inside one read transaction as long as no writer has waited for it for
 * BACKUP_WAIT_MS: while it is open nobody commits, so nobody comes to the next persist. Most of the bytes are copied before, without any of
 * this; an attempt copies what has changed since. After TRIES_MAX attempts it is -EBUSY, and nothing was made.
 *
 * What the check finds is the source's own damage when a second copy shows it too, or when nothing was written lately. Then the backup
 * succeeds all the same and lists it.
 */
#include <errno.h>
#include <time.h>

#include "ops/clock.h"
#include "ops/index_summary.h"
#include "ops/operation/backup_parts.h"

#define TRIES_MAX 20
#define CHECKS_MAX 3
#define SETTLE_MS 1000
#define PAUSE_MS_MAX 250

static int cancelled_pause(struct backup *b, int ms)
{
        struct timespec moment = { .tv_nsec = 2 * 1000 * 1000 };
        for (int64_t end = clock_ms() + ms; clock_ms() < end;) {
                if (backup_is_cancelled(b))
                        return -ECANCELED;
                (void) nanosleep(&moment, NULL);
        }
        return 0;
}

int backup_list_tree(struct backup *b)
{
        struct backup_tree tree;
        int r = backup_tree_read(b->op->dirfd, backup_is_cancelled, b, &tree, &b->op->error);
        if (r < 0)
                return r;
        if (b->target.fd >= 0)
                backup_tree_take_over(&tree, &b->tree, backup_copy_remove, b);
        backup_tree_clear(&b->tree);
        b->tree = tree;
        return 0;
}

static bool is_settled(const struct backup *b)
{
        struct file_stamp database = db_stamp(b->db);
        return backup_tree_settled(&b->tree, &database) &&
               (!backup_hold_has_writer(&b->hold) || backup_tree_is_older(&b->tree, &database));
}

/* T0: holds, lists, and looks whether this is a moment to begin at. 1, 0 not within SETTLE_MS, or a failure. */
static int begin_settled(struct backup *b)
{
        for (int64_t end = clock_ms() + SETTLE_MS;;) {
                int r = backup_hold_begin(&b->hold, &b->op->error);
                if (r == 0)
                        r = backup_list_tree(b);
                if (r < 0)
                        return r;
                if (is_settled(b))
                        return 1;
                backup_hold_end(&b->hold);
                if (clock_ms() >= end)
                        return 0;
                r = cancelled_pause(b, 2);
                if (r < 0)
                        return r;
        }
}

static bool all_copied(const struct backup_tree *tree)
{
        for (size_t i = 0; i < tree->count; i++)
                if (tree->entries[i].segment && tree->entries[i].kind != BACKUP_LEFT_OUT && !tree->entries[i].copied)
                        return false;
        return true;
}

/* T1. 1 when nothing has changed, 0 when something has. */
static int look_again(struct backup *b)
{
        struct backup_tree now;
        int r = backup_tree_read(b->op->dirfd, backup_is_cancelled, b, &now, &b->op->error);
        if (r < 0)
                return r;
        r = all_copied(&b->tree) && backup_tree_same_segments(&b->tree, &now);
        backup_tree_clear(&now);
        if (r > 0 && db_replaced(b->db))
                return error_set(&b->op->error, EBUSY,
                                 DB_FILE " was replaced by another file while it was copied: make the backup again");
        return r;
}

/* 1 a consistent copy, 0 not this time, or a failure. */
static int attempt(struct backup *b)
{
        int r = begin_settled(b);
        if (r > 0) {
                r = backup_copy_tree(b);
                if (r == 0 && !all_copied(&b->tree))
                        return 0; /* no need to copy the database for that */
                if (r == 0)
                        r = backup_copy_database(b);
                if (r == 0)
                        r = look_again(b);
        }
        return r;
}

static int pause_ms(unsigned tries)
{
        int ms = 5 << (tries < 6 ? tries : 6);
        return ms < PAUSE_MS_MAX ? ms : PAUSE_MS_MAX;
}

static int copy_consistently(struct backup *b)
{
        int r = 0;
        while (r == 0) {
                if (b->tries == TRIES_MAX)
                        return error_set(&b->op->error, EBUSY,
                                         "the vector indexes changed during each of %u attempts to copy them: make the backup when "
                                         "Chroma writes less, or raise the collections' sync_threshold",
                                         b->tries);
                b->tries++;
                r = attempt(b);
                backup_hold_end(&b->hold);
                if (r == 0)
                        r = cancelled_pause(b, pause_ms(b->tries));
        }
        return r < 0 ? r : 0;
}

static bool is_quiet(const struct backup *b)
{
        struct timespec now;
        int64_t newest = db_stamp(b->db).mtime_ns, age;
        for (size_t i = 0; i < b->tree.count; i++)
                if (b->tree.entries[i].segment && b->tree.entries[i].stamp.mtime_ns > newest)
                        newest = b->tree.entries[i].stamp.mtime_ns;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        return __builtin_sub_overflow((int64_t) now.tv_sec * 1000000000 + now.tv_nsec, newest, &age) || age > 4 * INDEX_QUIET_NS ||
               age < -4 * INDEX_QUIET_NS;
}

int backup_copy_and_check(struct backup *b)
{
        for (unsigned checks = 1;; checks++) {
                bool quiet = is_quiet(b);
                int r = copy_consistently(b);
                if (r == 0)
                        r = backup_copy_times(b);
                if (r == 0)
                        r = backup_check(b);
                size_t found = json_object_array_length(b->damage);
                if (r < 0 || found == 0 || quiet || checks == CHECKS_MAX)
                        return r;
                if (json_object_array_del_idx(b->damage, 0, found) < 0)
                        return error_set(&b->op->error, ENOMEM, "no memory for what is damaged");
                r = cancelled_pause(b, pause_ms(checks));
                if (r < 0)
                        return r;
        }
}
