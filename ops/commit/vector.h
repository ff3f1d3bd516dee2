/*
 * The vector segment: what the log says of vectors, gathered row by row, and then a new index made of the old one and them (FORMAT 7).
 *
 * - Gathering keeps per id what is to be done, and the seq_id of the row whose vector counts (ops/commit/state.h): no vectors, no ids. Planning and building read those rows
 *   once more.
 * - Labels are handed out in the order of the log, from total_elements_added + 1 on; an id that is deleted and added again gets another one.
 * - The index is loaded with room for what comes (or made anew, when there is none), changed, saved with its pickle into an empty directory, and checked with
 *   hnsw_check_own(): what is wrong ends the commit.
 */
#ifndef OPS_COMMIT_VECTOR_H
#define OPS_COMMIT_VECTOR_H

#include "ops/catalog.h"
#include "ops/config.h"
#include "ops/index_summary.h"
#include "ops/commit/metadata.h"
#include "ops/commit/row.h"
#include "ops/operation/operation.h"

struct commit_vector;

struct commit_vector_start {
        /* As of the moment that the rows are read at. Both stay for as long as the commit_vector lives. */
        const struct catalog *catalog;
        const struct collection *collection; /* with a vector segment whose id is a UUID */
        const struct hnsw_config *config;    /* copied */
        uint32_t dimension;   /* of the collection, or of its first vector; 0: it has none yet, and no row with a vector comes */
        bool trusts_position; /* rows up to it are passed over: see commit_vector_is_borne_out() */
        const struct commit_vector *
                before; /* NULL; else only rows of ids are, of which the records contradicted that plan; until all rows are gathered */
        const struct hnsw_config *
                rebuild; /* NULL; else the index is made anew, with this configuration, of what can be saved of the old one, whose files may be damaged (ops/hnsw/salvage.h) */
        bool may_be_cosine; /* of a rebuild: hnsw_metadata_says_cosine() */
        bool space_given;   /* of a rebuild: somebody has said which space the new index shall have */
        bool has_position; /* of the vector segment: rows up to it are applied, but for what the index is seen to have lost (FORMAT 6.5) */
        uint64_t position;
        const char **
                cure; /* NULL, or where the control is named that mends the index, once it is found to be damaged: what is in its files shows as late as when it is loaded */
};

/* Reads the pickle and the stamps of the old index; its records are not read yet. -EILSEQ with the cure (rebuild-hnsw) when it is damaged; -EAGAIN while it is written; -EOPNOTSUPP for
   an index of another type. An index without a live record, of 1.x, counts as none, as it does there: all rows of the log are above its position. *ret is the caller's; `op` must outlive
   it. */
int commit_vector_begin(struct operation *op, const struct commit_vector_start *start, struct commit_vector **ret);

/* A failure in terms of a segment's index, in op->error: -EAGAIN while it is written, what is the machine's as it is, all else -EILSEQ, with the control that mends it in *ret_cure, unless that is NULL. */
int commit_index_damage(struct operation *op, const char *segment_id, const struct error *found, const char **ret_cure);

/* Rows in the order of seq_id, those at or below the position as well: they are held against the index at the end, where the log still has them. Nothing that the row points to is
   kept. -EINVAL for a vector when there is no dimension. */
int commit_vector_gather(struct commit_vector *v, const struct commit_row *row, struct error *e);

/* After all rows: finds what was applied and lost, and says what is to be done: ids that get a vector which had none, another one, or lose it; and rows above the position that change
   nothing though they want to. Reads the old index once (data_level0.bin) when the log names an id of it, and of each such id a row. `db` is outside a transaction, here and below: it is read in short
   ones. -ESTALE when the log has changed. */
int commit_vector_plan(struct commit_vector *v, struct db *db, struct commit_counts *ret, struct error *e);

/*
 * After commit_vector_plan(), before anything is built: *ret is false when the records contradict what the plan makes of rows that both segments passed. Then Chroma never applied these rows: the log
 * was emptied once, so that seq_ids were handed out again that are below the positions (FORMAT R1). What they say of vectors must not be done without what they say of records: plan anew with
 * trusts_position.
 */
int commit_vector_is_borne_out(struct commit_vector *v, struct db *db, bool *ret, struct error *e);

/* Then: whether they contradict what the plan makes of this id. */
bool commit_vector_contradicts(const struct commit_vector *v, const struct text *id);

/* What a rebuild has found, after commit_vector_plan(). Vectors of ids that are in no record go. */
struct commit_saved {
        uint64_t kept;    /* vectors of the old index */
        uint64_t logged;  /* … of the log */
        uint64_t bare;    /* records that were added without a vector: the log still says so */
        uint64_t orphans; /* vectors of ids that have no record */
        uint64_t stale;   /* ids of which the index had another vector than the row that was applied last; they get the log's */
        /* Of those kept: */
        uint64_t doubtful;  /* with a label that another record has as well, with another vector */
        uint64_t uncounted; /* which stood behind the header's count, and no row bears them out */
        uint64_t normless;  /* whose norm is lost */
        bool is_mixed; /* it was of cosine once, by the metadata, and the files don't tell any more which vectors were normalised: all are kept as they are */
        const struct salvage *files;
        const struct text *lost; /* ids of records that have no vector anywhere, in the order of ids */
        size_t lost_count;
};
struct commit_saved commit_vector_saved(const struct commit_vector *v);

/* The kept ones with a mark (SALVAGE_DOUBTFUL, SALVAGE_UNCOUNTED, SALVAGE_NORMLESS), in the order of the pickle: the next entry from `from` on, which the plan keeps; NULL: there is none any
   more. *ret_next is where to go on. */
const struct index_entry *commit_vector_marked(const struct commit_vector *v, unsigned mark, size_t from, size_t *ret_next);

/*
 * Once a commit is planned: -EILSEQ, told as damage, when the directory of an index that was persisted is gone, and with it vectors of records that the log does not have: an index of the rest would hide that. Asks
 * every record then.
 */
int commit_vector_check_gone(struct commit_vector *v, struct db *db, struct error *e);

/* False: the index is as it should be, and its directory may stay. Before 0.5.6, where the pickle has the position, any row above that is work. */
bool commit_vector_has_work(const struct commit_vector *v);

/* Ids that are put right though their row is not above the position. */
uint64_t commit_vector_recovered(const struct commit_vector *v);

/* Bytes of memory at most, without what is mapped from a file; and of disk: the new files, and the one that is mapped when the records don't fit into memory. */
uint64_t commit_vector_memory(const struct commit_vector *v);
uint64_t commit_vector_disk(const struct commit_vector *v);

const struct index_stamps *commit_vector_stamps(const struct commit_vector *v); /* of what it was planned on */

/* Makes the new index in an empty directory, synced; once. `position`, above 0, goes to the pickle of releases before 0.5.6. Threads: 0 is as many as the machine has. The old
   one is loaded and written whole, however little changes; its graph is only added to. -EAGAIN, -ESTALE: the old index, or the log, is not any more what it was planned on. What was made
   stays for the caller to remove. */
int commit_vector_build(struct commit_vector *v, struct operation *op, struct db *db, int dirfd, uint64_t position,
                        unsigned threads);

struct commit_vector *commit_vector_free(struct commit_vector *v);
DEFINE_CLEANUP(struct commit_vector *, commit_vector_free)

#endif
