/*
 * The record ids that a log names, each with what its rows say of its vector: 72 bytes an id and 11 to 22 of a hash table, whatever the ids' lengths.
 *
 * - Hashes of 128 bits instead of ids: two different of n ids are taken for one with a probability of n^2 / 2^129. Whoever wrote the ids can't know which, since the hash begins
 *   with a random number.
 * - Linear probing, doubles when three quarters full, no deletion.
 */
#ifndef OPS_COMMIT_IDS_H
#define OPS_COMMIT_IDS_H

#include <stddef.h>
#include <stdint.h>

#define COMMIT_NO_ENTRY UINT32_MAX

/* The log's beginning may be gone, so each id is followed twice: as one that was there before its first row, and as one that was not. */
enum commit_start { COMMIT_KNOWN, COMMIT_UNKNOWN, COMMIT_STARTS };

/* What the rows above the metadata segment's position make of a record: the last of them that says something. */
enum commit_end { COMMIT_STAYS, COMMIT_LIVES, COMMIT_DIES };

struct commit_id {
        uint64_t high, low;            /* the hash */
        int64_t vector[COMMIT_STARTS]; /* seq_id of the row whose vector the id has in the end; 0: that of before, or none */
        int64_t record
                [COMMIT_STARTS]; /* what embeddings.seq_id is, at the metadata segment's position; 0: as before, or no record */
        int64_t passed;          /* the last row that names it and that both segments say to have applied; 0: none */
        uint32_t ignored[COMMIT_STARTS]; /* rows above the position that change nothing in the index, though they want to */
        uint32_t entry;                  /* of the old pickle, COMMIT_NO_ENTRY: none */

        unsigned alive : COMMIT_STARTS;                  /* a bit each: it has a vector in the end */
        unsigned record_alive : COMMIT_STARTS;           /* it has a record, at the metadata segment's position */
        unsigned equal : COMMIT_STARTS;                  /* the index has the vector of the row in vector[] */
        unsigned deleted_later : 1;                      /* by a row above the position */
        unsigned without_vector : 1;                     /* an ADD or UPSERT without a vector came when there was perhaps none */
        unsigned in_index : 1;                           /* a live record of the index has the label of its entry */
        unsigned has_record : 1;                         /* it is in `embeddings`; when that was looked up */
        unsigned is_same_known : 1, is_same_unknown : 1; /* embeddings.seq_id is what it is in that life */
        unsigned action : 3;                             /* enum commit_action */
        unsigned is_borne_out : 1;                       /* by the record as it is, see commit_state_record() */
        unsigned is_contradicted : 1;                    /* by the record: its rows were never applied */
        unsigned is_named : 1;                           /* by the log, and not by the pickle alone */
        unsigned ends : 2;                               /* enum commit_end */
};

struct commit_ids {
        struct commit_id *items;
        size_t count, allocated;
        uint64_t bytes; /* of all ids */
        uint64_t seed;
        struct commit_slot {
                uint32_t number; /* of an item, one more; 0: free */
                uint32_t tag;    /* of its hash, so that most others need no look at the item */
        } * slots;
        size_t capacity;
};

/* An empty set. 0, or a negative errno when the machine gives no random number. */
int commit_ids_init(struct commit_ids *ids);

/* The id, or NULL. Valid until the next one is added. */
struct commit_id *commit_ids_find(const struct commit_ids *ids, const void *id, size_t len);

/* The id, added where it is not there; NULL without memory. */
struct commit_id *commit_ids_add(struct commit_ids *ids, const void *id, size_t len);

void commit_ids_clear(struct commit_ids *ids);

#endif
