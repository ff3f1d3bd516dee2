/*
 * rebuild-hnsw: the index of one collection made anew, of the live records alone, with labels from 1 on and the parameters that were asked for; from whatever can be saved of the old index, and the log, which is
 * committed in the same transaction.
 *
 * - Links, levels and counts of the old index are never used (ops/hnsw/salvage.h). Each record gets the vector that Chroma had for it last; one for which there is no vector anywhere ends it, unless salvage=1.
 * - Parameters are written where the version reads them (configure_store.c), in the same transaction. Keys of the collection's own metadata that name them follow; before 1.0 "hnsw:space" comes there when
 *   another space than l2 is asked for.
 * - result: that of commit (ops/commit/result.h) for the one collection, and there "rebuild": {kept, from_log, without_vector, lost, lost_ids: […], lost_file, orphans, stale, doubtful, uncounted, impossible, normalised, unlisted, doubtful_ids, uncounted_ids, normalised_ids,
 *   deleted, size_before, parameters: {name: {before, after}}, damage: [a sentence …]}.
 *     kept            vectors of the old index
 *     from_log        … of the write-ahead log
 *     without_vector  records that were added without one, as the log says
 *     lost            records that have no vector anywhere; lost_ids are the first of them, LOST_FILE has all when they were left so
 *     orphans         vectors that went since no record has their id
 *     stale           ids of which the old index had another vector than the row of the log that was applied last, which counts
 *     doubtful        ids with a label that two records of the old index have, with different vectors: the first one counts, and the log has none; doubtful_ids are the first of them,
 *                     as for the next two
 *     uncounted       vectors of the old index behind the count of its header that nothing bears out: they are of memory that Chroma did not clear, perhaps
 *     normalised      vectors whose norm is lost: they come back normalised
 *     impossible      vectors of the old index that can be none (cosine, and not normalised)
 *     unlisted        records of the old index whose label the pickle does not have
 *     deleted         elements that were marked as deleted, and are gone now
 */
#ifndef OPS_COMMIT_REBUILD_H
#define OPS_COMMIT_REBUILD_H

#include "ops/operation/operation.h"

#define LOST_FILE "lost.jsonl" /* in .chromafs: {"time", "collection", "segment", "id"} a line */
#define LOST_LISTED_MAX 100

extern const struct operation_type operation_rebuild_hnsw;

#endif
