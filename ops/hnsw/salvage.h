/*
 * What can still be read of a vector segment when its files can't be trusted: vectors and labels from data_level0.bin, norms from length.bin, ids from the pickle.
 *
 * - The old graph is never read: no link, no level, no entry point. Nor are the header's counts, since a torn one is too low as often as too high: all records that the file
 *   holds are looked at. header.bin only says how long a record is, or the configuration's M; or any M at all, whichever gives most of the first records labels of the pickle
 *   (salvage_layout.c).
 * - A record counts when it is not marked as deleted and the pickle has its label. Behind the last one is garbage, which can be a copy of a record (FORMAT 6.2): of several with one label the
 *   first counts, and where another one has another vector the label is in doubt.
 * - Without a pickle no record has an id: ids are never guessed from an order.
 * - Reads with pread, in pieces, and skips the holes of a sparse file. Memory: the pickle's, and 5 bytes an entry of it.
 */
#ifndef OPS_HNSW_SALVAGE_H
#define OPS_HNSW_SALVAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/db.h"
#include "ops/error.h"
#include "ops/hnsw/distance.h"
#include "ops/index_summary.h"
#include "ops/pickle.h"

#define SALVAGE_NO_RECORD UINT32_MAX
#define SALVAGE_DOUBTFUL 1u
#define SALVAGE_NORMLESS 2u
#define SALVAGE_UNCOUNTED 4u

struct salvage_start {
        int persist_fd;
        const char *segment_id; /* a UUID */
        uint32_t dimension;     /* of the collection, above 0 */
        uint32_t m;             /* of its configuration */
        enum hnsw_space space;
        db_cancel_fn *cancelled; /* may be NULL; asked every some milliseconds */
        void *context;
};

enum salvage_layout { SALVAGE_NO_LAYOUT, SALVAGE_FROM_HEADER, SALVAGE_FROM_CONFIG, SALVAGE_FROM_LABELS };

struct salvage {
        struct index_stamps stamps;
        struct index_metadata *metadata; /* NULL: no pickle, or one that can't be read */
        struct error pickle_error;       /* code 0: it was read, or there is none; else why it could not be, wholly */
        struct error records_error;      /* why data_level0.bin could not be read, wholly; code 0: it could be */
        enum salvage_layout layout;
        uint32_t m;        /* which the record length comes from */
        uint64_t size;     /* bytes of data_level0.bin */
        uint64_t records;  /* whole ones */
        uint64_t live;     /* with a label of the pickle, the first of it, and not deleted */
        uint64_t deleted;  /* marked so, with any label but 0 */
        uint64_t unlisted; /* with a label other than 0 that the pickle lacks */
        uint64_t doubled;  /* labels of the pickle that more than one of them has */
        uint64_t doubtful; /* … with another vector */
        uint64_t
                bad; /* of the pickle's labels, but cosine, and not normalised: it can be no vector of this index, and does not count */
        uint64_t
                uncounted; /* of the live ones, those behind the header's count: the file may have been made of memory that had another index in it (FORMAT 6.2), with the same labels */
        uint64_t scaled;   /* of the live ones, cosine, those whose original's norm is another than 1 */
        uint64_t normless; /* of the live ones, cosine, those whose original's norm is not known */

        /* By entry of the metadata. */
        uint32_t *record_of;  /* SALVAGE_NO_RECORD: none */
        unsigned char *marks; /* SALVAGE_DOUBTFUL, SALVAGE_NORMLESS, SALVAGE_UNCOUNTED */

        /* Inside. */
        struct salvage_start start;
        size_t record_size, data_offset;
        uint64_t counted;         /* by the header, UINT64_MAX: it says nothing */
        int level0_fd, length_fd; /* -1: none */
};

/* Reads the pickle, and each record's label. 0 whatever is wrong with the files, a missing directory included. A failure says nothing of what there is: of the machine or the disk, -EACCES, -ELOOP for a
   link, -EIO; -EAGAIN: the files change meanwhile; or -EILSEQ: header or pickle are of another dimension. The caller frees *ret. */
int salvage_read(const struct salvage_start *start, struct salvage **ret, struct error *e);
struct salvage *salvage_free(struct salvage *s); /* takes NULL, returns NULL */
DEFINE_CLEANUP(struct salvage *, salvage_free)

/* The vector of an entry that has a record, as it is stored (normalised for cosine), dimension floats; and for cosine the norm of the original one, 1 where that is not known. */
int salvage_vector(const struct salvage *s, size_t entry, float *vector, float *ret_length, struct error *e);

#endif
