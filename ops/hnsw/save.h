/*
 * Writing an index as the four binary files of a segment directory (FORMAT 6.1 to 6.4), and its pickle (6.6).
 *
 * Everything that is in memory is written: also a lone element, and links that an update changed, which Chroma's own library forgets (FORMAT 6.5).
 */
#ifndef OPS_HNSW_SAVE_H
#define OPS_HNSW_SAVE_H

#include "ops/db.h"
#include "ops/hnsw/hnsw.h"
#include "ops/pickle.h"

struct hnsw_save {
        uint64_t max_elements; /* of the header: at least the count, which 0 means */
        bool with_room; /* data_level0.bin and length.bin are as long as max_elements says, zeros at their end; else they are compact */
};

/* Bytes that the four files will have. */
uint64_t hnsw_save_size(const struct hnsw *index, const struct hnsw_save *how);

/* Makes the four files in an open directory, where none of them may be (-EEXIST), with mode 0600 and synced; the directory itself is the caller's to sync. Their room is taken
   before the first byte is written where the file system can, so that -ENOSPC comes early. -EINVAL: max_elements is below the count. On failure, which `cancelled` (may be NULL) is too
   (-EINTR), what was made stays for the caller to remove. */
int hnsw_save(const struct hnsw *index, const struct hnsw_save *how, int dirfd, db_cancel_fn *cancelled, void *context,
              struct error *e);

/* Makes index_metadata.pickle in an open directory, with mode 0600 and synced (-EEXIST). The shape: PICKLE_INSTANCE, which every Chroma reads, or PICKLE_DICT, which 1.x reads; has_dimensionality,
   has_max_seq_id and the entries as they are in `metadata`; id_to_seq_id has the entries whose seq_id is not 0. -EOVERFLOW for a number that the shape can't hold: in PICKLE_DICT 1.x reads labels, seq_ids and counts of 32 bits; in
   PICKLE_INSTANCE Python would read any, and ours are below 2^63. -EFBIG above 4 GiB, which index_metadata_read() would refuse; -EINTR: `cancelled` (may be NULL). */
int index_metadata_write(const struct index_metadata *metadata, enum pickle_shape shape, int dirfd, db_cancel_fn *cancelled,
                         void *context, struct error *e);

#endif
