/*
 * A persist directory under observation: what it contains now, read again only when it has changed.
 *
 * - A view is the catalog at one moment, shared and counted; observer_view() returns the same view for as long as nobody has committed
 *   (SQLite's data_version) and the database file is the same one, and a new view afterwards. Nothing in a view ever changes.
 * - What is read from files beside the database is remembered by the stamps of these files.
 * - What takes long (records, labels, the full-text index; the write-ahead log has a thread of its own, ops/wal/wal.h) is measured in the background: those functions wait a
 *   bounded time, and say whether what they return is of the view that was asked about.
 * - Thread-safe, all of it. The persist directory is only ever read, through its descriptor.
 */
#ifndef OPS_OBSERVER_H
#define OPS_OBSERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/background.h"
#include "ops/catalog.h"
#include "ops/config.h"
#include "ops/fts_audit.h"
#include "ops/hnsw/check.h"
#include "ops/index_audit.h"
#include "ops/index_summary.h"
#include "ops/record_audit.h"
#include "ops/tally.h"

struct observer;

struct view {
        struct result shared;
        uint64_t generation;   /* counts views, from 1 */
        uint64_t data_version; /* SQLite's, of the observer's connection */
        struct catalog *catalog;
        struct file_stamp database; /* taken before the catalog was read: never newer than it */
        bool journal;               /* there was a journal then: of a live writer, or of a crash */
        bool hot_journal;           /* a crash left a journal, which is seen through */
};

/* Who waits: until when for measured things (clock_ms()), and when it gives up waiting at all. */
struct patience {
        int64_t until_ms;
        db_cancel_fn *cancelled; /* may be NULL */
        void *context;
};

/* Whether `path` is a persist directory that can be observed, before anything is started: opens and closes the database. *ret_dirfd is a
   descriptor of the directory, the caller's. -EBUSY (locked) is no error here. *ret_newer: it was written by a Chroma newer than all known. */
int observer_probe(const char *path, int *ret_dirfd, bool *ret_newer, struct error *e);

/* Starts observing (and the background thread: call it after any fork). Duplicates dirfd. */
int observer_new(int dirfd, struct observer **ret, struct error *e);
struct observer *observer_free(struct observer *o); /* takes NULL, returns NULL */

int observer_dirfd(const struct observer *o);

/* The view of this moment; the caller puts it with view_put. -EBUSY when a writer keeps the database locked, -EILSEQ, -EIO, ... */
int observer_view(struct observer *o, const struct patience *patience, struct view **ret, struct error *e);
struct view *view_get(struct view *view);
struct view *view_put(struct view *view); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct view *, view_put)

struct detail_result {
        struct result shared;
        struct collection_detail detail;
        struct hnsw_config config;   /* the effective one, when config_failure.code is 0 */
        struct error config_failure; /* why it can't be told */
        uint64_t generation;         /* of the view */
        const struct collection *collection;
};

/* Metadata and configuration of a collection of the view, as of the view: -ESTALE when the database has moved on, and the caller starts
   over with a new view. *ret is a reference (the caller puts it with result_put(&(*ret)->shared)); the last one is kept, since several
   files are made of it. */
int observer_detail(struct observer *o, const struct view *view, const struct collection *collection,
                    const struct patience *patience, struct detail_result **ret, struct error *e);

/* The index files of a vector segment whose id is a UUID. */
void observer_index(struct observer *o, const struct segment *segment, struct index_summary *ret);

/* Position of the collection's vector segment as far as it is known. */
bool observer_vector_position(struct observer *o, const struct collection *collection, uint64_t *ret);

/* Both positions, at this moment: before 0.5.6 that of the vector segment lies in the pickle and not in the view. */
struct tally_positions observer_positions(struct observer *o, const struct collection *collection);

/* Whether the database file is still in the state from before the view was read. */
bool observer_is_still(struct observer *o, const struct view *view);

struct fts_result {
        struct result shared;
        struct fts_audit audit;
};

struct labels_result {
        struct result shared;
        struct index_audit audit;
};

struct records_result {
        struct result shared;
        struct record_audit audit;
        bool vectors_known; /* false: the index can't be read, so audit.without_vector says nothing */
};

struct check_result {
        struct result shared;
        struct hnsw_check check; /* with its stamps alone when there is a failure */
        struct error failure;    /* -EAGAIN (it is being written), or no means to check it: code 0 when it was checked */
        int64_t ended_ns;        /* CLOCK_REALTIME */
};

/* Measured things: 0 and a reference in *ret (the caller puts it with result_put(&(*ret)->shared)), or 0 and *ret NULL when it is not
   measured yet, or a negative errno. *ret_current: it is of this view, and nobody wrote while it was measured. */
int observer_fts(struct observer *o, struct view *view, const struct patience *patience, struct fts_result **ret, bool *ret_current,
                 struct error *e);
int observer_labels(struct observer *o, const struct segment *segment, const struct patience *patience, struct labels_result **ret,
                    bool *ret_current, struct error *e);
int observer_records(struct observer *o, struct view *view, const struct collection *collection, const struct patience *patience,
                     struct records_result **ret, bool *ret_current, struct error *e);

/* Likewise; a failure that may pass is a result too, and is tried again after a while. *ret_current: the files are those that were checked. */
int observer_check(struct observer *o, const struct segment *segment, const struct patience *patience, struct check_result **ret,
                   bool *ret_current, struct error *e);

/* What a check of the index in the state of `stamps` has found, if there was one: a reference, or NULL. Checks nothing. */
struct check_result *observer_known_check(struct observer *o, const char *segment_id, const struct index_stamps *stamps);

#endif
