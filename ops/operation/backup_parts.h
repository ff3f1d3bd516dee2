/*
 * The parts of the operation `backup`, among themselves. ops/operation/backup_attempt.c says how they work together.
 */
#ifndef OPS_OPERATION_BACKUP_PARTS_H
#define OPS_OPERATION_BACKUP_PARTS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "ops/operation/backup_hold.h"
#include "ops/operation/backup_target.h"
#include "ops/operation/backup_tree.h"
#include "ops/operation/operation.h"

struct backup_database { /* the copy of chroma.sqlite3 */
        uint64_t bytes;
        uint32_t page_size, change_counter; /* of the source */
        bool hot;                           /* it was read through a hot journal */
        uint8_t sha256[SHA256_SIZE];
};

struct backup {
        struct operation *op;
        struct db *db; /* the source */
        struct backup_hold hold;
        struct backup_target target;
        struct backup_tree tree;
        struct backup_database database;
        struct json_object *damage; /* of the check: an array of {where, sentence} */
        int64_t begun_ms;
        unsigned tries;
        bool unowned_database, unowned_top; /* as entries are */
        bool reflink;                       /* at least one file shares its bytes */
        const char *phase;
        uint64_t done, total; /* of the phase; bytes */
        struct file_copy *current;
};

/* Lists the tree anew, and keeps what is copied already in the same state. */
int backup_list_tree(struct backup *b);

/* Copies until all is of one moment, and the check finds nothing, or what it finds is the source's. */
int backup_copy_and_check(struct backup *b);

/* A db_cancel_fn of a struct backup: reports how far it is, gives up the hold when a writer waits, and tells a cancel. */
bool backup_is_cancelled(void *b);

/* Makes, beneath b->target.fd, what b->tree has and is not copied yet. A segment's file that changed or went away is left for the next
   listing to find. */
int backup_copy_tree(struct backup *b);
void backup_copy_remove(void *b, const struct backup_entry *entry); /* a backup_stale_fn */

/* Opens the directory that `path` is in, beneath dirfd and through no link, which there may be in the source and in the copy. *ret_name is
   what is behind it. Returns a descriptor that the caller closes. */
int backup_open_above(int dirfd, const char *path, const char **ret_name, struct error *e);

/* file_copy_attributes; an owner that the copy can't have is no failure: *ret_unowned. */
int backup_copy_attributes(struct backup *b, int from, int to, bool *ret_unowned);

/* Gives directories their times; and their attributes, and the database's, when all is in place. */
int backup_copy_times(struct backup *b);
int backup_copy_finish(struct backup *b);

/* Hashes what is not hashed; syncs everything. */
int backup_copy_hash(struct backup *b);
int backup_copy_sync(struct backup *b);

/* Copies the database as of one moment, which is while b->hold is held at the end of it, or was. -EBUSY when others commit all the time. */
int backup_copy_database(struct backup *b);
int backup_copy_database_pages(struct backup *b); /* where that begins anew again and again */

/* Makes the empty file. Returns a descriptor that the caller closes. */
int backup_make_database(struct backup *b);

/* Judges the copy, and fills b->damage. */
int backup_check(struct backup *b);

/* A string of the manifest: one that is rendered whole, or not at all. */
struct json_object *backup_string_json(const char *s);

/* Writes chromafs-manifest.json. */
int backup_write_manifest(struct backup *b);

/* Now, or a file's time, in RFC 3339. */
#define BACKUP_TIME_SIZE 40
const char *backup_format_time(int64_t ns, char buffer[BACKUP_TIME_SIZE]);

#endif
