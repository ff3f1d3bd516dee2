/*
 * The vocabulary of the tree: what a node is, what a row of the node table says, and what one request sees.
 *
 * - A node is a row of the table (its type) and up to two keys, which say of what: a collection's entry, a segment's id, a file's or
 *   directory's name, a tenant's and database's encoded names. What the keys lead to is looked up at every request, so that a directory
 *   that the kernel remembers is never an old one.
 * - A row says everything of its type: which entries it has, what it shows, from which files that is made. A new virtual file is one
 *   row and one function.
 * - A request looks at one view of the directory from its beginning to its end.
 */
#ifndef FS_NODE_H
#define FS_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/entries.h"
#include "fs/opened.h"
#include "fs/options.h"
#include "ops/error.h"
#include "ops/observer.h"
#include "ops/text.h"

#define NODE_KEY_SIZE 256

/* What does not change while the file system is mounted. */
struct mount {
        struct options *options;
        char *persist_path; /* absolute, resolved: for people to read, never to open */
        bool newer;         /* written by a Chroma newer than all known */
        struct observer *observer;
        struct wal *wal;
        struct waiting *waiting;
        struct entries_cache *entries;
        struct inodes *inodes;
        struct operations *operations;
        struct fuse_session *session;
        struct opened_list opened;
};

struct request {
        struct mount *mount;
        struct view *view;       /* NULL until request_need() was called, or when it failed */
        struct entries *entries; /* of the view */
        struct patience patience;
        int64_t stream_wait_ms; /* how long the measuring of the log is waited for */
        uint64_t stream_moment; /* the view's generation that it is waited for; 0: this view's */
        bool hidden;            /* the log knows which collections are left out */
        bool stale;         /* set by functions that can't return it: the view has moved on, and the request is to begin again */
        bool partial;       /* set by show functions: something is not known yet, or was counted while someone wrote */
        bool opening;       /* the file is being opened, and not only looked at */
        int64_t give_up_ms; /* clock_ms() after which an opening does not wait for those who write any more */
        bool failed;        /* a view can't be had; `error` says why */
        struct error error;
};

/* Gets the view, once. 0, or why there is none: the database is locked, damaged, gone. */
int request_need(struct request *request);

enum node_kind {
        NODE_DIR,
        NODE_FILE, /* another inode for each state of its contents */
        NODE_LINK,
        NODE_RAW,     /* a segment's own file */
        NODE_STREAM,  /* a wal.jsonl */
        NODE_LIVE,    /* one inode; what an open one shows was made when it was opened */
        NODE_CONTROL, /* the same, and its owner may write to it */
};

/* Which files a node is made from: its owner, mode and mtime follow theirs. */
enum node_sources {
        FROM_NOTHING = 0,
        FROM_DATABASE = 1,         /* chroma.sqlite3 */
        FROM_DIRECTORY = 2,        /* the persist directory itself */
        FROM_INDEX = 4,            /* the directory and files of the vector segment whose id is the node's key, if it is one */
        FROM_COLLECTION_INDEX = 8, /* those of the vector segment of the collection whose entry is the node's key */
        FROM_INDEXES = 16,         /* those of every vector segment */
        FROM_ORPHANS = 32,         /* those of every orphan */
        FROM_TREE = 64,            /* everything below the directory that the node's key names */
        FROM_ALL = 128,            /* the time of everything below the persist directory */
        FROM_PROGRESS = 256,       /* the time at which what runs in this mount told of itself last */
        FROM_RUNS = 512,           /* the time at which the last operation of this mount ended */
        FROM_REFUSALS = 1024,      /* the time at which a write was refused last */
        FROM_HISTORY = 2048,       /* the time of the history of all mounts */
        FROM_HISTORY_FILE = 4096,  /* the history itself: only who may read that */
};

struct node_type;
struct control_write;

struct node {
        const struct node_type *type;
        char a[NODE_KEY_SIZE], b[NODE_KEY_SIZE];
};

/* Takes one entry of a directory; a value other than 0 ends the listing. */
typedef int node_emit(void *context, const char *name, enum node_kind kind);

struct node_type {
        const char *name; /* of the entry in its parent; a dynamic entry has its own name, and this one only says what it is */
        enum node_kind kind;
        unsigned sources;
        uint32_t
                size; /* of a live file: it always has so many bytes, and what it shows is made only when it is opened, which may wait (show: -EINPROGRESS); 0: as others */
        bool viewless;                          /* its functions get along without a view */
        const struct node_type *const *entries; /* static entries of a directory, NULL-terminated; may be NULL */

        /* Dynamic entries of a directory; NULL when it has none. find: 0 with *ret set, -ENOENT, or another failure. */
        int (*list)(struct request *request, const struct node *node, node_emit *emit, void *context);
        int (*find)(struct request *request, const struct node *node, const char *name, struct node *ret);

        /* Whether the node exists now; NULL: always. A static entry has its parent's keys. */
        bool (*present)(struct request *request, const struct node *node);

        /* Contents of a file, or target of a link: *ret is malloc'ed. NULL for directories, raw files and streams. */
        int (*show)(struct request *request, const struct node *node, struct text *ret);

        /* Of controls: does what one write says (see fs/control.h), and returns when it is done. */
        int (*store)(struct control_write *write, struct error *e);
        const char *
                operation; /* what it runs: a name for operation_find(), on the whole directory, or on the collection whose entry is the node's key */
        bool takes_skip; /* it has the option skip= of fs/control_line.h */
        bool as_writer;  /* it runs as the user who writes */

        const char *refusal; /* of a file: why nobody can write to it, as the end of a sentence; NULL: nothing to say */
};

/* Sets keys; false when one is too long, and then there is no such node. */
bool node_set(struct node *node, const struct node_type *type, const char *a, const char *b);

/* Whether the node exists now; true when there is no view and nobody knows. */
bool node_exists(struct request *request, const struct node *node);

/* The child `name` of a directory node. 0, -ENOENT, or a failure. */
int node_find(struct request *request, const struct node *parent, const char *name, struct node *ret);

/* All entries of a directory node, static ones first. */
int node_list(struct request *request, const struct node *node, node_emit *emit, void *context);

/* The collection whose entry, or the segment whose id, is the node's first key: NULL when it is gone or left out. */
const struct collection *node_collection(const struct request *request, const struct node *node);
const struct segment *node_segment(const struct request *request, const struct node *node);

/* Whether it is one of the two segments of its collection, and not one too many. */
bool is_owned(const struct segment *segment);

/* The vector segment that FROM_INDEX or FROM_COLLECTION_INDEX refers to for this node, when its id may be used as a name; or NULL. */
const struct segment *node_index(const struct request *request, const struct node *node);

#endif
