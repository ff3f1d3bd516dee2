/*
 * The ids that are a dict's keys in a pickle, sorted, so that doubles show and two dicts can be joined in one pass.
 *
 * They sort by a 32-bit hash that the machine made with the string; where hashes are equal, first by the place in the file, which finds a
 * string that is used twice without a look at it, and then by bytes. A reference of two bytes to a string of a megabyte so costs two
 * bytes and not a megabyte, and whoever makes up strings with equal hashes gets a sort, not a quadratic search.
 */
#ifndef OPS_PICKLE_IDS_H
#define OPS_PICKLE_IDS_H

#include "ops/key_sort.h"
#include "ops/pickle_machine.h"

struct pickle_id {
        const char *bytes;
        uint32_t len, hash;
        size_t pair; /* number of the pair that has the id as its key */
};

/* Sorts the keys of `dict`, all strings, of the pickle that begins at `bytes`; an id that is there twice is -EILSEQ. order and
   scratch have room for dict->count. The caller frees *ret. */
int pickle_ids_sort(const char *bytes, const struct pickle_dict *dict, struct key_index *order, struct key_index *scratch,
                    struct pickle_id **ret, struct error *e);

/* The order they are sorted in. Cheap as long as no two ids of one list are equal, which pickle_ids_sort sees to. */
int pickle_id_compare(const struct pickle_id *x, const struct pickle_id *y);

#endif
