/*
 * The index of a hot rollback journal: which pages of the database had which bytes before the transaction that was never finished.
 *
 * - Reads only, from a descriptor that the caller keeps; memory is 12 bytes for each record of the journal, never the pages themselves.
 * - Says exactly what SQLite's own roll-back would write, so that reading through the index equals reading after a roll-back. Whether the
 *   journal is hot (nobody holds the locks of a live writer) is the caller's to find out first.
 * - A journal that takes part in a transaction over several databases (a super-journal) is refused: whether it counts depends on another file.
 */
#ifndef OPS_JOURNAL_H
#define OPS_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/error.h"

struct journal;

/* True when the one who waits for the index wants to wait no longer. */
typedef bool journal_cancel_fn(void *context);

/* Indexes the journal open as fd. `page_size` is the database's, used only when the journal doesn't say its own (SQLite before 3.5.8), 0 when unknown.
   `cancelled` (may be NULL) is asked now and then. *ret is the caller's. -EILSEQ a super-journal or no page size, -EIO, -ENOMEM, -EINTR cancelled. */
int journal_index(int fd, uint32_t page_size, journal_cancel_fn *cancelled, void *context, struct journal **ret, struct error *e);

/* False when SQLite would find no valid header and so leave the database as it is. All below is 0 or nothing then. */
bool journal_valid(const struct journal *journal);

uint32_t journal_page_size(const struct journal *journal);
uint32_t journal_page_count(const struct journal *journal); /* pages of the database before the transaction */
size_t journal_record_count(const struct journal *journal); /* different pages that have a before-image */

/* True when fd begins with the header that was indexed. Its checksum seed is random: a journal that merely has the same size differs in it. */
bool journal_same_header(const struct journal *journal, int fd);

/* Reads `len` bytes at `offset` of the before-image of `page` (from 1), all within the page. 1 done, 0 no before-image, -EIO when the journal
   is no longer what was indexed. */
int journal_read(const struct journal *journal, int fd, uint32_t page, void *buffer, size_t offset, size_t len, struct error *e);

struct journal *journal_free(struct journal *journal); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct journal *, journal_free)

#endif
