/*
 * One list of links of an HNSW index, on whatever level: little-endian u32 internal ids, unaligned.
 */
#ifndef OPS_HNSW_LINKS_H
#define OPS_HNSW_LINKS_H

#include <stdint.h>

#include "ops/cleanup.h"
#include "ops/hnsw_faults.h"

/* The link at `index` of a list. */
uint32_t hnsw_link(const unsigned char *links, uint32_t index);

/* Each link is below n, the number of elements, and none is `id` itself. `file` is for the sentence. 0 or -EILSEQ. */
int hnsw_links_check(const unsigned char *links, uint32_t count, uint32_t id, uint64_t n, const char *file, struct hnsw_faults *f);

/* Finds a link that is in a list twice: short lists by comparing all with all, long ones in a sorted copy. */
struct hnsw_link_set;
struct hnsw_link_set *hnsw_link_set_new(uint64_t most_links); /* NULL: no memory */
struct hnsw_link_set *hnsw_link_set_free(struct hnsw_link_set *set);
DEFINE_CLEANUP(struct hnsw_link_set *, hnsw_link_set_free)

/* 0, or -EILSEQ when a link is there twice. */
int hnsw_links_unique(struct hnsw_link_set *set, const unsigned char *links, uint32_t count, uint32_t id, const char *file,
                      struct hnsw_faults *f);

#endif
