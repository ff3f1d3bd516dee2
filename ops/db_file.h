/*
 * The open database file under ops/vfs.c: SQLite's SHARED lock on it, and the hot journal that is laid over it while the lock is held.
 *
 * - One lock level: none or SHARED. Nothing is ever written, and nothing waits: a lock that is taken is SQLITE_BUSY.
 * - Returns SQLite's result codes; errno and sentence of a failure are in *error, which the owner gave at the opening.
 * - Without the lock reads answer what the file says, which may be in the middle of a transaction.
 */
#ifndef OPS_DB_FILE_H
#define OPS_DB_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/error.h"
#include "ops/file.h"
#include "ops/journal.h"

#define DB_FILE_NAME_MAX 255

struct db_file {
        int dirfd; /* the owner's */
        int fd;
        bool shared;
        char journal_name[DB_FILE_NAME_MAX + sizeof("-journal")];
        struct journal *journal;         /* kept between locks, NULL when there is no hot one */
        struct file_stamp journal_stamp; /* of what `journal` indexes */
        int journal_fd;                  /* open as long as the lock is held and the journal is overlaid, else -1 */
        journal_cancel_fn *cancelled;    /* asked while a journal is indexed; NULL for nobody */
        void *cancel_context;
        struct error *error;
};

/* Opens `name` beneath dirfd, which must stay open. *f is filled in any case; 0 or a negative errno. */
int db_file_open(struct db_file *f, int dirfd, const char *name, struct error *error);
void db_file_close(struct db_file *f);

/* Takes SHARED and looks for a hot journal. Nothing is held on failure. */
int db_file_lock(struct db_file *f);
void db_file_unlock(struct db_file *f);

/* Whether anyone else holds RESERVED, or more. */
int db_file_reserved(const struct db_file *f, bool *ret_held);

/* True when a hot journal is overlaid. */
bool db_file_is_hot(const struct db_file *f);

/* As xRead and xFileSize: what is beyond the end is zeroes and SQLITE_IOERR_SHORT_READ. */
int db_file_read(const struct db_file *f, void *buffer, size_t len, uint64_t offset);
int db_file_size(const struct db_file *f, uint64_t *ret);

/* SQLite's code for the negative errno `code`: NOMEM, INTERRUPT, or `otherwise`. */
int db_file_result(int code, int otherwise);

#endif
