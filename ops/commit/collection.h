/*
 * One collection, committed: planned on a read-only connection, its new index staged, and all of it switched in with one transaction.
 *
 * - A plan is good for the rows of the log, the segments, the vector segment's position and the index files that it was made from. Inside the transaction these are looked at again, unless nobody
 *   has committed since: what differs is -ESTALE, and it is planned anew. The metadata segment may have gone on meanwhile: its rows are chosen there.
 * - The catalog is shared by all collections, and read again only when someone else has committed.
 */
#ifndef OPS_COMMIT_COLLECTION_H
#define OPS_COMMIT_COLLECTION_H

#include "ops/commit/metadata.h"
#include "ops/commit/reject.h"
#include "ops/operation/configure_settings.h"
#include "ops/operation/operation.h"

#define COLLECTION_ID_SIZE 37

struct commit_log;

struct commit_rebuild { /* the index of the collection is made anew: see vector.h */
        struct settings settings;
        bool salvage; /* also when records are left without a vector */
};

struct commit_session {
        struct operation *op;
        struct catalog *catalog; /* NULL: not read yet */
        uint32_t counter;        /* db_change_counter() before it was read */
        bool fresh; /* what it says of collections that were not committed yet is still so, as long as the counter is that */
        struct commit_log *log;
        const struct commit_rebuild *rebuild; /* NULL: none */
        bool strict;                          /* rows that can't be applied refuse the collection */
        unsigned threads;                     /* 0: as many as the machine has */
};

int commit_session_init(struct commit_session *session, struct operation *op);
void commit_session_clear(struct commit_session *session);

/* Reads the catalog and the log's topics as far as that is needed. */
int commit_session_refresh(struct commit_session *session, struct db *db);

enum commit_status { COMMIT_NOTHING, COMMIT_DONE, COMMIT_PLANNED /* dry_run */, COMMIT_LEFT };

struct commit_outcome { /* of a collection */
        enum commit_status status;
        struct json_object *collection; /* as operation_collection_json() */
        uint64_t rows;                  /* of the log that are applied to one segment or both */
        bool has_position;
        int64_t position;             /* where the segments are then */
        struct commit_counts records; /* of the metadata segment */
        struct commit_counts vectors; /* of the vector segment */
        uint64_t recovered;           /* vectors that Chroma had applied and lost */
        struct commit_rejects *rejects;
        struct json_object *rebuilt;                                 /* what a rebuild has found, as in rebuild.h; NULL otherwise */
        char old_id[COLLECTION_ID_SIZE], new_id[COLLECTION_ID_SIZE]; /* of the vector segment; "": it keeps it */
        bool had_dir, dir_left;                                      /* the old directory; it is still there */
        uint64_t memory, disk;                                       /* bytes at most */
        double seconds;                                              /* estimated */
        struct error reason;                                         /* why it is left, or the old directory is */
        const char *cure;                                            /* a control's name, or NULL */
};

/* Commits it, or with dry_run plans it. 0, also when it is left with its reason or is not there any more (`collection` is NULL then); a failure is one that ends the whole operation. *ret is always
   set, and the caller clears it. */
int commit_collection(struct commit_session *session, const char *id, struct commit_outcome *ret);
void commit_outcome_clear(struct commit_outcome *outcome);

/* Only counts the rows of the collection that can't be applied, and that a commit would pass. -EILSEQ with the first of them when there is one. */
int commit_collection_strict(struct commit_session *session, const char *id);

#endif
