/*
 * Files copied, and files made in place of others: bytes, owner, mode, ACL and extended attributes.
 */
#ifndef OPS_OPERATION_FILE_COPY_H
#define OPS_OPERATION_FILE_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"

#define SHA256_SIZE 32

/* Gives `to` the owner, group, mode, ACL and extended attributes of `from`. -EPERM when it can't have them. Attributes that the file system
   of `to` does not have (-EOPNOTSUPP), and labels of a security module that it may not have, are an error only when `strict`. What the kernel
   computes itself (security.ima, security.evm) is left to it; ACLs and user attributes that `to` has (from its directory's default ACL)
   and `from` lacks are removed. A failure leaves the mode as it was. */
int file_copy_attributes(int from, int to, bool strict, struct error *e);

/* SHA-256 of all bytes of fd, from its beginning. */
int file_sha256(int fd, db_cancel_fn *cancelled, void *context, uint8_t ret[SHA256_SIZE], struct error *e);

struct file_copy {
        bool reflinked; /* the bytes were not read, and `sha256` is not set */
        uint64_t bytes; /* copied; grows meanwhile, for whoever shows progress */
        uint8_t sha256[SHA256_SIZE];
};

/* Copies all bytes of `from` to the empty file `to`: by reflink where possible, holes stay holes; not synced. What is read is hashed on the way, and its writing to the
   disk begins at once. Asks `cancelled` (may be NULL) at least every 50 ms: -ECANCELED. */
int file_copy_hashed(int from, int to, db_cancel_fn *cancelled, void *context, struct file_copy *ret, struct error *e);

/* Makes `to` (empty) share all bytes of `from`. 0, or a negative errno without a sentence: this pair of files can't. */
int file_reflink(int from, int to);

/* Begins to write out what is dirty of a regular file, so that a sync later finds little to do. */
int file_begin_write_out(int fd, db_cancel_fn *cancelled, void *context, struct error *e);

/* Writes out what is dirty of a regular file, in small parts and until a cancel: no sync, but what makes one short. */
int file_write_out(int fd, db_cancel_fn *cancelled, void *context, struct error *e);

/* The same, and fsync(2). */
int file_sync(int fd, db_cancel_fn *cancelled, void *context, struct error *e);

#endif
