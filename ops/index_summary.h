/*
 * What the directory of a vector segment holds, from its header.bin and its pickle alone: cheap enough for every index of a directory.
 *
 * - Reads two small files and the stamps of all; the records and links are for ops/index_audit.h.
 * - Never fails as a whole: what is wrong is in `damage`, and what could not be read is absent.
 * - Read while Chroma persists, the five files may be of two moments: the stamps are taken before and after reading, and reading is
 *   repeated a bounded number of times until they agree; when they never do, damage.code is -EAGAIN.
 * - Damage is told only of files that have been quiet for INDEX_QUIET_NS; before that it may be a writer's half-done work, and damage.code
 *   is -EAGAIN as well. All else of the summary is as it was read.
 */
#ifndef OPS_INDEX_SUMMARY_H
#define OPS_INDEX_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/catalog.h"
#include "ops/error.h"
#include "ops/file.h"
#include "ops/hnsw_file.h"
#include "ops/pickle.h"

enum index_file { INDEX_HEADER, INDEX_LEVEL0, INDEX_LENGTH, INDEX_LINK_LISTS, INDEX_PICKLE, INDEX_FILE_COUNT };

/* "header.bin", ..., "index_metadata.pickle". */
extern const char *const index_file_names[INDEX_FILE_COUNT];

struct index_stamps {
        struct file_stamp dir, files[INDEX_FILE_COUNT];
};

enum index_stage {
        INDEX_ABSENT,      /* no directory: never written, or lost */
        INDEX_EMPTY,       /* a directory without an index in it */
        INDEX_UNPERSISTED, /* the four files without a pickle: all vectors are still in the WAL */
        INDEX_PERSISTED,   /* all five files */
        INDEX_INCOMPLETE,  /* some of the files are missing, or it can't be opened: see damage */
};

struct index_summary {
        enum index_stage stage;
        struct index_stamps stamps;
        bool has_header;
        struct hnsw_header header;
        bool has_pickle;
        bool has_dimensionality;
        uint64_t dimensionality;
        uint64_t total_elements_added;
        uint64_t total_labels; /* live ids in the pickle */
        bool has_max_seq_id;
        uint64_t max_seq_id;
        double fragmentation; /* percent, see index_fragmentation() */
        struct error damage;  /* the first thing that is wrong; code 0 when nothing is */
};

struct index_stamps index_stamps_read(int persist_fd, const char *segment_id);
bool index_stamps_equal(const struct index_stamps *a, const struct index_stamps *b);

/* All the while Chroma persists, some file of the five was written less than this ago, unless its disk stalls. */
#define INDEX_QUIET_NS (2ll * 1000 * 1000 * 1000)

/* True when the mtime of any of them is less than INDEX_QUIET_NS from now, before or after: what looks like damage may be gone soon. */
bool index_stamps_young(const struct index_stamps *stamps);

/* `segment_id` must be a valid UUID (uuid_valid). */
void index_summary_read(int persist_fd, const char *segment_id, struct index_summary *ret);

/* The same, and hands over what the pickle says: NULL when there is none or it can't be read. The caller frees *ret_metadata. damage.code is -EINTR when `cancelled` (may be NULL), which is
   asked now and then while the pickle is read, says so. */
void index_summary_read_all(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context,
                            struct index_summary *ret, struct index_metadata **ret_metadata);

/* The same, and counts all that is wrong with the header, the pickle and what files there are, instead of telling the first of it: `damage` is -EAGAIN when the files never stood still,
   or a failure of ours (-EINTR: cancelled), and nothing else. Young files are the caller's matter. The three other files are only looked for. */
void index_summary_check(int persist_fd, const char *segment_id, db_cancel_fn *cancelled, void *context,
                         struct hnsw_finding findings[HNSW_FINDING_KINDS], struct index_summary *ret,
                         struct index_metadata **ret_metadata);

const char *index_stage_name(enum index_stage stage);

/* Position of a vector segment: its max_seq_id row when present, else the pickle's (FORMAT 6.6). False: none, nothing was applied. */
bool vector_position(const struct segment *segment, const struct index_summary *summary, uint64_t *ret);

#endif
