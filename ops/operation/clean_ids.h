/*
 * The record ids of one collection that a clean looks at: those that have a vector in the index, and those that the log names. 40 bytes an id
 * and 11 to 22 of a hash table, whatever the ids' lengths: hashes instead of ids (ops/id_set.h says how safe that is).
 */
#ifndef OPS_OPERATION_CLEAN_IDS_H
#define OPS_OPERATION_CLEAN_IDS_H

#include <stddef.h>
#include <stdint.h>

#define CLEAN_NO_ELEMENT UINT32_MAX

/* Whether there is a record, or a vector, of an id: unknown until a row says so, since the log's beginning may be gone. */
enum clean_life { LIFE_UNKNOWN, LIFE_ALIVE, LIFE_DEAD };

/* What embeddings.seq_id is, next to `row`. */
enum clean_order { ORDER_NONE, ORDER_BEFORE, ORDER_SAME, ORDER_AFTER };

struct clean_id {
        uint64_t high, low; /* the hash */
        int64_t row;        /* seq_id of the row that decided last, or that has the vector which counts */
        int64_t record_row; /* of the last row that was certainly applied to the record, up to the position of its segment; 0: none */
        uint32_t element;   /* internal id in the index, CLEAN_NO_ELEMENT: it has no vector there */

        /* As the rows that are to go leave it. */
        unsigned touched : 1; /* one of them names it */
        unsigned record : 2, vector : 2;
        unsigned compared : 1, equal : 1;    /* a vector was applied if there was one to replace; the index has it */
        unsigned added : 1, added_equal : 1; /* an ADD with a vector of an id of which nothing is known before; the index has it */
        unsigned added_to_record : 1; /* there was a record without a vector then: embeddings.seq_id does not tell of this ADD */

        /* Rows that stay. */
        unsigned record_later : 2, vector_later : 2;
        unsigned record_removed : 1, record_brought : 1; /* and the metadata segment has applied it */
        unsigned vector_removed : 1, vector_brought : 1;
        unsigned vector_coming : 1;   /* brought by a row that the vector segment has not applied */
        unsigned later_equal : 1;     /* the index has the vector of such a row */
        unsigned later_add_equal : 1; /* … of such an ADD, which may have been ignored */
        unsigned superseded : 1;      /* such a row, which the vector segment has applied, has a vector */

        unsigned record_unsure : 1; /* an ADD may have been applied after record_row, and `row` does not tell of it */
        unsigned in_embeddings : 1;
        unsigned order : 2;            /* of embeddings.seq_id to `row` */
        unsigned record_behind : 1;    /* it is below record_row */
        unsigned record_unchanged : 1; /* it is record_row */
        unsigned record_ahead : 1;     /* it is above all rows of the log that can have been applied */
};

struct clean_ids {
        struct clean_id *items;
        size_t count, allocated;
        struct clean_slot {
                uint32_t number; /* of an item, one more; 0: free */
                uint32_t tag;    /* of its hash, so that most others need no look at the item */
        } * slots;
        size_t capacity;
        size_t next; /* the item behind the one that was found last */
};

/* Makes room for `count` ids at once. A zeroed set is an empty one. 0 or -ENOMEM. */
int clean_ids_reserve(struct clean_ids *ids, size_t count);

/* The id, or NULL. Valid until the next one is added. */
struct clean_id *clean_ids_find(struct clean_ids *ids, const void *id, size_t len);

/* The id, added where it is not there; NULL without memory. */
struct clean_id *clean_ids_add(struct clean_ids *ids, const void *id, size_t len);

void clean_ids_clear(struct clean_ids *ids);

#endif
